"""The model of histories: an operation's reply and keys, by the twin of its script at a server time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeGuard

from coord.errors import ReplyError
from coord.memory.keyspace import Keyspace
from coord.testing.copies import Copied, capture, put
from coord.testing.recording import ERROR, Operation

__all__ = ["Attempt", "Law", "State"]

State = tuple[tuple[str, Copied], ...]
"""The values of the keys, in order."""

_SLACK_US = 3_000
"""TIME and the expiry of keys are two clocks on Redis 6.2 and 7.0, less than this apart within a script."""

_MOST_MOMENTS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """An operation that happened between two moments; without an answer, perhaps: up to ``times`` times.

    ``is_copy``: it is an earlier copy of a call that was sent again and then answered. ``again``: it told its script
    that it was not the first. ``is_left_out``: it happened as it was answered, or not at all.
    """

    operation: Operation
    earliest: int
    latest: int | None
    answered: bool
    is_copy: bool = False
    again: bool = False
    is_left_out: bool = False

    @property
    def times(self) -> int:
        """The most executions possible: a call that was sent again may be executed again."""
        script = self.operation.script
        return 1 if self.answered or self.is_left_out or script.repeats == "never" or script.repeated_at >= 0 else 2

    @property
    def answers_again(self) -> bool:
        """Whether the answer that was given is this copy's."""
        return self.is_copy and self.operation.script.repeats == "remembered"

    @property
    def is_exact(self) -> bool:
        """Whether it can only have happened at one moment."""
        return self.earliest == self.latest

    def left_out(self) -> Attempt:
        """Return the same, as one that need not have happened."""
        return replace(self, answered=False, is_left_out=self.answered or self.is_left_out)


