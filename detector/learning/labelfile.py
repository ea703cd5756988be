"""Label files: what was said of numbers, by whom, and when that became known.

    complaints, analysts, hold-out, audits --read_labels--> NumberLabel --> known
    simulate --write_labels--> the same file

Parquet, CSV with a header, or JSON lines, by the file's ending; columns may stand in any order, others beside
them are let be. An empty or absent value stands for the default.

| column | meaning |
| --- | --- |
| `number` | as `records.number_text` writes it: `+E164`, with `@trunk` where it arrived unattested |
| `label` | fraud or honest |
| `type` | the fraud's type |
| `active_from_ms`, `active_until_ms` | when it was that: UTC milliseconds, until exclusive; empty = it still is |
| `known_at_ms` | from when on anybody could know this |
| `source` | complaint, analyst, hold_out, random_audit, takedown, detector, or another word |
| `confidence` | 0 to 1: how sure whoever says it is; the surest counts (`known`). Empty = 1, as sure as can be |
| `probability` | with which the number was drawn to be looked at, above 0 to 1; empty = 1 |
| `drawn_ms` | of an audit: when the number-day began that chance drew; empty = not said |
| `draw` | of an audit: which draw it was, and from which days (`draws`); empty = not said |

A message of the topic `labels` is such a line of JSON (`label_value`, `read_label`).
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Meta

from detector.errors import ConfigError
from detector.records import number_text, parse_number
from detector.units import DAY_MS

RANDOM_AUDIT: Final = "random_audit"
"""The source of a label that an analyst gave to a number-day that chance had drawn among those nobody spoke of."""
HOLD_OUT: Final = "hold_out"
"""The source of a label of a number that was drawn to go on unblocked."""
DETECTOR: Final = "detector"
"""The source of a label that is nothing but our own decision: to learn from it is to learn what we knew."""


LINES: Final = (".jsonl", ".ndjson", ".json")

COLUMNS: Final = {
    "number": pa.string(),
    "label": pa.string(),
    "type": pa.string(),
    "active_from_ms": pa.int64(),
    "active_until_ms": pa.int64(),
    "known_at_ms": pa.int64(),
    "source": pa.string(),
    "confidence": pa.float64(),
    "probability": pa.float64(),
    "campaign": pa.string(),
    "drawn_ms": pa.int64(),
    "draw": pa.string(),
}
OF_AUDITS: Final = ("drawn_ms", "draw")
"""Columns that only files with labels of audits have."""


@dataclass(frozen=True, slots=True)
class NumberLabel:
    """What was said of one number: fraud or honest in `[active_from_ms, active_until_ms)`."""

    number: int
    fraud: bool
    active_from_ms: int
    active_until_ms: int | None
    """None: it was still active when the label was given."""
    known_at_ms: int
    source: str
    type: str | None = None
    confidence: float = 1.0
    probability: float = 1.0
    campaign: str | None = None
    """Of simulated fraud: which numbers belong together. Nothing reads it."""
    drawn_ms: int | None = None
    """When the number-day began that chance drew; None: it is not said, or chance drew the number."""
    draw: str | None = None
    """Which draw that was: `FROM-UNTIL-MARK`, as `draws` has it."""

    def covers(self, ms: int) -> bool:
        """Whether the label speaks of that moment."""
        return self.active_from_ms <= ms and (self.active_until_ms is None or ms < self.active_until_ms)

    def drawn_at(self, ms: int) -> bool:
        """Whether chance drew that moment, and not another day of which the label speaks too."""
        return self.drawn_ms is None or self.drawn_ms <= ms < self.drawn_ms + DAY_MS

    @property
    def by_chance(self) -> bool:
        """Whether the label is there because chance drew its number or its day."""
        return self.source in (RANDOM_AUDIT, HOLD_OUT) or self.probability < 1

    @property
    def moment_ms(self) -> int:
        """The label's own moment: when it was known, or the last at which it still held, whichever is first.

        What was known before it began (a number that is known to be sold to fraudsters) has its first moment.
        """
        last = self.known_at_ms if self.active_until_ms is None else min(self.known_at_ms, self.active_until_ms - 1)
        return max(last, self.active_from_ms)


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it is written."""

    number: str
    label: Literal["fraud", "honest"]
    type: str | None = None
    active_from_ms: int
    active_until_ms: int | None = None
    known_at_ms: int
    source: Annotated[str, Meta(min_length=1)]
    confidence: Annotated[float, Meta(ge=0, le=1)] = 1.0
    probability: Annotated[float, Meta(gt=0, le=1)] = 1.0
    campaign: str | None = None
    drawn_ms: Annotated[int, Meta(ge=0)] | None = None
    draw: Annotated[str, Meta(pattern=r"^\d+-\d+-[0-9a-f]+$")] | None = None


def read_labels(paths: Iterable[Path], known_at_ms: int | None = None) -> list[NumberLabel]:
    """The labels of all files; `ConfigError` names file, line, field, wanted and got.

    `known_at_ms`: of lines that do not say when they became known.
    """
    default = {} if known_at_ms is None else {"known_at_ms": known_at_ms}
    return [_label(default | _given(line), where) for path in paths for line, where in _lines(path)]


