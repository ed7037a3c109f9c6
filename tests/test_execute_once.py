"""``execute_once`` and ``idempotent``: a function runs once for a key, and everyone is given its result."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from backends import Backend
from live import SOON, comes_to_be

import coord


@pytest.fixture
def other(backend: Backend) -> Iterator[coord.Coordinator]:
    """Another coordinator at the same keys, blocking."""
    c = backend.place.connect(False)
    yield c
    c.close()


@pytest.fixture
def once(backend: Backend, c: Any) -> Callable[..., Any]:
    """``execute_once`` with a plain function, in both modes."""

    def run(key: str, fn: Callable[[], Any], **options: Any) -> Any:
        return c.execute_once(key, awaited(fn) if backend.line.awaited else fn, **options)

    return run


def awaited(fn: Callable[[], Any]) -> Callable[[], Any]:
    async def run() -> Any:
        return fn()

    return run


class Work:
    """A function that counts its runs."""

    def __init__(self, result: Any = "receipt") -> None:
        self.runs = 0
        self.result = result

    def __call__(self) -> Any:
        self.runs += 1
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def test_the_result_is_replayed(once: Any) -> None:
    work = Work({"receipt": 1, "lines": ("a", "b")})
    assert [once("pay-7", work) for _ in range(3)] == [{"receipt": 1, "lines": ["a", "b"]}] * 3
    assert work.runs == 1


def test_the_result_is_kept_for_as_long_as_asked(backend: Backend, once: Any) -> None:
    work = Work()
    once("pay-7", work, keep=600)
    backend.later(599)
    once("pay-7", work)
    assert work.runs == 1
    backend.later(2)
    once("pay-7", work)
    assert work.runs == 2


def test_racers_share_one_run(backend: Backend) -> None:
    """Of many who call at the same time one runs the function; the others are given its result (posthog 56781)."""
    work = Work("receipt")
    fn = awaited(work) if backend.line.awaited else work
    assert set(backend.race(lambda at: at.execute_once("pay-7", fn, wait=SOON))) == {"receipt"}
    assert work.runs == 1


def test_own_functions_write_and_read_the_result(once: Any) -> None:
    assert once("pay-7", Work(7), dumps=lambda n: f"n={n}", loads=lambda text: int(text[2:]) + 1) == 8


def test_none_is_a_result(once: Any) -> None:
    work = Work(None)
    assert [once("pay-7", work) for _ in range(2)] == [None, None]
    assert work.runs == 1


# --- errors --------------------------------------------------------------------------------------


def test_an_error_passes_unchanged_and_the_next_caller_runs_it_again(once: Any) -> None:
    broken = ValueError("no such account")
    with pytest.raises(ValueError, match="no such account") as raised:
        once("pay-7", Work(broken))
    assert raised.value is broken
    assert once("pay-7", Work("receipt")) == "receipt"


def test_an_error_that_is_kept_is_given_to_everyone(once: Any) -> None:
    broken = ValueError("no such account")
    work = Work(broken)
    for _ in range(2):
        with pytest.raises(coord.ExecutionFailed, match="ValueError: no such account") as raised:
            once("pay-7", work, on_error="keep")
        assert (raised.value.type, raised.value.message) == ("ValueError", "no such account")
    assert work.runs == 1


def test_the_runner_of_a_kept_error_finds_it_as_the_cause(once: Any) -> None:
    broken = ValueError("no such account")
    with pytest.raises(coord.ExecutionFailed) as raised:
        once("pay-7", Work(broken), on_error="keep")
    assert raised.value.__cause__ is broken


def test_a_stop_iteration_passes_unchanged() -> None:
    """It would end a generator, and become a RuntimeError there."""
    with coord.connect("memory://once") as c, pytest.raises(StopIteration):
        c.execute_once("pay-7", lambda: next(iter(())))


@pytest.mark.parametrize("on_error", ["forget", "keep"])
@pytest.mark.parametrize(
    ("result", "options", "error"),
    [
        (object(), {}, TypeError),
        ("x" * 2**20, {}, ValueError),
        ("x", {"dumps": lambda result: result.encode()}, TypeError),
        ("x", {"dumps": lambda _: "\ud83d"}, ValueError),
        ("x", {"loads": int}, ValueError),
    ],
)
def test_a_result_that_cannot_be_kept_counts_as_an_error(
    once: Any, other: coord.Coordinator, on_error: str, result: Any, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(coord.ExecutionFailed if on_error == "keep" else error):
        once("pay-7", Work(result), on_error=on_error, **options)
    found = other.execution("pay-7").status()
    if on_error == "forget":
        assert found is None
    else:
        assert found is not None
        assert found.error is not None
        assert found.error.type == error.__name__


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()])
@pytest.mark.parametrize("on_error", ["forget", "keep"])
def test_a_base_exception_always_abandons_the_attempt(
    backend: Backend, once: Any, other: coord.Coordinator, error: BaseException, on_error: str
) -> None:
    with pytest.raises(type(error)):
        once("pay-7", Work(error), on_error=on_error)
    if backend.loop is not None:
        backend.loop.run_until_complete(_all_done())
    assert comes_to_be(lambda: other.execution("pay-7").status() is None)


async def _all_done() -> None:
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


# --- fingerprints --------------------------------------------------------------------------------


def test_the_key_of_another_call_is_refused(once: Any) -> None:
    """The same key with other arguments is a mistake of the caller: no foreign answer, and no second run."""
    work = Work()
    once("pay-7", work, fingerprint="amount=5")
    for other in ("amount=6", None):
        with pytest.raises(coord.FingerprintMismatch, match="pay-7"):
            once("pay-7", work, fingerprint=other)
    assert once("pay-7", work, fingerprint="amount=5") == "receipt"
    assert work.runs == 1


# --- losing the lease ----------------------------------------------------------------------------


def test_the_result_of_the_attempt_that_took_over_stands(once: Any, other: coord.Coordinator) -> None:
    """A runner that was paused for too long is given the accepted result in place of its own."""

    def overtaken() -> str:
        other.execution("pay-7").forget()
        assert other.execution("pay-7").begin().complete('"of the heir"') is True
        return "too late"

    assert once("pay-7", overtaken) == "of the heir"
    assert once("pay-7", Work()) == "of the heir"


def test_the_error_of_the_attempt_that_took_over_stands(once: Any, other: coord.Coordinator) -> None:
    def overtaken() -> str:
        other.execution("pay-7").forget()
        assert other.execution("pay-7").begin().fail("ValueError", "no") is True
        return "too late"

    with pytest.raises(coord.ExecutionFailed, match="ValueError: no"):
        once("pay-7", overtaken)


@pytest.mark.parametrize("heir", ["none", "running", "another fingerprint"])
def test_without_an_accepted_result_the_loss_is_raised(once: Any, other: coord.Coordinator, heir: str) -> None:
    def overtaken() -> str:
        other.execution("pay-7").forget()
        if heir != "none":
            taken = other.execution("pay-7").begin(fingerprint=None if heir == "running" else "another")
            if heir != "running":
                taken.complete('"not for us"')
        return "too late"

    with pytest.raises(coord.LeaseLost, match="the execution of 'pay-7'"):
        once("pay-7", overtaken)


@pytest.mark.parametrize("on_error", ["forget", "keep"])
def test_an_error_after_the_loss_leaves_the_next_attempt_alone(
    once: Any, other: coord.Coordinator, on_error: str
) -> None:
    """A late failure neither ends the attempt that took over nor becomes its result."""
    heirs: list[Any] = []

    def overtaken() -> str:
        other.execution("pay-7").forget()
        heirs.append(other.execution("pay-7").begin())
        raise ValueError("too late")

    with pytest.raises((ValueError, coord.LeaseLost)):
        once("pay-7", overtaken, on_error=on_error)
    assert heirs[0].complete('"right"') is True


# --- waiting -------------------------------------------------------------------------------------


def test_without_waiting_a_run_of_another_is_an_error(once: Any, other: coord.Coordinator) -> None:
    mine = other.execution("pay-7").begin()
    with pytest.raises(coord.WaitTimeout, match="'pay-7' was not done within 0 s"):
        once("pay-7", Work(), wait=0)
    with pytest.raises(coord.WaitTimeout):
        once("pay-7", Work(), wait=0.05)
    mine.complete('"receipt"')
    assert once("pay-7", Work("another"), wait=0) == "receipt"


class Waiting:
    """Callers that wait in the background: threads, or tasks of a loop."""

    def __init__(self, backend: Backend, c: Any) -> None:
        self.backend, self.c = backend, c

    def all_of(self, count: int, fn: Callable[[], Any], then: Callable[[], Any], **options: Any) -> list[Any]:
        """Let ``count`` callers wait, do ``then``, and return what each got."""
        if self.backend.loop is None:
            with ThreadPoolExecutor(count) as threads:
                runs = [threads.submit(self.c.execute_once, "pay-7", fn, wait=SOON, **options) for _ in range(count)]
                then()
                return [_outcome(run.result) for run in runs]

        async def together() -> list[Any]:
            run = partial(self.c.inner.execute_once, "pay-7", awaited(fn), wait=SOON, **options)
            tasks = [asyncio.ensure_future(run()) for _ in range(count)]
            await asyncio.sleep(0)
            await asyncio.to_thread(then)
            return await asyncio.gather(*tasks, return_exceptions=True)

        return self.backend.loop.run_until_complete(together())


def _outcome(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        return error


@pytest.fixture
def waiting(backend: Backend, c: Any) -> Waiting:
    return Waiting(backend, c)


def test_waiters_are_woken_with_the_result(waiting: Waiting, other: coord.Coordinator) -> None:
    mine = other.execution("pay-7").begin()
    work = Work("another")
    assert waiting.all_of(5, work, lambda: mine.complete('"receipt"')) == ["receipt"] * 5
    assert work.runs == 0


def test_waiters_take_over_one_at_a_time(waiting: Waiting, other: coord.Coordinator) -> None:
    """The runner gives up; each of those that wait fails in turn, and the last one succeeds."""
    mine = other.execution("pay-7").begin()
    inside, most, runs = 0, 0, 0
    lock = threading.Lock()

    def fails_at_first() -> str:
        nonlocal inside, most, runs
        with lock:
            inside, runs = inside + 1, runs + 1
            most = max(most, inside)
            fails = runs < 4
            inside -= 1
        if fails:
            raise ValueError("not yet")
        return "receipt"

    got = waiting.all_of(6, fails_at_first, mine.abandon)
    assert sorted(map(repr, got)) == sorted(["'receipt'"] * 3 + [repr(ValueError("not yet"))] * 3)
    assert (most, runs) == (1, 4)


def test_forgetting_wakes_a_waiter(waiting: Waiting, other: coord.Coordinator) -> None:
    other.execution("pay-7").begin()
    assert waiting.all_of(1, Work("mine"), other.execution("pay-7").forget) == ["mine"]


# --- which functions -----------------------------------------------------------------------------


async def _async_fn() -> int:
    return 1


def _plain_fn() -> int:
    return 1


_lambda = lambda: _async_fn()  # noqa: E731, PLW0108  # a lambda does not tell what it returns


class _AsyncCallable:
    async def __call__(self) -> int:
        return 1


def test_a_blocking_coordinator_refuses_async_functions() -> None:
    with coord.connect("memory://once") as c:
        for fn in (_async_fn, partial(_async_fn), _AsyncCallable(), _lambda):
            with pytest.raises(TypeError, match="AsyncCoordinator"):
                _ = c.execute_once("pay-7", fn)
        assert c.execution("pay-7").status() is None
        with pytest.raises(TypeError, match="function"):
            c.execute_once("pay-7", 7)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(TypeError, match="is async"):
            c.idempotent(key=str)(_async_fn)


def test_an_async_coordinator_refuses_plain_functions() -> None:
    ran: list[int] = []

    async def refused() -> None:
        async with coord.connect_async("memory://once") as ac:
            for fn in (lambda: ran.append(1), partial(ran.append, 1), _plain_fn, 7):
                with pytest.raises(TypeError):
                    await ac.execute_once("pay-7", fn)  # type: ignore[arg-type]  # the mistake
            assert await ac.execution("pay-7").status() is None
            with pytest.raises(TypeError, match="is not one: use async def"):
                ac.idempotent(key=str)(_plain_fn)  # type: ignore[arg-type]  # the mistake
            for fine in (_async_fn, partial(_async_fn), _AsyncCallable(), _lambda):
                assert await ac.execute_once("pay-7", fine) == 1

    asyncio.run(refused())


BAD: tuple[tuple[dict[str, Any], type[Exception]], ...] = (
    ({"key": ""}, ValueError),
    ({"key": 7}, TypeError),
    ({"fingerprint": 7}, TypeError),
    ({"fingerprint": "\ud83d"}, ValueError),
    ({"fingerprint": "x" * 2**17}, ValueError),
    ({"ttl": 0}, ValueError),
    ({"keep": 0}, ValueError),
    ({"keep": None}, TypeError),
    ({"wait": -1}, ValueError),
    ({"wait": True}, ValueError),
    ({"on_error": "ignore"}, ValueError),
    ({"dumps": "json"}, TypeError),
    ({"loads": None}, TypeError),
)


@pytest.mark.parametrize(("bad", "error"), BAD)
def test_bad_input_is_refused_before_anything_is_sent(
    backend: Backend, once: Any, bad: dict[str, Any], error: type[Exception]
) -> None:
    work = Work()
    with backend.untouched(), pytest.raises(error):
        once(**{"key": "pay-7", "fn": work, **bad})
    assert work.runs == 0


# --- the decorator -------------------------------------------------------------------------------


def test_a_decorated_function_runs_once_a_key() -> None:
    with coord.connect("memory://decorated") as c:
        runs: list[tuple[str, int]] = []

        @c.idempotent(key=lambda order, amount=0: f"charge:{order}", fingerprint=lambda order, amount=0: str(amount))
        def charge(order: str, amount: int = 0) -> str:
            """Charge an order."""
            runs.append((order, amount))
            return f"{order} paid {amount}"

        assert [charge("a", amount=5), charge("a", 5), charge("b")] == ["a paid 5", "a paid 5", "b paid 0"]
        with pytest.raises(coord.FingerprintMismatch):
            charge("a", 6)
        assert runs == [("a", 5), ("b", 0)]
        assert (charge.__name__, charge.__doc__) == ("charge", "Charge an order.")
        found = c.execution("charge:a").status()
        assert found is not None
        assert found.fingerprint == "5"


def test_a_decorated_async_function_runs_once_a_key() -> None:
    async def decorated() -> None:
        async with coord.connect_async("memory://decorated-async") as ac:
            runs: list[str] = []

            @ac.idempotent(key=lambda order: f"charge:{order}")
            async def charge(order: str) -> str:
                runs.append(order)
                return f"{order} paid"

            assert inspect.iscoroutinefunction(charge)
            assert await asyncio.gather(*(charge("a") for _ in range(10))) == ["a paid"] * 10
            assert runs == ["a"]

    asyncio.run(decorated())


def test_the_arguments_of_the_decorator_are_checked_where_they_are_given() -> None:
    with coord.connect("memory://decorated") as c:
        for bad, error in ((7, TypeError), (None, TypeError)):
            with pytest.raises(error, match="key must be a function"):
                c.idempotent(key=bad)(_plain_fn)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(ValueError, match="keep"):
            c.idempotent(key=str, keep=0)(_plain_fn)
        with pytest.raises(TypeError, match="fingerprint must be a function"):
            c.idempotent(key=str, fingerprint="body")(_plain_fn)  # type: ignore[arg-type]  # the mistake