class Law:
    """The twins of some operations, on a keyspace whose clock stands where it is put."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self._now = 0
        self._space = Keyspace(lambda: self._now)
        self._needed: dict[str, float] = {}
        for each in attempts:
            latest = float("inf") if each.latest is None else each.latest
            for key in each.operation.keys:
                self._needed[key] = max(self._needed.get(key, 0), latest)
        known = [each.operation for each in attempts if each.answered]
        self._exact = sorted({each.moment for each in known if each.moment is not None})
        self._deadlines = sorted(
            {each.moment // 1000 + number for each in known if each.moment for number in _numbers(each.reply)}
        )
        """The deadlines of keys, if the numbers in replies are the milliseconds that were left."""
        self._told = sorted({number for each in known for number in _moments(each.reply)})

    def after(self, attempt: Attempt, now: int, until: int | None, state: State) -> Iterator[tuple[int, State]]:
        """Yield moments from ``now`` to ``until`` at which it can happen, and what it leaves.

        Of all moments between which nothing differs, one. An answered operation answers there as it did.
        """
        begins = attempt.earliest if attempt.is_exact else max(now, attempt.earliest)
        ends = attempt.latest if until is None else until if attempt.latest is None else min(until, attempt.latest)
        if ends is not None and ends < begins:
            return
        seen: set[State] = set()
        left: list[int] = []
        for moment in self._candidates(attempt, begins, ends, state, left):
            reply, following = self._run(attempt, moment, state)
            left += [copied.at_ms - moment // 1000 for _, copied in following if copied.at_ms is not None]
            if following in seen or not self._explains(attempt, reply, moment, state):
                continue
            if attempt.is_copy and not self._reaches_others(attempt, reply, state, following):
                continue
            seen.add(following)
            yield moment, following
            if attempt.is_exact:
                return

    def _reaches_others(self, attempt: Attempt, reply: Any, state: State, following: State) -> bool:
        """Whether a copy changed more than what is kept for the next copy, or that is what the next one answered."""
        own = attempt.operation.keys[1:]
        if _near(reply, attempt.operation.reply, None):
            return True
        one, other = ([entry for entry in each if entry[0] not in own] for each in (state, following))
        return one != other

    def _candidates(
        self, attempt: Attempt, begins: int, ends: int | None, state: State, left: list[int]
    ) -> Iterator[int]:
        if attempt.is_exact:
            yield begins
            yield from self._nearby(attempt.operation, begins, state)
            return
        yield begins
        yield from islice(self._turning_points(attempt, begins, ends, state, left), _MOST_MOMENTS)
        if ends is not None and self._keeps_time(attempt, begins, ends, state):
            yield from islice(range(begins + _SLACK_US, ends, _SLACK_US), _MOST_MOMENTS)

    def _nearby(self, operation: Operation, moment: int, state: State) -> Iterator[int]:
        """Moments that older servers may mean: TIME went on while the script ran, and expiry has its own clock."""
        yield from (told for told in _moments(operation.reply) if moment < told <= moment + _SLACK_US)
        for _, copied in state:
            if copied.at_ms is not None and abs(copied.at_ms * 1000 - moment) <= _SLACK_US:
                yield copied.at_ms * 1000 if copied.at_ms * 1000 < moment else (copied.at_ms + 1) * 1000

    def _turning_points(
        self, attempt: Attempt, begins: int, ends: int | None, state: State, left: list[int]
    ) -> Iterator[int]:
        """Moments after the first at which another answer begins: keys expire, and what others told of the time."""
        for _, copied in state:
            if copied.at_ms is not None:
                expired = (copied.at_ms + 1) * 1000
                if begins < expired and _until(expired, ends):
                    yield expired
                # A reply that tells how long a key still lives tells the moment.
                told = [(copied.at_ms - number) * 1000 for number in _numbers(attempt.operation.reply)]
                yield from (moment for moment in told if begins < moment and _until(moment, ends))
        yield from _between(self._told, begins, ends)
        # Its keys may live until just before, or just after, a moment at which another operation looked.
        for milliseconds in dict.fromkeys(left):
            for ends_at in _between(self._deadlines, begins // 1000 + milliseconds, None)[:_MOST_MOMENTS]:
                moment = (ends_at - milliseconds) * 1000
                if not _until(moment, ends):
                    break
                yield max(moment, begins)
            span = milliseconds * 1000
            for looked in _between(self._exact, begins + span, None if ends is None else ends + span):
                yield from (at for at in (looked - span - 1000, looked - span) if at > begins and _until(at, ends))
        if ends is not None and ends > begins:
            yield ends

    def _keeps_time(self, attempt: Attempt, begins: int, ends: int, state: State) -> bool:
        """Whether it writes down what the time is, so that each moment leaves something else."""
        one, other = ([copied.words for _, copied in self._run(attempt, moment, state)[1]] for moment in (begins, ends))
        return one != other

    def _run(self, attempt: Attempt, moment: int, state: State) -> tuple[Any, State]:
        # At the beginning of time nothing has expired, not even what expires now.
        self._now = 0
        self._space.flush()
        put(self._space, dict(state))
        self._now = moment
        reply = self._answer(attempt)
        left = capture(self._space)
        return reply, tuple(
            (key, copied)
            for key, copied in sorted(left.items())
            if copied is not None and self._needed.get(key, 0) >= moment
        )

    def _answer(self, attempt: Attempt) -> Any:
        operation = attempt.operation
        script, argv = operation.script, operation.argv
        if attempt.again and script.repeated_at >= 0:
            at = script.repeated_at
            argv = (*argv[:at], "1", *argv[at + 1 :])
        try:
            if script.twin is None:
                return self._space.call(Keyspace.run_lua, script, operation.keys, argv)
            return self._space.call(script.twin, *operation.keys, *argv)
        except ReplyError:
            return ERROR

    def _explains(self, attempt: Attempt, reply: Any, moment: int, state: State) -> bool:
        """Whether an answer is the one that was given; what time changes may differ by the slack of two clocks.

        The second copy repeats the answer of the first, but tells the time that is left then.
        """
        given = attempt.operation.reply
        if reply == given or not (attempt.answered or attempt.answers_again or attempt.is_left_out):
            return True
        most = None if attempt.is_copy else _SLACK_US // 1000
        if ERROR in (reply, given) or not _near(reply, given, most):
            return False
        later, _ = self._run(attempt, moment + 2 * _SLACK_US, state)
        return _near(reply, given, most, later)


def _until(moment: int, ends: int | None) -> bool:
    return ends is None or moment <= ends


def _between(moments: list[int], begins: int, ends: int | None) -> list[int]:
    last = len(moments) if ends is None else bisect_right(moments, ends)
    return moments[bisect_left(moments, begins) : last]


_LEAST_MOMENT = 10**9
"""Microseconds: smaller numbers in replies are not times."""


def _moments(reply: Any) -> Iterator[int]:
    """Yield the numbers in a reply that may be moments of the clock."""
    return (number for number in _numbers(reply) if number >= _LEAST_MOMENT)


def _is_row(reply: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(reply, (list, tuple))


def _numbers(reply: Any) -> Iterator[int]:
    if _is_row(reply):
        for item in reply:
            yield from _numbers(item)
    elif isinstance(reply, int):
        yield reply
    elif isinstance(reply, str) and 10 <= len(reply) <= 18 and reply.isascii() and reply.isdigit():
        yield int(reply)


def _near(one: Any, other: Any, most: int | None, later: Any = None) -> bool:
    """Whether two replies differ at most so much in numbers; with ``later``, only where time changes the reply."""
    if _is_row(one) and _is_row(other):
        if len(one) != len(other):
            return False
        compared = later if _is_row(later) and len(later) == len(one) else [later] * len(one)
        return all(_near(*three[:2], most, three[2]) for three in zip(one, other, compared, strict=True))
    if isinstance(one, int) and isinstance(other, int) and one != other:
        return (most is None or abs(one - other) <= most) and (later is None or later != one)
    return bool(one == other)
