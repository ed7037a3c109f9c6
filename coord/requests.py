"""Requests: wait until all the work that a request caused is done, wherever it ran.

A piece of work has a stage (its kind) and a root (which piece). It is added before it is handed to a worker, and done
or failed once; a queue that delivers it again changes nothing. The request is complete when every piece that was added
is done. A producer that adds pieces over time adds its own piece first, so that the request is not complete too early.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from coord.barriers import message_text
from coord.errors import MissingRequest, WaitTimeout
from coord.extend import (
    Call,
    Deadline,
    Family,
    Keyspace,
    M,
    Plan,
    ReplyError,
    Runs,
    Seconds,
    as_count,
    as_nothing,
    ask_by,
    in_time,
    int64,
    load,
    look_together,
    percent_decode,
    percent_encode,
    reads,
    repeats,
    window_ms,
    with_its_reply,
)
from coord.lualib import (
    add_stage,
    all_whole,
    answer_once,
    keep_error,
    kept_errors,
    recall,
    refresh,
    refuse,
    remember,
    whole,
)
from coord.lualib import int64 as is_int64

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


@dataclass(frozen=True, kw_only=True, slots=True)
class StageStatus:
    """The progress of one stage of a request.

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
        self._ended = f"{self._key}:ended"

    def _answered(self, call: str) -> str:
        return f"{self._key}:answered:{call}"


def register(request: RequestHandle, ttl: Seconds | None = None) -> Call[None]:
    """Begin to track the work of the request; registering it again keeps what is known.

    ``ttl``: seconds that the request is kept after each change; None: the coordinator's default.
    """
    return request.ops.call(REGISTER, (request._key, request._ended), (request.ops.lifetime(ttl),), as_nothing)


def add(request: RequestHandle, stage: str, root: str) -> Call[bool]:
    """Add a piece of work to the request; it is pending until it is done. False when the request is not registered.

    Add it before handing it to a worker. Adding or finishing a piece again has no effect. To do work twice, use two
    names, such as the root and its version.
    """
    _, call, repeated = request.ops.identified(None)
    argv = (*_piece(stage, root), request.ops.tombstone_ms, repeated)
    return request.ops.call(ADD, (request._key, request._answered(call)), argv, bool)


def done(request: RequestHandle, stage: str, root: str, processed: int = 1, *, op_id: str | None = None) -> Call[bool]:
    """Finish a piece of work, and add ``processed`` to the stage's count. False when it was not pending.

    ``op_id``: the same id again gets True again. The id of a call that finished nothing may be used again.
    """
    processed = int64(processed, "processed")
    if processed < 0:
        raise ValueError(f"processed is {processed}: it must be at least 0")
    return _finish(request, stage, root, op_id, "done", processed, "")


def fail(request: RequestHandle, stage: str, root: str, message: str, *, op_id: str | None = None) -> Call[bool]:
    """Finish a piece of work that failed, and keep 1,024 characters of its message.

    False, and ``op_id``, as for ``done``.
    """
    if not isinstance(message, str):
        raise TypeError(f"message must be a str, not {type(message).__name__}")
    return _finish(request, stage, root, op_id, "failed", 0, message_text(message))


def _finish(
    request: RequestHandle, stage: str, root: str, op_id: str | None, verdict: str, processed: int, message: str
) -> Call[bool]:
    nonce, call, repeated = request.ops.identified(op_id)
    ops = request.ops
    argv = (*_piece(stage, root), nonce, verdict, processed, message, ops.publish, ops.tombstone_ms, repeated)
    return ops.call(DONE, (request._key, request._answered(call)), argv, bool)


def requeue(request: RequestHandle, stage: str, n: int = 1, *, op_id: str | None = None) -> Call[bool]:
    """Count ``n`` pieces of a stage that went back to their queue. False when the request is not registered.

    ``op_id``: the same id again within the coordinator's TTL counts nothing. The id of a call that counted nothing may
    be used again.
    """
    n = int64(n, "n")
    if n < 1:
        raise ValueError(f"n is {n}: it must be at least 1")
    op, sequence, remember_ms = request.ops.remembered(request._key, op_id, window_ms(request.ops.ttl_ms))
    argv = (percent_encode(stage, "a stage"), n, sequence, remember_ms, repeats(op_id))
    return request.ops.call(REQUEUE, (request._key, op), argv, bool)


def is_complete(request: RequestHandle) -> Call[bool]:
    """Return whether nothing is pending; True as well when the request is unknown."""
    return request.ops.call(PENDING, (request._key,), (), lambda pending: as_count(pending) <= 0)


