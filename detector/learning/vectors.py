"""Vectors: the table that is learnt from and measured on, a vector a row, in log order.

    features --VectorWriter--> parquet, in row groups --VectorTable--> fit, evaluate, backtest, drift

| column | type | meaning |
| --- | --- | --- |
| `number` | string | as `records.number_text` writes it: `+E164@trunk` where it arrived unattested |
| `event_ms` | int64 | the moment of the vector: it is as of that event, UTC milliseconds |
| `source`, `partition`, `offset` | string, int32, int64 | the record right behind which it was taken; else null |
| the sixty features | float64 | NaN = cannot be known; never null |

and in a table with labels:

| column | type | meaning |
| --- | --- | --- |
| `label` | int8 | 1 fraud, 0 honest, null = not known at `known_by_ms` |
| `type` | string | the fraud's type; null where there is none |
| `label_source` | string | who said so; null where nobody did: honest for want of a label |
| `active_from_ms` | int64 | since when the number is that, as whoever says so has it; null where nobody said it |
| `known_at_ms` | int64 | when it became known; null where nobody said it |
| `weight` | float64 | 1 / vectors of that number-day and label, times the number-days that its label stands for |

What the table says of itself (`Heading`) stands in the file's metadata, as JSON under the key `detector`.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from detector.errors import ConfigError
from detector.features.catalogue import NAMES, feature_hash
from detector.learning.tablecolumns import plain
from detector.records import I64s, U64s, number_text
from detector.units import DAY_MS, MINUTE_MS
from detector.verdict.trees import Vectors

KEY: Final = b"detector"
"""Of the heading, in the file's metadata."""
SPARKS: Final = b"org.apache.spark.sql.parquet.row.metadata"
"""Where Spark writes what its columns say of themselves; with one of them stands our heading (`spark.headed`)."""

ROW_GROUP: Final = 16_384
"""Vectors of a row group: 8 MB of features, which is what a reader holds of a table however large it is."""


PLACE: Final = {
    "number": pa.string(),
    "event_ms": pa.int64(),
    "source": pa.string(),
    "partition": pa.int32(),
    "offset": pa.int64(),
}
LABEL: Final = {
    "label": pa.int8(),
    "type": pa.string(),
    "label_source": pa.string(),
    "active_from_ms": pa.int64(),
    "known_at_ms": pa.int64(),
    "weight": pa.float64(),
}
NEVER_NULL: Final = frozenset({"number", "event_ms", "weight", *NAMES})


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What a table says of itself."""

    format: Literal["vectors-1"] = "vectors-1"
    feature_hash: str
    home_utc_offset_minutes: int
    """What local time was taken to be: it decides about nights, hours of the day, and where a number's day ends."""
    moments: str
    """`every:N`, `day:N`, `hour` or `label`."""
    known_by_ms: int | None = None
    """Labels are those that were known then; None in a table without."""
    label_delay_days: float | None = None
    """How long nothing must have been said of a number until a vector counts as honest."""
    activity_floor: int = 0
    """Outgoing events in 24 h below which no vector was taken, where they were taken at events."""


def schema(heading: Heading, *, labelled: bool) -> pa.Schema:
    """The columns in their order, with the heading."""
    types = {**PLACE, **dict.fromkeys(NAMES, pa.float64()), **(LABEL if labelled else {})}
    fields = [pa.field(name, kind, nullable=name not in NEVER_NULL) for name, kind in types.items()]
    return pa.schema(fields, metadata={KEY: msgspec.json.encode(heading)})


def day_of(event_ms: I64s, utc_offset_minutes: int) -> I64s:
    """The home's day of each moment, counted from 1970: with the number it makes a number-day."""
    days: I64s = (event_ms + utc_offset_minutes * MINUTE_MS) // DAY_MS
    return days


def number_column(numbers: U64s) -> pa.Array:
    """The text of each number. A sender id is given by its hash: how it is spelt differs from record to record."""
    distinct, places = np.unique(numbers, return_inverse=True)
    texts = pa.array([number_text(number) for number in distinct.tolist()], pa.string())
    return texts.take(pa.array(places))


def feature_columns(vectors: Vectors) -> list[pa.Array]:
    """A column for each feature of f64[n, 60]; NaN stays NaN."""
    return [pa.array(column, pa.float64()) for column in np.ascontiguousarray(vectors.T)]


