"""Taking a partition: what a detect worker does, beside its stream, before it may decide on one.

1. Read the committed offset c. This waits while a transaction with offsets is pending.
2. Only then take the high watermark of the decisions, and read that partition to its end:
   commit markers reach partitions one by one, so decisions that were committed with c may
   become visible after c does, but never lie beyond a watermark that is taken after it.
3. Load the newest usable snapshot, at s <= c, and start there: rows below c change state only.
4. No usable snapshot: start at the log's first offset, if the log reaches back far enough.
5. Replay from there up to c, with a reader of its own: the poll loop goes on from c.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event

import numpy as np

from detector import logs
from detector.broker import Broker, TopicPartition
from detector.broker.entries import read_batches, read_entries
from detector.config import Settings
from detector.errors import CannotRebuild, Rejected, SnapshotError
from detector.features.coverage import LONGEST_WINDOW_MS
from detector.features.state import Status
from detector.ingest.rows import unpack_message
from detector.pipeline import Detector, Part
from detector.snapshot import Store
from detector.units import HOUR_MS
from detector.verdict.memory import Memory

log = logging.getLogger(__name__)

LOOK_BACK = 64
"""Offsets before c among which the newest message is looked for at first."""


BATCH = 64
"""Messages replayed at once: a partition that is lost meanwhile is let go of after as many, 16 MiB at most."""


@dataclass(slots=True)
class Taken:
    """A partition with its memory and state, and where its log is to be read from."""

    part: Part
    start: int
    """Where its state came from."""
    from_snapshot: bool
    position: int
    """Next offset to be processed."""
    messages: int = 0
    """Replayed up to `position`, and their rows by status."""
    statuses: list[int] = field(default_factory=lambda: [0] * len(Status))
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Restorer:
    """What it takes to take partitions."""

    settings: Settings
    broker: Broker
    detector: Detector
    store: Store

    def take(self, partition: int, dropped: Event) -> Taken | None:
        """The partition as it stood when its committed offset was reached; None if it was `dropped` meanwhile.

        Raises `CannotRebuild` where that is lost. Shares nothing with other partitions but what is never changed.
        """
        began = time.perf_counter()
        topics = self.settings.topics
        at = TopicPartition(topics.events, partition)
        committed = self.broker.committed(f"{self.settings.group}-detect", [at])[at]  # 1
        memory = self._memory(topics.decisions, partition)  # 2
        shadow = self._memory(topics.shadow, partition)
        low, high = self.broker.watermarks(at)
        if committed is None and (len(memory) or len(shadow)):
            raise CannotRebuild(
                f"{topics.events}[{partition}]: the group has no committed offset, yet decisions were published: "
                "its offsets were deleted. Set them again with `kafka-consumer-groups --reset-offsets`, or empty "
                f"{topics.decisions} and {topics.shadow} if everything is to start anew."
            )
        # Of a log that has expired altogether, what stood at c was the marker of the transaction whose rows were the
        # last to be counted: a row would have a marker of its own behind it, and the log end there or later.
        only_a_marker_is_gone = committed is not None and committed + 1 == low == high
        if committed is not None and not low <= committed <= high and not only_a_marker_is_gone:
            raise CannotRebuild(
                f"{topics.events}[{partition}]: the committed offset {committed} lies outside the log [{low}, {high}]: "
                "rows that were never counted are gone. Raise the topic's retention; to go on without them, set the "
                "group's offset with `kafka-consumer-groups --reset-offsets`."
            )
        if committed is None:
            # Nothing before the log's start has been decided on, or ever will be.
            taken = Taken(self.detector.fresh(partition, memory, shadow, low), low, from_snapshot=False, position=low)
        elif dropped.is_set():
            return None
        else:
            taken = self.stand(at, low, committed, memory, shadow)
            replayed_from = time.perf_counter()
            if not self._replay(taken, at, committed, dropped):
                return None
            log.info(
                "replayed %s[%d]: %d rows in %.2f s",
                topics.events,
                partition,
                sum(taken.statuses),
                time.perf_counter() - replayed_from,
                extra=logs.said(logs.Event.REPLAYED, partition=partition, rows=sum(taken.statuses)),
            )
        taken.position = max(taken.position, low)
        taken.seconds = time.perf_counter() - began
        log.info(
            "took %s[%d]: committed %s, state from %s, %d offsets replayed, %d decisions in memory, %.2f s",
            topics.events,
            partition,
            committed,
            f"the snapshot at {taken.start}" if taken.from_snapshot else "the log's start",
            taken.position - taken.start,
            len(memory),
            taken.seconds,
            extra=logs.said(
                logs.Event.TAKEN, partition=partition, committed=committed, seconds=round(taken.seconds, 3)
            ),
        )
        return taken

    def _replay(self, taken: Taken, at: TopicPartition, committed: int, dropped: Event) -> bool:
        """State stands at `committed`; False if the partition was dropped before it came there."""
        for batch in read_batches(self.broker, at, taken.start, committed, BATCH):
            if dropped.is_set():
                return False
            outcome = self.detector.process(taken.part, batch)
            taken.messages += len(batch)
            taken.statuses = [a + b for a, b in zip(taken.statuses, outcome.statuses, strict=True)]
        taken.position = max(taken.position, committed)
        return True

    def stand(self, at: TopicPartition, low: int, judged_from: int, memory: Memory, shadow: Memory) -> Taken:
        """The partition of a log that begins at `low`, with what is known of the rows before `judged_from`."""
        found = self.store.newest(at.partition, judged_from, self.detector.check)  # 3
        for why in found.passed_over:
            log.warning("snapshot passed over: %s", why, extra=logs.said(logs.Event.SNAPSHOT_PASSED_OVER, why=why))
        if found.offset is not None and (found.offset >= low or found.offset == judged_from):
            limit = self.detector.most_numbers
            part = Part.restore(at.partition, found.arrays, memory, shadow, judged_from, limit)
            return Taken(part, found.offset, from_snapshot=True, position=found.offset)
        start = self._log_start(at, low, judged_from)  # 4
        part = self.detector.fresh(at.partition, memory, shadow, judged_from)
        return Taken(part, start, from_snapshot=False, position=start)

    def _memory(self, topic: str, partition: int) -> Memory:
        at = TopicPartition(topic, partition)
        low, high = self.broker.watermarks(at)
        try:
            return Memory.rebuild(
                (message.key() or b"", message.value()) for message in self.broker.read(at, low, high)
            )
        except SnapshotError as error:
            raise SnapshotError(f"{topic}[{partition}]: {error}") from error

    def _log_start(self, at: TopicPartition, low: int, committed: int) -> int:
        """The log's first offset, if the rows before `committed` can be had from there."""
        if low == 0:
            return low
        oldest = next(self._event_times(at, low, committed), 0)
        newest = self._newest_before(at, low, committed)
        if oldest and newest - oldest >= LONGEST_WINDOW_MS:
            return low
        raise CannotRebuild(
            f"{at.topic}[{at.partition}]: no usable snapshot in {self.store.folder(at.partition)}, and the log "
            f"starts at offset {low}, {max(0, newest - oldest) / HOUR_MS:.1f} h before the committed offset "
            f"{committed}; the longest window is {LONGEST_WINDOW_MS // HOUR_MS} h. Give this worker the snapshot "
            "store of the others, or raise the topic's retention; to start with empty windows (nothing is blocked "
            "until they are full), delete the group and the decisions of this partition."
        )

    def _newest_before(self, at: TopicPartition, low: int, committed: int) -> int:
        """The newest event time of the last messages before `committed`; 0 if there is none from `low` on.

        Looks back further and further: the last offsets may all be commit markers.
        """
        back = LOOK_BACK
        while True:
            start = max(low, committed - back)
            newest = max(self._event_times(at, start, committed), default=0)
            if newest or start == low:
                return newest
            back *= 8

    def _event_times(self, at: TopicPartition, start: int, stop: int) -> Iterator[int]:
        """The newest event time of each message of `[start, stop)`."""
        for entry in read_entries(self.broker, at, start, stop):
            rows = unpack_message(entry.value, entry.headers)
            if not isinstance(rows, Rejected) and len(rows):
                yield int(np.max(rows["event_ms"]))
