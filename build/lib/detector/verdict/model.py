"""Model: vectors become margins, and margins a value that people can read.

bundle on disk -> Model -> margins (what rules compare) -> display (0 to 1)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.errors import SnapshotError
from detector.verdict.bundle import MODEL, TREES, read_drift, read_estimator, read_manifest, read_reference, read_trees
from detector.verdict.contributions import Boxes, Contributions, Turns, Vector
from detector.verdict.drift import Reference
from detector.verdict.manifest import Manifest, Thresholds, check_golden, golden_vectors, version_warnings
from detector.verdict.nodes import Nodes, take_nodes
from detector.verdict.trees import Margins, Vectors, flatten

_Score = Callable[[Vectors], Margins]
_Explain = Callable[[Vector], Contributions]


@dataclass(frozen=True, slots=True)
class Model:
    """A checked bundle. Margins of equal vectors are equal, whatever else is in the batch."""

    manifest: Manifest
    quantiles: npt.NDArray[np.float64]
    """f64[101, features]: percentiles 0 to 100 of honest numbers."""
    medians: npt.NDArray[np.float64]
    """f64[features]: the typical honest number; NaN where most have no value."""
    drift: Reference
    """What vectors and margins looked like when the model was made."""
    warnings: tuple[str, ...]
    """Libraries that differ from those the bundle was written with; its golden margins held all the same."""
    _margins: _Score
    _contributions: _Explain

    @staticmethod
    def load(path: Path, any_features: bool = False) -> "Model":
        """The model of the bundle in the folder `path`; `any_features`: also one of a carrier's own features.

        Raises `SnapshotError` naming file, wanted and got when a file, the features, a type or a
        golden margin is not what the manifest says. Another scikit-learn alone is a warning:
        the golden margins decide.
        """
        manifest = read_manifest(path, any_features)
        quantiles, medians = read_reference(path, len(manifest.features))
        file = TREES if TREES in manifest.files else MODEL
        score, explain = (
            _of_trees(read_trees(path), medians) if file == TREES else _of_estimator(read_estimator(path), medians)
        )
        model = Model(manifest, quantiles, medians, read_drift(path), version_warnings(manifest), score, explain)
        try:
            golden = model.margins(golden_vectors(manifest))
        except (AttributeError, TypeError, ValueError) as error:
            raise SnapshotError(f"{path / file}: it gives no margins ({error})") from error
        check_golden(manifest, golden, path / file)
        return model

    @property
    def version(self) -> str:
        """Name and the head of the model file's hash."""
        return self.manifest.version

    @property
    def names(self) -> tuple[str, ...]:
        """The features of a vector, in order."""
        return self.manifest.features

    @property
    def thresholds(self) -> Thresholds:
        """Watch, flag and block, on the margin."""
        return self.manifest.thresholds

    @property
    def activity_floor(self) -> int:
        """Outgoing events in 24 h below which a row is not scored."""
        return self.manifest.activity_floor

    @property
    def simulated(self) -> bool:
        """Trained on simulated traffic only: flags, but blocks only where the settings accept that."""
        return self.manifest.data.kind == "simulated"

    def margins(self, vectors: Vectors) -> Margins:
        """Raw scores f64[n] of vectors f64[n, features]; higher is more like fraud."""
        return self._margins(vectors) if len(vectors) else np.empty(0)

    def contributions(self, vector: Vector) -> Contributions:
        """How much each feature of `vector` f64[features] moved its margin away from the medians' margin."""
        return self._contributions(vector)

    def display(self, margins: Margins) -> Margins:
        """The calibrated value, 0 to 1, for people; rules compare margins."""
        a, b = self.manifest.calibration.a, self.manifest.calibration.b
        with np.errstate(over="ignore"):
            return 1.0 / (1.0 + np.exp(-(a * margins + b)))


def _of_trees(nodes: Nodes, medians: Vector) -> tuple[_Score, _Explain]:
    """How vectors are scored and explained by trees: by our kernels, exactly."""
    return flatten(nodes).margins, Boxes.of(nodes, medians).contributions


def _of_estimator(estimator: Any, medians: Vector) -> tuple[_Score, _Explain]:
    """By an estimator: as trees where it is trees, else by its own decision function."""
    nodes = take_nodes(estimator)
    if nodes:
        return _of_trees(nodes, medians)
    margins = _one_by_one(estimator)
    return margins, Turns(margins, medians).contributions


def _one_by_one(estimator: Any) -> Callable[[Vectors], Margins]:
    """The estimator's own decision function, a vector at a time.

    A matrix product may round a row differently with the number of rows beside it; then a decision
    would depend on how the stream was cut into batches. For baselines only: it is slow.
    """

    def margins(vectors: Vectors) -> Margins:
        return np.array([float(estimator.decision_function(vectors[i : i + 1])[0]) for i in range(len(vectors))])

    return margins
