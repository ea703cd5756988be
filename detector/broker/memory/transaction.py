"""A transaction of the broker in memory: from its first message to the last marker of its end.

    open -> decided (commit or abort) -> a marker in each log and group that it touched -> complete

Its outcome is known when it is decided; who reads a log or asks for a group's offsets learns it by
that log's or group's marker. Markers come one by one, in any order: some may be late.
"""

from collections.abc import Mapping
from typing import TypeAlias

from detector.broker import TopicPartition
from detector.broker.memory.group import Group
from detector.broker.memory.log import Log

Touched: TypeAlias = Log | Group
"""Where a transaction leaves something pending until its marker is there."""


class Transaction:
    """What a producer has written, and what of it is not yet settled."""

    __slots__ = ("committed", "groups", "id", "unmarked", "written")

    def __init__(self, transactional_id: str) -> None:
        self.id = transactional_id
        self.written: dict[Log, list[int]] = {}
        self.groups: list[Group] = []
        self.committed: bool | None = None
        """None while it is open."""
        self.unmarked: list[Touched] = []

    @property
    def is_open(self) -> bool:
        return self.committed is None

    @property
    def is_complete(self) -> bool:
        """Decided, and every marker is written."""
        return self.committed is not None and not self.unmarked

    def offer(self, group: Group, offsets: Mapping[TopicPartition, int]) -> None:
        """`offsets` are pending in `group`."""
        group.pending.setdefault(self.id, {}).update(offsets)
        if group not in self.groups:
            self.groups.append(group)

    def decide(self, commit: bool) -> list[Touched]:
        """The outcome is known; returns where markers are to be written."""
        self.committed = commit
        self.unmarked = [*self.written, *self.groups]
        return list(self.unmarked)

    def mark(self, where: Touched) -> None:
        """The marker stands in `where`: what was pending there is there, or gone."""
        self.unmarked.remove(where)
        if isinstance(where, Group):
            where.mark(self.id, bool(self.committed))
        else:
            where.mark(self.id, () if self.committed else self.written[where])
