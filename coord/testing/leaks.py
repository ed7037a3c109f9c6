"""Is anything left behind? Keys that never expire, threads, sockets, tasks.

    with nothing_left_behind(), coord.connect(url) as c:
        ...
        assert_no_leaks(c)

Every key that coord writes has a TTL, unless its owner asked for a permanent one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from coord.clock import SYSTEM
from coord.coordinator import Coordinator, runner_of
from coord.memory.runner import Memory
from coord.names import escape_glob

__all__ = ["assert_no_leaks", "leaked_keys", "nothing_left_behind", "open_sockets"]

ENDING_SECONDS = 2.0


def assert_no_leaks(where: Any, permanent: Collection[str] = (), *, prefix: str | None = None) -> None:
    """Fail if a key lives for ever that is not on the list; see ``leaked_keys``."""
    leaked = leaked_keys(where, permanent, prefix=prefix)
    if leaked:
        raise AssertionError(f"{len(leaked):,} keys have no TTL and are not on the list: {', '.join(leaked[:20])}")


def leaked_keys(where: Any, permanent: Collection[str] = (), *, prefix: str | None = None) -> list[str]:
    """Return the keys under ``prefix`` that never expire, in order.

    ``where``: a coordinator on ``memory://``, or a blocking client of redis-py; a cluster's looks at every node.
    ``permanent``: keys that may stay for ever, as patterns such as ``coord:version:*``.
    ``prefix``: that of the coordinator when it is None, and ``coord:`` for a client.
    """
    prefix = str(getattr(where, "prefix", "coord:")) if prefix is None else prefix
    forever = _forever_in_memory(where) if isinstance(where, Coordinator) else _forever_on_server(where, prefix)
    return sorted(
        key for key in forever if key.startswith(prefix) and not any(fnmatchcase(key, pattern) for pattern in permanent)
    )


def _forever_in_memory(c: Coordinator) -> Iterator[str]:
    runner = runner_of(c)
    if not isinstance(runner, Memory):
        raise TypeError("leaked_keys looks at a server through a client of redis-py: hand that in, and the prefix")
    for key, (_, _, left_ms) in runner.space.dump().items():
        if left_ms < 0:
            yield key


def _forever_on_server(client: Any, prefix: str) -> Iterator[str]:
    for key in client.scan_iter(match=f"{escape_glob(prefix)}*", count=1000):
        # -1: it is there and never expires; -2: it has gone since.
        if client.pttl(key) == -1:
            yield key.decode(errors="surrogateescape") if isinstance(key, bytes) else key


# --- of this process -----------------------------------------------------------------------------


@contextmanager
def nothing_left_behind() -> Generator[None, None, None]:
    """Fail if the ``with`` block leaves threads, sockets or tasks of the running loop behind.

    What is ending when the block is left has two seconds to end; tasks have to be over.
    """
    threads, sockets, tasks = set(threading.enumerate()), open_sockets(), _tasks()
    yield
    end = SYSTEM.monotonic() + ENDING_SECONDS
    while (left := _left(threads, sockets)) and SYSTEM.monotonic() < end:
        SYSTEM.sleep(0.01)
    left += [repr(task) for task in _tasks() - tasks if not task.done()]
    if left:
        raise AssertionError(f"left behind: {', '.join(left)}")


def _left(threads: set[threading.Thread], sockets: Collection[str]) -> list[str]:
    return [
        *(repr(thread) for thread in threading.enumerate() if thread not in threads),
        *sorted(open_sockets().difference(sockets)),
    ]


def _tasks() -> set[asyncio.Task[Any]]:
    try:
        running = asyncio.current_task()
        return asyncio.all_tasks() - ({running} if running else set())
    except RuntimeError:
        return set()


def open_sockets() -> set[str]:
    """The sockets that this process has open; none where the system does not tell."""
    descriptors = Path("/proc/self/fd")
    found: set[str] = set()
    for descriptor in descriptors.iterdir() if descriptors.exists() else ():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            # The one by which the folder itself was read.
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found
