"""Run a function once for a key, keep its result, and return it to all later callers."""

from __future__ import annotations

import json
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Literal, NoReturn, ParamSpec, TypeVar, cast

from coord.errors import CoordError, ExecutionFailed, FingerprintMismatch, OutcomeUnknown, Unavailable, WaitTimeout
from coord.execution import Begun, ExecutionStatus, Runnable, checked_result, failure_text
from coord.extend import Async, Calls, Plan, Run, Runs, Seconds, Sync, ask, check_function, milliseconds
from coord.leases import (
    Attempt,
    BaseLease,
    Grants,
    Held,
    LeaseRequest,
    answering,
    compensation,
    exiting,
    held_of,
    keep_renewing,
    loss,
    or_compensate,
    releasing,
)

__all__ = ["ExecutesOnce", "ExecutesOnceAsync", "OnError"]

P = ParamSpec("P")
T = TypeVar("T")
OnError = Literal["forget", "keep"]


@dataclass(frozen=True, slots=True)
class Once:
    """The checked arguments of ``execute_once``."""

    request: LeaseRequest[Begun]
    what: Runnable
    fn: Callable[[], Any]
    keep_ms: int
    on_error: OnError
    dumps: Callable[[Any], str]
    loads: Callable[[str], Any]

    @classmethod
    def of(
        cls,
        calls: Calls,
        key: str,
        fn: Callable[[], Any],
        fingerprint: str | None,
        ttl: Seconds,
        keep: Seconds,
        wait: Seconds | None,
        on_error: OnError,
        dumps: Callable[[Any], str],
        loads: Callable[[str], Any],
    ) -> Once:
        """Check the arguments; ``ValueError`` or ``TypeError`` says which one is wrong."""
        if on_error not in ("forget", "keep"):
            raise ValueError(f'on_error is "forget" or "keep", not {on_error!r}')
        for what, function in (("dumps", dumps), ("loads", loads)):
            if not callable(function):
                raise TypeError(f"{what} must be a function, not {type(function).__name__}")
        runnable = Runnable(calls, key, fingerprint)
        request = LeaseRequest.of(runnable, ttl, wait)
        return cls(request, runnable, fn, milliseconds(keep, "keep"), on_error, dumps, loads)


def executing(ops: Grants, once: Once) -> Plan[Callable[[], Any]]:
    """Run the function, or wait for its runner; return a function that returns the result or raises the error.

    A generator cannot raise a ``StopIteration`` of the user's function as it is.
    """
    attempt = Attempt()
    return (yield from or_compensate(ops, _executing(ops, once, attempt), once.request, attempt))


def _executing(ops: Grants, once: Once, attempt: Attempt) -> Plan[Callable[[], Any]]:
    found = yield from answering(ops, BaseLease, once.request, attempt, lambda begun: begun.state != "running")
    if found is None or found.lease is None:
        return _given(once, None if found is None else found.grant)
    # It is renewed for as long as this reference lives.
    lease = found.lease
    keep_renewing(held_of(lease), weakref.ref(lease))
    return (yield from _running(once, held_of(lease)))


def _running(once: Once, held: Held) -> Plan[Callable[[], Any]]:
    try:
        value = yield Run(once.fn)
        text = checked_result(once.dumps(value))
        # Read it as all other callers will; a result that cannot be read is not kept.
        result = once.loads(text)
    except Exception as error:
        return (yield from _failed(once, held, error))
    except GeneratorExit:
        # Nothing can be yielded any more: ``or_compensate`` gives the attempt up.
        held.stop_renewing()
        raise
    except BaseException as error:
        # Before the caller goes on: its process may be about to end.
        yield from exiting(held, error)
        raise
    return (yield from _handing_in(once, held, "done", text, lambda: result))


