"""Groups: who is alive. Joining, leaving, dying, taking over, coming back, and changes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from backends import Backend
from live import SOON, Live, Thread, run, until, until_async

import coord
from coord.extend import new_owner_id
from coord.group.scripts import LAPSED, LIVES, TAKEN, beat, join, leave

pytest_plugins = ("live_fixtures", "waiting_fixtures")

KEY = "coord:group:{workers}"


def joined(c: Any, member: str, *, nonce: str = "", metadata: str = "", ttl_ms: int = 15_000, rejoins: int = 0) -> Any:
    return c.run(join(c.calls, KEY, member, nonce or f"n-{member}", metadata, ttl_ms, rejoins=rejoins))


def names(c: Any) -> list[str]:
    return [each.member for each in c.group("workers").members()]


# --- scripts -------------------------------------------------------------------------------------


def test_members_are_listed_by_name(c: Any) -> None:
    for member in ("carl", "anna", "ben"):
        joined(c, member, metadata='{"port":1}' if member == "ben" else "")
    found = c.group("workers").members()
    assert [(each.member, each.metadata) for each in found] == [("anna", None), ("ben", {"port": 1}), ("carl", None)]
    assert all(each.expires_in == 15.0 for each in found)


def test_the_dead_are_never_listed(c: Any, backend: Backend) -> None:
    """Whichever reader comes first, and whether or not they were swept away."""
    joined(c, "dead", ttl_ms=5_000)
    joined(c, "alive", ttl_ms=60_000)
    backend.later(5.001)
    assert names(c) == ["alive"]
    joined(c, "new", ttl_ms=60_000)
    assert "d:dead" not in backend.values[KEY][1]


def test_an_empty_group_leaves_no_key(c: Any, backend: Backend) -> None:
    joined(c, "anna")
    joined(c, "ben")
    assert c.run(leave(c.calls, KEY, "anna", "n-anna")) is True
    assert c.run(leave(c.calls, KEY, "ben", "n-ben")) is True
    assert KEY not in backend.stored


def test_an_abandoned_group_leaves_no_key(c: Any, backend: Backend) -> None:
    """The key lives as long as its last member; a member that leaves does not prolong it."""
    if backend.line.engine == "fakeredis":
        pytest.skip("for its deadlines time stands still, and PEXPIREAT means another moment there")
    joined(c, "long", ttl_ms=600_000)
    joined(c, "short", ttl_ms=5_000)
    assert backend.left(KEY) == pytest.approx(600, abs=1)
    c.run(leave(c.calls, KEY, "long", "n-long"))
    assert backend.left(KEY) == pytest.approx(5, abs=1)


def test_a_later_life_has_a_higher_incarnation(c: Any, backend: Backend) -> None:
    incarnations = [joined(c, "anna", nonce="one").incarnation]
    incarnations.append(joined(c, "anna", nonce="two").incarnation)
    c.run(leave(c.calls, KEY, "anna", "two"))
    backend.later(0.001)
    incarnations.append(joined(c, "anna", nonce="three").incarnation)
    assert incarnations == sorted(set(incarnations))


def test_a_repeated_join_is_one(c: Any) -> None:
    assert joined(c, "anna") == joined(c, "anna")


def test_the_older_of_two_changes_nothing(c: Any) -> None:
    """Neither its heartbeats nor its leaving."""
    joined(c, "anna", nonce="one")
    newer = joined(c, "anna", nonce="two")
    states = c.run(beat(c.calls, KEY, 15_000, [("anna", "one"), ("anna", "two"), ("ben", "x")]))
    assert states == [TAKEN, LIVES, LAPSED]
    assert c.run(leave(c.calls, KEY, "anna", "one")) is False
    assert [each.incarnation for each in c.group("workers").members()] == [newer.incarnation]


def test_who_comes_back_does_not_take_over(c: Any, backend: Backend) -> None:
    """A membership that lapsed joins again, unless another process has the name by now."""
    first = joined(c, "anna", nonce="one").incarnation
    backend.later(16)
    assert c.run(beat(c.calls, KEY, 15_000, [("anna", "one")])) == [LAPSED]
    joined(c, "anna", nonce="two")
    assert not joined(c, "anna", nonce="three", rejoins=first).joined


def test_who_was_taken_over_does_not_come_back_once_the_newer_has_left(c: Any, backend: Backend) -> None:
    older = joined(c, "anna", nonce="one").incarnation
    newer = joined(c, "anna", nonce="two").incarnation
    c.run(leave(c.calls, KEY, "anna", "two"))
    backend.later(1)
    assert not joined(c, "anna", nonce="three", rejoins=older).joined
    assert names(c) == []
    # The newer may come back itself, and anybody may join.
    assert joined(c, "anna", nonce="four", rejoins=newer).joined
    c.run(leave(c.calls, KEY, "anna", "four"))
    assert joined(c, "anna", nonce="five").joined


def test_a_late_join_does_not_bring_back_who_has_left(c: Any) -> None:
    c.run(leave(c.calls, KEY, "anna", "n-anna"))
    assert not joined(c, "anna").joined
    assert names(c) == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [600])
def test_large_groups(c: Any, count: int) -> None:
    """More members than fit into one command of a script."""
    members = [(f"m-{number:04}", f"n-{number}") for number in range(count)]
    for member, nonce in members:
        joined(c, member, nonce=nonce)
    assert set(c.run(beat(c.calls, KEY, 15_000, members))) == {LIVES}
    assert names(c) == [member for member, _ in members]


# --- memberships ---------------------------------------------------------------------------------


def test_a_block_is_a_member(c: Any, backend: Backend) -> None:
    group = c.group("workers")
    with group.join("anna", metadata={"port": 80}) as me:
        (found,) = group.members()
        assert (found.member, found.metadata, found.incarnation) == ("anna", {"port": 80}, me.incarnation)
        assert me.member == "anna"
        assert not me.lost.is_set()
    assert KEY not in backend.stored


def test_a_member_without_a_name_gets_one(c: Any) -> None:
    group = c.group("workers")
    with group.join() as one, group.join() as two:
        assert one.member != two.member
        assert one.member.rsplit("-", 2)[0] == new_owner_id().rsplit("-", 2)[0]
        assert names(c) == sorted([one.member, two.member])


def test_a_block_that_fails_leaves(c: Any) -> None:
    with pytest.raises(ZeroDivisionError), c.group("workers").join("anna"):
        raise ZeroDivisionError
    assert names(c) == []


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"member": ""}, ValueError),
        ({"member": 7}, TypeError),
        ({"metadata": "x" * 65_536}, ValueError),
        ({"metadata": object()}, TypeError),
        ({"metadata": float("nan")}, ValueError),
    ],
)
def test_bad_input_raises_before_entering(c: Any, backend: Backend, arguments: Any, kind: type[Exception]) -> None:
    with backend.untouched(), pytest.raises(kind):
        c.group("workers").join(**arguments)


@pytest.mark.parametrize("ttl", [0, -1, True])
def test_a_bad_ttl_is_refused(c: Any, ttl: Any) -> None:
    with pytest.raises(ValueError, match="ttl"):
        c.group("workers", ttl=ttl)


def test_metadata_of_64_kib_fits(c: Any) -> None:
    with c.group("workers").join("anna", metadata="x" * 65_534):
        assert len(c.group("workers").members()[0].metadata) == 65_534


def test_a_joining_is_entered_by_one_block_at_a_time(c: Any) -> None:
    joining = c.group("workers").join("anna")
    with joining, pytest.raises(coord.CoordError, match="entered already"):
        joining.__enter__()
    with joining as again:
        assert again.incarnation


def test_heartbeats_keep_a_member_alive(live: Live) -> None:
    """For several of its TTLs, and the heartbeats of all groups of a process travel together."""
    with live.connect() as c:
        groups = [c.group(f"workers-{number}", ttl=0.6) for number in range(3)]
        with groups[0].join("anna") as me, groups[1].join("ben"), groups[2].join("carl"), groups[0].join("dora"):
            incarnation = me.incarnation
            dead = threading.Event()
            watcher = Thread(lambda: _until_absent(live, dead))
            dead.wait(2.0)
            dead.set()
            assert watcher.result() is False
            assert me.incarnation == incarnation


def _until_absent(live: Live, stop: threading.Event) -> bool:
    with live.connect() as c:
        while not stop.wait(0.02):
            if [each.member for each in c.group("workers-0").members()] != ["anna", "dora"]:
                return True
    return False


def test_a_taken_over_membership_is_lost(live: Live) -> None:
    with live.connect() as a, live.connect() as b:
        older_one, newer_one = a.group("workers", ttl=0.6).join("anna"), b.group("workers", ttl=600).join("anna")
        with older_one as older, newer_one as newer:
            assert older.lost.wait(SOON)
            assert newer.incarnation > older.incarnation
            assert not newer.lost.is_set()
        assert a.group("workers").members() == []


def test_leaving_after_a_take_over_changes_nothing(live: Live) -> None:
    with live.connect() as a, live.connect() as b, b.group("workers", ttl=600).join("other"):
        with a.group("workers", ttl=600).join("anna"):
            newer = b.group("workers", ttl=600).join("anna", metadata="newer")
            membership = newer.__enter__()
        found = {each.member: each.incarnation for each in b.group("workers").members()}
        assert found["anna"] == membership.incarnation
        newer.__exit__(None, None, None)


def test_a_lapsed_membership_joins_again(live: Live) -> None:
    """Here its key was lost; under a new incarnation, with its metadata, and without being told lost."""
    with live.connect() as c:
        group = c.group("workers", ttl=0.6)
        with group.join("anna", metadata=[1]) as me:
            before = me.incarnation
            live.lose(KEY)
            until(lambda: me.incarnation > before, "the new incarnation")
            (found,) = group.members()
            assert (found.incarnation, found.metadata) == (me.incarnation, [1])
            assert not me.lost.is_set()
        assert group.members() == []


def test_a_membership_is_lost_also_if_the_newer_has_left_before_its_heartbeat(live: Live) -> None:
    with live.connect() as a, live.connect() as b, a.group("workers", ttl=3).join("anna") as older:
        with b.group("workers", ttl=3).join("anna"):
            pass
        assert older.lost.wait(SOON)
        assert names(a) == []


def test_closing_sets_lost_and_leaves_to_the_ttl(live: Live) -> None:
    with live.connect() as b:
        with live.connect() as a:
            joining = a.group("workers", ttl=600).join("anna")
            me = joining.__enter__()
        assert me.lost.is_set()
        assert [each.member for each in b.group("workers").members()] == ["anna"]
        joining.__exit__(None, None, None)


def test_a_membership_whose_block_was_collected_ends(live: Live) -> None:
    """Nobody can leave it any more, so it is not kept alive."""
    with live.connect() as c:
        group = c.group("workers", ttl=0.6)
        me = group.join("anna").__enter__()
        assert me.lost.wait(SOON)
        until(lambda: group.members() == [], "the end of the member")


def test_cancelled_joins_leave_no_member(live: Live) -> None:
    async def main() -> None:
        async with live.connect_async() as c:
            group = c.group("workers", ttl=600)

            async def stay() -> None:
                async with group.join():
                    await asyncio.sleep(0)

            for pause in range(20):
                task = asyncio.create_task(stay())
                for _ in range(pause):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

            async def is_empty() -> bool:
                return await group.members() == []

            await until_async(is_empty, "the end of all members")

    run(main())


# --- changes -------------------------------------------------------------------------------------


class Watch:
    """What a thread sees of a group's changes."""

    def __init__(self, c: Any, ttl: float = 15) -> None:
        self.seen: list[list[str]] = []
        self._thread = Thread(lambda: self._watch(c, ttl))

    def _watch(self, c: Any, ttl: float) -> None:
        for members in c.group("workers", ttl=ttl).changes():
            self.seen.append([each.member for each in members])

    def until(self, *members: str) -> None:
        until(lambda: self.seen and self.seen[-1] == list(members), f"the members {members}")

    def end(self) -> None:
        self._thread.result()


