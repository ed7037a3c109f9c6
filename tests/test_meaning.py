"""What operations mean when they are repeated: by the caller's own id, by an owner, or after the state has moved on."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from backends import Backend

import coord

# --- windows -------------------------------------------------------------------------------------


def test_the_owner_of_a_window_gets_true_again(c: Any) -> None:
    assert c.once("charge", ttl=60, owner="message-1") is True
    assert c.once("charge", ttl=60, owner="message-1") is True
    assert c.once("charge", ttl=60, owner="message-2") is False
    assert c.once("charge", ttl=60) is False


def test_forget_opens_the_window_of_its_owner_only(c: Any) -> None:
    c.once("charge", ttl=60, owner="message-1")
    assert c.forget("charge", owner="message-2") is False
    assert c.forget("charge", owner="message-1") is True
    assert c.forget("charge") is False
    assert c.once("charge", ttl=60, owner="message-2") is True
    assert c.forget("charge", owner="message-1") is False, "a late worker does not open the next window"
    assert c.forget("charge") is True


# --- the caller's own id -------------------------------------------------------------------------


def test_the_same_id_counts_once(c: Any) -> None:
    request, barrier = c.request("r"), c.barrier("b")
    request.register()
    request.add("s", "p")
    for ask in (
        lambda: c.bump("v", op_id="mine"),
        lambda: c.bump_if_current("v", c.version("v"), op_id="mine too"),
        lambda: c.kv.incr("n", 5, op_id="mine"),
        lambda: c.kv.rpush("list", "a", op_id="mine"),
        lambda: c.kv.sadd("set", "a", op_id="mine"),
        lambda: c.kv.srem("set", "a", op_id="mine too"),
        lambda: c.kv.set_if_absent("flag", op_id="mine"),
        lambda: c.kv.delete("flag", op_id="mine too"),
        lambda: c.stats("s").merge("id", n=1, op_id="mine"),
        lambda: c.stats("s").consume("id", op_id="mine too"),
        lambda: request.requeue("s", 3, op_id="mine"),
        lambda: request.done("s", "p", processed=4, op_id="mine"),
        lambda: barrier.open(2, op_id="mine"),
        lambda: barrier.arrive("m", op_id="mine"),
        lambda: barrier.fail("n", "no luck", op_id="mine too"),
    ):
        assert ask() == ask()
    assert c.kv.get_int("n") == 5
    assert c.kv.lrange("list") == ["a"]
    stage = request.status()["s"]
    assert (stage.processed, stage.requeue_count, stage.pending) == (4, 3, 0)
    assert (barrier.status().arrived, barrier.status().error_count) == (2, 1)


def test_an_id_that_was_refused_may_succeed_later(c: Any) -> None:
    """A queue delivers the message again: the refusal is not remembered."""
    assert c.request("r").done("s", "p", op_id="mine") is False
    assert c.request("r").requeue("s", op_id="mine") is False
    assert c.stats("s").consume("id", op_id="mine") is None
    assert c.kv.srem("set", "a", op_id="mine") == 0
    assert c.kv.delete("key", op_id="mine") == 0
    known = c.bump("v")
    assert c.bump_if_current("v", 0, op_id="mine").bumped is False
    c.kv.set_if_absent("flag")
    assert c.kv.set_if_absent("flag", op_id="mine") is False

    c.request("r").register()
    c.request("r").add("s", "p")
    c.stats("s").merge("id", n=1)
    c.kv.sadd("set", "a")
    c.kv.rpush("key", "a")
    c.kv.delete("flag")

    assert c.request("r").done("s", "p", op_id="mine") is True
    assert c.request("r").requeue("s", op_id="mine") is True
    assert c.stats("s").consume("id", op_id="mine") == {"n": 1}
    assert c.kv.srem("set", "a", op_id="mine") == 1
    assert c.kv.delete("key", op_id="mine") == 1
    assert c.bump_if_current("v", known, op_id="mine").bumped is True
    assert c.kv.set_if_absent("flag", op_id="mine") is True


def test_an_opener_that_is_delivered_twice_opens_once(c: Any) -> None:
    barrier = c.barrier("b")
    first = barrier.open(2, op_id="message-1")
    assert barrier.arrive("m").counted
    assert barrier.open(2, op_id="message-1") == first
    assert barrier.status().arrived == 1
    assert barrier.open(2) != first


# --- a barrier that is opened again --------------------------------------------------------------


def test_a_repetition_gets_the_answer_of_the_attempt_before(c: Any) -> None:
    """The reply of the completing arrival was lost and the barrier opened again: it still learns that it completed."""
    barrier = c.barrier("b")
    barrier.open(1)
    assert barrier.arrive("m", op_id="mine") == (0, True, True)
    barrier.open(1)
    assert barrier.arrive("m", op_id="mine") == (0, True, True)
    assert barrier.status().arrived == 0
    assert barrier.status().state == "open"


def test_the_end_of_the_attempt_before_is_kept_under_a_key_of_its_own(backend: Backend, c: Any) -> None:
    barrier = c.barrier("b")
    barrier.open(1, ttl=60)
    barrier.arrive("m")
    barrier.open(1, ttl=60)
    kept = {key: left for key, (_, _, left) in backend.stored.items() if ":op:" not in key}
    assert set(kept) == {"coord:barrier:{b}", "coord:barrier:{b}:last"}
    assert all(0 < left <= 60_000 for left in kept.values())


# --- answers that outlive what they were about ---------------------------------------------------
# A first copy runs and its reply is lost; the state moves on; then the repetition arrives.


def _again(c: Any, call: coord.Call[Any]) -> Any:
    """Send a call again as the transport does: it says that an earlier copy may have been executed."""
    at = call.script.repeated_at
    return c.run(call._replace(argv=(*call.argv[:at], "1", *call.argv[at + 1 :])))


def test_the_winner_of_a_window_that_is_over_still_gets_true(server: Backend) -> None:
    """Otherwise no caller gets True for that window, and its work is not done."""
    c = server.connect()
    lost = c.calls.once("o", ttl=0.05)
    assert c.run(lost) is True
    server.later(0.1)
    assert c.once("o", ttl=600) is True, "the next window is another caller's"
    assert _again(c, lost) is True
    assert c.once("o", ttl=600) is False


def test_an_abort_ends_one_attempt(server: Backend) -> None:
    c = server.connect()
    barrier = c.barrier("b")
    barrier.open(2)
    lost = c.calls.barrier("b").abort("changed our minds")
    assert c.run(lost) is True
    barrier.open(2)
    assert _again(c, lost) is True
    assert barrier.status().state == "open"
    barrier.open(2)
    assert _again(c, lost) is True, "the answer is kept from the repetition on"
    assert barrier.status().state == "open"


def test_an_arrival_counts_in_one_attempt(server: Backend) -> None:
    c = server.connect()
    barrier = c.barrier("b")
    barrier.open(1)
    lost = c.calls.barrier("b").arrive("m")
    assert c.run(lost) == (0, True, True)
    barrier.open(1)
    assert _again(c, lost) == (0, True, True)
    barrier.open(1)
    assert _again(c, lost) == (0, True, True)
    assert barrier.status().arrived == 0


# --- values that coord never wrote ---------------------------------------------------------------

ODD = ("x", "", "1.0", " 1", "9" * 4301, "9" * 20)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd[:8]))
def test_an_odd_value_in_a_field_raises_corrupt_and_changes_nothing(backend: Backend, c: Any, odd: str) -> None:
    """The same error in memory and on each engine; every operation that needs the field, each field in turn."""
    cases = {
        "coord:barrier:{x}": (
            ("parties", "arrived", "ends", "ttl_ms", "errors"),
            (lambda: c.barrier("x").arrive("m"), lambda: c.barrier("x").fail("m", "no luck")),
            lambda: c.barrier("x").open(3, deadline=60),
        ),
        "coord:request:{x}": (
            ("ttl_ms", "pending", "p:s"),
            (lambda: c.request("x").done("s", "p"), lambda: c.request("x").fail("s", "p", "no luck")),
            lambda: (c.request("x").register(), c.request("x").add("s", "p")),
        ),
        "coord:stats:{x}:s": (
            ("n",),
            (lambda: c.stats("s").peek("x"), lambda: c.stats("s").consume("x"), lambda: c.stats("s").merge("x", n=1)),
            lambda: c.stats("s").merge("x", n=1),
        ),
    }
    for key, (fields, asked, prepare) in cases.items():
        for field in fields:
            backend.place.do("DEL", key)
            prepare()
            backend.place.do("HSET", key, field, odd)
            before = backend.stored[key][:2]
            for ask in asked:
                with pytest.raises(coord.Corrupt):
                    ask()
            assert backend.stored[key][:2] == before, (key, field)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd[:8]))
def test_an_odd_text_raises_corrupt(backend: Backend, c: Any, odd: str) -> None:
    for key, asked in {
        "coord:kv:{x}": (lambda: c.kv.get_int("x"), lambda: c.kv.incr("x")),
        "coord:version:{x}": (lambda: c.bump("x"), lambda: c.version("x"), lambda: c.bump_if_current("x", 1)),
        "coord:claim:{x}": (lambda: c.claim("x"), lambda: c.holder("x")),
        "coord:once:{x}": (lambda: c.once("x"), lambda: c.forget("x")),
    }.items():
        backend.plant(key, odd)
        for ask in asked:
            with pytest.raises(coord.Corrupt):
                ask()
        assert backend.stored[key][1] == odd


def test_a_reply_of_another_shape_raises_a_coord_error() -> None:
    """Of a proxy or a server that answers nonsense: never a bare KeyError, IndexError or AttributeError."""
    c = coord.connect("memory://shapes").calls
    barrier, request, stats = c.barrier("b"), c.request("r"), c.stats("s")
    calls: list[coord.Call[Any]] = [
        *(c.once("x"), c.forget("x"), c.holder("x"), c.bump("x"), c.bump_if_current("x", 0), c.version("x")),
        *(c.is_stale("x", 1), c.kv.incr("x"), c.kv.get_int("x"), c.kv.set_if_absent("x"), c.kv.sadd("x", "m")),
        *(c.kv.srem("x", "m"), c.kv.scard("x"), c.kv.rpush("x", "v"), c.kv.lrange("x"), c.kv.expire("x")),
        *(stats.merge("x", n=1), stats.consume("x"), stats.peek("x"), barrier.open(1), barrier.arrive("m")),
        *(barrier.fail("m", "no luck"), barrier.status(), barrier.abort(), request.register(), request.add("s", "p")),
        *(request.done("s", "p"), request.fail("s", "p", "no luck"), request.requeue("s"), request.is_complete()),
        *(request.status(), request.cleanup()),
    ]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    odd: list[Any] = [
        None,
        "",
        "x",
        5,
        -1,
        [],
        [None],
        ["x"],
        [1, 2],
        ["n", "x"],
        [[]],
        [1, []],
        [1, ["s"]],
        ["1"] * 8,
        deep,
    ]
    for call in calls:
        for reply in odd:
            # Some shapes are right for some scripts.
            with contextlib.suppress(coord.CoordError):
                call.read(reply)
    while deep:
        deep = deep[0]


def test_a_recalled_answer_is_exact_above_2_to_the_53(c: Any) -> None:
    exact = 2**53 + 1
    assert [c.kv.incr("n", exact, op_id="mine") for _ in range(2)] == [exact, exact]
    assert c.stats("s").merge("id", n=exact) is None
    assert [c.stats("s").consume("id", op_id="mine") for _ in range(2)] == [{"n": exact}, {"n": exact}]


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd], ids=lambda odd: repr(odd[:8]))
def test_an_odd_answer_that_is_recalled_raises_a_coord_error(backend: Backend, c: Any, odd: str) -> None:
    """The same one in memory and on each engine, never a bare ``ValueError``; and nothing is counted."""
    for ask in (
        lambda: c.kv.incr("n", 5, op_id="mine"),
        lambda: c.bump("n", op_id="mine"),
        lambda: c.kv.rpush("n", "a", op_id="mine"),
        lambda: c.kv.sadd("n", "a", op_id="mine"),
    ):
        backend.place.do("FLUSHALL")
        ask()
        before = backend.values
        (op,) = (key for key in before if ":op:" in key)
        backend.place.do("SET", op, f"0|{odd}")
        backend.place.do("PEXPIRE", op, 60_000)
        with pytest.raises(coord.Corrupt):
            ask()
        assert {key: value for key, value in backend.values.items() if key != op} == {
            key: value for key, value in before.items() if key != op
        }


# --- what the guide warns of ----------------------------------------------------------------------


def test_a_hold_inside_a_hold_waits_for_itself(c: Any) -> None:
    with c.hold("report"), pytest.raises(coord.WaitTimeout), c.hold("report", wait=0.05):
        pass


def test_an_old_version_is_no_longer_stale_once_its_key_is_gone(backend: Backend, c: Any) -> None:
    old = c.bump("index", ttl=60)
    c.bump("index", ttl=60)
    assert c.is_stale("index", old)
    backend.later(61)
    assert not c.is_stale("index", old)


def test_a_producer_that_adds_no_piece_for_itself_is_complete_too_early(c: Any) -> None:
    for name, own in (("careless", ()), ("careful", ("document",))):
        request = c.request(name)
        request.register()
        for piece in own:
            request.add("split", piece)
        request.add("embed", "page-1")
        request.done("embed", "page-1")
        assert request.is_complete() is (not own)


# --- round trips and views -------------------------------------------------------------------------


def test_a_ping_tells_seconds(c: Any) -> None:
    assert 0 <= c.ping() < 5


def test_a_view_has_times_of_its_own_and_shares_the_rest(backend: Backend, c: Any) -> None:
    view = c.with_options(timeout=1, patience=0.5)
    assert view.kv.incr("n", ttl=60) == 1
    assert c.kv.get_int("n") == 1
    with view.hold("job"), pytest.raises(coord.WaitTimeout), c.hold("job", wait=0):
        pass
    view.aclose() if backend.line.awaited else view.close()
    assert c.kv.incr("n") == 2, "closing a view closes nothing"
    for wrong in ({"timeout": 0}, {"patience": -1}, {"timeout": "soon"}, {"timeout": True}):
        with pytest.raises((ValueError, TypeError, coord.ConfigError)):
            c.with_options(**wrong)


# --- bounds --------------------------------------------------------------------------------------


def test_a_list_is_read_in_parts_of_at_most_100_000(c: Any) -> None:
    for _ in range(11):
        c.kv.rpush("list", *(["v"] * 10_000))
    assert len(c.kv.lrange("list", 0, 99_999)) == 100_000
    assert len(c.kv.lrange("list", -10_000)) == 10_000
    with pytest.raises(coord.ScriptError, match="100000"):
        c.kv.lrange("list")
