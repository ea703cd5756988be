"""Table files: any parquet or CSV becomes a `Table`: `detector features` wrote them, or a carrier did.

    files -> columns by role (label, number, time, weight, type) -> features, everything else that is numeric
    -> what is no feature is left out, and said

Labels are 1 or fraud, 0 or honest; rows whose label is not known are left out.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from detector.errors import ConfigError
from detector.features.catalogue import feature_hash
from detector.learning.table import ACTIVE_FROM, ROLES, UNSAID, Table, Texts, Weights, day_weights
from detector.learning.tablefeatures import chosen_features, floats, listed, vectors_of
from detector.records import Bools, I64s
from detector.units import DAY_MS, MINUTE_MS

FRAUD_WORDS: Final = frozenset({"1", "1.0", "true", "fraud", "yes"})
HONEST_WORDS: Final = frozenset({"0", "0.0", "false", "honest", "no"})
SIMULATED: Final = "+999"
"""No country has this code: the simulator's numbers begin with it."""
FEWEST_SIMULATED: Final = 0.01
"""Share of the numbers that make a table simulated: with a part of it people that do not exist are learnt, with fewer
somebody has shown a number that no country has."""
HEADING: Final = ("feature_hash", "home_utc_offset_minutes", "moments", "activity_floor", "kind")
"""Of what our own table says of itself: what vectors mean, and which there are."""
SPARKS: Final = b"org.apache.spark.sql.parquet.row.metadata"
"""Where Spark writes what its columns say of themselves; with one of them stands our heading (`spark.headed`)."""
EARLIEST_MS: Final = 10**11
"""1973 in milliseconds; a time below it is in seconds, or no time."""


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
    has no role. `kind`: None = simulated where the metadata or one in a hundred numbers (`SIMULATED`) say so, else
    real. Raises `ConfigError` naming file, column, wanted and got.
    """
    named = {role: column for role, column in (roles or {}).items() if column}
    columns = {role: named.get(role, default) for role, default in {**ROLES, **(defaults or {})}.items()}
    parts = [_read(file, columns) for file in files]
    whole = _joined(parts, files)
    where = ", ".join(file.name for file in files)
    for role, column in columns.items():
        if column not in whole.column_names and (role in named or role == "label"):
            raise ConfigError(f"{where}: wanted a column {column!r} (--{role}) (got {listed(whole.column_names)})")
    found = {role: column for role, column in columns.items() if column in whole.column_names}
    notes: list[str] = []
    label, known = _labels(whole[found["label"]], f"{where}: {found['label']}")
    if not known.all():
        notes.append(f"{np.count_nonzero(~known):,} rows whose label is not known are left out.")
        whole, label = whole.filter(pa.array(known)), label[known]
    chosen = chosen_features(whole, found, features, where, notes)
    meta = _heading(parts, files)
    number, numbers = _numbers(whole, found, where, notes)
    event_ms = _times(whole[found["time"]], f"{where}: {found['time']}") if "time" in found else None
    offset_ms = MINUTE_MS * int(meta.get("home_utc_offset_minutes", 0))
    day = np.zeros(len(label), np.int64) if event_ms is None else (event_ms + offset_ms) // DAY_MS
    simulated = meta.get("kind") == "simulated" or _simulated(numbers, kind, notes)
    return Table(
        features=chosen,
        vectors=vectors_of(whole, chosen, where, notes),
        fraud=label == 1,
        number=number,
        numbers=numbers,
        event_ms=event_ms,
        day=day,
        weight=_weights(whole, found, number, day, label == 1, where),
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
            raise ConfigError(f"{file}: wanted the columns of {files[0]} (got others: {listed(missing)})")
        twice = [name for name, count in Counter(part.column_names).items() if count > 1]
        if twice:
            raise ConfigError(f"{file}: wanted each column once (got {listed(twice)} again)")
    joined = pa.concat_tables(
        [part.select(first.column_names).replace_schema_metadata(None) for part in parts], promote_options="permissive"
    )
    if not joined.num_rows:
        raise ConfigError(f"{files[0]}: wanted at least one row (got none)")
    return joined


def _heading(parts: Sequence[pa.Table], files: Sequence[Path]) -> dict[str, Any]:
    """What `detector features` wrote beside its columns; the same in all files. Empty where it did not write them."""
    headings: list[dict[str, Any]] = []
    for part in parts:
        found = _said(part)
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


def _said(part: pa.Table) -> dict[str, Any]:
    """The heading of one file, whoever wrote it; empty where there is none."""
    metadata = part.schema.metadata or {}
    if SPARKS in metadata:
        columns = json.loads(metadata[SPARKS])["fields"]
        written = "".join(column.get("metadata", {}).get("detector", "") for column in columns)
    else:
        written = metadata.get(b"detector", b"").decode()
    return dict(json.loads(written)) if written.startswith("{") else {}


def _labels(column: pa.ChunkedArray, where: str) -> tuple[I64s, Bools]:
    """1, 0, and which of them are known."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(pc.cast(_plain(column), pa.string()))).to_pylist()
    found = np.array([1 if word in FRAUD_WORDS else 0 if word in HONEST_WORDS else -1 for word in words], np.int64)
    empty = np.array([word is None or word in {"", "nan"} for word in words])
    wrong = Counter(word for word, bad in zip(words, (found < 0) & ~empty, strict=True) if bad)
    if wrong:
        raise ConfigError(f"{where}: wanted 1 or 0, fraud or honest, empty = not known (got {listed(wrong)})")
    fraud, honest = int((found == 1).sum()), int((found == 0).sum())
    if not fraud or not honest:
        raise ConfigError(f"{where}: wanted fraud and honest rows (got {fraud:,} fraud, {honest:,} honest)")
    return found, ~empty


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


