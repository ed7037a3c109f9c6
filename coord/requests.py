"""Requests: wait until all the work that a request caused is done, wherever it ran.

Work is told apart by stage (what kind) and root (which piece). Each piece is added before it is handed to whoever does
it, and done or failed once; a queue that delivers it again changes nothing. The request is complete when every piece
that was added is done.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from coord.barriers import message_text
from coord.errors import WaitTimeout
from coord.family import Family, Runs
from coord.ids import nonce
from coord.leases import look_again_in
from coord.lualib import keep_error, kept_errors, recall, refresh, remember
from coord.modes import M
from coord.names import Seconds, int64, milliseconds, percent_decode, percent_encode
from coord.plan import Plan, Wait, ask_by, in_time, subscribe
from coord.script import Call, load

if TYPE_CHECKING:
    from coord.memory import Keyspace

__all__ = [
    "RequestHandle",
    "StageStatus",
    "add",
    "cleanup",
    "done",
    "fail",
    "is_complete",
    "register",
    "requeue",
    "status",
    "waiting",
]


class StageStatus(NamedTuple):
    """How far one stage of a request has come.

    ``errors`` has the messages of roots that failed, up to a hundred; ``error_count`` is exact.
    ``pending`` is how many roots are not done yet.
    """

    processed: int
    requeue_count: int
    error_count: int
    errors: dict[str, str]
    pending: int


class RequestHandle(Family[M]):
    """One request, by its id."""

    def __init__(self, c: Runs[M], id: str) -> None:
        super().__init__(c)
        self.id = id
        self._key = self.ops.key("request", id)


def register(request: RequestHandle, ttl: Seconds | None = None) -> Call[None]:
    """Begin to track the work of the request; registering it again keeps what is known.

    ``ttl``: seconds that the request is kept after each change; None: the coordinator's default.
    """
    return request.ops.call(REGISTER, (request._key,), (request.ops.lifetime(ttl),), _read_nothing)


def add(request: RequestHandle, stage: str, root: str) -> Call[bool]:
    """A piece of work belongs to the request, and is not done yet. False when the request is not registered.

    Add it before handing it to whoever does it. The same root again is one piece, also when it is done by then: what
    has to be done twice has two names, such as the root and its version.
    """
    return request.ops.call(ADD, (request._key,), _place(stage, root), bool)


def done(request: RequestHandle, stage: str, root: str, processed: int = 1) -> Call[bool]:
    """A piece of work is done. ``processed`` is added to the stage's count. False when it was not pending."""
    processed = int64(processed, "processed")
    if processed < 0:
        raise ValueError(f"processed is {processed}: at least 0")
    argv = (*_place(stage, root), nonce(), "done", processed, "", request.ops.publish)
    return request.ops.call(DONE, (request._key,), argv, bool)


def fail(request: RequestHandle, stage: str, root: str, message: str) -> Call[bool]:
    """A piece of work has failed, and is done with; 1,024 characters of its message are kept. False as for ``done``."""
    if not isinstance(message, str):
        raise TypeError(f"message is a str, not {type(message).__name__}")
    argv = (*_place(stage, root), nonce(), "failed", 0, message_text(message), request.ops.publish)
    return request.ops.call(DONE, (request._key,), argv, bool)


def requeue(request: RequestHandle, stage: str, n: int = 1) -> Call[bool]:
    """``n`` pieces of a stage went back to their queue. False when the request is not registered."""
    n = int64(n, "n")
    if n < 1:
        raise ValueError(f"n is {n}: at least 1")
    op, sequence, remember_ms = request.ops.remembered(request._key)
    argv = (percent_encode(stage, "a stage"), n, sequence, remember_ms)
    return request.ops.call(REQUEUE, (request._key, op), argv, bool)


def is_complete(request: RequestHandle) -> Call[bool]:
    """Return whether nothing is pending; True as well when the request is unknown."""
    return request.ops.call(PENDING, (request._key,), (), lambda pending: pending <= 0)


def status(request: RequestHandle) -> Call[dict[str, StageStatus]]:
    """Return how far each stage has come; {} when the request is unknown."""
    return request.ops.call(STATUS, (request._key,), (), _read_status)


def cleanup(request: RequestHandle) -> Call[bool]:
    """Forget the request; who waits for it is told. False when it was unknown."""
    op, sequence, remember_ms = request.ops.remembered(request._key)
    return request.ops.call(CLEANUP, (request._key, op), (request.ops.publish, sequence, remember_ms), bool)


def _place(stage: str, root: str) -> tuple[str, str]:
    return percent_encode(stage, "a stage"), percent_encode(root, "a root")


def _read_nothing(_: object) -> None:
    return None


def _read_status(reply: list[Any]) -> dict[str, StageStatus]:
    return {percent_decode(row[0]): _read_stage(row) for row in reply[1:]}


def _read_stage(row: list[Any]) -> StageStatus:
    _, pending, processed, requeued, failed, *errors = row
    messages = {percent_decode(root): message for root, message in zip(errors[::2], errors[1::2], strict=True)}
    return StageStatus(int(processed), int(requeued), failed, messages, pending)


