"""Executions: run a piece of work once, keep its result, and return it to all later callers.

Running is at least once: a worker may be paused for longer than its lease, and then another takes over. Of all
attempts of a key one result is accepted: that of the attempt that runs when it arrives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from coord.extend import (
    Call,
    Calls,
    Family,
    Keyspace,
    M,
    Plan,
    ReplyError,
    Runs,
    Seconds,
    as_count,
    ask,
    check_name,
    exact_str,
    load,
    milliseconds,
    op,
    planned,
    reads,
)
from coord.leases import BaseLease, Grants, LeaseRequest, asking, held_of, releasing, renewing
from coord.lualib import answer_once, later, recall, refuse, remember, whole

__all__ = ["Begun", "Execution", "ExecutionHandle", "ExecutionStatus", "Failure", "Runnable", "checked_result"]

State = Literal["new", "running", "done", "mismatch"]

_LARGEST_RESULT = 1 << 20
_LARGEST_FINGERPRINT = 1 << 16
_LONGEST_MESSAGE = 1024


class Failure(NamedTuple):
    """An error that is kept as the result: the name of its type, and its message."""

    type: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionStatus:
    """The attempt that runs, or the result.

    ``state`` is "running" or "done". ``error`` is an error that was kept in place of a result. ``expires_in``:
    seconds until the attempt ends unless it is renewed, or for which the result is kept.
    """

    state: Literal["running", "done"]
    owner: str
    fence: int
    fingerprint: str | None
    result: str | None
    error: Failure | None
    expires_in: float


class Begun(NamedTuple):
    """The answer to ``begin``; ``left``: seconds until the attempt ends, or for which the result is kept."""

    state: str
    nonce: str
    owner: str
    fence: int
    left: float
    result: str | None
    error: Failure | None

    @property
    def granted(self) -> bool:
        """Whether the caller is to run the work."""
        return self.state == "new"


class Runnable:
    """A key whose work can be run: it is leased by the attempt that runs."""

    def __init__(self, ops: Calls, name: str, fingerprint: str | None = None) -> None:
        self.ops = ops
        self.name = name
        self.channel = ops.key("execution", name)
        self.fingerprint = fingerprint
        self._bound_to = "" if fingerprint is None else f"={_text(fingerprint, 'fingerprint', _LARGEST_FINGERPRINT)}"

    @property
    def title(self) -> str:
        """The attempt as messages name it."""
        return f"the execution of {self.name!r}"

    def ask(self, owner: str, nonce: str, ttl_ms: int) -> Call[Begun]:
        """Ask to run the work."""
        key, ops = self.channel, self.ops
        # A waiter asks more than once for one nonce: late copies are recognised by the id of the call.
        keys = key, f"{key}:tombstone:{nonce}", f"{key}:answered:{ops.nonce()}"
        return ops.call(BEGIN, keys, (owner, nonce, self._bound_to, ttl_ms, ops.tombstone_ms, "0"), _read_begun)

    def renew(self, nonce: str, ttl_ms: int) -> Call[bool]:
        """Let the attempt run for ``ttl_ms`` from now; False when it has ended."""
        return self.ops.call(RENEW, (self.channel,), (nonce, ttl_ms), _read_first)

    def release(self, nonce: str) -> Call[bool]:
        """End the attempt without a result; False when it has ended. It is refused from then on."""
        keys = self.channel, f"{self.channel}:tombstone:{nonce}"
        return self.ops.call(ABANDON, keys, (nonce, self.ops.tombstone_ms, self.ops.publish), bool)

    def holds(self, nonce: str, fence: int) -> Call[bool]:
        """Return whether the attempt runs at present."""
        return self.ops.call(STATUS, (self.channel,), (), lambda reply: _running_fence(reply) == fence)

    def complete(self, nonce: str, outcome: str, result: str, keep_ms: int) -> Call[bool]:
        """Hand in a result, or an error that is kept; False when the attempt has ended."""
        keys = self.channel, f"{self.channel}:tombstone:{nonce}"
        argv = (nonce, outcome, result, keep_ms, self.ops.tombstone_ms, self.ops.publish)
        return self.ops.call(COMPLETE, keys, argv, bool)

    def status(self) -> Call[ExecutionStatus | None]:
        """Return the attempt that runs, or the result; None when there is neither."""
        return self.ops.call(STATUS, (self.channel,), (), _read_status)


class ExecutionHandle(Family[M]):
    """The work of one key: ``begin`` it, look at it, or forget its result."""

    def __init__(self, c: Runs[M], key: str) -> None:
        super().__init__(c)
        self.name = key
        self.key = self.ops.key("execution", key)

    @op
    def status(self) -> Call[ExecutionStatus | None]:
        """Return the attempt that runs, or the result; None when there is neither."""
        return self.ops.call(STATUS, (self.key,), (), _read_status)

    @op
    def forget(self, op_id: str | None = None) -> Call[bool]:
        """Drop the result, so that the next ``begin`` runs the work again; True when there was one.

        An attempt that runs is dropped too: its lease is lost and its result refused. Waiters wake up.
        """
        op, sequence, remember_ms = self.ops.remembered(self.key, op_id, self.ops.tombstone_ms)
        argv = (self.ops.tombstone_ms, self.ops.publish, sequence, remember_ms, "0")
        return self.ops.call(FORGET, (self.key, op), argv, bool)

    @planned
    def begin(self, fingerprint: str | None = None, ttl: Seconds = 30, owner: str | None = None) -> Plan[Execution[M]]:
        """Start to run the key, or return the attempt that runs, or the result. Never waits.

        ``state`` of what is returned is "new" for one caller: it has ``ttl`` seconds to run the work and to
        ``complete`` it, and may ``renew`` them. All others see "running", later "done" with the ``result``; or
        "mismatch" when the key belongs to another ``fingerprint``, a text of at most 64 KiB.
        If the same ``owner`` asks again, it gets its own attempt back. A failed or interrupted call leaves no attempt.
        """
        what = Runnable(self.ops.calls, self.name, fingerprint)
        request = LeaseRequest.of(what, ttl, owner=owner)
        found = yield from asking(cast("Grants", self.ops), BaseLease, request)
        return Execution(self, what, found.grant, found.lease)


class Execution(Family[M]):
    """The answer to ``begin``: an attempt to run a key, or what another attempt came to.

    ``state`` is "new" when the caller is to run the work, else "running", "done" or "mismatch". ``result`` is the
    result when it is "done", or ``error`` an error that was kept in its place. ``fence`` is above every fence granted
    before for this key: pass it to what the work writes to. ``owner``: the owner that runs it, or ran it.
    """

    def __init__(self, handle: ExecutionHandle[M], what: Runnable, begun: Begun, lease: BaseLease | None) -> None:
        self.ops = handle.ops
        self.name = handle.name
        # A grant that was over when it arrived is given back: another may run the work.
        self.state = cast("State", "running" if begun.granted and lease is None else begun.state)
        self.owner, self.fence = begun.owner, begun.fence
        self.result, self.error = begun.result, begun.error
        self._what = what
        self._lease = lease
        self._ends = self.ops.clock.monotonic() + begun.left
        self._accepted: tuple[str, str] | None = None

    @property
    def expires_in(self) -> float:
        """Seconds until the attempt ends, or for which the result is kept; 0.0 when they are over."""
        if self._lease is not None and self.state == "new":
            return self._lease.expires_in
        return max(0.0, self._ends - self.ops.clock.monotonic())

    @planned
    def complete(self, result: str, keep: Seconds = 86_400) -> Plan[bool]:
        """Keep the result for ``keep`` seconds and give it to all waiters; at most 1 MiB of UTF-8.

        False when the attempt has ended: another may have taken over, and its result stands. May be repeated.
        """
        return (yield from self._ending("done", checked_result(result), milliseconds(keep, "keep")))

    @planned
    def fail(self, type: str, message: str, keep: Seconds = 86_400) -> Plan[bool]:
        """Keep an error as the result; as ``complete`` otherwise. Of the message 1,024 characters are kept."""
        return (yield from self._ending("failed", failure_text(type, message), milliseconds(keep, "keep")))

    def _ending(self, outcome: str, result: str, keep_ms: int) -> Plan[bool]:
        if self._lease is None or self.state != "new":
            return self._accepted == (outcome, result)
        held = held_of(self._lease)
        if not (yield from ask(self._what.complete(held.nonce, outcome, result, keep_ms))):
            held.mark_lost()
            return False
        held.mark_released()
        self._accepted = outcome, result
        self.state, self._ends = "done", self.ops.clock.monotonic() + keep_ms / 1000
        self.result, self.error = _replayed(outcome, result)
        return True

    @planned
    def renew(self, ttl: Seconds | None = None) -> Plan[bool]:
        """Let the attempt run for ``ttl`` seconds from now (None: as long as before). False when it has ended."""
        if self._lease is None:
            return False
        return (yield from renewing(held_of(self._lease), ttl))

    @planned
    def abandon(self) -> Plan[bool]:
        """End the attempt without a result, so that another may run the work at once. False when it has ended."""
        if self._lease is None:
            return False
        return (yield from releasing(held_of(self._lease)))


# --- arguments and replies -----------------------------------------------------------------------


def checked_result(result: str) -> str:
    """Return a result of at most 1 MiB."""
    return _text(result, "result", _LARGEST_RESULT)


def failure_text(type: str, message: str) -> str:
    """Return an error as it is kept: its message is cut to 1,024 characters of valid UTF-8."""
    if not isinstance(message, str):
        raise TypeError(f"message must be a str, not {message.__class__.__name__}")
    return json.dumps([check_name(type, "type"), message[:_LONGEST_MESSAGE].encode("utf-8", "replace").decode()])


def _text(value: str, what: str, most: int) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} is not valid UTF-8: {value[:64]!r}") from None
    if size > most:
        raise ValueError(f"{what} has {size:,} bytes: at most {most:,} fit; store it elsewhere and pass its address")
    return exact_str(value)


def _replayed(outcome: str, result: str) -> tuple[str | None, Failure | None]:
    """Return the result, or the error, that a script answers for an outcome."""
    if outcome == "done":
        return result, None
    if outcome != "failed":
        return None, None
    kind, message = json.loads(result)
    return None, Failure(str(kind), str(message))


@reads
def _read_begun(reply: list[int | str]) -> Begun:
    state, nonce, owner, fence, left_ms, text = reply
    if state not in ("new", "running", "done", "failed", "mismatch"):
        raise ValueError(state)
    result, error = _replayed(state, str(text))
    state = "done" if error else state
    return Begun(state, str(nonce), str(owner), as_count(fence), as_count(left_ms) / 1000, result, error)


@reads
def _read_first(reply: list[int | str]) -> bool:
    return reply[0] == 1


@reads
def _running_fence(reply: list[int | str]) -> int:
    return as_count(reply[2]) if reply[0] == "running" else 0


@reads
def _read_status(reply: list[Any]) -> ExecutionStatus | None:
    state, owner, fence, left_ms, fingerprint, text = reply
    if state == "free":
        return None
    result, error = _replayed(state, text)
    return ExecutionStatus(
        state="running" if state == "running" else "done",
        owner=owner,
        fence=as_count(fence),
        fingerprint=fingerprint[1:] if fingerprint else None,
        result=result,
        error=error,
        expires_in=as_count(left_ms) / 1000,
    )


# --- twins ---------------------------------------------------------------------------------------

_STATES = ("running", "done", "failed", "free")


def _recorded(space: Keyspace, execution: str) -> tuple[str, str, str, str, str]:
    """Return state, attempt, owner, fence and fingerprint of an execution."""
    state, attempt, owner, fence, print_ = space.hmget(execution, "state", "attempt", "owner", "fence", "fingerprint")
    if state is None:
        return "free", "", "", "0", ""
    if state not in _STATES or attempt is None or owner is None or fence is None or print_ is None or not whole(fence):
        raise ReplyError("COORD_CORRUPT this execution was not written by coord")
    return state, attempt, owner, fence, print_


def _set_free(space: Keyspace, execution: str, tombstone_ms: int) -> None:
    space.pexpire(execution, tombstone_ms)
    space.hset(execution, "state", "free", "attempt", "", "owner", "", "fingerprint", "", "result", "")


def _begin(
    space: Keyspace,
    execution: str,
    tombstone: str,
    answered: str,
    owner: str,
    attempt: str,
    fingerprint: str,
    lease_ms: int,
    tombstone_ms: int,
    repeated: str,
) -> list[int | str]:
    state, current, holder, fence, bound_to = _recorded(space, execution)
    if state == "free":
        if space.exists(tombstone, answered):
            return ["running", "", "", "0", 0, ""]
        fence = later(space, fence)
        space.hset(execution, "state", "running", "attempt", attempt, "owner", owner)
        space.hset(execution, "fence", fence, "fingerprint", fingerprint, "result", "")
        space.pexpire(execution, lease_ms)
        answer_once(space, answered, repeated, tombstone_ms, "1")
        return ["new", attempt, owner, fence, lease_ms, ""]
    left_ms = space.pttl(execution)
    if bound_to != fingerprint:
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return ["mismatch", "", holder, "0", left_ms, ""]
    if state != "running":
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return [state, current, holder, fence, left_ms, space.hget(execution, "result") or ""]
    if holder != owner:
        answer_once(space, answered, repeated, tombstone_ms, "0")
        return ["running", current, holder, fence, left_ms, ""]
    if left_ms < lease_ms:
        space.pexpire(execution, lease_ms)
        left_ms = lease_ms
    answer_once(space, answered, repeated, tombstone_ms, "1")
    return ["new", current, owner, fence, left_ms, ""]


def _complete(
    space: Keyspace,
    execution: str,
    tombstone: str,
    attempt: str,
    outcome: str,
    result: str,
    keep_ms: int,
    tombstone_ms: int,
    publish: str,
) -> int:
    state, current, _, _, _ = _recorded(space, execution)
    if state == "running" and current == attempt:
        space.pexpire(execution, keep_ms)
        space.set(tombstone, "done", px=tombstone_ms)
        space.hset(execution, "state", outcome, "result", result)
        space.publish(execution, outcome)
        return 1
    if current == attempt:
        return int(state == outcome and space.hget(execution, "result") == result)
    return int(space.get(tombstone) == "done")


def _renew(space: Keyspace, execution: str, attempt: str, lease_ms: int) -> list[int | str]:
    state, current, _, fence, _ = _recorded(space, execution)
    if state != "running" or current != attempt:
        return [0, "0"]
    space.pexpire(execution, lease_ms)
    return [1, fence]


def _abandon(space: Keyspace, execution: str, tombstone: str, attempt: str, tombstone_ms: int, publish: str) -> int:
    state, current, _, _, _ = _recorded(space, execution)
    if state == "running" and current == attempt:
        _set_free(space, execution, tombstone_ms)
        space.set(tombstone, "free", px=tombstone_ms)
        space.publish(execution, "free")
        return 1
    ended = space.get(tombstone)
    if ended is None:
        space.set(tombstone, "none", px=tombstone_ms)
    return int(ended == "free")


def _status(space: Keyspace, execution: str) -> list[int | str]:
    state, _, owner, fence, print_ = _recorded(space, execution)
    if state == "free":
        return ["free", "", fence, 0, "", ""]
    return [state, owner, fence, space.pttl(execution), print_, space.hget(execution, "result") or ""]


def _forget(
    space: Keyspace,
    execution: str,
    op: str,
    tombstone_ms: int,
    publish: str,
    sequence: int,
    remember_ms: int,
    repeated: str,
) -> int:
    before = recall(space, op, sequence, remember_ms)
    if before is not None:
        return int(before == "1")
    if _recorded(space, execution)[0] == "free":
        refuse(space, op, sequence, remember_ms, repeated, "0")
        return 0
    _set_free(space, execution, tombstone_ms)
    remember(space, op, sequence, remember_ms, "1")
    space.publish(execution, "free")
    return 1


BEGIN = load("execution_begin", _begin)
COMPLETE = load("execution_complete", _complete)
RENEW = load("execution_renew", _renew)
ABANDON = load("execution_abandon", _abandon)
STATUS = load("execution_status", _status)
FORGET = load("execution_forget", _forget)
