"""The service: poll, process, publish, commit. Broker, clock and stop signal are handed in.

    IngestRole   sources, commands -> events.by-number, rejects
    DetectRole   events.by-number  -> decisions, decisions.history or decisions.shadow, control, rejects, vectors

Each step of a role is one Kafka transaction: outputs and source offsets become visible
together, or not at all.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from detector.errors import Recoverable
from detector.logs import Event, said
from detector.metrics import Metrics
from detector.service.garbage import Garbage

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""Pauses between retries double up to the longest: a broker that restarts is found again within seconds."""


class Role(Protocol):
    """One half of the detector, as a process runs it."""

    @property
    def reachable(self) -> bool:
        """Whether the broker answers."""
        ...

    def step(self) -> int:
        """One batch from poll to commit; returns the messages taken (0: nothing was there, or is on its way)."""
        ...

    def close(self, *, leave: bool = False) -> None:
        """Stop in order: what is done is committed, what is held is snapshotted.

        For a restart under the same name, unless it is to `leave` for good.
        """
        ...


def run(
    build: Callable[[], Role], stop: Callable[[], bool], metrics: Metrics, leave: Callable[[], bool] = lambda: False
) -> None:
    """The role works until `stop()`; an unreachable broker is waited for, anything fatal is raised.

    `build` may fail with `Recoverable` too: it is tried again in the same way. At the end the role's place in its
    group is kept for a restart, unless `leave()`.
    """
    role: Role | None = None
    pause_s = FIRST_PAUSE_S
    with Garbage() as garbage:
        while not stop():
            try:
                if role is None:
                    role = build()
                    garbage.keep()
                garbage.collect(idle=not role.step())
            except Recoverable as error:
                metrics.broker_up.set(0)
                away = said(Event.BROKER_AWAY, error=str(error), pause_s=pause_s)
                log.warning("broker away, trying again in %.1f s: %s", pause_s, error, extra=away)
                _wait(pause_s, stop)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                metrics.broker_up.set(role.reachable)
                pause_s = FIRST_PAUSE_S
            metrics.last_step_timestamp.set_to_current_time()
        if role is not None:
            role.close(leave=leave())


def _wait(seconds: float, stop: Callable[[], bool]) -> None:
    """Up to `seconds`, ended early by `stop`."""
    end = time.monotonic() + seconds
    while not stop() and time.monotonic() < end:
        time.sleep(0.05)
