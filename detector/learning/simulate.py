"""A scenario becomes traffic: days of an honest population with campaigns hidden in them, and the truth about them.

Everything follows from the scenario: equal scenarios give equal records.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np

from detector.learning.campaigns import KINDS, run
from detector.learning.cdr import HONEST, SENDERS, Records, join, order, subjects
from detector.learning.labels import Label, labels_of
from detector.learning.life import call_backs, festival, honest_day
from detector.learning.months import draw_months
from detector.learning.ordinary import Ordinary, Practice, crews, recruit
from detector.learning.population import Population, draw_population
from detector.learning.profiles import PROFILES
from detector.learning.stage import Campaign, Stage
from detector.records import NumberKind, U64s, number_kind, number_trunk, pack_number
from detector.units import DAY_MS

MONDAY_MS: Final = 1_793_577_600_000
"""2026-11-02 00:00 UTC, a Monday."""

DEMO_SEED: Final = 2_000
"""Never one of the seeds that the shipped model is fitted on, gets its thresholds from or is judged on."""

APPLICATION: Final = "application"
"""How the holder of a sender id lives: one-time codes, banks, shops, notices."""

WANGIRI_RETURNED: Final = 0.05
"""Share of missed Wangiri rings that are called back (FRAUD.md)."""

DEMO_CAMPAIGNS: Final = (
    *(Campaign(kind) for kind in KINDS),
    Campaign("wangiri", "low"),
    Campaign("robocall", "low"),
    Campaign("simbox", "low"),
    Campaign("irsf", "low"),
    Campaign("smishing", "low"),
    Campaign("robocall", "mimic"),
    Campaign("simbox", "mimic"),
    Campaign("smishing", "mimic"),
)
"""Hidden in the last day: every kind in the open, and what is harder."""

Progress = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to simulate. `numbers`: our own subscribers and lines; the outside world comes on top."""

    numbers: int = 20_000
    days: int = 8
    seed: int = DEMO_SEED
    start_ms: int = MONDAY_MS
    campaigns: tuple[Campaign, ...] = DEMO_CAMPAIGNS
    festival_day: int | None = 5
    """The day on whose evening everybody greets everybody; none = no festival."""
    ordinary: Ordinary | None = None
    """Lives of months and ordinary fraud as in CALIBRATION, instead of the demo's people. Campaigns go on top."""


@dataclass(frozen=True)
class Traffic:
    """Records in order of publication, and the truth."""

    scenario: Scenario
    records: Records = field(repr=False)
    labels: list[Label] = field(repr=False)
    """One a fraudulent number and campaign."""
    people: Population = field(repr=False)
    bought: U64s = field(repr=False)
    """Numbers of `people` that were got for fraud: nobody honest holds them. Lent ones are not among them."""
    guests: U64s = field(repr=False)
    """Our own numbers that were at the festival."""

    @cached_property
    def frauds(self) -> dict[int, list[Label]]:
        """The labels of each fraudulent number."""
        found: dict[int, list[Label]] = {}
        for label in self.labels:
            found.setdefault(label.number, []).append(label)
        return found

    def profile_of(self, number: int) -> str:
        """How the holder of `number` lives: a profile's name, `application`, a fraud's kind, or `unknown`."""
        if number_kind(number) is NumberKind.SENDER:
            return APPLICATION
        if number in self.frauds and (number_trunk(number) or not self._is_honest(number)):
            return self.frauds[number][0].type
        bare = pack_number(number_kind(number), number & ((1 << 50) - 1))
        slot = int(self.people.holders(np.array([bare], dtype=np.uint64))[0])
        return PROFILES[self.people.profile[slot]].name if slot >= 0 else "unknown"

    def _is_honest(self, number: int) -> bool:
        numbers = self.honest_numbers
        at = min(int(np.searchsorted(numbers, np.uint64(number))), len(numbers) - 1)
        return int(numbers[at]) == number

    @cached_property
    def honest_numbers(self) -> U64s:
        """The numbers that honest people and applications hold, ascending; some of them are lent or taken over."""
        return np.setdiff1d(np.concatenate([self.people.numbers, SENDERS]), self.bought)


