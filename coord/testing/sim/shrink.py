"""Find the smallest part of a failing run that still fails: first fewer faults, then fewer steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from coord.testing.sim.run import Run

__all__ = ["smallest"]

_MOST_RUNS = 300
_MOST_STEPS = 1_000_000
"""Of all runs together, some ten seconds: runs that fail by never ending are long."""


def smallest(play: Callable[..., Run], seed: int, run: Run) -> Run:
    """Return the smallest failing run that was found, with its trace."""
    assert run.error is not None
    tries = _Tries(play, seed, type(run.error))
    kept = tries.reduce([fault.place for fault in run.sim.plan.fired], lambda places: {"only": frozenset(places)})
    only = frozenset(kept)
    steps = list(dict.fromkeys(run.sim.used_steps))
    taken = tries.reduce(steps, lambda some: {"only": only, "skipped": frozenset(steps) - frozenset(some)})
    skipped = frozenset(steps) - frozenset(taken)
    found = play(seed, only, skipped, traced=True)
    return found if found.error is not None else play(seed, traced=True)


class _Tries:
    """Runs with parts left out, up to a number of runs and of steps."""

    def __init__(self, play: Callable[..., Run], seed: int, kind: type[BaseException]) -> None:
        self._play = play
        self._seed = seed
        self._kind = kind
        self._runs = _MOST_RUNS
        self._steps = _MOST_STEPS

    def fails(self, options: dict[str, Any]) -> bool:
        """Whether a run still fails in the same way."""
        if self._runs <= 0 or self._steps <= 0:
            return False
        run = self._play(self._seed, **options)
        self._runs -= 1
        self._steps -= run.sim.loop.steps
        return isinstance(run.error, self._kind)

    def reduce(self, parts: Sequence[str], options: Callable[[list[str]], dict[str, Any]]) -> list[str]:
        """Leave out halves, quarters and so on, as long as it fails without them (delta debugging)."""
        kept = list(parts)
        if kept and not self.fails(options(kept)):
            return kept
        size = max(1, len(kept) // 2)
        while kept:
            smaller = False
            for start in range(0, len(kept), size):
                rest = kept[:start] + kept[start + size :]
                if self.fails(options(rest)):
                    kept, smaller = rest, True
                    break
            if not smaller:
                if size == 1:
                    break
                size = max(1, size // 2)
        return kept
