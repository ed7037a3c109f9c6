"""How far it has come: a bar where rich is installed and somebody watches, a line for each case elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Shown(Protocol):
    """What a run tells its progress to."""

    def tell(self, doing: str) -> None:
        """What is done now."""
        ...

    def begin(self, title: str) -> None:
        """Another case begins."""
        ...


@contextmanager
def progress(cases: int) -> Iterator[Shown]:
    """Show the progress of that many cases on stderr."""
    if sys.stderr.isatty():
        try:
            with _bar(cases) as bar:
                yield bar
                return
        except ModuleNotFoundError:
            pass
    yield Lines(cases)


class Lines:
    """A line for each case."""

    def __init__(self, cases: int) -> None:
        self._cases = cases
        self._begun = 0
        self._start = time.perf_counter()

    def tell(self, doing: str) -> None:
        """Too much for lines."""

    def begin(self, title: str) -> None:
        """Print a line."""
        self._begun += 1
        seconds = time.perf_counter() - self._start
        print(f"[{self._begun:2}/{self._cases}] {seconds:5.0f} s  {title}", file=sys.stderr, flush=True)


class Bar:
    """A bar of cases, and what is done now."""

    def __init__(self, advance: Callable[[], None], describe: Callable[[str], None]) -> None:
        self._advance, self.tell = advance, describe
        self._begun = False

    def begin(self, title: str) -> None:
        """Another case begins; the one before is done."""
        if self._begun:
            self._advance()
        self._begun = True
        self.tell(title)


@contextmanager
def _bar(cases: int) -> Iterator[Bar]:
    from rich.console import Console  # noqa: PLC0415  # an extra that may be missing
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("[dim]{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=cases)
        yield Bar(lambda: shown.advance(task), lambda doing: shown.update(task, description=doing))
