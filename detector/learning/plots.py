"""Plots: lines and bars as SVG text, written by hand so that a report needs nothing from anywhere.

data -> a frame with axes and labelled ticks -> marks -> one <svg> element

Colours are told apart by the colour-blind too (Okabe and Ito 2008), and every line is named beside its end or in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

import numpy as np

FAINT: Final = "#d8dee4"
BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
GREEN: Final = "#009e73"
GREY: Final = "#8c959f"
WIDTH: Final = 460
HEIGHT: Final = 300
LEFT, RIGHT, TOP, BOTTOM = 56, 34, 16, 46
BAR_HEIGHT: Final = 20
BAR_LEFT: Final = 190


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a frame: what it shows, from where to where, and where its ticks are."""

    name: str
    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False
    percent: bool = False

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.log:
            return float((np.log(value) - np.log(self.low)) / (np.log(self.high) - np.log(self.low)))
        return (value - self.low) / (self.high - self.low)

    def written(self, value: float) -> str:
        """A tick's text."""
        return f"{value:.0%}" if self.percent else f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"


SHARE: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


def share_axis(name: str) -> Axis:
    """From nothing to all."""
    return Axis(name, 0, 1, SHARE, percent=True)


def log_axis(name: str, values: Sequence[float], least: float = 1.0) -> Axis:
    """Whole decades around `values`."""
    high = max([least * 10, *values])
    decades = int(np.ceil(np.log10(high / least) - 1e-9))
    ticks = [least * 10.0**k for k in range(decades + 1)]
    return Axis(name, least, ticks[-1], ticks, log=True)


@dataclass(frozen=True, slots=True)
class Line:
    """Points to be joined, or to be marked where `dots`."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = BLUE
    dots: bool = False
    dashed: bool = False
    steps: bool = False
    """Level until the next point: what is true of everything up to it."""


def lines(title: str, across: Axis, up: Axis, drawn: Sequence[Line]) -> str:
    """A plot of lines; `title` is read to those who cannot see it."""
    inside_w, inside_h = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(value: float) -> float:
        return LEFT + inside_w * across.place(value)

    def y(value: float) -> float:
        return TOP + inside_h * (1 - up.place(value))

    marks = []
    for tick in across.ticks:
        marks.append(f'<line x1="{x(tick):.1f}" y1="{TOP}" x2="{x(tick):.1f}" y2="{TOP + inside_h}" stroke="{FAINT}"/>')
        marks.append(_text(x(tick), TOP + inside_h + 16, across.written(tick), "middle"))
    for tick in up.ticks:
        marks.append(
            f'<line x1="{LEFT}" y1="{y(tick):.1f}" x2="{LEFT + inside_w}" y2="{y(tick):.1f}" stroke="{FAINT}"/>'
        )
        marks.append(_text(LEFT - 6, y(tick) + 4, up.written(tick), "end"))
    marks.append(_text(LEFT + inside_w / 2, HEIGHT - 8, across.name, "middle"))
    middle = TOP + inside_h / 2
    turned = f'transform="rotate(-90 14 {middle:.1f})"'
    marks.append(f'<text x="14" y="{middle:.1f}" text-anchor="middle" {turned}>{escape(up.name)}</text>')
    for line in drawn:
        marks += _marked([(x(a), y(b)) for a, b in line.points], line)
    legend = "".join(
        f'<span><i style="background:{line.colour}"></i>{escape(line.name)}</span>' for line in drawn if line.name
    )
    return f'{_svg(title, HEIGHT, marks)}<p class="legend">{legend}</p>'


def bars(title: str, across: str, named: Sequence[tuple[str, float]], colour: str = BLUE, digits: int = 4) -> str:
    """Horizontal bars from zero, to its left and grey where the value is below it; each with its name and value.

    `across`: what the axis below shows.
    """
    axis = _from_zero(across, [value for _, value in named])
    room, foot = WIDTH - BAR_LEFT - 64, 4 + BAR_HEIGHT * len(named)

    def x(value: float) -> float:
        return BAR_LEFT + room * axis.place(value)

    marks = []
    for tick in axis.ticks:
        marks.append(f'<line x1="{x(tick):.1f}" y1="4" x2="{x(tick):.1f}" y2="{foot}" stroke="{FAINT}"/>')
        marks.append(_text(x(tick), foot + 16, axis.written(tick), "middle"))
    marks.append(_text(BAR_LEFT + room / 2, foot + 36, axis.name, "middle"))
    for i, (name, value) in enumerate(named):
        top = 4 + BAR_HEIGHT * i
        left, right = sorted((x(0), x(value)))
        marks.append(_text(BAR_LEFT - 6, top + 14, name, "end"))
        marks.append(
            f'<rect x="{left:.1f}" y="{top + 3}" width="{right - left:.1f}" height="{BAR_HEIGHT - 6}" '
            f'fill="{colour if value > 0 else GREY}"/>'
        )
        marks.append(_text(right + 5, top + 14, f"{value:.{digits}f}", "start"))
    return _svg(title, foot + 44, marks)


def _from_zero(name: str, values: Sequence[float]) -> Axis:
    """Around `values` and zero, in a few round steps."""
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == high:
        high = 1.0
    least = (high - low) / 4
    decade = 10.0 ** np.floor(np.log10(least))
    step = float(next(times * decade for times in (1, 2, 5, 10) if times * decade >= least * (1 - 1e-9)))
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    ticks = [round(k * step, 12) for k in range(first, last + 1)]
    return Axis(name, ticks[0], ticks[-1], ticks)


def _svg(title: str, height: int, marks: Sequence[str]) -> str:
    named = f'role="img" aria-label="{escape(title, quote=True)}"'
    return f'<svg viewBox="0 0 {WIDTH} {height}" {named}>{"".join(marks)}</svg>'


def _marked(places: Sequence[tuple[float, float]], line: Line) -> list[str]:
    if line.dots:
        return [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{line.colour}"/>' for a, b in places]
    if line.steps:
        stepped = [point for (a, b), (c, _) in pairwise(places) for point in ((a, b), (c, b))]
        places = [*stepped, *places[-1:]]
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    return [f'<polyline points="{joined}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>']


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
