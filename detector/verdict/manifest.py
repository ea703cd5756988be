"""Manifest: what a model bundle says of itself, and whether that fits this program."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

from detector.errors import SnapshotError
from detector.features.catalogue import NAMES, feature_hash
from detector.verdict.trees import Margins, Vectors


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of the manifest."""


class Thresholds(Part, frozen=True):
    """On the margin, as the maximum per honest number and day: 0.1 %, 0.01 % and 0.001 % reach them."""

    watch: float
    flag: float
    block: float


class Calibration(Part, frozen=True):
    """Display value = 1 / (1 + exp(-(a * margin + b))); a > 0, so it never reorders numbers."""

    a: Annotated[float, Meta(gt=0)]
    b: float


class Data(Part, frozen=True):
    """What the model was trained on."""

    kind: Literal["simulated", "real"]
    first_ms: int
    last_ms: int
    numbers: Annotated[int, Meta(ge=1)]
    vectors: Annotated[int, Meta(ge=1)]
    prevalence: Annotated[float, Meta(ge=0, le=1)]
    """Share of fraud among the numbers."""
    seed: int


class Versions(Part, frozen=True):
    """What the bundle was written with."""

    python: str
    numpy: str
    scikit_learn: str
    skops: str


class Golden(Part, frozen=True):
    """Vectors (null = NaN) and the margins that they must give, to the last bit."""

    vectors: tuple[tuple[float | None, ...], ...]
    margins: tuple[float, ...]


class Manifest(Part, frozen=True):
    """What a bundle says of itself."""

    format: Literal["bundle-1"]
    name: str
    version: str
    """`name` and the first 8 hex digits of the model file's SHA-256."""
    features: tuple[str, ...]
    feature_hash: str
    data: Data
    metrics: dict[str, float]
    thresholds: Thresholds
    activity_floor: Annotated[int, Meta(ge=0)]
    """Outgoing events in 24 h below which there is too little to judge: such rows are not scored."""
    calibration: Calibration
    versions: Versions
    files: dict[str, str]
    golden: Golden


def running_versions() -> Versions:
    """Of this process: what is installed, for a service that scores trees has no use for importing it."""
    return Versions(
        python=platform.python_version(),
        numpy=np.__version__,
        scikit_learn=version("scikit-learn"),
        skops=version("skops"),
    )


def check_manifest(manifest: Manifest, where: Path) -> None:
    """Raises `SnapshotError` unless features and thresholds fit this program's catalogue."""
    for i, (wanted, got) in enumerate(zip(NAMES, manifest.features, strict=False)):
        if wanted != got:
            raise SnapshotError(f"{where}: features[{i}]: the catalogue wants {wanted!r} (got {got!r})")
    if len(manifest.features) != len(NAMES):
        raise SnapshotError(f"{where}: features: the catalogue wants {len(NAMES)} (got {len(manifest.features)})")
    if manifest.feature_hash != feature_hash():
        raise SnapshotError(
            f"{where}: feature_hash: the catalogue's is {feature_hash()} (got {manifest.feature_hash}): "
            "a formula has changed under the same names; fit the model again"
        )
    if not manifest.thresholds.watch <= manifest.thresholds.flag <= manifest.thresholds.block:
        raise SnapshotError(f"{where}: thresholds: wanted watch <= flag <= block (got {manifest.thresholds})")


def golden_vectors(manifest: Manifest) -> Vectors:
    """The manifest's golden vectors as an array."""
    return np.array([[np.nan if x is None else x for x in v] for v in manifest.golden.vectors], np.float64)


def check_golden(manifest: Manifest, margins: Margins, where: Path) -> None:
    """Raises `SnapshotError` unless `margins` are the manifest's, bit for bit."""
    wanted = np.array(manifest.golden.margins)
    if margins.shape != wanted.shape:
        raise SnapshotError(f"{where}: golden: wanted a margin per vector (got {wanted.shape}, {margins.shape})")
    for i in np.flatnonzero(margins != wanted):
        versions = version_warnings(manifest)
        raise SnapshotError(
            f"{where}: golden vector {i}: wanted margin {wanted[i]!r} (got {margins[i]!r})"
            + (f"; {'; '.join(versions)}" if versions else "")
        )


def version_warnings(manifest: Manifest) -> tuple[str, ...]:
    """What was written under another version than runs. Golden margins decide; this only helps to explain."""
    running = running_versions()
    return tuple(
        f"{name}: written with {then}, running {now}"
        for name, then, now in (
            (name.replace("_", "-"), getattr(manifest.versions, name), getattr(running, name))
            for name in Versions.__struct_fields__
        )
        if then.split(".")[:2] != now.split(".")[:2]
    )
