"""Reports: how a simulated network comes to know of its fraud, as a real one would: late, and from people.

    Traffic (who did what) --reported--> NumberLabel (what is known, since when, from whom) --> label file

Whoever is called or written to complains, usually about a day later: half of what Greystar saw on AT&T's network it
saw a day before the users' reports (Jiang et al. 2013). Fraud without a victim who answers the phone is found by
analysts, in the bills and test calls of the days after.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from detector.learning.labelfile import NumberLabel
from detector.learning.labels import Label
from detector.learning.profiles import PROFILES
from detector.learning.simulate import Traffic
from detector.units import HOUR_MS


class Way(NamedTuple):
    """How it becomes known: by whom, after how long at the median, and how sure that is."""

    source: str
    median_h: float
    confidence: float


COMPLAINT: Final = Way("complaint", 24, 0.9)
ANALYST: Final = Way("analyst", 60, 1.0)

SPREAD: Final = 0.9
"""Sigma of the logarithm of the delay: a tenth comes in a third of the median, a tenth takes three times as long."""

COMPLAINED: Final = {"simbox": 0.1, "irsf": 0.2}
"""Share that a complaint brings up where the victim is the network itself."""
COMPLAINED_ELSE: Final = 0.8

USUAL: Final = "private"
"""The profile of most people, which no label has to name."""
TOLD: Final = "simulator"
"""The source of what only the simulator knows."""

STREAM: Final = 0x1ABE1
"""Keeps the draws apart from those of the traffic, which has the same seed."""


def reported(labels: Sequence[Label], seed: int) -> list[NumberLabel]:
    """What becomes known of each label, in the same order; equal seeds, equal reports."""
    rng = np.random.default_rng([seed, STREAM])
    by, after = rng.random(len(labels)), np.exp(SPREAD * rng.standard_normal(len(labels)))
    reports = []
    for label, draw, factor in zip(labels, by.tolist(), after.tolist(), strict=True):
        way = COMPLAINT if draw < COMPLAINED.get(label.type, COMPLAINED_ELSE) else ANALYST
        reports.append(
            NumberLabel(
                number=label.number,
                fraud=True,
                active_from_ms=label.active_from_ms,
                active_until_ms=label.active_until_ms,
                known_at_ms=label.active_from_ms + int(way.median_h * factor * HOUR_MS),
                source=way.source,
                type=label.type,
                confidence=way.confidence,
                campaign=label.campaign,
            )
        )
    return reports


def told(traffic: Traffic) -> list[NumberLabel]:
    """What becomes known, with the variant in place of the type; and how our unusual honest numbers live.

    For figures by variant and by hard negative: no network knows either.
    """
    reports = [
        replace(report, type=f"{label.type}-{label.stealth}")
        for label, report in zip(traffic.labels, reported(traffic.labels, traffic.scenario.seed), strict=True)
    ]
    people, begin_ms = traffic.people, traffic.scenario.start_ms
    for number, profile in zip(people.numbers[people.own].tolist(), people.profile[people.own].tolist(), strict=True):
        name = PROFILES[profile].name
        if name != USUAL and number not in traffic.frauds:
            reports.append(NumberLabel(number, False, begin_ms, None, begin_ms, TOLD, name))
    return reports