def _failed(once: Once, held: Held, error: Exception) -> Plan[Callable[[], Any]]:
    """Give up the attempt, or keep its error as the result."""
    try:
        if once.on_error == "keep":
            text = failure_text(type(error).__name__, str(error))
            failed = ExecutionFailed(type(error).__name__, str(error))
            failed.__cause__ = error
            return (yield from _handing_in(once, held, "failed", text, lambda: _raise(failed)))
        yield from releasing(held)
    except CoordError as unkept:
        # The error of the function says more; the attempt ends by its TTL.
        error.add_note(f"coord: the execution of {once.what.name!r} could not be ended: {unkept}")
    return partial(_raise, error)


def _handing_in(once: Once, held: Held, outcome: str, text: str, answer: Callable[[], Any]) -> Plan[Callable[[], Any]]:
    """Hand in the outcome; return ``answer``, or the result of another attempt when that has taken over."""
    try:
        accepted = yield from ask(once.what.complete(held.nonce, outcome, text, once.keep_ms))
    except (Unavailable, OutcomeUnknown):
        # The next caller that runs it need not wait for the end of the lease.
        held.mark_released()
        yield compensation(once.what, held.nonce, held.ttl_ms)
        raise
    if accepted:
        held.mark_released()
        return answer
    held.mark_lost()
    now = yield from ask(once.what.status())
    if now is None or now.state != "done" or now.fingerprint != once.what.fingerprint:
        raise loss(once.what, held.fence, released=False)
    return _given(once, now)


def _given(once: Once, found: Begun | ExecutionStatus | None) -> Callable[[], Any]:
    """Return a function that gives the result of another attempt."""
    if found is None or found.state in ("new", "running"):
        raise WaitTimeout(f"the execution {once.what.name!r} was not done within {once.request.wait} s")
    if found.state == "mismatch":
        raise FingerprintMismatch(
            f"the key {once.what.name!r} belongs to a call with another fingerprint: use another key"
        )
    if found.error is not None:
        failed = ExecutionFailed(found.error.type, found.error.message)
        return lambda: _raise(failed)
    return partial(once.loads, found.result or "")


def _raise(error: Exception) -> NoReturn:
    raise error


def _check_keys(key: Any, fingerprint: Any) -> None:
    """Refuse what is not a function of the arguments."""
    for what, function in (("key", key), ("fingerprint", fingerprint)):
        if not callable(function) and (what == "key" or function is not None):
            raise TypeError(f"{what} must be a function of the arguments, not {type(function).__name__}")


# --- methods -------------------------------------------------------------------------------------


