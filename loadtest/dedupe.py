"""The dedupe window: a record, some others of its number, and the record again."""

from typing import Final

from loadtest.history import FIRST_MONDAY_MS

STATED: Final = 16
"""Rows of a number among which a record is known again (README, Guarantees): itself, and up to 15 after it."""
TRIED: Final = range(21)
"""How many others stand between."""


def delivery(between: int, mark: str) -> list[bytes]:
    """A record of a number that nobody has seen, `between` others of it, and the first once more.

    Each says something of its originator only: the number has exactly these rows.
    """
    values = [
        b'{"id":"%s-%d-%d","type":"call","side":"originating","from":"+99978%04d%s","to":"+9997%08d","start":%d,"end":%d,'
        b'"duration":60,"outcome":"answered"}'
        % (mark.encode(), between, i, between, mark.encode(), i, _at_ms(i), _at_ms(i) + 60_000)
        for i in range(between + 1)
    ]
    return [*values, values[0]]


def _at_ms(i: int) -> int:
    return FIRST_MONDAY_MS + 300_000 * i
