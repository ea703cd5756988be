"""Known: what was known of every number at every moment, by a given day, and never what became known later.

    label files --NumberLabel--+
                               +--> Known(known by, delay) --of(numbers, moments)--> fraud, honest, or neither
    decisions --------Hidden---+

A number at a moment t is, of the labels that were known by then and that are not our own decision (to learn from that
would be to learn what we knew):
1. neither, where t is not before the day by which things were known: of what follows nothing was;
2. fraud, while a fraud label says so, of several the one that has precedence;
3. neither, from the end of that until the longest window has forgotten it;
4. honest, while a label says so, in the same order;
5. neither otherwise, where a fraud label speaks of another time: nobody knows what it was before;
6. neither, where our own decision speaks of the number: what others say of it counts, their silence does not;
7. neither, where it was blocked or warned of, or had been within the longest window: of somebody who is blocked nobody
   complains;
8. honest, where nobody said anything for as long as the delay after t;
9. neither, where that time is not over.

Precedence: a label of the hold-out; one that was not drawn for another day; then the one that was likeliest to be
given, then the one that was known first.
What is said of somebody in the hold-out would not have been said of the blocked that they stand for; a fraud that an
audit drew and a victim told of was known without the audit.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.learning.decided import Hidden
from detector.learning.draws import Draws
from detector.learning.labelfile import DETECTOR, HOLD_OUT, NumberLabel
from detector.learning.labels import FRAUD_ROW, HONEST_ROW, MEMORY_MS, NEITHER
from detector.records import I64s, U64s

NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Judged:
    """What numbers were at moments; arrays are aligned."""

    label: npt.NDArray[np.int8]
    """`FRAUD_ROW`, `HONEST_ROW` or `NEITHER`."""
    by: I64s
    """Index in `Known.labels` of the label that says so; `NOBODY` where it is for want of one."""


class Known:
    """The labels that were known by a day. The order in which they were given does not matter."""

    def __init__(
        self, labels: Iterable[NumberLabel], known_by_ms: int, delay_ms: int, hidden: Hidden | None = None
    ) -> None:
        """`delay_ms`: how long it takes until fraud is usually known; until then silence says nothing.

        `hidden`: when it says nothing of whom, because of what we decided.
        """
        self.known_by_ms: Final = known_by_ms
        self._honest_until_ms = known_by_ms - delay_ms
        known = [label for label in labels if label.known_at_ms <= known_by_ms]
        self.labels: Final = sorted((label for label in known if label.source != DETECTOR), key=_order)
        self._by_number: dict[int, list[int]] = {}
        for index, label in enumerate(self.labels):
            self._by_number.setdefault(label.number, []).append(index)
        self._ours = {label.number for label in known if label.source == DETECTOR}
        self._numbers = np.array(sorted(self._by_number.keys() | self._ours), np.uint64)
        self.draws: Final = Draws(self.labels)
        self._hidden: Final = hidden or {}
        self._hidden_numbers = np.array(sorted(self._hidden), np.uint64)

    def of(self, numbers: U64s, event_ms: I64s) -> Judged:
        """What each number was at each moment."""
        label = np.where(event_ms <= self._honest_until_ms, HONEST_ROW, NEITHER).astype(np.int8)  # 8, 9
        label[event_ms >= self.known_by_ms] = NEITHER  # 1
        for row in np.flatnonzero(np.isin(numbers, self._hidden_numbers)).tolist():
            if self._is_hidden(int(numbers[row]), int(event_ms[row])):
                label[row] = NEITHER  # 7
        by = np.full(len(numbers), NOBODY, np.int64)
        for row in np.flatnonzero(np.isin(numbers, self._numbers)).tolist():
            label[row], by[row] = self._one(int(numbers[row]), int(event_ms[row]), int(label[row]))
        return Judged(label, by)

    def _one(self, number: int, at_ms: int, unsaid: int) -> tuple[int, int]:
        """What a labelled number was, and by which label; `unsaid` is what it would be without."""
        if at_ms >= self.known_by_ms:
            return NEITHER, NOBODY  # 1
        mine = [self.labels[index] for index in self._by_number.get(number, ())]
        says = [index for index in self._by_number.get(number, ()) if self.labels[index].covers(at_ms)]
        says.sort(key=lambda index: _precedence(self.labels[index], at_ms))
        for index in says:
            if self.labels[index].fraud:
                return FRAUD_ROW, index  # 2
        frauds = [label for label in mine if label.fraud]
        ended_ms = [label.active_until_ms for label in frauds if label.active_until_ms is not None]
        if any(0 <= at_ms - end_ms < MEMORY_MS for end_ms in ended_ms):
            return NEITHER, NOBODY  # 3
        if says:
            return HONEST_ROW, says[0]  # 4
        return (NEITHER if frauds or number in self._ours else unsaid), NOBODY  # 5 to 9

    def _is_hidden(self, number: int, at_ms: int) -> bool:
        stretches = self._hidden[number]
        before = bisect_right(stretches, at_ms, key=lambda stretch: stretch[0])
        return before > 0 and at_ms < stretches[before - 1][1]

    def moments(self) -> list[tuple[int, int]]:
        """The labels' own moments, with their numbers, in order; none of a label that is our own decision."""
        found = {(label.moment_ms, label.number) for label in self.labels}
        return sorted(each for each in found if each[0] < self.known_by_ms)


def _precedence(label: NumberLabel, at_ms: int) -> tuple[bool, bool, float]:
    """Of labels that speak of one moment the least comes first."""
    return label.source != HOLD_OUT, not label.drawn_at(at_ms), -label.probability


def _order(label: NumberLabel) -> tuple[int | str | float, ...]:
    """What was known first comes first; the rest of the order only makes it one."""
    until = -1 if label.active_until_ms is None else label.active_until_ms
    drawn = (-1 if label.drawn_ms is None else label.drawn_ms, label.draw or "")
    rest = (label.source, label.type or "", label.probability, label.confidence, label.campaign or "", *drawn)
    return (label.known_at_ms, label.active_from_ms, until, label.number, label.fraud, *rest)
