"""Read-off: recall at the margins that stated shares of a table's own honest number-days reach.

    honest number-days --choose_thresholds--> bars
    honest numbers drawn anew, REPLICATES times --choose_thresholds--> what the bars would have been
    fraud numbers drawn anew, each time beside another bar --> recall, between its quantiles

A bar that is read off is as uncertain as the few honest number-days at the top that it rests on: an interval that took
it for known would be too narrow, at 0.01 % of nine thousand number-days by a half.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detector.learning.greatest import Greatest
from detector.learning.rates import REPLICATES, Floats, Interval, share_above
from detector.learning.thresholds import FEWEST, SHARES, choose_thresholds
from detector.records import Bools, I64s
from detector.verdict.trees import Margins

LEVELS: Final = ("watch", "flag")
"""Whose shares of honest number-days, 0.1 % and 0.01 %, models are compared at."""
STREAM: Final = 0xBA5
"""Keeps the draws of honest numbers apart from those of fraud numbers, which have the same seed."""
TAIL: Final = 4
"""Times the greatest share is kept of the upper tail, in which a replicate's bar lies; where not, all are used."""
LEAST_TAIL: Final = 50
"""Number-days of it."""


@dataclass(frozen=True, slots=True)
class ReadOff:
    """The bar of each level, and of each replicate."""

    bars: Mapping[str, float]
    drawn: Mapping[str, Floats]
    """f64[REPLICATES] by level; NaN where too few number-days were drawn to set one."""
    extrapolated: Mapping[str, bool]
    """Whether fewer than `FEWEST` number-days may reach the level's, so that it lies beyond them."""

    @staticmethod
    def of(days: Greatest, seed: int) -> "ReadOff":
        """Read off the honest ones of `days`; `ConfigError` for fewer than `FEWEST`."""
        honest = ~days.fraud
        margins, weights = days.margin[honest], days.weight[honest]
        bars = choose_thresholds(margins, weights)
        drawn = list(_drawn(margins, weights, days.number[honest], seed))
        return ReadOff(
            {level: getattr(bars, level) for level in LEVELS},
            {level: np.array([one[level] for one in drawn]) for level in LEVELS},
            {level: bool(SHARES[level] * len(margins) < FEWEST) for level in LEVELS},
        )

    def recall(self, level: str, numbers: Greatest, mine: Bools, seed: int) -> Interval:
        """Of those of `numbers` that are `mine`."""
        return share_above(numbers.margin[mine], numbers.weight[mine], self.bars[level], self.drawn[level], seed)

    def written(self, numbers: Greatest, mine: Bools, seed: int) -> list[dict[str, Any]]:
        """For JSON, a level after the other."""
        return [
            {
                "share": SHARES[level],
                "margin": self.bars[level],
                "extrapolated": self.extrapolated[level],
                "recall": self.recall(level, numbers, mine, seed).written(),
            }
            for level in LEVELS
        ]


def _drawn(margins: Margins, weights: Floats, number: I64s, seed: int) -> Iterator[dict[str, float]]:
    """The bars of each replicate. A number is drawn with all of its days; only the upper tail is sorted again."""
    rng = np.random.default_rng([seed, STREAM])
    _, place = np.unique(number, return_inverse=True)
    weighs = np.bincount(place, weights)
    size = len(weighs)
    whole, tail = np.arange(len(margins)), _tail(margins, weights)
    most = max(SHARES[level] for level in LEVELS)
    for _ in range(REPLICATES):
        counts = np.bincount(rng.integers(size, size=size), minlength=size)
        total = float(counts @ weighs)
        rows = np.repeat(tail, counts[place[tail]])
        if len(rows) <= FEWEST or weights[rows].sum() <= most * total:
            rows = np.repeat(whole, counts[place])
        if len(rows) < FEWEST:
            yield dict.fromkeys(LEVELS, np.nan)
            continue
        bars = choose_thresholds(margins[rows], weights[rows], total)
        yield {level: getattr(bars, level) for level in LEVELS}


def _tail(margins: Margins, weights: Floats) -> I64s:
    """The number-days at the top, with all that equal the lowest of them."""
    order = np.argsort(-margins, kind="stable")
    upto = np.cumsum(weights[order])
    count = int(np.searchsorted(upto, TAIL * max(SHARES[level] for level in LEVELS) * upto[-1], side="right"))
    lowest = margins[order[min(max(count, LEAST_TAIL), len(order)) - 1]]
    return np.flatnonzero(margins >= lowest)
