"""Every script and its twin agree: random histories in virtual time, on every server there is.

``COORD_HISTORIES`` says how many histories each backend is given. ``COORD_SEED`` chooses others than those of CI;
``make agree`` draws a new seed, on every backend, and prints it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import pytest
from agreeing import HISTORIES, ONLY, SEED, WORDS, excused, faking, kinds, living_together
from backends import covered, wanted
from reporting import say

from coord.errors import ConfigError
from coord.script import Script, all_scripts
from coord.testing.agreement import AgedSide, LuaSide, ServerSide, TwinSide, check, check_agreement, serving
from coord.testing.agreement.compare import Disagreement, Word
from coord.testing.agreement.pools import FOREIGN
from coord.testing.clock import Clock, why_not
from coord.testing.servers import Engine, Server

FLOOR = 2
"""How often each outcome of each script, and each line of each twin, is reached."""

ENOUGH = 500
"""Histories, of all scripts together, that are enough to ask for the floor."""

KINDS = kinds()
SERVERS = [pytest.param(engine, id=name) for name, engine in covered().items()]
on_every_server = pytest.mark.parametrize("engine", SERVERS)


def share(scripts: Sequence[str], histories: int = HISTORIES) -> int:
    """Return how many of the histories fall to these scripts."""
    return -(-histories * len(scripts) // len(all_scripts()))


@pytest.mark.parametrize("kind", KINDS)
def test_scripts_agree_with_their_twins(kind: str) -> None:
    """On every real server, and run by lupa in this process: the twin's reply, notices and keys, at every moment.

    Nothing that a header declares is missed, and no line of a twin.
    """
    names = [name for name in KINDS[kind] if not ONLY or name in ONLY]
    if not names:
        pytest.skip(f"COORD_ONLY={' '.join(ONLY)} leaves it out")
    newer = [engine for engine in covered().values() if engine.version >= (7,) and not why_not()]
    with living_together(newer) if newer else nullcontext(([], Clock())) as (servers, clock):
        sides = [LuaSide(clock), *servers]
        tally = check_agreement(
            all_scripts(),
            sides,
            clock,
            histories=share(names),
            words=WORDS,
            seed=SEED,
            only=names,
            least=FLOOR if HISTORIES >= ENOUGH else 0,
            excused=excused,
        )
    told = f"{tally}, {tally.notices:,} notices, {tally.visits:,} foreign writes"
    say(f"agreement: {kind}: {told} ({', '.join(side.name for side in sides)})")
    for line in tally.report():
        if line.startswith(tuple(f"{name}:" for name in names)):
            say(f"agreement: {line}")
    assert all(tally.calls[name] for name in names)
    if HISTORIES < ENOUGH:
        say(f"agreement: that every outcome was reached is only asked of {ENOUGH} histories and more")
        return
    missing = [
        line
        for name in names
        for line in (*tally.unreached(FLOOR, only=name), *tally.unreached_lines(FLOOR, only=name))
        if not excused(line)
    ]
    assert not missing, "seldom or never reached:\n" + "\n".join(missing)


@pytest.mark.skipif(not why_not(), reason="time is virtual on the servers of this machine")
@on_every_server
def test_scripts_agree_on_servers_whose_keys_are_aged_by_hand(engine: Engine) -> None:
    """Where there is no compiler, servers are compared in whole seconds."""
    say(f"agreement: time was not virtual: {why_not()}")
    with serving(engine) as (side, clock):
        compare(side, clock, HISTORIES // 5)


@pytest.mark.parametrize("engine", [each for each in SERVERS if each.values[0].version < (7,)])
def test_scripts_agree_on_servers_that_lack_commands(engine: Engine) -> None:
    """Histories in which an old server can take part, whose calls ask for nothing that it lacks."""
    with serving(engine) as (side, clock):
        compare(side, clock, HISTORIES // 5)


@pytest.mark.skipif("fakeredis" not in wanted(), reason="COORD_ENGINES leaves fakeredis out")
def test_fakeredis_agrees_too() -> None:
    """A third voice. It counts time in floats, so its histories keep to whole milliseconds and off the deadlines."""
    # Its scripts cannot read the text of an error, so that a script cannot keep a refusal for a repeated call.
    with faking() as (side, clock):
        compare(side, clock, HISTORIES // 10, repeated=("0",))


def compare(side: ServerSide, clock: Clock, histories: int, **words: Sequence[Word]) -> None:
    """Compare all scripts, and see to it that none was left out."""
    tally = check_agreement(
        all_scripts(),
        [side],
        clock,
        histories=histories,
        words={**WORDS, **words},
        seed=SEED,
        only=ONLY,
    )
    say(f"agreement: {side.name}: {tally}, {tally.notices:,} notices, {tally.visits:,} foreign writes")
    silent = [each.name for each in all_scripts() if not tally.calls[each.name]]
    assert ONLY or not silent, f"never called: {silent}"


@on_every_server
def test_long_argument_lists_agree(engine: Engine) -> None:
    """Scripts that take arguments to the end of ARGV take a thousand groups of them, past every batch's limit."""
    with serving(engine) as (side, clock):
        for each in all_scripts():
            assert each.header is not None
            group = [argument for argument in each.header.argv if argument.repeats]
            if group:
                twin = TwinSide(clock)
                side.begin()
                values = [1 if argument.type == "int" else f"{number}" for number in range(1_000) for argument in group]
                keys = [f"{{a}}:{key.word}" for key in each.header.keys]
                # Twice: the second time everything is there already.
                for _ in range(2):
                    check(twin, [side], each, keys, [*(60_000 for _ in each.header.fixed), *values])


