"""In memory: coord beside dicts and a lock, and beside fake servers that run the same scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
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
from coord.limiter.booking import Place
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


def _barrier_keys(at: Any) -> tuple[str, str]:
    key = at.key("barrier", "bench")
    return key, f"{key}:last"


MEMBERS = [(f"{number}", f"nonce-{number}") for number in range(10)]
"""Ten members of a group, each with the nonce of its membership."""


def _limiter(at: Any) -> Limiter[Build]:
    limiter: Limiter[Build] = at.limiter("bench", Limit(1_000_000_000, per=1), Limit(1_000_000_000, per=60))
    return limiter


def _place(at: CallMaker) -> Place:
    return Place(at, "bench", at.key("limiter", "bench"), ("1000000000/1000000", "1000000000/60000000"))


def _books(at: CallMaker, _: int) -> Call[Any]:
    # The words of the limits stand behind three others.
    return _place(at).book(_limiter(at.calls).hit().argv[3:], 60_000)


def _quota(at: CallMaker) -> Quota[Build]:
    return at.quota("bench", Limit(1_000_000_000, per=60), Limit(1_000_000_000, per=3600))


def _reserving(at: CallMaker) -> Reserving:
    return Reserving(_quota(at), at, 1, None)


_LIMITS: dict[str, Anywhere] = {
    "limiter_hit": lambda at, _: _limiter(at).hit(),
    "limiter_peek": lambda at, _: _limiter(at).peek(),
    "limiter_refund": lambda at, _: _limiter(at).refund(),
    "limiter_penalize": lambda at, _: _limiter(at).penalize(1),
    "limiter_reset": lambda at, _: _limiter(at).reset(),
    "limiter_book": _books,
    "limiter_confirm": lambda at, _: _place(at).confirm(),
    "limiter_unbook": lambda at, _: _place(at).unbook(),
    "quota_reserve": lambda at, i: _reserving(at).ask("", f"nonce-{i}", 60_000),
    "quota_renew": lambda at, _: _reserving(at).renew("nonce", 60_000),
    "quota_settle": lambda at, i: _reserving(at).settle(f"nonce-{i}", "settled", 1),
    "quota_held": lambda at, _: _reserving(at).holds("nonce", 0),
    "quota_spend": lambda at, _: _quota(at).spend(1),
    "quota_status": lambda at, _: _quota(at).status(),
}

SCRIPTS: dict[str, Anywhere] = {
    "once": lambda at, i: at.once(f"{i}"),
    "forget": lambda at, i: at.forget(f"{i}"),
    "claim": lambda at, i: claims.Claimable(at, f"{i}").ask("owner", f"nonce-{i}", 30_000),
    "renew": lambda at, _: claims.Claimable(at, "job").renew("nonce", 30_000),
    "release": lambda at, i: claims.Claimable(at, "job").release(f"nonce-{i}"),
    "holder": lambda at, _: at.holder("job"),
    "execution_begin": lambda at, i: execution.Runnable(at, f"{i}").ask("owner", f"nonce-{i}", 30_000),
    "execution_renew": lambda at, _: execution.Runnable(at, "bench").renew("nonce", 30_000),
    "execution_complete": lambda at, i: execution.Runnable(at, f"{i}").complete("nonce", "done", "result", 60_000),
    "execution_abandon": lambda at, i: execution.Runnable(at, f"{i}").release(f"nonce-{i}"),
    "execution_status": lambda at, _: at.execution("bench").status(),
    "execution_forget": lambda at, i: at.execution(f"{i}").forget(),
    "bump": lambda at, _: at.bump("index"),
    "bump_if_current": lambda at, _: at.bump_if_current("index", 1),
    "version": lambda at, _: at.version("index"),
    "merge": lambda at, _: at.stats("bench").merge("request", processed=1, errors=1, tokens=1),
    "consume": lambda at, _: at.stats("bench").consume("request"),
    "peek": lambda at, _: at.stats("bench").peek("request"),
    "kv_incr": lambda at, _: at.kv.incr("count"),
    "kv_get_int": lambda at, _: at.kv.get_int("count"),
    "kv_set_if_absent": lambda at, i: at.kv.set_if_absent(f"flag-{i}"),
    "kv_sadd": lambda at, i: at.kv.sadd("set", f"{i}"),
    "kv_srem": lambda at, i: at.kv.srem("set", f"{i}"),
    "kv_scard": lambda at, _: at.kv.scard("set"),
    "kv_rpush": lambda at, i: at.kv.rpush(f"list-{i % 100}", "value"),
    "kv_lrange": lambda at, _: at.kv.lrange("list", 0, 9),
    "kv_expire": lambda at, _: at.kv.expire("count"),
    "kv_delete": lambda at, i: at.kv.delete_one(f"{i}"),
    "barrier_open": lambda at, i: at.barrier(f"{i}").open(3),
    "barrier_arrive": lambda at, i: at.barrier("bench").arrive(f"{i}"),
    "barrier_status": lambda at, _: at.barrier("bench").status(),
    "barrier_abort": lambda at, i: at.barrier(f"{i}").abort(),
    "barrier_fire": lambda at, i: at.call(barriers.FIRE, _barrier_keys(at), ("attempt", f"{i}"), bool),
    "request_register": lambda at, i: at.request(f"{i}").register(),
    "request_add": lambda at, i: at.request("bench").add("stage", f"{i}"),
    "request_done": lambda at, i: at.request("bench").done("stage", f"{i}"),
    "request_requeue": lambda at, _: at.request("bench").requeue("stage"),
    "request_pending": lambda at, _: at.request("bench").is_complete(),
    "request_status": lambda at, _: at.request("brief").status(),
    "request_cleanup": lambda at, i: at.request(f"{i}").cleanup(),
    # Ten at most in each semaphore that is claimed.
    **_LIMITS,
    "semaphore_claim": lambda at, i: Permits(at, f"{i // 10}", 1_000, 1).ask(f"owner-{i}", f"nonce-{i}", 30_000),
    "semaphore_renew": lambda at, _: Permits(at, "bench", 1_000, 1).renew("nonce|1|1|owner", 30_000),
    "semaphore_release": lambda at, i: Permits(at, "bench", 1_000, 1).release(f"nonce-{i}|1|1|owner"),
    "semaphore_held": lambda at, _: Permits(at, "bench", 1_000, 1).holds("nonce|1|1|owner", 1),
    "semaphore_holders": lambda at, _: at.semaphore("bench", limit=1_000).holders(),
    "group_join": lambda at, i: join(at, at.key("group", f"{i // 10}"), f"{i}", f"nonce-{i}", "", 30_000),
    "group_beat": lambda at, _: beat(at, at.key("group", "bench"), 30_000, MEMBERS),
    "group_leave": lambda at, i: leave(at, at.key("group", "bench"), "0", f"other-{i}"),
    "group_members": lambda at, _: at.group("bench").members(),
}


def _holds(owner: str) -> Anywhere:
    return lambda at, _: Permits(at, "bench", 1_000, 1).ask(owner, f"nonce{owner}", 3_600_000)


def _joins(member: str, nonce: str) -> Anywhere:
    return lambda at, _: join(at, at.key("group", "bench"), member, nonce, '{"port":80}', 3_600_000)


PREPARATIONS: tuple[Anywhere, ...] = (
    lambda at, _: execution.Runnable(at, "bench").ask("owner", "nonce", 600_000),
    lambda at, _: at.barrier("bench").open(1_000_000_000),
    lambda at, _: at.request("bench").register(),
    lambda at, _: at.request("brief").register(),
    lambda at, _: at.request("brief").add("stage", "root"),
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


def _prepared(at: Any) -> Any:
    for prepare in PREPARATIONS:
        prepare(at, 0)
    return at


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
