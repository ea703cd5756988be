"""Rates: shares, areas and precisions with intervals, resampled by number.

A number's days and events are alike, so that they are drawn together: the bootstrap draws numbers with replacement
and takes all that is theirs. An interval holds the middle 95 % of the replicates.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.records import Bools, I64s

Floats = npt.NDArray[np.float64]

REPLICATES: Final = 1_000
CURVE_REPLICATES: Final = 300
"""Of areas, each of which takes a pass over all numbers."""
OUTSIDE: Final = 0.05
"""What an interval leaves out, half on each side."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it may lie; None = it cannot be known."""

    value: float | None
    low: float | None
    high: float | None

    def written(self) -> dict[str, float | None]:
        """For JSON."""
        return asdict(self)


UNKNOWN: Final = Interval(None, None, None)


def resampled(sums: Floats, seed: int, replicates: int = REPLICATES) -> Floats:
    """Column sums of `sums` f64[numbers, columns] for each draw of the numbers: f64[replicates, columns].

    Draw i takes `len(sums)` numbers with replacement: row i of `default_rng(seed).integers`, drawn in turn.
    """
    rng = np.random.default_rng(seed)
    size = len(sums)
    found = np.zeros((replicates, sums.shape[1]))
    if size:
        for i in range(replicates):
            found[i] = np.bincount(rng.integers(size, size=size), minlength=size) @ sums
    return found


def interval(value: float, replicates: Floats, trials: float = 0) -> Interval:
    """`value` between the quantiles of its `replicates`.

    Of a share of `trials` that is nought or one the replicates hardly tell how far it may be off; its open end is then
    at least as far as the exact binomial bound (Clopper and Pearson 1934). `trials` may be a fraction (`_trials`).
    """
    if not np.isfinite(value):
        return UNKNOWN
    known = replicates[np.isfinite(replicates)]
    low, high = np.quantile(known, [OUTSIDE / 2, 1 - OUTSIDE / 2]) if len(known) else (value, value)
    if trials and value in (0, 1):
        open_end = float((OUTSIDE / 2) ** (1 / trials))
        low, high = (0.0, max(high, 1 - open_end)) if value == 0 else (min(low, open_end), 1.0)
    return Interval(float(value), float(low), float(high))


def share(reached: Bools, number: I64s, weight: Floats | None, seed: int) -> tuple[Interval, Floats]:
    """The weighted share of entries that `reached`, and its replicates; entries of one number are drawn together."""
    if not len(reached):
        return UNKNOWN, np.full(REPLICATES, np.nan)
    weight = np.ones(len(reached)) if weight is None else weight
    _, place = np.unique(number, return_inverse=True)
    both = [np.bincount(place, weights=weight * reached), np.bincount(place, weights=weight)]
    sums = np.stack(both, axis=1).astype(np.float64)
    drawn = resampled(sums, seed)
    with np.errstate(invalid="ignore"):
        replicates = drawn[:, 0] / drawn[:, 1]
    return interval(float(sums[:, 0].sum() / sums[:, 1].sum()), replicates, _trials(len(sums), weight)), replicates


def share_above(values: Floats, weight: Floats, bar: float, bars: Floats, seed: int) -> Interval:
    """The weighted share of numbers, an entry each, whose value reaches a bar that was read off other numbers.

    `bars` f64[REPLICATES]: what it would have been with these drawn anew, NaN where nothing; replicate i holds the
    entries that it draws to the i-th.
    """
    size = len(values)
    if not size:
        return UNKNOWN
    rng = np.random.default_rng(seed)
    replicates = np.empty(len(bars))
    for i, drawn in enumerate(bars.tolist()):
        weighs = np.bincount(rng.integers(size, size=size), minlength=size) * weight
        replicates[i] = weighs[values >= drawn].sum() / weighs.sum() if np.isfinite(drawn) else np.nan
    found = float(weight[values >= bar].sum() / weight.sum())
    return interval(found, replicates, _trials(size, weight))


def difference_above(
    values: tuple[Floats, Floats], weight: Floats, bars: tuple[float, float], drawn: tuple[Floats, Floats], seed: int
) -> Interval:
    """How much more of the same numbers the second of two values lets reach its bar than the first, as a share.

    As `share_above`, paired: each replicate draws the same numbers for both, and holds them to its own two bars.
    """
    size = len(weight)
    if not size:
        return UNKNOWN
    first, second = values
    rng = np.random.default_rng(seed)
    replicates = np.empty(min(map(len, drawn)))
    for i in range(len(replicates)):
        weighs = np.bincount(rng.integers(size, size=size), minlength=size) * weight
        more = (second >= drawn[1][i]).astype(np.float64) - (first >= drawn[0][i])
        replicates[i] = (weighs * more).sum() / weighs.sum() if np.isfinite(drawn[0][i] + drawn[1][i]) else np.nan
    found = (weight * ((second >= bars[1]).astype(np.float64) - (first >= bars[0]))).sum() / weight.sum()
    return interval(float(found), replicates)


