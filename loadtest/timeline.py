"""Timelines: when probes were written and decided, and what that says of pauses and latency.

written  |   |   |   |   |   |   |        every 20 ms on every partition
decided   |   |   |             ||||      a pause ends where the next decision is seen
                  '------gap----'
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

STEP_S = 0.1
"""Grain of `back_under`."""


class Seen(NamedTuple):
    """One probe. Seconds of one clock."""

    partition: int
    written_s: float
    decided_s: float
    """When its committed decision was read; infinite where it has not been."""

    @property
    def latency_s(self) -> float:
        """From writing to the committed decision."""
        return self.decided_s - self.written_s


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed (nearest rank); NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def longest_gap(moments: Iterable[float], start: float, stop: float) -> float:
    """The longest time in `[start, stop]` without any of `moments`; all of it if there is none."""
    within = sorted(moment for moment in moments if start <= moment <= stop)
    edges = [start, *within, stop]
    return max(after - before for before, after in pairwise(edges))


def first_decided(seen: Iterable[Seen], since: float) -> float:
    """When the first of the probes written from `since` on was decided; infinite if none was."""
    return min((one.decided_s for one in seen if one.written_s >= since), default=math.inf)


def back_under(seen: Sequence[Seen], since: float, bound_s: float, share: float, window_s: float) -> float:
    """The first moment from `since` on in whose next `window_s` `share` of the probes written kept the bound.

    A window without probes tells nothing. Infinite where there is no such moment.
    """
    ordered = sorted((one for one in seen if one.written_s >= since), key=lambda one: one.written_s)
    if not ordered:
        return math.inf
    written = [one.written_s for one in ordered]
    for k in range(int((written[-1] - since) / STEP_S) + 1):
        moment = since + k * STEP_S
        window = ordered[bisect_left(written, moment) : bisect_left(written, moment + window_s)]
        if (
            window
            and moment + window_s <= written[-1] + STEP_S
            and (percentile((one.latency_s for one in window), share) <= bound_s)
        ):
            return moment
    return math.inf
