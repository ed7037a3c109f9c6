"""The search for one order of operations that explains every answer."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from coord.testing.law import Attempt, Law, State

__all__ = ["Search"]

_Done = tuple[int, int, tuple[int, ...]]
"""How many answered operations from the first on are done, a bit for each one done after those, and open ones done."""


_FIRST_STEPS = 1_000


class Search:
    """``found``: True when an order was found, False when there is none, None when ``steps`` did not suffice."""

    def __init__(self, attempts: Sequence[Attempt], law: Law, steps: int) -> None:
        self._answered = sorted((each for each in attempts if each.answered), key=_begins)
        self._open = sorted((each for each in attempts if not each.answered), key=_begins)
        # Those without a moment of their own are looked at in each state, the others in their turn.
        self._long = [number for number, each in enumerate(self._open) if each.earliest != each.latest]
        self._short = [number for number, each in enumerate(self._open) if each.earliest == each.latest]
        self._law = law
        self._blamed: set[int] = set()
        self._tried: dict[tuple[_Done, State], int] = {}
        self.found: bool | None = None
        most = _FIRST_STEPS
        while self.found is None and steps > 0:
            # A walk that takes too long begins again, and tries first what explains the operations that it met in vain.
            self._steps = min(most, steps)
            steps, most = steps - self._steps, most * 4
            self._tried.clear()
            self.found = self._walk()

    def _walk(self) -> bool | None:
        """Go on from the newest state; take the last step back when nothing follows."""
        whole = len(self._answered)
        if not whole:
            return True
        path = [self._following((0, 0, ()), 0, ())]
        deepest: _Done = (0, 0, ())
        while path:
            for done, now, state in path[-1]:
                self._steps -= 1
                if self._steps <= 0:
                    self._blamed.add(id(self._answered[self._next(deepest)[0][0]].operation))
                    return None
                if done[0] == whole:
                    return True
                if now < self._tried.get((done, state), now + 1):
                    self._tried[done, state] = now
                    path.append(self._following(done, now, state))
                    deepest = max(deepest, done)
                    break
            else:
                path.pop()
        return False

    def _following(self, done: _Done, now: int, state: State) -> Iterator[tuple[_Done, int, State]]:
        """Yield what can come next, the likeliest first; of answered operations the one that ended first."""
        numbers, until = self._next(done)
        # An order that explains the answer of a second copy is the most likely.
        yield from self._opened(done, now, until, state, likely=True)
        for number in numbers:
            for moment, following in self._law.after(self._answered[number], now, until, state):
                yield _with(done, number), max(now, moment), following
        yield from self._opened(done, now, until, state, likely=False)

    def _opened(
        self, done: _Done, now: int, until: int, state: State, *, likely: bool
    ) -> Iterator[tuple[_Done, int, State]]:
        first, bits, taken = done
        for number in self._open_between(now, until):
            attempt = self._open[number]
            is_likely = attempt.answers_again or id(attempt.operation) in self._blamed
            if is_likely != likely or taken.count(number) >= attempt.times:
                continue
            for moment, following in self._law.after(attempt, now, until, state):
                if following != state:
                    yield (first, bits, self._still_open((*taken, number), now)), max(now, moment), following

    def _still_open(self, taken: tuple[int, ...], now: int) -> tuple[int, ...]:
        """Leave out those that cannot happen any more, so that the same states are seen to be the same."""
        ends = ((number, self._open[number].latest) for number in sorted(taken))
        return tuple(number for number, latest in ends if latest is None or latest >= now)

    def _open_between(self, now: int, until: int) -> Iterator[int]:
        for number in self._long:
            attempt = self._open[number]
            if attempt.earliest <= until and (attempt.latest is None or attempt.latest >= now):
                yield number
        begins = bisect_left(self._short, now, key=lambda number: self._open[number].earliest)
        for number in self._short[begins:]:
            if self._open[number].earliest > until:
                return
            yield number

    def _next(self, done: _Done) -> tuple[list[int], int]:
        """Return the answered operations before which no other has to come, and when the first of them ends at last."""
        first, bits, _ = done
        numbers: list[int] = []
        until: int | None = None
        for number in range(first, len(self._answered)):
            attempt = self._answered[number]
            if until is not None and attempt.earliest > until:
                break
            if not bits >> (number - first) & 1:
                numbers.append(number)
                until = _latest(attempt) if until is None else min(until, _latest(attempt))
        assert until is not None
        ready = [number for number in numbers if self._answered[number].earliest <= until]
        return sorted(ready, key=lambda number: _latest(self._answered[number])), until


def _with(done: _Done, number: int) -> _Done:
    first, bits, taken = done
    bits |= 1 << (number - first)
    while bits & 1:
        first, bits = first + 1, bits >> 1
    return first, bits, taken


def _begins(attempt: Attempt) -> int:
    return attempt.earliest


def _latest(attempt: Attempt) -> int:
    """The time at which an answered operation was over."""
    assert attempt.latest is not None
    return attempt.latest
