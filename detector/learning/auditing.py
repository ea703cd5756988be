"""Auditing: number-days that nothing was decided against, drawn for analysts, so that what is missed can be estimated.

    logs --model--> greatest margin of each number-day --draw, without those decided against--> Drawn --> analysts
    decisions of the hold-out ------------------------------------------------------------------> Drawn --> analysts
    labels of analysts and of victims, decisions --estimate--> Recall

Fraud is rare, and rarer where nothing was decided. So one part of the draw comes from the number-days with the highest
margins, where it is most likely, and the other from all the rest, where nobody would look. Within its stratum each
number-day is equally likely, and `probability` says how likely: weighted by its inverse, what analysts find stands for
all that is there (Horvitz and Thompson 1952). Where several draws were made from a day, their mean does (`draws`).

Of somebody who is blocked nobody complains, so that labels tell of the blocked fraud only what was known anyhow. The
numbers of the hold-out, which would have been blocked, were drawn too, and in the same way stand for the blocked.

The draw is by a hash of number, day and seed: the same seed draws the same, in whatever order the logs were read.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import numpy as np

from detector.config import Settings
from detector.features.coverage import LONGEST_WINDOW_MS
from detector.learning.decided import is_against
from detector.learning.draws import Draws, name_of_draw
from detector.learning.features import Taker, Tally, from_log
from detector.learning.known import Known
from detector.learning.labelfile import HOLD_OUT, RANDOM_AUDIT, NumberLabel
from detector.learning.logs import Log
from detector.learning.moments import EveryNth
from detector.learning.numberdays import Gathered, NumberDays
from detector.learning.rates import OUTSIDE, UNKNOWN, Interval
from detector.learning.vectors import day_of
from detector.pipeline import fresh_state
from detector.records import Bools, I64s, mix64, parse_number
from detector.units import DAY_MS, MINUTE_MS
from detector.verdict.decisions import Decision
from detector.verdict.holds import EVIDENCE
from detector.verdict.model import Model

NEAR_SHARE: Final = 0.1
"""Of the number-days, those with the highest margins: ten times as much fraud among them as among all, where the model
is any good, and still enough that not all of them are drawn."""

Intervals = Mapping[int, list[tuple[int, int]]]
"""Of a number: the days `[first, last]` on which something was in force against it."""

Found = dict[int, list[tuple[int, int]]]
"""The same while it is being made."""

Places = AbstractSet[tuple[int, int]]
"""Number-days."""

Days = tuple[int, int]
"""`[first, stop)`, of the home since 1970."""
ALWAYS: Final[Days] = (0, 1 << 31)
ALWAYS_MS: Final = ALWAYS[1] * DAY_MS


@dataclass(frozen=True, slots=True)
class Drawn:
    """A number-day for an analyst to look at."""

    number: int
    day: int
    """Of the home, since 1970."""
    margin: float
    """The greatest of the day; NaN where none was asked for."""
    probability: float
    """With which it was drawn."""
    source: str
    """Of the label that comes of it."""


@dataclass(frozen=True, slots=True)
class Acted:
    """When what was done against whom."""

    against: Intervals
    """Anything; also what an operator did, for then somebody has looked."""
    blocked: Intervals = field(default_factory=dict)
    """A block by a rule that spares the hold-out."""
    spared: Intervals = field(default_factory=dict)
    """Less than such a block, because the number is in the hold-out and for no other reason."""


def number_days(logs: Iterable[Log], settings: Settings, model: Model, days: Days = ALWAYS) -> NumberDays:
    """The number-days of `days` on which production scores, with full windows; their greatest margins by `model`."""
    gathered = Gathered(settings.home.utc_offset_minutes)
    for log in logs:
        tally = Tally()
        moments = EveryNth(1)
        taker = Taker(fresh_state(settings), moments, model.activity_floor, tally, warm_ms=LONGEST_WINDOW_MS)
        for taken in from_log(log.read(), taker, log.start, tally):
            day = day_of(taken.event_ms, settings.home.utc_offset_minutes)
            some = taken.picked(np.flatnonzero((days[0] <= day) & (day < days[1])))
            gathered.add(some.numbers, some.event_ms, model.margins(some.vectors))
    return gathered.number_days()


def decided_against(decisions: Iterable[Decision], utc_offset_minutes: int) -> Intervals:
    """When something was in force against whom, by the day."""
    return acted(decisions, utc_offset_minutes).against


def acted(decisions: Iterable[Decision], utc_offset_minutes: int) -> Acted:
    """When what was done against whom, by the day."""
    against: Found = {}
    blocked: Found = {}
    spared: Found = {}
    for decision in decisions:
        if is_against(decision):
            first = _day(decision.issued_at, utc_offset_minutes)
            last = _day(max(decision.expires_at - 1, decision.issued_at), utc_offset_minutes)
            number = parse_number(decision.number)
            against.setdefault(number, []).append((first, last))
            if decision.action == "block" and decision.basis in EVIDENCE:
                blocked.setdefault(number, []).append((first, last))
            if decision.held_back == ("hold_out",):
                spared.setdefault(number, []).append((first, last))
    return Acted(against, blocked, spared)


def draw(population: NumberDays, against: Intervals, count: int, near: float, seed: int) -> list[Drawn]:
    """`count` number-days of `population` without those decided `against`, or all where there are fewer; by time.

    `near`: the part of them, 0 to 1, that comes from the highest margins.
    """
    free = _untouched(population, against)
    numbers, days, margins = (population[0][free], population[1][free], population[2][free])
    chance = mix64(mix64(numbers ^ mix64(np.array([seed]))) + days.view(np.uint64))
    order = np.lexsort((numbers, days, -margins))
    high = round(NEAR_SHARE * len(order))
    drawn: list[Drawn] = []
    for stratum, wanted in ((order[:high], round(near * count)), (order[high:], count - round(near * count))):
        chosen = stratum[np.argsort(chance[stratum], kind="stable")[:wanted]]
        probability = len(chosen) / max(len(stratum), 1)
        drawn += [
            Drawn(int(numbers[i]), int(days[i]), float(margins[i]), probability, RANDOM_AUDIT) for i in chosen.tolist()
        ]
    return sorted(drawn, key=lambda one: (one.day, one.number))


def draw_named(population: NumberDays, drawn: Sequence[Drawn], utc_offset_minutes: int) -> str:
    """What a draw is called: by the days of its population, and by what was drawn with which chance."""
    days = population[1]
    if not len(days):
        return ""
    span = (_begin_ms(int(days.min()), utc_offset_minutes), _begin_ms(int(days.max()) + 1, utc_offset_minutes))
    content = repr([(one.number, one.day, one.probability) for one in drawn]).encode()
    return name_of_draw(span, blake2b(content, digest_size=4).hexdigest())


def held_out(decisions: Iterable[Decision], share: float, utc_offset_minutes: int) -> list[Drawn]:
    """The number-days on which a block was held back only because the number is in the hold-out; each once.

    Chance, by a keyed hash, has drawn these numbers among all those that would have been blocked.
    """
    found: dict[tuple[int, int], Drawn] = {}
    for decision in decisions:
        if decision.held_back == ("hold_out",):
            margin = decision.score.margin if decision.score else float("nan")
            one = Drawn(
                parse_number(decision.number), _day(decision.issued_at, utc_offset_minutes), margin, share, HOLD_OUT
            )
            found.setdefault((one.day, one.number), one)
    return [found[key] for key in sorted(found)]


@dataclass(frozen=True, slots=True)
class Recall:
    """How much of the fraud there was something was decided against, in number-days of the audited days."""

    audited: int
    """Number-days that analysts looked at."""
    found: int
    """Of these, how many were fraud."""
    caught: Interval
    """Number-days of fraud on which something was in force: those that labels know, and those that the hold-out stands
    for."""
    missed: Interval
    """Those on which nothing was, as the audit estimates them."""
    recall: Interval
    untold: int
    """Number-days on which a block was in force and no hold-out tells how many of them were fraud."""


def estimate(
    labels: Iterable[NumberLabel], done: Acted, utc_offset_minutes: int, active: NumberDays | None = None
) -> Recall:
    """What audits and all other labels together say; `UNKNOWN` where there is no audit.

    `active`: the number-days on which production scored. Given, what was caught is only counted on these, as what was
    missed is: a block that lasts longer than the fraud tries to go on has caught no more.

    Missed: within a stratum, which draw and probability tell, the share of fraud lies within its exact binomial bounds
    (Clopper and Pearson 1934).

    Caught, on the days of draws from which there are labels of the hold-out: what was found of the numbers that only
    the hold-out spared stands, by the inverse of their chance, for these and the blocked together, on the days of which
    labels say that they were fraud: where it went on behind the day of the sheet, the label has to say so. Of the
    blocked labels add nothing to it. A number is drawn as a whole, so that the bounds are of numbers: as many as so
    many spared ones may come of, with as many days each. On other days, and of what no hold-out spares anybody (flags,
    warnings, lists, operators), number-days count that labels say are fraud; of the blocked that nobody told of some
    are missing then, and recall is rather higher than this.

    The bounds of all parts are added up, which is more than cautious enough.
    """
    labels = list(labels)
    audits = [label for label in labels if label.source == RANDOM_AUDIT]
    if not audits:
        return Recall(0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0)
    draws = Draws(audits)
    strata: dict[tuple[str | None, float, int], list[int]] = {}
    for label in audits:
        stratum = strata.setdefault((label.draw, label.probability, draws.of(label)), [0, 0])
        stratum[0] += 1
        stratum[1] += label.fraud
    parts = []
    for (_, probability, times), (n, found) in strata.items():
        chance = probability * times
        low, high = (bound * n / chance for bound in _bounds(found, n))
        parts.append(Interval(found / chance, low, high))
    missed = _sum(parts)
    spans = [
        frozenset(range(_day(from_ms, utc_offset_minutes), _day(until_ms - 1, utc_offset_minutes) + 1))
        for from_ms, until_ms in draws.spans
    ]
    days = frozenset[int]().union(*spans)
    others = [label for label in labels if label.source != RANDOM_AUDIT]
    frauds = _days_of(Known(others, ALWAYS_MS, 0).frauds(), days, utc_offset_minutes)
    against, blocked, spared = (
        _active(_places(intervals, days), active) for intervals in (done.against, done.blocked, done.spared)
    )
    chances = {label.number: label.probability for label in others if label.source == HOLD_OUT}
    looked_at = spared & _days_of((label for label in others if label.source == HOLD_OUT), days, utc_offset_minutes)
    told = frozenset[int]().union(*(span for span in spans if any(day in span for _, day in looked_at)))
    ours = {place for place in blocked | spared if place[1] in told}
    plain = len((against & frauds) - ours)
    caught = _sum([Interval(plain, plain, plain), *_stood_for(spared & ours, frauds, chances)])
    return Recall(
        audited=len(audits),
        found=sum(label.fraud for label in audits),
        caught=caught,
        missed=missed,
        recall=Interval(
            _part(caught.value, missed.value), _part(caught.low, missed.high), _part(caught.high, missed.low)
        ),
        untold=len(blocked - ours),
    )


def _part(caught: float | None, missed: float | None) -> float | None:
    return caught / (caught + missed) if caught is not None and missed is not None and caught + missed else None


def _sum(parts: Sequence[Interval]) -> Interval:
    return Interval(*(sum(getattr(part, name) for part in parts) for name in ("value", "low", "high")))


def _stood_for(spared: Places, frauds: Places, chances: Mapping[int, float]) -> list[Interval]:
    """How many number-days of fraud the spared ones stand for, an interval for each chance with which they were."""
    strata: dict[float, list[tuple[int, int]]] = {}
    for place in spared:
        if place[0] in chances:
            strata.setdefault(chances[place[0]], []).append(place)
    found = []
    for chance, places in sorted(strata.items()):
        fraud = [place for place in places if place in frauds]
        numbers = len({number for number, _ in fraud})
        # With none found: as long as the spared ones are.
        each = len(fraud) / numbers if numbers else len(places) / len({number for number, _ in places})
        low, high = _drawn_from(numbers, chance)
        found.append(Interval(len(fraud) / chance, low * each, high * each))
    return found


def _drawn_from(found: int, chance: float) -> tuple[float, float]:
    """Among how many there may be of whom each is found with this chance, and so many were; exact, by the tails of the
    binomial distribution in the number of trials."""
    from scipy.stats import nbinom

    low = float(nbinom.ppf(OUTSIDE / 2, found, chance)) + found if found else 0.0
    return low, float(nbinom.ppf(1 - OUTSIDE / 2, found + 1, chance)) + found


def _days_of(labels: Iterable[NumberLabel], days: AbstractSet[int], utc_offset_minutes: int) -> Places:
    """Number-days of `days` that the labels speak of; what had not ended, until it became known."""
    found = set()
    for label in labels:
        end_ms = label.known_at_ms if label.active_until_ms is None else label.active_until_ms
        first = _day(label.active_from_ms, utc_offset_minutes)
        last = _day(max(end_ms - 1, label.active_from_ms), utc_offset_minutes)
        found |= {(label.number, day) for day in days if first <= day <= last}
    return found


def _places(intervals: Intervals, days: AbstractSet[int]) -> Places:
    """Number-days of `days` that lie in them."""
    return {
        (number, day)
        for number, mine in intervals.items()
        for first, last in mine
        for day in (range(first, last + 1) if last - first < len(days) else days)
        if day in days and first <= day <= last
    }


def _active(places: Places, active: NumberDays | None) -> Places:
    """Those on which production scored, where that is known."""
    if active is None:
        return places
    mine = np.isin(active[0], np.array(sorted({number for number, _ in places}), np.uint64))
    return places & set(zip(active[0][mine].tolist(), active[1][mine].tolist(), strict=True))


def _bounds(found: int, trials: int) -> tuple[float, float]:
    """Between which a share lies of which so many were found."""
    from scipy.stats import beta

    low = float(beta.ppf(OUTSIDE / 2, found, trials - found + 1)) if found else 0.0
    high = float(beta.ppf(1 - OUTSIDE / 2, found + 1, trials - found)) if found < trials else 1.0
    return low, high


def _untouched(population: NumberDays, against: Intervals) -> Bools:
    numbers, days, _ = population
    free = np.ones(len(numbers), np.bool_)
    for number, intervals in against.items():
        low, high = (int(np.searchsorted(numbers, np.uint64(number), side)) for side in ("left", "right"))
        for first, last in intervals:
            mine: I64s = days[low:high]
            free[low:high] &= (mine < first) | (mine > last)
    return free


def _day(ms: int, utc_offset_minutes: int) -> int:
    return (ms + utc_offset_minutes * MINUTE_MS) // DAY_MS


def _begin_ms(day: int, utc_offset_minutes: int) -> int:
    return day * DAY_MS - utc_offset_minutes * MINUTE_MS
