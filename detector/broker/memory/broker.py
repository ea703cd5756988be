"""The topics, groups and transactions of the broker in memory."""

import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Condition
from typing import Final, cast

from detector.broker import Message, TopicPartition, TopicSpec
from detector.broker.memory.consumer import MemoryConsumer
from detector.broker.memory.group import Group
from detector.broker.memory.log import Log
from detector.broker.memory.producer import MemoryProducer
from detector.broker.memory.transaction import Transaction
from detector.errors import ConfigError, Recoverable

PENDING_S: Final = 10.0
"""Longest wait of a reader for an open transaction to end: what Kafka's transaction timeout is to us."""
READ_CHUNK: Final = 4_096


class MemoryBroker:
    """See `detector.broker.Broker`. `clock` gives the timestamps in UTC ms."""

    _now_s = staticmethod(time.monotonic)
    """What waiting is measured by."""

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._clock = clock
        self._changed = Condition()
        """Guards everything here; notified when there may be something new to read or to own."""
        self._cluster = f"memory-{uuid.uuid4().hex}"
        self._numbers = 0
        self._topics: dict[str, tuple[TopicSpec, int]] = {}
        self._logs: dict[TopicPartition, Log] = {}
        self._groups: dict[str, Group] = {}
        self._epochs: dict[str, int] = {}
        self._transactions: dict[str, Transaction] = {}
        """The last of each transactional id."""

    @property
    def reachable(self) -> bool:
        return True

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _group(self, name: str) -> Group:
        return self._groups.setdefault(name, Group(name))

    def _log(self, where: TopicPartition) -> Log:
        try:
            return self._logs[where]
        except KeyError:
            raise Recoverable(f"{where.topic}/{where.partition}: wanted a partition that exists") from None

    def _log_for(self, topic: str, partition: int | None, key: bytes | None) -> Log:
        """The log that a message goes to: its partition, else its key's, else the first."""
        if partition is None and topic in self._topics:
            partition = zlib.crc32(key or b"") % self._topics[topic][0].partitions
        return self._log(TopicPartition(topic, partition or 0))

    def consumer(self, group: str, instance: str, *, earliest: bool = False) -> MemoryConsumer:
        return MemoryConsumer(self, group, instance, earliest)

    def producer(self, transactional_id: str) -> MemoryProducer:
        with self._changed:
            epoch = self._fence(transactional_id)
            self._await_completion(transactional_id, PENDING_S)
            return self._new_producer(transactional_id, epoch)

    def _new_producer(self, transactional_id: str, epoch: int) -> MemoryProducer:
        return MemoryProducer(self, transactional_id, epoch)

    def _fence(self, transactional_id: str) -> int:
        """Whoever had this id can do nothing more, and what it left open is aborted; returns the new epoch."""
        epoch = self._epochs[transactional_id] = self._epochs.get(transactional_id, -1) + 1
        last = self._transactions.get(transactional_id)
        if last is not None and last.is_open:
            self._decide(last, commit=False)
        return epoch

    def _decide(self, transaction: Transaction, commit: bool) -> None:
        """The transaction's outcome is known, and every reader's to see: here all markers come at once."""
        for where in transaction.decide(commit):
            transaction.mark(where)
        self._changed.notify_all()

    def _await_completion(self, transactional_id: str, limit_s: float) -> None:
        """Every marker of the id's last transaction is written: it has one transaction at a time."""
        last = self._transactions.get(transactional_id)
        if last is not None and not self._wait_for(lambda: last.is_complete, limit_s):
            raise Recoverable(f"the last transaction of {transactional_id} is not complete after {limit_s:.0f} s")

    def _wait_for(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Whether it is so within `limit_s`."""
        return self._changed.wait_for(done, limit_s)

    def _wait_for_news(self, limit_s: float) -> bool:
        """Whether anything changed within `limit_s`."""
        return self._changed.wait(max(0.0, limit_s))

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        with self._changed:
            asked = self._group(group)
            if asked.pending and not self._wait_for(lambda: asked.is_stable(partitions), PENDING_S):
                raise Recoverable(f"reading committed offsets of {group}: a transaction is left open")
            return {where: asked.offsets.get(where) for where in partitions}

    def publish(
        self, topic: str, values: Sequence[tuple[bytes | None, bytes | None]], partition: int | None = None
    ) -> None:
        with self._changed:
            by_log: dict[Log, list[tuple[bytes | None, bytes | None]]] = {}
            if partition is not None or all(key is None for key, _ in values):
                by_log[self._log_for(topic, partition, None)] = list(values)
            else:
                for key, value in values:
                    by_log.setdefault(self._log_for(topic, None, key), []).append((key, value))
            now_ms = self._clock()
            for log, pairs in by_log.items():
                log.append(now_ms, pairs, None)
            self._changed.notify_all()

    def read(self, partition: TopicPartition, start: int, stop: int) -> Iterator[Message]:
        with self._changed:
            log = self._log(partition)
            start, stop = max(start, log.base), min(stop, log.end)
        while start < stop:
            with self._changed:
                if log.stable <= start and not self._wait_for(partial(_is_past, log, start), PENDING_S):
                    raise Recoverable(f"reading {partition.topic}/{partition.partition}: a transaction is left open")
                start = max(start, log.base)
                found, start = log.committed(start, READ_CHUNK, stop)
            yield from cast(list[Message], found)

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        with self._changed:
            log = self._log(partition)
            return log.base, log.end

    def offset_at(self, partition: TopicPartition, time_ms: int) -> int:
        with self._changed:
            log = self._log(partition)
            stored = (entry for entry in log.entries if entry is not None)
            return next((entry.offset() for entry in stored if entry.timestamp()[1] >= time_ms), log.end)

    def partitions(self) -> dict[str, int]:
        with self._changed:
            return {name: spec.partitions for name, (spec, _) in self._topics.items()}

    def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        with self._changed:
            made = [spec for spec in specs if spec.name not in self._topics]
            for spec in made:
                self._topics[spec.name] = (spec, self._next_number())
                for i in range(spec.partitions):
                    where = TopicPartition(spec.name, i)
                    self._logs[where] = Log(where)
            self._rebalance_all([spec.name for spec in made])
            return [spec.name for spec in made]

    def delete(self, topics: Sequence[str]) -> None:
        with self._changed:
            for name in topics:
                if name not in self._topics:
                    raise ConfigError(f"deleting topic {name}: wanted one that exists")
                del self._topics[name]
            self._logs = {where: log for where, log in self._logs.items() if where.topic not in topics}
            for group in self._groups.values():
                group.offsets = {where: n for where, n in group.offsets.items() if where.topic not in topics}
            self._rebalance_all(topics)

    def _rebalance_all(self, topics: Sequence[str]) -> None:
        """A new generation of every group that reads one of the topics."""
        for group in self._groups.values():
            if any(topic in member.topics for member in group.members.values() for topic in topics):
                group.rebalance(self._logs)
        self._changed.notify_all()

    def identity(self, topic: str) -> str:
        with self._changed:
            if topic not in self._topics:
                raise Recoverable(f"describing topic {topic}: wanted one that exists")
            return f"{self._cluster}/{self._topics[topic][1]}"

    def close(self) -> None:
        """Nothing is held outside this process."""

    def trim(self, topic: str) -> None:
        """Drop the messages of `topic` that every group which has offsets there is past; none, if no group has."""
        with self._changed:
            for where, log in self._logs.items():
                if where.topic != topic:
                    continue
                if past := [group.offsets[where] for group in self._groups.values() if where in group.offsets]:
                    log.drop_below(min(past))

    def truncate(self, partition: TopicPartition, offset: int) -> None:
        """Drop what lies before `offset`, as retention does."""
        with self._changed:
            self._log(partition).drop_below(offset)

    def expire(self, group: str, instance: str) -> None:
        """What a session timeout does: the member is out, and learns it at its next poll, where it joins again."""
        with self._changed:
            self._group(group).leave(instance, self._logs)
            self._changed.notify_all()


def _is_past(log: Log, offset: int) -> bool:
    """Readers get beyond `offset`."""
    return log.stable > offset