def simulate(scenario: Scenario, progress: Progress | None = None) -> Traffic:
    """The scenario's traffic. Memory: 64 bytes a record, three times that while sorting."""
    campaigns = [_dated(campaign, scenario.days) for campaign in scenario.campaigns]
    streams = np.random.SeedSequence(scenario.seed).spawn(scenario.days + len(scenario.campaigns) + 2)
    generators = [np.random.Generator(np.random.PCG64(stream)) for stream in streams]
    if scenario.ordinary is None:
        crooks, people = None, draw_population(generators[0], scenario.numbers, scenario.days)
    else:
        crooks = recruit(round(scenario.ordinary.frauds * scenario.numbers), scenario.days, generators[-1])
        people = draw_months(generators[0], scenario.numbers, scenario.days, crooks.lives)
    parts: list[Records] = []
    guests = np.empty(0, dtype=np.uint64)
    for day in range(scenario.days):
        begin = scenario.start_ms + day * DAY_MS
        honest = honest_day(people, begin, scenario.start_ms, generators[1 + day])
        if day == scenario.festival_day:
            evening, there = festival(people, begin, scenario.start_ms, generators[1 + day])
            honest, guests = join([honest, evening]), people.numbers[np.intersect1d(there, people.own)]
        parts.append(order(honest))
        if progress:
            progress((day + 1) / scenario.days)
    taken: set[int] = set()
    silenced: dict[int, int] = {}
    for index, campaign in enumerate(campaigns):
        rng = generators[1 + scenario.days + index]
        stage = Stage(people, scenario.start_ms, scenario.days, rng, taken, silenced)
        fraud = run(campaign, index, stage)
        parts.append(fraud)
        share = WANGIRI_RETURNED if campaign.kind == "wangiri" else 0.08
        calls = fraud[(fraud["campaign"] != HONEST) & (fraud["kind"] == 1)]
        parts.append(call_backs(people, calls, people.holders(calls["recipient"]), scenario.start_ms, rng, share))
    names = [f"{index + 1:02d}-{campaign.name}" for index, campaign in enumerate(campaigns)]
    plans: list[tuple[str, str, str]] = [
        (campaign.kind, campaign.stealth, name) for campaign, name in zip(campaigns, names, strict=True)
    ]
    bought = np.empty(0, dtype=np.uint64)
    if crooks and people.span and scenario.ordinary:
        burden = scenario.ordinary.burden
        practice = Practice(people, people.span, crooks, scenario.start_ms, scenario.days, len(plans), burden)
        parts.append(practice.records(generators[-1]))
        plans += crews(crooks)
        bought = people.numbers[people.span.crooks[~crooks.lent]]
    records = order(_without(join(parts), silenced))
    labels = labels_of(records, subjects(records), plans)
    return Traffic(scenario, records, labels, people, bought, guests)


def _without(records: Records, silenced: dict[int, int]) -> Records:
    """`records` without what honest holders did from the moment on at which their number was `silenced`."""
    if not silenced:
        return records
    numbers = np.array(sorted(silenced), dtype=np.uint64)
    since = np.array([silenced[number] for number in sorted(silenced)], dtype=np.int64)
    at = np.minimum(np.searchsorted(numbers, records["originator"]), len(numbers) - 1)
    gone = (numbers[at] == records["originator"]) & (records["start_ms"] >= since[at])
    kept: Records = records[~gone | (records["campaign"] != HONEST)]
    return kept


def _dated(campaign: Campaign, days: int) -> Campaign:
    day = campaign.day + days if campaign.day < 0 else campaign.day
    if not 0 <= day < days:
        raise ValueError(f"{campaign.name}: wanted a day of a scenario of {days} days (got {campaign.day})")
    return replace(campaign, day=day)
