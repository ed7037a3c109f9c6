"""The outcomes of a script: what its header declares, and which of them a call had."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from coord.script.header import Argument, Header
from coord.testing.agreement.compare import Answer, Failed, Stored, Word, is_list

__all__ = ["NOTICE", "REPEATED", "Outcomes"]

NOTICE = "notice"
REPEATED = "repeated"
_OTHER = "other"
_EMPTY = "{}"

_STATES = ("READONLY", "MISCONF", "NOREPLICAS", "OOM")

_LITERAL = re.compile(r'(?:^|(?<=[\s;,]))(-?\d+|"[^"]*")(?= when\b| for\b|[:;,])|(?:^|(?<=else ))(-?\d+|"[^"]*")$')
_WORDS = re.compile(r"((?:[\w-]+, )+(?:or )?[\w-]+|[\w-]+ or [\w-]+)(?=[:;,]|$)")
_GROUP = re.compile(r"\{((?:[^{}]|\{[^{}]*\})*)\}")


@dataclass(frozen=True)
class _Array:
    """One of the arrays that REPLY allows: ``{granted, nonce, ...}``."""

    text: str
    words: tuple[str, ...]
    has_more: bool

    def fits(self, reply: Sequence[Any]) -> bool:
        size = len(self.words)
        # How many of the words before the dots repeat is not written down.
        if not self.has_more and len(reply) != size:
            return False
        return all(_is(word, value) for word, value in zip(self.words, reply, strict=False) if _is_literal(word))


@dataclass(frozen=True)
class Outcomes:
    """The outcomes that the header of a script declares; ``of`` names those of one call."""

    header: Header
    choices: Mapping[str, tuple[str, ...]]
    """The words that are drawn for each argument that is a choice."""

    @cached_property
    def declared(self) -> tuple[str, ...]:
        """Return every outcome that has to be reached."""
        return tuple(dict.fromkeys([*self._replies(), *self._choices(), *self.errors, *self._effects()]))

    def of(self, argv: Sequence[Word], answer: Answer, before: Stored) -> list[str]:
        """Return the outcomes of a call that was answered."""
        if isinstance(answer.reply, Failed):
            return [self.error(answer.reply)]
        found = [*self._of_reply(answer.reply)]
        if answer.notices:
            found.append(NOTICE)
        if self.is_read or answer.stored != before:
            words = {argument.word: value for argument, value in zip(self.header.fixed, argv, strict=False)}
            found += [f"{word}:{words[word]}" for word, many in self.choices.items() if words.get(word) in many]
        return found

    def error(self, failed: Failed) -> str:
        """Return the code that the header declares for an error reply; "" when there is none.

        WRONGTYPE needs no declaration: it may come from a key that only coord's own ids lead to.
        """
        return next((code for code in (*self.errors, "WRONGTYPE") if code.removeprefix("ERR ") in failed.text), "")

    @cached_property
    def is_read(self) -> bool:
        """Whether COST says that the script writes nothing."""
        return "no write" in self.header.cost

    @cached_property
    def errors(self) -> tuple[str, ...]:
        """The codes that ERRORS has, without those of a server that cannot write."""
        listed = " ".join(self.header.errors.split()).split(",")
        codes = [code.partition(":")[0].strip() for code in listed]
        return tuple(code for code in codes if code not in ("", "none", *_STATES))

    # --- replies ---------------------------------------------------------------------------------

    @cached_property
    def _entries(self) -> list[str]:
        """REPLY: its first line, and each line that explains a word, with what continues them."""
        entries: list[str] = []
        for line in self.header.reply.split("\n"):
            if line.startswith(" ") and entries:
                entries[-1] += " " + line.strip()
            elif line.strip():
                entries.append(line)
        return entries

    @cached_property
    def _arrays(self) -> tuple[_Array, ...]:
        return tuple(_array(found[1]) for found in _GROUP.finditer(self._entries[0]))

    @cached_property
    def _literals(self) -> tuple[str, ...]:
        # Dots stand for the form of a text.
        return tuple(text for text in _literals_in(self._entries[0]) if "..." not in text)

    @cached_property
    def _explained(self) -> dict[str, tuple[str, ...]]:
        """Of each word of the reply, the values that its line lists."""
        found: dict[str, tuple[str, ...]] = {}
        for entry in self._entries[1:]:
            word, _, meaning = entry.partition(" ")
            meaning = meaning.strip()
            literals = _literals_in(meaning)
            if not literals and (words := _WORDS.match(meaning)):
                literals = tuple(f'"{each}"' for each in re.split(r", or |, | or ", words[1]))
                found[word] = literals
            elif literals:
                # One value alone is described for what the others are not.
                found[word] = (*literals, _OTHER) if len(literals) == 1 else literals
        return found

    def _replies(self) -> Iterator[str]:
        if not self._arrays:
            yield from self._literals
            if not self._entries[0].startswith(self._literals or ("...",)):
                yield _OTHER
            return
        for array in self._arrays:
            if len(self._arrays) > 1 or not array.words:
                yield array.text
            if array.has_more and (array.words or not self._answers_each):
                yield f"{array.text} with more" if array.words else _EMPTY
            for word in array.words:
                yield from (f"{word}={value}" for value in self._explained.get(word, ()))

    @cached_property
    def _answers_each(self) -> bool:
        """Whether arguments repeat at least once, so that a reply with a value for each is never empty."""
        return any(argument.repeats and argument.least for argument in self.header.argv)

    def _of_reply(self, reply: Any) -> Iterator[str]:
        if not is_list(reply):
            yield next((text for text in self._literals if _is(text, reply)), _OTHER)
            return
        if not reply:
            yield _EMPTY
            return
        array = max(
            (array for array in self._arrays if array.fits(reply)),
            key=lambda each: sum(map(_is_literal, each.words)),
            default=None,
        )
        if array is None:
            return
        if len(self._arrays) > 1 or not array.words:
            yield array.text
        if array.has_more and array.words and len(reply) >= len(array.words):
            yield f"{array.text} with more"
        for word, value in zip(array.words, reply, strict=False):
            if values := self._explained.get(word):
                yield f"{word}={next((text for text in values if _is(text, value)), _OTHER)}"

    # --- arguments and effects -------------------------------------------------------------------

    def _choices(self) -> Iterator[str]:
        for word, many in self.choices.items():
            yield from (f"{word}:{one}" for one in many)

    def _effects(self) -> Iterator[str]:
        if any(is_notice(argument) for argument in self.header.argv):
            yield NOTICE
        if self.header.repeat in ("safe", "remembered"):
            yield REPEATED


def _literals_in(text: str) -> tuple[str, ...]:
    return tuple(found[1] or found[2] for found in _LITERAL.finditer(text))


def is_notice(argument: Argument) -> bool:
    """Return whether an argument is the command that notifies waiters."""
    return "PUBLISH" in argument.type.split("|")


def _array(inside: str) -> _Array:
    flat = re.sub(r"\{[^{}]*\}", "row", inside)
    words = [word.strip() for word in flat.split(",") if word.strip()]
    if "..." in words:
        at = words.index("...")
        # Of one word, or of two such as a field and its count, all repeat.
        return _Array("{" + words[0] + ", ...}", tuple(words[:at]) if at > 2 or "row" in words else (), has_more=True)
    return _Array("{" + ", ".join(words) + "}", tuple(words), has_more=False)


def _is_literal(word: str) -> bool:
    return word.lstrip("-").isdigit() or word.startswith('"')


def _is(text: str, value: Any) -> bool:
    """Return whether a value is what a literal of the header says."""
    if text.startswith('"'):
        return bool(value == text[1:-1])
    return text.lstrip("-").isdigit() and type(value) is int and value == int(text)
