"""Log table: messages of `events.by-number` as rows of a parquet table, and made again from it.

| column | type | meaning |
| --- | --- | --- |
| `log_offset`, `log_index` | int64, int32 | the message of the log, and the row's place in it |
| the fields of `records.ROW` | as there | `number` and `other` are uint64: `records.number_text` spells them |
| `number_name`, `other_name` | string | the text of a sender id; else null |
| `command` | binary | an operator's command, as ingest wrote it; null in rows of traffic |
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from detector.errors import Rejected
from detector.ingest.rows import unpack_message
from detector.pipeline import Entry
from detector.records import NO_NUMBER, ROW, SCHEMA_ID, Bools

_KINDS: Final = {"<u8": pa.uint64(), "<i8": pa.int64(), "<u2": pa.uint16(), "|u1": pa.uint8(), "<u4": pa.uint32()}
_ROW_FIELDS: Final = tuple(ROW.names or ())
SCHEMA: Final = pa.schema(
    [
        pa.field("log_offset", pa.int64(), nullable=False),
        pa.field("log_index", pa.int32(), nullable=False),
        *(pa.field(name, _KINDS[ROW[name].str], nullable=False) for name in _ROW_FIELDS),
        pa.field("number_name", pa.string()),
        pa.field("other_name", pa.string()),
        pa.field("command", pa.binary()),
    ]
)


def log_table(entries: Sequence[Entry]) -> pa.Table:
    """The rows of messages that ingest wrote."""
    values, offsets, indices = [], [], []
    texts: dict[str, list[str | None]] = {"number": [], "other": []}
    commands: list[bytes | None] = []
    for entry in entries:
        rows = unpack_message(entry.value, entry.headers)
        if isinstance(rows, Rejected):
            continue  # Detect rejects it as well, and says so.
        headers = dict(entry.headers)
        values.append(entry.value or b"")
        offsets.append(np.full(len(rows), entry.offset, np.int64))
        indices.append(np.arange(len(rows), dtype=np.int32))
        names = _names(headers.get("names", b"{}"))
        for name, column in texts.items():
            column += [names.get(str(number)) for number in rows[name].tolist()] if names else [None] * len(rows)
        commands += [headers.get("command"), *[None] * (len(rows) - 1)] if len(rows) else []
    rows = np.frombuffer(b"".join(values), ROW)
    columns: dict[str, object] = {
        "log_offset": np.concatenate([np.zeros(0, np.int64), *offsets]),
        "log_index": np.concatenate([np.zeros(0, np.int32), *indices]),
        **{name: np.ascontiguousarray(rows[name]) for name in _ROW_FIELDS},
        "number_name": texts["number"],
        "other_name": texts["other"],
        "command": commands,
    }
    return pa.table(columns, schema=SCHEMA)


def _names(content: bytes) -> Mapping[str, str]:
    """Sender ids by number; a header that is not what ingest writes names nobody."""
    try:
        return {str(number): str(text) for number, text in orjson.loads(content).items()}
    except (orjson.JSONDecodeError, AttributeError):
        return {}


def entries_of(paths: Sequence[Path]) -> Iterator[Entry]:
    """The messages whose rows lie in the day files of one stretch, made again."""
    table = pa.concat_tables([pq.read_table(path, schema=SCHEMA, partitioning=None) for path in paths])
    table = table.sort_by([("log_offset", "ascending"), ("log_index", "ascending")])
    rows = np.zeros(len(table), ROW)
    for name in _ROW_FIELDS:
        rows[name] = table.column(name).to_numpy()
    offsets = table.column("log_offset").to_numpy()
    starts = np.flatnonzero(np.diff(offsets, prepend=-1)).tolist()
    named = _named(table)
    commands = {
        int(offsets[i]): table.column("command")[i].as_py()
        for i in np.flatnonzero(pc.is_valid(table.column("command")).to_numpy()).tolist()
    }
    for start, stop in zip(starts, [*starts[1:], len(table)], strict=True):
        offset = int(offsets[start])
        headers = [("schema", SCHEMA_ID)]
        if offset in commands:
            headers.append(("command", commands[offset]))
        if offset in named:
            headers.append(("names", orjson.dumps(named[offset])))
        yield Entry(offset, rows[start:stop].tobytes(), headers)


def _named(table: pa.Table) -> Mapping[int, Mapping[str, str]]:
    """Of each message that speaks of sender ids: their texts by number, in the order of ingest's header."""
    found: dict[int, dict[int, str]] = {}
    for column in ("number", "other"):
        some = table.filter(pc.is_valid(table.column(f"{column}_name")))
        for offset, number, text in zip(
            *(some.column(name).to_pylist() for name in ("log_offset", column, f"{column}_name")), strict=True
        ):
            found.setdefault(offset, {})[number] = text
    return {offset: {str(number): names[number] for number in sorted(names)} for offset, names in found.items()}


def withheld(table: pa.Table, where: Bools) -> pa.Table:
    """The same, but nobody knows who the other was."""
    hidden = pa.array(where)
    for name, value in (("other", pa.scalar(NO_NUMBER, pa.uint64())), ("other_name", pa.scalar(None, pa.string()))):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, SCHEMA.field(name), pc.if_else(hidden, value, table.column(name)))
    return table
