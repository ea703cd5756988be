"""Watch: what was loaded from files, and what replaces it once they change.

    files --looked at every few seconds--> changed, and at rest --load, in a thread--> taken between two steps

What cannot be loaded is said, and what is in force stays until the files change again, or until they are tried once
more: what is missing may come later, and a volume that was away comes back as it was.
"""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from detector.errors import DetectorError
from detector.logs import Event, said
from detector.metrics import Metrics
from detector.service.aside import Executor

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""From one look at the files to the next. They are at rest when two looks see the same."""
RETRY_LOOKS: Final = 30
"""So many looks after files could not be loaded they are tried again: a minute."""

Look = tuple[str, int, int, int]
"""Of a file its path, when it was written, its size, and which one of that name it is; 0 where there is none."""
Seen = tuple[Look, ...]


class Loaded(Protocol):
    """What a role works by and files say."""

    def told(self) -> str:
        """Its versions, for the log."""
        ...


T = TypeVar("T", bound=Loaded)


class Watch(Generic[T]):
    """Looks at the `files` of what is `in_force`; only the poll loop touches it, `load` runs in the executor.

    The first is loaded at once, after a look: what is written while it is read is news. `load` may fail, and so does
    this then.
    """

    def __init__(
        self,
        load: Callable[[], T],
        files: Callable[[], Iterable[Path]],
        executor: Executor,
        metrics: Metrics,
    ) -> None:
        self._load = load
        self._files = files
        self._executor = executor
        self._metrics = metrics
        self._tried = self._last = self._seen()
        self._failed, self._looks = False, 0
        """Whether what was tried last could not be loaded, and looks since."""
        self.in_force = load()
        self._look_at_s = time.monotonic() + LOOK_S
        self._loading: Future[T] | None = None
        self._tell_taken()

    def newer(self) -> T | None:
        """What is to be taken in place of what is in force, once when the files have changed."""
        if self._loading is not None:
            return self._loaded(self._loading) if self._loading.done() else None
        if time.monotonic() < self._look_at_s:
            return None
        self._look_at_s = time.monotonic() + LOOK_S
        seen = self._seen()
        self._looks += 1
        if seen == self._last and (seen != self._tried or (self._failed and self._looks >= RETRY_LOOKS)):
            self._tried = seen
            self._loading = self._executor.submit(self._load)
        self._last = seen
        return None

    def _loaded(self, loading: "Future[T]") -> T | None:
        self._loading = None
        old = self.in_force.told()
        try:
            newer = loading.result()
        except DetectorError as error:
            self._failed, self._looks = True, 0
            log.error("what is in force stays (%s): %s", old, error, extra=said(Event.RELOAD_FAILED, in_force=old))
            self._metrics.reloads.labels("failed").inc()
            self._metrics.reload_success.set(0)
            return None
        new = newer.told()
        log.info("in force from now on: %s; until now: %s", new, old, extra=said(Event.RELOADED, in_force=new, was=old))
        self._metrics.reloads.labels("taken").inc()
        self._tell_taken()
        self._failed = False
        self.in_force = newer
        return newer

    def _tell_taken(self) -> None:
        """Here alone: another mode changes what decides, and says nothing of the files."""
        self._metrics.reload_timestamp.set_to_current_time()
        self._metrics.reload_success.set(1)

    def _seen(self) -> Seen:
        return tuple(look(file) for file in self._files())

    def close(self) -> None:
        """Nothing is loaded any more."""
        self._executor.shutdown()


def look(file: Path) -> Look:
    """What there is to see of `file` without reading it."""
    try:
        found = file.stat()
    except OSError:
        return str(file), 0, 0, 0
    return str(file), found.st_mtime_ns, found.st_size, found.st_ino
