"""Journals: what a worker asked and was answered, in a file that outlives it.

A line is written before each call and after it. The file of a worker that was killed ends with calls that have no
answer: these may have run. Times are those of ``time.monotonic``, one clock for all processes of a machine.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

__all__ = ["Fact", "Journal", "Record", "read"]


@dataclass(slots=True)
class Record:
    """A call. ``outcome`` is "" when the worker died before it was answered."""

    worker: str
    family: str
    entity: str
    op: str
    note: Any
    started: float
    ended: float = inf
    outcome: str = ""
    value: Any = None

    @property
    def is_done(self) -> bool:
        """Whether there was an answer."""
        return self.outcome == "done"

    @property
    def is_open(self) -> bool:
        """Whether it may have taken effect, and nobody knows."""
        return self.outcome in ("", "unknown")


@dataclass(slots=True)
class Fact:
    """Something that a worker saw."""

    worker: str
    family: str
    entity: str
    what: str
    value: Any
    at: float


class Journal:
    """The journal that a worker writes; its threads share it."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._lock = threading.Lock()
        self._number = 0

    def asked(self, family: str, entity: str, op: str, note: Any) -> int:
        """Write that a call begins; return its number."""
        with self._lock:
            self._number = number = self._number + 1
        self._write(("?", number, family, entity, op, note, monotonic()))
        return number

    def answered(self, number: int, ended: float, outcome: str, value: Any) -> None:
        """Write what came of a call."""
        self._write(("!", number, ended, outcome, value))

    def fact(self, family: str, entity: str, what: str, value: Any) -> None:
        """Write something that was seen."""
        self._write(("=", family, entity, what, value, monotonic()))

    def _write(self, line: tuple[Any, ...]) -> None:
        # One write for each line: lines of several threads do not mix, and a killed worker leaves whole lines.
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read(file: Path) -> Iterator[Record | Fact]:
    """Yield what a journal holds."""
    worker, records = file.stem, dict[int, Record]()
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            match json.loads(line):
                case ["?", number, family, entity, op, note, started]:
                    records[number] = Record(worker, family, entity, op, note, started)
                case ["!", number, ended, outcome, value]:
                    record = records[number]
                    record.ended, record.outcome, record.value = ended, outcome, value
                case ["=", family, entity, what, value, at]:
                    yield Fact(worker, family, entity, what, value, at)
    yield from records.values()
