"""A tiny model that rises with fan-out and falls with received messages: fitted once, fixed seed."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from detector.features.catalogue import NAMES
from detector.verdict.bundle import save_bundle
from detector.verdict.drift import Reference
from detector.verdict.manifest import Calibration, Data, Manifest, Thresholds
from detector.verdict.trees import Vectors

SEED = 20_260_105
FAN_OUT, RECEIVED = NAMES.index("distinct_out_24h"), NAMES.index("sms_in_7d")


def samples(size: int, seed: int = SEED) -> tuple[Vectors, npt.NDArray[np.bool_]]:
    """Vectors with a tenth of their values missing, and which of them are fraud."""
    rng = np.random.default_rng(seed)
    vectors = rng.gamma(1.0, 10.0, size=(size, len(NAMES)))
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    fraud = np.nan_to_num(vectors[:, FAN_OUT]) - np.nan_to_num(vectors[:, RECEIVED]) + rng.normal(0, 5, size) > 12
    return vectors, fraud


def fitted(trees: int = 20, leaves: int = 15) -> Any:
    """Boosted trees on `samples`."""
    vectors, fraud = samples(3_000)
    estimator = HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=leaves, early_stopping=False, random_state=SEED
    )
    with threadpool_limits(1):
        return estimator.fit(vectors, fraud)


def save(path: Path, estimator: Any, kind: Any = "real", floor: int = 5, drift: Reference | None = None) -> Manifest:
    """A complete bundle of `estimator` in `path`."""
    vectors, fraud = samples(2_000, SEED + 1)
    honest = vectors[~fraud]
    margins = np.sort(estimator.decision_function(honest))
    return save_bundle(
        path,
        estimator,
        name="tiny",
        data=Data(kind=kind, first_ms=0, last_ms=86_400_000, numbers=2_000, vectors=3_000, prevalence=0.3, seed=SEED),
        metrics={"recall": 0.5, "auc": 0.9},
        thresholds=Thresholds(watch=float(margins[-200]), flag=float(margins[-20]), block=float(margins[-1]) + 0.5),
        activity_floor=floor,
        calibration=Calibration(a=1.2, b=-3.0),
        honest_quantiles=np.nanpercentile(honest, np.arange(101), axis=0),
        golden=vectors[:8],
        drift=drift,
    )
