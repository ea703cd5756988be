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


def bars(title: str, named: Sequence[tuple[str, float]], colour: str = BLUE, digits: int = 4) -> str:
    """Horizontal bars from zero, the longest as wide as the frame; each with its name and value."""
    most = max([value for _, value in named if value > 0], default=1.0)
    height = BAR_HEIGHT * len(named) + 8
    room = WIDTH - BAR_LEFT - 64
    marks = []
    for i, (name, value) in enumerate(named):
        top = 4 + BAR_HEIGHT * i
        long = room * max(0.0, value) / most
        marks.append(_text(BAR_LEFT - 6, top + 14, name, "end"))
        marks.append(
            f'<rect x="{BAR_LEFT}" y="{top + 3}" width="{long:.1f}" height="{BAR_HEIGHT - 6}" fill="{colour}"/>'
        )
        marks.append(_text(BAR_LEFT + long + 5, top + 14, f"{value:.{digits}f}", "start"))
    return _svg(title, height, marks)


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
