"""Calls of scripts, drawn from their headers and from what a history knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple, cast

from coord.names import INT64_MAX, INT64_MIN, percent_encode
from coord.script import Script
from coord.script.header import KINDS, Argument, Header, Key
from coord.testing.agreement import pools
from coord.testing.agreement.compare import Stored, Word, is_list

__all__ = ["Draws", "Made", "choices_of"]

_HOLES = re.compile(r"\{(\w+)\}|<(\w+)>")
_ANGLES = re.compile(r"<\w+>")
_CALL = re.compile(r"[^:]+$")
_TAGS = ("a", "b", "ö:{")
_PARTS = ("1", "2")
_SEQUENCES = (0, 1, 2, 3, -1, -2, -3)
_DIGITS = re.compile(r"-?\d{1,19}", re.ASCII).fullmatch
_MOST_KNOWN = 8


class Made(NamedTuple):
    """A call as it is made."""

    script: Script
    keys: tuple[str, ...]
    argv: tuple[Word, ...]

    @property
    def header(self) -> Header:
        """The header of its script, which every script that is compared has."""
        assert self.script.header is not None, f"{self.script.file} has no header"
        return self.script.header

    @property
    def answers(self) -> tuple[str, ...]:
        """Its keys that are named by the id of an operation or of a call: they keep answers."""
        return tuple(
            name for name, key in zip(self.keys, self.header.keys, strict=True) if _keeps_answers(self.header, key)
        )

    def with_repeated(self, flag: str) -> Made:
        """Return the call as the transport sends it again, or as its first copy."""
        at = self.script.repeated_at
        return self if at < 0 else self._replace(argv=(*self.argv[:at], flag, *self.argv[at + 1 :]))


class Draws:
    """Draws the calls of one history, and remembers their words.

    ``unit_us`` is the time in which the coarsest side moves; ``words`` are pools for words that need their own;
    ``lacks`` has commands that some side does not know.
    """

    def __init__(
        self, random: Random, unit_us: int, words: Mapping[str, Sequence[Word]], lacks: frozenset[str]
    ) -> None:
        self._random = random
        self._own = words
        self._lacks = lacks
        self._ms = [min(ms * max(1, unit_us // 1_000), pools.MS[-1]) for ms in pools.MS]
        # Most calls of a history are about one name.
        self._tag = random.choice(_TAGS)
        self._used: dict[str, list[Word]] = {}
        self._seen: list[str] = []
        self._texts: list[str] = []
        self._stored: Stored = {}
        self._numbers: list[int] = []
        self._nonces: dict[str, set[str]] = {}
        self._calls = 0
        self.times_ms: list[int] = []
        """Durations among the arguments of the calls."""

    # --- what it knows ---------------------------------------------------------------------------

    def learn(self, made: Made, reply: Any, stored: Stored) -> None:
        """Remember the words of a call that was made, of its reply, and of what is stored now."""
        for argument, value in zip(made.header.fixed, made.argv, strict=False):
            self._use(argument.word, value)
            if argument.word == "nonce":
                self._nonces.setdefault(str(value), set()).add(made.script.name)
            if argument.is_time and isinstance(value, int) and value not in self.times_ms:
                self.times_ms = [*self.times_ms[-_MOST_KNOWN:], value]
        repeats = [argument for argument in made.header.argv if argument.repeats]
        for argument, value in zip(repeats, made.argv[len(made.header.fixed) :], strict=False):
            self._use(argument.word, value)
        for word in _flat(reply):
            if isinstance(word, str) and word:
                self._seen = [*(each for each in self._seen if each != word), word][-_MOST_KNOWN:]
        self.look(stored)

    def look(self, stored: Stored) -> None:
        """Remember what is stored, and the texts and numbers in it."""
        self._stored = stored
        texts: dict[str, None] = {}
        for _, value, _ in stored.values():
            for text in _texts_of(value):
                texts.update(dict.fromkeys(text.split("|")) if "|" in text else {text: None})
        self._texts = [text for text in texts if 0 < len(text) <= 64][:200]
        self._numbers = [int(text) for text in self._texts if _DIGITS(text)]

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers that are stored."""
        return self._numbers

    def _use(self, word: str, value: Word) -> None:
        used = self._used.setdefault(word, [])
        if value in used:
            used.remove(value)
        used.append(value)
        del used[:-4]

    # --- calls -----------------------------------------------------------------------------------

    def call(self, script: Script) -> Made:
        """Return a call of a script."""
        header = script.header
        assert header is not None, f"{script.file} has no header"
        self._calls += 1
        argv = [self._word(script, argument) for argument in header.fixed]
        drawn = {argument.word: value for argument, value in zip(header.fixed, argv, strict=True)}
        group = [argument for argument in header.argv if argument.repeats]
        if group:
            least = max(argument.least for argument in group)
            for number in range(max(least, self._size(len(group)))):
                # A field that is given twice is a caller's error: each has another name.
                argv += [self._word(script, argument, number) for argument in group]
        parts = {
            tag or part: self._part(script, tag, part, drawn)
            for key in header.keys
            for tag, part in _HOLES.findall(key.shape)
        }
        return Made(script, tuple(_filled(key, parts) for key in header.keys), tuple(argv))

    def _size(self, group: int) -> int:
        random = self._random
        if random.random() < 0.01:
            return random.choice((999, 1000, 1001, 2001)) // group + random.choice((0, 1))
        return random.choice(pools.GROUPS)

    def _part(self, script: Script, tag: str, part: str, drawn: Mapping[str, Word]) -> str:
        """Return the text for one pair of braces or angles in the shape of a key."""
        random = self._random
        word = tag or part
        if word in self._own:
            return str(random.choice(self._own[word]))
        if tag:
            return self._tag if random.random() < 0.9 else random.choice(_TAGS)
        if word in drawn:
            return str(drawn[word])
        if word == "op_id":
            # An operation id belongs to one operation: no other is asked to repeat it.
            return f"{script.name}-{random.choice(_PARTS) if random.random() < 0.6 else self._calls}"
        known = self._ids(script, word)
        if known and random.random() < 0.7:
            return random.choice(known[-4:])
        assert script.header is not None
        if word != "call" and f"<{word}>" in script.header.keys[0].shape:
            return "1" if random.random() < 0.9 else random.choice(_PARTS)
        # The transport makes a new id for every call.
        return random.choice(_PARTS) if random.random() < 0.15 else f"c{self._calls}"

    def _ids(self, script: Script, word: str) -> list[str]:
        """Return the ids that other calls have given to entities of this shape: a reservation, a place in a queue."""
        assert script.header is not None
        found = next(key.shape for key in script.header.keys if f"<{word}>" in key.shape)
        before = found.partition("}")[2].partition("<")[0]
        # An answer belongs to one call, and a batch to one id.
        if not before.strip(":") or before in (":answered:", ":tombstone:"):
            return []
        head = f"{{{self._tag}}}{before}"
        return [key.rpartition(head)[2] for key in self._stored if head in key]

    def _word(self, script: Script, argument: Argument, number: int = 0) -> Word:
        """Return a value for one argument; ``number`` counts the groups before it."""
        random = self._random
        if argument.word in self._own:
            return random.choice(self._own[argument.word])
        if "|" in argument.type:
            words = choices_of(argument, self._own, self._lacks)
            return words[0] if argument.word == "repeated" and random.random() < 0.7 else random.choice(words)
        if argument.word == "nonce":
            return self._nonce(script)
        if argument.word == "sequence":
            return random.choice(_SEQUENCES) if random.random() < 0.95 else random.choice(pools.INTS)
        if argument.repeats and number > 4:
            return 1 if argument.type in ("int", "count") else f"w{number}"
        if argument.type in ("int", "count"):
            return self._integer(argument)
        if argument.is_time:
            used = [ms for ms in self._used.get(argument.word, ()) if ms]
            zero = argument.type == "ms?" and random.random() < 0.3
            return 0 if zero else random.choice(used) if used and random.random() < 0.2 else random.choice(self._ms)
        return self._text(argument, number)

    def _nonce(self, script: Script) -> str:
        """Return an id that coord made: of a call of another script, or a new one."""
        known = [nonce for nonce, names in self._nonces.items() if script.name not in names]
        if known and self._random.random() < 0.7:
            # One that something stored still has is accepted more often.
            known = [nonce for nonce in known if nonce in self._texts] or known
            return self._random.choice(known[-4:])
        return f"n{self._calls}"

    def again(self, made: Made) -> Made:
        """Return a call as it is made again: a copy, or a new call of the same attempt."""
        random = self._random
        if random.random() < 0.3:
            self._calls += 1
            shapes = zip(made.keys, made.header.keys, strict=True)
            keys = [_CALL.sub(f"c{self._calls}", key) if "<call>" in shape.shape else key for key, shape in shapes]
            made = made._replace(keys=tuple(keys))
        return made.with_repeated(random.choice("01"))

    def _text(self, argument: Argument, number: int) -> str:
        random = self._random
        used = self._used.get(argument.word)
        dice = random.random()
        if argument.type == "str" and random.random() < 0.15:
            found = ""
        elif used and dice < 0.5:
            found = str(random.choice(used))
        elif self._seen and dice < 0.65:
            found = random.choice(self._seen)
        elif self._texts and dice < 0.75:
            found = random.choice(self._texts)
        elif dice > 0.98:
            found = "n" * random.choice((255, 1_024))
        else:
            found = random.choice(pools.NAMES if argument.type == "name" else pools.TEXTS)
        if argument.type == "name":
            # A text that a key holds may be longer than a name.
            found = found.encode()[:1024].decode(errors="ignore") or "x"
        return f"{found[:1000]}{number}" if argument.repeats and number else found

    def _integer(self, argument: Argument) -> int:
        random = self._random
        low = 0 if argument.type == "count" else INT64_MIN
        dice = random.random()
        used = self._used.get(argument.word)
        if dice < 0.4:
            found = random.randint(0, 3) if low == 0 else random.randint(-3, 3)
        elif dice < 0.5 and used:
            found = int(random.choice(used))
        elif dice < 0.75:
            found = random.choice(pools.COUNTS if low == 0 else pools.INTS)
        elif dice < 0.9 and self._numbers:
            # An amount that brings a stored number to an edge, just short of it, or just beyond; or the number itself.
            stored = random.choice(self._numbers)
            edge = random.choice((INT64_MAX, INT64_MIN, 2**53, -(2**53), 10**9, 0, 2 * stored))
            found = edge - stored + random.choice((-1, 0, 0, 1))
        else:
            size = random.randint(1, 18)
            found = random.randint(10 ** (size - 1), 10**size) * (1 if low == 0 else random.choice((1, -1)))
        return max(low, min(INT64_MAX, found))

    # --- foreign writers ---------------------------------------------------------------------------

    def foreign(
        self, made: Made, stored: Stored, asked: Iterable[tuple[str, str]], *, types_only: bool = False
    ) -> Made:
        """Return a write to one of the keys of a call, such as coord never makes.

        ``asked``: the fields that the call reads. ``types_only``: leave a value of another type, and no other.
        """
        random = self._random
        shapes = made.header.keys
        at = 0 if random.random() < 0.7 else random.randrange(len(shapes))
        key, declared = made.keys[at], shapes[at]
        ttl_ms = random.choice((0, 0, *self._ms))
        now = stored.get(key)
        # Ids of calls are known to coord alone: only the type of such a key is disturbed.
        if types_only or _keeps_answers(made.header, declared):
            words = random.choice(_OTHER_TYPE[declared.kind])
            return Made(pools.FOREIGN, (key,), (1, ttl_ms, *words))
        fields = sorted(field for of, field in asked if of == key)
        if fields and now is not None and now[0] == "hash" and random.random() < 0.6:
            return Made(pools.FOREIGN, (key,), (0, ttl_ms, "HSET", random.choice(fields), self._number()))
        if now is not None and random.random() < 0.7:
            return Made(pools.FOREIGN, (key,), self._edit(*now[:2], ttl_ms))
        return Made(pools.FOREIGN, (key,), (1, ttl_ms, *self._foreign_value(declared)))

    def _number(self) -> str:
        return self._random.choice(pools.FREQUENT if self._random.random() < 0.4 else pools.NUMBERS)

    def _foreign_value(self, declared: Key) -> tuple[str, ...]:
        random = self._random
        number = self._number()
        dice = random.random()
        if dice < 0.35:
            return random.choice(_OTHER_TYPE[declared.kind])
        match declared.kind:
            case "string":
                parts = [random.choice(("", "x", "o", *pools.NUMBERS[:6])) for _ in range(random.randint(0, 3))]
                return ("SET", "|".join([*parts, number]))
            case "hash":
                return ("HSET", random.choice(("", "x", "z")), number, "y", random.choice(pools.NUMBERS))
            case "zset":
                return ("ZADD", random.choice(pools.SCORES), random.choice(("x", "", "x|y", number)))
            case "set":
                return ("SADD", number, "x")
            case "list":
                return ("RPUSH", number) if random.random() < 0.9 else ("FILL",)
            case _:
                return ("SET", number)

    def _edit(self, kind: str, value: Any, ttl_ms: int) -> tuple[Word, ...]:
        """Return the words that change one part of a stored value."""
        random = self._random
        number = self._number()
        match kind:
            case "hash":
                field = random.choice(sorted(value))
                if random.random() < 0.25:
                    return (0, 0, "HDEL", field)
                old = value[field]
                head, bar, _ = old.rpartition("|")
                return (0, ttl_ms, "HSET", field, head + bar + number if random.random() < 0.8 else "x")
            case "string":
                parts = value.split("|")
                parts[random.randrange(len(parts))] = random.choice((number, number, "", "x"))
                return (0, ttl_ms, "SET", "|".join(parts[: random.choice((1, 2, 9))]))
            case "zset":
                member = random.choice(sorted(value))
                if random.random() < 0.3:
                    return (0, ttl_ms, "ZREM", member)
                return (0, ttl_ms, "ZADD", random.choice(pools.SCORES), random.choice((member, member, "x|y", "")))
            case _:
                return (0, ttl_ms, "DEL")