def test_changes_begin_with_the_present_and_end_at_close(live: Live, patient: None) -> None:
    with live.connect() as b:
        with live.connect() as a, b.group("workers", ttl=600).join("anna"):
            watch = Watch(a)
            watch.until("anna")
            with b.group("workers", ttl=600).join("ben"):
                watch.until("anna", "ben")
            watch.until("anna")
        watch.end()


def test_a_death_is_a_change(live: Live, patient: None) -> None:
    """Nobody publishes it: the watcher looks when the member's time is over."""
    with live.connect() as a, live.connect() as b:
        b.run(join(b.calls, KEY, "dead", "n", "", 300))
        b.run(join(b.calls, KEY, "alive", "m", "", 600_000))
        with live.connect() as c:
            watch = Watch(c)
            watch.until("alive")
        watch.end()
        assert a.group("workers").members()[0].member == "alive"


def test_heartbeats_do_not_count_as_changes(live: Live) -> None:
    with live.connect() as a, live.connect() as b:
        with a.group("workers", ttl=0.3).join("anna"):
            watch = Watch(b, ttl=0.3)
            watch.until("anna")
            threading.Event().wait(1.0)
            assert watch.seen == [["anna"]]
        watch.until()
        b.close()
        watch.end()


def test_a_slow_consumer_skips_to_the_newest(live: Live) -> None:
    async def main() -> None:
        async with live.connect_async() as c:
            group = c.group("workers", ttl=600)
            changes = group.changes()
            assert await anext(changes) == []
            async with group.join("anna"):
                async with group.join("ben"), group.join("carl"):
                    pass
                assert [each.member for each in await anext(changes)] == ["anna"]
            await changes.aclose()

    run(main())
