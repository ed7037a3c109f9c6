"""Trial runs: scripts are called in memory with drawn arguments, and each call is held against the header.

    assert trial([RESERVE, CANCEL]) == []

After every call: the reply is what REPLY says, only declared keys have changed, each is of its declared kind, a key
that is declared ``expiring`` has a TTL, and a script that says ``REPEAT safe`` changes and answers nothing else when it
runs once more. Draws are the same on every run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from coord.errors import ReplyError
from coord.memory import Keyspace
from coord.script import Argument, Header, Script
from coord.testing.clock import Clock
from coord.testing.lint import Finding

__all__ = ["trial"]

Word = str | int

_HOLES = re.compile(r"\{(\w+)\}|<(\w+)>")
_DRAWN: dict[str, Sequence[Word]] = {
    "str": ("x", "y", "", "0", "-1", "1e3", "\0 €|"),
    "name": ("x", "y", "z 1", "\n€"),
    "int": (0, 1, -1, 2, -2, 10, -1000, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)),
    "count": (0, 1, 1, 2, 3, 5, 10, 2**53, 2**63 - 1),
    "ms": (1, 50, 1_000, 30_000),
    "ms?": (0, 1, 50, 1_000, 30_000),
}
_PAUSES_MS = (0, 0, 0, 0, 1, 2, 50, 1_000, 30_001)


def trial(scripts: Iterable[Script], *, histories: int = 100, steps: int = 15) -> list[Finding]:
    """Run histories of scripts that share keys, and return what is wrong, each kind of fault once a script.

    Scripts without a header or a twin are left out.
    """
    runnable = [script for script in scripts if script.header and script.twin]
    found: dict[tuple[str, int], Finding] = {}
    for seed in range(histories if runnable else 0):
        history = _History(random.Random(seed))
        for _ in range(steps):
            for finding in history.step(history.random.choice(runnable)):
                found.setdefault((finding.file, finding.line), finding)
    return sorted(found.values())


class _History:
    """One keyspace, a clock, and what was answered so far."""

    def __init__(self, drawn: random.Random) -> None:
        self.random = drawn
        self.clock = Clock()
        self.space = Keyspace(lambda: self.clock.now_us)
        self.seen: list[str] = []

    def step(self, script: Script) -> list[Finding]:
        """Let time pass, call the script, and hold the call against its header."""
        header = script.header
        assert header is not None
        self.clock.advance(ms=self.random.choice(_PAUSES_MS))
        keys, argv = self._drawn(script, header)
        before = self.space.dump()
        try:
            reply = self._run(script, keys, argv)
        except ReplyError as error:
            # A refusal may be remembered for late copies of the call.
            answers = {name for key, name in zip(header.keys, keys, strict=True) if "<" in key.shape}
            after = self.space.dump()
            changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
            return [_half_way(script, error, keys, argv)] if set(changed) - answers else []
        except Exception as error:  # whatever the twin raises is what is wrong with it
            return [_at(script, 1, "", f"its twin raises {error!r} {_call(keys, argv)}")]
        after = self.space.dump()
        answered = reply if _is_list(reply) else [reply]
        self.seen += [word for word in answered if isinstance(word, str) and word]
        findings = [
            *_reply(script, header, reply),
            *_stored(script, header, keys, before, after),
        ]
        if header.repeat == "safe" or (header.repeat == "remembered" and argv[header.remember_at]):
            findings += self._again(script, keys, argv, reply, after)
        return findings

    def _run(self, script: Script, keys: list[str], argv: list[Word]) -> Any:
        assert script.twin is not None
        return self.space.call(script.twin, *keys, *argv)

    def _again(
        self, script: Script, keys: list[str], argv: list[Word], first: Any, stored: dict[str, Any]
    ) -> list[Finding]:
        """Make the same call once more, as after a lost reply."""
        line = _line_of(script, "-- REPEAT ")
        try:
            reply = self._run(script, keys, argv)
        except ReplyError as error:
            reply = str(error)
        after = self.space.dump()
        if reply != first:
            what = f"a second run returns {reply!r}, the first {first!r} {_call(keys, argv)}"
        elif changed := sorted(key for key in after.keys() | stored.keys() if after.get(key) != stored.get(key)):
            what = f"a second run changes {changed[0]} again {_call(keys, argv)}"
        else:
            return []
        return [_at(script, line, "REPEAT", f"REPEAT is wrong: {what}")]

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


def _stored(
    script: Script, header: Header, keys: list[str], before: dict[str, Any], after: dict[str, Any]
) -> list[Finding]:
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


def _half_way(script: Script, error: ReplyError, keys: list[str], argv: list[Word]) -> Finding:
    return _at(script, 1, "", f"fails after a write: {error} {_call(keys, argv)}")


def _call(keys: list[str], argv: list[Word]) -> str:
    return f"(keys={keys!r} argv={argv!r})"


def _line_of(script: Script, begins: str) -> int:
    lines = script.text.split("\n")
    return next((number for number, line in enumerate(lines, 1) if line.startswith(begins)), 1)


def _at(script: Script, line: int, word: str, what: str) -> Finding:
    code = script.text.split("\n")[line - 1]
    return Finding(script.file, line, max(code.find(word), 0) + 1, what, code=code)
