"""Number-days: the greatest margin of each number on each day, gathered batch by batch."""

from typing import Final, TypeAlias

import numpy as np

from detector.records import I64s, U64s
from detector.units import DAY_MS, MINUTE_MS
from detector.verdict.trees import Margins

PENDING: Final = 1_000_000
"""Margins held before they are merged: 24 MB."""

NumberDays: TypeAlias = tuple[U64s, I64s, Margins]
"""Number, day of the home since 1970, greatest margin: one of each, by number and then day."""


class Gathered:
    """Of all margins that were added; memory is that of the number-days, and of what is pending."""

    def __init__(self, utc_offset_minutes: int) -> None:
        self._offset_ms = utc_offset_minutes * MINUTE_MS
        self._pending: list[NumberDays] = []
        self._size = 0

    def add(self, numbers: U64s, event_ms: I64s, margins: Margins) -> None:
        """Margins of numbers at moments."""
        self._pending.append((numbers.copy(), (event_ms + self._offset_ms) // DAY_MS, margins))
        self._size += len(numbers)
        if self._size > PENDING:
            self._merge()

    def number_days(self) -> NumberDays:
        """Of all so far."""
        self._merge()
        return self._pending[0]

    def _merge(self) -> None:
        parts = self._pending or [(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0))]
        numbers, days, margins = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((-margins, days, numbers))
        numbers, days, margins = numbers[order], days[order], margins[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (numbers[1:] != numbers[:-1]) | (days[1:] != days[:-1])
        self._pending, self._size = [(numbers[first], days[first], margins[first])], 0
