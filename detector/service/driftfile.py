"""The file in which a worker keeps what it has counted for drift, beside the snapshots.

    Drifting --save--> <store>/<cluster>-<topic id>/drift/<worker>.json --load--> Drifting

It is no part of a snapshot: that is a function of the log alone, and goes to whoever takes the partition; these counts
depend on the model and on what a worker held and when. Nothing rests on them but a gauge. So they are written now and
then and at the end, without waiting for the disk, and what a kill takes are a few minutes out of a day.
"""

import logging
import os
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from detector.logs import Event, said
from detector.service.aside import Executor
from detector.service.drifting import Drifting, Kept
from detector.verdict.model import Model

log = logging.getLogger(__name__)

EVERY_S: Final = 300.0
"""Between two writings: as far apart as snapshots are."""


class DriftFile:
    """One worker's. Only the poll loop touches this; the file is written in the executor's thread."""

    def __init__(self, path: Path, executor: Executor) -> None:
        self._path = path
        self._executor = executor
        self._writing: Future[None] | None = None
        self._written_s = 0.0

    def load(self, model: Model) -> Drifting:
        """What was counted for `model` before the restart; nothing where there is no file, or none of use."""
        try:
            drifting = Drifting.of(model, msgspec.json.decode(self._path.read_bytes(), type=Kept))
        except FileNotFoundError:
            return Drifting(model)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
            self._warn("passed over", error)
            return Drifting(model)
        return drifting or Drifting(model)

    def save(self, drifting: Drifting, now_s: float) -> None:
        """It is written aside, if that is due and anything was counted. A clock that is set back makes it due."""
        if 0 <= now_s - self._written_s < EVERY_S or not drifting.vectors:
            return
        if self._writing is not None and not self._writing.done():
            return
        self._written_s = now_s
        self._writing = self._executor.submit(self._write, drifting.kept())

    def close(self, drifting: Drifting) -> None:
        """All that was counted is written."""
        if drifting.vectors:
            self._executor.submit(self._write, drifting.kept()).result()
        self._executor.shutdown()

    def _write(self, kept: Kept) -> None:
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(kept))
            beside.replace(self._path)
        except OSError as error:
            self._warn("not written", error)
            with suppress(OSError):
                beside.unlink()

    def _warn(self, what: str, error: Exception) -> None:
        log.warning("%s: %s, drift: %s", self._path, what, error, extra=said(Event.DRIFT_FILE, error=str(error)))