def _trials(numbers: int, weight: Floats) -> float:
    """How many `numbers` of equal weight would tell as much (Kish 1965): of one that stands for ninety beside ten that
    stand for themselves, next to one."""
    return float(np.round(numbers * weight.sum() ** 2 / (len(weight) * (weight**2).sum()), 6))


def precision(prevalence: float, recall: Floats | float, wrong: Floats | float) -> Floats:
    """Share of fraud among what is reported: `prevalence` of all are fraud, `wrong` of the honest are reported."""
    true = prevalence * np.asarray(recall, dtype=np.float64)
    false = (1 - prevalence) * np.asarray(wrong, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(true / (true + false))


def area(values: Floats, fraud: Bools, weight: Floats | None = None) -> float:
    """Area under the receiver's curve: how often a fraud's value is above an honest one's, equals counting half."""
    return _areas(*_steps(values, fraud))(np.ones(len(values)) if weight is None else weight)[0]


def average_precision(values: Floats, fraud: Bools, weight: Floats | None = None) -> float:
    """Precision at each recall, averaged over the recall that each distinct value adds."""
    return _areas(*_steps(values, fraud))(np.ones(len(values)) if weight is None else weight)[1]


def area_intervals(values: Floats, fraud: Bools, seed: int, weight: Floats | None = None) -> tuple[Interval, Interval]:
    """Area under the receiver's curve and average precision, one entry a number; each counts as many as it weighs."""
    weight = np.ones(len(values)) if weight is None else weight
    areas = _areas(*_steps(values, fraud))
    rng = np.random.default_rng(seed)
    size = len(values)
    drawn = np.array(
        [areas(np.bincount(rng.integers(size, size=size), minlength=size) * weight) for _ in range(CURVE_REPLICATES)]
    )
    found = areas(weight)
    return interval(found[0], drawn[:, 0]), interval(found[1], drawn[:, 1])


def precision_recall(values: Floats, fraud: Bools, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """Recall and precision at each distinct value, from the highest down."""
    weight = np.ones(len(values)) if weight is None else weight
    order, ends, bad = _steps(values, fraud)
    caught = np.cumsum((weight * bad)[order])[ends]
    return caught / (weight * bad).sum(), caught / np.cumsum(weight[order])[ends]


def _steps(values: Floats, fraud: Bools) -> tuple[I64s, I64s, Floats]:
    """Order from the highest value down, the last place of each run of equals, and 1 for each fraud."""
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(values) - 1)
    return order, ends, fraud.astype(np.float64)


def _areas(order: I64s, ends: I64s, bad: Floats) -> Callable[[Floats], tuple[float, float]]:
    """How both areas follow from how many each entry counts."""

    def areas(counts: Floats) -> tuple[float, float]:
        drawn = counts[order]
        caught = np.cumsum(drawn * bad[order])[ends]
        wrong = np.cumsum(drawn * (1 - bad[order]))[ends]
        if not len(ends) or caught[-1] == 0 or wrong[-1] == 0:
            return float("nan"), float("nan")
        new_caught, new_wrong = np.diff(caught, prepend=0), np.diff(wrong, prepend=0)
        with np.errstate(invalid="ignore"):
            precise = np.where(caught + wrong > 0, caught / (caught + wrong), 0.0)
        above = caught - new_caught / 2
        return (
            float((above * new_wrong).sum() / (caught[-1] * wrong[-1])),
            float((precise * new_caught).sum() / caught[-1]),
        )

    return areas


def lowest_within(values: Floats, weights: Floats | None, most: Sequence[float]) -> list[float | None]:
    """For each of `most` the lowest value that entries of no more weight reach; None where the highest is too much.

    Equal values reach it together: that is what `>=` will do with them.
    """
    distinct, place = np.unique(values, return_inverse=True)
    reached = np.cumsum(np.bincount(place, weights, minlength=len(distinct))[::-1])
    found: list[float | None] = []
    for limit in most:
        room = int(np.searchsorted(reached, limit, side="right"))
        found.append(float(distinct[-room]) if room else None)
    return found
