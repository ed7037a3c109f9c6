"""Functions of users: whether they fit the mode of a coordinator."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

__all__ = ["check_function"]


def check_function(fn: Any, *, awaited: bool) -> None:
    """Refuse a function of the other mode with a ``TypeError``, where that can be seen before it runs."""
    if not callable(fn):
        raise TypeError(f"fn must be a function, not {type(fn).__name__}")
    found = _is_async(fn)
    if awaited and found is False:
        raise TypeError(f"an AsyncCoordinator runs async functions, and {_name(fn)} is not one: use async def")
    if not awaited and found is True:
        raise TypeError(f"a Coordinator runs plain functions, and {_name(fn)} is async: use an AsyncCoordinator")


def _is_async(fn: Any) -> bool | None:
    """Return whether a function is async; None if only its result shows that."""
    while isinstance(fn, partial):
        fn = fn.func
    if inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004  # its type is asked for
        return True
    # Wrappers and lambdas may return an awaitable.
    is_plain = inspect.isfunction(fn) or inspect.ismethod(fn)
    return False if is_plain and not hasattr(fn, "__wrapped__") and fn.__name__ != "<lambda>" else None


def _name(fn: Any) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)
