"""What was measured: a summary of one screen, tables, one HTML page, and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks import floor
from benchmarks.goals import Verdict
from benchmarks.measure import Figure, ratio
from benchmarks.plots import plot, say

Row = tuple[str, ...]

HEADS: Row = ("", "", "time", "quartiles", "CPU", "x floor", "coord is")
GOAL_HEADS: Row = ("goal", "bound", "measured", "")


@dataclass(frozen=True, slots=True)
class Results:
    """All results of one run."""

    machine: dict[str, str]
    figures: Sequence[Figure]
    verdicts: Sequence[Verdict]

    def cases(self) -> Iterator[tuple[str, list[Figure]]]:
        """Yield the figures of each case."""
        for case, some in groupby(self.figures, lambda figure: figure.case):
            yield case, list(some)


# --- text


def summary(results: Results) -> str:
    """Return the machine and the goals, in at most 80 columns and 30 lines."""
    here = results.machine
    lines = [f"{here['cpu']}, {here['cores']} cores, load {here['load']}"[:80]]
    lines.append(f"{here['python']}, redis-py {here['redis-py']}, hiredis {here['hiredis']}, {here['server']}"[:80])
    if rows := _goal_rows(results.verdicts):
        lines += ["", *_aligned((GOAL_HEADS, *rows))]
    held = sum(verdict.holds for verdict in results.verdicts)
    lines.append(f"{held} of {len(results.verdicts)} goals hold. --tables and --report FILE.html show every figure.")
    return "\n".join(lines)


def tables(results: Results) -> str:
    """Return the machine, and a table for each case."""
    parts = ["\n".join(f"{word:12} {value}" for word, value in results.machine.items())]
    parts += ["\n".join((case, *_aligned((HEADS, *_rows(some))))) for case, some in results.cases()]
    return "\n\n".join(parts)


def _goal_rows(verdicts: Sequence[Verdict]) -> list[Row]:
    return [
        (
            verdict.goal.words,
            f"{'>=' if verdict.goal.at_least else '<='} {verdict.goal.bound:g} {verdict.goal.unit}",
            f"{verdict.value:.2f} {verdict.goal.unit}",
            "holds" if verdict.holds else "MISSED",
        )
        for verdict in verdicts
    ]


def _rows(figures: Sequence[Figure]) -> Iterator[Row]:
    for at, group in groupby(figures, lambda figure: figure.at):
        some = list(group)
        ours = next((figure for figure in some if figure.who == "coord"), None)
        least = next((figure for figure in some if figure.who in (floor.BLOCKING, floor.ASYNC)), None)
        for place, figure in enumerate(some):
            yield _row(at if place == 0 else "", figure, ours, least)


def _row(at: str, figure: Figure, ours: Figure | None, least: Figure | None) -> Row:
    low, high = figure.spread
    timed = figure.unit == "us"
    return (
        at,
        figure.who,
        say(figure.median, figure.unit),
        f"{say(low, figure.unit)} .. {say(high, figure.unit)}" if len(figure.rounds) > 1 else "",
        say(sorted(figure.cpu)[len(figure.cpu) // 2], "us") if figure.cpu else "",
        f"{ratio(figure.rounds, least.rounds):.1f} x" if least and figure is not least else "",
        _beside(figure, ours) if timed else "",
    )


def _beside(figure: Figure, ours: Figure | None) -> str:
    if ours is None or figure is ours or len(figure.rounds) != len(ours.rounds):
        return ""
    times = ratio(figure.rounds, ours.rounds)
    return f"{times:.1f} x as fast" if times >= 1 else f"{1 / times:.1f} x as slow"


def _aligned(rows: Sequence[Row]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for first, *cells in rows:
        aligned = [first.ljust(widths[0])]
        aligned += [cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield "  ".join(aligned).rstrip()


# --- HTML

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 60em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-size: 13px; margin: 1em 0 } td, th { padding: 2px 12px 2px 0; text-align: left }
tr { border-bottom: 1px solid #e4e7eb } .coord td { font-weight: bold } .MISSED td { color: #b42318 }
svg { max-width: 100%; height: auto; margin-top: 1em } summary { color: #7b8794; cursor: pointer }
"""


def page(results: Results) -> str:
    """Return one HTML page that needs no other file: the machine, the goals, and a plot and a table for each case."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>coord: benchmarks</title>",
        f"<style>{STYLE}</style><h1>coord: benchmarks</h1>",
        _html(("", ""), list(results.machine.items())),
        "<h2>Goals</h2>",
        _html(GOAL_HEADS, _goal_rows(results.verdicts)),
    ]
    for case, some in results.cases():
        parts.append(f"<h2>{escape(case)}</h2>{plot(case, some)}")
        parts.append(f"<details><summary>figures</summary>{_html(HEADS, list(_rows(some)))}</details>")
    return "\n".join((*parts, "</html>\n"))


def _html(heads: Row, rows: Sequence[Row]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(head)}" for head in heads)] if any(heads) else []
    for row in rows:
        kind = ' class="coord"' if row[1] == "coord" else ' class="MISSED"' if row[-1] == "MISSED" else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{escape(cell)}" for cell in row))
    return "<table>" + "\n".join(lines) + "</table>"


# --- files


def write(path: Path, text: str) -> None:
    """Write a file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def as_json(results: Results) -> str:
    """Return everything that was measured, every round of it."""
    goals = [
        {
            "goal": verdict.goal.words,
            "bound": verdict.goal.bound,
            "at_least": verdict.goal.at_least,
            "unit": verdict.goal.unit,
            "measured": verdict.value,
            "holds": verdict.holds,
        }
        for verdict in results.verdicts
    ]
    figures = [{**asdict(figure), "median": figure.median} for figure in results.figures]
    return json.dumps({"machine": results.machine, "figures": figures, "goals": goals}, indent=1) + "\n"


def read(path: Path) -> tuple[dict[str, str], list[Figure]]:
    """Read the machine and the figures of an earlier run from its JSON."""
    content: Any = json.loads(path.read_text(encoding="utf-8"))
    figures = [
        Figure(each["case"], each["who"], each["at"], each["unit"], tuple(each["rounds"]), tuple(each["cpu"]))
        for each in content["figures"]
    ]
    return content["machine"], figures
