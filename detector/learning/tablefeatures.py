"""Table features: which columns of a table are features, and what they hold.

    columns without a role -> numeric ones -> less those that count rows or say where a row comes from -> f64 vectors

Nothing that only a label's maker knows may be a feature (`RESERVED`, and `leaks`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detector.errors import ConfigError
from detector.features.catalogue import NAMES
from detector.learning.table import ACTIVE_FROM, ROLES, Weights
from detector.verdict.trees import Vectors

RESERVED: Final = (
    "source",
    "partition",
    "offset",
    "label_source",
    ACTIVE_FROM,
    "known_at_ms",
    "profile",
    *ROLES.values(),
)
"""Columns of our own vectors table that are never features: they say where a row comes from or what was known later."""
COUNTER_ROWS: Final = 50
"""A whole-numbered column that rises or falls by one over this many rows is a row counter, not a behaviour."""


def chosen_features(
    whole: pa.Table, found: Mapping[str, str], wanted: Sequence[str] | None, where: str, notes: list[str]
) -> tuple[str, ...]:
    """Those that are `wanted`, else every numeric one without a role, the catalogue's first and in its order.

    `found`: the column of each role. `notes` (mutated) says what is left out. Raises `ConfigError` as `where`.
    """
    taken = set(found.values())
    if wanted is not None:
        missing = [name for name in wanted if name not in whole.column_names]
        if missing:
            raise ConfigError(
                f"{where}: wanted the bundle's features (missing {listed(missing)}; got {listed(whole.column_names)})"
            )
        text = [name for name in wanted if not _numeric(whole.schema.field(name).type)]
        if text:
            raise ConfigError(f"{where}: {text[0]}: wanted numbers (got {whole.schema.field(text[0]).type})")
        return tuple(wanted)
    numeric, left = [], []
    for column in whole.schema:
        if column.name in taken or column.name.startswith("__index_level_"):
            continue
        if column.name == "profile":
            continue  # it names hard negatives: `tablefiles`
        if column.name in RESERVED:
            left.append(f"{column.name} (says where a row comes from)")
        elif column.name not in NAMES and pa.types.is_null(column.type):
            left.append(f"{column.name} (empty)")
        elif not _numeric(column.type):
            left.append(f"{column.name} ({'text' if _is_text(column.type) else column.type})")
        elif _is_counter(whole[column.name]):
            left.append(f"{column.name} (counts rows)")
        else:
            numeric.append(column.name)
    if left:
        notes.append(f"Columns left out: {', '.join(left)}.")
    if not numeric:
        raise ConfigError(f"{where}: wanted at least one numeric column beside the named ones (got none)")
    catalogue = set(NAMES) <= set(numeric)
    return (*NAMES, *(n for n in numeric if n not in NAMES)) if catalogue else tuple(numeric)


def vectors_of(whole: pa.Table, features: Sequence[str], where: str, notes: list[str]) -> Vectors:
    """f64[rows, features]; null is NaN, and so is infinity, which no model can weigh: `notes` (mutated) says so."""
    vectors = np.empty((whole.num_rows, len(features)))
    for i, name in enumerate(features):
        vectors[:, i] = floats(whole[name])
    endless = np.isinf(vectors)
    if endless.any():
        names = [features[i] for i in np.flatnonzero(endless.any(axis=0)).tolist()]
        notes.append(f"{np.count_nonzero(endless):,} infinite values are taken as not known, in {', '.join(names)}.")
        vectors[endless] = np.nan
    return vectors


def _numeric(kind: pa.DataType) -> bool:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(number or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def _is_counter(column: pa.ChunkedArray) -> bool:
    if len(column) < COUNTER_ROWS or not pa.types.is_integer(column.type) or column.null_count:
        return False
    steps = np.diff(column.to_numpy())
    return bool(abs(int(steps[0])) == 1 and (steps == steps[0]).all())


def floats(column: pa.ChunkedArray) -> Weights:
    """The values of a numeric column; null is NaN."""
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def listed(names: Iterable[object]) -> str:
    """At most ten names, in order."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:10]) + (f" and {len(texts) - 10} more" if len(texts) > 10 else "")
