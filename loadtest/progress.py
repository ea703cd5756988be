"""Progress: how far each role has committed in what it reads, asked of the broker from outside."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.config import Settings
from detector.errors import Recoverable
from detector.service.figures import ROLE as DETECT
from detector.service.intake import ROLE as INGEST
from loadtest.oracle import RECORDS

POLL_S: Final = 0.02
RECOVER_S: Final = 120.0
"""A fault after which not everything is decided in this time counts as not recovered."""
MARKERS: Final = 8
"""A transaction leaves one marker a partition: more than a few offsets apart there are messages."""

Offsets = dict[TopicPartition, int]


@dataclass(kw_only=True)
class Progress:
    """Asks a broker about the two groups of one deployment."""

    settings: Settings
    broker: KafkaBroker
    """A way of the run's own, which no fault but the broker's reaches."""
    source_partitions: int

    def committed(self, role: str, limit_s: float = RECOVER_S) -> Offsets:
        """The group's offsets, once no transaction is pending on them."""
        ats = self.log_of(role)
        until = time.monotonic() + limit_s
        while True:
            try:
                return {at: offset or 0 for at, offset in self.broker.committed(self._group(role), ats).items()}
            except Recoverable:
                if time.monotonic() > until:
                    raise

    def ends(self, role: str) -> Offsets:
        """Where the log that a role reads ends."""
        return {at: self.broker.watermarks(at)[1] for at in self.log_of(role)}

    def log_of(self, role: str) -> list[TopicPartition]:
        """The partitions that a role reads and that carry traffic."""
        if role == INGEST:
            return [TopicPartition(RECORDS, partition) for partition in range(self.source_partitions)]
        return [TopicPartition(self.settings.topics.events, q) for q in range(self.settings.topics.partitions)]

    def _group(self, role: str) -> str:
        return f"{self.settings.group}-{role}"

    def reach(self, role: str, targets: Mapping[TopicPartition, int], limit_s: float = RECOVER_S) -> bool:
        """Wait until a role has committed every message before `targets`: only markers may lie between."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            try:
                done = self.committed(role, max(0.0, until - time.monotonic()))
            except Recoverable:
                return False
            if all(done[at] >= target or self._is_empty(at, done[at], target) for at, target in targets.items()):
                return True
            time.sleep(POLL_S)
        return False

    def reach_ends(self, limit_s: float = RECOVER_S) -> bool:
        """Wait until both roles have committed all that stands there now, and what comes of it."""
        return self.reach(INGEST, self.ends(INGEST), limit_s) and self.reach(DETECT, self.ends(DETECT), limit_s)

    def _is_empty(self, at: TopicPartition, start: int, stop: int) -> bool:
        return stop - start <= MARKERS and not any(True for _ in self.broker.read(at, start, stop))
