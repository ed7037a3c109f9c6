"""What other libraries of this field are known to get wrong in what the catalogue offers, each with its test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from backends import covered
from live import until

import coord
from coord.testing.servers import Server

TESTS = Path(__file__).parent

KNOWN = {
    "semaphores": {
        "slots stay taken after a crash": "test_semaphores.py::test_the_permits_of_a_killed_process_come_back",
        "the limit is overshot": "test_semaphores.py::test_never_more_weight_than_the_limit_in_many_threads",
        "keys stay for ever": "test_semaphore_scripts.py::test_the_key_lives_as_long_as_its_last_permit",
        "a heavy release is not atomic": "test_known_failures.py::test_a_heavy_permit_is_given_back_whole",
        "a TTL is guessed": "test_semaphores.py::test_renewals_of_many_permits_travel_together",
    },
    "executions": {
        "the record of a dead runner stays": "test_execute_once.py::test_waiters_take_over_one_at_a_time",
        "the record ends before the work": "test_known_failures.py::test_work_that_outlives_its_ttl_runs_once",
        "a foreign answer is replayed": "test_execute_once.py::test_the_key_of_another_call_is_refused",
        "waiters run it again": "test_execute_once.py::test_waiters_are_woken_with_the_result",
        "a late result overwrites": "test_execution.py::test_a_late_result_of_a_paused_worker_is_refused",
        "failures are kept by accident": "test_execute_once.py::test_an_error_that_is_kept_is_given_to_everyone",
        "seconds are taken for milliseconds": "test_execute_once.py::test_the_result_is_kept_for_as_long_as_asked",
    },
    "quotas": {
        "each instance adds the start value": "test_pitfalls.py::test_instances_that_start_together_count_once",
        "reservations of the dead stay": "test_quota.py::test_what_nobody_settles_returns_at_its_ttl",
        "odd values delete the counter": "test_quota.py::test_settling_above_the_amount_is_recorded",
        "amounts are floats": "test_quota.py::test_bad_input_is_refused_before_anything_is_sent",
        "the key ends before its window": "test_quota.py::test_keys_leave_with_their_windows",
        "checked and booked in two steps": "test_quota.py::test_of_many_at_once_no_more_than_the_limit_is_admitted",
    },
    "limiters": {
        "a cost above the limit passes": "test_limiter.py::test_bad_input_is_refused_before_anything_is_sent",
        "the rate drifts": "test_limiter.py::test_verdicts_are_those_of_the_exact_model",
        "refused for ever": "test_limiter.py::test_a_burst_passes_at_once_and_then_the_rate",
        "keys without a TTL, or below the window": "test_limiter.py::test_keys_live_until_they_cannot_change_an_answer",
        "the time of the client decides": "test_pitfalls.py::test_no_script_is_given_the_client_s_time",
        "racing hits pass together": "test_limiter.py::test_of_many_at_once_no_more_than_the_burst_pass",
    },
    "leaders": {
        "two leaders after a reconnect": "test_leader.py::test_after_a_loss_it_waits_for_the_work_and_campaigns_again",
        "leading goes on after the loss": "test_leader.py::test_the_task_is_cancelled_on_loss",
        "a TTL of 0": "test_leader.py::test_bad_input_is_refused_before_anything_is_sent",
        "all lead while the server is away": "test_known_failures.py::test_while_the_server_is_away_no_instance_leads",
    },
    "groups": {
        "the dead are listed": "test_groups.py::test_the_dead_are_never_listed",
        "a new life is taken for the former": "test_groups.py::test_a_later_life_has_a_higher_incarnation",
        "an outage looks like no members": "test_known_failures.py::test_while_the_server_is_away_no_group_is_empty",
    },
}
"""By family: the failure, and the test that shows that coord does not have it."""


@pytest.mark.parametrize("test", sorted({test for family in KNOWN.values() for test in family.values()}))
def test_each_has_its_test(test: str) -> None:
    file, _, name = test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_a_heavy_permit_is_given_back_whole(c: Any) -> None:
    gpu = c.semaphore("gpu", limit=3)
    heavy = gpu.claim(weight=3)
    assert gpu.claim() is None
    assert heavy.release() is True
    assert gpu.claim(weight=3) is not None


def test_work_that_outlives_its_ttl_runs_once() -> None:
    """Its lease is renewed: after the TTL another caller still finds it running, and gets its result."""
    runs = []

    def work() -> int:
        runs.append(1)
        with coord.connect("memory://known-failures") as other:
            seen = [other.execution("job").status().expires_in]

            def is_renewed() -> bool:
                seen.append(other.execution("job").status().expires_in)
                return seen[-1] > seen[-2]

            until(is_renewed, "a renewal")
            assert other.execution("job").begin().state == "running"
        return 42

    with coord.connect("memory://known-failures") as c:
        assert [c.execute_once("job", work, ttl=0.5) for _ in range(2)] == [42, 42]
    assert len(runs) == 1


@pytest.fixture
def away() -> Any:
    """A coordinator whose server has been stopped."""
    engine = next(iter(covered().values()), None)
    if engine is None:
        pytest.skip("no server is among the engines of this run")
    with Server(engine) as server, coord.connect(server.url, patience=0.05) as c:
        server.stop()
        yield c


def test_while_the_server_is_away_no_instance_leads(away: coord.Coordinator) -> None:
    with pytest.raises(coord.WaitTimeout, match="cannot reach"), away.leader("beat").hold(wait=0):
        raise AssertionError("it leads")


def test_while_the_server_is_away_no_group_is_empty(away: coord.Coordinator) -> None:
    with pytest.raises((coord.Unavailable, coord.OutcomeUnknown)):
        away.group("workers").members()
