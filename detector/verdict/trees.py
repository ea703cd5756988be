"""Trees: scikit-learn's gradient-boosted trees, walked by our own kernel to the same bits.

    HistGradientBoostingClassifier -> flat node arrays -> margins of many vectors at once

scikit-learn checks, copies and dispatches each tree of each batch; on batches of a few
thousand vectors that costs more than the trees. The sum is taken in its order, baseline
first and then tree by tree in float64, so the margins are equal, not merely close.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.jit import kernel

Vectors = npt.NDArray[np.float64]
"""`[n, features]`, in the catalogue's order; NaN = cannot be known."""
Margins = npt.NDArray[np.float64]
"""`[n]` raw scores on the log-odds scale, before any calibration."""

BLOCK: Final = 8
"""Vectors that descend one tree together: their comparisons do not wait for each other."""


@dataclass(frozen=True, slots=True)
class Trees:
    """All nodes of all trees in one row of arrays; a leaf is its own child, so walking on changes nothing."""

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float64]
    nan_left: npt.NDArray[np.bool_]
    children: npt.NDArray[np.int32]
    """Left child of node k at `2k`, right child at `2k + 1`."""
    value: npt.NDArray[np.float64]
    roots: npt.NDArray[np.int32]
    depths: npt.NDArray[np.int32]
    baseline: float
    features: int

    def margins(self, vectors: Vectors) -> Margins:
        """`decision_function` of the estimator these trees were taken from, bit for bit."""
        if vectors.ndim != 2 or vectors.shape[1] != self.features:
            raise ValueError(f"wanted vectors of {self.features} features (got shape {vectors.shape})")
        out = np.full(len(vectors), self.baseline)
        descend(
            np.ascontiguousarray(vectors, dtype=np.float64),
            self.feature,
            self.threshold,
            self.nan_left,
            self.children,
            self.value,
            self.roots,
            self.depths,
            out,
        )
        return out


def flatten(estimator: Any) -> Trees | None:
    """The trees of a fitted two-class `HistGradientBoostingClassifier`; None for what is not one."""
    predictors = getattr(estimator, "_predictors", None)
    if not predictors or any(len(iteration) != 1 for iteration in predictors):
        return None
    nodes = [iteration[0].nodes for iteration in predictors]
    if any(tree["is_categorical"].any() for tree in nodes):
        return None
    starts = np.cumsum([0] + [len(tree) for tree in nodes[:-1]])
    every = np.concatenate(nodes)
    base = np.repeat(starts, [len(tree) for tree in nodes])
    leaf = every["is_leaf"].astype(bool)
    itself = np.arange(len(every))
    children = np.empty(2 * len(every), np.int32)
    children[0::2] = np.where(leaf, itself, base + every["left"])
    children[1::2] = np.where(leaf, itself, base + every["right"])
    return Trees(
        feature=np.where(leaf, 0, every["feature_idx"]).astype(np.int32),
        threshold=np.ascontiguousarray(every["num_threshold"], dtype=np.float64),
        nan_left=every["missing_go_to_left"].astype(np.bool_),
        children=children,
        value=np.ascontiguousarray(every["value"], dtype=np.float64),
        roots=starts.astype(np.int32),
        depths=np.array([int(tree["depth"].max()) for tree in nodes], np.int32),
        baseline=float(estimator._baseline_prediction[0, 0]),
        features=int(estimator.n_features_in_),
    )


@kernel
def descend(
    vectors: Vectors,
    feature: npt.NDArray[np.int32],
    threshold: npt.NDArray[np.float64],
    nan_left: npt.NDArray[np.bool_],
    children: npt.NDArray[np.int32],
    value: npt.NDArray[np.float64],
    roots: npt.NDArray[np.int32],
    depths: npt.NDArray[np.int32],
    out: Margins,
) -> None:
    """out[i] += value of the leaf that vector i reaches, for each tree in order.

    vectors   f64[n, f]      read, C order
    feature, threshold, nan_left, children, value   [nodes], children [2 * nodes]   read
    roots, depths            i32[trees]   read
    out       f64[n]         holds the baseline on entry; added to
    """
    rows = vectors.shape[0]
    at = np.empty(BLOCK, np.int32)
    for start in range(0, rows, BLOCK):
        size = min(BLOCK, rows - start)
        for tree in range(roots.shape[0]):
            for lane in range(size):
                at[lane] = roots[tree]
            for _ in range(depths[tree]):
                for lane in range(size):
                    node = at[lane]
                    x = vectors[start + lane, feature[node]]
                    # Not a branch: NaN fails the comparison and goes where the node sends what is missing.
                    left = (x <= threshold[node]) | ((x != x) & nan_left[node])
                    at[lane] = children[2 * node + 1 - left]
            for lane in range(size):
                out[start + lane] += value[at[lane]]
