"""Table: vectors with labels, from any parquet or CSV files: `detector features` wrote them, or a carrier did.

    files -> columns by role (label, number, time, weight, type) -> features, everything else that is numeric
    -> what is no feature is left out, and said

A row is one vector of one number at one moment. A label is 1 or fraud, 0 or honest; rows whose label is not known
are left out. Nothing that only a label's maker knows may be a feature (`RESERVED`, and `leaks`).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from detector.errors import ConfigError
from detector.features.catalogue import NAMES, feature_hash
from detector.records import Bools, I64s
from detector.verdict.trees import Vectors

ROLES: Final[Mapping[str, str]] = {
    "label": "label",
    "number": "number",
    "time": "event_ms",
    "weight": "weight",
    "type": "type",
}
"""The column of each role unless it is named otherwise; only the label has to be there."""
ACTIVE_FROM: Final = "active_from_ms"
"""The column that says since when a number is what its label says."""
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
FRAUD_WORDS: Final = frozenset({"1", "1.0", "true", "fraud", "yes"})
HONEST_WORDS: Final = frozenset({"0", "0.0", "false", "honest", "no"})
SIMULATED: Final = "+999"
"""No country has this code: the simulator's numbers begin with it."""
HEADING: Final = ("feature_hash", "home_utc_offset_minutes", "moments", "activity_floor", "kind")
"""Of what our own table says of itself: what vectors mean, and which there are."""
DAY_MS: Final = 86_400_000
EARLIEST_MS: Final = 10**11
"""1973 in milliseconds; a time below it is in seconds, or no time."""
UNSAID: Final = -1
COUNTER_ROWS: Final = 50
"""A whole-numbered column that rises or falls by one over this many rows is a row counter, not a behaviour."""

Texts = npt.NDArray[np.str_]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """Vectors with known labels; arrays are aligned by row."""

    features: tuple[str, ...]
    vectors: Vectors
    fraud: Bools
    number: I64s
    """Code of each row's number: its place in `numbers`."""
    numbers: Texts
    event_ms: I64s | None
    """None where the table has no time."""
    day: I64s
    """Local day since 1970; 0 throughout where there is no time."""
    weight: Weights
    types: Texts
    """Fraud type of a fraud row, profile of an honest one; empty = not named."""
    kind: Literal["simulated", "real"]
    moments: str
    """When vectors were taken, as the table's heading says; empty = not said."""
    floor: int | None
    """Outgoing events in 24 h below which no vector was taken; None = not said."""
    roles: Mapping[str, str]
    """The column of each role that was found."""
    files: Mapping[str, str] = field(repr=False)
    """SHA-256 by file name."""
    notes: tuple[str, ...]
    """What was left out or taken for granted, a sentence each."""
    active_from_ms: I64s | None = None
    """Since when each row's number is what its label says, `UNSAID` where that is not said; None = in no row."""

    def __len__(self) -> int:
        return len(self.fraud)

    def rows(self, wanted: Bools | I64s) -> "Table":
        """Some rows of it; codes of numbers stay what they are."""
        return replace(
            self,
            vectors=self.vectors[wanted],
            fraud=self.fraud[wanted],
            number=self.number[wanted],
            event_ms=None if self.event_ms is None else self.event_ms[wanted],
            day=self.day[wanted],
            weight=self.weight[wanted],
            types=self.types[wanted],
            active_from_ms=None if self.active_from_ms is None else self.active_from_ms[wanted],
        )

    def column(self, name: str) -> Weights:
        """The values of one feature; `KeyError` where there is none of that name."""
        if name not in self.features:
            raise KeyError(name)
        return self.vectors[:, self.features.index(name)]