def status(request: RequestHandle) -> Call[dict[str, StageStatus]]:
    """Return how far each stage has come; {} when the request is unknown.

    ``errors`` has the first hundred of a stage, ``error_count`` counts all. The cost grows with the number of stages.
    """
    return request.ops.call(STATUS, (request._key, request._ended), ("all",), _read_status)


def cleanup(request: RequestHandle) -> Call[bool]:
    """Forget the request, and end the waits for it. False when it was unknown."""
    op, sequence, remember_ms = request.ops.remembered(request._key)
    argv = (request.ops.publish, request.ops.tombstone_ms, sequence, remember_ms, "0")
    return request.ops.call(CLEANUP, (request._key, op, request._ended), argv, bool)


def _piece(stage: str, root: str) -> tuple[str, str]:
    return percent_encode(stage, "a stage"), percent_encode(root, "a root")


@reads
def _read_status(reply: list[Any]) -> dict[str, StageStatus]:
    if as_count(reply[0]) < 0:
        return {}
    return {percent_decode(row[0]): _read_stage(row) for row in reply[1:]}


def _read_stage(row: list[Any]) -> StageStatus:
    _, pending, processed, requeued, failed, *errors = row
    messages = {percent_decode(root): message for root, message in zip(errors[::2], errors[1::2], strict=True)}
    return StageStatus(
        processed=as_count(processed),
        requeue_count=as_count(requeued),
        error_count=as_count(failed),
        errors=messages,
        pending=as_count(pending),
    )


# --- plans ---------------------------------------------------------------------------------------


def waiting(
    request: RequestHandle, timeout: Seconds | None = None, missing_ok: bool = False
) -> Plan[dict[str, StageStatus]]:
    """Wait until nothing is pending, and return how far each stage has come.

    Raises ``WaitTimeout`` after ``timeout`` seconds (None: never), and ``MissingRequest`` when the request is unknown,
    or expires or is lost before it is complete; with ``missing_ok`` the result is then {}. ``cleanup`` by another
    caller ends the wait with {}.
    """
    deadline = Deadline.after(request.ops.clock, timeout)
    unknown = f"the state of the request {request.id!r} could not be read within {timeout} s"
    return (yield from in_time(_until_done(request, timeout, deadline, missing_ok=missing_ok), deadline, unknown))


def _until_done(
    request: RequestHandle, timeout: Seconds | None, deadline: Deadline, *, missing_ok: bool
) -> Plan[dict[str, StageStatus]]:
    look = with_its_reply(Call(STATUS, (request._key, request._ended), ("pending",), _pending_of))
    reply = yield from ask_by(look, deadline)
    if _pending_of(reply) < 0 and not missing_ok:
        raise MissingRequest(f"the request {request.id!r} is unknown: it was never registered, or it has expired")
    reply = yield from look_together(request._key, None, look, reply, deadline, _look_again_in)
    pending = _pending_of(reply)
    if pending > 0:
        raise WaitTimeout(f"the request {request.id!r} still had {pending} pending after {timeout} s")
    if pending < 0 and reply[1:] == [0] and not missing_ok:
        raise MissingRequest(f"the request {request.id!r} expired or was lost before it was complete")
    return _read_status(reply)


def _look_again_in(reply: list[Any]) -> float | None:
    """Return the seconds after which to look at a request again; None when nothing is pending."""
    return None if _pending_of(reply) <= 0 else inf


@reads
def _pending_of(reply: list[Any]) -> int:
    return as_count(reply[0])


# --- twins ---------------------------------------------------------------------------------------


def _check(*fields: str | None) -> None:
    if not all_whole(*fields):
        raise ReplyError("COORD_CORRUPT this request was not written by coord")


def _register(space: Keyspace, request: str, ended: str, ttl_ms: int) -> int:
    pending, stages = space.hmget(request, "pending", "stages")
    if pending is None:
        space.delete(ended)
    pending, stages = "0" if pending is None else pending, "0" if stages is None else stages
    space.hset(request, "ttl_ms", str(ttl_ms), "pending", pending, "stages", stages)
    refresh(space, request, ttl_ms)
    return 1


