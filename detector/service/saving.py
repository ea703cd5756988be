"""Saving: partitions are snapshotted beside the stream, one at a time, and the stream goes on meanwhile.

Held -> copy of its arrays -> writer thread -> Store
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from detector.config import Detect
from detector.logs import Event, said
from detector.metrics import Metrics
from detector.records import Arrays
from detector.service.aside import Aside, Executor
from detector.service.copies import Copies
from detector.service.held import Held
from detector.snapshot import Store

log = logging.getLogger(__name__)


class _Written(NamedTuple):
    """What a snapshot took."""

    seconds: float
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """What the writer has to do. A partition counts as saved when it is written, and not before."""

    done: "Future[_Written] | Future[None]"
    held: Held | None = None
    """Whose snapshot it is; None: room is made for one."""
    position: int = 0
    rows: int = 0
    """That the snapshot has and the one before had not."""
    at: float = 0.0
    """When it was begun, wall clock."""


class Saver:
    """Writes snapshots when they are due. A failed one is counted and said: the last one stays, and grows older.

    Another is tried after the usual time.

    The writer rests as long as it wrote: behind a backlog, with millions of numbers, snapshots would be due without a
    pause, and take more processor time than the rows (10 M numbers, `python -m loadtest held`).
    """

    def __init__(
        self,
        store: Store,
        settings: Detect,
        metrics: Metrics,
        clock: Callable[[], float],
        executor: Executor | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._executor = Aside(1, "snapshot") if executor is None else executor
        self._copies = Copies()
        self._writing: list[_Begun] = []
        """In the order in which they are written."""
        self._finished_at = self._rest_s = 0.0
        """The last snapshot was finished then, wall clock, and no other is begun for so long."""

    def save_one(self, held: Sequence[Held]) -> None:
        """At most one partition is copied now, to be written aside, if one is due and nothing is being written."""
        self._count_finished()
        now = self._clock()
        for one in held:  # a clock that is set back by hours must not put snapshots off by as much
            one.snapshot_at = min(one.snapshot_at, now)
            one.retry_at = min(one.retry_at, now + self._settings.snapshot_every_s)
        unsaved = [one.snapshot_at for one in held if one.rows_since_snapshot > 0]
        self._metrics.snapshot_age.set(now - min(unsaved, default=now))
        self._metrics.unsaved_rows.set(sum(one.rows_since_snapshot for one in held))
        if self._writing or 0 <= now - self._finished_at < self._rest_s:
            return
        due = self._due(held, now)
        if due is None:
            return
        arrays = due.part.arrays()
        if not self._copies.fit(arrays):
            self._writing.append(_Begun(self._executor.submit(self._make_room, self._copies.wanted_bytes(arrays))))
            return
        began = time.perf_counter()
        copied = self._copies.take(arrays)
        self._metrics.snapshot_pause_seconds.observe(time.perf_counter() - began)
        self._begin(due, copied)

    def hand_over(self, held: Held) -> None:
        """What is committed of a partition begins to be written, if anything is new: nobody will change it any more.

        Whoever takes it replays from the snapshot before, should that be there sooner. Not even a copy is made.
        """
        self._count_finished()
        under_way = any(begun.held is held and begun.position == held.position for begun in self._writing)
        if held.rows_since_snapshot == 0 or held.position > held.committed or under_way:
            return
        self._begin(held, held.part.arrays())

    def _begin(self, held: Held, arrays: Arrays) -> None:
        done = self._executor.submit(self._write, held.part.number, held.position, arrays)
        self._writing.append(_Begun(done, held, held.position, held.rows_since_snapshot, self._clock()))

    def wait(self) -> None:
        """Everything begun is written."""
        while self._writing:
            self._finish(self._writing.pop(0))

    def close(self) -> None:
        """Everything begun is written, and nothing more will be."""
        self.wait()
        self._executor.shutdown()

    def _due(self, held: Sequence[Held], now: float) -> Held | None:
        """The partition to be snapshotted next, all of which is committed.

        A restart replays what its partitions have had since their snapshots, one after another: so they share one
        number of rows, and once it is reached the longest to replay goes first. Else the oldest that has anything new.
        """
        savable = [
            one for one in held if one.rows_since_snapshot > 0 and one.position == one.committed and now >= one.retry_at
        ]
        if not savable:
            return None
        if sum(one.rows_since_snapshot for one in held) >= self._settings.replay_rows:
            return max(savable, key=lambda one: one.rows_since_snapshot)
        oldest = min(savable, key=lambda one: one.snapshot_at)
        return oldest if now - oldest.snapshot_at >= self._settings.snapshot_every_s else None

    def _make_room(self, size: int) -> None:
        """Taking memory costs more than copying into it: so it is done aside."""
        self._copies.make_room(size)

    def _write(self, partition: int, offset: int, arrays: Arrays) -> _Written:
        began = time.perf_counter()
        self._store.save(partition, offset, arrays)
        return _Written(time.perf_counter() - began, sum(array.nbytes for array in arrays.values()))

    def _count_finished(self) -> None:
        while self._writing and self._writing[0].done.done():
            self._finish(self._writing.pop(0))

    def _finish(self, begun: _Begun) -> None:
        """Wait for a snapshot and count what became of it."""
        held = begun.held
        try:
            written: _Written | None = begun.done.result()
        except OSError as error:
            if held is not None:
                held.retry_at = self._clock() + self._settings.snapshot_every_s
            self._metrics.snapshots.labels("failed").inc()
            failed = said(Event.SNAPSHOT_FAILED, error=str(error))
            log.warning("snapshot failed, the last one stays: %s", error, extra=failed)
        else:
            if written is not None and held is not None:
                held.snapshot_at = begun.at
                held.rows_since_snapshot = max(0, held.rows_since_snapshot - begun.rows)
                self._finished_at, self._rest_s = self._clock(), written.seconds
                self._metrics.snapshot_seconds.observe(written.seconds)
                self._metrics.snapshot_bytes.set(written.size)
                self._metrics.snapshots.labels("written").inc()
