"""What the contract tests write to a topic, and read from it."""

from collections.abc import Iterator, Sequence

from detector.broker import Broker, Message, Producer, TopicPartition


def numbered(start: int, stop: int) -> list[tuple[bytes | None, bytes | None]]:
    """(key, value) pairs whose values count."""
    return [(None, b"%d" % i) for i in range(start, stop)]


def values(messages: Iterator[Message] | Sequence[Message]) -> list[bytes | None]:
    return [message.value() for message in messages]


def send(producer: Producer, topic: str, *sent: bytes, partition: int = 0) -> None:
    """A transaction is open and holds these values."""
    producer.begin()
    for value in sent:
        producer.send(topic, partition, value)


def commit(producer: Producer, topic: str, *sent: bytes, partition: int = 0) -> None:
    """The values are published by one transaction."""
    send(producer, topic, *sent, partition=partition)
    producer.commit({}, None)


def everything(broker: Broker, topic: str, partition: int = 0) -> list[bytes | None]:
    """All committed values of a partition."""
    at = TopicPartition(topic, partition)
    return values(broker.read(at, *broker.watermarks(at)))
