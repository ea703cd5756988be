"""Bundle: a model as a folder of files that say what they are, and are refused when they are not.

    model.skops      the estimator, in types of a fixed list only (`modelfile`)
    trees.npz        its trees as arrays (`nodes`), where it is boosted trees: what the service scores with
    reference.npz    honest numbers: `quantiles` f64[101, features], `medians` f64[features]; where the fit kept them,
                     `edges` and `shares` of the histograms that drift is measured against (`drift`)
    manifest.json    everything else (`manifest`), with the SHA-256 of the other files

The features are the catalogue's, or a carrier's own table's; the service takes the catalogue's only.
The same estimator and manifest give the same bytes. scikit-learn is imported only where an estimator is
written, or read because it has no trees.
"""

import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.errors import SnapshotError
from detector.features.catalogue import NAMES
from detector.verdict.archive import archive, npy
from detector.verdict.drift import BINS, Reference
from detector.verdict.manifest import (
    Calibration,
    Data,
    Fit,
    Golden,
    Manifest,
    Thresholds,
    check_manifest,
    features_hash,
    running_versions,
)
from detector.verdict.nodes import Nodes, take_nodes
from detector.verdict.trees import Vectors

MODEL: Final = "model.skops"
TREES: Final = "trees.npz"
REFERENCE: Final = "reference.npz"
MANIFEST: Final = "manifest.json"


