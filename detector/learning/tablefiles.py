"""Table files: any parquet or CSV becomes a `Table`: `detector features` wrote them, or a carrier did.

    files -> columns by role (label, number, time, weight, type) -> features, everything else that is numeric
    -> what is no feature is left out, and said

Labels are 1 or fraud, 0 or honest; rows whose label is not known are left out. What a column holds, however it is
written, `tablecolumns` says.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from detector.errors import ConfigError
from detector.features.catalogue import feature_hash
from detector.learning.digests import digest_of, together
from detector.learning.followup import late_rows, limit_ms
from detector.learning.table import ACTIVE_FROM, ROLES, UNSAID, Table, Texts, Weights, day_weights
from detector.learning.tablecolumns import floats, labels, listed, moments, plain, said_moments, texts
from detector.learning.tablefeatures import chosen_features, vectors_of
from detector.learning.vectors import written_heading
from detector.records import Bools, I64s
from detector.units import DAY_MS, MINUTE_MS
from detector.verdict.trees import Vectors

SIMULATED: Final = "+999"
"""No country has this code: the simulator's numbers begin with it."""
FEWEST_SIMULATED: Final = 0.01
"""Share of the numbers that make a table simulated: with a part of it people that do not exist are learnt, with fewer
somebody has shown a number that no country has."""
HEADING: Final = ("feature_hash", "home_utc_offset_minutes", "moments", "activity_floor", "kind")
"""Of what our own table says of itself: what vectors mean, and which there are."""


def read_table(
    files: Sequence[Path],
    roles: Mapping[str, str | None] | None = None,
    features: Sequence[str] | None = None,
    kind: Literal["simulated", "real"] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Table:
    """The rows of `files` whose label is known, in the order of the files; a folder stands for its parquet files.

    `roles`: columns that are named; a named one must be there, one by default may be missing; `defaults` go before
    those of `ROLES`. `features`: the columns that are wanted, all of them, in this order; None = every numeric one that
    has no role. `kind`: None = simulated where the metadata or one in a hundred numbers (`SIMULATED`) say so, else
    real. Raises `ConfigError` naming file, column, wanted and got.
    """
    named = {role: column for role, column in (roles or {}).items() if column}
    columns = {role: named.get(role, default) for role, default in {**ROLES, **(defaults or {})}.items()}
    files = [part for file in files for part in _parts(file)]
    parts = [_read(file, columns) for file in files]
    whole = _joined(parts, files)
    where = ", ".join(file.name for file in files)
    for role, column in columns.items():
        if column not in whole.column_names and (role in named or role == "label"):
            raise ConfigError(f"{where}: wanted a column {column!r} (--{role}) (got {listed(whole.column_names)})")
    found = {role: column for role, column in columns.items() if column in whole.column_names}
    notes: list[str] = []
    label, known = _labels(whole[found["label"]], f"{where}: {found['label']}")
    limits_ms = _limits(parts)[known]
    if not known.all():
        notes.append(f"{np.count_nonzero(~known):,} rows whose label is not known are left out.")
        whole, label = whole.filter(pa.array(known)), label[known]
    chosen = chosen_features(whole, found, features, where, notes)
    meta = _heading(parts, files)
    number, numbers = _numbers(whole, found, where, notes)
    event_ms = moments(whole[found["time"]], f"{where}: {found['time']}") if "time" in found else None
    offset_ms = MINUTE_MS * int(meta.get("home_utc_offset_minutes", 0))
    day = np.zeros(len(label), np.int64) if event_ms is None else (event_ms + offset_ms) // DAY_MS
    vectors = vectors_of(whole, chosen, where, notes)
    if "number" not in found and (copies := _copies(vectors)):
        notes.append(
            f"{copies:,} rows have all features in common with another one. Where they are copies, the figures are of "
            "what was fitted on: name the column of numbers (--number), or take each once."
        )
    simulated = meta.get("kind") == "simulated" or _simulated(numbers, kind, notes)
    return Table(
        features=chosen,
        vectors=vectors,
        fraud=label == 1,
        number=number,
        numbers=numbers,
        event_ms=event_ms,
        day=day,
        weight=_weights(whole, found, number, day, label == 1, where),
        types=_types(whole, found, where),
        kind=kind or ("simulated" if simulated else "real"),
        moments=str(meta.get("moments", "")),
        floor=meta.get("activity_floor"),
        roles=found,
        files=together((file.name, digest_of(file)) for file in files),
        notes=tuple(notes),
        active_from_ms=_moments(whole, ACTIVE_FROM, where),
        late=None if event_ms is None else late_rows(event_ms, day, label == 1, limits_ms),
    )


def _parts(path: Path) -> list[Path]:
    """The files of a folder, as Spark writes one, in the order of their names; a file is its own part."""
    if not path.is_dir():
        return [path]
    found = sorted(part for part in path.glob("*.parquet") if part.is_file() and part.name[0] not in "._")
    if not found:
        raise ConfigError(f"{path}: wanted a table, or a folder of .parquet files (got none in it)")
    return found


def _read(file: Path, columns: Mapping[str, str]) -> pa.Table:
    """The table of one file; no column is a dictionary."""
    as_text = [columns["number"], columns["type"], "profile"]
    try:
        if file.suffix == ".parquet":
            with pyarrow.parquet.ParquetFile(file) as opened:
                found = opened.read()
        else:
            options = pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(as_text, pa.string()), strings_can_be_null=True
            )
            found = pyarrow.csv.read_csv(file, convert_options=options)
        plainly = [plain(column) for column in found.columns]
        return pa.table(plainly, found.column_names).replace_schema_metadata(found.schema.metadata)
    except OSError as error:
        raise ConfigError(f"{file}: wanted a readable file (got {error.strerror or error})") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:  # names of columns are decoded when they are asked for
        raise ConfigError(f"{file}: wanted parquet (.parquet) or CSV with a header, in UTF-8 (got {error})") from error


