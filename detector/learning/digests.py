"""Digests: by what a table is known again that a bundle was fitted on, or that its thresholds were set on.

    files --digest_of, together--> SHA-256 by name             the very same files
    number, moment and vector of a row --sketch--> manifest    the same records in another file: exported again, at
                                                               fewer moments, or together with others

A sketch is the `KEPT` least hashes of a table's rows, a sample that every table draws alike (Broder 1997): of rows that
two tables share those whose hash is among the least are in both. One that is found again says that there are some;
where a fiftieth of the rows is shared, a sketch misses it three times in 100,000. Numbers cannot be read from it.

Not known again are the same records at moments of another kind (`--at hour` or `label` after `every:N`).
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Final

import numpy as np

from detector.learning.table import Table
from detector.records import U64s, mix64

KEPT: Final = 512
"""Hashes of a sketch: 5 KB of a manifest, which keeps ten times as much of golden vectors."""


def digest_of(file: Path) -> str:
    """SHA-256 of a file, which need not fit into memory."""
    with file.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def together(*parts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Digests by name, in order. A name that another file has already is told apart: `vectors.parquet (2)`."""
    found: dict[str, str] = {}
    for name, digest in (one for part in parts for one in part):
        called, count = name, 1
        while found.get(called, digest) != digest:
            count += 1
            called = f"{name} ({count})"
        found[called] = digest
    return found


def sketch(*tables: Table) -> str:
    """The least hashes of the rows of all `tables`; empty where rows cannot be told apart."""
    return merged(*(_written(_least(_hashes(table))) for table in tables))


def merged(*sketches: str) -> str:
    """That of the tables of all of them together."""
    return _written(_least(np.concatenate([np.empty(0, np.uint64), *map(_read, sketches)])))


def shared(table: Table, known: str) -> int:
    """How many of the rows that the sketch `known` holds are in `table`."""
    return int(np.isin(_read(known), _hashes(table)).sum())


def seen_by(table: Table, files: Mapping[str, str], known: str) -> list[str]:
    """Files of `table` that are among `files`; all of them where only rows are known again."""
    same = [name for name, digest in table.files.items() if digest in files.values()]
    return same or (list(table.files) if known and shared(table, known) else [])


def _hashes(table: Table) -> U64s:
    """Of each row: of its number, moment and vector, for two networks may have the same numbers and hours; none where
    rows have no numbers."""
    if "number" not in table.roles:
        return np.empty(0, np.uint64)
    texts = (blake2b(text.encode(), digest_size=8).digest() for text in table.numbers.tolist())
    found: U64s = np.frombuffer(b"".join(texts), "<u8").astype(np.uint64)[table.number]
    if table.event_ms is not None:
        found = mix64(found ^ mix64(table.event_ms.astype(np.uint64)))
    for column in range(table.vectors.shape[1]):
        values = np.asarray(table.vectors[:, column], np.float64)
        bits = np.where(np.isnan(values), np.nan, values).view(np.uint64)  # however the file writes what is not known
        found = mix64(found ^ bits)
    return found


def _least(hashes: U64s) -> U64s:
    return np.unique(hashes)[:KEPT]


def _written(hashes: U64s) -> str:
    return b64encode(hashes.astype("<u8").tobytes()).decode()


def _read(known: str) -> U64s:
    found: U64s = np.frombuffer(b64decode(known), "<u8").astype(np.uint64)
    return found
