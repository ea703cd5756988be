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

    leaf: I64s
    """Of each entry, a feature on the path of a leaf: which leaf."""
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
        entries: list[tuple[int, int, float, float, bool]] = []
        rows = nodes.nodes.tolist()
        for first, last in pairwise(nodes.roots.tolist()):
            for value, path in _leaves(rows[first:last]):
                entries += [(len(values), feature, *side) for feature, side in path.items()]
                values.append(value)
        columns = zip(*entries, strict=True) if entries else [[]] * 5
        leaf, feature, low, high, nan = (
            np.array(column, kind)
            for column, kind in zip(columns, (np.int64, np.int64, float, float, bool), strict=True)
        )
        most = int(np.bincount(leaf).max(initial=0))
        return Boxes(
            leaf=leaf,
            feature=feature,
            low=low,
            high=high,
            nan=nan,
            typical=_inside(reference[feature], low, high, nan),
            values=np.array(values),
            coalitions=np.array([[float(comb(a + b, a)) for b in range(most + 1)] for a in range(most + 1)]),
            features=nodes.features,
        )

    def contributions(self, vector: Vector) -> Contributions:
        """Of each feature of `vector` f64[features]."""
        inside = _inside(vector[self.feature], self.low, self.high, self.nan)
        reached = np.ones(len(self.values), np.bool_)
        reached[self.leaf[~inside & ~self.typical]] = False
        of_reached = reached[self.leaf]
        gains, losses = (
            np.flatnonzero(inside & ~self.typical & of_reached),
            np.flatnonzero(~inside & self.typical & of_reached),
        )
        a, b = (np.bincount(self.leaf[who], minlength=len(self.values)) for who in (gains, losses))
        shared = self.values / self.coalitions[a, b]
        total = np.zeros(self.features)
        for who, counts, sign in ((gains, a, 1.0), (losses, b, -1.0)):
            of = self.leaf[who]
            total += np.bincount(self.feature[who], sign * shared[of] / counts[of], self.features)
        return total


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
