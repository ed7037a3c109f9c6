"""What a child of a fork begins anew: locks that another thread held at that moment, and what belongs to its parent."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["Guard", "anew_in_children"]


class BeginsAnew(Protocol):
    """Something that cannot be used in a child as the parent left it."""

    def begin_in_child(self) -> None:
        """Begin anew, in a child that has this thread alone."""
        ...


_all: weakref.WeakSet[BeginsAnew] = weakref.WeakSet()


def anew_in_children(each: BeginsAnew) -> None:
    """Let every child of this process begin something anew, for as long as it is there."""
    _all.add(each)


def _begin_all() -> None:
    for each in list(_all):
        each.begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)


class Guard:
    """A lock that no child inherits shut: ``with guard.lock``."""

    lock: threading.Lock

    def __init__(self) -> None:
        self.begin_in_child()
        anew_in_children(self)

    def begin_in_child(self) -> None:
        """Nobody holds it."""
        self.lock = threading.Lock()
