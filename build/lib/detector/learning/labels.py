"""Labels: which number was a fraudster, from when, and whom it reached.

A label says who a number is, never what a feature shows. A hijacked subscriber is honest until the
first fraudulent event; a SIM bought for fraud is neither before it, and neither are both after the
last one while a window still remembers it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.learning.cdr import HONEST, Records
from detector.records import I64s, U64s

MEMORY_MS: Final = 7 * 86_400_000
"""The longest window: what was done in it still shows."""

HONEST_ROW: Final = 0
FRAUD_ROW: Final = 1
NEITHER: Final = -1


@dataclass(frozen=True, slots=True)
class Label:
    """One number's part in one campaign; active in `[active_from_ms, active_until_ms)`."""

    number: int
    """The subject as the pipeline names it: number@trunk where it arrived unattested."""
    type: str
    stealth: str
    campaign: str
    active_from_ms: int
    """Publication of its first fraudulent event: nobody can know earlier."""
    active_until_ms: int
    events: int
    victim_ms: I64s = field(repr=False)
    """When each distinct recipient was first tried, ascending."""

    def victims_before(self, ms: int) -> int:
        """Distinct recipients tried up to and including `ms`."""
        return int(np.searchsorted(self.victim_ms, ms, side="right"))


def labels_of(records: Records, subjects: U64s, campaigns: Sequence[tuple[str, str, str]]) -> list[Label]:
    """The labels of `records` sorted by end; `campaigns` gives kind, stealth and name by index."""
    marked = np.flatnonzero(records["campaign"] != HONEST)
    fraud, numbers = records[marked], subjects[marked]
    by_subject = np.lexsort((np.arange(len(marked)), numbers, fraud["campaign"]))
    fraud, numbers = fraud[by_subject], numbers[by_subject]
    new = np.ones(len(fraud), dtype=bool)
    new[1:] = (numbers[1:] != numbers[:-1]) | (fraud["campaign"][1:] != fraud["campaign"][:-1])
    first = np.append(np.flatnonzero(new), len(fraud))
    labels = []
    for begin, end in zip(first[:-1].tolist(), first[1:].tolist(), strict=True):
        kind, stealth, name = campaigns[int(fraud["campaign"][begin])]
        times = fraud["end_ms"][begin:end].astype(np.int64)
        _, first_try = np.unique(fraud["recipient"][begin:end], return_index=True)
        labels.append(
            Label(
                number=int(numbers[begin]),
                type=kind,
                stealth=stealth,
                campaign=name,
                active_from_ms=int(times[0]),
                active_until_ms=int(times[-1]) + 1,
                events=end - begin,
                victim_ms=np.sort(times[first_try]),
            )
        )
    return labels


class Truth:
    """What every number was at every moment."""

    def __init__(self, labels: Sequence[Label], hijacked: U64s) -> None:
        """`hijacked`: the numbers that honest people hold; labelled ones among them were honest before."""
        by_number: dict[int, list[Label]] = {}
        for label in labels:
            by_number.setdefault(label.number, []).append(label)
        self._numbers = np.array(sorted(by_number), dtype=np.uint64)
        parts = [by_number[int(number)] for number in self._numbers]
        self._first = np.array([min(label.active_from_ms for label in part) for part in parts], dtype=np.int64)
        self._last = np.array([max(label.active_until_ms for label in part) for part in parts], dtype=np.int64)
        self._honest_before = np.isin(self._numbers, hijacked)

    def of(self, numbers: U64s, event_ms: I64s) -> npt.NDArray[np.int8]:
        """`HONEST_ROW`, `FRAUD_ROW` or `NEITHER` for each number at each time."""
        truth = np.full(len(numbers), HONEST_ROW, dtype=np.int8)
        if not len(self._numbers):
            return truth
        at = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
        marked = self._numbers[at] == numbers
        before = event_ms < self._first[at]
        after = event_ms >= self._last[at]
        truth[marked & ~before & ~after] = FRAUD_ROW
        truth[marked & after & (event_ms < self._last[at] + MEMORY_MS)] = NEITHER
        truth[marked & before & ~self._honest_before[at]] = NEITHER
        return truth
