"""Nodes: boosted trees as plain arrays, which need no scikit-learn to be read.

    HistGradientBoostingClassifier -> Nodes -> trees.npz -> Nodes -> `trees.Trees`

A bundle keeps them beside the estimator: the service scores with its own kernels, and importing
scikit-learn would be most of the time that a worker takes to be back after its death.
"""

import io
import zipfile
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.errors import SnapshotError
from detector.verdict.archive import archive, npy

NODE: Final = np.dtype(
    [
        ("value", "<f8"),
        ("threshold", "<f8"),
        ("feature", "<i4"),
        ("left", "<i4"),
        ("right", "<i4"),
        ("nan_left", "?"),
        ("leaf", "?"),
    ]
)
"""A leaf has a value. A split sends what is at most the threshold to the left; children are counted from the
root of their tree, and come behind their parent."""
_THEIRS: Final = {
    "value": "value",
    "threshold": "num_threshold",
    "feature": "feature_idx",
    "left": "left",
    "right": "right",
    "nan_left": "missing_go_to_left",
    "leaf": "is_leaf",
}
"""The names of scikit-learn's predictors."""


DEEPEST: Final = 500
"""Levels of a tree: trees of 31 leaves have 30 at most, and Python walks down half as many again as this."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The trees of one estimator, in the order in which their leaves are added."""

    nodes: npt.NDArray[np.void]
    """`NODE`s, tree after tree, each from its root on."""
    roots: npt.NDArray[np.int64]
    """i64[trees + 1]: tree t is `nodes[roots[t] : roots[t + 1]]`."""
    baseline: float
    """The margin before the first tree."""
    features: int

    def dump(self) -> bytes:
        """The file of these trees; equal trees give equal bytes."""
        arrays = {"nodes": self.nodes, "roots": self.roots, "baseline": self.baseline, "features": self.features}
        return archive({f"{name}.npy": npy(np.asarray(value)) for name, value in arrays.items()})

    @staticmethod
    def load(data: bytes, where: str) -> "Nodes":
        """What was dumped; `SnapshotError` naming file and place where it is not trees."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                nodes, roots = arrays["nodes"], arrays["roots"]
                baseline, features = float(arrays["baseline"]), int(arrays["features"])
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise SnapshotError(f"{where}: wanted arrays `nodes`, `roots`, `baseline`, `features` (got {error})") from (
                error
            )
        loaded = Nodes(nodes, roots, baseline, features)
        loaded._check(where)
        return loaded

    def _check(self, where: str) -> None:
        """Raises `SnapshotError` unless these are trees: a walk down any of them ends at a leaf."""
        nodes, roots = self.nodes, self.roots
        if nodes.dtype != NODE or nodes.ndim != 1:
            raise SnapshotError(f"{where}: nodes: wanted one dimension of {NODE} (got {nodes.dtype} {nodes.shape})")
        rises = roots.dtype == np.int64 and roots.ndim == 1 and len(roots) > 1 and bool((np.diff(roots) > 0).all())
        if not rises or roots[0] != 0 or roots[-1] != len(nodes):
            raise SnapshotError(f"{where}: roots: wanted rising i64 from 0 to {len(nodes)} (got {roots})")
        sizes = np.diff(roots)
        own = np.arange(len(nodes)) - np.repeat(roots[:-1], sizes)
        size = np.repeat(sizes, sizes)
        inside = [(nodes[side] > own) & (nodes[side] < size) for side in ("left", "right")]
        known = (nodes["feature"] >= 0) & (nodes["feature"] < self.features)
        wrong = np.flatnonzero(~(nodes["leaf"] | (inside[0] & inside[1] & known & ~np.isnan(nodes["threshold"]))))
        if len(wrong):
            raise SnapshotError(
                f"{where}: nodes[{wrong[0]}]: wanted two children behind it in its tree and a feature below "
                f"{self.features} (got {nodes[wrong[0]]})"
            )
        self._check_shape(where)

    def _check_shape(self, where: str) -> None:
        """Raises `SnapshotError` unless every node but the roots has one parent, and none lies too deep."""
        inner = ~self.nodes["leaf"]
        base = np.repeat(self.roots[:-1], np.diff(self.roots))
        below = [self.nodes[side] + base for side in ("left", "right")]
        parents = np.bincount(np.concatenate([side[inner] for side in below]).astype(np.int64), minlength=len(inner))
        parents[self.roots[:-1]] += 1
        if (wrong := np.flatnonzero(parents != 1)).size:
            raise SnapshotError(f"{where}: nodes[{wrong[0]}]: wanted one parent (got {parents[wrong[0]]})")
        level = self.roots[:-1]
        for _ in range(DEEPEST):
            level = level[inner[level]]
            level = np.concatenate([side[level] for side in below]).astype(np.int64)
            if not len(level):
                return
        raise SnapshotError(f"{where}: nodes[{level[0]}]: wanted at most {DEEPEST} nodes above it (got more)")


def take_nodes(estimator: Any) -> Nodes | None:
    """The trees of a fitted two-class `HistGradientBoostingClassifier`; None for what is not one."""
    predictors = getattr(estimator, "_predictors", None)
    if not predictors or any(len(iteration) != 1 for iteration in predictors):
        return None
    trees = [iteration[0].nodes for iteration in predictors]
    if any(nodes["is_categorical"].any() for nodes in trees):
        return None
    roots = np.cumsum([0, *map(len, trees)]).astype(np.int64)
    nodes = np.zeros(int(roots[-1]), NODE)
    for ours, theirs in _THEIRS.items():
        nodes[ours] = np.concatenate([tree[theirs] for tree in trees])
    return Nodes(nodes, roots, float(estimator._baseline_prediction[0, 0]), int(estimator.n_features_in_))
