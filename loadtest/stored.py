"""Stored: the snapshots of a deployment, as far as their names and files tell."""

import time
from dataclasses import dataclass
from pathlib import Path

from detector.broker import TopicPartition
from detector.snapshot import open_store
from loadtest.progress import Offsets, Progress


@dataclass(frozen=True, slots=True)
class Stored:
    """The newest snapshot of a partition that a worker could load at a moment."""

    partition: int
    age_s: float
    """Since it had its name."""
    behind: int
    """Offsets from it to what was committed: what has to be replayed."""
    bytes: int


def newest(made: Progress, committed: Offsets) -> dict[int, Stored]:
    """Of each partition that has one at or below its committed offset."""
    topic = made.settings.topics.events
    store = open_store(made.settings, made.broker.identity(topic))
    found = {}
    for q in range(made.settings.topics.partitions):
        at = committed[TopicPartition(topic, q)]
        offset = next((one for one in store.offsets(q) if one <= at), None)
        if offset is not None:
            folder = store.folder(q) / f"{offset:020d}"
            age_s = time.time() - folder.stat().st_mtime
            found[q] = Stored(q, age_s, at - offset, size_of(folder))
    return found


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
