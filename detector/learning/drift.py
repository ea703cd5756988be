"""Drift of a table of vectors: the same histograms as the service keeps, over a file.

    parquet of vectors --Model--> margins -> counts by bin -> Drifted, a line for each feature

Numbers that the table itself calls fraud are left out: the reference is honest numbers. A number-day weighs 1, which is
what the service gets by drawing: by the table's weights, or where it has none by the vectors that it holds of each.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detector.errors import ConfigError
from detector.learning.daycounts import DayCounts
from detector.learning.tablecolumns import floats, labels, moments, texts
from detector.learning.vectors import Heading, day_of, heading_of
from detector.records import I64s, U64s
from detector.verdict.drift import ACT, BINS, LEAST_VECTORS, SCORE, WATCH, Counts, Floats, Reference
from detector.verdict.model import Model
from detector.verdict.trees import Vectors

BATCH: Final = 16_384
"""Vectors held at once: memory does not grow with the files."""
NUMBER_DAY: Final = ("number", "event_ms")
"""The columns that say of which number-day a vector is."""


@dataclass(frozen=True, slots=True)
class Table:
    """A batch of a file: vectors, what each weighs."""

    vectors: Vectors
    weights: Floats


@dataclass(frozen=True, slots=True)
class Drifted:
    """How far one feature, or the score, has moved."""

    feature: str
    index: float | None
    """The population stability index; None where the reference or the vectors have nothing to compare."""
    moved: float | None
    """By how many of the ten bins the known values have moved in the mean: below 0 they became smaller."""
    unknown_before: float | None
    unknown: float | None
    """Share of the vectors in which it cannot be known."""

    @property
    def what(self) -> Literal["act", "watch", "steady", "unknown"]:
        """What the index asks for."""
        if self.index is None:
            return "unknown"
        return "act" if self.index >= ACT else "watch" if self.index >= WATCH else "steady"


@dataclass(frozen=True, slots=True)
class Report:
    """What a table came to, the feature that moved farthest first."""

    drifted: Sequence[Drifted]
    vectors: int

    @property
    def enough(self) -> bool:
        """Whether there are vectors enough for the index to mean something."""
        return self.vectors >= LEAST_VECTORS


def measure(files: Sequence[Path], model: Model, reference: Reference) -> Report:
    """The vectors of `files`, scored by `model`, against `reference`."""
    counts, vectors = np.zeros_like(reference.shares), 0
    for table in read_tables(files, model):
        counts += reference.counts(table.vectors, model.margins(table.vectors), table.weights)
        vectors += len(table.vectors)
    return report(counts, model.names, reference, vectors)


def reference_of(files: Sequence[Path], model: Model) -> Reference:
    """What the vectors of `files` look like: to compare two tables with each other. They are held in memory."""
    tables = list(read_tables(files, model))
    if not tables:
        raise ConfigError(f"{', '.join(map(str, files))}: wanted vectors of honest numbers (got none)")
    vectors = np.concatenate([table.vectors for table in tables])
    return Reference.of(vectors, model.margins(vectors), np.concatenate([table.weights for table in tables]))


def report(counts: Counts, names: Sequence[str], reference: Reference, vectors: int) -> Report:
    """`counts` by bin, told by feature."""
    rows = zip((*names, SCORE), reference.stability(counts), reference.shares, counts, strict=True)
    drifted = [
        Drifted(
            name, _known(index), _known(_middle(now) - _middle(before)), _known(_unknown(before)), _known(_unknown(now))
        )
        for name, index, before, now in rows
    ]
    drifted.sort(key=lambda each: -1.0 if each.index is None else each.index, reverse=True)
    return Report(drifted, vectors)


def read_tables(files: Sequence[Path], model: Model) -> Iterator[Table]:
    """The vectors of parquet files that the table does not call fraud, by the model's feature names."""
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                yield from _batches(file, path, model)
        except (OSError, pa.ArrowInvalid) as error:
            raise ConfigError(f"{path}: wanted a readable parquet file (got {error})") from error


def _batches(file: Any, path: Path, model: Model) -> Iterator[Table]:
    there = file.schema_arrow.names
    missing = [name for name in model.names if name not in there]
    if missing:
        raise ConfigError(
            f"{path}: wanted the {len(model.names)} features of {model.version} "
            f"(got a table without {', '.join(missing)})"
        )
    heading = heading_of(path)
    _check_hash(path, model, heading)
    minutes = heading.home_utc_offset_minutes if heading else 0
    with ExitStack() as stack:
        days = None
        if "weight" not in there and _has_number_days(file):
            days = _counted(file, minutes, Path(stack.enter_context(TemporaryDirectory(prefix="drift-"))), path)
        extra = [name for name in ("label", "weight") if name in there] + list(NUMBER_DAY if days else ())
        for batch in file.iter_batches(BATCH, columns=[*model.names, *extra]):
            vectors = np.stack([floats(batch.column(name), f"{path}: {name}") for name in model.names], axis=1)
            weights = np.ones(len(vectors))
            if "weight" in there:
                weights = floats(batch.column("weight"), f"{path}: weight")
            if days is not None:
                weights = 1.0 / days.counts(*_number_days(batch, minutes, path))
            honest = np.ones(len(vectors), np.bool_)
            if "label" in there:
                honest = labels(batch.column("label"), f"{path}: label")[0] != 1
            if honest.any():
                yield Table(vectors[honest], weights[honest])


def _has_number_days(file: Any) -> bool:
    """Whether the table says of which number and moment its vectors are, as `detector features` writes it."""
    types = {field.name: field.type for field in file.schema_arrow}
    when = types.get(NUMBER_DAY[1], pa.null())
    return NUMBER_DAY[0] in types and (pa.types.is_integer(when) or pa.types.is_timestamp(when))


def _counted(file: Any, utc_offset_minutes: int, folder: Path, path: Path) -> DayCounts:
    """How many vectors each number-day has."""
    days = DayCounts(folder)
    for batch in file.iter_batches(BATCH, columns=list(NUMBER_DAY)):
        days.add(*_number_days(batch, utc_offset_minutes, path))
    return days


def _number_days(batch: pa.RecordBatch, utc_offset_minutes: int, path: Path) -> tuple[U64s, I64s]:
    """Of each vector: its number, as a hash of the text, and its day."""
    number, time = NUMBER_DAY
    given = np.array(texts(batch.column(number), f"{path}: {number}"), np.str_)
    distinct, places = np.unique(given, return_inverse=True)
    digests = [int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") for text in distinct.tolist()]
    event_ms = moments(batch.column(time), f"{path}: {time}")
    return np.array(digests, np.uint64)[places], day_of(event_ms, utc_offset_minutes)


def _check_hash(path: Path, model: Model, heading: Heading | None) -> None:
    """A table that says by which formulas it was made must agree with the model; others may say nothing."""
    wanted = model.manifest.feature_hash
    if heading is not None and heading.feature_hash != wanted:
        raise ConfigError(
            f"{path}: feature_hash: wanted that of {model.version}, {wanted[:12]} (got {heading.feature_hash[:12]}): "
            "make the table again with `detector features`"
        )


def _middle(shares: Floats) -> float:
    """The mean bin of what is known."""
    known = shares[:BINS]
    return float(known @ np.arange(BINS) / known.sum()) if known.sum() > 0 else np.nan


def _unknown(shares: Floats) -> float:
    return float(shares[BINS] / shares.sum()) if shares.sum() > 0 else np.nan


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