class ExecutesOnce(Runs[Sync]):
    """The part of a blocking coordinator that runs functions once."""

    def execute_once(
        self,
        key: str,
        fn: Callable[[], T],
        fingerprint: str | None = None,
        ttl: Seconds = 30,
        keep: Seconds = 86_400,
        wait: Seconds | None = None,
        on_error: OnError = "forget",
        dumps: Callable[[Any], str] = json.dumps,
        loads: Callable[[str], Any] = json.loads,
    ) -> T:
        """Run ``fn`` once for a key, keep its result for ``keep`` seconds, and return it to all later callers.

        Callers that find it running wait up to ``wait`` seconds (None: without limit; 0: not at all), else raise
        ``WaitTimeout``. The lease of ``ttl`` seconds is renewed while ``fn`` runs; when its process dies, one of those
        that wait takes over. So ``fn`` may run more than once, and exactly one result is accepted: a runner whose
        lease was lost returns the accepted result, or raises ``LeaseLost`` where there is none.

        All get ``loads(dumps(result))``, also the runner; the text has at most 1 MiB, else ``ValueError``. An error of
        ``fn`` passes unchanged and the next caller runs it again; with ``on_error="keep"`` it is kept as the result,
        and all get ``ExecutionFailed``. ``fingerprint``: a digest of the arguments; the same key with another one
        raises ``FingerprintMismatch``.
        """
        check_function(fn, awaited=False)
        once = Once.of(self.calls, key, fn, fingerprint, ttl, keep, wait, on_error, dumps, loads)
        return cast("T", self.follow(executing(cast("Grants", self), once))())

    def idempotent(
        self,
        key: Callable[..., str],
        fingerprint: Callable[..., str | None] | None = None,
        keep: Seconds = 86_400,
        *,
        ttl: Seconds = 30,
        wait: Seconds | None = None,
        on_error: OnError = "forget",
        dumps: Callable[[Any], str] = json.dumps,
        loads: Callable[[str], Any] = json.loads,
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Decorate a function so that it runs once a key; see ``execute_once``.

        ``key`` and ``fingerprint`` are functions of the arguments of the call. Put the name of the function into the
        key: two functions with the same key share their results.
        """

        def decorate(fn: Callable[P, T]) -> Callable[P, T]:
            check_function(fn, awaited=False)
            _check_keys(key, fingerprint)
            Once.of(self.calls, "any", fn, None, ttl, keep, wait, on_error, dumps, loads)

            @wraps(fn)
            def once(*args: P.args, **kwargs: P.kwargs) -> T:
                bound = partial(fn, *args, **kwargs)
                name, of = key(*args, **kwargs), fingerprint and fingerprint(*args, **kwargs)
                return self.execute_once(name, bound, of, ttl, keep, wait, on_error, dumps, loads)

            return once

        return decorate


class ExecutesOnceAsync(Runs[Async]):
    """The part of an async coordinator that runs functions once."""

    async def execute_once(
        self,
        key: str,
        fn: Callable[[], Awaitable[T]],
        fingerprint: str | None = None,
        ttl: Seconds = 30,
        keep: Seconds = 86_400,
        wait: Seconds | None = None,
        on_error: OnError = "forget",
        dumps: Callable[[Any], str] = json.dumps,
        loads: Callable[[str], Any] = json.loads,
    ) -> T:
        """Run the async function ``fn`` once for a key, keep its result, and return it to all later callers.

        Callers that find it running wait up to ``wait`` seconds (None: without limit; 0: not at all), else raise
        ``WaitTimeout``. The lease of ``ttl`` seconds is renewed while ``fn`` runs; when its process dies, one of those
        that wait takes over. So ``fn`` may run more than once, and exactly one result is accepted: a runner whose
        lease was lost returns the accepted result, or raises ``LeaseLost`` where there is none.

        All get ``loads(dumps(result))``, also the runner; the text has at most 1 MiB, else ``ValueError``. An error of
        ``fn`` passes unchanged and the next caller runs it again; with ``on_error="keep"`` it is kept as the result,
        and all get ``ExecutionFailed``. ``fingerprint``: a digest of the arguments; the same key with another one
        raises ``FingerprintMismatch``. If the call is cancelled, the attempt is abandoned.
        """
        check_function(fn, awaited=True)
        once = Once.of(self.calls, key, fn, fingerprint, ttl, keep, wait, on_error, dumps, loads)
        return cast("T", (await self.follow(executing(cast("Grants", self), once)))())

    def idempotent(
        self,
        key: Callable[..., str],
        fingerprint: Callable[..., str | None] | None = None,
        keep: Seconds = 86_400,
        *,
        ttl: Seconds = 30,
        wait: Seconds | None = None,
        on_error: OnError = "forget",
        dumps: Callable[[Any], str] = json.dumps,
        loads: Callable[[str], Any] = json.loads,
    ) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
        """Decorate a function so that it runs once a key; see ``execute_once``.

        ``key`` and ``fingerprint`` are functions of the arguments of the call. Put the name of the function into the
        key: two functions with the same key share their results.
        """

        def decorate(fn: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
            check_function(fn, awaited=True)
            _check_keys(key, fingerprint)
            Once.of(self.calls, "any", fn, None, ttl, keep, wait, on_error, dumps, loads)

            @wraps(fn)
            async def once(*args: P.args, **kwargs: P.kwargs) -> T:
                bound = partial(fn, *args, **kwargs)
                name, of = key(*args, **kwargs), fingerprint and fingerprint(*args, **kwargs)
                return await self.execute_once(name, bound, of, ttl, keep, wait, on_error, dumps, loads)

            return once

        return decorate
