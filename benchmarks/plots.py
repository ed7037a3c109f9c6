"""The figures as SVG plots: light, and with text as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmarks.measure import Figure

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COORD = "#0f766e"
SERIES = {
    "coord": COORD,
    "coord, no ids": "#5eb5ac",
    "inside the server": "#e0a458",
    "redis-py Script": "#4a6fa5",
    "redis.asyncio": "#4a6fa5",
    "valkey-glide": "#c8553d",
    "coredis": "#e0a458",
    "ceiling": "#a3aab3",
    "dict and lock": "#a3aab3",
    "fakeredis": "#c8553d",
}
OTHERS = "#b8bec6"

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "coord",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 14,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def draw(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Draw each plot whose figures were measured; return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Path] = []
    for name, plot in PLOTS.items():
        with mpl.rc_context(STYLE):
            canvas = plot(figures)
            if canvas is not None:
                path = folder / f"{name}.svg"
                canvas.savefig(path, metadata={"Date": None}, facecolor="white")
                drawn.append(path)
    return drawn


def _of(figures: Iterable[Figure], *cases: str) -> list[Figure]:
    return [figure for figure in figures if figure.case in cases]


def _whos(figures: Iterable[Figure]) -> list[str]:
    return list(dict.fromkeys(figure.who for figure in figures))


def _per_second(figure: Figure) -> float:
    return 1e6 / figure.median


# --- one plot each -------------------------------------------------------------------------------


def awaited(figures: Sequence[Figure]) -> Canvas | None:
    """Calls a second by number of tasks: a line for each client, its name at the end."""
    some = _of(figures, "async-once")
    if not some:
        return None
    canvas = Canvas(figsize=(7.6, 4.4), layout="constrained")
    axes: Any = canvas.add_subplot()
    ends: list[tuple[float, str]] = []
    for who in _whos(some):
        points = [(_leading(figure.at), figure) for figure in some if figure.who == who]
        _line(axes, who, points, _per_second)
        ends.append((_per_second(points[-1][1]), who))
    _names_at_end(axes, max(_leading(figure.at) for figure in some), ends)
    _logarithmic(axes.xaxis, [1, 10, 100, 1000], _plain)
    _logarithmic(axes.yaxis, [3_000, 10_000, 30_000, 100_000, 300_000], _thousands)
    axes.set(title="Awaited: calls a second", xlabel="tasks that call at a time", ylabel="")
    axes.grid(axis="y")
    return canvas


def blocking(figures: Sequence[Figure]) -> Canvas | None:
    """Jobs a second, in one thread and in eight: a panel for each job, a bar for each way."""
    jobs = [job for job in BLOCKING if _of(figures, f"blocking-{job}")]
    if not jobs:
        return None
    heights = [len(_whos(_of(figures, f"blocking-{job}"))) + 1.1 for job in jobs]
    canvas = Canvas(figsize=(7.6, 0.27 * sum(heights) + 0.9), layout="constrained")
    canvas.suptitle("Blocking: jobs a second", x=0.005, ha="left", weight="bold", size=12)
    grid: Any = canvas.subplots(len(jobs), 2, height_ratios=heights, squeeze=False)
    for row, job in zip(grid, jobs, strict=True):
        for axes, at in zip(row, ("1 thread", "8 threads"), strict=True):
            some = [figure for figure in _of(figures, f"blocking-{job}") if figure.at == at]
            _bars(axes, some, _per_second, lambda value: f"{value / 1000:,.1f} k")
            axes.set_title(f"{BLOCKING[job]}, {at}", size=9.5, pad=5)
            if at == "8 threads":
                axes.set_yticklabels([])
    return canvas


BLOCKING = {
    "once": "a dedupe window",
    "claim": "a lock, taken and released",
    "bump": "a new version",
    "merge": "three counts merged",
    "merge-consume": "merged, then consumed",
    "incr": "a count with a TTL",
}


def memory(figures: Sequence[Figure]) -> Canvas | None:
    """Nanoseconds of each operation in memory, as dots on one scale: dict and lock, coord, fakeredis."""
    plain, scripts = _of(figures, "memory-plain"), _of(figures, "memory-scripts")
    if not plain and not scripts:
        return None
    whos = ("dict and lock", "coord", "fakeredis")
    rows: dict[str, dict[str, float]] = {}
    for figure in (*plain, *scripts):
        if figure.who in whos:
            rows.setdefault(figure.at.removeprefix("kv_"), {}).setdefault(figure.who, figure.median * 1000)
    canvas = Canvas(figsize=(7.6, 0.27 * len(rows) + 1.3), layout="constrained")
    axes: Any = canvas.add_subplot()
    for place, values in enumerate(rows.values()):
        axes.plot([min(values.values()), max(values.values())], [place, place], color=GRID, lw=2, zorder=1)
        for who, value in values.items():
            axes.scatter(value, place, s=46 if who == "coord" else 34, color=SERIES[who], zorder=2)
    axes.set_yticks(range(len(rows)), list(rows), color=INK)
    axes.invert_yaxis()
    _logarithmic(axes.xaxis, [100, 1_000, 10_000, 100_000, 1_000_000], _duration)
    axes.set(title="In memory: time of one operation", xlabel="")
    axes.grid(axis="x")
    _legend(axes, whos)
    return canvas


def growth(figures: Sequence[Figure]) -> Canvas | None:
    """How cost grows: with keys, with threads, with batch size, with fields."""
    panels = [panel for panel in GROWTH if _of(figures, panel[0])]
    if not panels:
        return None
    canvas = Canvas(figsize=(7.6, 2.9 * ((len(panels) + 1) // 2)), layout="constrained")
    grid: Any = canvas.subplots((len(panels) + 1) // 2, 2, squeeze=False)
    for spare in grid.flat[len(panels) :]:
        spare.set_axis_off()
    for axes, (case, title, label) in zip(grid.flat, panels, strict=False):
        some = _of(figures, case)
        for who in _whos(some):
            points = [(_leading(figure.at), figure) for figure in some if figure.who == who]
            _line(axes, who, points, lambda figure: figure.median)
        _logarithmic(axes.xaxis, sorted({_leading(figure.at) for figure in some}), _short)
        _microseconds(axes, [figure.median for figure in some])
        axes.set_title(title, size=10)
        axes.set_xlabel(label)
        axes.grid(axis="y")
        if len(_whos(some)) > 1:
            _legend(axes, _whos(some))
    return canvas


GROWTH = (
    ("grow-keys", "once, inside the server", "keys that are there already"),
    ("grow-threads", "once, time per call", "threads"),
    ("grow-batch", "run_many, time per call", "calls in one write"),
    ("grow-fields", "merge, time per call", "fields"),
)

Plot = Callable[[Sequence[Figure]], Canvas | None]
PLOTS: dict[str, Plot] = {"async": awaited, "blocking": blocking, "memory": memory, "growth": growth}

# --- marks ---------------------------------------------------------------------------------------


def _line(axes: Any, who: str, points: list[tuple[float, Figure]], value: Callable[[Figure], float]) -> None:
    ours = who == "coord"
    axes.plot(
        [x for x, _ in points],
        [value(figure) for _, figure in points],
        color=SERIES.get(who, OTHERS),
        lw=2.6 if ours else 1.6,
        ls="--" if who == "ceiling" else "-",
        marker="o",
        ms=5.5 if ours else 4,
        zorder=3 if ours else 2,
    )


def _bars(axes: Any, figures: Sequence[Figure], value: Callable[[Figure], float], say: Callable[[float], str]) -> None:
    values = [value(figure) for figure in figures]
    axes.barh(range(len(values)), values, height=0.68, color=[SERIES.get(figure.who, OTHERS) for figure in figures])
    for place, (figure, each) in enumerate(zip(figures, values, strict=True)):
        weight = "bold" if figure.who == "coord" else "normal"
        axes.text(each + max(values) * 0.015, place, say(each), va="center", size=8.5, weight=weight)
    axes.set_yticks(range(len(values)), [figure.who for figure in figures], size=8.5, color=INK)
    axes.set_xlim(0, max(values) * 1.2)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.invert_yaxis()


def _names_at_end(axes: Any, x: float, ends: list[tuple[float, str]]) -> None:
    """Write each name beside the end of its line, pushed apart where they would touch."""
    below = 0.0
    for y, who in sorted(ends):
        y_name = max(y, below * 1.28)
        below = y_name
        weight = "bold" if who == "coord" else "normal"
        axes.annotate(
            who, (x, y_name), (10, 0), textcoords="offset points", va="center", color=_readable(who), weight=weight
        )


def _readable(who: str) -> str:
    return FAINT if SERIES.get(who, OTHERS) in ("#a3aab3", OTHERS) else SERIES[who]


def _legend(axes: Any, whos: Iterable[str]) -> None:
    for who in whos:
        axes.scatter([], [], color=SERIES.get(who, OTHERS), label=who, s=34)
    axes.legend(frameon=False, fontsize=8.5, loc="best", handletextpad=0.2, borderaxespad=0.2)


# --- scales --------------------------------------------------------------------------------------


def _logarithmic(axis: Any, ticks: Sequence[float], say: Callable[[float], str]) -> None:
    axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
    axis.set_ticks(ticks)
    axis.set_major_formatter(FuncFormatter(lambda value, _: say(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _microseconds(axes: Any, values: Sequence[float]) -> None:
    """From 0 where the values are alike, logarithmic where they differ by more than tenfold."""
    if max(values) > 10 * min(values):
        ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1_000, 3_000) if min(values) / 3 <= tick <= max(values) * 3]
        _logarithmic(axes.yaxis, ticks, lambda value: _duration(1000 * value))
    else:
        axes.set_ylim(0, max(values) * 1.25)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} \N{MICRO SIGN}s"))


def _leading(at: str) -> float:
    return float(at.split(maxsplit=1)[0].replace(",", ""))


def _plain(value: float) -> str:
    return f"{value:,.0f}"


def _thousands(value: float) -> str:
    return f"{value / 1000:g} k/s"


def _short(value: float) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"


def _duration(nanoseconds: float) -> str:
    for size, unit in ((1e6, "ms"), (1e3, "\N{MICRO SIGN}s")):
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"
