"""A population: numbers with rates of their own, and the records that they leave, as columns.

    Population.draw(first, count) -> Drawn -> packed.rows   what ingest would publish
                                           -> stencil.lines what a switch would write

A fifth are busy, with about eleven calls and messages a day; the rest are seen five times a week, and
hardly ever more than ten. Everybody has a few contacts of the own kind, and one record in ten goes elsewhere
in it. Event time is the record's place in the stream over the records of a day: it runs as fast as records
are drawn.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from detector.records import BODY_BITS, TRUNK_BITS, I64s, NumberKind, U64s, mix64
from detector.units import DAY_MS
from loadtest.history import FIRST_MONDAY_MS

BUSY: Final = 0.2
BUSY_A_DAY: Final = 11.0
QUIET_A_DAY: Final = 5 / 7
"""Sightings of one number; a record is one of its originator and one of its recipient."""
CONTACTS: Final = 10
ELSEWHERE: Final = 0.1
CALLS: Final = 0.6
FIRST_DIGITS: Final = 999_710_000_000
"""Of our own subscribers in the shipped configuration: +9997…"""
E164: Final = int(NumberKind.E164) << (BODY_BITS + TRUNK_BITS)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Records, one a line of each column."""

    first: int
    """Place of the first in the stream; a record's id is made of its place."""
    originator: I64s
    """Digits of the number."""
    recipient: I64s
    event_ms: I64s
    """The end of a call, the sending of a message."""
    is_call: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
    duration_s: I64s
    """Of a call: 100 to 999 s, for the stencil knows three digits."""

    def __len__(self) -> int:
        return len(self.event_ms)

    @property
    def places(self) -> I64s:
        """Each record's place in the stream."""
        return self.first + np.arange(len(self), dtype=np.int64)


@dataclass(frozen=True)
class Population:
    """`size` numbers. The same seed and place give the same records."""

    size: int
    seed: int = 1

    @cached_property
    def busy(self) -> int:
        """How many numbers are busy: those that come first."""
        return max(1, round(self.size * BUSY))

    @cached_property
    def records_a_day(self) -> int:
        """Records that all numbers leave in a day of event time."""
        return max(1, round((self.busy * BUSY_A_DAY + (self.size - self.busy) * QUIET_A_DAY) / 2))

    def draw(self, first: int, count: int) -> Drawn:
        """The records at the places `[first, first + count)`."""
        rng = np.random.default_rng((self.seed, first))
        share = self.busy * BUSY_A_DAY / 2 / self.records_a_day
        is_busy = rng.random(count) < share if self.busy < self.size else np.ones(count, np.bool_)
        who = np.where(
            is_busy, rng.integers(0, self.busy, count), rng.integers(min(self.busy, self.size - 1), self.size, count)
        )
        return self._between(first, who, rng)

    def census(self, first: int, numbers: range) -> Drawn:
        """One record of each of `numbers`, by their index: afterwards they have all been seen."""
        who = np.arange(numbers.start, numbers.stop, dtype=np.int64)
        return self._between(first, who, np.random.default_rng((self.seed, first, 1)))

    def _between(self, first: int, who: I64s, rng: np.random.Generator) -> Drawn:
        count = len(who)
        # Within one's own kind, and as many steps ahead for everybody: so all are met as often as they call.
        is_busy = who < self.busy
        start, size = np.where(is_busy, 0, self.busy), np.where(is_busy, self.busy, max(1, self.size - self.busy))
        contact = np.minimum(rng.geometric(0.3, count), CONTACTS)
        steps = (mix64(contact) >> np.uint64(1)).astype(np.int64)
        steps = np.where(rng.random(count) < ELSEWHERE, rng.integers(0, self.size, count), steps)
        whom = start + (who - start + 1 + steps % np.maximum(1, size - 1)) % size
        places = first + np.arange(count, dtype=np.int64)
        return Drawn(
            first=first,
            originator=FIRST_DIGITS + who,
            recipient=FIRST_DIGITS + whom,
            event_ms=FIRST_MONDAY_MS + places * DAY_MS // self.records_a_day,
            is_call=rng.random(count) < CALLS,
            duration_s=99 + np.minimum(rng.geometric(1 / 60, count), 900),
        )


def packed_numbers(digits: I64s) -> U64s:
    """Digits as rows carry numbers."""
    packed: U64s = digits.astype(np.uint64) | np.uint64(E164)
    return packed
