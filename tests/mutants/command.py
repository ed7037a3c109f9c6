"""Plant faults one at a time, and print which were found."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import mutants
from mutants.child import Verdict
from mutants.targets import GROUPS, Mutant, drawn, named
from mutants.trial import Trial, difference

__all__ = ["main"]

GOAL = 95
"""How many of a hundred valid mutants the tests find."""

_PROGRESS_SECONDS = 15.0
Result = tuple[Mutant, Verdict]


def _batches(chosen: Sequence[Mutant]) -> list[list[Mutant]]:
    """Put together what needs the same histories."""
    ordered = sorted(chosen, key=lambda mutant: (list(GROUPS).index(mutant.group), mutant.subjects, mutant.name))
    batches: list[list[Mutant]] = []
    for mutant in ordered:
        last = batches[-1] if batches else []
        if last and last[0].group == mutant.group and last[0].subjects == mutant.subjects and len(last) < 40:
            last.append(mutant)
        else:
            batches.append([mutant])
    return batches


_trial: Trial | None = None


def _begin(options: dict[str, object]) -> None:
    global _trial  # noqa: PLW0603  # one a process
    _trial = Trial(**options)  # type: ignore[arg-type]  # the options of the command line


def _run(batch: list[Mutant]) -> list[Result]:
    assert _trial is not None
    return [(mutant, _trial.run(mutant)) for mutant in batch]


def _results(batches: Sequence[list[Mutant]], jobs: int, options: dict[str, object]) -> Iterator[Result]:
    if jobs == 1:
        _begin(options)
        for batch in batches:
            for mutant in batch:
                yield from _run([mutant])
        return
    with ProcessPoolExecutor(jobs, get_context("fork"), _begin, (options,)) as pool:
        for results in pool.map(_run, batches):
            yield from results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 when the score is below the goal."""
    parser = argparse.ArgumentParser(
        prog="python tests/mutants", description=mutants.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=800, help="how many mutants (default: 800)")
    parser.add_argument("--seed", default="fixed", help="others for another seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="may be repeated")
    parser.add_argument("--histories", type=int, default=100, help="of each script (default: 100)")
    parser.add_argument("--rows", type=int, default=100, help="rows of each kind of command (default: 100)")
    parser.add_argument("--worlds", type=int, default=1, help="simulated runs of each workload (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="of CPU, until a mutant counts as endless (default: 20)"
    )
    parser.add_argument("--no-tests", action="store_true", help="replay and simulate alone, without pytest")
    parser.add_argument("--keep", default="", help="a folder where what servers answered stays for the next run")
    parser.add_argument("--log", default="", help="a file for one JSON line a mutant; those it has are not run again")
    parser.add_argument("--minutes", type=float, help="begin no new mutants after that time")
    parser.add_argument("--again", metavar="MUTANT", help="one mutant, by the name that a run printed")
    chosen = parser.parse_args(arguments)
    options: dict[str, object] = {
        "histories": chosen.histories,
        "rows": chosen.rows,
        "worlds": chosen.worlds,
        "tests": not chosen.no_tests,
        "seconds": chosen.seconds,
        "keep": chosen.keep,
    }
    if chosen.again:
        _begin(options)
        mutant = named(chosen.again)
        print(f"{_run([mutant])[0][1]}\n{difference(mutant)}")
        return 0
    picked = drawn(chosen.only or list(GROUPS), chosen.sites, chosen.seed)
    done = _before(chosen.log)
    began = said = time.monotonic()
    found: list[Result] = [(mutant, done[mutant.name]) for mutant in picked if mutant.name in done]
    todo = [mutant for mutant in picked if mutant.name not in done]
    print(f"{len(picked):,} mutants, seed {chosen.seed}; {len(found):,} are in the log", flush=True)
    for result in _results(_batches(todo), chosen.jobs, options):
        found.append(result)
        _write(chosen.log, result)
        now = time.monotonic()
        if now - said > _PROGRESS_SECONDS:
            said = now
            survived = sum(verdict[0] == "survived" for _, verdict in found)
            print(f"{len(found):,} of {len(picked):,}, {survived} survived", file=sys.stderr, flush=True)
        if chosen.minutes and now - began > 60 * chosen.minutes:
            break
    return _report(found)


def _before(log: str) -> dict[str, Verdict]:
    if not log or not Path(log).exists():
        return {}
    with Path(log).open(encoding="utf-8") as lines:
        return {line["mutant"]: (line["verdict"], line["by"]) for line in map(json.loads, lines)}


def _write(log: str, result: Result) -> None:
    if log:
        mutant, (verdict, by) = result
        with Path(log).open("a", encoding="utf-8") as out:
            print(json.dumps({"mutant": mutant.name, "verdict": verdict, "by": by}), file=out)


def _report(found: Sequence[Result]) -> int:
    valid = [(mutant, verdict) for mutant, verdict in found if verdict[0] != "invalid"]
    print("{:24} {:>7} {:>7} {:>9} {:>7}".format("", "mutants", "killed", "survived", "score"))
    kinds = [("group", group, [each for each in valid if each[0].group == group]) for group in GROUPS]
    rules = sorted({mutant.place.rule for mutant, _ in valid})
    kinds += [("rule", rule, [each for each in valid if each[0].place.rule == rule]) for rule in rules]
    for _, name, rows in [*kinds, ("", "all", valid)]:
        if rows:
            counts = Counter(verdict[0] for _, verdict in rows)
            score = 100 * counts["killed"] / len(rows)
            print(f"{name:24} {len(rows):7,} {counts['killed']:7,} {counts['survived']:9,} {score:6.1f}%")
    endless = sum("endless" in verdict[1] for _, verdict in valid)
    print(f"endless, and so killed: {endless}; no other code, and so not counted: {len(found) - len(valid)}")
    for mutant, verdict in sorted(valid, key=lambda each: each[0].name):
        if verdict[0] == "survived":
            print(f"survived: {mutant.name}{': ' + verdict[1] if verdict[1] else ''}\n{difference(mutant)}")
    killed = sum(verdict[0] == "killed" for _, verdict in valid)
    print(f"score: {100 * killed / max(1, len(valid)):.1f}% of {len(valid):,}")
    return 0 if killed * 100 >= GOAL * len(valid) else 1