_WRITES: Mapping[str, tuple[str, ...]] = {
    "string": ("SET", "x"),
    "hash": ("HSET", "x", "1"),
    "list": ("RPUSH", "x"),
    "set": ("SADD", "x"),
    "zset": ("ZADD", "1", "x"),
}
_OTHER_TYPE = {kind: [words for of, words in _WRITES.items() if of != kind] for kind in KINDS}


def _keeps_answers(header: Header, key: Key) -> bool:
    """Return whether a key has an id behind the name of the entity, which is what the first key shows."""
    return len(_ANGLES.findall(key.shape)) > len(_ANGLES.findall(header.keys[0].shape))


def choices_of(
    argument: Argument, words: Mapping[str, Sequence[Word]], lacks: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Return the words that may be drawn for an argument that is a choice."""
    own = words.get(argument.word, argument.type.split("|"))
    return tuple(str(word) for word in own if word not in lacks)


def _filled(key: Key, parts: Mapping[str, str]) -> str:
    return _HOLES.sub(lambda hole: "{" + percent_encode(parts[hole[1]]) + "}" if hole[1] else parts[hole[2]], key.shape)


def _flat(reply: Any) -> list[Any]:
    if not is_list(reply):
        return [reply]
    return [word for each in reply[:50] for word in _flat(each)]


def _texts_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        found: list[str] = []
        for field, each in list(cast("dict[str, Any]", value).items())[:100]:
            # A hash has texts, a sorted set scores, a stream the fields and values of an entry.
            more = each if is_list(each) else [each if isinstance(each, str) else f"{each:.0f}"]
            found += (field, *more)
        return found
    if is_list(value):
        return [str(each) for each in value[:20]]
    return sorted(value)[:20]