def _simulated(numbers: Texts, kind: str | None, notes: list[str]) -> bool:
    """Whether the numbers are a simulator's; a few among others are said in `notes` (mutated)."""
    found = int(np.char.startswith(numbers, SIMULATED).sum())
    if found >= FEWEST_SIMULATED * len(numbers):
        return found > 0
    if found and kind is None:
        notes.append(
            f"{found:,} of {len(numbers):,} numbers begin with {SIMULATED}, as no country does: taken as real."
        )
    return False


def _times(column: pa.ChunkedArray, where: str) -> I64s:
    if column.null_count:
        raise ConfigError(f"{where}: wanted a time in each row (got {column.null_count} empty)")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        column = pc.cast(pc.cast(column, pa.timestamp("ms"), safe=False), pa.int64())  # finer than a millisecond: cut
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


def _weights(whole: pa.Table, found: Mapping[str, str], number: I64s, day: I64s, fraud: Bools, where: str) -> Weights:
    """As given; else 1 over the vectors of the row's number-day, so that a number-day weighs 1."""
    if "weight" in found:
        given = floats(whole[found["weight"]])
        wrong = np.flatnonzero(~(np.isfinite(given) & (given > 0)))
        if len(wrong):
            raise ConfigError(f"{where}: {found['weight']}[{wrong[0]}]: wanted above 0 (got {given[wrong[0]]})")
        return given
    return day_weights(number, day, fraud)


def _types(whole: pa.Table, found: Mapping[str, str]) -> Texts:
    """The type, and where that is empty the profile."""
    texts = np.full(whole.num_rows, "", dtype=object)
    for name in ("profile", found.get("type")):
        if name is not None and name in whole.column_names:
            given = pc.cast(_plain(whole[name]), pa.string()).to_pylist()
            texts = np.array([new or old for new, old in zip(given, texts, strict=True)], dtype=object)
    return texts.astype(np.str_)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, column.type.value_type) if pa.types.is_dictionary(column.type) else column