def save_bundle(
    path: Path,
    estimator: Any,
    *,
    name: str,
    data: Data,
    metrics: Mapping[str, float],
    thresholds: Thresholds,
    activity_floor: int,
    calibration: Calibration,
    drift: Reference | None = None,
    honest_quantiles: npt.NDArray[np.float64],
    golden: Vectors,
    honest_medians: npt.NDArray[np.float64] | None = None,
    features: Sequence[str] = NAMES,
    fit: Fit | None = None,
) -> Manifest:
    """The bundle of a fitted estimator lies in the folder `path`; returns its manifest.

    `honest_quantiles` f64[101, features]: percentiles 0 to 100 of honest numbers, NaN left out of
    each column; `honest_medians` f64[features]: its row 50 unless given, NaN where most honest
    numbers have none. `golden`: some vectors, finite or NaN, whose margins the manifest keeps. `drift`: what vectors
    and margins of honest number-days look like; without it the quantiles must do, and they say nothing of the score.
    """
    width = len(features)
    medians = honest_quantiles[50] if honest_medians is None else honest_medians
    for what, array, shape in (
        ("honest_quantiles", honest_quantiles, (101, width)),
        ("honest_medians", medians, (width,)),
        ("golden", golden, (len(golden), width)),
    ):
        if array.shape != shape:
            raise ValueError(f"{what}: wanted shape {shape} (got {array.shape})")
    if not len(golden) or np.isinf(golden).any():
        raise ValueError("golden: wanted at least one vector, of finite numbers and NaN (got none, or infinity)")
    from detector.verdict.modelfile import dump_estimator

    reference = {"quantiles": honest_quantiles, "medians": medians}
    if drift:
        reference |= drift_arrays(drift, len(medians))
    files = {
        MODEL: dump_estimator(estimator),
        REFERENCE: archive({f"{key}.npy": npy(value.astype(np.float64)) for key, value in reference.items()}),
    }
    trees = take_nodes(estimator)
    if trees:
        files[TREES] = trees.dump()
    digests = {file: sha256(content).hexdigest() for file, content in files.items()}
    manifest = Manifest(
        format="bundle-1",
        name=name,
        version=f"{name}-{digests[MODEL][:8]}",
        features=tuple(features),
        feature_hash=features_hash(features),
        data=data,
        metrics={key: float(value) for key, value in sorted(metrics.items())},
        thresholds=thresholds,
        activity_floor=activity_floor,
        calibration=calibration,
        versions=running_versions(),
        files=digests,
        golden=Golden(
            vectors=tuple(tuple(None if np.isnan(x) else float(x) for x in vector) for vector in golden),
            margins=tuple(float(estimator.decision_function(vector[None])[0]) for vector in golden),
        ),
        fit=fit,
    )
    path.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (path / file).write_bytes(content)
    (path / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    return manifest


def read_manifest(path: Path, any_features: bool = False) -> Manifest:
    """The manifest of the bundle in `path`, its files and features checked; `SnapshotError` says what differs.

    `any_features`: those of a carrier's own table are taken too.
    """
    where = path / MANIFEST
    try:
        manifest = msgspec.json.decode(where.read_bytes(), type=Manifest)
    except OSError as error:
        raise SnapshotError(f"{where}: wanted a readable file (got {error.strerror})") from error
    except msgspec.DecodeError as error:
        raise SnapshotError(f"{where}: {error}") from error
    if {MODEL, REFERENCE} != manifest.files.keys() - {TREES}:
        raise SnapshotError(
            f"{where}: files: wanted {MODEL} and {REFERENCE}, with or without {TREES} (got {sorted(manifest.files)})"
        )
    for name, wanted in manifest.files.items():
        try:
            got = sha256((path / name).read_bytes()).hexdigest()
        except OSError as error:
            raise SnapshotError(f"{path / name}: wanted a readable file (got {error.strerror})") from error
        if got != wanted:
            raise SnapshotError(f"{path / name}: wanted SHA-256 {wanted} (got {got}): not the file that was saved")
    check_manifest(manifest, where, any_features)
    return manifest


def read_estimator(path: Path) -> Any:
    """The estimator of the bundle in `path`; `SnapshotError` when its file is not wholly of known types."""
    from detector.verdict.modelfile import load_estimator

    return load_estimator((path / MODEL).read_bytes(), str(path / MODEL))


def read_trees(path: Path) -> Nodes:
    """The trees of the bundle in `path`; `SnapshotError` when its file does not hold trees."""
    return Nodes.load((path / TREES).read_bytes(), str(path / TREES))


def read_reference(path: Path, width: int = len(NAMES)) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of `width` features: `quantiles` f64[101, features] and `medians` f64[features] of honest numbers."""
    where = path / REFERENCE
    try:
        with np.load(where, allow_pickle=False) as arrays:
            quantiles, medians = arrays["quantiles"], arrays["medians"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SnapshotError(f"{where}: wanted arrays `quantiles` and `medians` (got {error})") from error
    for name, array, shape in (("quantiles", quantiles, (101, width)), ("medians", medians, (width,))):
        if array.shape != shape or array.dtype != np.float64:
            raise SnapshotError(f"{where}: {name}: wanted f64{list(shape)} (got {array.dtype}{list(array.shape)})")
    return quantiles, medians


def read_drift(path: Path) -> Reference:
    """What drift is measured against: the bundle's own histograms, else what its quantiles tell."""
    where = path / REFERENCE
    with np.load(where, allow_pickle=False) as arrays:
        if "edges" not in arrays or "shares" not in arrays:
            return Reference.from_quantiles(arrays["quantiles"])
        found = Reference(arrays["edges"], arrays["shares"])
        try:
            drift_arrays(found, arrays["quantiles"].shape[1])
        except ValueError as error:
            raise SnapshotError(f"{where}: {error}") from error
    return found


def drift_arrays(drift: Reference, features: int) -> dict[str, npt.NDArray[np.float64]]:
    """What a reference holds, by name; `ValueError` where it is not of `features` features and the score."""
    arrays = {"edges": (drift.edges, BINS - 1), "shares": (drift.shares, BINS + 1)}
    for name, (array, columns) in arrays.items():
        if array.shape != (features + 1, columns) or array.dtype != np.float64:
            raise ValueError(f"{name}: wanted f64[{features + 1}, {columns}] (got {array.dtype}{list(array.shape)})")
    return {name: array for name, (array, _) in arrays.items()}
