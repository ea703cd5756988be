"""Places: where a range of a log begins or ends, as the command line says it.

text --place--> Place --offset_of--> offset of a partition
"""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from detector.broker import Broker, TopicPartition

FIRST_MS: Final = 946_684_800_000
"""2000-01-01. Whole numbers from here on are UTC milliseconds, below they are offsets: no partition has so many."""
WHAT: Final = "an offset, or the time of publication: ISO or UTC milliseconds"
"""For the help of a flag."""


class Place(NamedTuple):
    """An offset of every partition, or a time at which messages were published."""

    offset: int | None = None
    time_ms: int | None = None


def place(text: str) -> Place:
    """An offset, UTC milliseconds, or an ISO time (UTC unless it says otherwise)."""
    if text.isascii() and text.isdecimal():
        return Place(offset=int(text)) if int(text) < FIRST_MS else Place(time_ms=int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"wanted an offset, UTC milliseconds or an ISO time (got {text!r})") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Place(time_ms=int(moment.timestamp() * 1000))


def offset_of(broker: "Broker", at: "TopicPartition", wanted: Place) -> int:
    """Where it lies in a partition: for a time, what was published then or later stands there or behind."""
    if wanted.time_ms is not None:
        return broker.offset_at(at, wanted.time_ms)
    return wanted.offset or 0
