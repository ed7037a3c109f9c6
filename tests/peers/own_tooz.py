"""The tooz driver, where tooz's own tests do not look."""

from __future__ import annotations

import os
import uuid
from typing import Any

import pytest
from tooz import coordination

URL = f"{os.environ['TOOZ_TEST_URL']}?timeout=0.5"


@pytest.fixture
def drivers() -> Any:
    made: list[Any] = []

    def make(name: str) -> Any:
        driver = coordination.get_coordinator(URL, name.encode())
        driver.start()
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.stop()


def test_what_a_dead_process_had_goes_to_another(drivers: Any) -> None:
    group = uuid.uuid4().hex.encode()
    first, second = drivers("first"), drivers("second")
    for driver in (first, second):
        driver.join_group_create(group)
        driver.watch_elected_as_leader(group, lambda event: event)
    lock = first.get_lock(group)
    assert lock.acquire()
    first.run_watchers()
    assert second.get_leader(group).get() == b"first"
    left: list[bytes] = []
    second.watch_leave_group(group, lambda event: left.append(event.member_id))

    # Nothing renews what it holds any more, as in a process that was killed.
    first.coordinator.close()
    assert not lock.is_still_owner()
    assert second.get_lock(group).acquire(blocking=30)
    while not left or second.get_leader(group).get() != b"second":
        second.run_watchers()
    assert left == [b"first"]
    assert second.get_members(group).get() == {b"second"}


def test_a_group_is_empty_once_its_members_are_dead(drivers: Any) -> None:
    group = uuid.uuid4().hex.encode()
    first, second = drivers("first"), drivers("second")
    first.join_group_create(group)
    first.coordinator.close()
    while True:
        try:
            second.delete_group(group).get()
        except coordination.GroupNotEmpty:
            continue
        break
    assert group not in second.get_groups().get()


def test_capabilities_change_without_a_gap(drivers: Any) -> None:
    group = uuid.uuid4().hex.encode()
    first, second = drivers("first"), drivers("second")
    first.join_group_create(group, {"weight": 1})
    second.watch_leave_group(group, lambda event: event)
    second.watch_join_group(group, lambda event: event)
    before = second.get_member_info(group, b"first").get()["incarnation"]
    first.update_capabilities(group, {"weight": 2}).get()
    assert second.run_watchers() == []
    assert second.get_member_info(group, b"first").get()["incarnation"] > before
