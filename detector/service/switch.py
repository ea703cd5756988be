"""Switch: the mode that operators have set for all workers, as `control` holds it.

    detector mode, POST /v1/mode -> control, key `mode` --looked at every second--> Switch -> rules in that mode

Read without a group, so that every worker hears it, whatever partitions it has; kept by compaction, so that it
outlives every restart. Until it is known, nothing may be decided: a worker that starts after a kill switch must not
block anybody meanwhile.
"""

import logging
import time
from concurrent.futures import Future
from typing import Final, NamedTuple

from detector.broker import Broker, TopicPartition
from detector.broker.topics import HISTORY_KEPT_MS
from detector.config import Mode, Settings
from detector.errors import Recoverable
from detector.ingest.commands import ModeChange, read_mode_change
from detector.logs import Event, said
from detector.service.aside import Executor
from detector.service.standing import Told, read_told

log = logging.getLogger(__name__)

KEY: Final = b"mode"
LOOK_S: Final = 1.0
"""From one look to the next. A reader stops before the first transaction that is open: one that a dead process left
open in `control`, where workers write when they take partitions, holds a change back until its timeout of 10 s."""


class _Read(NamedTuple):
    stop: int
    """Next offset to read."""
    newest: ModeChange | None
    """None: nothing of it stands there."""
    told: dict[int, Told]
    old: dict[bytes, Told]
    """By key, what was told so long ago that only the last of a partition may still matter."""


class Switch:
    """Looks at `control` in a thread; only the poll loop touches this."""

    def __init__(self, settings: Settings, broker: Broker, executor: Executor) -> None:
        self._configured: Mode = settings.verdict.mode
        self._broker = broker
        self._at = TopicPartition(settings.topics.control, 0)
        self._executor = executor
        self._stop = 0
        self._look_at_s = float("-inf")
        self._reading: Future[_Read] | None = None
        self.known = False
        """Whether the topic has been read to where it ended when this worker began."""
        self.change: ModeChange | None = None
        """The newest; None while nobody has changed anything."""
        self.told: dict[int, Told] = {}
        """Who said last that a partition is theirs, and what decides on it."""
        self._old: dict[bytes, Told] = {}

    @property
    def mode(self) -> Mode:
        """The mode that is to decide."""
        change = self.change
        return self._configured if change is None or change.mode == "configured" else change.mode

    def look(self) -> bool:
        """What has been read meanwhile holds from now on; whether that is a change, be it to the same mode."""
        if self._reading is None and time.monotonic() >= self._look_at_s:
            self._reading = self._executor.submit(self._read, self._stop)
        if self._reading is None or not self._reading.done():
            return False
        reading, self._reading = self._reading, None
        self._look_at_s = time.monotonic() + LOOK_S
        try:
            self._stop, newest, told, old = reading.result()
        except Recoverable as error:
            unread = said(Event.MODE_UNREAD, topic=self._at.topic)
            log.warning(
                "the mode of %s could not be read, trying again in %.0f s: %s",
                *(self._at.topic, LOOK_S, error),
                extra=unread,
            )
            return False
        self.known = True
        self.told |= told
        self._old |= old
        if newest is None or newest == self.change:
            return False
        self.change = newest
        change = said(Event.MODE, mode=self.mode, actor=newest.actor, id=newest.id)
        log.warning("mode: %s from now on, set by %s as %s", self.mode, newest.actor, newest.id, extra=change)
        return True

    def _read(self, start: int) -> _Read:
        low, high = self._broker.watermarks(self._at)
        newest, told, old = None, {}, {}
        old_ms = int(1_000 * time.time()) - HISTORY_KEPT_MS
        for message in self._broker.read(self._at, max(low, start), high):
            if message.key() == KEY:
                newest = read_mode_change(message.value()) or newest
            elif one := read_told(message):
                told[one.partition] = one
                if message.timestamp()[1] < old_ms:
                    old[message.key() or b""] = one
            else:
                old.pop(message.key() or b"", None)
        return _Read(high, newest, told, old)

    def take_old(self, partition: int) -> list[bytes]:
        """Keys of what may be deleted of a partition, told once: older than the history, and not the last that is.

        The topic is compacted, but nearly every key of it is new. The last one that is old may have decided on rows
        that the log still holds, where nobody has taken the partition since.
        """
        mine = sorted((one.offset, key) for key, one in self._old.items() if one.partition == partition)[:-1]
        return [key for _, key in mine if self._old.pop(key)]

    def close(self) -> None:
        """Nothing is read any more."""
        self._executor.shutdown()
