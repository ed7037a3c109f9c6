"""Trial runs: scripts run in memory with drawn arguments, and each call is compared with the header and the twin.

    assert trial([RESERVE, CANCEL]) == []

The Lua runs by lupa (``coord[lua]``). After every call: the reply is what REPLY says, only declared keys have changed,
each is of its declared kind, a key that is declared ``expiring`` has a TTL, a script that says ``REPEAT safe`` changes
and answers nothing else when it runs once more, and the twin gives the same reply and stores the same. Draws are the
same on every run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeGuard

from coord.errors import ReplyError
from coord.memory import Keyspace
from coord.script import Argument, Header, Script
from coord.testing.clock import Clock
from coord.testing.lint import Finding

__all__ = ["History", "trial"]

Word = str | int
Stored = dict[str, tuple[str, Any, int]]
"""Of each key: its type, its value and its PTTL."""

_HOLES = re.compile(r"\{(\w+)\}|<(\w+)>")
_DRAWN: dict[str, Sequence[Word]] = {
    "str": ("x", "y", "", "0", "-1", "1e3", "\0 €|"),
    "name": ("x", "y", "z 1", "\n€"),
    "int": (0, 1, -1, 2, -2, 10, -1000, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)),
    "count": (0, 1, 1, 2, 3, 5, 10, 2**53, 2**63 - 1),
    "ms": (1, 50, 1_000, 30_000),
    "ms?": (0, 1, 50, 1_000, 30_000),
}
_RAISED = re.compile(r"user_script:(\d+): ([^\n]*?)(?:,? script: [0-9a-f]{40}.*)?$")
_PAUSES_MS = (0, 0, 0, 0, 1, 2, 50, 1_000, 30_001)


def trial(scripts: Iterable[Script], *, histories: int = 100, steps: int = 15) -> list[Finding]:
    """Run histories of scripts that share keys, and return what is wrong, each kind of fault once a script.

    Scripts without a header are left out.
    """
    runnable = [script for script in scripts if script.header]
    found: dict[tuple[str, int], Finding] = {}
    for seed in range(histories if runnable else 0):
        history = History(random.Random(seed))
        for _ in range(steps):
            for finding in history.step(history.random.choice(runnable)):
                found.setdefault((finding.file, finding.line), finding)
    return sorted(found.values())


class _Failed(NamedTuple):
    """An error reply."""

    text: str

    def __repr__(self) -> str:
        return f"the error {self.text!r}"


class History:
    """A keyspace for the Lua and one for the twins, a clock, and what was answered so far.

    ``errors``: the codes of the error replies so far, each with the script that gave it.
    """

    def __init__(self, drawn: random.Random) -> None:
        self.random = drawn
        self.clock = Clock()
        self.space, self.twins = (Keyspace(lambda: self.clock.now_us) for _ in range(2))
        self.seen: list[str] = []
        self.errors: set[tuple[Script, str]] = set()

    def step(self, script: Script) -> list[Finding]:
        """Let time pass, call the script, and compare the call with its header and its twin."""
        header = script.header
        assert header is not None
        self.clock.advance(ms=self.random.choice(_PAUSES_MS))
        keys, argv = self._drawn(script, header)
        before = self.space.dump()
        reply = _reply_of(self.space, Keyspace.run_lua, script, keys, argv)
        after = self.space.dump()
        call = f"(keys={keys!r} argv={argv!r})"
        # A refusal may be remembered for late copies of the call.
        answers = {name for key, name in zip(header.keys, keys, strict=True) if "<" in key.shape}
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        findings = self._compare(script, keys, argv, reply, after, call)
        if isinstance(reply, _Failed):
            self.errors.add((script, reply.text.split(" ", 1)[0]))
            return _failed(script, reply, bool(changed - answers), call) or findings
        answered = reply if _is_list(reply) else [reply]
        self.seen += [word for word in answered if isinstance(word, str) and word]
        findings += [*_reply(script, header, reply), *_stored(script, header, keys, before, after)]
        if header.repeat == "safe" or (header.repeat == "remembered" and argv[header.remember_at]):
            second = _reply_of(self.space, Keyspace.run_lua, script, keys, argv)
            findings += _repeated(script, (reply, after), (second, self.space.dump()), call)
            compared = self._compare(script, keys, argv, second, self.space.dump(), call)
            findings = findings or compared
        return findings

    def _compare(
        self, script: Script, keys: list[str], argv: list[Word], reply: Any, stored: Stored, call: str
    ) -> list[Finding]:
        """Make the same call of the twin, on a keyspace of its own."""
        if script.twin is None:
            # Its writes are there for the twins of others.
            self.twins.copy_from(self.space)
            return []
        try:
            mine = _reply_of(self.twins, script.twin, *keys, *argv)
        except Exception as error:  # whatever the twin raises is what is wrong with it
            return [_at(script, 1, "", f"its twin raises {error!r} {call}")]
        kept = self.twins.dump()
        if isinstance(mine, _Failed) and isinstance(reply, _Failed):
            same = mine.text.removeprefix("ERR ") in reply.text
        else:
            same = type(mine) is type(reply) and mine == reply
        if not same:
            return [_at(script, 1, "", f"its twin returns {mine!r:.80}, the Lua {reply!r:.80} {call}")]
        for key in sorted(kept.keys() | stored.keys()):
            if kept.get(key) != stored.get(key):
                what = f"its twin leaves {_shown(kept.get(key))} at {key}, the Lua {_shown(stored.get(key))} {call}"
                return [_at(script, 1, "", what)]
        return []

    def _drawn(self, script: Script, header: Header) -> tuple[list[str], list[Word]]:
        tags = {
            tag or part: self.random.choice(("a", "b") if tag else (f"{script.name}-1", f"{script.name}-2"))
            for key in header.keys
            for tag, part in _HOLES.findall(key.shape)
        }
        argv = [self._word(argument) for argument in header.fixed]
        # A part of a key, such as <nonce>, is the argument of that name.
        for argument, word in zip(header.fixed, argv, strict=True):
            if argument.word in tags and isinstance(word, str) and word:
                tags[argument.word] = word
        group = header.argv[len(header.fixed) :]
        least = max((argument.least for argument in group), default=0)
        for _ in range(self.random.randint(least, 3) if group else 0):
            argv += [self._word(argument) for argument in group]
        keys = [_HOLES.sub(lambda hole: _filled(hole, tags), key.shape) for key in header.keys]
        return keys, argv

    def _word(self, argument: Argument) -> Word:
        if argument.type in ("str", "name") and self.seen and self.random.random() < 0.5:
            return self.random.choice(self.seen[-4:])
        return self.random.choice(_DRAWN.get(argument.type) or argument.type.split("|"))


def _filled(hole: re.Match[str], tags: dict[str, str]) -> str:
    return "{" + tags[hole[1]] + "}" if hole[1] else tags[hole[2]]


# --- what a call left, held against the header ----------------------------------------------------


def _reply(script: Script, header: Header, reply: Any) -> list[Finding]:
    sizes = header.reply_sizes
    said = header.reply.split("\n")[0]
    why = _not_a_reply(reply)
    if why is None and _is_list(reply):
        if sizes is None and said[:1] in set('-0123456789"'):
            why = f"returns an array, {reply!r:.80}"
        elif sizes is not None and None not in sizes and len(reply) not in sizes:
            why = f"returns {len(reply)} values, {reply!r:.80}"
    elif why is None and (sizes is not None or not isinstance(reply, _type_of(said))):
        why = f"returns {reply!r:.80}"
    return [_at(script, _line_of(script, "-- REPLY "), "REPLY", f"{why}; REPLY says {said!r}")] if why else []


def _is_list(reply: Any) -> TypeGuard[list[Any]]:
    return isinstance(reply, list)


def _type_of(said: str) -> type | tuple[type, ...]:
    if re.match(r"-?\d+\b", said):
        return int
    return str if said.startswith('"') else (int, str, type(None))


def _not_a_reply(reply: Any, *, inside: bool = False) -> str | None:
    """Say what cannot cross the wire unchanged."""
    if _is_list(reply):
        return next((why for each in reply if (why := _not_a_reply(each, inside=True))), None)
    if type(reply) is int and abs(reply) > 2**53:
        return f"returns {reply}, above 2^53: servers round it"
    if type(reply) in (str, int) or (reply is None and not inside):
        return None
    return f"returns {reply!r:.80}{' inside an array' if inside else ''}: only integers and text cross the wire"


def _stored(script: Script, header: Header, keys: list[str], before: Stored, after: Stored) -> list[Finding]:
    findings = [
        _at(script, 1, "", f"changes {name}, which is not one of its keys")
        for name in sorted(after)
        if name not in keys and after[name][:2] != before.get(name, ())[:2]
    ]
    for key, name in zip(header.keys, keys, strict=True):
        kind, _, left = after.get(name, (key.kind, None, 0))
        if kind != key.kind and before.get(name, ("",))[0] != kind:
            findings.append(_at(script, key.line, key.word, f"stores a {kind} at {key.word!r}, declared as {key.kind}"))
        elif key.expiring and left == -1:
            findings.append(_at(script, key.line, key.word, f"leaves {key.word!r}, declared expiring, without a TTL"))
    return findings


def _shown(entry: tuple[str, Any, int] | None) -> str:
    if entry is None:
        return "nothing"
    kind, value, left = entry
    # The order of a set differs from run to run.
    shown = sorted(value) if kind == "set" else value
    return f"a {kind} {shown!r:.60} {'without a TTL' if left < 0 else f'for {left} ms'}"


def _reply_of(space: Keyspace, runs: Callable[..., Any], *words: Any) -> Any:
    try:
        return space.call(runs, *words)
    except ReplyError as error:
        return _Failed(str(error))


def _failed(script: Script, reply: _Failed, has_written: bool, call: str) -> list[Finding]:
    """Return what is wrong about an error reply: a write before it, or an error that Lua raised by itself."""
    if raised := _RAISED.search(reply.text):
        return [_at(script, int(raised[1]), "", f"fails: {raised[2]} {call}")]
    return [_at(script, 1, "", f"fails after a write: {reply.text} {call}")] if has_written else []


def _repeated(script: Script, first: tuple[Any, Stored], second: tuple[Any, Stored], call: str) -> list[Finding]:
    """Compare a call with the same one again, as after a lost reply."""
    (reply, stored), (other, after) = first, second
    changed = sorted(key for key in after.keys() | stored.keys() if after.get(key) != stored.get(key))
    if reply != other:
        what = f"a second run returns {other!r}, the first {reply!r} {call}"
    elif changed:
        what = f"a second run changes {changed[0]} again {call}"
    else:
        return []
    return [_at(script, _line_of(script, "-- REPEAT "), "REPEAT", f"REPEAT is wrong: {what}")]


def _line_of(script: Script, begins: str) -> int:
    lines = script.text.split("\n")
    return next((number for number, line in enumerate(lines, 1) if line.startswith(begins)), 1)


def _at(script: Script, line: int, word: str, what: str) -> Finding:
    code = script.text.split("\n")[line - 1]
    return Finding(script.file, line, max(code.find(word), 0) + 1, what, code=code)
