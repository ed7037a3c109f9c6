"""What a type checker sees of coord, blocking and awaited. This file is checked, not run: see ``test_typing.py``.

A line with ``type: ignore`` is a mistake that must be found: an ignore that nothing needs is an error here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

import coord


def blocking(c: coord.Coordinator) -> None:
    """Every method returns its result."""
    assert_type(coord.connect(), coord.Coordinator)
    assert_type(c.is_distributed, bool)
    assert_type(c.once("job", ttl=45), bool)
    assert_type(c.once("job", ttl=timedelta(minutes=1)), bool)

    lease = c.claim("job", ttl=30, owner="anna")
    assert_type(lease, coord.Lease | None)
    if lease is not None:
        assert_type(lease.fence, int)
        assert_type(lease.owner, str)
        assert_type(lease.expires_in, float)
        assert_type(lease.renew(ttl=60), bool)
        assert_type(lease.release(), bool)
        assert_type(lease.lost.wait(0.1), bool)
        lease.ensure_held()
    with c.hold("job", ttl=30, wait=5) as held:
        assert_type(held, coord.Lease)
    assert_type(c.holder("job"), coord.Holder | None)

    semaphore = c.semaphore("gpu", limit=4)
    permit = semaphore.claim(ttl=30, weight=2, owner="anna", renew=True)
    assert_type(permit, coord.Permit | None)
    if permit is not None:
        assert_type(permit.weight, int)
        assert_type(permit.renew(), bool)
    with semaphore.hold(ttl=30, wait=5, weight=2) as held_permit:
        assert_type(held_permit, coord.Permit)
    assert_type(semaphore.holders(), list[coord.PermitHolder])

    group = c.group("workers", ttl=15)
    with group.join("w-1", metadata={"port": 80}) as me:
        assert_type(me, coord.Membership)
        assert_type(me.incarnation, int)
        assert_type(me.lost.wait(0.1), bool)
    assert_type(group.members(), list[coord.Member])
    for members in group.changes():
        assert_type(members, list[coord.Member])

    assert_type(c.bump("index"), int)
    assert_type(c.version("index"), int)
    assert_type(c.is_stale("index", 7), bool)
    assert_type(c.bump_if_current("index", 7), coord.Bump)
    assert_type(c.bump_if_current("index", 7).bumped, bool)

    stats = c.stats("embedding", ttl=60)
    stats.merge("id", processed=1, errors=2, op_id="message-1")
    stats.merge("id", {"tokens: out": 1})
    assert_type(stats.consume("id"), dict[str, int] | None)
    assert_type(stats.peek("id"), dict[str, int] | None)

    assert_type(c.kv.incr("n", 5, ttl=60), int)
    assert_type(c.kv.get_int("n"), int)
    assert_type(c.kv.set_if_absent("flag", ttl=60), bool)
    assert_type(c.kv.sadd("set", "a", "b"), int)
    assert_type(c.kv.srem("set", "a"), int)
    assert_type(c.kv.scard("set"), int)
    assert_type(c.kv.rpush("list", "a"), int)
    assert_type(c.kv.lrange("list", 0, -1), list[str])
    assert_type(c.kv.expire("n", ttl=60), bool)
    assert_type(c.kv.delete("n", "set"), int)

    limiter = c.limiter("api", coord.Limit(100, per=60), coord.Limit(1_000, timedelta(hours=1), burst=10))
    assert_type(limiter.hit(), coord.Verdict)
    assert_type(limiter.hit(3, op_id="message-1").retry_after, float)
    assert_type(limiter.peek(3).limit, coord.Limit | None)
    limiter.refund(3)
    limiter.penalize(timedelta(seconds=30))
    assert_type(limiter.reset(), bool)
    assert_type(limiter.wait(3, timeout=5), None)
    quota = c.quota("team", coord.Limit(100_000, per=60))
    reservation = quota.reserve(1_200, ttl=120, op_id="message-1")
    assert_type(reservation, coord.Reservation | None)
    if reservation is not None:
        assert_type(reservation.amount, int)
        assert_type(reservation.expires_in, float)
        assert_type(reservation.renew(ttl=60), bool)
        assert_type(reservation.settle(913), bool)
        assert_type(reservation.cancel(), bool)
    with quota.hold(10) as budget:
        assert_type(budget, coord.Reservation)
    assert_type(quota.spend(10, op_id="message-1"), bool)
    assert_type(quota.status(), list[coord.QuotaStatus])
    assert_type(c.calls.limiter("api", coord.Limit(1, per=1)).hit(), coord.Call[coord.Verdict])

    begun = c.execution("pay").begin(fingerprint="body", ttl=30)
    assert_type(begun.complete("receipt"), bool)
    assert_type(begun.renew(), bool)
    assert_type(begun.abandon(), bool)
    assert_type(begun.result, str | None)
    assert_type(c.execution("pay").status(), coord.ExecutionStatus | None)
    assert_type(c.execution("pay").forget(), bool)
    assert_type(c.execute_once("pay", lambda: 1), int)

    @c.idempotent(key=lambda order, amount=0: f"refund:{order}", keep=3600)
    def refund(order: str, amount: int = 0) -> str:
        return f"{order} {amount}"

    assert_type(refund("order", amount=5), str)

    leader = c.leader("beat", ttl=15)
    assert_type(leader.run(lambda lease: lease.fence), int)
    assert_type(leader.current(), coord.Holder | None)
    assert_type(next(leader.changes()), coord.Holder | None)
    with leader.hold(wait=5) as led:
        assert_type(led, coord.Lease)
    assert_type(c.calls.leader("beat").current(), coord.Call[coord.Holder | None])

    assert_type(c.calls.bump("index"), coord.Call[int])
    assert_type(c.run(c.calls.bump("index")), int)
    assert_type(c.run_many([c.calls.once("a"), c.calls.once("b")]), list[bool | Exception])


async def awaited(c: coord.AsyncCoordinator) -> None:
    """The same methods, each awaited."""
    assert_type(await coord.connect_async(), coord.AsyncCoordinator)
    async with coord.connect_async("memory://") as entered:
        assert_type(entered, coord.AsyncCoordinator)
    assert_type(c.is_distributed, bool)
    assert_type(await c.once("job", ttl=45), bool)

    lease = await c.claim("job", ttl=30, owner="anna")
    assert_type(lease, coord.AsyncLease | None)
    if lease is not None:
        assert_type(lease.fence, int)
        assert_type(lease.expires_in, float)
        assert_type(await lease.renew(ttl=60), bool)
        assert_type(await lease.release(), bool)
        await lease.lost.wait()
        await lease.ensure_held()
    async with c.hold("job", ttl=30, wait=5) as held:
        assert_type(held, coord.AsyncLease)
    assert_type(await c.holder("job"), coord.Holder | None)

    semaphore = c.semaphore("gpu", limit=4)
    permit = await semaphore.claim(ttl=30)
    assert_type(permit, coord.AsyncPermit | None)
    if permit is not None:
        assert_type(permit.weight, int)
        assert_type(await permit.release(), bool)
    async with semaphore.hold(wait=5) as held_permit:
        assert_type(held_permit, coord.AsyncPermit)
    assert_type(await semaphore.holders(), list[coord.PermitHolder])
    assert_type(c.calls.semaphore("gpu", limit=4).holders(), coord.Call[list[coord.PermitHolder]])

    group = c.group("workers")
    async with group.join() as me:
        assert_type(me, coord.AsyncMembership)
        await me.lost.wait()
    assert_type(await group.members(), list[coord.Member])
    async for members in group.changes():
        assert_type(members, list[coord.Member])

    assert_type(await c.bump("index"), int)
    assert_type(await c.version("index"), int)
    assert_type(await c.is_stale("index", 7), bool)
    assert_type(await c.bump_if_current("index", 7), coord.Bump)

    stats = c.stats("embedding", ttl=60)
    await stats.merge("id", processed=1, op_id="message-1")
    assert_type(await stats.consume("id"), dict[str, int] | None)
    assert_type(await stats.peek("id"), dict[str, int] | None)

    assert_type(await c.kv.incr("n", 5), int)
    assert_type(await c.kv.get_int("n"), int)
    assert_type(await c.kv.set_if_absent("flag", ttl=60), bool)
    assert_type(await c.kv.sadd("set", "a"), int)
    assert_type(await c.kv.srem("set", "a"), int)
    assert_type(await c.kv.scard("set"), int)
    assert_type(await c.kv.rpush("list", "a"), int)
    assert_type(await c.kv.lrange("list"), list[str])
    assert_type(await c.kv.expire("n", ttl=60), bool)
    assert_type(await c.kv.delete("n"), int)

    limiter = c.limiter("api", coord.Limit(100, per=60))
    assert_type(await limiter.hit(), coord.Verdict)
    assert_type(await limiter.peek(3), coord.Verdict)
    await limiter.refund(3)
    await limiter.penalize(30)
    assert_type(await limiter.reset(), bool)
    assert_type(await limiter.wait(timeout=5), None)
    quota = c.quota("team", coord.Limit(100_000, per=60))
    reservation = await quota.reserve(1_200)
    assert_type(reservation, coord.AsyncReservation | None)
    if reservation is not None:
        assert_type(await reservation.settle(913), bool)
        assert_type(await reservation.cancel(), bool)
        assert_type(await reservation.renew(), bool)
    async with quota.hold(10) as budget:
        assert_type(budget, coord.AsyncReservation)
    assert_type(await quota.spend(10), bool)
    assert_type(await quota.status(), list[coord.QuotaStatus])

    assert_type(c.calls.bump("index"), coord.Call[int])
    assert_type(await c.run(c.calls.bump("index")), int)
    assert_type(await c.run_many([c.calls.bump("a"), c.calls.bump("b")]), list[int | Exception])

    begun = await c.execution("pay").begin(fingerprint="body", ttl=30)
    assert_type(await begun.complete("receipt"), bool)
    assert_type(await c.execution("pay").status(), coord.ExecutionStatus | None)

    async def one() -> int:
        return 1

    assert_type(await c.execute_once("pay", one), int)

    @c.idempotent(key=lambda order: f"refund:{order}")
    async def refund(order: str) -> str:
        return order

    assert_type(await refund("order"), str)

    async def lead(lease: coord.AsyncLease) -> int:
        return lease.fence

    assert_type(await c.leader("beat").run(lead), int)
    assert_type(await c.leader("beat").current(), coord.Holder | None)
    async for holder in c.leader("beat").changes():
        assert_type(holder, coord.Holder | None)
    async with c.leader("beat").hold(wait=5) as led:
        assert_type(led, coord.AsyncLease)


def mistakes(c: coord.Coordinator) -> None:
    """What must not pass."""
    c.once(42)  # type: ignore[arg-type]
    c.once("job", ttl="45")  # type: ignore[arg-type]
    c.once("job", ttl=None)  # type: ignore[arg-type]
    c.once("job", seconds=45)  # type: ignore[call-arg]
    c.claim("job").release()  # type: ignore[union-attr]
    c.is_stale("index")  # type: ignore[call-arg]
    c.is_stale("index", "7")  # type: ignore[arg-type]
    c.stats("embedding").merge("id", processed="1")  # type: ignore[arg-type]
    c.kv.incr("n", 1.5)  # type: ignore[arg-type]
    c.kv.sadd("set", 1)  # type: ignore[arg-type]
    c.run(c.calls.bump)  # type: ignore[arg-type]
    c.semaphore("gpu")  # type: ignore[call-arg]
    c.calls.semaphore("gpu", limit=4).claim()  # type: ignore[misc]
    c.limiter("api", 100)  # type: ignore[arg-type]
    c.limiter("api", coord.Limit(100))  # type: ignore[call-arg]
    c.limiter("api", coord.Limit(1.5, per=60))  # type: ignore[arg-type]
    c.jobs()  # type: ignore[attr-defined]

    @c.idempotent(key=str)
    def refund(order: str) -> str:
        return order

    refund(5)  # type: ignore[arg-type]


async def awaited_mistakes(c: coord.AsyncCoordinator) -> None:
    """What must not pass, and what must not be forgotten."""
    c.bump("index") + 1  # type: ignore[operator]
    await c.claim("job").release()  # type: ignore[attr-defined]
    if (await c.claim("job")).fence:  # type: ignore[union-attr]
        pass
    await c.stats("embedding")  # type: ignore[misc]
    with c.hold("job"):  # type: ignore[attr-defined]
        pass
