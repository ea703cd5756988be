"""The broker in memory as tests want it: time is a number that they move, and things go wrong on request.

One thread, no real time. A call that waits moves the clock itself, from one thing that is due to the
next: late markers that arrive, transactions that time out, members that are missed. So a run is a
function of its calls. In mid-call, `strike` lets anything happen at a named point: an error, a
crash, another worker's whole step.

    time    advance, now_ms, now_s
    late    delay_markers, release_markers
    gone    vanish (a process that died), expire (its session, at once), fence (its transactional id)
    faults  strike, spare
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import count
from typing import Final

from detector.broker import Message, TopicPartition
from detector.broker.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from detector.broker.memory.group import Group
from detector.broker.memory.transaction import Touched, Transaction
from detector.broker.options import MEMBER, TRANSACTIONS

SESSION_MS: Final = int(MEMBER["session.timeout.ms"])
TRANSACTION_MS: Final = int(TRANSACTIONS["transaction.timeout.ms"])


class Point(StrEnum):
    """Where a call can be struck."""

    POLL = "poll"
    COMMITTED = "asking for committed offsets"
    WATERMARKS = "asking for watermarks"
    READ = "reading without a group"
    BEGIN = "before a transaction begins"
    SEND = "before a message is sent"
    OFFSETS = "before offsets are sent"
    COMMIT = "offsets sent, before the commit takes effect"
    COMMITTED_UNHEARD = "the commit has taken effect, its answer is not heard"
    ABORT = "before an abort takes effect"
    ABORTED_UNHEARD = "the abort has taken effect, its answer is not heard"


@dataclass(slots=True)
class _Strike:
    point: Point
    action: Callable[[], None]
    after: int


class SimulatedConsumer(MemoryConsumer):
    """A member that can be struck, and whose place is kept for its session timeout."""

    _broker: "SimulatedBroker"

    def poll(self, most: int, wait_s: float) -> list[Message]:
        self._broker.passing(Point.POLL)
        return super().poll(most, wait_s)

    def _end(self, leave: bool) -> None:
        if leave:
            super()._end(leave)
        else:
            self._broker.vanish(self._group.name, self._instance)


class SimulatedProducer(MemoryProducer):
    """A producer that can be struck, and whose transactions time out."""

    _broker: "SimulatedBroker"

    def begin(self) -> None:
        self._broker.passing(Point.BEGIN)
        super().begin()
        if self._transaction is not None:
            self._broker.after_ms(TRANSACTION_MS, partial(self._broker.time_out, self._transaction))

    def send(
        self,
        topic: str,
        partition: int | None,
        value: bytes | None,
        key: bytes | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        self._broker.passing(Point.SEND)
        super().send(topic, partition, value, key, headers)

    def commit(self, offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        self._broker.passing(Point.OFFSETS)
        self._offer(offsets, group_metadata)
        self._broker.passing(Point.COMMIT)
        self._end(commit=True)
        self._broker.passing(Point.COMMITTED_UNHEARD)

    def abort(self) -> None:
        self._broker.passing(Point.ABORT)
        super().abort()
        self._broker.passing(Point.ABORTED_UNHEARD)


class SimulatedBroker(MemoryBroker):
    """See `detector.broker.Broker`. Times begin at `start_ms`."""

    def __init__(self, start_ms: int = 0) -> None:
        super().__init__(lambda: self.now_ms)
        self.now_ms = start_ms
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._late_ms: dict[str, int] = {}
        self._unmarked: list[tuple[Transaction, Touched]] = []
        self._strikes: list[_Strike] = []

    # Time.

    def now_s(self) -> float:
        """The clock, for whoever measures waiting."""
        return self.now_ms / 1000

    _now_s = now_s

    def after_ms(self, delay_ms: int, action: Callable[[], None]) -> None:
        """`action` happens when the clock has gone that far."""
        heapq.heappush(self._due, (self.now_ms + delay_ms, next(self._order), action))

    def advance(self, ms: int) -> None:
        """The clock goes on, and what is due by then has happened, in its order."""
        self._wait_until(lambda: False, self.now_ms + ms)

    def _wait_until(self, done: Callable[[], bool], end_ms: int) -> bool:
        while not done():
            if not self._happens(end_ms):
                return False
        return True

    def _happens(self, end_ms: int) -> bool:
        """The next thing due by then has happened; else the clock stands there."""
        if not self._due or self._due[0][0] > end_ms:
            self.now_ms = max(self.now_ms, end_ms)
            return False
        due_ms, _, action = heapq.heappop(self._due)
        self.now_ms = max(self.now_ms, due_ms)
        action()
        return True

    def _wait_for(self, done: Callable[[], bool], limit_s: float) -> bool:
        return self._wait_until(done, self.now_ms + round(limit_s * 1000))

    def _wait_for_news(self, limit_s: float) -> bool:
        """Whether anything has happened: if it is news, the caller sees."""
        return self._happens(self.now_ms + max(0, round(limit_s * 1000)))

    # What is late.

    def delay_markers(self, name: str, ms: int) -> None:
        """Markers of transactions that end from now on reach the topic or group `name` this much later."""
        self._late_ms[name] = ms

    def release_markers(self) -> None:
        """Every marker that is under way has arrived, and none is delayed any more."""
        self._late_ms.clear()
        for transaction, where in list(self._unmarked):
            self._mark(transaction, where)

    def _decide(self, transaction: Transaction, commit: bool) -> None:
        for where in transaction.decide(commit):
            self._unmarked.append((transaction, where))
            name = where.name if isinstance(where, Group) else where.where.topic
            if late_ms := self._late_ms.get(name, 0):
                self.after_ms(late_ms, partial(self._mark, transaction, where))
            else:
                self._mark(transaction, where)

    def _mark(self, transaction: Transaction, where: Touched) -> None:
        if (transaction, where) in self._unmarked:
            self._unmarked.remove((transaction, where))
            transaction.mark(where)

    # Who is gone.

    def vanish(self, group: str, instance: str) -> None:
        """The member's process died now: it is missed after its session timeout, unless another takes its name."""
        member = self._group(group).members.get(instance)

        def miss() -> None:
            if self._group(group).members.get(instance) == member:
                self.expire(group, instance)

        self.after_ms(SESSION_MS, miss)

    def fence(self, transactional_id: str) -> None:
        """As if a successor had come and gone: the producer can do nothing more, its transaction is aborted."""
        if transactional_id in self._epochs:
            self._fence(transactional_id)

    def time_out(self, transaction: Transaction) -> None:
        """A transaction that is still open is aborted by the broker, which fences its producer."""
        if transaction.is_open:
            self._fence(transaction.id)

    # What goes wrong.

    def strike(self, point: Point, action: Callable[[], None], after: int = 0) -> None:
        """`action` is called when a call next comes by `point`, or after letting so many pass."""
        self._strikes.append(_Strike(point, action, after))

    def spare(self) -> None:
        """Nothing more will be struck."""
        self._strikes.clear()

    def passing(self, point: Point) -> None:
        """A call comes by `point`."""
        for strike in [one for one in self._strikes if one.point is point]:
            if strike.after:
                strike.after -= 1
            elif strike in self._strikes:
                self._strikes.remove(strike)
                strike.action()

    def consumer(self, group: str, instance: str, *, earliest: bool = False) -> SimulatedConsumer:
        return SimulatedConsumer(self, group, instance, earliest)

    def _new_producer(self, transactional_id: str, epoch: int) -> SimulatedProducer:
        return SimulatedProducer(self, transactional_id, epoch)

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        self.passing(Point.COMMITTED)
        return super().committed(group, partitions)

    def read(self, partition: TopicPartition, start: int, stop: int) -> Iterator[Message]:
        self.passing(Point.READ)
        return super().read(partition, start, stop)

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        self.passing(Point.WATERMARKS)
        return super().watermarks(partition)
