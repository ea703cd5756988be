"""Times: where what was published at a moment or later begins, to the millisecond."""

from collections.abc import Iterator
from itertools import count

from detector.broker import TopicPartition, TopicSpec
from detector.broker.memory import MemoryBroker

AT = TopicPartition("log", 0)


def publish(broker: MemoryBroker) -> None:
    """Sixty transactions of one to three messages; every third is aborted, and all leave a marker."""
    for i in range(60):
        producer = broker.producer("one")
        producer.begin()
        for _ in range(i % 3 + 1):
            producer.send(AT.topic, 0, b"%d" % i)
        if i % 3 == 1:
            producer.abort()
        else:
            producer.commit({}, None)


def test_a_time_is_the_first_message_published_then_or_later() -> None:
    """Markers and aborted messages have no time: the next message answers for them."""
    times: Iterator[int] = count(10_000, 7)
    broker = MemoryBroker(lambda: next(times))
    broker.create([TopicSpec(AT.topic, 1)])
    publish(broker)
    low, high = broker.watermarks(AT)
    messages = list(broker.read(AT, low, high))
    assert len(messages) == 80
    for ms in range(9_999, messages[-1].timestamp()[1] + 1):
        found = broker.offset_at(AT, ms)
        expected = next(m.offset() for m in messages if m.timestamp()[1] >= ms)
        assert next(m.offset() for m in messages if m.offset() >= found) == expected
    assert broker.offset_at(AT, 0) == low
    assert messages[-1].offset() < broker.offset_at(AT, 10**15) <= high