def read_table(
    files: Sequence[Path],
    roles: Mapping[str, str | None] | None = None,
    features: Sequence[str] | None = None,
    kind: Literal["simulated", "real"] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Table:
    """The rows of `files` whose label is known, in the order of the files.

    `roles`: columns that are named; a named one must be there, one by default may be missing; `defaults` go before
    those of `ROLES`. `features`: the columns that are wanted, all of them, in this order; None = every numeric one that
    has no role. `kind`: None = simulated where the metadata or the numbers (`SIMULATED`) say so, else real. Raises
    `ConfigError` naming file, column, wanted and got.
    """
    named = {role: column for role, column in (roles or {}).items() if column}
    columns = {role: named.get(role, default) for role, default in {**ROLES, **(defaults or {})}.items()}
    parts = [_read(file, columns) for file in files]
    whole = _joined(parts, files)
    where = ", ".join(file.name for file in files)
    for role, column in columns.items():
        if column not in whole.column_names and (role in named or role == "label"):
            raise ConfigError(f"{where}: wanted a column {column!r} (--{role}) (got {_listed(whole.column_names)})")
    found = {role: column for role, column in columns.items() if column in whole.column_names}
    notes: list[str] = []
    label, known = _labels(whole[found["label"]], f"{where}: {found['label']}")
    if not known.all():
        notes.append(f"{np.count_nonzero(~known):,} rows whose label is not known are left out.")
        whole, label = whole.filter(pa.array(known)), label[known]
    chosen = _features(whole, found, features, where, notes)
    meta = _heading(parts, files)
    number, numbers = _numbers(whole, found, where, notes)
    event_ms = _times(whole[found["time"]], f"{where}: {found['time']}") if "time" in found else None
    offset_ms = 60_000 * int(meta.get("home_utc_offset_minutes", 0))
    day = np.zeros(len(label), np.int64) if event_ms is None else (event_ms + offset_ms) // DAY_MS
    simulated = meta.get("kind") == "simulated" or any(text.startswith(SIMULATED) for text in numbers.tolist())
    return Table(
        features=chosen,
        vectors=_vectors(whole, chosen, where, notes),
        fraud=label == 1,
        number=number,
        numbers=numbers,
        event_ms=event_ms,
        day=day,
        weight=_weights(whole, found, number, day, where),
        types=_types(whole, found),
        kind=kind or ("simulated" if simulated else "real"),
        moments=str(meta.get("moments", "")),
        floor=meta.get("activity_floor"),
        roles=found,
        files={file.name: sha256(file.read_bytes()).hexdigest() for file in files},
        notes=tuple(notes),
        active_from_ms=_since(whole),
    )


def _read(file: Path, columns: Mapping[str, str]) -> pa.Table:
    texts = [columns["number"], columns["type"], "profile"]
    try:
        if file.suffix == ".parquet":
            return pyarrow.parquet.read_table(file)
        options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()), strings_can_be_null=True)
        return pyarrow.csv.read_csv(file, convert_options=options)
    except OSError as error:
        raise ConfigError(f"{file}: wanted a readable file (got {error.strerror or error})") from error
    except pa.ArrowException as error:
        raise ConfigError(f"{file}: wanted parquet (.parquet) or CSV with a header (got {error})") from error


def _joined(parts: Sequence[pa.Table], files: Sequence[Path]) -> pa.Table:
    first = parts[0]
    for part, file in zip(parts, files, strict=True):
        missing = sorted(set(first.column_names) ^ set(part.column_names))
        if missing:
            raise ConfigError(f"{file}: wanted the columns of {files[0]} (got others: {_listed(missing)})")
        twice = [name for name, count in Counter(part.column_names).items() if count > 1]
        if twice:
            raise ConfigError(f"{file}: wanted each column once (got {_listed(twice)} again)")
    joined = pa.concat_tables(
        [part.select(first.column_names).replace_schema_metadata(None) for part in parts], promote_options="permissive"
    )
    if not joined.num_rows:
        raise ConfigError(f"{files[0]}: wanted at least one row (got none)")
    return joined


def _heading(parts: Sequence[pa.Table], files: Sequence[Path]) -> dict[str, Any]:
    """What `detector features` wrote beside its columns; the same in all files. Empty where it did not write them."""
    headings = []
    for part in parts:
        written = (part.schema.metadata or {}).get(b"detector", b"{}")
        found = json.loads(written) if written.startswith(b"{") else {}
        headings.append({name: found[name] for name in HEADING if name in found})
    first = headings[0]
    for heading, file in zip(headings, files, strict=True):
        if heading != first:
            raise ConfigError(f"{file}: wanted vectors taken as those of {files[0]}, {first} (got {heading})")
    if first.get("feature_hash", feature_hash()) != feature_hash():
        raise ConfigError(
            f"{files[0]}: feature_hash: wanted {feature_hash()}, this program's (got {first['feature_hash']}): "
            "take the vectors again"
        )
    return first