class VectorWriter:
    """Writes a table; it stands under its name when it is complete, and not before.

    Row groups are cut by number of vectors alone: equal vectors give equal bytes, however they came.
    """

    def __init__(self, path: Path, heading: Heading, *, labelled: bool) -> None:
        """Raises `ConfigError` where nothing can be written."""
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._schema = schema(heading, labelled=labelled)
        try:
            self._file = pq.ParquetWriter(self._part, self._schema)
        except OSError as error:
            raise ConfigError(f"{path}: wanted a place to write to (got {error.strerror or error})") from error
        self._held: list[pa.Table] = []
        self.written = 0
        """Vectors so far."""

    def write(self, columns: Sequence[pa.Array]) -> None:
        """Add vectors, given by the table's columns in their order."""
        table = pa.Table.from_arrays(list(columns), schema=self._schema)
        held = sum(map(len, self._held))
        self.written += len(table)
        while held + len(table) >= ROW_GROUP:
            head = table.slice(0, ROW_GROUP - held)
            self._flush([*self._held, head])
            table, self._held, held = table.slice(len(head)), [], 0
        if len(table):
            self._held.append(table)

    def _flush(self, tables: list[pa.Table]) -> None:
        whole = pa.concat_tables(tables)
        self._file.write_table(whole.combine_chunks(), row_group_size=ROW_GROUP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The table is there, or after an exception nothing is."""
        try:
            if kind is None and self._held:
                self._flush(self._held)
            self._file.close()
            if kind is None:
                os.replace(self._part, self._path)
        finally:
            self._part.unlink(missing_ok=True)


class VectorTable:
    """A table as it was written, by us or by Spark, read a row group at a time."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigError` where the file is not a table of vectors with the features of this program."""
        self.path = path
        self._file = _open(path)
        found = _heading(self._file, path)
        if found is None:
            raise ConfigError(
                f"{path}: wanted a table that `detector features` wrote (got parquet without its heading)"
            )
        self.heading: Final = found
        if found.feature_hash != feature_hash():
            raise ConfigError(
                f"{path}: wanted features {feature_hash()[:12]} (got {found.feature_hash[:12]}): "
                "another version made it; make it again with `detector features`"
            )
        self.labelled: Final = "label" in self._file.schema_arrow.names
        self._wanted: Final = schema(found, labelled=self.labelled)
        there, ours = set(self._file.schema_arrow.names), set(self._wanted.names)
        if there != ours:
            without = f"without {', '.join(sorted(ours - there))}" if ours - there else ""
            besides = f"and no {', '.join(sorted(there - ours))}" if there - ours else ""
            odd = " ".join(filter(None, (without, besides)))
            raise ConfigError(f"{path}: wanted the columns of a table of vectors ({odd})")

    def __len__(self) -> int:
        """Vectors."""
        return int(self._file.metadata.num_rows)

    @property
    def groups(self) -> int:
        """Row groups."""
        return int(self._file.num_row_groups)

    def group(self, index: int, columns: Iterable[str] | None = None) -> pa.RecordBatch:
        """One row group; the named columns of it, in the table's order, or all. Types are those of `schema`, whoever
        wrote them; a feature's null is NaN. Raises `ConfigError` for values that are not of their column."""
        named = None if columns is None else set(columns)
        fields = [field for field in self._wanted if named is None or field.name in named]
        table = self._file.read_row_group(index, columns=[field.name for field in fields])
        read = [_as(field, table.column(field.name), f"{self.path}: {field.name}") for field in fields]
        batches = pa.Table.from_arrays(read, schema=pa.schema(fields)).combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=pa.schema(fields))

    def batches(self, columns: Iterable[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Every row group, in log order."""
        for index in range(self.groups):
            yield self.group(index, columns)

    def close(self) -> None:
        """The file is let go."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def heading_of(path: Path) -> Heading | None:
    """What a parquet file of vectors says of itself; None for a table of somebody else's."""
    with _open(path) as file:
        return _heading(file, path)


def vectors_of(batch: pa.RecordBatch) -> Vectors:
    """The features of a batch: f64[n, 60], as they were taken, bit for bit."""
    return np.stack([numbers_of(batch, name) for name in NAMES], axis=1)


def numbers_of(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    """A column of floats; NaN stays NaN, whatever its bits."""
    column: npt.NDArray[np.float64] = batch.column(name).to_numpy(zero_copy_only=False)
    return column


def _open(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        said = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: wanted a readable parquet file (got {said})") from error


def written_heading(metadata: Mapping[bytes, bytes] | None) -> str:
    """What a file says of its vectors, as it is written; empty where it says nothing."""
    metadata = metadata or {}
    if SPARKS in metadata:
        columns = json.loads(metadata[SPARKS])["fields"]
        return "".join(column.get("metadata", {}).get(KEY.decode(), "") for column in columns)
    return metadata.get(KEY, b"").decode()


def _as(field: pa.Field, column: Any, where: str) -> Any:
    """The column, of the field's type and without nulls where it has none."""
    if column.type != field.type:
        try:
            column = pc.cast(plain(column), field.type)
        except pa.ArrowException as error:
            raise ConfigError(f"{where}: wanted {field.type} (got {column.type}: {error})") from error
    if field.nullable or not column.null_count:
        return column
    if field.name not in NAMES:
        raise ConfigError(f"{where}: wanted a value in each row (got {column.null_count} empty)")
    return pc.fill_null(column, np.nan)


def _heading(file: Any, path: Path) -> Heading | None:
    written = written_heading(file.schema_arrow.metadata)
    if not written:
        return None
    try:
        return msgspec.json.decode(written, type=Heading)
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{path}: metadata {KEY.decode()}: wanted the heading of a table of vectors ({error})"
        ) from error
