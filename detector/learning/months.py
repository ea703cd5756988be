"""Months: a population whose lives, seen for up to eight months, are those of CALIBRATION's honest numbers.

It is the population of `draw_population` with what a week does not show: people who come and go, buy phones,
are called by outsiders as often as they call them, hardly write messages but get many, and have more contacts the
more they call. Each constant below was fitted to the table; `python -m detector.learning.calibration` prints both.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.learning.population import NEVER_MS, Contacts, Floats, Population, Span, draw_population
from detector.learning.profiles import PROFILES, Home, Rhythm
from detector.records import Bools, I64s
from detector.units import DAY_MS

OUTSIDERS: Final = 10.0
"""Numbers of other networks for each of ours: enough to be strangers for eight months, even to a courier."""
OUTSIDE_TIES: Final = 0.65
"""Share of ties to people of other networks."""
NEAR: Final = 20.0
"""How many of our own subscribers live between two neighbours who know each other."""
OURS: Final = 0.02
"""Share of strangers who are ours. Strangers ring everybody alike: with more of them people who hardly call would seem
to know many."""
UNREACHED: Final = 0.12
"""Share of numbers that nobody calls (the table's p90 of the outgoing share is 1)."""
LIGHT: Final = 0.12
"""Share of people who call an eighth of what the others do: the table's counts lean to the low side."""
OWLS: Final = 0.08
"""Share of people who are up at night; the others sleep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A life that passes through the network; factors are of what the person would do otherwise."""

    share: float
    """Of private numbers."""
    strangers: tuple[float, float]
    calls: float
    spread: float
    """Of that factor, in log units."""
    incoming: float
    chats: float
    app_messages: float
    talk: float = 1.0
    """Of its talks' median."""
    talk_spread: tuple[float, float] | None = None
    """Of its talks around their median, in log units, between these; None = as anybody's."""
    rhythms: tuple[Rhythm, ...] = ()
    """It lives by one of these; empty = as anybody."""
    days: tuple[float, float]
    """Median, and spread in log units."""


BRIEFLY: Final = Passing(
    share=0.03, strangers=(0.02, 0.35), calls=0.5, spread=0.6, incoming=0.7, chats=5, app_messages=2, days=(25, 1.1)
)
"""Used for weeks, a little: a second SIM, a visit, a trial."""
ON_ERRAND: Final = Passing(
    share=0.04, strangers=(0.65, 1.0), calls=22.0, spread=1.0, incoming=0.1, chats=200, app_messages=2.2, days=(3, 1.0),
    talk=1.4, talk_spread=(0.9, 1.55), rhythms=(Rhythm.EVENING, Rhythm.OFFICE, Rhythm.AFTER_WORK, Rhythm.MIDDAY)
)  # fmt: skip
"""A flat to sell, a wedding, a poll: strangers, for days, at the hours that the errand has, long talks among them, and
gone. So an honest number looks where it is most like a fraudster's; how like, and how often, decides how much fraud can
be told at one false alarm in a thousand."""

HELPED: Final = 0.8
"""Share of those on an errand who call from their helpers' phones, too."""
ON_LIST: Final = 6.0
"""Contacts of one on an errand go with so many times their usual calls: there is a list of people to call again."""
WITHHELD: Final = 0.35
"""Share of those on an errand whom nobody calls at all: they withhold the number, as pollsters do."""
RETURNED: Final = 0.3
"""Most of their missed calls that are called back, against anybody's: the others withhold it in most calls."""

BUSY: Final = 1.7
"""Calls of a person against the profile's, which is made for a week."""
RARELY: Final = (0.04, 1.2)
"""Conversations by message against the profile's, and their spread in log units: applications write most messages."""
CODES: Final = 4.7
"""Messages of applications a day, the median of people (the table's 941 in eight months)."""
CALLED: Final = (-0.2, 1.4)
"""Log odds that a call with an outsider came from there, and how they spread among people."""
CURIOUS: Final = 0.55
"""Calls to strangers against the profile's."""

STAYS: Final[dict[str, tuple[float, float]]] = {
    "tourist_sim": (10, 0.6),
    "roamer": (8, 0.6),
    "second_phone": (60, 0.8),
    "seller": (60, 0.8),
    "election_caller": (30, 0.5),
    "surveyor": (90, 0.8),
}
"""Days for which a number of a profile is kept: median, and spread in log units."""
STAY: Final = (2_500.0, 1.0)
"""The same of everybody else."""
NEWCOMERS: Final = ("new_sim", "second_hand")
"""Profiles whose numbers are new in the span, whenever that is."""

_STRANGERS: Final = np.array([profile.strangers for profile in PROFILES])
_CONTACTS: Final = np.array([profile.contacts for profile in PROFILES])
_FLAT: Final = np.array([profile.flat for profile in PROFILES])
_NAMES: Final = np.array([profile.name for profile in PROFILES])


@dataclass(frozen=True, slots=True)
class Lives:
    """How crooks live besides, one a crook."""

    calls: Floats
    """Calls and messages to people they know, as a share of what they would make otherwise."""
    app_messages: Floats
    alive_ms: I64s
    gone_ms: I64s

    def __len__(self) -> int:
        return len(self.calls)


def draw_months(rng: np.random.Generator, numbers: int, days: int, crooked: Lives) -> Population:
    """A population for a span of `days`; some of its private subscribers are crooks, who live as `crooked` says."""
    people = draw_population(rng, numbers, days, {"other_network": OUTSIDERS}, _nobody)
    size, profile, home = len(people), people.profile, people.home
    mobile = home == Home.MOBILE
    person = mobile & (_STRANGERS[profile] < 0.3)
    calls = people.calls * np.where(person & (rng.random(size) < LIGHT), 0.125, 1.0) * np.where(person, BUSY, 1.0)
    calls[np.isin(_NAMES, ("other_network", "foreign"))[profile]] = 0
    chats = people.chats * np.where(person, RARELY[0] * np.exp(RARELY[1] * rng.standard_normal(size)), 0.5)
    app_messages = np.where(mobile, CODES * (people.app_messages / 2.5) ** 0.9, people.app_messages)
    crooks = rng.permutation(people.slots_of("private"))[: len(crooked)]
    calls[crooks] *= crooked.calls
    chats[crooks] *= crooked.calls
    app_messages[crooks] *= crooked.app_messages
    reachable = ~(mobile & (rng.random(size) < UNREACHED))
    reachable[people.slots_of("meter")] = False  # Nobody talks to a meter.
    alive_ms, gone_ms = _stays(rng, profile, days)
    incoming = 1 / (1 + np.exp(-CALLED[0] - CALLED[1] * rng.standard_normal(size)))
    incoming = np.where(_STRANGERS[profile] < 0.3, incoming, 0.35 * incoming) * reachable
    strangers = people.strangers * np.where(person, CURIOUS, 1.0)
    free = rng.permutation(np.setdiff1d(people.slots_of("private"), crooks))
    brief, errand = np.split(
        free[: round((BRIEFLY.share + ON_ERRAND.share) * len(free))], [round(BRIEFLY.share * len(free))]
    )
    talk_s = people.talk_s * 1.08 * np.exp(0.2 * rng.standard_normal(size))
    talk_spread = np.clip(1.12 + 0.28 * rng.standard_normal(size), 0.5, 1.9)
    returned = np.ones(size)
    returned[errand] = RETURNED * rng.random(len(errand)) ** 2
    rhythm = np.where((people.rhythm == Rhythm.SOCIAL) & (rng.random(size) >= OWLS), Rhythm.WAKING, people.rhythm)
    known = calls.copy()
    known[errand] *= ON_LIST
    for some, life in ((brief, BRIEFLY), (errand, ON_ERRAND)):
        strangers[some] = rng.uniform(*life.strangers, len(some))
        calls[some] *= life.calls * np.exp(life.spread * rng.standard_normal(len(some)))
        chats[some] *= life.chats
        app_messages[some] *= life.app_messages
        talk_s[some] *= life.talk
        if life.talk_spread:
            talk_spread[some] = rng.uniform(*life.talk_spread, len(some))
        if life.rhythms:
            rhythm[some] = rng.choice(life.rhythms, len(some))
        kept = 1 + life.days[0] * np.exp(life.days[1] * rng.standard_normal(len(some)))
        begin = rng.random(len(some)) * (kept + days) - kept
        alive_ms[some], gone_ms[some] = days_ms(np.maximum(begin, 0)), days_ms(begin + kept)
        incoming[some] *= life.incoming * rng.random(len(some))
    # Whoever rings strangers all day often withholds the number, and does it when they are at home.
    reachable[errand] &= rng.random(len(errand)) >= WITHHELD
    renews_ms = _renewals(rng, size, days)
    # Helpers lend their phones.
    helped = errand[rng.random(len(errand)) < HELPED]
    renews_ms[helped] = days_ms(rng.uniform(0.5, 4, len(helped)))
    alive_ms[crooks], gone_ms[crooks] = crooked.alive_ms, crooked.gone_ms
    return replace(
        people,
        calls=calls,
        talk_s=talk_s,
        chats=chats,
        strangers=strangers,
        app_messages=app_messages,
        rhythm=rhythm.astype(np.uint8),
        alive_ms=alive_ms,
        gone_ms=gone_ms,
        changes_ms=np.full(size, NEVER_MS),
        home_cell=_homes(rng, size, people.cells),
        contacts=_ties(rng, people, known, reachable),
        span=Span(
            renews_ms=renews_ms,
            incoming=incoming * reachable,
            talk_spread=talk_spread,
            reachable=reachable,
            returned=returned,
            ours=OURS,
            crooks=crooks,
        ),
    )


def _nobody(
    rng: np.random.Generator, profile: npt.NDArray[np.uint8], home: npt.NDArray[np.uint8], own: I64s
) -> Contacts:
    """No ties yet: they depend on how much everybody calls."""
    return Contacts(np.zeros(len(profile) + 1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.zeros(1))


def _stays(rng: np.random.Generator, profile: npt.NDArray[np.uint8], days: int) -> tuple[I64s, I64s]:
    """From when to when each number is in use, after the start of the span."""
    median, spread = (
        np.array([STAYS.get(one.name, STAY)[column] for one in PROFILES], dtype=np.float64)[profile]
        for column in (0, 1)
    )
    stay = np.maximum(2.0, median * np.exp(spread * rng.standard_normal(len(profile))))
    new = np.isin(_NAMES, NEWCOMERS)[profile]
    # Whoever is here at all is as likely to be here on one day as on another.
    begin = np.where(new, rng.random(len(profile)) * days, rng.random(len(profile)) * (stay + days) - stay)
    return days_ms(np.maximum(begin, 0)), days_ms(begin + stay)


def days_ms(days: Floats) -> I64s:
    """Whole milliseconds of `days`, at most never."""
    return np.minimum(days * DAY_MS, NEVER_MS).astype(np.int64)


def _homes(rng: np.random.Generator, size: int, cells: int) -> npt.NDArray[np.uint32]:
    """The cell in which everybody lives: those near in slot, who know each other, live near each other."""
    district = np.arange(size) * cells // size + np.rint(rng.standard_normal(size)).astype(np.int64)
    return (district % cells + 1).astype(np.uint32)


def _renewals(rng: np.random.Generator, size: int, days: int) -> I64s:
    """Time between two devices of each number: most keep theirs for the span, some change it over and over."""
    often = rng.geometric(0.5, size) + 0.4
    return np.where(rng.random(size) < 0.38, (days * DAY_MS / often).astype(np.int64), NEVER_MS)


def _ties(rng: np.random.Generator, people: Population, calls: Floats, reachable: Bools) -> Contacts:
    """Ties of everybody of ours: the more they call, the more they have, a few strong ones among them."""
    profile, home, own, size = people.profile, people.home, people.own, len(people)
    ours = np.isin(home, (Home.MOBILE, Home.FIXED, Home.ROAMER))
    outsiders = np.flatnonzero(~ours)
    inner = np.flatnonzero(ours)
    many = 8 * np.maximum(calls[inner], 0.02) ** 0.8 * _CONTACTS[profile[inner]] / 8
    many = np.where(_FLAT[profile[inner]], _CONTACTS[profile[inner]], many)
    degree = np.clip(many * np.exp(0.45 * rng.standard_normal(len(inner))), 2, 400).astype(np.int64)
    source = np.repeat(inner, degree)
    rank = np.arange(len(source)) - np.repeat(np.cumsum(degree) - degree, degree)
    steep = np.repeat(rng.uniform(0.75, 1.3, len(inner)), degree)
    strength = np.where(_FLAT[profile[source]], 0.05, (1.0 + rank) ** -steep)
    known_by = np.cumsum(np.maximum(calls[own], 0.02) ** 0.7)
    outside = rng.random(len(source)) < OUTSIDE_TIES
    anybody = own[np.minimum(np.searchsorted(known_by, rng.random(len(source)) * known_by[-1]), len(own) - 1)]
    # Neighbours know each other, and each other's neighbours; whoever calls little is known to few of them.
    places = np.searchsorted(own, source) + np.rint(NEAR * rng.standard_normal(len(source))).astype(np.int64)
    near = own[places % len(own)]
    met = np.minimum(1.0, calls[near] / np.maximum(calls[source], 0.02)) ** 0.7
    local = (home[near] == home[source]) & (rng.random(len(source)) < 0.5 * met)
    target = np.where(local, near, anybody)
    target = np.where(outside, outsiders[rng.integers(0, len(outsiders), len(source))], target)
    known = source != target
    source, target, strength, outside = source[known], target[known], strength[known], outside[known]
    inside = ~outside
    begins = np.concatenate([source, target[inside]])
    ends = np.concatenate([target, source[inside]])
    strength = np.concatenate([strength, strength[inside]])
    # Whoever calls little is called little; of outsiders the caller decides both ways.
    equal = np.clip(calls[ends] / np.maximum(calls[begins], 0.02), 0.0, 1.0)
    strength = strength * np.where(ours[ends], equal, 1.0) * reachable[ends] + 1e-12
    order = np.argsort(begins, kind="stable")
    return Contacts(np.searchsorted(begins[order], np.arange(size + 1)), ends[order], np.cumsum(strength[order]))
