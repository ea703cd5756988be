"""The broker that is this process: for the demo, replays and fast tests.

Logs, transactions, groups and fencing as in Kafka, without files, sockets or clocks of its own:
equal calls in equal order give equal offsets, assignments and batches. A crash is an object that
is no longer used: its transaction stays open, and hides what lies behind it, until a producer
takes the same transactional id.

A transaction's markers are written all at once, and offsets are pending no longer than it is open.

It differs from Kafka in that a member that closes or joins changes the group at once, that no
member and no transaction times out by itself (`expire` and a successor do it), and that nothing
is deleted by age (`trim` and `truncate` do it). `detector.broker.simulated` adds timeouts, late
markers and faults, for tests.
"""

import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from threading import Condition
from typing import Final, TypeVar, cast

from detector.broker import Assignment, Message, TopicPartition, TopicSpec
from detector.broker.group import Group, GroupMetadata, Membership
from detector.broker.log import Headers, Log, StoredMessage
from detector.broker.transaction import Transaction
from detector.errors import Abort, ConfigError, Fatal, Fenced, Recoverable

PENDING_S: Final = 10.0
"""Longest wait of a reader for an open transaction to end: what Kafka's transaction timeout is to us."""
OUTCOME_S: Final = 60.0
"""Longest wait of a producer for its last transaction to be complete."""
READ_CHUNK: Final = 4_096

T = TypeVar("T")


class MemoryConsumer:
    """A member of a group; see `detector.broker.Consumer`."""

    def __init__(self, broker: "MemoryBroker", group: str, instance: str, earliest: bool) -> None:
        self._broker = broker
        self._group = broker._group(group)
        self._instance = instance
        self._number = broker._next_number()
        self._earliest = earliest
        self._topics: tuple[str, ...] = ()
        self._assignment: Assignment | None = None
        self._generation = 0
        self._positions: dict[TopicPartition, int] = {}
        self._kept_back: set[TopicPartition] = set()
        """Held, and to be started."""
        self._paused: set[TopicPartition] = set()
        self._turn = 0

    def subscribe(self, topics: Sequence[str], assignment: Assignment) -> None:
        self._topics, self._assignment = tuple(topics), assignment
        self._join()

    def _join(self) -> None:
        with self._broker._changed:
            self._group.join(self._instance, Membership(self._number, self._topics), self._broker._logs)
            self._broker._changed.notify_all()

    def poll(self, most: int, wait_s: float) -> list[Message]:
        now_s = self._broker._now_s
        deadline = now_s() + wait_s
        while True:
            self._follow()
            with self._broker._changed:
                if messages := self._take(most):
                    return messages
                if not self._broker._wait_for_news(deadline - now_s()):
                    return []

    def _follow(self) -> None:
        """Bring this member to the group's generation: lose, give back, take. Callbacks run without the lock."""
        assignment, group = self._assignment, self._group
        if assignment is None:
            raise Fatal("poll: wanted a subscription first")
        if not group.is_member(self._instance, self._number, "poll"):
            self._drop("losing", sorted(self._positions), assignment.lost)
            self._join()
        with self._broker._changed:
            self._generation = group.generation
            deleted = sorted(at for at in self._positions if at not in self._broker._logs)
            moved = sorted(at for at in self._positions.keys() - deleted if group.targets.get(at) != self._instance)
        self._drop("giving back", moved, assignment.revoked)
        self._drop("losing", deleted, assignment.lost)
        with self._broker._changed:
            if moved:
                group.give_back(self._instance, moved)
                self._broker._changed.notify_all()
            mine = group.claim(self._instance)
        given = _tell("taking", mine, assignment.assigned) or {}
        for at in mine:
            if at in given and given[at] is None:
                self._kept_back.add(at)
                self._positions[at] = 0
            else:
                self._positions[at] = self._start(at, given.get(at))

    def _drop(
        self, doing: str, partitions: list[TopicPartition], tell: Callable[[Sequence[TopicPartition]], None]
    ) -> None:
        """These partitions are no longer held, once the member has been told."""
        _tell(doing, partitions, tell)
        for at in partitions:
            del self._positions[at]
        self._kept_back.difference_update(partitions)
        self._paused.difference_update(partitions)

    def _start(self, at: TopicPartition, given: int | None) -> int:
        try:
            offset = self._broker.committed(self._group.name, [at])[at] if given is None else given
        except Recoverable as error:
            raise Fatal(f"poll of {at.topic}/{at.partition}: {error}") from error
        if offset is not None:
            return offset
        if self._earliest:
            return self._broker._log(at).base
        raise Fatal(f"poll of {at.topic}/{at.partition}: no offset is given or committed")

    def _take(self, most: int) -> list[Message]:
        """Up to `most` messages, partition after partition, beginning behind the one that came last."""
        found: list[StoredMessage] = []
        held = sorted(self._positions.keys() - self._kept_back - self._paused)
        for i in range(len(held)):
            where = held[(self._turn + i) % len(held)]
            if (log := self._broker._logs.get(where)) is None:
                continue
            start = self._positions[where]
            if not log.base <= start <= log.end:
                wanted = f"an offset of {log.base} to {log.end}"
                raise Fatal(f"poll of {where.topic}/{where.partition}: wanted {wanted} (got {start})")
            part, self._positions[where] = log.committed(start, most - len(found), log.end)
            found += part
            if len(found) >= most:
                self._turn = (self._turn + i + 1) % len(held)
                break
        return cast(list[Message], found)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        return self._broker.committed(self._group.name, partitions)

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        for at, offset in offsets.items():
            if at not in self._positions:
                raise Fatal(f"seek to {at.topic}/{at.partition}@{offset}: the partition is not assigned")
            self._positions[at] = offset

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        for at, offset in offsets.items():
            if at not in self._kept_back:
                raise Fatal(f"start of {at.topic}/{at.partition}@{offset}: the partition is not kept back")
            self._kept_back.remove(at)
            self._positions[at] = offset

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(self._positions.keys() & set(partitions) - self._kept_back)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(partitions)

    def group_metadata(self) -> object:
        return GroupMetadata(self._group.name, self._instance, self._number, self._generation)

    def close(self, *, leave: bool = False) -> None:
        held, assignment = sorted(self._positions), self._assignment
        try:
            member = self._group.is_member(self._instance, self._number, "close")
        except Fenced:
            member = False
        if assignment is not None:
            self._generation = self._group.generation
            self._drop("giving back", held, assignment.revoked if member else assignment.lost)
        with self._broker._changed:
            if member:
                self._end(leave)
            self._broker._changed.notify_all()

    def _end(self, leave: bool) -> None:
        """No clock would end the session of one that did not leave."""
        self._group.leave(self._instance, self._broker._logs)


