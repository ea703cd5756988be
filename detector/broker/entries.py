"""Entries: messages of the internal topic as the core takes them.

Broker.read --> Message --> Entry, one by one or in batches --> Detector.process
"""

from collections.abc import Iterator
from itertools import islice

from detector.broker import Broker, Message, TopicPartition
from detector.pipeline import Entry


def entry_of(message: Message) -> Entry:
    """The message without its methods."""
    return Entry(message.offset(), message.value(), message.headers() or [])


def read_entries(broker: Broker, at: TopicPartition, start: int, stop: int) -> Iterator[Entry]:
    """What is committed of the offsets `[start, stop)`."""
    return map(entry_of, broker.read(at, start, stop))


def read_batches(broker: Broker, at: TopicPartition, start: int, stop: int, most: int) -> Iterator[list[Entry]]:
    """The same, `most` at a time, so that memory stays bounded whatever the range."""
    found = read_entries(broker, at, start, stop)
    while batch := list(islice(found, most)):
        yield batch
