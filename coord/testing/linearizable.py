"""Did it look as if each operation had happened at one moment? A checker for recorded histories.

    history = record(c)                       # from now on, what the coordinator's callers ask and are answered
    ...                                       # threads, tasks, processes, faults
    assert check_history(history) == "ok", contradiction(history)

A history is linearizable if its operations can be put in one order that agrees with every answer, and in which none
comes before another that had ended when it began. An operation without an answer may have happened at any moment after
it began, or never; one that was sent more than once may have happened twice. What each operation answers is defined by
the twin of its script, or by its Lua where it has none, run over a ``Keyspace`` at the moment of the server's clock
that was recorded: so keys expire in the middle, scripts read TIME, and values are of any type.

Operations that share no key do not affect each other: each such group is checked by itself. The search is that of Wing
and Gong with Lowe's memory of what was tried (G. Lowe, "Testing for linearizability", 2017).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from coord.testing.law import Attempt, Law
from coord.testing.recording import ERROR, History, Operation, record, timed
from coord.testing.search import Search

__all__ = ["ERROR", "History", "Operation", "Verdict", "check_history", "contradiction", "record", "timed"]

Verdict = Literal["ok", "illegal", "unknown"]
"""``unknown``: the search was given up before it had an answer."""

_STEPS = 500_000
_STEPS_OF_PARTS = 3_000


def check_history(history: History, steps: int = _STEPS) -> Verdict:
    """Say whether a history is linearizable; ``steps`` bounds the search for each group of operations.

    All keys are taken not to exist at the beginning. The server's clock must not have been set back meanwhile.
    """
    verdicts = {_check(group, steps) for group in _groups(history.operations)}
    if "illegal" in verdicts:
        return "illegal"
    return "unknown" if "unknown" in verdicts else "ok"


def contradiction(history: History, steps: int = _STEPS_OF_PARTS) -> list[Operation]:
    """Return the smallest part that was found of a history whose answers cannot all be true; [] when there is none.

    Each of the other operations is then taken to have happened as it was answered, or not at all.
    """
    for group in _groups(history.operations):
        attempts = _attempts(group)
        if _verdict(attempts, _STEPS) == "illegal":
            told = _reduced(_shortest(attempts, steps), steps)
            return [attempt.operation for attempt in told]
    return []


def _groups(operations: Iterable[Operation]) -> list[list[Operation]]:
    """Return operations in groups that share no key."""
    parents: dict[str, str] = {}

    def root(key: str) -> str:
        parents.setdefault(key, key)
        while parents[key] != key:
            parents[key] = key = parents[parents[key]]
        return key

    operations = list(operations)
    for operation in operations:
        for key in operation.keys:
            parents[root(key)] = root(operation.keys[0])
    groups: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        groups[root(operation.keys[0]) if operation.keys else ""].append(operation)
    return list(groups.values())


def _check(operations: list[Operation], steps: int) -> Verdict:
    return _verdict(_attempts(operations), steps)


def _verdict(attempts: Sequence[Attempt], steps: int) -> Verdict:
    found = Search(attempts, Law(attempts), steps).found
    return "unknown" if found is None else "ok" if found else "illegal"


# --- from the callers' clock to the server's ------------------------------------------------------


def _attempts(operations: Sequence[Operation]) -> list[Attempt]:
    """Return when each operation may have happened, by the server's clock, and what has to be explained."""
    ahead = _ahead(operations)
    attempts: list[Attempt] = []
    for operation in operations:
        begins, moment = int(operation.began * 1_000_000) + ahead, operation.moment
        if not operation.is_known:
            attempts += _copies(operation, begins, None)
        elif moment is None:
            ends = int(operation.ended * 1_000_000) + ahead
            attempts.append(Attempt(operation, begins, max(begins, ends), answered=True))
        else:
            attempts.append(Attempt(operation, moment, moment, answered=True, again=operation.repeated))
            if operation.repeated and begins < moment:
                attempts += _copies(operation, begins, moment)
    return attempts


def _copies(operation: Operation, begins: int, ends: int | None) -> list[Attempt]:
    """Return copies of a call that may have been executed before the one that was answered, if any was."""
    first = Attempt(operation, begins, ends, answered=False, is_copy=ends is not None)
    return [first, replace(first, again=True)] if operation.script.repeated_at >= 0 else [first]


def _ahead(operations: Sequence[Operation]) -> int:
    """By how many microseconds the server's clock is at least ahead of the callers'; 0 when nothing tells."""
    return max((each.moment - int(each.ended * 1_000_000) for each in operations if each.moment is not None), default=0)


# --- the smallest part ----------------------------------------------------------------------------


def _shortest(attempts: list[Attempt], steps: int) -> list[Attempt]:
    """Return the shortest beginning that is illegal: what came later cannot have been its cause."""
    answered = sorted((each for each in attempts if each.answered), key=lambda each: each.latest or 0)
    low, high = 0, len(answered)
    while low < high:
        middle = (low + high) // 2
        if _verdict(_until(attempts, answered[:middle]), steps) == "illegal":
            high = middle
        else:
            low = middle + 1
    return _until(attempts, answered[:low])


def _until(attempts: list[Attempt], answered: list[Attempt]) -> list[Attempt]:
    kept = set(map(id, answered))
    end = max((each.latest or 0 for each in answered), default=0)
    return [each if id(each) in kept else each.left_out() for each in attempts if each.earliest <= end]


def _reduced(attempts: list[Attempt], steps: int) -> list[Attempt]:
    """Take away the answers, halves first, without which the rest is a contradiction still; return the others."""
    told = [each for each in attempts if each.answered]
    size = max(1, len(told) // 2)
    while True:
        start = 0
        while start < len(told):
            rest = told[:start] + told[start + size :]
            if rest and _verdict(_until(attempts, rest), steps) == "illegal":
                told = rest
            else:
                start += size
        if size == 1:
            return told
        size = max(1, size // 2)
