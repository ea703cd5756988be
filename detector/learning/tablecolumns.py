"""Table columns: what a column of a carrier's table says, whatever wrote it.

    Arrow column, of Spark, pandas, polars, duckdb or a database -> floats | labels | texts | moments

Dictionaries, runs and extensions stand for the values that they refer to. A null of any type, and NaN, is not known.
What has no clear meaning is a `ConfigError` that names the place it is given (`where`), what was wanted and what is
there.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detector.errors import ConfigError
from detector.learning.table import Weights
from detector.records import Bools, I64s

FRAUD_WORDS: Final = frozenset({"1", "1.0", "true", "fraud", "yes"})
HONEST_WORDS: Final = frozenset({"0", "0.0", "false", "honest", "no"})
EARLIEST_MS: Final = 10**11
"""1973 in milliseconds; a time below it is in seconds, or no time."""
LATEST_MS: Final = 10**14
"""5138; a time from it on is in microseconds or finer, or no time."""

Column = Any
"""An array of Arrow, chunked or not."""


def plain(column: Column) -> Column:
    """The values that it refers to."""
    while True:
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = pc.cast(column, kind.value_type)
        elif pa.types.is_run_end_encoded(kind):
            column = pc.run_end_decode(column)
        elif isinstance(kind, pa.BaseExtensionType):
            column = pc.cast(column, kind.storage_type)
        else:
            return column


def is_numeric(kind: pa.DataType) -> bool:
    """Whether `floats` reads it: numbers, flags, and what is null throughout."""
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(number or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether it is text, marked as such."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def floats(column: Column, where: str) -> Weights:
    """f64[rows]; what is not known is NaN."""
    column = plain(column)
    if not is_numeric(column.type):
        raise ConfigError(f"{where}: wanted numbers (got {column.type})")
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def labels(column: Column, where: str) -> tuple[I64s, Bools]:
    """1 fraud, 0 honest, and which of them are known; -1 where not."""
    column = plain(column)
    if is_numeric(column.type):
        values = floats(column, where)
        known = ~np.isnan(values)
        found = np.where(values == 1, 1, np.where(values == 0, 0, -1)).astype(np.int64)
        wrong = [f"{value:g}" for value in values[known & (found < 0)].tolist()]
    else:
        words = pc.utf8_lower(pc.utf8_trim_whitespace(_texts(column, where))).to_pylist()
        found = np.array([1 if word in FRAUD_WORDS else 0 if word in HONEST_WORDS else -1 for word in words], np.int64)
        known = np.array([word is not None and word not in {"", "nan"} for word in words])
        wrong = [word for word, bad in zip(words, known & (found < 0), strict=True) if bad]
    if wrong:
        raise ConfigError(f"{where}: wanted 1 or 0, fraud or honest, empty = not known (got {listed(Counter(wrong))})")
    return found, known


def texts(column: Column, where: str) -> list[str | None]:
    """The text of each row, of a whole number its digits, of bytes that are no text their hex; None where empty."""
    return [text if text and not text.isspace() else None for text in _texts(plain(column), where).to_pylist()]


def moments(column: Column, where: str) -> I64s:
    """UTC milliseconds since 1970, finer ones cut; a timestamp without a zone is UTC. Every row must have one."""
    ms = _milliseconds(plain(column), where)
    if empty := np.count_nonzero(np.isnan(ms)):
        raise ConfigError(f"{where}: wanted a time in each row (got {empty} empty)")
    wrong = ms[(ms < EARLIEST_MS) | (ms >= LATEST_MS)]
    if len(wrong):
        got = int(wrong[0]) if np.isfinite(wrong[0]) else wrong[0]
        raise ConfigError(f"{where}: wanted UTC milliseconds since 1970, or timestamps (got {got})")
    return ms.astype(np.int64)


def said_moments(column: Column, absent: int, where: str) -> I64s | None:
    """The same of any year, `absent` where there is none; None where there is none at all."""
    ms = _milliseconds(plain(column), where)
    said = np.isfinite(ms)
    return np.where(said, ms, absent).astype(np.int64) if said.any() else None


def listed(names: Iterable[object]) -> str:
    """At most ten names, in order."""
    found = [str(name) for name in names]
    return ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")


def _milliseconds(column: Column, where: str) -> Weights:
    """As floats, which hold the milliseconds of 280,000 years exactly; NaN where there is none."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        column = pc.cast(pc.cast(column, pa.timestamp("ms"), safe=False), pa.int64())
    elif not is_numeric(column.type) or pa.types.is_boolean(column.type):
        raise ConfigError(f"{where}: wanted UTC milliseconds since 1970, or timestamps (got {column.type})")
    return floats(column, where)


def _texts(column: Column, where: str) -> Column:
    """A column of strings."""
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = _digits(column, where)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _of_bytes(column)
    elif not (is_text(kind) or is_numeric(kind)):
        raise ConfigError(f"{where}: wanted text or whole numbers (got {kind})")
    return pc.cast(column, pa.string())


def _digits(column: Column, where: str) -> Column:
    """Whole numbers that are written with a point."""
    floating = pa.types.is_floating(column.type)
    if floating:
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return pc.cast(column, pa.int64() if floating else pa.decimal256(76, 0))
    except pa.ArrowInvalid:
        values = column.drop_null().to_pylist()
        wrong = next((value for value in values if value % 1), max(values, key=abs))
        raise ConfigError(f"{where}: wanted text or whole numbers (got {wrong})") from None


def _of_bytes(column: Column) -> Column:
    """As text where all of it is, else as hex."""
    try:
        return pc.cast(pc.cast(column, pa.binary()), pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if one is None else one.hex() for one in column.to_pylist()], pa.string())
