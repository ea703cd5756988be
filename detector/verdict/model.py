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
from detector.verdict.bundle import MODEL, TREES, read_estimator, read_manifest, read_reference, read_trees
from detector.verdict.manifest import Manifest, Thresholds, check_golden, golden_vectors, version_warnings
from detector.verdict.nodes import take_nodes
from detector.verdict.trees import Margins, Vectors, flatten


@dataclass(frozen=True, slots=True)
class Model:
    """A checked bundle. Margins of equal vectors are equal, whatever else is in the batch."""

    manifest: Manifest
    quantiles: npt.NDArray[np.float64]
    """f64[101, features]: percentiles 0 to 100 of honest numbers."""
    medians: npt.NDArray[np.float64]
    """f64[features]: the typical honest number; NaN where most have no value."""
    warnings: tuple[str, ...]
    """Libraries that differ from those the bundle was written with; its golden margins held all the same."""
    _margins: Callable[[Vectors], Margins]

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
        score = flatten(read_trees(path)).margins if file == TREES else _margins_of(read_estimator(path))
        model = Model(manifest, quantiles, medians, version_warnings(manifest), score)
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

    def display(self, margins: Margins) -> Margins:
        """The calibrated value, 0 to 1, for people; rules compare margins."""
        a, b = self.manifest.calibration.a, self.manifest.calibration.b
        with np.errstate(over="ignore"):
            return 1.0 / (1.0 + np.exp(-(a * margins + b)))


def _margins_of(estimator: Any) -> Callable[[Vectors], Margins]:
    """How vectors are scored by an estimator: by our kernels where it is trees, else by its own decision function."""
    trees = take_nodes(estimator)
    return flatten(trees).margins if trees else _one_by_one(estimator)


def _one_by_one(estimator: Any) -> Callable[[Vectors], Margins]:
    """The estimator's own decision function, a vector at a time.

    A matrix product may round a row differently with the number of rows beside it; then a decision
    would depend on how the stream was cut into batches. For baselines only: it is slow.
    """

    def margins(vectors: Vectors) -> Margins:
        return np.array([float(estimator.decision_function(vectors[i : i + 1])[0]) for i in range(len(vectors))])

    return margins
