"""Saving: partitions are snapshotted beside the stream, one at a time, and the stream goes on meanwhile.

Held -> copy of its arrays -> writer thread -> Store
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
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


class Saver:
    """Writes snapshots when they are due. A failed one is counted and said: the last one stays.

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
        self._writing: list[Future[_Written | None]] = []
        """In the order in which they are written."""
        self._finished_at = self._rest_s = 0.0
        """The last snapshot was finished then, wall clock, and no other is begun for so long."""

    def save_one(self, held: Sequence[Held]) -> None:
        """At most one partition is copied now, to be written aside, if one is due and nothing is being written."""
        self._count_finished()
        now = self._clock()
        for one in held:  # a clock that is set back by hours must not put snapshots off by as much
            one.snapshot_at = min(one.snapshot_at, now)
        self._metrics.snapshot_age.set(max((now - one.snapshot_at for one in held), default=0.0))
        self._metrics.unsaved_rows.set(sum(one.rows_since_snapshot for one in held))
        if self._writing or 0 <= now - self._finished_at < self._rest_s:
            return
        due = self._due(held, now)
        if due is None:
            return
        arrays = due.part.arrays()
        if not self._copies.fit(arrays):
            self._writing.append(self._executor.submit(self._make_room, self._copies.wanted_bytes(arrays)))
            return
        began = time.perf_counter()
        copied = self._copies.take(arrays)
        self._metrics.snapshot_pause_seconds.observe(time.perf_counter() - began)
        self._writing.append(self._executor.submit(self._write, due.part.number, due.position, copied))
        due.snapshot_at, due.rows_since_snapshot = now, 0

    def hand_over(self, held: Held) -> None:
        """What is committed of a partition begins to be written, if anything is new: nobody will change it any more.

        Whoever takes it replays from the snapshot before, should that be there sooner. Not even a copy is made.
        """
        if held.rows_since_snapshot == 0 or held.position > held.committed:
            return
        self._writing.append(self._executor.submit(self._write, held.part.number, held.position, held.part.arrays()))
        held.rows_since_snapshot = 0

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
        savable = [one for one in held if one.rows_since_snapshot > 0 and one.position == one.committed]
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
        while self._writing and self._writing[0].done():
            self._finish(self._writing.pop(0))

    def _finish(self, writing: "Future[_Written | None]") -> None:
        """Wait for a snapshot and count what became of it."""
        try:
            written = writing.result()
        except OSError as error:
            self._metrics.snapshots.labels("failed").inc()
            failed = said(Event.SNAPSHOT_FAILED, error=str(error))
            log.warning("snapshot failed, the last one stays: %s", error, extra=failed)
        else:
            if written is not None:
                self._finished_at, self._rest_s = self._clock(), written.seconds
                self._metrics.snapshot_seconds.observe(written.seconds)
                self._metrics.snapshot_bytes.set(written.size)
                self._metrics.snapshots.labels("written").inc()
