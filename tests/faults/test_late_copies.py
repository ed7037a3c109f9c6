"""A first copy of a call arrives after its repetition was answered "no". It must not take effect.

Each case runs on every server, blocking and awaited: the call of ``a`` is kept by the network and repeated, the state
changes so that the call would succeed now, and then the first copy is delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from backends import Backend
from late_line import LateLine
from machines import QUICK, client_of

import coord
from coord.testing.servers import Server

WARM = coord.Limit(2, per=3600)


@pytest.fixture
def late(any_server: Server) -> Iterator[LateLine]:
    with client_of(any_server) as client:
        client.flushall()
    line = LateLine(any_server.port)
    yield line
    line.close()


@pytest.fixture
def a(mode: Backend, late: LateLine) -> Any:
    c = mode.dial(late.url, **QUICK)
    # Each script is loaded before: a call that is refused with NOSCRIPT leaves no first copy.
    c.stats("w").consume("warm")
    c.stats("w").merge("warm", n=1)
    c.once("warm")
    c.forget("warm")
    c.claim("warm", ttl=1)
    with c.semaphore("warm", limit=1).hold(ttl=1), c.group("warm").join("warm"):
        pass
    c.bump_if_current("warm", 0)
    c.kv.set_if_absent("warm", ttl=1)
    c.kv.srem("warm-set", "m")
    c.kv.delete("warm")
    c.kv.expire("warm")
    limiter = c.limiter("warm", WARM)
    limiter.hit()
    limiter.refund()
    limiter.penalize(0.001)
    limiter.reset()
    limiter.wait()
    quota = c.quota("warm", WARM)
    quota.reserve(1).settle()
    quota.spend(1)
    barrier, request = c.barrier("warm"), c.request("warm")
    barrier.open(1)
    barrier.arrive("m")
    barrier.abort()
    request.add("s", "p")
    request.done("s", "p")
    request.requeue("s")
    request.cleanup()
    execution = c.execution("warm")
    for end in ("complete", "abandon"):
        getattr(execution.begin(), end)(*(["x"] if end == "complete" else []))
        execution.forget()
    return c


@pytest.fixture
def b(any_server: Server) -> Iterator[coord.Coordinator]:
    with coord.connect(any_server.url) as c:
        yield c


def test_consume(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    late.arm()
    assert a.stats("w").consume("id") is None
    b.stats("w").merge("id", n=5)
    late.deliver()
    assert b.stats("w").consume("id") == {"n": 5}


def test_consume_with_an_id_of_the_caller(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """The late copy takes nothing; a redelivery with the same id does."""
    late.arm()
    assert a.stats("w").consume("id", op_id="mine") is None
    b.stats("w").merge("id", n=5)
    late.deliver()
    assert b.stats("w").peek("id") == {"n": 5}
    assert a.stats("w").consume("id", op_id="mine") == {"n": 5}


def test_claim(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    lease = b.claim("job", ttl=30)
    assert lease is not None
    late.arm()
    assert a.claim("job", ttl=600) is None
    lease.release()
    late.deliver()
    assert b.holder("job") is None


def test_hold(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """Each ask of a waiter is a call of its own: a late copy of one that was refused takes nothing."""
    lease = b.claim("job", ttl=30)
    assert lease is not None
    late.arm()
    with pytest.raises(coord.WaitTimeout), a.hold("job", ttl=600, wait=0.3):
        pass
    lease.release()
    late.deliver()
    assert b.holder("job") is None


def test_semaphore_claim(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    permit = b.semaphore("gpu", limit=2).claim(ttl=30, weight=2)
    assert permit is not None
    late.arm()
    assert a.semaphore("gpu", limit=2).claim(ttl=600) is None
    permit.release()
    late.deliver()
    assert b.semaphore("gpu", limit=2).holders() == []


def test_semaphore_hold(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """The first copy of a claim that was granted, used and released takes no second slot."""
    late.arm()
    with a.semaphore("gpu", limit=2).hold(ttl=600):
        pass
    late.deliver()
    assert b.semaphore("gpu", limit=2).holders() == []


def test_semaphore_release(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """The copy of a release does not give back the slot of the next permit of the same owner."""
    permit = a.semaphore("gpu", limit=1).claim(ttl=600, owner="anna")
    late.arm()
    assert permit.release() is True
    again = b.semaphore("gpu", limit=1).claim(ttl=600, owner="anna")
    assert again is not None
    late.deliver()
    assert [holder.fence for holder in b.semaphore("gpu", limit=1).holders()] == [again.fence]


def test_group_join(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """The copy of a join neither brings back who has left, nor takes a name from who has it now."""
    late.arm()
    with a.group("workers", ttl=600).join("anna"):
        pass
    late.deliver()
    assert b.group("workers").members() == []

    late.arm()
    with a.group("workers", ttl=600).join("anna"), b.group("workers", ttl=600).join("anna") as newer:
        late.deliver()
        assert [each.incarnation for each in b.group("workers").members()] == [newer.incarnation]


def test_group_leave(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    joining = a.group("workers", ttl=600).join("anna")
    joining.__enter__()
    late.arm()
    joining.__exit__(None, None, None)
    with b.group("workers", ttl=600).join("anna") as newer:
        late.deliver()
        assert [each.incarnation for each in b.group("workers").members()] == [newer.incarnation]


def test_once(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    assert b.once("o", ttl=600) is True
    late.arm()
    assert a.once("o", ttl=600) is False
    b.forget("o")
    late.deliver()
    assert b.once("o", ttl=600) is True


def test_forget(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    late.arm()
    assert a.forget("o") is False
    assert b.once("o", ttl=600) is True
    late.deliver()
    assert b.once("o", ttl=600) is False


def test_set_if_absent(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    b.kv.set_if_absent("f", ttl=60)
    late.arm()
    assert a.kv.set_if_absent("f", ttl=600) is False
    b.kv.delete("f")
    late.deliver()
    assert b.kv.set_if_absent("f", ttl=60) is True


def test_delete_and_srem_and_expire(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    for ask in (
        lambda: a.kv.delete("k"),
        lambda: a.kv.srem("k", "m"),
        lambda: a.kv.expire("k", ttl=0.001),
    ):
        b.kv.delete("k")
        late.arm()
        assert ask() in (0, False)
        b.kv.sadd("k", "m", ttl=60)
        late.deliver()
        assert b.kv.scard("k") == 1


def test_bump_if_current(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    version = b.bump("v")
    late.arm()
    assert a.bump_if_current("v", 0).bumped is False
    b.run(coord.Call(coord.Script("lose", "return redis.call('DEL', KEYS[1])"), ("coord:version:{v}",), (), int))
    late.deliver()
    assert b.version("v") == 0
    assert version > 0


def test_request_done_and_add(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    request = b.request("r")
    request.register()
    late.arm()
    assert a.request("r").done("s", "p") is False
    request.add("s", "p")
    late.deliver()
    assert request.status()["s"].pending == 1

    late.arm()
    assert a.request("later").add("s", "p") is False
    b.request("later").register()
    late.deliver()
    assert b.request("later").status() == {}


def test_barrier_arrive_and_abort(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    barrier = b.barrier("b")
    late.arm()
    with pytest.raises(coord.MissingBarrier):
        a.barrier("b").arrive("m")
    barrier.open(2)
    late.deliver()
    found = barrier.status()
    assert found is not None
    assert found.arrived == 0

    barrier.abort()
    late.arm()
    assert a.barrier("b").abort() is False
    barrier.open(2)
    late.deliver()
    found = barrier.status()
    assert found is not None
    assert found.state == "open"


def test_limiter(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """A late hit, refund, penalty, reset or booking changes nothing, whatever its repetition was answered."""
    here, there = a.limiter("api", WARM), b.limiter("api", WARM)
    there.hit(2)
    late.arm()
    assert here.hit().allowed is False
    there.refund(2)
    late.deliver()
    assert there.peek().remaining == 2

    late.arm()
    assert here.hit(2).allowed is True
    there.reset()
    late.deliver()
    assert there.peek().remaining == 2

    there.hit(2)
    late.arm()
    here.refund()
    there.hit()
    late.deliver()
    assert there.peek().remaining == 0

    late.arm()
    here.penalize(600)
    there.reset()
    late.deliver()
    assert there.peek().remaining == 2
    there.reset()

    late.arm()
    assert here.reset() is False
    there.hit(2)
    late.deliver()
    assert there.peek().remaining == 0


def test_limiter_wait(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """A late booking takes no place: not when it was refused, nor when its place was used and the limiter reset."""
    here, there = a.limiter("api", WARM), b.limiter("api", WARM)
    there.hit(2)
    late.arm()
    with pytest.raises(coord.WaitTimeout):
        here.wait(timeout=1)
    there.reset()
    late.deliver()
    assert there.peek().remaining == 2

    late.arm()
    here.wait()
    there.reset()
    late.deliver()
    assert there.peek().remaining == 2


def test_begin_of_an_execution(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """The call that was answered "running" does not run it later, when nobody would."""
    mine = b.execution("e").begin(ttl=30)
    late.arm()
    assert a.execution("e").begin(ttl=600).state == "running"
    mine.abandon()
    late.deliver()
    assert b.execution("e").status() is None


def test_complete_and_abandon_of_an_execution(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    mine = a.execution("e").begin(ttl=30)
    late.arm()
    assert mine.complete("first") is True
    b.execution("e").forget()
    late.deliver()
    assert b.execution("e").status() is None

    mine = a.execution("e").begin(ttl=30)
    late.arm()
    assert mine.abandon() is True
    other = b.execution("e").begin(ttl=30)
    late.deliver()
    assert other.complete("second") is True


def test_forget_of_an_execution(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    late.arm()
    assert a.execution("e").forget() is False
    b.execution("e").begin().complete("result")
    late.deliver()
    assert b.execution("e").begin().result == "result"


def test_quota_reserve(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    """A late copy of a refused reservation holds nothing, nor one of a reservation that was settled since."""
    here, there = a.quota("team", WARM), b.quota("team", WARM)
    held = there.reserve(2)
    assert held is not None
    late.arm()
    assert here.reserve(2) is None
    held.cancel()
    late.deliver()
    assert there.status()[0].held == 0

    late.arm()
    reservation = here.reserve(2)
    assert reservation.settle(1) is True
    late.deliver()
    assert (there.status()[0].spent, there.status()[0].held) == (1, 0)


def test_quota_settle_and_spend(a: Any, b: coord.Coordinator, late: LateLine) -> None:
    here, there = a.quota("team", WARM), b.quota("team", WARM)
    reservation = here.reserve(2)
    late.arm()
    assert reservation.settle(1) is True
    late.deliver()
    assert there.status()[0].spent == 1

    held = there.reserve(1)
    assert held is not None
    late.arm()
    assert here.spend(1) is False
    held.cancel()
    late.deliver()
    assert there.status()[0].spent == 1


# --- an outcome that stays unknown ---------------------------------------------------------------


@pytest.mark.parametrize("family", ["barrier", "request"])
def test_the_id_of_an_unknown_outcome_gets_the_first_answer(mode: Backend, line: Any, family: str) -> None:
    """Every reply is lost until patience ends; repeated by hand with the id, the call says that it was the one."""
    c = mode.dial(line.url, timeout=3, patience=0.5, remember=20)
    barrier, request = c.barrier("b"), c.request("r")
    barrier.open(1)
    request.register()
    request.add("s", "p")
    ask = {
        "barrier": lambda op_id: barrier.arrive("m", op_id=op_id).completed,
        "request": lambda op_id: request.done("s", "p", op_id=op_id),
    }[family]
    line.misbehave(1, {"reset_reply": 1})
    with pytest.raises(coord.OutcomeUnknown) as raised:
        ask(None)
    line.behave()
    assert raised.value.op_id
    assert repr(raised.value.op_id) in str(raised.value)
    assert ask(raised.value.op_id) is True
    assert ask("another") is False
