"""Status: what became of a row."""

from enum import IntEnum


class Status(IntEnum):
    """What became of a row."""

    COUNTED = 0
    DUPLICATE = 1
    """Its record id is among the last rows of its number: it changed nothing."""
    LATE = 2
    """Older than every window of its number: it changed nothing."""
    IGNORED = 3
    """Says nothing about a number's behaviour: a command, a heartbeat, an emergency call."""
