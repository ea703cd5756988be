"""A group's member as the contract tests drive it."""

import time
from collections.abc import Callable, Mapping, Sequence

from detector.broker import Broker, Consumer, Message, TopicPartition

PATIENCE_S = 20.0
"""How long a test waits for what must come: a group of Kafka's takes a second or two to settle."""


class Member:
    """A consumer that writes down what its group does to it."""

    def __init__(
        self,
        broker: Broker,
        group: str,
        topic: str,
        instance: str = "a-0",
        starts: Mapping[TopicPartition, int | None] | None = None,
        earliest: bool = True,
    ) -> None:
        self.consumer: Consumer = broker.consumer(group, instance, earliest=earliest)
        self.starts = starts or {}
        self.held: set[TopicPartition] = set()
        self.seen: list[Message] = []
        self.calls: list[str] = []
        self.consumer.subscribe([topic], self)

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        self.calls.append("assigned")
        self.held.update(partitions)
        return {partition: offset for partition, offset in self.starts.items() if partition in partitions}

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.calls.append("revoked")
        self.held.difference_update(partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        self.calls.append("lost")
        self.held.difference_update(partitions)

    def poll(self, most: int = 1_000, wait_s: float = 0.05) -> list[Message]:
        batch = self.consumer.poll(most, wait_s)
        self.seen += batch
        return batch

    def values(self) -> list[bytes | None]:
        return [message.value() for message in self.seen]

    def until(self, count: int) -> list[bytes | None]:
        """The values seen, as soon as there are `count`."""
        until(lambda: len(self.seen) >= count, self)
        return self.values()


def until(done: Callable[[], bool], *members: Member) -> None:
    """The members poll until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, f"not so after {PATIENCE_S:.0f} s: {[m.calls for m in members]}"
        for member in members:
            member.poll()


def eventually(done: Callable[[], bool]) -> None:
    """It is so, now or soon."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, f"not so after {PATIENCE_S:.0f} s"
        time.sleep(0.02)