# --- plans ---------------------------------------------------------------------------------------


def waiting(request: RequestHandle, timeout: Seconds | None = None) -> Plan[dict[str, StageStatus]]:
    """Wait until nothing is pending, and return how far each stage has come; {} when the request is unknown.

    Raises ``WaitTimeout`` after ``timeout`` seconds (None: never).
    """
    end = None if timeout is None else monotonic() + milliseconds(timeout, "timeout") / 1000
    unknown = f"what the request {request.id!r} has pending was not told within {timeout} s"
    return (yield from in_time(_until_done(request, timeout, end), end, unknown))


def _until_done(request: RequestHandle, timeout: Seconds | None, end: float | None) -> Plan[dict[str, StageStatus]]:
    look = Call(STATUS, (request._key,), (), list)
    reply = yield from ask_by(look, end)
    if not reply or reply[0] == 0:
        return _read_status(reply)
    event = yield from subscribe(request._key)
    try:
        while True:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise WaitTimeout(f"the request {request.id!r} has {reply[0]} pending after {timeout} s")
            again = look_again_in(event)
            yield Wait(event, again if left is None else min(again, left))
            reply = yield from ask_by(look, end)
            if not reply or reply[0] == 0:
                return _read_status(reply)
    finally:
        event.leave()


# --- twins ---------------------------------------------------------------------------------------


def _register(space: Keyspace, request: str, ttl_ms: int) -> int:
    pending = space.hget(request, "pending")
    space.hset(request, "ttl_ms", str(ttl_ms), "pending", "0" if pending is None else pending)
    refresh(space, request, ttl_ms)
    return 1


def _add(space: Keyspace, request: str, stage: str, root: str) -> int:
    place = f"r:{stage}:{root}"
    ttl_ms, pending, before, of_stage, stages = space.hmget(request, "ttl_ms", "pending", place, f"p:{stage}", "stages")
    if ttl_ms is None:
        return 0
    if before is not None:
        return 1
    if of_stage is None:
        space.hset(request, "stages", stage if stages is None else f"{stages}\n{stage}")
    space.hset(request, place, "pending", "pending", str(int(pending or 0) + 1))
    space.hset(request, f"p:{stage}", str(int(of_stage or 0) + 1))
    refresh(space, request, int(ttl_ms))
    return 1


def _done(
    space: Keyspace,
    request: str,
    stage: str,
    root: str,
    nonce: str,
    verdict: str,
    processed: int,
    message: str,
    publish: str,
) -> int:
    place = f"r:{stage}:{root}"
    ttl_ms, pending, before, of_stage = space.hmget(request, "ttl_ms", "pending", place, f"p:{stage}")
    if before == f"done|{nonce}":
        return 1
    if before != "pending":
        return 0
    if verdict == "done":
        space.hincrby(request, f"d:{stage}", processed)
    else:
        keep_error(space, request, f"f:{stage}", root, message)
    space.hset(request, place, f"done|{nonce}", "pending", str(int(pending or 0) - 1))
    space.hset(request, f"p:{stage}", str(int(of_stage or 0) - 1))
    refresh(space, request, int(ttl_ms or 0))
    if pending == "1":
        space.publish(request, "complete")
    return 1


def _requeue(space: Keyspace, request: str, op: str, stage: str, count: int, sequence: int, remember_ms: int) -> int:
    if recall(space, op, sequence, remember_ms) is not None:
        return 1
    ttl_ms, of_stage, stages = space.hmget(request, "ttl_ms", f"p:{stage}", "stages")
    if ttl_ms is None:
        return 0
    space.hincrby(request, f"q:{stage}", count)
    if of_stage is None:
        space.hset(request, "stages", stage if stages is None else f"{stages}\n{stage}", f"p:{stage}", "0")
    refresh(space, request, int(ttl_ms))
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _pending(space: Keyspace, request: str) -> int:
    return int(space.hget(request, "pending") or -1)


def _status(space: Keyspace, request: str) -> list[Any]:
    pending, stages = space.hmget(request, "pending", "stages")
    if pending is None:
        return []
    reply: list[Any] = [int(pending)]
    for stage in [] if stages is None else stages.split("\n"):
        waiting, processed, requeued, failed = space.hmget(
            request, f"p:{stage}", f"d:{stage}", f"q:{stage}", f"f:{stage}"
        )
        row: list[Any] = [stage, int(waiting or 0), processed or "0", requeued or "0", int(failed or 0)]
        reply.append(row + kept_errors(space, request, f"f:{stage}", int(failed or 0)))
    return reply


def _cleanup(space: Keyspace, request: str, op: str, publish: str, sequence: int, remember_ms: int) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered)
    removed = space.delete(request)
    remember(space, op, sequence, remember_ms, str(removed))
    if removed:
        space.publish(request, "gone")
    return removed


REGISTER = load("request_register", _register)
ADD = load("request_add", _add)
DONE = load("request_done", _done)
REQUEUE = load("request_requeue", _requeue)
PENDING = load("request_pending", _pending)
STATUS = load("request_status", _status)
CLEANUP = load("request_cleanup", _cleanup)
