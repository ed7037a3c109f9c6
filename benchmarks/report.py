"""What was measured, as tables and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.goals import Verdict
from benchmarks.measure import Figure, ratio

Row = tuple[str, ...]


def tables(machine: dict[str, str], peers: dict[str, str], missing: Sequence[str], figures: Sequence[Figure]) -> None:
    """Print on what was measured, and a table for each case."""
    for word, value in machine.items():
        print(f"{word:12} {value}")
    print(f"{'peers':12} {', '.join(f'{peer} {version}' for peer, version in peers.items())}")
    if missing:
        print(f"{'left out':12} {', '.join(missing)} (not installed)")
    for case, some in groupby(figures, lambda figure: figure.case):
        _print(case, ("at", "who", "median", "middle half", "per second", "coord is"), _rows(list(some)))


def goals(verdicts: Sequence[Verdict]) -> None:
    """Print each goal that was measured, and whether it was reached."""
    rows = [
        (
            verdict.goal.words,
            f"{'at least' if verdict.goal.at_least else 'at most'} {verdict.goal.bound:g} {verdict.goal.unit}",
            f"{verdict.value:.2f} {verdict.goal.unit}",
            "holds" if verdict.holds else "MISSED",
        )
        for verdict in verdicts
    ]
    if rows:
        _print("goals", ("goal", "bound", "measured", ""), rows)


def _rows(figures: Sequence[Figure]) -> list[Row]:
    rows: list[Row] = []
    for at, some in groupby(figures, lambda figure: figure.at):
        together = list(some)
        ours = next((figure for figure in together if figure.who == "coord"), None)
        rows += [_row(at if place == 0 else "", figure, ours) for place, figure in enumerate(together)]
    return rows


def _row(at: str, figure: Figure, ours: Figure | None) -> Row:
    low, high = figure.spread
    timed = figure.unit == "us"
    return (
        at,
        figure.who,
        _number(figure.median, figure.unit),
        f"{_short(low)} .. {_short(high)}" if len(figure.rounds) > 1 else "",
        f"{1e6 / figure.median:,.0f}" if timed else "",
        _beside(figure, ours) if timed else "",
    )


def _beside(figure: Figure, ours: Figure | None) -> str:
    if ours is None or figure is ours or len(figure.rounds) != len(ours.rounds):
        return ""
    times = ratio(figure, ours)
    return f"{times:.1f} x as fast" if times >= 1 else f"{1 / times:.1f} x as slow"


def _number(value: float, unit: str) -> str:
    if unit == "us":
        return f"{value * 1000:,.0f} ns" if value < 10 else f"{value:,.1f} us"
    return f"{value:,.0f} {unit}"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _print(title: str, heads: Row, rows: Iterable[Row]) -> None:
    try:
        from rich.console import Console  # noqa: PLC0415  # an extra that may be missing
        from rich.table import Table  # noqa: PLC0415
    except ModuleNotFoundError:
        _print_plainly(title, heads, list(rows))
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row, style="bold" if row[1] == "coord" else "red" if row[-1] == "MISSED" else "")
    print()
    Console(width=None if sys.stdout.isatty() else 140, highlight=False).print(table)


def _print_plainly(title: str, heads: Row, rows: Sequence[Row]) -> None:
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    print(f"\n{title}")
    for row in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def as_json(
    machine: dict[str, str], peers: dict[str, str], figures: Iterable[Figure], verdicts: Iterable[Verdict]
) -> Any:
    """Everything that was measured, every round of it."""
    return {
        "machine": machine,
        "peers": peers,
        "figures": [
            {
                "case": figure.case,
                "at": figure.at,
                "who": figure.who,
                "unit": figure.unit,
                "median": figure.median,
                "middle_half": figure.spread,
                "rounds": figure.rounds,
            }
            for figure in figures
        ],
        "goals": [
            {
                "goal": verdict.goal.words,
                "bound": verdict.goal.bound,
                "at_least": verdict.goal.at_least,
                "unit": verdict.goal.unit,
                "measured": verdict.value,
                "holds": verdict.holds,
            }
            for verdict in verdicts
        ],
    }


def write_json(path: Path, content: Any) -> None:
    """Write it, and make the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_figures(path: Path) -> list[Figure]:
    """Read the figures of an earlier run, to plot them again."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [
        Figure(each["case"], each["who"], each["at"], each["unit"], tuple(each["rounds"]))
        for each in content["figures"]
    ]
