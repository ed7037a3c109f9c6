"""Children of the process that runs the tests."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import TypeVar

import pytest
from live import SOON

T = TypeVar("T", bound=Callable[..., object])


def forks(test: T) -> T:
    """A test that forks, although other threads are there: what then becomes of the child is what it is about."""
    test = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")(test)
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")(test)


class Child:
    """A fork of this process that runs a function, and ends."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._said, writer = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            code = 1
            try:
                # Who hangs, on a lock that nobody will open, is ended.
                signal.alarm(int(2 * SOON))
                os.write(writer, str(run()).encode())
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writer)

    def result(self) -> str:
        """Wait for what the function returned, as text; fail here if it failed there."""
        with os.fdopen(self._said) as pipe:
            said = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, "the child failed"
        return said


def in_child(run: Callable[[], object]) -> str:
    """Run in a child, and return what it returned, as text."""
    return Child(run).result()
