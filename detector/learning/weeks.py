"""Weeks: one simulated network whose fraudsters do something else in the second week than in the first.

day 0 ............ 7 ............ 14 ............ 21 .. 22
   windows fill     | first week     | second week  | Monday
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.learning.encode import encode
from detector.learning.labelfile import NumberLabel
from detector.learning.reports import reported
from detector.learning.simulate import MONDAY_MS, Scenario, simulate
from detector.learning.stage import Campaign
from detector.units import DAY_MS

WEEK: Final = 7
WEEKS: Final = 2

FIRST: Final = (
    *(Campaign(kind, "overt", 7 + day) for day, kind in enumerate(("wangiri", "robocall", "smishing", "irsf"))),
    *(Campaign(kind, "overt", 11 + day) for day, kind in enumerate(("smishing", "wangiri", "robocall"))),
    Campaign("simbox", "low", 8, 3),
    Campaign("robocall", "low", 12, 2),
)
"""As the textbooks say, for the most part."""
SECOND: Final = (
    *(Campaign(kind, "low", 14 + day, 2) for day, kind in enumerate(("wangiri", "robocall", "smishing", "simbox"))),
    Campaign("smishing", "mimic", 15, 4),
    Campaign("simbox", "mimic", 16, 4),
    Campaign("irsf", "low", 18, 2),
    Campaign("wangiri", "overt", 19),
)
"""Slower, and more like people: what was caught in the first week has learnt."""


@dataclass(frozen=True, slots=True)
class Week:
    """What a week brings; the first one the days before it, too, in which windows fill."""

    number: int
    """1 or 2."""
    ends_ms: int
    frauds: str
    records: Sequence[bytes]
    """As switches write them, in the order in which they write them."""
    labels: list[NumberLabel]
    """What becomes known of the fraud that began in it; most of it days later."""


def weeks(numbers: int, seed: int) -> tuple[list[Week], Sequence[bytes]]:
    """Both weeks of a network of `numbers` subscribers, and the records of the day after; equal seeds, equal bytes."""
    days = WEEK * (WEEKS + 1) + 1
    traffic = simulate(Scenario(numbers, days, seed, campaigns=(*FIRST, *SECOND), festival_day=None))
    reports = reported(traffic.labels, seed)
    found, start = [], 0
    for number, campaigns in enumerate((FIRST, SECOND), 1):
        ends_ms = MONDAY_MS + WEEK * (number + 1) * DAY_MS
        # A record is written when its call ends: what is under way at midnight is the next week's.
        stop = int(np.searchsorted(traffic.records["end_ms"], ends_ms))
        begins_ms = ends_ms - WEEK * DAY_MS
        found.append(
            Week(
                number=number,
                ends_ms=ends_ms,
                frauds=", ".join(dict.fromkeys(campaign.name for campaign in campaigns)),
                records=encode(traffic.records[start:stop], start),
                labels=[label for label in reports if begins_ms <= label.active_from_ms < ends_ms],
            )
        )
        start = stop
    return found, encode(traffic.records[start:], start)
