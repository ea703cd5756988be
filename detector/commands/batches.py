"""Batches: what there is of the internal log, some messages at a time, for whoever decides on it once more.

records of files --of_files, through ingest on a broker in memory--+
                                                                   +--> partition, entries
events.by-number --of_topic----------------------------------------+
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from detector.commands.common import say
from detector.commands.places import Place, offset_of
from detector.config import Settings

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.pipeline import Entry

BATCH: Final = 500
"""Messages of a topic taken through the core at once."""
IDLE_WAIT_MS: Final = 1

Batches = Iterator[tuple[int, "list[Entry]"]]
"""Partitions of the internal log, each with its next messages in order."""


def of_files(settings: Settings, blocks: Iterable[list[bytes]]) -> Batches:
    """Messages of the one source, through ingest itself on a broker in memory."""
    from msgspec.structs import replace

    from detector.broker import TopicPartition
    from detector.broker.entries import read_entries
    from detector.broker.memory import MemoryBroker
    from detector.broker.topics import topic_specs
    from detector.metrics import Metrics
    from detector.service.ingest import IngestRole

    settings = replace(settings, ingest=replace(settings.ingest, wait_ms=IDLE_WAIT_MS))
    events, source, metrics = settings.topics.events, settings.sources[0].topic, Metrics()
    broker = MemoryBroker()
    broker.create(topic_specs(settings))
    role = IngestRole(settings, broker, metrics, "backtest-0")
    try:
        for block in blocks:
            broker.publish(source, [(None, value) for value in block], partition=0)
            idle = 0
            while idle < 2:  # the first poll may bring no more than the assignment
                idle = 0 if role.step() else idle + 1
            for partition in range(settings.topics.partitions):
                at = TopicPartition(events, partition)
                if made := list(read_entries(broker, at, *broker.watermarks(at))):
                    yield partition, made
                for topic in (events, settings.topics.rejects):  # nobody reads these: they would be kept
                    read = TopicPartition(topic, partition)
                    broker.truncate(read, broker.watermarks(read)[1])
            broker.trim(source)
        rejected = metrics.value("rejects")
        say(f"{metrics.value('records'):,.0f} records, {rejected:,.0f} rejected, {metrics.value('rows_out'):,.0f} rows")
    finally:
        role.close()
        broker.close()


def of_topic(broker: "Broker", settings: Settings, stop: Place | None) -> Batches:
    """The internal topic from its beginning, a partition after another: none depends on what happens in the others."""
    from detector.broker import TopicPartition
    from detector.broker.entries import read_batches

    for partition in range(settings.topics.partitions):
        at = TopicPartition(settings.topics.events, partition)
        low, high = broker.watermarks(at)
        last = high if stop is None else min(high, offset_of(broker, at, stop))
        for batch in read_batches(broker, at, low, last, BATCH):
            yield partition, batch
