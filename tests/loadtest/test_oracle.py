"""The oracle of long runs: nothing that is lost, repeated or invented escapes it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.config import Settings
from detector.metrics import Metrics
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from loadtest.history import POISON, traffic
from loadtest.oracle import RECORDS, Oracle
from tests.service.harness import settings_for

SIZE = 6_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


@pytest.fixture
def broker(settings: Settings) -> MemoryBroker:
    """Everything ingested and decided, poison included."""
    broker = MemoryBroker()
    broker.create(topic_specs(settings, source_partitions=2))
    values = [*traffic(SIZE, seed=3)[:SIZE], *POISON]
    broker.publish(RECORDS, [(None, value) for value in values], 0)
    broker.publish(settings.topics.events, [(None, b"not rows")], 1)
    ingest, detect = (role(settings, broker, Metrics(), "0") for role in (IngestRole, DetectRole))
    while ingest.step() or detect.step() or ingest.step() or detect.step():
        pass
    return broker


def test_a_run_without_faults_balances_however_often_it_is_looked_at(broker: MemoryBroker, settings: Settings) -> None:
    """Records, decisions and dead letters are counted once each."""
    oracle = Oracle(broker, settings)
    oracle.advance()
    oracle.advance()
    assert (oracle.lost(), oracle.repeated(), oracle.examples()) == (0, 0, [])
    assert oracle.records == SIZE + len(POISON)
    assert oracle.refused == len(POISON) + 1
    assert oracle.decided > 0


def last_of(broker: MemoryBroker, topic: str) -> tuple[int, bytes | None, bytes | None]:
    for partition in range(broker.partitions()[topic]):
        at = TopicPartition(topic, partition)
        if found := list(broker.read(at, *broker.watermarks(at))):
            return partition, found[-1].key(), found[-1].value()
    raise AssertionError(f"nothing in {topic}")


def repeat_a_decision(broker: MemoryBroker, settings: Settings) -> None:
    partition, key, value = last_of(broker, settings.topics.history)
    broker.publish(settings.topics.history, [(key, value)], partition)


def invent_a_decision(broker: MemoryBroker, settings: Settings) -> None:
    broker.publish(settings.topics.decisions, [(b"+999|voice|originating", b"{}")], 0)


def repeat_rows(broker: MemoryBroker, settings: Settings) -> None:
    """Once more on the log: the state would count them as duplicates, and nothing else would show."""
    at = TopicPartition(settings.topics.events, 0)
    message = list(broker.read(at, *broker.watermarks(at)))[-1]
    producer = broker.producer("twice")
    producer.begin()
    producer.send(at.topic, 0, message.value(), headers=message.headers())
    producer.commit({}, None)


@pytest.mark.parametrize("harm", [repeat_a_decision, invent_a_decision, repeat_rows])
def test_what_is_there_once_too_often_is_found(
    broker: MemoryBroker, settings: Settings, harm: Callable[[MemoryBroker, Settings], None]
) -> None:
    """On the topic of decisions, on their history, on the internal log."""
    oracle = Oracle(broker, settings)
    oracle.advance()
    harm(broker, settings)
    oracle.advance()
    assert oracle.repeated() > 0
    assert oracle.examples()


@pytest.mark.parametrize("topic", ["decisions", "history", "rejects"])
def test_what_is_missing_is_found(broker: MemoryBroker, settings: Settings, topic: str) -> None:
    """A topic that has lost everything."""
    name = getattr(settings.topics, topic)
    broker.delete([name])
    broker.create(topic_specs(settings))
    oracle = Oracle(broker, settings)
    oracle.advance()
    assert oracle.lost() > 0
    assert oracle.repeated() == 0


def test_records_that_were_never_ingested_are_missing(broker: MemoryBroker, settings: Settings) -> None:
    """Rows that stand in the source and not on the log."""
    broker.publish(RECORDS, [(None, value) for value in traffic(SIZE, seed=4)[:10]], 1)
    oracle = Oracle(broker, settings)
    oracle.advance()
    assert oracle.lost() >= 10
