"""Taking: partitions that the group has given to this worker, while they are restored beside the stream.

    assigned -> Taking.begin -> Restorer.take, in a thread -> Taking.done -> the poll loop starts them

Only the poll loop touches this. A partition that is lost meanwhile is forgotten: what the thread makes of
it is nobody's, and nothing is committed for it.
"""

import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from detector import logs
from detector.errors import Recoverable
from detector.service.aside import Executor
from detector.service.restore import Restorer, Taken

log = logging.getLogger(__name__)

THREADS: Final = 2
"""Partitions restored at once: one computes while another waits for the disk or the broker."""
AGAIN_S: Final = 1.0
"""Pause before a restore that met a broker away is tried again; each attempt waits for long by itself."""


@dataclass(slots=True)
class _Attempt:
    made: "Future[Taken | None]"
    dropped: Event = field(default_factory=Event)
    again_at: float | None = None
    """Monotonic time of the next attempt, where the last one failed."""


class Taking:
    """Restores partitions, a few at once, in the order in which they came."""

    def __init__(self, restorer: Restorer, executor: Executor) -> None:
        self._restorer = restorer
        self._executor = executor
        self._attempts: dict[int, _Attempt] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    @property
    def partitions(self) -> tuple[int, ...]:
        """Those that are not done."""
        return tuple(sorted(self._attempts))

    def begin(self, partition: int) -> None:
        """The partition will be among the done ones, or its error be raised there."""
        dropped = Event()
        self._attempts[partition] = _Attempt(self._executor.submit(self._restorer.take, partition, dropped), dropped)

    def drop(self, partition: int) -> None:
        """Nothing will come of it; its thread stops at the next batch."""
        attempt = self._attempts.pop(partition, None)
        if attempt is not None:
            attempt.dropped.set()

    def done(self) -> list[Taken]:
        """The partitions that stand at their committed offset by now. Raises what is not `Recoverable`."""
        taken = []
        for partition, attempt in list(self._attempts.items()):
            if not attempt.made.done():
                continue
            error = attempt.made.exception()
            if error is None:
                del self._attempts[partition]
                result = attempt.made.result()
                if result is not None:
                    taken.append(result)
            elif not isinstance(error, Recoverable):
                raise error
            elif attempt.again_at is None:
                failed = logs.said(logs.Event.RESTORE_FAILED, partition=partition, error=str(error))
                log.warning(
                    "restoring partition %d, trying again in %.0f s: %s", partition, AGAIN_S, error, extra=failed
                )
                attempt.again_at = time.monotonic() + AGAIN_S
            elif time.monotonic() >= attempt.again_at:
                self.begin(partition)
        return taken

    def close(self) -> None:
        """Nothing is restored any more."""
        for partition in list(self._attempts):
            self.drop(partition)
        self._executor.shutdown()
