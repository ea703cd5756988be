"""The topic of labels: what is published is read, once, by anybody, on both brokers."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import orjson
import pytest

from detector.broker import Broker, TopicPartition, TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.memory import MemoryBroker
from detector.errors import ConfigError
from detector.learning.labelfile import NumberLabel
from detector.learning.labeltopic import publish_labels, read_label_topic, withdraw_labels
from detector.records import NumberKind, number_text, pack_digits, pack_sender
from tests.strategies import NUMBERS

TOPIC = "test.labels"
FRAUD = NumberLabel(NUMBERS[0], True, 10, 20, 25, "complaint", "simbox", 0.9, campaign="01-simbox")
HONEST = NumberLabel(NUMBERS[1], False, 10, None, 30, "random_audit", probability=0.25)
TRUNK = NumberLabel(NUMBERS[2], True, 5, None, 7, "analyst")
SENDER = NumberLabel(pack_sender("ACME", 3), True, 5, 9, 7, "takedown")
LABELS = [FRAUD, HONEST, TRUNK, SENDER]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """With an empty topic."""
    made: Broker = MemoryBroker()
    if request.param == "kafka":
        kafka: LocalKafka = request.getfixturevalue("kafka")
        made = KafkaBroker(kafka.options)
    with closing(made):
        made.create([TopicSpec(TOPIC, 3)])
        yield made
        made.delete([TOPIC])


def read(broker: Broker) -> set[NumberLabel]:
    found = read_label_topic(broker, TOPIC)
    assert found.wrong == []
    assert len(found.labels) == len(set(found.labels))
    return set(found.labels)


def test_labels_come_back_as_they_were_published_each_once(broker: Broker) -> None:
    """However often their file was published; a number may have several."""
    more = [replace(FRAUD, source="analyst"), replace(FRAUD, confidence=1.0)]
    assert publish_labels(broker, TOPIC, [*LABELS, *more]) == 6
    publish_labels(broker, TOPIC, LABELS)
    assert read(broker) == {*LABELS, *more}


def test_two_days_that_were_drawn_of_one_fraud_are_two_labels(broker: Broker) -> None:
    """Though the analyst says the same of both: each stands for others."""
    said = NumberLabel(NUMBERS[0], True, 10, None, 25, "random_audit", probability=0.25, drawn_ms=10, draw="0-99-ab")
    days = [said, replace(said, drawn_ms=20)]
    publish_labels(broker, TOPIC, days)
    publish_labels(broker, TOPIC, days)
    assert read(broker) == set(days)


def test_messages_are_keyed_by_number(broker: Broker) -> None:
    """All of a number's in one partition, in their order."""
    publish_labels(broker, TOPIC, [replace(label, known_at_ms=100 + i) for i in range(4) for label in LABELS])
    found: dict[bytes | None, list[tuple[int, int]]] = {}
    for q in range(3):
        at = TopicPartition(TOPIC, q)
        for message in broker.read(at, *broker.watermarks(at)):
            known = orjson.loads(message.value() or b"")["known_at_ms"]
            found.setdefault(message.key(), []).append((q, known))
    assert set(found) == {number_text(label.number).encode() for label in LABELS}
    for places in found.values():
        assert [known for _, known in places] == [100, 101, 102, 103]
        assert len({q for q, _ in places}) == 1


def test_what_is_taken_back_is_not_read_and_can_be_said_again(broker: Broker) -> None:
    """Only what was said before, only of that number, in whatever partition it stands."""
    publish_labels(broker, TOPIC, LABELS)
    for q in range(3):  # a client that hashes keys otherwise
        broker.publish(TOPIC, [(b"x", orjson.dumps({**LINE, "active_from_ms": q}))], q)
    assert len(read(broker)) == 7
    withdraw_labels(broker, TOPIC, [FRAUD.number])
    assert read(broker) == set(LABELS) - {FRAUD}
    again = replace(FRAUD, known_at_ms=1_000)
    publish_labels(broker, TOPIC, [again])
    assert read(broker) == {*LABELS, again} - {FRAUD}


LINE = {
    "number": number_text(FRAUD.number),
    "label": "fraud",
    "active_from_ms": 1,
    "known_at_ms": 2,
    "source": "analyst",
}


def test_a_number_is_taken_back_behind_every_trunk(broker: Broker) -> None:
    """As the archive erases it; with a trunk it is that one alone, and no other number."""
    plain, seven, eight, other = (
        replace(TRUNK, number=pack_digits(NumberKind.E164, digits, trunk))
        for digits, trunk in (("999700000001", 0), ("999700000001", 7), ("999700000001", 8), ("999700000002", 7))
    )
    said = {plain, seven, eight, other, SENDER}
    publish_labels(broker, TOPIC, said)
    withdraw_labels(broker, TOPIC, [seven.number])
    assert read(broker) == said - {seven}
    withdraw_labels(broker, TOPIC, [plain.number])
    assert read(broker) == {other, SENDER}
    publish_labels(broker, TOPIC, [replace(eight, known_at_ms=1_000)])
    assert read(broker) == {other, SENDER, replace(eight, known_at_ms=1_000)}
    withdraw_labels(broker, TOPIC, [pack_sender("ACME", 0)])
    assert SENDER in read(broker)


def test_what_is_no_label_is_told_and_stops_nothing(broker: Broker) -> None:
    """Where it stands, which field, wanted and got."""
    publish_labels(broker, TOPIC, [FRAUD])
    wrong = [b"\xff", b"[1]", orjson.dumps(LINE | {"label": "maybe"}), orjson.dumps(LINE | {"number": "44"})]
    broker.publish(TOPIC, [(b"k", value) for value in wrong], 1)
    broker.publish(TOPIC, [(b"44", None), (None, None)], 2)
    found = read_label_topic(broker, TOPIC)
    assert found.labels == [FRAUD]
    assert len(found.wrong) == 6
    assert all((f"{TOPIC}[" in said and "wanted" in said.lower()) or "label" in said for said in found.wrong)
    assert any("label: Invalid enum value 'maybe'" in said for said in found.wrong)


def test_a_topic_that_is_not_there_is_said() -> None:
    """With the command that makes it."""
    with pytest.raises(ConfigError, match=r"no topic test.labels: `detector topics create`"):
        read_label_topic(MemoryBroker(), TOPIC)
