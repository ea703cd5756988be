"""Contributions: how much each feature moved a margin away from that of a typical honest number.

    Nodes, medians -> Boxes ------------+
                                        +-> contributions, which sum to the margin less the medians' margin
    any other model, medians -> Turns --+

They are Shapley values: a set of features takes the vector's values while all others keep the typical ones, and a
feature gets the mean of what its joining adds, over all orders of joining (Lundberg et al. 2020, "interventional",
with one reference). Replacing one feature at a time is not enough: of two features each of which alone would have
raised the score as far, neither is missed, and both would get nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.jit import kernel
from detector.records import Bools, I64s
from detector.verdict.nodes import Nodes
from detector.verdict.trees import Margins, Vectors

Vector = npt.NDArray[np.float64]
"""`[features]`, one of `Vectors`."""
Contributions = npt.NDArray[np.float64]
"""`[features]` on the scale of the margin; 0 where a value is the typical one."""


class _Side(NamedTuple):
    """What a path asks of one feature: above `low` (NaN: no such bound), at most `high`, or NaN if `nan`."""

    low: float
    high: float
    nan: bool


_ANYTHING = _Side(np.nan, np.inf, True)


@dataclass(frozen=True, slots=True)
class Boxes:
    """The leaves of boosted trees, each with what it asks of every feature on its path.

    A leaf is reached by exactly those coalitions that hold all `a` features whose value only the vector has in the
    leaf's box, and none of the `b` that only the reference has there. Each of the a thereby gets
    `value / (a * C(a + b, a))`, each of the b loses `value / (b * C(a + b, b))`: exact, at a look at every split.
    """

    starts: I64s
    """Entries of the l-th leaf, one for each feature on its path: `[starts[l], starts[l + 1])`."""
    feature: I64s
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    nan: Bools
    """As in `_Side`."""
    typical: Bools
    """Whether the reference's value is in the box."""
    values: npt.NDArray[np.float64]
    """f64[leaves]."""
    coalitions: npt.NDArray[np.float64]
    """C(a + b, a)."""
    features: int

    @staticmethod
    def of(nodes: Nodes, reference: Vector) -> "Boxes":
        """The leaves of `nodes`; `reference` f64[features] is the typical vector, with NaN where it knows nothing."""
        values: list[float] = []
        lengths: list[int] = []
        entries: list[tuple[int, float, float, bool]] = []
        rows = nodes.nodes.tolist()
        for first, last in pairwise(nodes.roots.tolist()):
            for value, path in _leaves(rows[first:last]):
                values.append(value)
                lengths.append(len(path))
                entries += [(feature, *side) for feature, side in path.items()]
        columns = zip(*entries, strict=True) if entries else [[]] * 4
        feature, low, high, nan = (
            np.array(column, kind) for column, kind in zip(columns, (np.int64, float, float, bool), strict=True)
        )
        sizes = range(max(lengths) + 1)
        return Boxes(
            starts=np.cumsum([0, *lengths]),
            feature=feature,
            low=low,
            high=high,
            nan=nan,
            typical=_inside(reference[feature], low, high, nan),
            values=np.array(values),
            coalitions=np.array([[float(comb(a + b, a)) for b in sizes] for a in sizes]),
            features=nodes.features,
        )

    def contributions(self, vector: Vector) -> Contributions:
        """Of each feature of `vector` f64[features]."""
        out = np.zeros(self.features)
        share_out(
            np.ascontiguousarray(vector, np.float64),
            self.starts,
            self.feature,
            self.low,
            self.high,
            self.nan,
            self.typical,
            self.values,
            self.coalitions,
            np.empty(len(self.coalitions), np.int64),
            out,
        )
        return out


@dataclass(frozen=True, slots=True)
class Turns:
    """A model that is no trees: the vector's values come in one by one, in order and in the reverse order.

    The mean of the two is exact where a margin is a sum over features and pairs of features, as a logistic
    regression's is; beyond that it is an estimate, whose sum is right all the same.
    """

    margins: Callable[[Vectors], Margins]
    reference: Vector

    def contributions(self, vector: Vector) -> Contributions:
        """Of each feature of `vector` f64[features]."""
        alike = (vector == self.reference) | (np.isnan(vector) & np.isnan(self.reference))
        moved = np.flatnonzero(~alike)
        total = np.zeros(len(vector))
        for order in (moved, moved[::-1]):
            steps = np.tile(self.reference, (len(order) + 1, 1))
            for step, feature in enumerate(order.tolist(), 1):
                steps[step:, feature] = vector[feature]
            total[order] += np.diff(self.margins(steps)) / 2
        return total


def _inside(
    values: npt.NDArray[np.float64], low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], nan: Bools
) -> Bools:
    """Which values go the way that the path asks for; as in the trees, minus infinity is above no bound."""
    found: Bools = np.where(np.isnan(values), nan, ~(values <= low) & ~(values > high))
    return found


def _leaves(rows: list[tuple[Any, ...]]) -> list[tuple[float, dict[int, _Side]]]:
    """Value and path of every leaf of one tree, `rows` from its root on."""
    found: list[tuple[float, dict[int, _Side]]] = []
    pending: list[tuple[int, dict[int, _Side]]] = [(0, {})]
    while pending:
        at, path = pending.pop()
        value, threshold, feature, left, right, nan_left, leaf = rows[at]
        if leaf:
            found.append((value, path))
            continue
        side = path.get(feature, _ANYTHING)
        low = threshold if np.isnan(side.low) else max(side.low, threshold)
        above = _Side(low, side.high, side.nan and not nan_left)
        below = _Side(side.low, min(side.high, threshold), side.nan and nan_left)
        pending += [(right, path | {feature: above}), (left, path | {feature: below})]
    return found


@kernel
def share_out(
    vector: Vector,
    starts: I64s,
    feature: I64s,
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    nan: Bools,
    typical: Bools,
    values: npt.NDArray[np.float64],
    coalitions: npt.NDArray[np.float64],
    moved: I64s,
    out: Contributions,
) -> None:
    """out[f] += what each leaf's value gives to, or takes from, each feature on its path, as `Boxes` says.

    vector    f64[f]   read
    starts, feature, low, high, nan, typical, values, coalitions   read, as in `Boxes`
    moved     i64[longest path + 1]   scratch: 1 where only the vector is in the box, -1 where only the reference is
    out       f64[f]   added to
    """
    for leaf in range(values.shape[0]):
        first, last = starts[leaf], starts[leaf + 1]
        a, b, reached = 0, 0, True
        for e in range(first, last):
            value = vector[feature[e]]
            inside = nan[e] if value != value else (not value <= low[e]) and value <= high[e]
            if not inside and not typical[e]:
                reached = False
                break
            gains, loses = inside and not typical[e], typical[e] and not inside
            moved[e - first] = 1 if gains else -1 if loses else 0
            a += gains
            b += loses
        if reached and a + b > 0:
            share = values[leaf] / coalitions[a, b]
            for e in range(first, last):
                if moved[e - first] > 0:
                    out[feature[e]] += share / a
                elif moved[e - first] < 0:
                    out[feature[e]] -= share / b
