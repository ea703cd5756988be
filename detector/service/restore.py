"""Taking a partition: what a detect worker does before it may decide on one.

1. Read the committed offset c. This waits while a transaction with offsets is pending.
2. Only then take the high watermark of the decisions, and read that partition to its end:
   commit markers reach partitions one by one, so decisions that were committed with c may
   become visible after c does, but never lie beyond a watermark that is taken after it.
3. Load the newest usable snapshot, at s <= c, and start there: rows below c change state only.
4. No usable snapshot: start at the log's first offset, if the log reaches back far enough.
"""

import logging
import time
from dataclasses import dataclass

import numpy as np

from detector.broker import Broker, Consumer, TopicPartition
from detector.config import Settings
from detector.errors import CannotRebuild, Rejected
from detector.features.coverage import LONGEST_WINDOW_MS
from detector.ingest.rows import unpack_message
from detector.metrics import Metrics
from detector.pipeline import Detector, Part
from detector.snapshot import Store
from detector.verdict.memory import Memory

log = logging.getLogger(__name__)

LOOK_BACK = 64
"""Offsets before c among which the newest message is looked for: the rest are commit markers."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A partition with its memory and state, and where its log is to be read from."""

    part: Part
    start: int


@dataclass(frozen=True, slots=True)
class Restorer:
    """What it takes to take partitions."""

    settings: Settings
    broker: Broker
    detector: Detector
    store: Store
    metrics: Metrics

    def take(self, consumer: Consumer, partition: int) -> Taken:
        """The partition as it stood when its committed offset was reached; `CannotRebuild` where that is lost."""
        began = time.perf_counter()
        topics = self.settings.topics
        at = TopicPartition(topics.events, partition)
        committed = consumer.committed([at])[at]  # 1
        memory = self._memory(topics.decisions, partition)  # 2
        shadow = self._memory(topics.shadow, partition)
        low, high = self.broker.watermarks(at)
        if committed is None and (len(memory) or len(shadow)):
            raise CannotRebuild(
                f"{topics.events}[{partition}]: the group has no committed offset, yet decisions were published: "
                "its offsets were deleted. Set them again with `kafka-consumer-groups --reset-offsets`, or empty "
                f"{topics.decisions} and {topics.shadow} if everything is to start anew."
            )
        if committed is not None and not low <= committed <= high:
            raise CannotRebuild(
                f"{topics.events}[{partition}]: the committed offset {committed} lies outside the log [{low}, {high}]: "
                "rows that were never counted are gone. Raise the topic's retention; to go on without them, set the "
                "group's offset with `kafka-consumer-groups --reset-offsets`."
            )
        judged_from = low if committed is None else committed
        found = self.store.newest(partition, judged_from)  # 3
        for why in found.passed_over:
            log.warning("snapshot passed over: %s", why)
        if found.offset is not None and found.offset >= low:
            part = Part.restore(partition, found.arrays, memory, shadow, judged_from)
            start = found.offset
        else:
            # No offset was ever committed: nothing before the log's start has been decided on, or ever will be.
            start = low if committed is None else self._log_start(at, low, committed)  # 4
            part = self.detector.fresh(partition, memory, shadow, judged_from)
        self.metrics.restore_seconds.labels(str(partition)).set(time.perf_counter() - began)
        log.info(
            "took %s[%d]: committed %s, state from %s, replaying %d offsets, %d decisions in memory",
            topics.events,
            partition,
            committed,
            "the log's start" if found.offset is None else f"the snapshot at {found.offset}",
            judged_from - start,
            len(memory),
        )
        return Taken(part, start)

    def _memory(self, topic: str, partition: int) -> Memory:
        at = TopicPartition(topic, partition)
        low, high = self.broker.watermarks(at)
        return Memory.rebuild((message.key() or b"", message.value()) for message in self.broker.read(at, low, high))

    def _log_start(self, at: TopicPartition, low: int, committed: int) -> int:
        """The log's first offset, if the rows before `committed` can be had from there."""
        if low == 0:
            return low
        oldest = self._newest_event_ms(at, low, low + LOOK_BACK)
        newest = self._newest_event_ms(at, max(low, committed - LOOK_BACK), committed)
        if newest - oldest >= LONGEST_WINDOW_MS:
            return low
        raise CannotRebuild(
            f"{at.topic}[{at.partition}]: no usable snapshot in {self.store.folder(at.partition)}, and the log "
            f"starts at offset {low}, {max(0, newest - oldest) / 3_600_000:.1f} h before the committed offset "
            f"{committed}; the longest window is {LONGEST_WINDOW_MS // 3_600_000} h. Give this worker the snapshot "
            "store of the others, or raise the topic's retention; to start with empty windows (nothing is blocked "
            "until they are full), delete the group and the decisions of this partition."
        )

    def _newest_event_ms(self, at: TopicPartition, start: int, stop: int) -> int:
        newest = 0
        for message in self.broker.read(at, start, stop):
            rows = unpack_message(message.value(), message.headers() or [])
            if not isinstance(rows, Rejected) and len(rows):
                newest = max(newest, int(np.max(rows["event_ms"])))
        return newest
