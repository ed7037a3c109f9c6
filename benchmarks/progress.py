"""How far a run has come, on stderr: one line that is rewritten on a terminal, a line for each case elsewhere."""

from __future__ import annotations

import shutil
import sys
import time


class Progress:
    """The progress of a number of cases."""

    def __init__(self, cases: int) -> None:
        self._cases = cases
        self._begun = 0
        self._start = time.perf_counter()
        self._title = ""
        self._terminal = sys.stderr.isatty()

    def begin(self, title: str) -> None:
        """Show that the next case begins."""
        self._begun += 1
        self._title = title
        if self._terminal:
            self.tell(title)
        else:
            print(self._line(title), file=sys.stderr, flush=True)

    def tell(self, doing: str) -> None:
        """Show what is being measured now; only on a terminal."""
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{self._line(doing)[:width]}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _line(self, text: str) -> str:
        return f"[{self._begun:2}/{self._cases}] {time.perf_counter() - self._start:5.0f} s  {text}"
