"""The broker: a log of topics and partitions, with transactions. One contract, two brokers.

`kafka` speaks to Apache Kafka, `memory` keeps everything in this process (demo, replay, tests), and `simulated`
is the same with a clock that tests move and faults where they want them.
The contract suite in `tests/broker/contract/` holds all to the same answers.

Offsets mean "next to read". Readers see committed messages only (`read_committed`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class Message(Protocol):
    """A message as read: confluent-kafka's own methods, so that its objects need no wrapping."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]:
        """Kind of timestamp, and the UTC milliseconds."""
        ...

    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> list[tuple[str, bytes]] | None: ...


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as `detector topics create` makes it."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


class Assignment(Protocol):
    """What a consumer of a group does when partitions come and go. Called from within `poll`."""

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int | None]:
        """Offsets to start from; a partition left out starts at the group's committed offset.

        One with None is this member's, but nothing of it is read until `Consumer.start` says from where.
        """
        ...

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Still ours while this runs: commit what is done."""
        ...

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Already another's: drop everything, commit nothing."""
        ...


class Consumer(Protocol):
    """A member of a consumer group."""

    def subscribe(self, topics: Sequence[str], assignment: Assignment) -> None: ...

    def poll(self, most: int, wait_s: float) -> list[Message]:
        """Up to `most` messages: waits up to `wait_s` for the first, then takes what is there.

        Messages of one partition come in offset order. Raises `Recoverable` or `Fatal`.
        """
        ...

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """The group's offsets; waits while a transaction with offsets is pending."""
        ...

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read on from these offsets: after an abort, what was polled is polled again."""
        ...

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read partitions that `assigned` kept back, from these offsets on. Not from within a callback.

        Raises `Fatal` for any other: the group would not hinder a member that reads and commits what is another's.
        """
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Polls give nothing of these until they are resumed. One that is kept back is let be."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Read on behind the last message that a poll gave of each."""
        ...

    def group_metadata(self) -> object:
        """To be taken right after the poll that gave the batch."""
        ...

    def close(self, *, leave: bool = False) -> None:
        """Stop; revocation is called for what is held.

        The group keeps a static member's place until its session timeout: whoever comes up under its name by then
        gets the same partitions, and no other member is disturbed. With `leave` the place is given up, and its
        partitions are the others' at once.
        """
        ...


class Producer(Protocol):
    """A transactional producer; the transactional id is its identity."""

    def begin(self) -> None: ...

    def send(
        self,
        topic: str,
        partition: int | None,
        value: bytes | None,
        key: bytes | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        """Queue a message; waits while the queue is full. One of more than 1,000,000 bytes is `Fatal`."""
        ...

    def commit(self, offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        """Outputs and source offsets become visible together. Raises `Abort`, `Fenced` or `Fatal`.

        A member that another process has fenced meets `Abort` here, and `Fenced` at its next poll.
        """
        ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class Broker(Protocol):
    """The way to all of the above."""

    @property
    def reachable(self) -> bool:
        """Whether the broker answered when it was last heard of: for readiness."""
        ...

    def consumer(self, group: str, instance: str, *, earliest: bool = False) -> Consumer:
        """A static member (`group.instance.id`) that reads committed messages and never commits by itself.

        A partition whose offset is neither given nor committed raises `Fatal` from `poll`, or starts at its first
        message when `earliest`. An offset that the log no longer (or not yet) holds raises `Fatal` always.
        What `Assignment` raises comes out of `poll` as `Fatal`: the member no longer knows where it stands.
        """
        ...

    def producer(self, transactional_id: str) -> Producer:
        """Fences any predecessor with the same id and ends the transaction it left open."""
        ...

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        """A group's offsets, asked from outside it; waits as `Consumer.committed` does."""
        ...

    def publish(
        self, topic: str, values: Sequence[tuple[bytes | None, bytes | None]], partition: int | None = None
    ) -> None:
        """Append (key, value) pairs outside any transaction, and wait until they are stored."""
        ...

    def read(self, partition: TopicPartition, start: int, stop: int) -> Iterator[Message]:
        """The committed messages of `[start, stop)`, without a group.

        Ends at `stop`, or at the high watermark if that is lower, whatever lies before it: markers, aborted messages.
        Waits while a transaction that began before that end is open. What retention has dropped is left out.
        """
        ...

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        """First offset kept, and the high watermark: past every message stored, committed or not."""
        ...

    def offset_at(self, partition: TopicPartition, time_ms: int) -> int:
        """An offset such that what was published at `time_ms` or later stands there or behind, and all else before it.

        As far as the topic's clock does not go back: it is the broker's, or on a source's topic perhaps a producer's.
        """
        ...

    def partitions(self) -> dict[str, int]:
        """Topics and their number of partitions; raises `Recoverable` when no broker answers."""
        ...

    def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Make the topics that do not exist; returns their names."""
        ...

    def delete(self, topics: Sequence[str]) -> None:
        """Delete the topics and wait until they are gone."""
        ...

    def identity(self, topic: str) -> str:
        """`cluster id/topic id`: changes when the topic is deleted and made again."""
        ...

    def close(self) -> None: ...
