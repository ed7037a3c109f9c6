"""The event loops of coord's asynchronous work: that of an async coordinator, or one background loop per process.

An async coordinator uses no thread. All blocking coordinators of a process share one daemon thread with an event loop;
it starts with the first piece of work and ends with the last.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Callable
from typing import Any, Protocol

from coord.errors import ConfigError
from coord.fork import register

__all__ = ["BACKGROUND", "BackgroundLoop", "Home", "RunningLoop", "check_loop"]

_EXIT_SECONDS = 1.0
"""The most that the exit of the interpreter waits for the background loop."""


def check_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Raise ``ConfigError`` in another event loop than the coordinator's."""
    if asyncio.get_running_loop() is not loop:
        raise ConfigError("this coordinator belongs to another event loop: call connect_async in each loop")


class Home(Protocol):
    """An event loop for work that may be started from any thread. Homes with the same ``place`` share what they run."""

    @property
    def place(self) -> object:
        """The identity of the loop."""
        ...

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the loop; each call is matched by one of ``leave``. ``RuntimeError``: no thread can be started."""
        ...

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Release the loop: it may end."""
        ...

    def call(self, loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
        """Call a function in the loop; a closed loop ignores it."""
        ...


class RunningLoop:
    """The loop in which this is made: that of an async coordinator."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    @property
    def place(self) -> object:
        """The loop itself."""
        return self._loop

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        return self._loop

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop is the user's: nothing to do."""

    def call(self, loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
        """Call a function in the loop; a closed loop ignores it."""
        _call(loop, function, args, here=threading.get_ident() == self._thread)


class BackgroundLoop:
    """One daemon thread with an event loop. The loop lasts while it has users; a child of a fork has its own."""

    def __init__(self) -> None:
        self._abandoned: list[object] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.reset_after_fork()
        register(self)
        atexit.register(self._stop_at_exit)

    def reset_after_fork(self) -> None:
        """Forget the parent's loop, whose sockets and selector must not be closed or used here."""
        self._abandoned.append(self._loop)
        self._lock = threading.RLock()
        self._loop = None
        self._thread: threading.Thread | None = None
        self._users = 0

    @property
    def place(self) -> object:
        """The thread."""
        return None

    def enter(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if need be; each call is matched by one of ``leave``."""
        with self._lock:
            if self._loop is None:
                self._start()
            assert self._loop is not None
            self._users += 1
            return self._loop

    def _start(self) -> None:
        # Not from the policy: its loops may need the main thread (Qt), or end with TLS half closed (uvloop).
        loop = asyncio.SelectorEventLoop()
        thread = threading.Thread(target=_run, args=(loop,), name="coord-background", daemon=True)
        try:
            thread.start()
            self._loop, self._thread, self._users = loop, thread, 0
        except BaseException:
            self._loop = None
            if thread.is_alive():
                # Interrupted after the thread had started.
                loop.call_soon_threadsafe(loop.stop)
            else:
                loop.close()
            raise

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Release the loop; it ends with its last user."""
        with self._lock:
            if loop is not self._loop:
                return
            self._users -= 1
            if self._users <= 0:
                self._loop = self._thread = None
                loop.call_soon_threadsafe(loop.stop)

    def call(self, loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
        """Call a function in the loop; a closed loop ignores it."""
        _call(loop, function, args, here=self.is_current(loop))

    def is_current(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether this thread runs the loop."""
        thread = self._thread
        return thread is not None and loop is self._loop and thread.ident == threading.get_ident()

    def _stop_at_exit(self) -> None:
        """End the loop before the interpreter is torn down: a daemon thread must not run into that."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
            thread.join(_EXIT_SECONDS)


def _call(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], args: tuple[Any, ...], *, here: bool
) -> None:
    with contextlib.suppress(RuntimeError):
        (loop.call_soon if here else loop.call_soon_threadsafe)(function, *args)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, and cancel what is left in it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_EXIT_SECONDS))
    finally:
        loop.close()


BACKGROUND = BackgroundLoop()
"""The background loop of this process."""
