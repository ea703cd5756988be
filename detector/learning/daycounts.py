"""Day counts: how many vectors a number has on a day, counted on disk.

A number-day weighs 1 however many vectors are taken of it, and how many these are is known only at the end. What is
held in memory is a few days' numbers, whatever the span of the traffic.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Final

import numpy as np

from detector.records import I64s, U64s

COUNTED: Final = np.dtype([("number", "<u8"), ("count", "<i8")])
DAYS_HELD: Final = 12
"""Log order is nearly that of time: a chunk has rows of a day or two, and late ones of the day before. A table with
labels counts each in three parts (`labelling`)."""


class DayCounts:
    """Counts in the files of `folder`, which is the caller's to remove."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: OrderedDict[int, tuple[U64s, I64s]] = OrderedDict()
        """Of the days asked for last: the numbers, ascending, and their counts."""

    def add(self, numbers: U64s, days: I64s) -> None:
        """Count one vector for each number on its day."""
        for day in np.unique(days).tolist():
            distinct, counts = np.unique(numbers[days == day], return_counts=True)
            counted = np.empty(len(distinct), COUNTED)
            counted["number"], counted["count"] = distinct, counts
            with self._file(day).open("ab") as file:
                counted.tofile(file)
            self._held.pop(day, None)

    def counts(self, numbers: U64s, days: I64s) -> I64s:
        """How many vectors each number has on its day; every one must have been added."""
        found = np.empty(len(numbers), np.int64)
        for day in np.unique(days).tolist():
            mine = np.flatnonzero(days == day)
            distinct, counts = self._day(day)
            found[mine] = counts[np.searchsorted(distinct, numbers[mine])]
        return found

    def _day(self, day: int) -> tuple[U64s, I64s]:
        if day not in self._held:
            counted = np.fromfile(self._file(day), COUNTED)
            distinct, places = np.unique(counted["number"], return_inverse=True)
            counts = np.zeros(len(distinct), np.int64)
            np.add.at(counts, places, counted["count"])
            self._held[day] = distinct, counts
            if len(self._held) > DAYS_HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(day)
        return self._held[day]

    def _file(self, day: int) -> Path:
        return self._folder / f"{day}.counts"
