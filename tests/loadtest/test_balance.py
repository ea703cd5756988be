"""The balance of a soak: nothing that is lost, repeated or mixed up escapes it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.config import Settings, load
from detector.metrics import Metrics
from detector.service.ingest import IngestRole
from loadtest.balance import balance
from loadtest.configuration import configure
from loadtest.oracle import RECORDS
from loadtest.packed import publish
from loadtest.population import Population
from loadtest.stencil import BROKEN_EVERY, lines

SIZE = 2 * BROKEN_EVERY
BROKEN = 2
POPULATION = Population(500)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(configure(tmp_path, "127.0.0.1:1", "test"), {})


@pytest.fixture
def broker(settings: Settings) -> MemoryBroker:
    """All records ingested; rows of a prefill stand beside theirs."""
    broker = MemoryBroker()
    broker.create(topic_specs(settings, source_partitions=2))
    topics = settings.topics
    publish(broker.producer("prefill"), topics.events, topics.partitions, POPULATION.draw(SIZE, 300))
    values = lines(POPULATION.draw(0, SIZE))
    for partition in range(2):
        broker.publish(RECORDS, [(None, value) for value in values[partition::2]], partition)
    ingest = IngestRole(settings, broker, Metrics(), "0")
    while ingest.step():
        pass
    return broker


def test_what_was_written_is_there_once(broker: MemoryBroker, settings: Settings) -> None:
    """Two rows a record, and a reject for each that nobody can read."""
    found = balance(broker, settings)
    assert (found.records, found.rows, found.rejected, found.wrong) == (SIZE, 2 * (SIZE - BROKEN), BROKEN, 0)
    assert found.unmet(SIZE, BROKEN) == []
    assert len(found.unmet(SIZE + 1, BROKEN)) == 2


def again(broker: MemoryBroker, topic: str, partition: int) -> None:
    """The last message stands there twice."""
    at = TopicPartition(topic, partition)
    message = list(broker.read(at, *broker.watermarks(at)))[-1]
    producer = broker.producer("again")
    producer.begin()
    producer.send(topic, partition, message.value(), headers=message.headers())
    producer.commit({}, None)


def rows_again(broker: MemoryBroker, settings: Settings) -> None:
    again(broker, settings.topics.events, 0)


def reject_again(broker: MemoryBroker, settings: Settings) -> None:
    rejects = settings.topics.rejects
    again(broker, rejects, next(q for q in range(12) if broker.watermarks(TopicPartition(rejects, q))[1]))


def never_ingested(broker: MemoryBroker, settings: Settings) -> None:
    broker.publish(RECORDS, [(None, lines(POPULATION.draw(SIZE, 1))[0])], 1)


def rejects_lost(broker: MemoryBroker, settings: Settings) -> None:
    broker.delete([settings.topics.rejects])
    broker.create(topic_specs(settings))


@pytest.mark.parametrize("harm", [rows_again, reject_again, never_ingested, rejects_lost])
def test_what_is_lost_or_repeated_is_found(
    broker: MemoryBroker, settings: Settings, harm: Callable[[MemoryBroker, Settings], None]
) -> None:
    """Record by record: what is missing here cannot make up for what is too much there."""
    harm(broker, settings)
    found = balance(broker, settings)
    assert found.wrong > 0
    assert found.unmet(SIZE, BROKEN)
