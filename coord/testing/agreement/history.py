"""One history: steps are drawn, tried on a copy of the keyspace, made on every side and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from coord.memory import Keyspace
from coord.script import Script
from coord.testing.agreement import pools
from coord.testing.agreement.compare import Answer, Failed, Stored, Word, check
from coord.testing.agreement.draws import Draws, Made
from coord.testing.agreement.held import hold_against_header, hold_repeated
from coord.testing.agreement.inprocess import Agreeing, TwinSide, reply_of, shortened
from coord.testing.agreement.lines import Line, Trace, traced
from coord.testing.agreement.outcomes import REPEATED, Outcomes
from coord.testing.agreement.tally import Tally
from coord.testing.clock import START_US, Clock

__all__ = ["History", "Setting", "Step", "replay"]

_CANDIDATES = 6
_DAY_MS = 86_400_000
_ELEVEN_YEARS_US = 11 * 365 * _DAY_MS * 1_000


class Candidate(NamedTuple):
    """A pause, perhaps a foreign write, and a call."""

    pause_us: int
    foreign: Made | None
    made: Made


class Reached(NamedTuple):
    """What a call would reach: the counted outcomes, lines of the twin, and the fields it asked for."""

    features: set[Any]
    lines: set[Line]
    fields: set[tuple[str, str]]
    changes: bool


class Step(NamedTuple):
    """A call, and the moment at which it is made, in microseconds from the start of the history."""

    at_us: int
    made: Made

    def __repr__(self) -> str:
        script, keys, argv = self.made
        return f"at {self.at_us:,} us: {script.name} keys={list(keys)!r} argv={list(argv)!r:.500}"


@dataclass
class Setting:
    """The state that all histories of a run share."""

    scripts: Sequence[Script]
    backends: Sequence[Agreeing]
    clock: Clock
    words: Mapping[str, Sequence[Word]]
    tally: Tally
    outcomes: Mapping[str, Outcomes]
    twin: TwinSide = field(init=False)
    trial: Keyspace = field(init=False)
    undisturbed: tuple[str, ...] = ()
    trial_us: int = START_US

    def __post_init__(self) -> None:
        self.twin = TwinSide(self.clock)
        self.trial = Keyspace(lambda: self.trial_us)
        self.unit_us = max((side.unit_us for side in self.backends), default=1)
        self.lacks = frozenset[str]().union(*(side.lacks for side in self.backends))


@dataclass
class Explored:
    """The coverage of the histories of one script so far, and the steps that reached it; other scripts do not count."""

    seen: Counter[Any] = field(default_factory=Counter[Any])
    ways: dict[Any, list[Step]] = field(default_factory=dict[Any, list["Step"]])

    def add(self, features: Iterable[Any], steps: Sequence[Step]) -> None:
        """Count what was reached by some steps; the shortest way to each is kept."""
        for feature in features:
            self.seen[feature] += 1
            if feature not in self.ways or len(steps) < len(self.ways[feature]):
                self.ways[feature] = list(steps)

    def way(self, random: Random, subject: str) -> list[Step]:
        """Return the steps that lead to what the script has reached the least often, often without the last one."""
        features = [feature for feature in self.ways if feature[0] == subject]
        if not features:
            return []
        rare = sorted(features, key=self.seen.__getitem__)[:8]
        steps = self.ways[random.choice(rare)]
        return steps[: len(steps) - random.choice((0, 1, 1))]


class History:
    """One history about one script, which ``explored`` says of what the earlier ones have reached."""

    def __init__(self, setting: Setting, subject: Script, seed: str, explored: Explored) -> None:
        self._setting = setting
        self._subject = subject
        self._random = Random(seed)
        self._draws = Draws(self._random, setting.unit_us, setting.words, setting.lacks)
        self._explored = explored
        self._made: list[Made] = []
        self._due_us: set[int] = set()
        self._stored: Stored = {}
        self._disturbed: set[str] = set()
        self.steps: list[Step] = []
        family = _begins(subject)
        self._family = [script for script in setting.scripts if _begins(script) == family]

    def run(self) -> None:
        """Make all steps; raise ``Disagreement`` at the first difference, or what a twin raises."""
        setting = self._setting
        setting.tally.histories += 1
        begin(setting)
        if self._random.random() < 0.6:
            for step in self._explored.way(self._random, self._subject.name):
                pause_us = max(0, START_US + step.at_us - setting.clock.now_us)
                self._take(Candidate(pause_us, None, step.made))
        for _ in range(self._random.randint(4, 20)):
            self._step()

    def _step(self) -> None:
        """Draw calls, and make the one whose outcome and lines have been the rarest so far.

        Of calls that lead up to those of the subject, one that changes something is made.
        """
        random = self._random
        of_subject = random.random() < (0.5 if self._stored else 0.15)
        found: tuple[tuple[bool, int], Candidate, Reached] | None = None
        for _ in range(_CANDIDATES if random.random() < 0.8 else 1):
            candidate = self._candidate(self._subject if of_subject else self._other())
            reached = self._tried(candidate)
            rarest = min((self._explored.seen[each] for each in reached.features), default=0)
            rank = not (of_subject or reached.changes), rarest
            if found is None or rank < found[0]:
                found = rank, candidate, reached
        assert found is not None
        self._take(found[1], found[2])

    def _take(self, candidate: Candidate, reached: Reached | None = None) -> None:
        """Make a call; without a header, it is a foreign writer's."""
        if candidate.made.script is pools.FOREIGN:
            candidate = candidate._replace(foreign=candidate.made)
        if candidate.foreign is not None:
            self._make(candidate.pause_us, candidate.foreign)
            self._disturbed.update(candidate.foreign.keys)
            self._setting.tally.visits += 1
            candidate = candidate._replace(pause_us=0)
        if candidate.made is not candidate.foreign:
            self._make_checked(candidate.pause_us, candidate.made, reached or self._tried(candidate))

    def _candidate(self, script: Script) -> Candidate:
        pause_us, dice = self._pause_us(), self._random.random()
        earlier = [made for made in self._made[-6:] if made.script is script]
        if dice < 0.15 and earlier:
            # An earlier call once more: its reply was lost, or its first copy is late.
            return Candidate(pause_us, None, self._draws.again(self._random.choice(earlier)))
        made = self._draws.call(script)
        if dice < 0.75:
            return Candidate(pause_us, None, made)
        asked = self._tried(Candidate(pause_us, None, made)).fields
        return Candidate(
            pause_us,
            self._draws.foreign(
                made, self._stored, asked, types_only=made.keys[0].startswith(self._setting.undisturbed)
            ),
            made,
        )

    def _other(self) -> Script:
        """Return a script of the family, now and then another one."""
        return self._random.choice(self._family if self._random.random() < 0.9 else self._setting.scripts)

    def _tried(self, candidate: Candidate) -> Reached:
        """Make a call on a copy of the keyspace."""
        setting, made = self._setting, candidate.made
        setting.trial_us = setting.clock.now_us + candidate.pause_us
        setting.trial.copy_from(setting.twin.space)
        try:
            if candidate.foreign is not None:
                reply_of(setting.trial, *candidate.foreign)
            # Of a script without a twin there is nothing to trace, and tracing would slow its Lua down.
            with traced() if made.script.twin else nullcontext(Trace(set(), set())) as trace:
                reply = reply_of(setting.trial, *made)
        except Exception:
            # A fault of the twin is shown when the call is made.
            return Reached(set(), set(), set(), changes=True)
        after = shortened(setting.trial.dump())
        outcomes = setting.outcomes[made.script.name].of(made.argv, Answer(reply, after), self._stored)
        name = made.script.name
        changed = after != self._stored
        features = {(changed, *outcomes), *outcomes, *trace.lines}
        return Reached({(name, each) for each in features}, *trace, changed)

    # --- time ------------------------------------------------------------------------------------

    def _pause_us(self) -> int:
        random, unit_us = self._random, self._setting.unit_us
        dice = random.random()
        if dice < 0.65:
            return 0
        now_us = self._setting.clock.now_us
        left_us = sorted(due - now_us for due in self._due_us if due >= now_us)
        if dice < 0.9 and left_us:
            off_us = random.choice((-1_000, -1, 0, 0, 1, 1_000)) if unit_us == 1 else random.choice((-unit_us, unit_us))
            pause = max(0, random.choice(left_us[:6]) + off_us)
        else:
            pause = random.choice(pools.PAUSES_US)
        if unit_us > 1:
            pause = -(-pause // unit_us) * unit_us
            while pause in left_us:
                pause += unit_us
        return pause

    def _note_deadlines(self) -> None:
        now_us = self._setting.clock.now_us
        now_ms = now_us // 1_000
        due = self._due_us
        due.update((now_ms + left) * 1_000 for _, _, left in self._stored.values() if left >= 0)
        for ms in self._draws.times_ms:
            due.add((now_ms + ms) * 1_000)
            if 1 < ms <= _DAY_MS:
                # The next multiple: windows that are aligned to the epoch end there.
                due.add((now_ms // ms + 1) * ms * 1_000)
        for number in self._draws.numbers:
            if 0 <= number - now_ms <= _DAY_MS:
                due.add(number * 1_000)
            elif 0 <= number - now_us <= _DAY_MS * 1_000:
                due.add(number)
        # A foreign writer's deadline may lie beyond every clock.
        self._due_us = {each for each in due if now_us <= each <= now_us + _ELEVEN_YEARS_US}

    # --- making a call ---------------------------------------------------------------------------

    def _make(self, pause_us: int, made: Made) -> Answer:
        setting = self._setting
        setting.clock.advance(us=pause_us)
        self.steps.append(Step(setting.clock.now_us - START_US, made))
        answer = check(setting.twin, setting.backends, *made)
        self._stored = answer.stored
        self._draws.look(answer.stored)
        self._note_deadlines()
        return answer

    def _make_checked(self, pause_us: int, made: Made, reached: Reached, *, repeats: bool = True) -> None:
        tally, name = self._setting.tally, made.script.name
        self._setting.clock.advance(us=pause_us)
        before = shortened(self._setting.twin.space.dump())
        answer = self._make(0, made)
        self._draws.learn(made, answer.reply, answer.stored)
        if made not in self._made:
            self._made.append(made)
        outcomes = self._setting.outcomes[name]
        hold_against_header(made, outcomes, before, answer, self._disturbed)
        found = outcomes.of(made.argv, answer, before)
        tally.calls[name] += 1
        tally.count(name, found)
        tally.notices += len(answer.notices or ())
        self._explored.add(reached.features, self.steps)
        tally.lines.update(reached.lines)
        if repeats:
            self._repeat(made, answer)

    def _repeat(self, made: Made, first: Answer) -> None:
        """Make a call again at once whose header says that this is safe."""
        header = made.header
        is_safe = header.repeat == "safe" or (header.repeat == "remembered" and bool(made.argv[header.remember_at]))
        # Of what a foreign writer left, a script may make one thing of the first call and another of the second.
        if not is_safe or not self._disturbed.isdisjoint(made.keys):
            return
        again = made.with_repeated("1") if self._random.random() < 0.5 else made
        second = self._make(0, again)
        self._setting.tally.count(made.script.name, [REPEATED])
        hold_repeated(made, first, second)
        if isinstance(first.reply, Failed) and again is not made:
            # The repetition may have kept the refusal.
            self._make_checked(0, again, self._tried(Candidate(0, None, again)), repeats=False)


def begin(setting: Setting) -> None:
    """Begin a history everywhere."""
    setting.clock.set(START_US)
    for side in (setting.twin, *setting.backends):
        side.begin()


def replay(setting: Setting, steps: Sequence[Step]) -> None:
    """Make the steps of a history again; raise what it raised, if it still does."""
    begin(setting)
    last: tuple[Made, Answer] | None = None
    disturbed: set[str] = set()
    for at_us, made in steps:
        setting.clock.set(START_US + at_us)
        before = shortened(setting.twin.space.dump())
        answer = check(setting.twin, setting.backends, *made)
        if made.script.header is None:
            disturbed.update(made.keys)
            continue
        hold_against_header(made, setting.outcomes[made.script.name], before, answer, disturbed)
        if last is not None and disturbed.isdisjoint(made.keys) and before == last[1].stored:
            was, first = last
            if was.with_repeated("1") == made.with_repeated("1") and made.header.repeat != "never":
                hold_repeated(made, first, answer)
        last = made, answer


def _begins(script: Script) -> str:
    return script.header.keys[0].shape.partition("{")[0] if script.header and script.header.keys else ""
