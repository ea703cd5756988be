"""Stored: the snapshots of a deployment, as far as their names and files tell."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from detector.broker import TopicPartition
from detector.records import ROW
from detector.snapshot import open_store
from loadtest.progress import Offsets, Progress


@dataclass(frozen=True, slots=True)
class Stored:
    """The newest snapshot of a partition that a worker could load at a moment."""

    partition: int
    start: int
    """Its offset; the log's start where there is none."""
    stop: int
    """The committed offset: what lies between is replayed."""
    age_s: float
    """Since it had its name; infinite where there is none."""
    bytes: int


def newest(made: Progress, committed: Offsets) -> dict[int, Stored]:
    """Of each partition: the one to be loaded, at or below its committed offset."""
    topic = made.settings.topics.events
    store = open_store(made.settings, made.broker.identity(topic))
    found = {}
    for q in range(made.settings.topics.partitions):
        at = committed[TopicPartition(topic, q)]
        offset = next((one for one in store.offsets(q) if one <= at), None)
        if offset is None:
            found[q] = Stored(q, 0, at, math.inf, 0)
        else:
            folder = store.folder(q) / f"{offset:020d}"
            found[q] = Stored(q, offset, at, time.time() - folder.stat().st_mtime, size_of(folder))
    return found


def rows_to_replay(made: Progress, stored: Stored) -> int:
    """Rows that stand between a snapshot and what was committed, read from the log."""
    at = TopicPartition(made.settings.topics.events, stored.partition)
    values = (message.value() or b"" for message in made.broker.read(at, stored.start, stored.stop))
    return sum(map(len, values)) // ROW.itemsize


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
