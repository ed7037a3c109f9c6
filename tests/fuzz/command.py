"""Draw inputs, use them, and print what went wrong."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from random import Random
from typing import Any, NamedTuple

import fuzz
from coord.errors import CoordError
from fuzz.drawn import PASSWORD
from fuzz.kinds import KINDS

__all__ = ["Finding", "fuzzed", "main"]

_ALLOWED = (CoordError, ValueError, TypeError)
_SECONDS = 20.0
"""How long one input may take, on a busy machine."""


class Finding(NamedTuple):
    """An input that did what none may do."""

    kind: str
    number: str
    what: str
    input: str


class _Hangs(BaseException):
    """An input takes too long."""


def fuzzed(kind: str, inputs: int, seed: str) -> tuple[list[Finding], Counter[str]]:
    """Use that many inputs of a kind; return the findings, one for each place in the code, and how the inputs ended."""
    findings: dict[str, Finding] = {}
    ends: Counter[str] = Counter()
    with _limited() as begin:
        for number in range(inputs):
            begin()
            what, where = _used(kind, f"{seed} {number}", ends)
            if what and where not in findings:
                findings[where] = Finding(kind, f"{seed} {number}", what, repr(_drawn(kind, f"{seed} {number}")))
    return list(findings.values()), ends


def _drawn(kind: str, number: str) -> Callable[[], object]:
    return KINDS[kind][0](Random(f"{kind} {number}"))


def _used(kind: str, number: str, ends: Counter[str]) -> tuple[str, str]:
    """Return what is wrong with how an input ended, and where in the code that was; "" for nothing."""
    use = _drawn(kind, number)
    try:
        use()
    except _ALLOWED as error:
        ends[type(error).__name__] += 1
        # An input that a user wrote himself without a URL may be quoted.
        said = _said(error)
        return ("the password is in a message: " + said, _where(error)) if PASSWORD in said else ("", "")
    except (Exception, _Hangs) as error:
        ends[type(error).__name__] += 1
        return "".join(traceback.format_exception(error, limit=-4)), f"{type(error).__name__} {_where(error)}"
    ends["done"] += 1
    return "", ""


def _said(error: BaseException) -> str:
    """Return all that a log would show of an error and of what led to it, without lines of code."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        parts += [str(seen), repr(seen), *getattr(seen, "__notes__", ())]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(parts)


def _where(error: BaseException) -> str:
    frames = [each for each in traceback.extract_tb(error.__traceback__) if "/coord/" in each.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


@contextmanager
def _limited() -> Any:
    """Interrupt an input that takes too long."""

    def interrupt(*_: object) -> None:
        raise _Hangs

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 when there was a finding."""
    parser = argparse.ArgumentParser(
        prog="python tests/fuzz", description=fuzz.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=100_000, help="how many in all (default: 100,000)")
    parser.add_argument("--seed", default="fixed", help="others for another seed")
    parser.add_argument("--only", action="append", choices=list(KINDS), help="may be repeated")
    parser.add_argument("--again", metavar="NUMBER", help="one input of the kind, by the number of a finding")
    chosen = parser.parse_args(arguments)
    # Warnings of coord about its input do not belong to the output of this command.
    logging.disable(logging.CRITICAL)
    kinds = chosen.only or list(KINDS)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if chosen.again:
            use = _drawn(kinds[0], chosen.again)
            print(use)
            with nullcontext():
                print(use())
            return 0
        return _all(kinds, chosen.inputs, chosen.seed)


def _all(kinds: Sequence[str], inputs: int, seed: str) -> int:
    whole = sum(KINDS[kind][1] for kind in kinds)
    found: list[Finding] = []
    total = 0
    for kind in kinds:
        began = time.process_time()
        size = max(1, round(inputs * KINDS[kind][1] / whole))
        findings, ends = fuzzed(kind, size, seed)
        found += findings
        total += size
        how = ", ".join(f"{name} {count:,}" for name, count in ends.most_common())
        print(f"{kind}: {size:,} inputs, {len(findings)} findings, {time.process_time() - began:.0f} s of CPU: {how}")
        sys.stdout.flush()
    for each in found:
        print(f"\n{each.kind}, number {each.number!r}: {each.input}\n{each.what}")
    print(f"{total:,} inputs, {len(found)} findings")
    return 1 if found else 0