def label_value(label: NumberLabel) -> bytes:
    """A label as a line of JSON, and as a message; what has its default is left out."""
    return orjson.dumps({name: value for name, value in _written(label).items() if value is not None})


def read_label(value: bytes, where: str) -> NumberLabel:
    """What `label_value` wrote; `ConfigError` names `where`, field, wanted and got."""
    return _label(_given(_object(value, where)), where)


def write_labels(path: Path, labels: Sequence[NumberLabel]) -> None:
    """A file of `labels` that `read_labels` reads back as they are."""
    written = [_written(label) for label in labels]
    unused = [name for name in OF_AUDITS if all(line[name] is None for line in written)]
    columns = {name: kind for name, kind in COLUMNS.items() if name not in unused}
    lines = [{name: line[name] for name in columns} for line in written]
    try:
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(lines, schema=pa.schema(list(columns.items()))), path)
        elif path.suffix == ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(lines)
        elif path.suffix in LINES:
            content = [orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines]
            path.write_bytes(b"".join(content))
        else:
            raise ConfigError(_unknown(path))
    except OSError as error:
        raise ConfigError(f"{path}: wanted a place to write to (got {error.strerror or error})") from error


def _written(label: NumberLabel) -> dict[str, Any]:
    line = asdict(label) | {"number": number_text(label.number), "label": "fraud" if label.fraud else "honest"}
    return {name: line[name] for name in COLUMNS}


def _unknown(path: Path) -> str:
    return f"{path}: wanted a file of labels that ends in .parquet, .csv or .jsonl (got {path.suffix or 'no ending'})"


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Every line with what it is called in a message."""
    try:
        if path.suffix == ".parquet":
            yield from _of_parquet(path)
        elif path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = csv.DictReader(file, strict=True)
                for row in rows:
                    yield row, f"{path}: line {rows.line_num}"
        elif path.suffix in LINES:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield _object(line, f"{path}: line {number}"), f"{path}: line {number}"
        else:
            raise ConfigError(_unknown(path))
    except OSError as error:
        raise ConfigError(f"{path}: wanted a readable file (got {error.strerror or error})") from error
    except (csv.Error, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise ConfigError(f"{path}: wanted a file of labels ({error})") from error


def _of_parquet(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Rows of a parquet file; columns of moments may be timestamps."""
    with pq.ParquetFile(path) as file:
        place = 0
        for batch in file.iter_batches(columns=[name for name in file.schema_arrow.names if name in COLUMNS]):
            table = pa.Table.from_batches([batch])
            for index, column in enumerate(table.schema):
                if pa.types.is_timestamp(column.type):
                    ms = table.column(index).cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
                    table = table.set_column(index, column.name, ms)
            for row in table.to_pylist():
                place += 1
                yield row, f"{path}: row {place}"


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{where}: wanted a JSON object ({error})") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: wanted a JSON object (got {type(found).__name__})")
    return found


def _given(row: dict[str, Any]) -> dict[str, Any]:
    """Our columns, where they say anything."""
    return {name: value for name, value in row.items() if value is not None and value != "" and name in COLUMNS}


def _label(given: dict[str, Any], where: str) -> NumberLabel:
    try:
        line = msgspec.convert(given, _Line, strict=False)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at ")
        field = at.strip("`").removeprefix("$.")
        got = f" (got {given[field]!r})" if field in given else ""
        raise ConfigError(f"{where}: {f'{field}: ' if field else ''}{what}{got}") from error
    try:
        number = parse_number(line.number)
    except ValueError as error:
        raise ConfigError(f"{where}: number: {error}") from error
    if line.active_until_ms is not None and line.active_until_ms <= line.active_from_ms:
        raise ConfigError(
            f"{where}: active_until_ms: wanted a moment after active_from_ms {line.active_from_ms} "
            f"(got {line.active_until_ms})"
        )
    until_ms = line.active_until_ms
    if line.drawn_ms is not None and not (
        line.active_from_ms < line.drawn_ms + DAY_MS and (until_ms is None or line.drawn_ms < until_ms)
    ):
        raise ConfigError(
            f"{where}: drawn_ms: wanted a day of which the label speaks, from {line.active_from_ms} until {until_ms} "
            f"(got the day from {line.drawn_ms} on)"
        )
    if line.draw is not None and line.drawn_ms is None:
        raise ConfigError(f"{where}: drawn_ms: wanted the day that was drawn, for there is a draw (got none)")
    return NumberLabel(
        number=number,
        fraud=line.label == "fraud",
        active_from_ms=line.active_from_ms,
        active_until_ms=line.active_until_ms,
        known_at_ms=line.known_at_ms,
        source=line.source,
        type=line.type,
        confidence=line.confidence,
        probability=line.probability,
        campaign=line.campaign,
        drawn_ms=line.drawn_ms,
        draw=line.draw,
    )