def _add(space: Keyspace, request: str, answered: str, stage: str, root: str, tombstone_ms: int, repeated: str) -> int:
    piece = f"r:{stage}:{root}"
    ttl_ms, pending, stages, of_stage, known = space.hmget(request, "ttl_ms", "pending", "stages", f"p:{stage}", piece)
    if known is not None:
        answer_once(space, answered, repeated, tombstone_ms, "1")
        return 1
    before = space.get(answered)
    if before is not None:
        return int(before == "1")
    if ttl_ms is None:
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return 0
    _check(ttl_ms, pending, stages, "0" if of_stage is None else of_stage)
    if of_stage is None:
        add_stage(space, request, stages or "0", stage)
    space.hset(request, piece, "pending", "pending", str(int(pending or 0) + 1))
    space.hset(request, f"p:{stage}", str(int(of_stage or 0) + 1))
    refresh(space, request, int(ttl_ms))
    answer_once(space, answered, repeated, tombstone_ms, "1")
    return 1


def _done(
    space: Keyspace,
    request: str,
    answered: str,
    stage: str,
    root: str,
    nonce: str,
    verdict: str,
    processed: int,
    message: str,
    publish: str,
    tombstone_ms: int,
    repeated: str,
) -> int:
    piece = f"r:{stage}:{root}"
    ttl_ms, pending, state, of_stage = space.hmget(request, "ttl_ms", "pending", piece, f"p:{stage}")
    if state == f"done|{nonce}":
        answer_once(space, answered, repeated, tombstone_ms, "1")
        return 1
    before = space.get(answered)
    if before is not None:
        return int(before == "1")
    if state != "pending":
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return 0
    _check(ttl_ms, pending, of_stage)
    if "0" in (pending, of_stage):
        _check(None)
    if verdict == "done":
        space.hincrby(request, f"d:{stage}", processed)
    else:
        keep_error(space, request, f"f:{stage}", root, message)
    space.hset(request, piece, f"done|{nonce}", "pending", str(int(pending or 0) - 1))
    space.hset(request, f"p:{stage}", str(int(of_stage or 0) - 1))
    refresh(space, request, int(ttl_ms or 0))
    answer_once(space, answered, repeated, tombstone_ms, "1")
    if pending == "1":
        space.publish(request, "complete")
    return 1


def _requeue(
    space: Keyspace, request: str, op: str, stage: str, count: int, sequence: int, remember_ms: int, repeated: str
) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered == "1")
    ttl_ms, stages, of_stage = space.hmget(request, "ttl_ms", "stages", f"p:{stage}")
    if ttl_ms is None:
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return 0
    _check(ttl_ms, stages)
    space.hincrby(request, f"q:{stage}", count)
    if of_stage is None:
        add_stage(space, request, stages or "0", stage)
    refresh(space, request, int(ttl_ms))
    remember(space, op, sequence, remember_ms, "1")
    return 1


def _pending(space: Keyspace, request: str) -> int:
    pending = space.hget(request, "pending")
    if pending is not None and not whole(pending):
        raise ReplyError("COORD_CORRUPT this request was not written by coord")
    return -1 if pending is None else int(pending)


def _status(space: Keyspace, request: str, ended: str, look: str) -> list[Any]:
    pending, stages = space.hmget(request, "pending", "stages")
    if pending is None:
        return [-1, space.exists(ended)]
    _check(pending, stages)
    reply: list[Any] = [int(pending)]
    if look == "pending" and pending != "0":
        return reply
    for number in range(1, int(stages or 0) + 1):
        stage = space.hget(request, f"s:{number}")
        if stage is None:
            _check(None)
        fields = f"p:{stage}", f"f:{stage}", f"d:{stage}", f"q:{stage}"
        waiting, failed, processed, requeued = space.hmget(request, *fields)
        failed, processed, requeued = ("0" if count is None else count for count in (failed, processed, requeued))
        _check(waiting, failed)
        if not (is_int64(processed) and is_int64(requeued)):
            _check(None)
        row: list[Any] = [stage, int(waiting or 0), processed, requeued, int(failed)]
        reply.append(row + kept_errors(space, request, f"f:{stage}", int(failed)))
    return reply


def _cleanup(
    space: Keyspace,
    request: str,
    op: str,
    ended: str,
    publish: str,
    tombstone_ms: int,
    sequence: int,
    remember_ms: int,
    repeated: str,
) -> int:
    answered = recall(space, op, sequence, remember_ms)
    if answered is not None:
        return int(answered == "1")
    if space.unlink(request) == 0:
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return 0
    space.set(ended, "1", px=tombstone_ms)
    remember(space, op, sequence, remember_ms, "1")
    space.publish(request, "gone")
    return 1


REGISTER = load("request_register", _register)
ADD = load("request_add", _add)
DONE = load("request_done", _done)
REQUEUE = load("request_requeue", _requeue)
PENDING = load("request_pending", _pending)
STATUS = load("request_status", _status)
CLEANUP = load("request_cleanup", _cleanup)
