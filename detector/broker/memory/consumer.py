"""A member of a group of the broker in memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from detector.broker import Assignment, Message, TopicPartition
from detector.broker.memory.group import GroupMetadata, Membership
from detector.broker.memory.log import StoredMessage
from detector.errors import Fatal, Fenced, Recoverable

if TYPE_CHECKING:
    from detector.broker.memory.broker import MemoryBroker

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
