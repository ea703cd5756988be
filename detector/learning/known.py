"""Known: what was known of every number at every moment, by a given day, and never what became known later.

    label files --NumberLabel--+
                               +--> Known(known by, delay) --of(numbers, moments)--> fraud, honest, or neither
    decisions --------Hidden---+

A number at a moment t is, of the labels that were known by then and that are not our own decision (to learn from that
would be to learn what we knew):
1. neither, where t is not before the day by which things were known: of what follows nothing was;
2. fraud, while a fraud label says so and none that counts for more says otherwise;
3. neither, from the end of that until the longest window has forgotten it;
4. honest, while a label says so and none that counts for more says otherwise;
5. neither otherwise, where it was fraud at another time: nobody knows what it was before;
6. neither, where our own decision speaks of the number: what others say of it counts, their silence does not;
7. neither, where it was blocked or warned of, or had been within the longest window: of somebody who is blocked nobody
   complains;
8. honest, where nobody said anything for as long as the delay after t;
9. neither, where that time is not over.

Of labels that speak of one moment the surest counts (`confidence`, 1 where it is not said), of equally sure ones the
one that was known last, for who spoke last knew what the others had said; of those again fraud.

Which label says what a number was is one thing, whose chance a row weighs by another (`Judged.drawn`). Weighted by its
inverse, what chance found stands for all that is there only as long as it depends on the draw alone and not on who else
happened to speak:
- a label of the hold-out weighs, whatever counts for more: a victim tells of a spared number and of none of the blocked
  ones that it stands for;
- any other drawn label weighs only where without those that chance gave something else would be said: a fraud that an
  audit drew and a victim told of, before or after, was known without the audit, and others like it are known too. Of
  several the likeliest weighs, on the day that it was drawn for.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.learning.decided import Hidden
from detector.learning.draws import Draws
from detector.learning.labelfile import DETECTOR, HOLD_OUT, NumberLabel
from detector.learning.labels import FRAUD_ROW, HONEST_ROW, MEMORY_MS, NEITHER
from detector.records import I64s, U64s
from detector.units import DAY_MS

NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Judged:
    """What numbers were at moments; arrays are aligned."""

    label: npt.NDArray[np.int8]
    """`FRAUD_ROW`, `HONEST_ROW` or `NEITHER`."""
    by: I64s
    """Index in `Known.labels` of the label that says so, the surest and of these the first known; `NOBODY` where it is
    for want of one."""
    drawn: I64s
    """Index of the label by whose chance the row weighs; `NOBODY` where it is by none."""


class _Piece(NamedTuple):
    """What labels say of a number from a moment on until the next piece begins."""

    from_ms: int
    says: int
    """`FRAUD_ROW`, `HONEST_ROW`, or `NEITHER` where none speaks."""
    by: int
    drawn: int
    """Both as in `Judged`."""


_UNSAID: Final = _Piece(0, NEITHER, NOBODY, NOBODY)


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
        self._made: dict[int, list[_Piece]] = {}
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
        by, drawn = np.full((2, len(numbers)), NOBODY, np.int64)
        for row in np.flatnonzero(np.isin(numbers, self._numbers)).tolist():
            label[row], by[row], drawn[row] = self._one(int(numbers[row]), int(event_ms[row]), int(label[row]))
        return Judged(label, by, drawn)

    def frauds(self) -> list[NumberLabel]:
        """The stretches in which labelled numbers were fraud, as a label of each that is known when the last of those
        that make it is; by number, then by time."""
        found: list[NumberLabel] = []
        for number in sorted(self._by_number):
            pieces = self._pieces(number)
            for at, piece in enumerate(pieces):
                if piece.says != FRAUD_ROW:
                    continue
                until_ms = pieces[at + 1].from_ms if at + 1 < len(pieces) else None
                if at and pieces[at - 1].says == FRAUD_ROW:
                    known_ms = max(found[-1].known_at_ms, self.labels[piece.by].known_at_ms)
                    found[-1] = replace(found[-1], active_until_ms=until_ms, known_at_ms=known_ms)
                else:
                    found.append(replace(self.labels[piece.by], active_from_ms=piece.from_ms, active_until_ms=until_ms))
        return found

    def _one(self, number: int, at_ms: int, unsaid: int) -> tuple[int, int, int]:
        """What a labelled number was, by which label, by whose chance; `unsaid` is what it would be without."""
        if at_ms >= self.known_by_ms:
            return NEITHER, NOBODY, NOBODY  # 1
        pieces = self._pieces(number)
        until = bisect_right(pieces, at_ms, key=lambda piece: piece.from_ms)
        now = pieces[until - 1] if until else _UNSAID
        if now.says == FRAUD_ROW:
            return FRAUD_ROW, now.by, now.drawn  # 2
        for before, after in pairwise(pieces[:until]):
            if before.says == FRAUD_ROW and at_ms - after.from_ms < MEMORY_MS:
                return NEITHER, NOBODY, NOBODY  # 3
        if now.says == HONEST_ROW:
            return HONEST_ROW, now.by, now.drawn  # 4
        if number in self._ours or any(piece.says == FRAUD_ROW for piece in pieces):
            return NEITHER, NOBODY, NOBODY  # 5, 6
        return unsaid, NOBODY, NOBODY  # 7 to 9

    def _pieces(self, number: int) -> list[_Piece]:
        """What labels say of a number, in order; before the first none speaks. Made when it is first asked for."""
        if number not in self._made:
            mine = self._by_number.get(number, [])
            edges = sorted({edge for index in mine for edge in _edges(self.labels[index])})
            self._made[number] = [self._piece(mine, from_ms) for from_ms in edges]
        return self._made[number]

    def _piece(self, mine: Sequence[int], at_ms: int) -> _Piece:
        says = [index for index in mine if self.labels[index].covers(at_ms)]
        if not says:
            return _UNSAID._replace(from_ms=at_ms)
        fraud = self._fraud(says)
        same = [index for index in says if self.labels[index].fraud == fraud]
        by = min(same, key=lambda index: (-self.labels[index].confidence, index))
        return _Piece(at_ms, FRAUD_ROW if fraud else HONEST_ROW, by, self._drawn(says, fraud, at_ms))

    def _fraud(self, says: Sequence[int]) -> bool:
        """What the label says that counts for most."""
        return max((label.confidence, label.known_at_ms, label.fraud) for label in map(self.labels.__getitem__, says))[
            2
        ]

    def _drawn(self, says: Sequence[int], fraud: bool, at_ms: int) -> int:
        """By whose chance it weighs of whom these say that it is `fraud`, or is not."""
        for index in says:
            if self.labels[index].source == HOLD_OUT:
                return index
        chance = [index for index in says if self.labels[index].by_chance]
        others = [index for index in says if not self.labels[index].by_chance]
        if others and self._fraud(others) == fraud:
            return NOBODY
        drawn = [i for i in chance if self.labels[i].fraud == fraud and self.labels[i].drawn_at(at_ms)]
        return min(drawn, key=lambda index: (-self.labels[index].probability, index), default=NOBODY)

    def _is_hidden(self, number: int, at_ms: int) -> bool:
        stretches = self._hidden[number]
        before = bisect_right(stretches, at_ms, key=lambda stretch: stretch[0])
        return before > 0 and at_ms < stretches[before - 1][1]

    def moments(self) -> list[tuple[int, int]]:
        """The labels' own moments, with their numbers, in order; none of a label that is our own decision."""
        found = {(label.moment_ms, label.number) for label in self.labels}
        return sorted(each for each in found if each[0] < self.known_by_ms)


def _edges(label: NumberLabel) -> Iterator[int]:
    """Where what a label says begins and ends."""
    yield label.active_from_ms
    if label.active_until_ms is not None:
        yield label.active_until_ms
    if label.drawn_ms is not None:
        yield label.drawn_ms
        yield label.drawn_ms + DAY_MS


def _order(label: NumberLabel) -> tuple[int | str | float, ...]:
    """What was known first comes first; the rest of the order only makes it one."""
    until = -1 if label.active_until_ms is None else label.active_until_ms
    drawn = (-1 if label.drawn_ms is None else label.drawn_ms, label.draw or "")
    rest = (label.source, label.type or "", label.probability, label.confidence, label.campaign or "", *drawn)
    return (label.known_at_ms, label.active_from_ms, until, label.number, label.fraud, *rest)
