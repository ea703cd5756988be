"""Manifest: what a model bundle says of itself, and whether that fits this program."""

import platform
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal

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


LEVELS: Final[tuple[str, ...]] = Thresholds.__struct_fields__
"""Watch, flag, block."""


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


class Prevalence(Part, frozen=True):
    """Shares of fraud among number-days: that of the data, and the one that display values are for."""

    training: Annotated[float, Meta(gt=0, lt=1)]
    """Among the number-days that the sigmoid was fitted on."""
    operator: Annotated[float, Meta(gt=0, lt=1)] | None
    """The operator's own; None = display values are for training's."""
    training_b: float
    """The sigmoid's intercept at training's prevalence; `calibration.b` is this, shifted to the operator's."""


class Fit(Part, frozen=True):
    """How a bundle was fitted on a table of vectors: enough to do it again."""

    estimator: str
    """`trees`, `logistic`, or the `module:function` that made it."""
    parameters: dict[str, Any]
    monotone: dict[str, Literal[-1, 1]]
    """Features whose rise may only raise (1) or only lower (-1) the margin."""
    split: dict[str, Any]
    prevalence: Prevalence
    search: dict[str, Any] | None
    inputs: dict[str, Any]
    """Files by name and SHA-256, a sketch of the rows, the columns' roles, and what was left out."""


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


class Manifest(Part, frozen=True, omit_defaults=True):
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
    fit: Fit | None = None
    """None: it does not say."""


def running_versions() -> Versions:
    """Of this process: what is installed, for a service that scores trees has no use for importing it."""
    return Versions(
        python=platform.python_version(),
        numpy=np.__version__,
        scikit_learn=version("scikit-learn"),
        skops=version("skops"),
    )


def features_hash(features: Sequence[str]) -> str:
    """What ties a bundle to its columns: the catalogue's formulas where they are its features, else their names."""
    if tuple(features) == NAMES:
        return feature_hash()
    return sha256("\n".join(features).encode()).hexdigest()


def check_manifest(manifest: Manifest, where: Path, any_features: bool = False) -> None:
    """Raises `SnapshotError` unless features and thresholds fit this program's catalogue.

    `any_features`: a carrier's own are taken too, as long as the manifest agrees with itself.
    """
    if not any_features:
        _check_catalogue(manifest, where)
    if manifest.feature_hash != features_hash(manifest.features):
        raise SnapshotError(
            f"{where}: feature_hash: the catalogue's is {features_hash(manifest.features)} "
            f"(got {manifest.feature_hash}): "
            "a formula has changed under the same names; fit the model again"
        )
    if not manifest.thresholds.watch <= manifest.thresholds.flag <= manifest.thresholds.block:
        raise SnapshotError(f"{where}: thresholds: wanted watch <= flag <= block (got {manifest.thresholds})")


def _check_catalogue(manifest: Manifest, where: Path) -> None:
    foreign = "" if manifest.fit is None else "; the service scores the catalogue's features only"
    for i, (wanted, got) in enumerate(zip(NAMES, manifest.features, strict=False)):
        if wanted != got:
            raise SnapshotError(f"{where}: features[{i}]: the catalogue wants {wanted!r} (got {got!r}){foreign}")
    if len(manifest.features) != len(NAMES):
        raise SnapshotError(
            f"{where}: features: the catalogue wants {len(NAMES)} (got {len(manifest.features)}){foreign}"
        )


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
