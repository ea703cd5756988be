"""Served table: the vectors that detect kept as it scored them, in parquet.

    topic `vectors` --served_table--> DIR/vectors/day=…/*.parquet --read_served--> parity

| column | type | meaning |
| --- | --- | --- |
| `number`, `role` | uint64, uint8 | whose vector it is; 0: at a row of the originator, 1: of the recipient |
| `event_ms` | int64 | the moment that it is as of |
| `log_partition`, `log_offset`, `log_index` | uint16, int64, uint32 | the row of `events.by-number` it was taken at |
| `source`, `partition`, `offset` | uint16, uint16, uint64 | the record of that row, by the source's id |
| `margin`, `model` | float64, string | what which model made of it |
| `sampled`, `decided` | bool | why it is kept: it was drawn, or something was decided there |
| the sixty features | float64 | NaN = cannot be known |

Which features these are stands in the file's metadata, under `features`: the hash of the catalogue.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detector.broker import Broker, TopicPartition
from detector.errors import Rejected
from detector.features.catalogue import NAMES, feature_hash
from detector.learning.archive import Archive
from detector.learning.vectors import feature_columns
from detector.pipeline import Entry
from detector.verdict.served import DECIDED, SAMPLED, SERVED, Served, unpack_served

FOLDER: Final = "vectors"
"""Of the served vectors, in an archive's folder."""

_PLACE: Final = {
    "number": pa.uint64(),
    "role": pa.uint8(),
    "event_ms": pa.int64(),
    "log_partition": pa.uint16(),
    "log_offset": pa.int64(),
    "log_index": pa.uint32(),
    "source": pa.uint16(),
    "partition": pa.uint16(),
    "offset": pa.uint64(),
    "margin": pa.float64(),
}
_SAID: Final = {"model": pa.string(), "sampled": pa.bool_(), "decided": pa.bool_()}
SCHEMA: Final = pa.schema(
    [pa.field(name, kind, False) for name, kind in {**_PLACE, **_SAID, **dict.fromkeys(NAMES, pa.float64())}.items()],
    metadata={"features": feature_hash()},
)


def archive_of_served(root: Path) -> Archive:
    """The archive of the topic `vectors` beside that of the rows, in whose folder it lies."""
    return Archive(root / FOLDER, served_table)


def served_table(entries: Sequence[Entry]) -> pa.Table:
    """The vectors of some messages. What is not of this version's features is left out: nothing here computes those."""
    parts = [np.zeros(0, SERVED)]
    models: list[str] = []
    for entry in entries:
        rows = unpack_served(entry.value, entry.headers)
        if isinstance(rows, Rejected):
            continue
        parts.append(rows)
        models += [dict(entry.headers).get("model", b"").decode("utf-8", "replace")] * len(rows)
    served = np.concatenate(parts)
    columns = [pa.array(np.ascontiguousarray(served[name]), kind) for name, kind in _PLACE.items()]
    columns += [
        pa.array(models, pa.string()),
        pa.array(served["why"] & SAMPLED != 0),
        pa.array(served["why"] & DECIDED != 0),
        *feature_columns(served["vector"]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def read_served(archive: Archive, partition: int | None = None) -> Served:
    """What an archive of served vectors holds of this version's features, in no order; of one partition of the log."""
    parts = (_of(_rows(path), partition) for path in archive.root.glob("day=*/*.parquet"))
    return np.concatenate([np.zeros(0, SERVED), *parts])


def _of(served: Served, partition: int | None) -> Served:
    return served if partition is None else served[served["log_partition"] == partition]


def _rows(path: Path) -> Served:
    if (pq.read_schema(path).metadata or {}).get(b"features") != feature_hash().encode():
        return np.zeros(0, SERVED)
    table = pq.read_table(path, partitioning=None)
    found = np.zeros(len(table), SERVED)
    for name in _PLACE:
        found[name] = table.column(name).to_numpy()
    for bit, name in ((SAMPLED, "sampled"), (DECIDED, "decided")):
        found["why"] |= table.column(name).to_numpy().astype(np.uint8) * np.uint8(bit)
    for i, name in enumerate(NAMES):
        found["vector"][:, i] = table.column(name).to_numpy()
    return found


def served_on(broker: Broker, topic: str, partition: int | None = None) -> tuple[Served, int]:
    """What the topic holds, of one partition of the log or of all, and how many messages cannot be read.

    These are another version's, or nobody's.
    """
    parts, strange = [np.zeros(0, SERVED)], 0
    for value, headers in _messages(broker, topic):
        rows = unpack_served(value, headers)
        if isinstance(rows, Rejected):
            strange += 1
        else:
            parts.append(_of(rows, partition))
    return np.concatenate(parts), strange


def _messages(broker: Broker, topic: str) -> Iterator[tuple[bytes | None, list[tuple[str, bytes]]]]:
    for q in range(broker.partitions()[topic]):
        at = TopicPartition(topic, q)
        for message in broker.read(at, *broker.watermarks(at)):
            yield message.value(), message.headers() or []