@pytest.mark.slow
@pytest.mark.skipif(not covered(), reason="no server is among the engines of this run")
def test_keys_are_aged_by_hand_where_there_is_no_compiler() -> None:
    """The fallback without virtual time compares as well, in whole seconds, and its name says so."""
    # Real time passes as well: a machine that stands still for a second in each of three runs is another machine.
    for left in (2, 1, 0):
        try:
            _compare_with_aged_keys()
        except Disagreement:
            if not left:
                raise
        else:
            return


def _compare_with_aged_keys() -> None:
    engine = next(iter(covered().values()))
    clock = Clock()
    # A deadline of the clock is not one of the server's own time, and parts of a second are not followed.
    scripts = [each for each in all_scripts() if not any(word in each.source for word in ("EXPIREAT", "now_us"))]
    with Server(engine) as server:
        side = AgedSide(server, clock)
        tally = check_agreement(
            scripts, [side], clock, histories=min(HISTORIES, 100), words=WORDS, undisturbed=("coord:",)
        )
        side.close()
    assert tally.calls.total() > 0
    assert "aged by hand" in side.name


def test_a_script_that_declares_no_types_is_refused_by_name() -> None:
    """Without a header nothing says what to draw; the error names the file."""
    bare = Script("bare", "return 1", lambda space: 1)
    with pytest.raises(ConfigError, match=r"bare\.lua: without a header"):
        check_agreement([bare], [], Clock())


@pytest.mark.slow
def test_the_histories_of_a_script_do_not_depend_on_other_families() -> None:
    """What is drawn for a script is the same whether or not other scripts are compared in the same run."""

    def calls_of(scripts: list[Script]) -> list[Any]:
        recorder = Recorder(Clock())
        check_agreement(scripts, [recorder], recorder.clock, histories=10 * len(scripts), words=WORDS, only=["bump"])
        return recorder.calls

    family = [each for each in all_scripts() if "version" in {key.word for key in each.header.keys}]  # type: ignore[union-attr]  # all have headers
    alone = calls_of([each for each in all_scripts() if each in family])
    assert alone == calls_of(family[:])
    assert len(alone) > 50


class Recorder(LuaSide):
    """Keeps the calls that it is asked to make."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.calls: list[Any] = []

    def ask(self, script: Script, keys: Any, argv: Any) -> None:
        if script is not FOREIGN:
            self.calls.append((script.name, tuple(keys), tuple(argv)))
        super().ask(script, keys, argv)
