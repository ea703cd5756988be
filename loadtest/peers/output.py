"""Output: what an engine has published, as it comes, and how it differs from what must be there."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from detector.broker import Message, TopicPartition
from detector.broker.kafka import KafkaBroker
from loadtest.throughput import SOURCE_PARTITIONS

SETTLED_S: Final = 20.0
"""Flink's offsets come as much as 10 s late: its reader sits in a poll of that length once there is nothing to read."""


def messages(broker: KafkaBroker, topic: str, partition: int) -> Iterator[Message]:
    """All that is committed in a partition."""
    at = TopicPartition(topic, partition)
    return broker.read(at, *broker.watermarks(at))


class Decisions:
    """The committed decisions of a peer, read as they come."""

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self._broker = broker
        self._next = {TopicPartition(topic, partition): 0 for partition in range(SOURCE_PARTITIONS)}
        self.ids: Counter[str] = Counter()
        """The records that they were made of."""

    def read(self) -> int:
        """How many there are, once every transaction that was open at the call has ended."""
        ends = {at: self._broker.watermarks(at)[1] for at in self._next}
        for at, end in ends.items():
            new = self._broker.read(at, self._next[at], end)
            self.ids.update(json.loads(message.value() or b"")["id"] for message in new)
            self._next[at] = end
        return self.ids.total()


class Ending:
    """How many records a peer has committed; all of them as soon as the last decision is there to be read.

    A peer's work is done then. Offsets are where its reader has got to, and may come late; without decisions they count
    once nothing more has come for as long as that can take.
    """

    def __init__(self, done: Callable[[], int], is_done: Callable[[], bool], records: int) -> None:
        self._done, self._is_done, self._records = done, is_done, records
        self._since = 0.0

    def __call__(self) -> int:
        done = self._done()
        if done and self._is_done():
            return self._records
        if done < self._records:
            return done
        self._since = self._since or time.monotonic()
        return self._records if time.monotonic() - self._since > SETTLED_S else self._records - 1


def difference(expected: Counter[str], found: Counter[str], left: int = 0) -> str:
    """How what a peer published differs from what must be there, and how much it has left; empty if all is well."""
    missing, extra = (expected - found).total(), (found - expected).total()
    told = [f"{missing:,} decisions missing, {extra:,} too many"] if missing or extra else []
    return ", ".join([*told, *([f"{left:,} records not committed"] if left else [])])


def difference_of_ours(refused: int, logged: int, counted: int, published: int, decided: int) -> str:
    """The same of our own: records refused; rows in the log and counted; decisions published and made."""
    told = []
    if refused:
        told.append(f"{refused:,} records refused")
    if logged != counted:
        told.append(f"{counted:,} of {logged:,} rows counted")
    if published != decided:
        told.append(f"{published:,} of {decided:,} decisions published")
    return ", ".join(told)
