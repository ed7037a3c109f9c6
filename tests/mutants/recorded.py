"""What scripts and twins agreed on: histories that are drawn once, and replayed against each mutant."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

from agreeing import WORDS

from coord.script import Script, all_scripts
from coord.testing.agreement import Answer, LuaSide, TwinSide, check, check_agreement
from coord.testing.agreement.compare import Word
from coord.testing.clock import Clock
from mutants.lua import LuaPlace

__all__ = ["Histories", "Step", "broken", "lua_fails", "recorded", "twin_fails"]


class Step(NamedTuple):
    """One call of a history, when it was made, and what the Lua and the twin answered."""

    at_us: int
    script: Script
    keys: tuple[str, ...]
    argv: tuple[Word, ...]
    lua: Answer
    twin: Answer


Histories = list[list[Step]]


class _Recorder(LuaSide):
    """The Lua of the scripts, with a twin of its own; both are written down."""

    def __init__(self, clock: Clock) -> None:
        self.histories: Histories = []
        self._twin = TwinSide(clock)
        super().__init__(clock)

    def begin(self) -> None:
        super().begin()
        self._twin.begin()
        self.histories.append([])

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        super().ask(script, keys, argv)
        self._twin.ask(script, keys, argv)
        self._call = self._clock.now_us, script, tuple(keys), tuple(argv)

    def answer(self) -> Answer:
        lua, twin = super().answer(), self._twin.answer()
        # Most are equal: kept once.
        self.histories[-1].append(Step(*self._call, twin if lua == twin else lua, twin))
        return lua


class _Told:
    """A side that answers what was recorded."""

    name = "the recording"
    unit_us = 1
    slack_ms = 0
    exact_below_ms: int | None = None
    lacks: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.next: Answer | None = None

    def begin(self) -> None:
        """Forget nothing: there is nothing."""

    def ask(self, script: Script, keys: Sequence[str], argv: Sequence[Word]) -> None:
        """Take the call for the one that was recorded."""

    def answer(self) -> Answer:
        """Return what was recorded."""
        assert self.next is not None
        return self.next


def recorded(name: str, histories: int, seed: str) -> Histories:
    """Draw histories of a script, its family and others, as the agreement machine does."""
    clock = Clock()
    recorder = _Recorder(clock)
    check_agreement(
        all_scripts(),
        [recorder],
        clock,
        histories=histories,
        words=WORDS,
        seed=seed,
        only=name,
        shorten=False,
    )
    return recorder.histories


def broken(script: Script, place: LuaPlace) -> Script:
    """Return a script whose Lua has the fault."""
    data = script.source.encode()
    made = copy.copy(script)
    made.source = (data[: place.start] + place.new.encode() + data[place.end :]).decode()
    made.twin = None
    return made


def lua_fails(histories: Histories, mutant: Script) -> int:
    """Return the number of the first history, from 1, in which the Lua differs from what the twin answered; 0: none."""
    clock, told = Clock(), _Told()
    side = LuaSide(clock)
    for number, history in enumerate(histories, 1):
        side.begin()
        for step in history:
            clock.set(step.at_us)
            told.next = step.twin
            script = mutant if step.script.name == mutant.name else step.script
            if not _agree(told, side, script, step):
                return number
    return 0


def twin_fails(histories: Histories) -> int:
    """Return the number of the first history in which a twin differs from what the Lua answered; 0: none."""
    clock, told = Clock(), _Told()
    side = TwinSide(clock)
    for number, history in enumerate(histories, 1):
        side.begin()
        for step in history:
            clock.set(step.at_us)
            told.next = step.lua
            if not _agree(side, told, step.script, step):
                return number
    return 0


def _agree(twin: TwinSide | _Told, side: LuaSide | _Told, script: Script, step: Step) -> bool:
    try:
        check(twin, [side], script, step.keys, step.argv)
    except Exception:
        # A difference; or what no twin may raise.
        return False
    return True
