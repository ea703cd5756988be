"""Draws: from which days each audit drew, so that what several found of one day is not added up.

    labels of audits --Draws--> in how many draws a number-day could be --> what one stands for

Each draw says by itself how much there is of its days. Of a day from which k draws were made the mean of the k is that
too, so what one of them found there stands for a k-th of what it would stand for alone.

A label names its draw as `FROM-UNTIL-MARK`: the first moment of its days and the first behind them, UTC milliseconds,
and a hash of what was drawn. Labels without a name, of before draws had any, are taken for one draw.
"""

from collections.abc import Iterable
from typing import Final

from detector.learning.labelfile import RANDOM_AUDIT, NumberLabel

Span = tuple[int, int]
"""`[from, until)`, UTC milliseconds."""


class Draws:
    """Those that some labels come of."""

    def __init__(self, labels: Iterable[NumberLabel]) -> None:
        """Labels of other sources than audits are let be."""
        audits = [label for label in labels if label.source == RANDOM_AUDIT]
        names = dict.fromkeys(label.draw for label in audits if label.draw is not None)
        unnamed = [label for label in audits if label.draw is None]
        self.spans: Final[list[Span]] = [_span(name) for name in names] + ([_around(unnamed)] if unnamed else [])

    def of(self, label: NumberLabel) -> int:
        """From the day that `label` was drawn for so many draws were made; 1 of a label that no audit gave."""
        if label.source != RANDOM_AUDIT:
            return 1
        at_ms = label.active_from_ms if label.drawn_ms is None else label.drawn_ms
        return max(1, sum(from_ms <= at_ms < until_ms for from_ms, until_ms in self.spans))


def name_of_draw(span: Span, mark: str) -> str:
    """What its labels call it."""
    return f"{span[0]}-{span[1]}-{mark}"


def _span(name: str) -> Span:
    from_ms, until_ms, _ = name.split("-")
    return int(from_ms), int(until_ms)


def _around(labels: Iterable[NumberLabel]) -> Span:
    """From the first day to the last. Of fraud analysts say when it began, if they know: honest ones tell better."""
    labels = list(labels)
    moments = [label.active_from_ms for label in labels if not label.fraud] or [
        label.active_from_ms for label in labels
    ]
    return min(moments), max(moments) + 1
