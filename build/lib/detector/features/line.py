"""The line: numbers that go next where a partition remembers as many as it may.

    everybody held --form_line--> the 1/32 that have been silent longest --next one not seen since--> evicted

A partition is looked through once for many evictions, so that the rows pay for none of it while
there is room. Who stands in line, and when it is formed, follows from the rows alone: it is formed at
the row of a newcomer for whom nobody is left in it. The rule, in full:

1. A newcomer finds as many numbers as may be remembered: one of them goes first.
2. It is the first in line that is still remembered with the newest event time that it had then.
3. Nobody left: the line is formed anew, of the numbers with the oldest newest event times, the
   smaller number first where these are equal; one in `LINE_SHARE` of the limit, rounded up.

So whoever goes is among the longest silent at that time, but for numbers that came since the line
was formed with times even older.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.features.past import Pasts
from detector.features.pool import FREE

LINE_SHARE: Final = 32
"""One in so many stands in line. To look at a number takes about 0.1 us, a cache miss: 3 us for each eviction."""

STANDING: Final = np.dtype([("number", "<u8"), ("newest_ms", "<i8")])

Line = npt.NDArray[np.void]
"""`STANDING`[n]: who goes, the first one first, and its newest event time when the line was formed."""


def no_line() -> Line:
    """Nobody stands in line."""
    return np.zeros(0, STANDING)


def form_line(forms: Iterable[Pasts], most_numbers: int) -> Line:
    """The line of the numbers in `forms` (records of each, free ones included) under the limit `most_numbers`."""
    numbers, times = list[npt.NDArray[Any]](), list[npt.NDArray[Any]]()
    for records in forms:
        held = records["newest_ms"] != FREE
        numbers.append(records["number"][held])
        times.append(records["newest_ms"][held])
    number, newest_ms = np.concatenate(numbers), np.concatenate(times)
    length = min(-(-most_numbers // LINE_SHARE), len(number))
    among = np.flatnonzero(newest_ms <= np.partition(newest_ms, length - 1)[length - 1])
    chosen = among[np.lexsort((number[among], newest_ms[among]))[:length]]
    line = np.zeros(length, STANDING)
    line["number"], line["newest_ms"] = number[chosen], newest_ms[chosen]
    return line
