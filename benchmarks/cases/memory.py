"""In memory: coord beside dicts and a lock, and beside fake servers that run the same scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import lru_cache
from itertools import count
from typing import Any

import coord
from benchmarks.bench import Bench, Case
from benchmarks.measure import AsyncOperation, Contender, Figure, Operation, in_one_thread, in_tasks
from benchmarks.peers import installed
from benchmarks.plain import NeverCleaned, Plain
from coord import Limit, barriers, claims, execution
from coord.coordinator import CallMaker
from coord.group.scripts import beat, join, leave
from coord.limiter import Limiter
from coord.limiter.booking import Booking
from coord.modes import Build
from coord.quota import Quota
from coord.quota.handle import Reserving
from coord.script import Call, all_scripts
from coord.semaphore import Permits

Pair = tuple[Operation, Operation]
"""The same job with coord, and with dicts and a lock."""

_spaces = count()


def _fresh() -> coord.Coordinator:
    return coord.connect(f"memory://bench-{next(_spaces)}")


# --- beside dicts and a lock ---------------------------------------------------------------------


def once(c: coord.Coordinator, plain: Plain) -> Pair:
    """A window of an unused name."""
    return lambda i: c.once(f"job-{i}"), lambda i: plain.once(f"job-{i}")


def once_again(c: coord.Coordinator, plain: Plain) -> Pair:
    """A window that is already taken."""
    return lambda _: c.once("job"), lambda _: plain.once("job")


def claim(c: coord.Coordinator, plain: Plain) -> Pair:
    """A claim taken and released."""

    def by_coord(i: int) -> None:
        lease = c.claim(f"job-{i}")
        assert lease is not None
        lease.release()

    def by_plain(i: int) -> None:
        fence = plain.claim(f"job-{i}")
        assert fence is not None
        plain.release(f"job-{i}", fence)

    return by_coord, by_plain


def bump(c: coord.Coordinator, plain: Plain) -> Pair:
    """A new version of one name."""
    return lambda _: c.bump("index"), lambda _: plain.bump("index")


def is_stale(c: coord.Coordinator, plain: Plain) -> Pair:
    """A check whether a version is still the newest."""
    newest, newest_plain = c.bump("index"), plain.bump("index")
    return lambda _: c.is_stale("index", newest), lambda _: plain.is_stale("index", newest_plain)


def merge(c: coord.Coordinator, plain: Plain) -> Pair:
    """Three counts of one id."""
    stats = c.stats("bench")
    return (
        lambda _: stats.merge("request", processed=1, errors=1, tokens=1),
        lambda _: plain.merge("request", processed=1, errors=1, tokens=1),
    )


def merge_consume(c: coord.Coordinator, plain: Plain) -> Pair:
    """Three counts of a new id, merged and consumed."""
    stats = c.stats("bench")

    def by_coord(i: int) -> None:
        stats.merge(f"{i}", processed=1, errors=1, tokens=1)
        stats.consume(f"{i}")

    def by_plain(i: int) -> None:
        plain.merge(f"{i}", processed=1, errors=1, tokens=1)
        plain.consume(f"{i}")

    return by_coord, by_plain


def incr(c: coord.Coordinator, plain: Plain) -> Pair:
    """A count with a TTL."""
    return lambda _: c.kv.incr("count"), lambda _: plain.incr("count")


JOBS: dict[str, Callable[[coord.Coordinator, Plain], Pair]] = {
    "once": once,
    "once, seen": once_again,
    "claim, release": claim,
    "bump": bump,
    "is_stale": is_stale,
    "merge": merge,
    "merge, consume": merge_consume,
    "incr": incr,
}


def beside_plain(bench: Bench) -> Iterator[Figure]:
    """Every job, beside dicts and a lock."""
    for name, job in JOBS.items():
        by_coord, by_plain = job(_fresh(), Plain())
        contenders = [Contender("coord", in_one_thread(by_coord)), Contender("dict and lock", in_one_thread(by_plain))]
        if name.startswith("once"):
            contenders.append(Contender("dict and lock, never cleaned", in_one_thread(_never_cleaned(name))))
        yield from bench.in_turn("memory-plain", name, contenders)


def _never_cleaned(name: str) -> Operation:
    least = NeverCleaned()
    return (lambda i: least.once(f"job-{i}")) if name == "once" else (lambda _: least.once("job"))


# --- beside fakes that run the scripts -----------------------------------------------------------

Anywhere = Callable[[Any, int], Any]
"""An operation of a coordinator, or one that builds a Call."""


def _barrier_keys(ops: Any) -> tuple[str, str]:
    key = ops.key("barrier", "bench")
    return key, f"{key}:last"


MEMBERS = [(f"{number}", f"nonce-{number}") for number in range(10)]
"""Ten members of a group, each with the nonce of its membership."""


@lru_cache(maxsize=8)
def _limiter(ops: Any) -> Limiter[Build]:
    limiter: Limiter[Build] = ops.limiter("bench", Limit(1_000_000_000, per=1), Limit(1_000_000_000, per=60))
    return limiter


def _place(ops: CallMaker) -> Booking:
    return Booking(ops, "bench", ops.key("limiter", "bench"), ("1000000000/1000000", "1000000000/60000000"))


def _books(ops: CallMaker, _: int) -> Call[Any]:
    # The words of the limits stand behind three others.
    return _place(ops).book(_limiter(ops.calls).hit().argv[3:], 60_000)


@lru_cache(maxsize=16)
def _quota(ops: CallMaker, name: str = "bench") -> Quota[Build]:
    return ops.quota(name, Limit(1_000_000_000, per=60), Limit(1_000_000_000, per=3600))


def _reserving(ops: CallMaker, name: str = "bench") -> Reserving:
    return Reserving(_quota(ops, name), ops, 1, None)


_LIMITS: dict[str, Anywhere] = {
    "limiter_hit": lambda ops, _: _limiter(ops).hit(),
    "limiter_peek": lambda ops, _: _limiter(ops).peek(),
    "limiter_refund": lambda ops, _: _limiter(ops).refund(),
    "limiter_penalize": lambda ops, _: _limiter(ops).penalize(1),
    "limiter_reset": lambda ops, _: _limiter(ops).reset(),
    "limiter_book": _books,
    "limiter_confirm": lambda ops, _: _place(ops).confirm(),
    "limiter_unbook": lambda ops, _: _place(ops).unbook(),
    "quota_reserve": lambda ops, i: _reserving(ops, f"{i // 10}").ask("", f"nonce-{i}", 60_000),
    "quota_renew": lambda ops, _: _reserving(ops).renew("nonce", 60_000),
    "quota_settle": lambda ops, i: _reserving(ops).settle(f"nonce-{i}", "settled", 1),
    "quota_held": lambda ops, _: _reserving(ops).holds("nonce", 0),
    "quota_spend": lambda ops, _: _quota(ops).spend(1),
    "quota_status": lambda ops, _: _quota(ops).status(),
}

SCRIPTS: dict[str, Anywhere] = {
    "once": lambda ops, i: ops.once(f"{i}"),
    "forget": lambda ops, i: ops.forget(f"{i}"),
    "claim": lambda ops, i: claims.Claimable(ops, f"{i}").ask("owner", f"nonce-{i}", 30_000),
    "renew": lambda ops, _: claims.Claimable(ops, "job").renew("nonce", 30_000),
    "release": lambda ops, i: claims.Claimable(ops, "job").release(f"nonce-{i}"),
    "holder": lambda ops, _: ops.holder("job"),
    "execution_begin": lambda ops, i: execution.Runnable(ops, f"{i}").ask("owner", f"nonce-{i}", 30_000),
    "execution_renew": lambda ops, _: execution.Runnable(ops, "bench").renew("nonce", 30_000),
    "execution_complete": lambda ops, i: execution.Runnable(ops, f"{i}").complete("nonce", "done", "result", 60_000),
    "execution_abandon": lambda ops, i: execution.Runnable(ops, f"{i}").release(f"nonce-{i}"),
    "execution_status": lambda ops, _: ops.execution("bench").status(),
    "execution_forget": lambda ops, i: ops.execution(f"{i}").forget(),
    "bump": lambda ops, _: ops.bump("index"),
    "bump_if_current": lambda ops, _: ops.bump_if_current("index", 1),
    "version": lambda ops, _: ops.version("index"),
    "merge": lambda ops, _: ops.stats("bench").merge("request", processed=1, errors=1, tokens=1),
    "consume": lambda ops, _: ops.stats("bench").consume("request"),
    "peek": lambda ops, _: ops.stats("bench").peek("request"),
    "kv_incr": lambda ops, _: ops.kv.incr("count"),
    "kv_get_int": lambda ops, _: ops.kv.get_int("count"),
    "kv_set_if_absent": lambda ops, i: ops.kv.set_if_absent(f"flag-{i}"),
    "kv_sadd": lambda ops, i: ops.kv.sadd("set", f"{i}"),
    "kv_srem": lambda ops, i: ops.kv.srem("set", f"{i}"),
    "kv_scard": lambda ops, _: ops.kv.scard("set"),
    "kv_rpush": lambda ops, i: ops.kv.rpush(f"list-{i % 100}", "value"),
    "kv_lrange": lambda ops, _: ops.kv.lrange("list", 0, 9),
    "kv_expire": lambda ops, _: ops.kv.expire("count"),
    "kv_delete": lambda ops, i: ops.kv.delete_one(f"{i}"),
    "barrier_open": lambda ops, i: ops.barrier(f"{i}").open(3),
    "barrier_arrive": lambda ops, i: ops.barrier("bench").arrive(f"{i}"),
    "barrier_status": lambda ops, _: ops.barrier("bench").status(),
    "barrier_abort": lambda ops, i: ops.barrier(f"{i}").abort(),
    "barrier_fire": lambda ops, i: ops.call(barriers.FIRE, _barrier_keys(ops), ("attempt", f"{i}"), bool),
    "request_register": lambda ops, i: ops.request(f"{i}").register(),
    "request_add": lambda ops, i: ops.request("bench").add("stage", f"{i}"),
    "request_done": lambda ops, i: ops.request("bench").done("stage", f"{i}"),
    "request_requeue": lambda ops, _: ops.request("bench").requeue("stage"),
    "request_pending": lambda ops, _: ops.request("bench").is_complete(),
    "request_status": lambda ops, _: ops.request("brief").status(),
    "request_cleanup": lambda ops, i: ops.request(f"{i}").cleanup(),
    # Ten at most in each semaphore or quota that is claimed, and in each group.
    **_LIMITS,
    "semaphore_claim": lambda ops, i: Permits(ops, f"{i // 10}", 1_000, 1).ask(f"owner-{i}", f"nonce-{i}", 30_000),
    "semaphore_renew": lambda ops, _: Permits(ops, "bench", 1_000, 1).renew("nonce|1|1|owner", 30_000),
    "semaphore_release": lambda ops, i: Permits(ops, "bench", 1_000, 1).release(f"nonce-{i}|1|1|owner"),
    "semaphore_held": lambda ops, _: Permits(ops, "bench", 1_000, 1).holds("nonce|1|1|owner", 1),
    "semaphore_holders": lambda ops, _: ops.semaphore("bench", limit=1_000).holders(),
    "group_join": lambda ops, i: join(ops, ops.key("group", f"{i // 10}"), f"{i}", f"nonce-{i}", "", 30_000),
    "group_beat": lambda ops, _: beat(ops, ops.key("group", "bench"), 30_000, MEMBERS),
    "group_leave": lambda ops, i: leave(ops, ops.key("group", "bench"), "0", f"other-{i}"),
    "group_members": lambda ops, _: ops.group("bench").members(),
}


def _holds(owner: str) -> Anywhere:
    return lambda ops, _: Permits(ops, "bench", 1_000, 1).ask(owner, f"nonce{owner}", 3_600_000)


def _joins(member: str, nonce: str) -> Anywhere:
    return lambda ops, _: join(ops, ops.key("group", "bench"), member, nonce, '{"port":80}', 3_600_000)


PREPARATIONS: tuple[Anywhere, ...] = (
    lambda ops, _: execution.Runnable(ops, "bench").ask("owner", "nonce", 600_000),
    lambda ops, _: ops.barrier("bench").open(1_000_000_000),
    lambda ops, _: ops.request("bench").register(),
    lambda ops, _: ops.request("brief").register(),
    lambda ops, _: ops.request("brief").add("stage", "root"),
    *(_holds(f"{number}") for number in range(10)),
    *(_joins(member, nonce) for member, nonce in MEMBERS),
)
"""What the operations need: a barrier that does not complete, requests, ten permits and ten members."""


FEW = ("once", "merge", "bump", "kv_incr", "limiter_hit", "group_members")
"""The scripts of a trial."""


def beside_fakes(bench: Bench) -> Iterator[Figure]:
    """Every script: its twin in memory, and its Lua in fakeredis and burner-redis, if they can run it."""
    missing = {script.name for script in all_scripts()} - {*SCRIPTS, "permitted"}
    assert not missing, f"no operation here runs {missing}"
    with ExitStack() as held:
        runs = [run for run in (_fakeredis(), _burner(held)) if run is not None]
        for name in bench.some(SCRIPTS, FEW):
            operation = SCRIPTS[name]
            contenders = [Contender("coord", in_one_thread(_bound(operation, _prepared(_fresh()))))]
            contenders += [contender for run in runs if (contender := run(operation)) is not None]
            yield from bench.in_turn("memory-scripts", name, contenders)


Fake = Callable[[Anywhere], Contender | None]


def _prepared(ops: Any) -> Any:
    for prepare in PREPARATIONS:
        prepare(ops, 0)
    return ops


def _bound(operation: Anywhere, at: Any) -> Operation:
    return lambda i: operation(at, i)


def _fakeredis() -> Fake | None:
    if not installed("fakeredis"):
        return None
    import fakeredis  # noqa: PLC0415  # a peer that may be missing

    client = fakeredis.FakeRedis()
    scripts = {script: client.register_script(script.source) for script in all_scripts()}
    calls = CallMaker()
    for prepare in PREPARATIONS:
        call: Call[Any] = prepare(calls, 0)
        scripts[call.script](keys=call.keys, args=call.argv)

    def run(operation: Anywhere) -> Contender:
        def by_fakeredis(i: int) -> None:
            call: Call[Any] = operation(calls, i)
            scripts[call.script](keys=call.keys, args=call.argv)

        return Contender("fakeredis", in_one_thread(by_fakeredis))

    return run


def _burner(held: ExitStack) -> Fake | None:
    """Return burner-redis. It runs another Lua and not every command; scripts that fail there are left out."""
    if not installed("burner-redis"):
        return None
    from burner_redis import BurnerRedis  # noqa: PLC0415  # a peer that may be missing

    loop = held.enter_context(asyncio.Runner())
    client: Any = loop.run(_made(BurnerRedis))
    calls = CallMaker()
    for script in all_scripts():
        loop.run(_loaded(client, script.source))

    async def prepared() -> None:
        for prepare in PREPARATIONS:
            await made(prepare(calls, 0))

    async def made(call: Call[Any]) -> None:
        await client.evalsha(call.script.sha, len(call.keys), *call.keys, *map(str, call.argv))

    with suppress(Exception):  # it may not have a command
        loop.run(prepared())

    def run(operation: Anywhere) -> Contender | None:
        async def by_burner(i: int) -> None:
            await made(operation(calls, i))

        return Contender("burner-redis", in_tasks(loop, by_burner, 1)) if _works(loop, by_burner) else None

    return run


async def _made(kind: Callable[[], Any]) -> Any:
    return kind()


async def _loaded(client: Any, source: str) -> None:
    await client.script_load(source)


def _works(loop: asyncio.Runner, operation: AsyncOperation) -> bool:
    async def twice() -> None:
        await operation(-1)
        await operation(-2)

    try:
        loop.run(twice())
    except Exception:  # it cannot run this script
        return False
    return True


CASES = (
    Case("memory-plain", "in memory, beside dicts and a lock", beside_plain),
    Case("memory-scripts", "every script in memory, beside fakeredis and burner-redis running its Lua", beside_fakes),
)
