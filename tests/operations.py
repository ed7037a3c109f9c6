"""One worked example of every operation: what it is called, the key it works on, and a call of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import coord

CLAIM, VERSION, STATS, KV = "coord:claim:{x}", "coord:version:{x}", "coord:stats:{x}:s", "coord:kv:{x}"
QUOTA = "coord:quota:{x}"
LIMITER = "coord:limiter:{x}"
EXECUTION = "coord:execution:{x}"
BARRIER, REQUEST = "coord:barrier:{x}", "coord:request:{x}"
SEMAPHORE, GROUP = "coord:semaphore:{x}", "coord:group:{x}"


class Example(NamedTuple):
    """An operation: ``run(prepare(c))`` does it once, and ``prepare`` has done before what it needs."""

    name: str
    key: str
    run: Callable[[Any], Any]
    prepare: Callable[[Any], Any] = lambda c: c
    kind: str = "string"

    def __str__(self) -> str:
        return self.name


def _held(c: Any) -> Any:
    return c.claim("x", owner="anna")


def _opened(c: Any) -> Any:
    barrier = c.barrier("x")
    barrier.open(parties=3)
    return barrier


def _quota(c: Any) -> Any:
    return c.quota("x", coord.Limit(9, per=60), coord.Limit(99, per=3600))


def _reserved(c: Any) -> Any:
    return _quota(c).reserve(3, op_id="m")


def _limiter(c: Any) -> Any:
    return c.limiter("x", coord.Limit(3, per=60), coord.Limit(9, per=3600))


def _registered(c: Any) -> Any:
    request = c.request("x")
    request.register()
    request.add("embed", "doc-1")
    return request


def _begun(c: Any) -> Any:
    return c.execution("x").begin(ttl=30, owner="anna")


EXAMPLES = (
    Example("Coordinator.once", "coord:once:{x}", lambda c: c.once("x", ttl=45)),
    Example("Coordinator.claim", CLAIM, lambda c: c.claim("x", ttl=30, owner="anna")),
    Example("Coordinator.forget", "coord:once:{x}", lambda c: c.forget("x"), lambda c: (c.once("x"), c)[1]),
    Example("Coordinator.holder", CLAIM, lambda c: c.holder("x")),
    Example("Coordinator.bump", VERSION, lambda c: c.bump("x")),
    Example("Coordinator.bump_if_current", VERSION, lambda c: c.bump_if_current("x", 0)),
    Example("Coordinator.version", VERSION, lambda c: c.version("x")),
    Example("Coordinator.is_stale", VERSION, lambda c: c.is_stale("x", 1)),
    Example("Lease.renew", CLAIM, lambda lease: lease.renew(), _held),
    Example("Lease.release", CLAIM, lambda lease: lease.release(), _held),
    Example("Lease.ensure_held", CLAIM, lambda lease: lease.ensure_held(), _held),
    Example("Stats.merge", STATS, lambda s: s.merge("x", n=1), lambda c: c.stats("s"), "hash"),
    Example("Stats.consume", STATS, lambda s: s.consume("x"), lambda c: c.stats("s"), "hash"),
    Example("Stats.peek", STATS, lambda s: s.peek("x"), lambda c: c.stats("s"), "hash"),
    Example("Kv.incr", KV, lambda kv: kv.incr("x", 5), lambda c: c.kv),
    Example("Kv.delete_one", KV, lambda kv: kv.delete_one("x"), lambda c: c.kv, "any"),
    Example("Kv.get_int", KV, lambda kv: kv.get_int("x"), lambda c: c.kv),
    Example("Kv.set_if_absent", KV, lambda kv: kv.set_if_absent("x", ttl=60), lambda c: c.kv, "any"),
    Example("Kv.sadd", KV, lambda kv: kv.sadd("x", "a", "b"), lambda c: c.kv, "set"),
    Example("Kv.srem", KV, lambda kv: kv.srem("x", "a", "b"), lambda c: c.kv, "set"),
    Example("Kv.scard", KV, lambda kv: kv.scard("x"), lambda c: c.kv, "set"),
    Example("Kv.rpush", KV, lambda kv: kv.rpush("x", "a", "b"), lambda c: c.kv, "list"),
    Example("Kv.lrange", KV, lambda kv: kv.lrange("x"), lambda c: c.kv, "list"),
    Example("Kv.expire", KV, lambda kv: kv.expire("x", ttl=60), lambda c: c.kv, "any"),
    Example("Kv.delete", KV, lambda kv: kv.delete("x"), lambda c: c.kv, "any"),
    Example("Barrier.open", BARRIER, lambda b: b.open(parties=3), lambda c: c.barrier("x"), "hash"),
    Example("Barrier.arrive", BARRIER, lambda b: b.arrive("m"), _opened, "hash"),
    Example("Barrier.fail", BARRIER, lambda b: b.fail("m", "no luck"), _opened, "hash"),
    Example("Barrier.status", BARRIER, lambda b: b.status(), _opened, "hash"),
    Example("Barrier.abort", BARRIER, lambda b: b.abort("changed our minds"), _opened, "hash"),
    Example("Request.register", REQUEST, lambda r: r.register(), lambda c: c.request("x"), "hash"),
    Example("Request.add", REQUEST, lambda r: r.add("embed", "doc-2"), _registered, "hash"),
    Example("Request.done", REQUEST, lambda r: r.done("embed", "doc-1"), _registered, "hash"),
    Example("Request.fail", REQUEST, lambda r: r.fail("embed", "doc-1", "no luck"), _registered, "hash"),
    Example("Request.requeue", REQUEST, lambda r: r.requeue("embed"), _registered, "hash"),
    Example("Request.is_complete", REQUEST, lambda r: r.is_complete(), _registered, "hash"),
    Example("Request.status", REQUEST, lambda r: r.status(), _registered, "hash"),
    Example("Quota.spend", QUOTA, lambda q: q.spend(3), _quota, "hash"),
    Example("Quota.status", QUOTA, lambda q: q.status(), _quota, "hash"),
    Example("Quota.reserve", QUOTA, lambda q: q.reserve(3).amount, _quota, "hash"),
    Example("Reservation.settle", QUOTA, lambda r: r.settle(2), _reserved, "hash"),
    Example("Reservation.renew", f"{QUOTA}:reservation:m", lambda r: r.renew(), _reserved, "hash"),
    Example("Reservation.ensure_held", f"{QUOTA}:reservation:m", lambda r: r.ensure_held(), _reserved, "hash"),
    Example("Reservation.cancel", QUOTA, lambda r: r.cancel(), _reserved, "hash"),
    Example("Limiter.hit", LIMITER, lambda r: r.hit(), _limiter, "hash"),
    Example("Limiter.peek", LIMITER, lambda r: r.peek(), _limiter, "hash"),
    Example("Limiter.refund", LIMITER, lambda r: r.refund(), _limiter, "hash"),
    Example("Limiter.penalize", LIMITER, lambda r: r.penalize(9), _limiter, "hash"),
    Example("Limiter.reset", LIMITER, lambda r: r.reset(), _limiter, "any"),
    Example("Request.cleanup", REQUEST, lambda r: r.cleanup(), _registered, "any"),
    Example("Semaphore.claim", SEMAPHORE, lambda s: s.claim(owner="anna"), lambda c: c.semaphore("x", limit=3), "zset"),
    Example("Group.members", GROUP, lambda g: g.members(), lambda c: c.group("x"), "hash"),
    Example("Semaphore.holders", SEMAPHORE, lambda s: s.holders(), lambda c: c.semaphore("x", limit=3), "zset"),
    Example("Leader.current", "coord:leader:{x}", lambda leader: leader.current(), lambda c: c.leader("x")),
    Example("ExecutionHandle.begin", EXECUTION, lambda e: e.begin(owner="anna"), lambda c: c.execution("x"), "hash"),
    Example("ExecutionHandle.status", EXECUTION, lambda e: e.status(), lambda c: c.execution("x"), "hash"),
    Example("ExecutionHandle.forget", EXECUTION, lambda e: e.forget(), lambda c: c.execution("x"), "hash"),
    Example("Execution.complete", EXECUTION, lambda e: e.complete("done"), _begun, "hash"),
    Example("Execution.fail", EXECUTION, lambda e: e.fail("ValueError", "no luck"), _begun, "hash"),
    Example("Execution.renew", EXECUTION, lambda e: e.renew(), _begun, "hash"),
    Example("Execution.abandon", EXECUTION, lambda e: e.abandon(), _begun, "hash"),
)

NO_OPERATIONS = {
    "Coordinator.barrier": "makes a handle",
    "Coordinator.calls": "makes calls as values",
    "Coordinator.close": "ends the coordinator",
    "Coordinator.group": "makes a handle",
    "Coordinator.execution": "makes a handle",
    "Coordinator.hold": "makes a block that claims, renews and releases",
    "Coordinator.identified": "names a call",
    "Coordinator.is_closed": "is known here",
    "Coordinator.is_distributed": "is known here",
    "Coordinator.keep": "follows a plan in the background",
    "Coordinator.key": "names a key",
    "Coordinator.kv": "is a handle",
    "Coordinator.limiter": "makes a handle",
    "Coordinator.leader": "makes a handle",
    "Coordinator.lifetime": "reads a TTL",
    "Coordinator.mode": "is known here",
    "Coordinator.ping": "asks the server whether it is there",
    "Coordinator.remembered": "names a key",
    "Coordinator.request": "makes a handle",
    "Coordinator.run": "makes any call",
    "Coordinator.run_many": "makes many calls in one write",
    "Coordinator.semaphore": "makes a handle",
    "Coordinator.stats": "makes a handle",
    "Coordinator.with_options": "makes a view",
    "Coordinator.execute_once": "runs a function, and a call before and after",
    "Coordinator.idempotent": "makes a function",
    "Execution.expires_in": "is known here",
    "Leader.changes": "makes an iterator",
    "Leader.hold": "makes a block that claims, renews and releases",
    "Leader.run": "claims, renews and releases",
    "Lease.expires_in": "is known here",
    "Lease.fence": "is known here",
    "Lease.lost": "is known here",
    "Lease.name": "is known here",
    "Lease.owner": "is known here",
    "Barrier.wait": "waits",
    "Group.changes": "waits for changes",
    "Group.join": "makes a block that joins, sends heartbeats and leaves",
    "Semaphore.hold": "makes a block that claims, renews and releases",
    "Barrier.watch": "waits in the background",
    "Coordinator.quota": "makes a handle",
    "Limiter.wait": "waits",
    "Quota.hold": "makes a block that reserves, renews and settles",
    "Reservation.amount": "is known here",
    "Reservation.expires_in": "is known here",
    "Reservation.fence": "is known here",
    "Reservation.lost": "is known here",
    "Reservation.name": "is known here",
    "Reservation.owner": "is known here",
    "Reservation.release": "is cancel",
    "Request.wait": "waits",
}
"""What is public and sends nothing of its own, and why."""

PLUMBING = ("call", "follow", "make")
"""Members of every coordinator and handle: they make a call, or follow a plan."""
