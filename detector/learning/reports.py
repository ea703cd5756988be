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

from detector.learning.cdr import SENDERS
from detector.learning.labelfile import NumberLabel
from detector.learning.labels import Label
from detector.learning.profiles import PROFILES
from detector.learning.simulate import APPLICATION, Traffic
from detector.units import DAY_MS, HOUR_MS


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
FESTIVAL: Final = "festival"
"""That of people of the usual one, who call and greet everybody on one evening."""
FESTIVAL_DAYS: Final = 2
"""The festival's and the next, of which windows of 24 hours still hold the evening."""
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
    """What becomes known, with the variant in place of the type; how our unusual honest numbers live, and senders; and
    who was at the festival.

    For figures by variant and by hard negative: no network knows either.
    """
    reports = [
        replace(report, type=f"{label.type}-{label.stealth}")
        for label, report in zip(traffic.labels, reported(traffic.labels, traffic.scenario.seed), strict=True)
    ]
    people, begin_ms = traffic.people, traffic.scenario.start_ms

    def honest(number: int, name: str, from_ms: int = begin_ms, until_ms: int | None = None) -> None:
        if number not in traffic.frauds:
            reports.append(NumberLabel(number, False, from_ms, until_ms, from_ms, TOLD, name))

    profiles = [PROFILES[profile].name for profile in people.profile[people.own].tolist()]
    usual = set()
    for number, name in zip(people.numbers[people.own].tolist(), profiles, strict=True):
        if name == USUAL:
            usual.add(number)
        else:
            honest(number, name)
    for number in SENDERS.tolist():
        honest(number, APPLICATION)
    if traffic.scenario.festival_day is not None:
        evening_ms = begin_ms + traffic.scenario.festival_day * DAY_MS
        for number in traffic.guests.tolist():
            if number in usual:
                honest(number, FESTIVAL, evening_ms, evening_ms + FESTIVAL_DAYS * DAY_MS)
    return reports
