"""Archiving: what stands in the log behind an archive's progress goes into it.

Not as a member of a group: where to read on is the archive's own, so that rows and progress cannot disagree.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from detector.broker import Broker, TopicPartition
from detector.broker.entries import read_entries
from detector.errors import ConfigError, Fatal
from detector.learning.archive import Archive, Progress
from detector.pipeline import Entry
from detector.records import ROW

BATCH_BYTES: Final = 64 << 20
"""Of messages archived at once, a million rows: four times that is in memory while they are written."""


class Archiver:
    """Reads every partition of a topic; `Archive.writing` is held meanwhile."""

    def __init__(
        self,
        archive: Archive,
        broker: Broker,
        topic: str,
        *,
        accept_gaps: bool = False,
        batch_bytes: int = BATCH_BYTES,
        row_bytes: int = ROW.itemsize,
    ) -> None:
        self._archive = archive
        self._broker = broker
        self._topic = topic
        self._accept_gaps = accept_gaps
        self._batch_bytes = batch_bytes
        self._row_bytes = row_bytes
        self._identity = broker.identity(topic)
        for q, progress in archive.progress().items():
            if progress.identity != self._identity:
                raise ConfigError(
                    f"{archive.root}: partition {q}: wanted the archive of {topic} as it is, {self._identity} "
                    f"(got one of {progress.identity}): the topic was made anew, and needs another folder"
                )

    def step(self, partition: int, stopped: Callable[[], bool] = lambda: False) -> int:
        """What stands in the partition now is archived, unless `stopped` between batches. Returns its rows.

        Raises `Fatal` where rows are gone that the archive has not got.
        """
        at = TopicPartition(self._topic, partition)
        low, high = self._broker.watermarks(at)
        progress = self._archive.progress().get(partition)  # retention may have moved it since the last step
        if progress is None:
            progress = Progress(identity=self._identity, first=low, next=low)
            # Before the first file: files without progress would look like a crash's.
            self._archive.move(partition, progress)
        progress = self._past_gap(at, progress, low)
        rows = size = 0
        held: list[Entry] = []
        for entry in read_entries(self._broker, at, progress.next, high):
            held.append(entry)
            size += len(entry.value or b"")
            if size >= self._batch_bytes:
                progress = self._add(at, progress, entry.offset + 1, held)
                rows += size // self._row_bytes
                held, size = [], 0
                if stopped():
                    return rows
        if high > progress.next:
            self._add(at, progress, high, held)
        return rows + size // self._row_bytes

    def _add(self, at: TopicPartition, progress: Progress, stop: int, held: list[Entry]) -> Progress:
        # Reading leaves out what retention drops meanwhile. Asked behind it: what is kept now was kept then.
        low, _ = self._broker.watermarks(at)
        if low > progress.next:
            progress = self._past_gap(at, progress, low)
            held = [entry for entry in held if entry.offset >= low]
            if low >= stop:
                return progress
        return self._archive.add(at.partition, progress, stop, held)

    def _past_gap(self, at: TopicPartition, progress: Progress, low: int) -> Progress:
        """Nothing is missing behind the progress, or that is agreed to and written down."""
        if low > progress.next:
            if not self._accept_gaps:
                raise Fatal(
                    f"{at.topic}[{at.partition}]: the offsets {progress.next} to {low - 1} are gone before they were "
                    f"archived: the topic's retention has passed them. To go on at {low} without them: --accept-gaps"
                )
            progress = msgspec.structs.replace(progress, next=low, gaps=(*progress.gaps, (progress.next, low)))
            self._archive.move(at.partition, progress)
        return progress
