"""Saving: partitions are snapshotted beside the stream, one at a time, and the stream goes on meanwhile.

Held -> copy of its arrays -> writer thread -> Store
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from detector.config import Detect
from detector.metrics import Metrics
from detector.records import Arrays
from detector.service.held import Held
from detector.snapshot import Store

log = logging.getLogger(__name__)


class Saver:
    """Writes snapshots when they are due. A failed one is counted and said: the last one stays."""

    def __init__(self, store: Store, settings: Detect, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "snapshot")
        self._writing: Future[float] | None = None

    def save_one(self, held: list[Held]) -> None:
        """At most one partition is copied now, to be written aside, if one is due and no other is being written."""
        if self._writing is not None:
            if not self._writing.done():
                return
            self._finish(self._writing)
        now = self._clock()
        due = next((one for one in held if self._is_due(one, now)), None)
        if due is not None:
            arrays = {name: np.copy(array) for name, array in due.part.arrays().items()}
            self._writing = self._thread.submit(self._write, due.part.number, due.position, arrays)
            due.snapshot_at, due.rows_since_snapshot = now, 0
        self._metrics.snapshot_age.set(max((now - one.snapshot_at for one in held), default=0.0))

    def save_now(self, held: Held) -> None:
        """What is committed of a partition is on disk before this returns, if anything is new."""
        if held.rows_since_snapshot == 0 or held.position > held.committed:
            return
        self._wait()
        self._finish(self._thread.submit(self._write, held.part.number, held.position, held.part.arrays()))
        held.rows_since_snapshot = 0

    def close(self) -> None:
        """Everything begun is written."""
        self._wait()
        self._thread.shutdown()

    def _is_due(self, held: Held, now: float) -> bool:
        """Old enough, or with so many rows since that replaying them would take long; and all of it committed."""
        old = now - held.snapshot_at >= self._settings.snapshot_every_s and held.rows_since_snapshot > 0
        return (old or held.rows_since_snapshot >= self._settings.snapshot_rows) and held.position == held.committed

    def _write(self, partition: int, offset: int, arrays: Arrays) -> float:
        began = time.perf_counter()
        self._store.save(partition, offset, arrays)
        return time.perf_counter() - began

    def _wait(self) -> None:
        if self._writing is not None:
            self._finish(self._writing)

    def _finish(self, writing: Future[float]) -> None:
        """Wait for a snapshot and count what became of it."""
        self._writing = None
        try:
            self._metrics.snapshot_seconds.observe(writing.result())
            self._metrics.snapshots.labels("written").inc()
        except OSError as error:
            self._metrics.snapshots.labels("failed").inc()
            log.warning("snapshot failed, the last one stays: %s", error)