def _labels(column: pa.ChunkedArray, where: str) -> tuple[I64s, Bools]:
    """1, 0, and which of them are known."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(pc.cast(_plain(column), pa.string()))).to_pylist()
    found = np.array([1 if word in FRAUD_WORDS else 0 if word in HONEST_WORDS else -1 for word in words], np.int64)
    empty = np.array([word is None or word in {"", "nan"} for word in words])
    wrong = Counter(word for word, bad in zip(words, (found < 0) & ~empty, strict=True) if bad)
    if wrong:
        raise ConfigError(f"{where}: wanted 1 or 0, fraud or honest, empty = not known (got {_listed(wrong)})")
    fraud, honest = int((found == 1).sum()), int((found == 0).sum())
    if not fraud or not honest:
        raise ConfigError(f"{where}: wanted fraud and honest rows (got {fraud:,} fraud, {honest:,} honest)")
    return found, ~empty


def _features(
    whole: pa.Table, found: Mapping[str, str], wanted: Sequence[str] | None, where: str, notes: list[str]
) -> tuple[str, ...]:
    taken = set(found.values())
    if wanted is not None:
        missing = [name for name in wanted if name not in whole.column_names]
        if missing:
            raise ConfigError(
                f"{where}: wanted the bundle's features (missing {_listed(missing)}; got {_listed(whole.column_names)})"
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
            continue  # it names hard negatives: `_types`
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


def _vectors(whole: pa.Table, features: Sequence[str], where: str, notes: list[str]) -> Vectors:
    """f64[rows, features]; null is NaN, and so is infinity, which no model can weigh."""
    vectors = np.empty((whole.num_rows, len(features)))
    for i, name in enumerate(features):
        vectors[:, i] = _floats(whole[name])
    endless = np.isinf(vectors)
    if endless.any():
        names = [features[i] for i in np.flatnonzero(endless.any(axis=0)).tolist()]
        notes.append(f"{np.count_nonzero(endless):,} infinite values are taken as not known, in {', '.join(names)}.")
        vectors[endless] = np.nan
    return vectors


def _numbers(whole: pa.Table, found: Mapping[str, str], where: str, notes: list[str]) -> tuple[I64s, Texts]:
    if "number" not in found:
        notes.append("There is no column of numbers: each row is taken for a number of its own.")
        texts = np.array([f"row {i}" for i in range(whole.num_rows)])
    else:
        column = whole[found["number"]]
        if column.null_count:
            raise ConfigError(
                f"{where}: {found['number']}: wanted a number in each row (got {column.null_count} empty)"
            )
        texts = np.array(pc.cast(_plain(column), pa.string()).to_pylist(), dtype=np.str_)
    numbers, codes = np.unique(texts, return_inverse=True)
    return codes.astype(np.int64), numbers


def _times(column: pa.ChunkedArray, where: str) -> I64s:
    if column.null_count:
        raise ConfigError(f"{where}: wanted a time in each row (got {column.null_count} empty)")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        column = pc.cast(pc.cast(column, pa.timestamp("ms")), pa.int64())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        ms: I64s = np.asarray(column.to_numpy()).astype(np.int64)
        if ms.min() >= EARLIEST_MS:
            return ms
        raise ConfigError(f"{where}: wanted UTC milliseconds since 1970, or timestamps (got {ms.min()})")
    raise ConfigError(f"{where}: wanted UTC milliseconds since 1970, or timestamps (got {column.type})")


def _since(whole: pa.Table) -> I64s | None:
    """Moments of `ACTIVE_FROM`, where the table has it."""
    if ACTIVE_FROM not in whole.column_names or not pa.types.is_integer(whole.schema.field(ACTIVE_FROM).type):
        return None
    since: I64s = np.asarray(pc.fill_null(whole[ACTIVE_FROM], UNSAID).to_numpy()).astype(np.int64)
    return since


def _weights(whole: pa.Table, found: Mapping[str, str], number: I64s, day: I64s, where: str) -> Weights:
    """As given; else 1 over the vectors of the row's number-day, so that a number-day weighs 1."""
    if "weight" in found:
        given = _floats(whole[found["weight"]])
        wrong = np.flatnonzero(~(np.isfinite(given) & (given > 0)))
        if len(wrong):
            raise ConfigError(f"{where}: {found['weight']}[{wrong[0]}]: wanted above 0 (got {given[wrong[0]]})")
        return given
    return day_weights(number, day)


def day_weights(number: I64s, day: I64s) -> Weights:
    """1 over the vectors of each row's number-day."""
    _, inverse, counts = np.unique(number_day_keys(number, day), return_inverse=True, return_counts=True)
    weights: Weights = 1.0 / counts[inverse]
    return weights


def number_day_keys(number: I64s, day: I64s) -> I64s:
    """One value for each pair of a number's code and a day (or another place in time)."""
    first = int(day.min())
    return number * (int(day.max()) - first + 1) + (day - first)


def _types(whole: pa.Table, found: Mapping[str, str]) -> Texts:
    """The type, and where that is empty the profile."""
    texts = np.full(whole.num_rows, "", dtype=object)
    for name in ("profile", found.get("type")):
        if name is not None and name in whole.column_names:
            given = pc.cast(_plain(whole[name]), pa.string()).to_pylist()
            texts = np.array([new or old for new, old in zip(given, texts, strict=True)], dtype=object)
    return texts.astype(np.str_)


def _numeric(kind: pa.DataType) -> bool:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(number or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def _floats(column: pa.ChunkedArray) -> Weights:
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _is_counter(column: pa.ChunkedArray) -> bool:
    if len(column) < COUNTER_ROWS or not pa.types.is_integer(column.type) or column.null_count:
        return False
    steps = np.diff(column.to_numpy())
    return bool(abs(int(steps[0])) == 1 and (steps == steps[0]).all())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _listed(names: Any) -> str:
    """At most ten names, in order."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