def _tell(doing: str, partitions: list[TopicPartition], call: Callable[[Sequence[TopicPartition]], T]) -> T | None:
    """What the callback returns. Where it fails, the member no longer knows where it stands and must end."""
    if not partitions:
        return None
    try:
        return call(partitions)
    except Fatal:
        raise
    except Exception as error:
        names = ", ".join(f"{where.topic}/{where.partition}" for where in partitions)
        raise Fatal(f"{doing} {names}: {error}") from error


def _is_past(log: Log, offset: int) -> bool:
    """Readers get beyond `offset`."""
    return log.stable > offset


class MemoryProducer:
    """A transactional producer; see `detector.broker.Producer`."""

    def __init__(self, broker: "MemoryBroker", transactional_id: str, epoch: int) -> None:
        self._broker = broker
        self._id = transactional_id
        self._epoch = epoch
        self._transaction: Transaction | None = None
        self._doomed = False

    def _check(self, doing: str) -> Transaction:
        if self._broker._epochs[self._id] != self._epoch:
            raise Fenced(f"{doing}: the epoch of {self._id} is a later one: another producer's, or the broker's own")
        if self._transaction is None:
            raise Fatal(f"{doing}: wanted a transaction that has begun")
        if self._doomed:
            raise Abort(f"{doing}: the transaction must be aborted")
        return self._transaction

    def begin(self) -> None:
        with self._broker._changed:
            if self._transaction is not None:
                raise Fatal("begin: the last transaction has not ended")
            try:
                self._broker._await_completion(self._id, OUTCOME_S)
            except Recoverable as error:
                raise Fatal(f"begin: {error}") from error
            self._transaction = Transaction(self._id)
            self._check("begin")
            self._broker._transactions[self._id] = self._transaction

    def send(
        self,
        topic: str,
        partition: int | None,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = None,
    ) -> None:
        with self._broker._changed:
            written = self._check(f"send to {topic}").written
            log = self._broker._log_for(topic, partition, key)
            log.open.setdefault(self._id, log.end)
            written.setdefault(log, []).append(log.end)
            log.append(self._broker._clock(), ((key, value),), headers)

    def commit(self, offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        with self._broker._changed:
            self._offer(offsets, group_metadata)
            self._end(commit=True)

    def _offer(self, offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        """The group has accepted `offsets`: whatever becomes of its members now, they go with the transaction."""
        transaction = self._check("committing offsets")
        if offsets:
            metadata = cast(GroupMetadata, group_metadata)
            group = self._broker._group(metadata.group)
            try:
                group.check(metadata)
            except Abort:
                self._doomed = True
                raise
            transaction.offer(group, offsets)

    def abort(self) -> None:
        with self._broker._changed:
            self._doomed = False
            self._end(commit=False)

    def _end(self, commit: bool) -> None:
        transaction = self._check("commit" if commit else "abort")
        self._transaction = None
        self._broker._decide(transaction, commit)

    def close(self) -> None:
        """Let go: what is not committed is aborted by the successor."""


class MemoryBroker:
    """The way to all of the above; see `detector.broker.Broker`. `clock` gives the timestamps in UTC ms."""

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