def _joined(parts: Sequence[pa.Table], files: Sequence[Path]) -> pa.Table:
    first = parts[0]
    for part, file in zip(parts, files, strict=True):
        missing = sorted(set(first.column_names) ^ set(part.column_names))
        if missing:
            raise ConfigError(f"{file}: wanted the columns of {files[0]} (got others: {listed(missing)})")
        twice = [name for name, count in Counter(part.column_names).items() if count > 1]
        if twice:
            raise ConfigError(f"{file}: wanted each column once (got {listed(twice)} again)")
    plainly = [part.select(first.column_names).replace_schema_metadata(None) for part in parts]
    try:
        joined = pa.concat_tables(plainly, promote_options="permissive")
    except pa.ArrowException:
        raise _unlike(plainly, files) from None
    if not joined.num_rows:
        raise ConfigError(f"{files[0]}: wanted at least one row (got none)")
    return joined


def _unlike(parts: Sequence[pa.Table], files: Sequence[Path]) -> ConfigError:
    """The first column whose type is not that of the files before."""
    known = pa.schema([])
    for part, file in zip(parts, files, strict=True):
        for field in part.schema:
            try:
                known = pa.unify_schemas([known, pa.schema([field])], promote_options="permissive")
            except pa.ArrowException:
                wanted = known.field(field.name).type
                return ConfigError(f"{file}: {field.name}: wanted {wanted} as in {files[0]} (got {field.type})")
    return ConfigError(f"{', '.join(map(str, files))}: wanted files of equal columns (got {known})")


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
    written = written_heading(part.schema.metadata)
    return dict(json.loads(written)) if written.startswith("{") else {}


def _labels(column: pa.ChunkedArray, where: str) -> tuple[I64s, Bools]:
    """1, 0, and which of them are known; both classes are there."""
    found, known = labels(column, where)
    fraud, honest = int((found == 1).sum()), int((found == 0).sum())
    if not fraud or not honest:
        raise ConfigError(f"{where}: wanted fraud and honest rows (got {fraud:,} fraud, {honest:,} honest)")
    return found, known


def _numbers(whole: pa.Table, found: Mapping[str, str], where: str, notes: list[str]) -> tuple[I64s, Texts]:
    if "number" not in found:
        notes.append("There is no column of numbers: each row is taken for a number of its own.")
        given: list[str | None] = [f"row {i}" for i in range(whole.num_rows)]
    else:
        given = texts(whole[found["number"]], f"{where}: {found['number']}")
        if empty := given.count(None):
            raise ConfigError(f"{where}: {found['number']}: wanted a number in each row (got {empty} empty)")
    numbers, codes = np.unique(np.array(given, dtype=np.str_), return_inverse=True)
    return codes.astype(np.int64), numbers


def _copies(vectors: Vectors) -> int:
    """Rows that another one equals."""
    rows = np.ascontiguousarray(vectors).view(np.dtype((np.void, vectors.shape[1] * vectors.itemsize))).ravel()
    _, counts = np.unique(rows, return_counts=True)
    return int(counts[counts > 1].sum())


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


def _limits(parts: Sequence[pa.Table]) -> I64s:
    """Of each row the last moment at which silence makes honest, as its file's heading says it; else `UNSAID`."""
    said = [_said(part) for part in parts]
    limits = [limit_ms(one.get("known_by_ms"), one.get("label_delay_days")) for one in said]
    return np.repeat(np.array(limits, np.int64), [part.num_rows for part in parts])


def _moments(whole: pa.Table, name: str, where: str) -> I64s | None:
    """Moments of one of our columns, where the table has it."""
    if name not in whole.column_names:
        return None
    return said_moments(whole[name], UNSAID, f"{where}: {name}")


def _weights(whole: pa.Table, found: Mapping[str, str], number: I64s, day: I64s, fraud: Bools, where: str) -> Weights:
    """As given; else 1 over the vectors of the row's number-day, so that a number-day weighs 1."""
    if "weight" in found:
        given = floats(whole[found["weight"]], f"{where}: {found['weight']}")
        wrong = np.flatnonzero(~(np.isfinite(given) & (given > 0)))
        if len(wrong):
            raise ConfigError(f"{where}: {found['weight']}[{wrong[0]}]: wanted above 0 (got {given[wrong[0]]})")
        return given
    return day_weights(number, day, fraud)


def _types(whole: pa.Table, found: Mapping[str, str], where: str) -> Texts:
    """The type, and where that is empty the profile."""
    said = np.full(whole.num_rows, "", dtype=object)
    for name in ("profile", found.get("type")):
        if name is not None and name in whole.column_names:
            given = texts(whole[name], f"{where}: {name}")
            said = np.array([new or old for new, old in zip(given, said, strict=True)], dtype=object)
    return said.astype(np.str_)
