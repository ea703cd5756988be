"""Statistics: what a client of librdkafka says of itself, as far as anybody looks at it.

librdkafka's JSON, every few seconds -> Statistics -> metrics
"""

from typing import Final

import msgspec
from msgspec import Struct

from detector.broker import TopicPartition


class _Window(Struct, frozen=True):
    """Of the last interval, in microseconds."""

    avg: int = 0
    p99: int = 0


class _Connection(Struct, frozen=True):
    nodeid: int = -1
    source: str = ""
    rtt: _Window = _Window()


class _Partition(Struct, frozen=True):
    partition: int = -1
    fetchq_cnt: int = 0
    fetch_state: str = ""
    app_offset: int = -1
    next_offset: int = -1
    ls_offset: int = -1
    hi_offset: int = -1


class _Topic(Struct, frozen=True):
    partitions: dict[str, _Partition] = {}


class Statistics(Struct, frozen=True):
    """What one client says; names are librdkafka's (STATISTICS.md there)."""

    type: str
    """consumer or producer."""
    msg_cnt: int = 0
    brokers: dict[str, _Connection] = {}
    topics: dict[str, _Topic] = {}

    @property
    def queued(self) -> int:
        """Messages in the client: sent and not stored yet, or fetched and not polled yet."""
        # Partitions forward what they fetch to the consumer's one queue, and each tells of its length.
        fetched = (one.fetchq_cnt for topic in self.topics.values() for one in topic.partitions.values())
        return self.msg_cnt if self.type == "producer" else max(fetched, default=0)

    @property
    def round_trips_s(self) -> dict[int, tuple[float, float]]:
        """Of each broker that was asked something: mean and 99th percentile of how long its answers took."""
        asked: dict[int, tuple[float, float]] = {}
        for one in self.brokers.values():
            if one.nodeid >= 0 and one.rtt.avg > 0:
                asked[one.nodeid] = max(asked.get(one.nodeid, (0.0, 0.0)), (one.rtt.avg / 1e6, one.rtt.p99 / 1e6))
        return asked

    @property
    def lags(self) -> dict[TopicPartition, int]:
        """Messages of each partition read that no poll has given yet, as of the last answer for it.

        Those of open transactions too: behind one that is never ended all others wait, and nothing else would tell.
        """
        lags = {}
        for name, topic in self.topics.items():
            for one in topic.partitions.values():
                # Before the first poll gave any of it, those fetched may be its own or others'.
                position = one.app_offset if one.app_offset >= 0 else max(0, one.next_offset - one.fetchq_cnt)
                end = max(one.ls_offset, one.hi_offset)
                if one.partition >= 0 and one.fetch_state == "active" and end >= 0:
                    lags[TopicPartition(name, one.partition)] = max(0, end - position)
        return lags


_DECODER: Final = msgspec.json.Decoder(Statistics)


def read_statistics(text: str) -> Statistics:
    """What librdkafka wrote."""
    return _DECODER.decode(text)
