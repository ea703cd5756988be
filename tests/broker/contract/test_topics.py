"""Topics and their partitions, read without a group."""

import threading
import time
from collections.abc import Callable

from detector.broker import Broker, Producer, TopicPartition, TopicSpec
from tests.broker.contract.logs import commit, numbered, send, values
from tests.broker.groups import eventually


def test_a_range_is_read_to_its_end(broker: Broker, make: Callable[..., str]) -> None:
    """Half open, and no further than the log goes; again and again."""
    topic = make()
    at = TopicPartition(topic, 0)
    broker.publish(topic, numbered(0, 10), 0)
    assert values(broker.read(at, 3, 7)) == [b"3", b"4", b"5", b"6"]
    assert values(broker.read(at, 0, 2)) == [b"0", b"1"]
    assert values(broker.read(at, 8, 1_000)) == [b"8", b"9"]
    assert values(broker.read(at, 4, 4)) == []
    assert next(broker.read(at, 5, 9)).value() == b"5"
    assert values(broker.read(at, 9, 10)) == [b"9"]


def test_a_range_that_ends_in_markers_is_read_to_its_end(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """Markers and aborted messages take offsets and give no message: here 0 1 marker, 3 marker."""
    topic = make()
    at = TopicPartition(topic, 0)
    commit(producer, topic, b"0", b"1")
    send(producer, topic, b"gone")
    producer.abort()
    low, high = broker.watermarks(at)
    assert low == 0
    assert values(broker.read(at, 0, high)) == [b"0", b"1"]
    assert values(broker.read(at, 2, high)) == []


def test_a_reader_waits_while_a_transaction_is_open(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """What was begun before the end asked for belongs to the answer, once it is known."""
    topic = make()
    at = TopicPartition(topic, 0)
    send(producer, topic, b"late")
    eventually(lambda: broker.watermarks(at)[1] == 1)
    later = threading.Timer(0.5, producer.commit, ({}, None))
    later.start()
    assert values(broker.read(at, 0, broker.watermarks(at)[1])) == [b"late"]
    later.join()


def test_watermarks_are_the_first_offset_and_the_next(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """A transaction's marker takes an offset, a little after the commit."""
    topic = make()
    at = TopicPartition(topic, 0)
    assert broker.watermarks(at) == (0, 0)
    broker.publish(topic, numbered(0, 3), 0)
    assert broker.watermarks(at) == (0, 3)
    commit(producer, topic, b"3")
    eventually(lambda: broker.watermarks(at) == (0, 5))


def test_a_time_is_the_first_message_published_then_or_later(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """What holds no message has no time: markers, aborted messages, an empty partition. Before 1970 is the start."""
    topic = make()
    at = TopicPartition(topic, 0)
    assert broker.offset_at(at, 0) == 0
    for i in range(12):
        send(producer, topic, *(b"%d" % i for _ in range(i % 3 + 1)))
        if i % 3 == 1:
            producer.abort()
        else:
            producer.commit({}, None)
        time.sleep(0.003)
    low, high = broker.watermarks(at)
    stored = [(message.offset(), message.timestamp()[1]) for message in broker.read(at, low, high)]
    assert len(stored) == 16
    for ms in {published + by for _, published in stored for by in (-1, 0, 1)}:
        found = broker.offset_at(at, ms)
        assert [one for one in stored if one[0] >= found] == [one for one in stored if one[1] >= ms]
    assert [broker.offset_at(at, ms) for ms in (-(10**12), -2, -1, 0)] == [low] * 4
    assert stored[-1][0] < broker.offset_at(at, 10**15) <= high


def test_topics_are_made_once(broker: Broker, name: str) -> None:
    """A second time changes nothing and names nothing."""
    specs = [TopicSpec(f"{name}-1", 3), TopicSpec(f"{name}-2", 1, config={"cleanup.policy": "compact"})]
    assert sorted(broker.create(specs)) == [f"{name}-1", f"{name}-2"]
    assert broker.create([TopicSpec(f"{name}-1", 7)]) == []
    found = broker.partitions()
    assert (found[f"{name}-1"], found[f"{name}-2"]) == (3, 1)
    assert broker.reachable


def test_a_topic_made_again_is_another(broker: Broker, make: Callable[..., str]) -> None:
    """So that a snapshot of the old one is not taken for one of the new."""
    topic, other = make(1, "in"), make(1, "out")
    before, cluster = broker.identity(topic), broker.identity(other).split("/")[0]
    assert broker.identity(topic) == before
    assert before.split("/")[0] == cluster
    broker.delete([topic])
    assert topic not in broker.partitions()
    make(1, "in")
    assert broker.identity(topic) != before
    assert broker.watermarks(TopicPartition(topic, 0)) == (0, 0)
