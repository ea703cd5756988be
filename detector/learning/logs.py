"""Logs: the rows of `events.by-number` as a topic or an archive still holds them, to be computed anew from.

topic, archive --Log--> entries of each partition --vectors_at_every_event--> Taken
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from detector.broker import Broker, TopicPartition
from detector.broker.entries import read_entries
from detector.config import Settings
from detector.errors import Rejected
from detector.features.coverage import LONGEST_WINDOW_MS
from detector.ingest.rows import unpack_message
from detector.learning.archive import Archive
from detector.learning.features import Taken, Taker, Tally, from_log
from detector.learning.moments import EveryNth
from detector.pipeline import Entry, fresh_state
from detector.units import DAY_MS

WHOLE_AFTER_MS: Final = LONGEST_WINDOW_MS + DAY_MS
"""Of a log whose beginning is gone: from then on no window reaches back before it, and a day for rows out of order."""


@dataclass(frozen=True, slots=True)
class Log:
    """What is held of one partition, without a gap."""

    partition: int
    start: int
    stop: int
    """Offsets `[start, stop)`."""
    read: Callable[[], Iterator[Entry]]
    gone_before_ms: int = 0
    """Rows of events before this moment are gone, wherever they stood; 0 where none are."""

    def whole_from_ms(self) -> int:
        """The event time from which on the windows of a number are whole; 0 where nothing is gone."""
        whole_ms = self.gone_before_ms + WHOLE_AFTER_MS if self.gone_before_ms else 0
        if self.start == 0:
            return whole_ms
        for entry in self.read():
            rows = unpack_message(entry.value, entry.headers)
            if not isinstance(rows, Rejected):
                return max(int(rows["event_ms"].max()) + WHOLE_AFTER_MS, whole_ms)
        return whole_ms

    def vectors(self, settings: Settings) -> Iterator[Taken]:
        """At every event of every number, from a state that knows nothing."""
        tally = Tally()
        yield from from_log(self.read(), Taker(fresh_state(settings), EveryNth(1), 0, tally), self.start, tally)


def logs_on(broker: Broker, settings: Settings, partition: int | None = None) -> list[Log]:
    """Of the topic's partitions, or of one."""
    wanted = range(settings.topics.partitions) if partition is None else [partition]
    found = []
    for q in wanted:
        at = TopicPartition(settings.topics.events, q)
        found.append(Log(q, *broker.watermarks(at), _reader(broker, at)))
    return found


def _reader(broker: Broker, at: TopicPartition) -> Callable[[], Iterator[Entry]]:
    return lambda: read_entries(broker, at, *broker.watermarks(at))


def logs_in(archive: Archive, partitions: int, partition: int | None = None) -> list[Log]:
    """Of an archive's partitions, behind the last gap of each, or of one. `ConfigError` where it is another log's."""
    found = []
    for q, reached in archive.progress_of(partitions).items():
        if partition is None or q == partition:
            start = reached.gaps[-1][1] if reached.gaps else reached.first
            read = _archived(archive, q, start, reached.next)
            found.append(Log(q, start, reached.next, read, reached.gone_before_ms))
    return found


def _archived(archive: Archive, partition: int, start: int, stop: int) -> Callable[[], Iterator[Entry]]:
    return lambda: (entry for entry in archive.entries(partition, stop) if entry.offset >= start)
