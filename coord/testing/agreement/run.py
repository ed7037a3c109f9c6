"""Running histories, and showing the shortest one that fails."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from coord.errors import ConfigError
from coord.script import Script
from coord.testing.agreement.compare import Disagreement, Word
from coord.testing.agreement.draws import choices_of
from coord.testing.agreement.history import Explored, History, Setting, Step, replay
from coord.testing.agreement.inprocess import Agreeing
from coord.testing.agreement.lines import Line, lines_of
from coord.testing.agreement.outcomes import Outcomes, is_notice
from coord.testing.agreement.tally import Tally
from coord.testing.clock import Clock

__all__ = ["check_agreement"]

_MOST_REPLAYS = 400
_MOST_TIMES = 10


def check_agreement(
    scripts: Iterable[Script],
    backends: Iterable[Agreeing],
    clock: Clock,
    *,
    histories: int = 200,
    words: Mapping[str, Sequence[Word]] | None = None,
    seed: str | int | None = "fixed",
    shorten: bool = True,
    only: Collection[str] = (),
    least: int = 0,
    excused: Callable[[str], bool] = lambda _: False,
    undisturbed: Sequence[str] = (),
) -> Tally:
    """Run histories; raise ``Disagreement`` at the first difference, return what was compared otherwise.

    Every side lives in the time of ``clock``. ``histories``: how many in all; each script has an equal part of them.
    ``words``: pools for arguments, or parts of keys, that need their own. ``seed``: the same histories for the same
    seed; None draws a new one. ``shorten``: look for the shortest history that fails. ``only``: the names of the
    scripts whose histories are run; of all, when it is empty. ``least``: go on with a script, up to ten times as long,
    until each of its outcomes and each line of its twin was seen so often; ``Tally.unreached`` and
    ``Tally.unreached_lines`` name what was not, and ``excused`` says of a name whether it may be missing.
    ``undisturbed``: how keys begin of which a foreign writer changes the type alone.

    A script without a twin is run by lupa (``coord[lua]``) and compared with the servers in the same way.

    ``ConfigError`` for a script without a header.
    """
    compared = list(scripts)
    for script in compared:
        if script.header is None:
            raise ConfigError(f"{script.file}: without a header it cannot be compared")
    if seed is None:
        seed = secrets.token_hex(4)
    setting = _setting(compared, list(backends), clock, words or {})
    setting.undisturbed = tuple(undisturbed)
    tally = setting.tally

    def is_missing(name: str) -> bool:
        missing = (*tally.unreached(least, only=name), *tally.unreached_lines(least, only=name))
        return not all(map(excused, missing))

    subjects = [script for script in compared if not only or script.name in only]
    each = -(-histories // len(subjects))
    for script in subjects:
        explored = Explored()
        for number in range(each * _MOST_TIMES if least else each):
            if number >= each and not is_missing(script.name):
                break
            _run(setting, script, f"{seed} {script.name} {number}", explored, shorten=shorten)
    return tally


def _run(setting: Setting, script: Script, seed: str, explored: Explored, *, shorten: bool) -> None:
    """Run one history of a script; show what failed."""
    history = History(setting, script, seed, explored)
    try:
        history.run()
    except Exception as error:
        _show(setting, history.steps, error, seed, shorten=shorten)
        raise


def _setting(
    scripts: list[Script], backends: list[Agreeing], clock: Clock, words: Mapping[str, Sequence[Word]]
) -> Setting:
    lacks = frozenset[str]().union(*(side.lacks for side in backends))
    outcomes: dict[str, Outcomes] = {}
    every: dict[Line, str] = {}
    for script in scripts:
        assert script.header is not None
        choices = {
            argument.word: choices_of(argument, words, lacks)
            for argument in script.header.fixed
            if "|" in argument.type and argument.word != "repeated" and not is_notice(argument)
        }
        outcomes[script.name] = Outcomes(script.header, choices)
        if script.twin is not None:
            every |= dict.fromkeys(lines_of(script.twin), script.name)
    return Setting(scripts, backends, clock, words, Tally(outcomes, every), outcomes)


def _show(setting: Setting, steps: list[Step], error: Exception, seed: str, *, shorten: bool) -> None:
    """Put the shortest history that still fails in the same way into an error."""
    kind = type(error)
    if shorten:
        steps, error_then = _shortest(setting, steps, kind)
        if error_then is not None and isinstance(error, Disagreement):
            error.args = error_then.args
    error.add_note(
        "\n  ".join((f"seed, script and number of the history: {seed}: {len(steps)} steps", *map(repr, steps)))
    )


def _shortest(setting: Setting, steps: list[Step], kind: type[Exception]) -> tuple[list[Step], Exception | None]:
    found: Exception | None = None
    left = _MOST_REPLAYS
    size = len(steps) // 2
    while size and left > 0:
        start = 0
        removed = False
        while start < len(steps) and left > 0:
            fewer = steps[:start] + steps[start + size :]
            left -= 1
            error = _error_of(setting, fewer) if fewer else None
            if type(error) is kind:
                steps, found, removed = fewer, error, True
            else:
                start += size
        if not removed or size > 1:
            size //= 2
    return steps, found


def _error_of(setting: Setting, steps: Sequence[Step]) -> Exception | None:
    try:
        replay(setting, steps)
    except Exception as error:
        return error
    return None
