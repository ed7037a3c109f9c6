"""What a child of a fork begins anew: locks that another thread held at that moment, and what belongs to its parent."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["ForkSafeLock", "register"]


class ResetsAfterFork(Protocol):
    """Something that cannot be used in a child as the parent left it."""

    def reset_after_fork(self) -> None:
        """Begin anew, in a child that has this thread alone."""
        ...


_all: weakref.WeakSet[ResetsAfterFork] = weakref.WeakSet()


def register(each: ResetsAfterFork) -> None:
    """Let every child of this process begin something anew, for as long as it is there."""
    _all.add(each)


def _reset_all() -> None:
    for each in list(_all):
        each.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)


class ForkSafeLock:
    """A lock that no child inherits shut: ``with guard.lock``."""

    lock: threading.Lock

    def __init__(self) -> None:
        self.reset_after_fork()
        register(self)

    def reset_after_fork(self) -> None:
        """Nobody holds it."""
        self.lock = threading.Lock()
