"""The figures as SVG: a line for each contender where a size grows, bars elsewhere. Light, and with text as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import groupby
from math import ceil, floor, log10

from benchmarks.measure import Figure

INK, FAINT, GRID, OTHER = "#1f2933", "#7b8794", "#e4e7eb", "#b8bec6"
COLOURS = {
    "coord": "#0f766e",
    "coord, no ids": "#5eb5ac",
    "inside the server": "#e0a458",
    "redis-py Script": "#4a6fa5",
    "redis.asyncio": "#4a6fa5",
    "valkey-glide": "#c8553d",
    "coredis": "#e0a458",
    "bare socket": "#7b8794",
    "bare protocol": "#7b8794",
    "dict and lock": "#7b8794",
    "fakeredis": "#c8553d",
}
WIDTH, NAMES, VALUES, ROW = 760, 190, 110, 18
LEFT, RIGHT, TOP, HEIGHT = 70, 150, 30, 260


def plot(case: str, figures: Sequence[Figure]) -> str:
    """Return the plot of a case."""
    return (lines if case == "async-once" or case.startswith("grow-") else bars)(case, figures)


# --- bars


def bars(title: str, figures: Sequence[Figure]) -> str:
    """Draw a group of bars for each size: the time of one operation, shorter is better."""
    parts, y = [_text(0, 14, title, bold=True)], 34
    for at, group in groupby(figures, lambda figure: figure.at):
        some = list(group)
        parts.append(_text(0, y, at, colour=FAINT))
        y += 6
        longest = max(figure.median for figure in some)
        for figure in some:
            width = max(1.0, (WIDTH - NAMES - VALUES) * figure.median / longest)
            middle, ours = y + ROW - 5, figure.who == "coord"
            parts.append(_text(NAMES - 8, middle, figure.who, end=True, bold=ours))
            parts.append(
                f'<rect x="{NAMES}" y="{y + 2}" width="{width:.1f}" height="{ROW - 5}" fill="{_colour(figure.who)}"/>'
            )
            parts.append(_text(NAMES + width + 6, middle, say(figure.median, figure.unit), bold=ours))
            y += ROW
        y += 22
    return _svg(y - 20, parts)


# --- lines


def lines(title: str, figures: Sequence[Figure]) -> str:
    """Draw the time of one operation by size, both on logarithmic scales."""
    sizes = sorted({_leading(figure.at) for figure in figures})
    values = [figure.median for figure in figures]
    x = _scale(sizes[0], sizes[-1], LEFT, WIDTH - RIGHT)
    low, high = 10 ** floor(log10(min(values))), 10 ** ceil(log10(max(values) * 1.01))
    y = _scale(low, high, TOP + HEIGHT, TOP)
    parts = [_text(0, 14, title, bold=True)]
    for power in range(round(log10(low)), round(log10(high)) + 1):
        at = y(10.0**power)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="{GRID}"/>')
        parts.append(_text(LEFT - 8, at + 4, say(10.0**power, figures[0].unit), end=True, colour=FAINT))
    parts += [_text(x(size), TOP + HEIGHT + 18, _short(size), middle=True, colour=FAINT) for size in sizes]
    ends: list[tuple[float, str]] = []
    for who in dict.fromkeys(figure.who for figure in figures):
        points = [(x(_leading(figure.at)), y(figure.median)) for figure in figures if figure.who == who]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        width = 3 if who == "coord" else 1.6
        parts.append(f'<polyline points="{path}" fill="none" stroke="{_colour(who)}" stroke-width="{width}"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{width + 1}" fill="{_colour(who)}"/>' for px, py in points]
        ends.append((points[-1][1], who))
    below = 0.0
    for at, who in sorted(ends):
        below = max(at, below + 15)  # pushed apart where names would touch
        parts.append(_text(WIDTH - RIGHT + 10, below + 4, who, bold=who == "coord", colour=_colour(who)))
    return _svg(TOP + HEIGHT + 26, parts)


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    span = log10(high / low) or 1.0
    return lambda value: start + (stop - start) * log10(value / low) / span


def _leading(at: str) -> float:
    return float(at.split(maxsplit=1)[0].replace(",", ""))


# --- words


def say(value: float, unit: str) -> str:
    """Return a value with its unit, times in the largest unit that fits."""
    if unit != "us":
        return f"{value:,.0f} {unit}"
    for size, name in ((1e6, "s"), (1e3, "ms"), (1.0, "us")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value * 1000:.3g} ns"


def _short(value: float) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"


def _colour(who: str) -> str:
    return COLOURS.get(who, OTHER)


def _text(
    x: float, y: float, text: str, *, colour: str = INK, bold: bool = False, end: bool = False, middle: bool = False
) -> str:
    anchor = ' text-anchor="end"' if end else ' text-anchor="middle"' if middle else ""
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{anchor}{weight}>{escape(text)}</text>'


def _svg(height: float, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'font-family="system-ui, sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
