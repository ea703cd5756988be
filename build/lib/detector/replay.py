"""Both roles in one process on the broker in memory: records in, decisions out, nothing left behind.

    publish -> source topic -> IngestRole -> events.by-number -> DetectRole -> decisions

The very classes that production runs; only the broker is another, and the clock may be one
that the caller turns.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.config import Settings
from detector.metrics import Metrics
from detector.service import Role
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.verdict.decisions import Decision

IDLE_WAIT_MS: Final = 1
"""Everything is in this process: what is not there at once will not come by waiting."""


def wall_ms() -> int:
    """Now, in UTC milliseconds."""
    return time.time_ns() // 1_000_000


class Replay:
    """A running detector; `clock_ms` is what it takes for now."""

    def __init__(self, settings: Settings, metrics: Metrics, clock_ms: Callable[[], int] = wall_ms) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="detector-")
        self.settings: Final = _in_memory(settings, Path(self._folder.name))
        self.metrics: Final = metrics
        self._broker = MemoryBroker(clock_ms)
        self._broker.create(topic_specs(self.settings))
        topics = self.settings.topics
        decided = topics.shadow if self.settings.verdict.mode == "shadow" else topics.history
        self._read_to = {TopicPartition(decided, q): 0 for q in range(topics.partitions)}

        def clock_s() -> float:
            return clock_ms() / 1000

        self._roles: tuple[Role, ...] = (
            IngestRole(self.settings, self._broker, metrics, "replay-0", clock_s),
            DetectRole(self.settings, self._broker, metrics, "replay-0", clock_s),
        )
        metrics.broker_up.set(1)

    def publish(self, topic: str, values: Sequence[bytes]) -> None:
        """Records stand in a source's topic, all on one partition.

        A file holds days and is taken at once: read partition by partition, its records would
        come days apart from their order, and count as late.
        """
        self._broker.publish(topic, [(None, value) for value in values], partition=0)

    def settle(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Everything published has been worked through by both roles, and is no longer kept."""
        while True:
            handled = 0
            for role in self._roles:
                handled += role.step()
                self.metrics.last_step_timestamp.set_to_current_time()
                after_step()
            if not handled:
                break
        for topic in (self.settings.topics.events, *(source.topic for source in self.settings.sources)):
            self._broker.trim(topic)

    def decisions(self) -> list[Decision]:
        """What has been decided since this was last asked, in order of the events' time."""
        new: list[Decision] = []
        for at, start in self._read_to.items():
            end = self._broker.watermarks(at)[1]
            values = (message.value() for message in self._broker.read(at, start, end))
            new += [Decision.from_json(value) for value in values if value]
            self._read_to[at] = end
        return sorted(new, key=lambda decision: (decision.issued_at, decision.decision_id))

    def close(self) -> None:
        """The roles have left, and their files are gone."""
        for role in self._roles:
            role.close()
        self._broker.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _in_memory(settings: Settings, folder: Path) -> Settings:
    """`settings` with snapshots in `folder`, and polls that do not wait."""
    replace = msgspec.structs.replace
    return replace(
        settings,
        ingest=replace(settings.ingest, wait_ms=IDLE_WAIT_MS),
        detect=replace(settings.detect, wait_ms=IDLE_WAIT_MS, snapshots=str(folder)),
    )
