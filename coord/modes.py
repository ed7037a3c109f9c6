"""Modes: an operation is written once, and used in three ways.

* Build: the operation returns a ``Call``, a value to be made later or together with others.
* Sync: it makes the call and returns the result.
* Async: it makes the call and returns an awaitable of the result.

A class that is generic in the mode has its operations as methods, typed for the mode it is in::

    class Tokens(Family[M]):
        @op
        def take(self, n: int = 1) -> Call[bool]: ...

    Tokens(coordinator, "api").take()              # bool
    await Tokens(async_coordinator, "api").take()  # bool
    Tokens(coordinator.calls, "api").take()        # Call[bool]

At run time an operation is the plain function: ``self.ops.call`` is the only thing that differs between the modes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, overload

from coord.plan import Plan, show_result
from coord.script import Call

if TYPE_CHECKING:
    # The default is what type checkers need; every supported Python can do without it at run time.
    from typing_extensions import TypeVar

    M = TypeVar("M", bound="Mode", default="Sync")
else:
    from typing import TypeVar

    M = TypeVar("M", bound="Mode")

__all__ = ["Async", "Build", "InMode", "M", "Mode", "Sync", "op"]

P = ParamSpec("P")
T = TypeVar("T")


class Mode:
    """The mode of operations: one of the three below. Only type checkers read them."""


class Build(Mode):
    """An operation returns a ``Call``."""


class Sync(Mode):
    """An operation blocks and returns its result."""


class Async(Mode):
    """An operation returns an awaitable of its result."""


class InMode(Generic[M]):
    """Something whose operations are used in one mode."""

    if TYPE_CHECKING:

        @overload
        def follow(self: InMode[Sync], plan: Plan[T], /) -> T: ...
        @overload
        def follow(self: InMode[Async], plan: Plan[T], /) -> Coroutine[Any, Any, T]: ...
        def follow(self, plan: Plan[Any], /) -> Any:
            """Follow a plan to its end, and return its result or an awaitable of it."""


class op(Generic[P, T]):
    """A function that builds a ``Call``, as a method that is typed for the mode of its object.

    When the class is made, the function itself becomes the method, so a call costs nothing more. Its signature shows
    the result and not the ``Call``, as ``help()`` should.
    """

    def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self.build = build

    def __set_name__(self, owner: type, name: str) -> None:
        """Put the function in this descriptor's place."""
        show_result(self.build, self.build)
        setattr(owner, name, self.build)

    @overload
    def __get__(self, at: None, kind: type) -> Callable[Concatenate[Any, P], Call[T]]: ...
    @overload
    def __get__(self, at: InMode[Build], kind: type) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, at: InMode[Sync], kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, at: InMode[Async], kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, at: Any, kind: type) -> Any:
        """Type checkers see this method only; see ``__set_name__``."""
        return self.build
