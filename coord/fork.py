"""Reset state in the child of a fork: locks that another thread held, and connections and tasks of the parent."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["ForkSafeLock", "register"]


class ResetsAfterFork(Protocol):
    """Something that a child of a fork must reset before it uses it."""

    def reset_after_fork(self) -> None:
        """Reset the state, in a child whose only thread is this one."""
        ...


_all: weakref.WeakSet[ResetsAfterFork] = weakref.WeakSet()


def register(each: ResetsAfterFork) -> None:
    """Call ``reset_after_fork`` of an object in every child of this process, for as long as the object exists."""
    _all.add(each)


def _reset_all() -> None:
    for each in list(_all):
        each.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)


class ForkSafeLock:
    """A lock that is never held in a new child of a fork: ``with guard.lock``."""

    lock: threading.Lock

    def __init__(self) -> None:
        self.reset_after_fork()
        register(self)

    def reset_after_fork(self) -> None:
        """Replace the lock by one that is not held."""
        self.lock = threading.Lock()
