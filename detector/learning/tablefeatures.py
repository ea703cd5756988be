"""Table features: which columns of a table are features, and what they hold.

    columns without a role -> numeric ones -> less those that count rows or say where a row comes from -> f64 vectors

Nothing that only a label's maker knows may be a feature (`RESERVED`, and `leaks`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from detector.errors import ConfigError
from detector.features.catalogue import NAMES
from detector.learning.table import ACTIVE_FROM, ROLES
from detector.learning.tablecolumns import floats, is_numeric, is_text, listed
from detector.records import Bools
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
INDEX: Final = ("", "Unnamed: 0")
"""What pandas calls its index in CSV, and in CSV that was read and written again: a row's place, never a feature."""
INDEX_LEVEL: Final = "__index_level_"
"""How it begins in parquet."""
LARGEST: Final = float(np.finfo(np.float32).max)
"""Beyond it, 3.4e38, no estimator of scikit-learn's that counts in 32 bits can weigh a value, nor square it in 64."""
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
        text = [name for name in wanted if not is_numeric(whole.schema.field(name).type)]
        if text:
            raise ConfigError(f"{where}: {text[0]}: wanted numbers (got {whole.schema.field(text[0]).type})")
        return tuple(wanted)
    numeric, left = [], []
    for column in whole.schema:
        if column.name in taken:
            continue
        if column.name == "profile":
            continue  # it names hard negatives: `tablefiles`
        if column.name in RESERVED:
            left.append(f"{column.name} (says where a row comes from)")
        elif column.name in INDEX or column.name.startswith(INDEX_LEVEL):
            left.append(f"{column.name!r} (an index)")
        elif not is_numeric(column.type):
            left.append(f"{column.name} ({'text' if is_text(column.type) else column.type})")
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
    """f64[rows, features]; null is NaN, and so is what is beyond `LARGEST`.

    `notes` (mutated) says which are, and what is never known; of the catalogue's features a source may not tell some.
    """
    vectors = np.empty((whole.num_rows, len(features)))
    for i, name in enumerate(features):
        vectors[:, i] = floats(whole[name], f"{where}: {name}")
    endless = np.asarray(np.abs(vectors) > LARGEST)
    if endless.any():
        names = _named(features, np.asarray(endless.any(axis=0)))
        notes.append(
            f"{np.count_nonzero(endless):,} values that are infinite or beyond {LARGEST:.1e} are taken as not known, "
            f"in {names}."
        )
        vectors[endless] = np.nan
    unknown = np.asarray(np.isnan(vectors).all(axis=0) & ~np.isin(features, NAMES))
    if unknown.any():
        notes.append(f"Known in no row: {_named(features, unknown)}.")
    return vectors


def _named(features: Sequence[str], which: Bools) -> str:
    return ", ".join(name for name, wanted in zip(features, which.tolist(), strict=True) if wanted)


def _is_counter(column: pa.ChunkedArray) -> bool:
    if len(column) < COUNTER_ROWS or not pa.types.is_integer(column.type) or column.null_count:
        return False
    steps = np.diff(column.to_numpy())
    return bool(abs(int(steps[0])) == 1 and (steps == steps[0]).all())
