"""What a consumer gets: all of it, in order, with everything that was sent."""

import time
from collections.abc import Callable

import pytest

from detector.broker import Broker, Producer, TopicPartition
from detector.broker.memory.producer import MOST_BYTES, OVERHEAD
from detector.errors import Fatal
from tests.broker.contract.logs import everything, numbered
from tests.broker.groups import Member, until


def test_messages_of_a_partition_come_in_order(broker: Broker, make: Callable[..., str], name: str) -> None:
    """However many polls it takes, and whatever comes from other partitions between."""
    topic = make(2)
    for start in range(0, 1_000, 100):
        broker.publish(topic, numbered(start, start + 100), start // 100 % 2)
    member = Member(broker, name, topic)
    until(lambda: len(member.seen) == 1_000, member)
    for partition in (0, 1):
        mine = [message for message in member.seen if message.partition() == partition]
        assert [message.offset() for message in mine] == list(range(500))
        assert sorted(int(message.value() or b"") for message in mine) == [int(m.value() or b"") for m in mine]
    member.consumer.close()


def test_a_poll_gives_no_more_than_it_is_asked_for(broker: Broker, make: Callable[..., str], name: str) -> None:
    """And everything comes in the end."""
    topic = make(2)
    broker.publish(topic, numbered(0, 10), 0)
    broker.publish(topic, numbered(0, 10), 1)
    member = Member(broker, name, topic)
    sizes = []
    while len(member.seen) < 20:
        sizes.append(len(member.poll(most=3)))
    assert max(sizes) <= 3
    member.consumer.close()


def test_an_idle_poll_waits_and_gives_nothing(broker: Broker, make: Callable[..., str], name: str) -> None:
    """It does not spin."""
    member = Member(broker, name, make())
    until(lambda: len(member.held) == 1, member)
    began = time.monotonic()
    assert member.poll(wait_s=0.2) == []
    assert 0.15 < time.monotonic() - began < 2
    member.consumer.close()


def test_a_message_keeps_key_value_headers_and_has_a_time(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """A value of None is a tombstone and not an empty value."""
    topic = make()
    before_ms = time.time_ns() // 1_000_000 - 1_000
    producer.begin()
    producer.send(topic, 0, b"\x00\xff", key=b"k", headers=[("schema", b"row-1"), ("names", b"{}")])
    producer.send(topic, 0, None, key=b"k")
    producer.send(topic, 0, b"")
    producer.commit({}, None)
    at = TopicPartition(topic, 0)
    full, tombstone, empty = broker.read(at, *broker.watermarks(at))
    assert (full.key(), full.value()) == (b"k", b"\x00\xff")
    assert full.headers() == [("schema", b"row-1"), ("names", b"{}")]
    assert (full.topic(), full.partition(), full.offset()) == (topic, 0, 0)
    assert before_ms < full.timestamp()[1] < before_ms + 60_000
    assert (tombstone.key(), tombstone.value(), tombstone.headers()) == (b"k", None, None)
    assert (empty.key(), empty.value()) == (None, b"")


def test_a_message_that_is_too_long_is_refused(broker: Broker, make: Callable[..., str], producer: Producer) -> None:
    """By all it holds together, before anything is sent; the longest that may be is read as it was sent."""
    topic, room = make(), MOST_BYTES - OVERHEAD
    headers = [("schema", b"row-1"), ("names", b"x" * 1_000)]
    longest = [(b"x" * room, b"", []), (b"x" * (room - 1), b"k", []), (b"x" * (room - 13 - 1_008), b"", headers)]
    for value, key, with_headers in longest:
        producer.begin()
        producer.send(topic, 0, value, key, with_headers)
        producer.commit({}, None)
        producer.begin()
        with pytest.raises(Fatal, match=f"^send to {topic}: "):
            producer.send(topic, 0, value + b"x", key, with_headers)
        producer.abort()
    assert everything(broker, topic) == [value for value, *_ in longest]


def test_messages_of_a_key_stay_together(broker: Broker, make: Callable[..., str]) -> None:
    """Where no partition is given, the key decides."""
    topic = make(4)
    broker.publish(topic, [(b"key", b"1"), (b"other", b"x"), (b"key", b"2")])
    broker.publish(topic, [(b"key", b"3")])
    found = [[value for value in everything(broker, topic, partition) if value != b"x"] for partition in range(4)]
    assert sorted(found) == [[], [], [], [b"1", b"2", b"3"]]
