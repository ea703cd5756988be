"""Backtest: what a policy and a model would have done over past traffic, beside another policy and model.

    rows of the log --Lane: the real Detector--> decisions -> Tally -+
                          \\--> greatest margin of each number-day --+-> Outcome
    labels ---------------------------------------------------------+

A lane is everything that decides: settings, policy, model, and a state of its own for every partition. An alert is a
number on a day on which a rule began something against it: what an analyst has to look at. Renewals and
operators' commands are none.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from detector.config import Settings
from detector.ingest.zones import ZoneTable
from detector.learning.labels import MEMORY_MS
from detector.learning.numberdays import Gathered, NumberDays
from detector.learning.rates import lowest_within
from detector.pipeline import Detector, Entry, Part
from detector.records import Bools, parse_number
from detector.units import DAY_MS, HOUR_MS, MINUTE_MS
from detector.verdict.decisions import SEVERITY, Action, Decision
from detector.verdict.judge import Judge, Moment
from detector.verdict.manifest import LEVELS
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy

NEVER_MS: Final = 1 << 62
"""The end of what does not end."""
AGAINST: Final = frozenset({"flag", "warn", "block"})
"""Actions that touch a number; release and allow are in its favour."""


class Made(NamedTuple):
    """What is kept of a decision."""

    number: int
    text: str
    at_ms: int
    action: Action
    rule: str
    service: str
    held_back: tuple[str, ...]


class Fraud(NamedTuple):
    """When a number was a fraudster, as is known in hindsight."""

    from_ms: int
    """The first time."""
    type: str
    spans: tuple[tuple[int, int], ...]
    """Half open, one a label; `NEVER_MS` where one does not end."""

    def lasts(self, from_ms: int, until_ms: int) -> bool:
        """Whether it was one at any moment of `[from_ms, until_ms)`."""
        return any(begin < until_ms and from_ms < end for begin, end in self.spans)


@dataclass(frozen=True, slots=True)
class Truth:
    """What labels say. Every other number counts as honest."""

    frauds: Mapping[int, Fraud]
    left_out: Collection[int] = frozenset()
    """Numbers whose only label is a decision of the detector itself: neither caught nor touched."""

    def is_honest(self, number: int) -> bool:
        """Whether nothing was said of the number."""
        return number not in self.frauds and number not in self.left_out


class Margined(Judge):
    """The judge, and the greatest margin of each number on each day on which its windows were full."""

    def __init__(self, policy: Policy, model: Model | None, zones: ZoneTable, settings: Settings) -> None:
        super().__init__(policy, model, zones, settings)
        self._gathered = Gathered(settings.home.utc_offset_minutes)
        self._hours: set[int] = set()

    def judge(self, moment: Moment, memory: Memory, live: Memory | None = None) -> list[Decision]:
        """As the judge does."""
        at = moment.updated.scored
        taken = moment.warm[at] & ~np.isnan(moment.margins)
        rows = at[taken]
        event_ms = moment.rows["event_ms"][rows]
        self._hours.update(np.unique(event_ms // HOUR_MS).tolist())
        self._gathered.add(moment.rows["number"][rows], event_ms, moment.margins[taken])
        return super().judge(moment, memory, live)

    @property
    def span_days(self) -> float:
        """Over how many days margins were taken: hours that had any, so that neither gaps nor a last minute count."""
        return len(self._hours) / 24

    def number_days(self) -> NumberDays:
        """Of all moments so far, those with full windows."""
        return self._gathered.number_days()


class Lane:
    """One policy and model over the log, from nothing on."""

    def __init__(self, name: str, settings: Settings) -> None:
        """Raises `ConfigError` or `SnapshotError` where policy or model cannot be had."""
        self.name = name
        self.settings = settings
        self.model = Model.load(settings.path(settings.model.bundle))
        self.policy = Policy.load(settings.path(settings.verdict.policy))
        zones = ZoneTable.load(settings.path(settings.home.zones))
        self._judge = Margined(self.policy, self.model, zones, settings)
        self._detector = Detector(settings, self._judge, self.model)
        self._parts: dict[int, Part] = {}
        self.decide_from: Mapping[int, int] = {}
        """By partition: messages before this offset are only remembered."""
        self.made: list[Made] = []
        self.rows = 0
        self.scored = 0

    def take(self, partition: int, entries: Sequence[Entry]) -> None:
        """Decide on messages of the internal log, each partition's in order."""
        if partition not in self._parts:
            self._parts[partition] = self._detector.fresh(
                partition, Memory(), Memory(), self.decide_from.get(partition, 0)
            )
        outcome = self._detector.process(self._parts[partition], entries)
        self.rows += sum(outcome.statuses)
        self.scored += outcome.scored
        self.made += [_kept(decision) for decision in outcome.decisions if _counts(decision)]

    def outcome(self, truth: Truth | None, budget: int) -> "Outcome":
        """What all of it came to. `budget`: alerts a day that analysts can look at."""
        return tally(self, self._judge.number_days(), self._judge.span_days, truth, budget)


@dataclass(frozen=True, slots=True)
class Caught:
    """The known frauds of one type."""

    numbers: int
    caught: int
    """Against which something was decided while it was one."""
    blocked: int
    late: int
    """Against which something was decided after that only, while the longest window still held what it had done: that
    is no catch."""
    median_delay_s: float | None


@dataclass(frozen=True, slots=True)
class Level:
    """A margin, and how many numbers reach it on a day."""

    name: str
    margin: float
    numbers_a_day: float
    frauds_a_day: float | None
    """Of these, frauds on that day; None without labels."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one lane came to."""

    name: str
    model: str
    policy: str
    mode: str
    rows: int
    scored: int
    span_days: float
    """Days with full windows."""
    days: Mapping[int, Mapping[str, int]]
    """Decisions by day of the home since 1970, and action."""
    rules: Mapping[str, Mapping[str, int]]
    """By rule and action."""
    held_back: Mapping[str, int]
    alerts: Mapping[int, int]
    """By day with full windows: before, only rules that need none decide."""
    types: Mapping[str, Caught]
    touched: Mapping[str, int]
    """Honest numbers by the gravest that was decided against each."""
    touched_by: Mapping[str, int]
    """By the rule of that decision."""
    examples: Sequence[tuple[str, str, str]] = field(repr=False)
    """Some of them: number, action, rule; the gravest first."""
    levels: Sequence[Level]
    """The model's thresholds."""
    suggested: Sequence[Level]
    """Margins for half the budget of alerts, for all of it, and for twice as much."""
    numbers: frozenset[int] = field(repr=False)
    """Against which anything was decided."""

    @property
    def alerts_a_day(self) -> float:
        """In the mean of the days with full windows."""
        return sum(self.alerts.values()) / self.span_days if self.span_days else 0.0


EXAMPLES: Final = 20


def tally(lane: Lane, number_days: NumberDays, span_days: float, truth: Truth | None, budget: int) -> Outcome:
    """The decisions of `lane`, counted."""
    offset_ms = lane.settings.home.utc_offset_minutes * MINUTE_MS
    days: dict[int, Counter[str]] = defaultdict(Counter)
    rules: dict[str, Counter[str]] = defaultdict(Counter)
    held_back: Counter[str] = Counter()
    alerts: dict[int, set[int]] = {int(day): set() for day in np.unique(number_days[1])}
    first: dict[int, list[Made]] = defaultdict(list)
    for made in lane.made:
        day = (made.at_ms + offset_ms) // DAY_MS
        days[day][made.action] += 1
        rules[made.rule][made.action] += 1
        held_back.update(made.held_back)
        if day in alerts:
            alerts[day].add(made.number)
        first[made.number].append(made)
    touched = [_gravest(made) for number, made in first.items() if truth and truth.is_honest(number)]
    touched.sort(key=lambda made: (-SEVERITY[made.action], made.at_ms))
    thresholds, span = lane.model.thresholds, span_days or 1.0  # nothing scored: whatever is counted is 0
    frauds = _frauds(number_days, offset_ms, truth) if truth else None
    return Outcome(
        name=lane.name,
        model=lane.model.version,
        policy=lane.policy.version,
        mode=lane.settings.verdict.mode,
        rows=lane.rows,
        scored=lane.scored,
        span_days=span_days,
        days={day: dict(days[day]) for day in sorted(days.keys() | alerts.keys())},
        rules={rule: dict(rules[rule]) for rule in sorted(rules, key=lambda rule: -rules[rule].total())},
        held_back=dict(held_back),
        alerts={day: len(numbers) for day, numbers in sorted(alerts.items())},
        types=_types(first, truth) if truth else {},
        touched=dict(Counter(made.action for made in touched)),
        touched_by=dict(Counter(made.rule for made in touched)),
        examples=[(made.text, made.action, made.rule) for made in touched[:EXAMPLES]],
        levels=[_level(name, float(getattr(thresholds, name)), number_days, span, frauds) for name in LEVELS],
        suggested=_suggested(number_days, span, frauds, budget),
        numbers=frozenset(first),
    )


def truth_of(frauds: Iterable[tuple[int, int, int | None, str]], own: Iterable[int] = ()) -> Truth:
    """Labels of fraud as number, since when, until when (None = it did not end) and type, which the first one of a
    number gives. `own`: the detector's labels."""
    found: dict[int, Fraud] = {}
    for number, from_ms, until_ms, kind in frauds:
        fraud = Fraud(from_ms, kind, ((from_ms, NEVER_MS if until_ms is None else until_ms),))
        other = found.get(number, fraud)
        first = fraud if from_ms < other.from_ms else other
        found[number] = first._replace(spans=tuple(sorted({*fraud.spans, *other.spans})))
    return Truth(found, frozenset(own) - found.keys())


def _counts(decision: Decision) -> bool:
    return decision.action in AGAINST and decision.renewals == 0 and decision.basis != "operator"


def _kept(decision: Decision) -> Made:
    return Made(
        number=parse_number(decision.number),
        text=decision.number,
        at_ms=decision.issued_at,
        action=decision.action,
        rule=decision.rule,
        service=decision.service,
        held_back=decision.held_back,
    )


def _gravest(made: Sequence[Made]) -> Made:
    """The first of the gravest."""
    return max(made, key=lambda one: (SEVERITY[one.action], -one.at_ms))


def _types(first: Mapping[int, Sequence[Made]], truth: Truth) -> dict[str, Caught]:
    """Known frauds by type: what was decided while they were that."""
    by_type: dict[str, list[list[Made]]] = defaultdict(list)
    delays: dict[str, list[float]] = defaultdict(list)
    late: Counter[str] = Counter()
    for number, fraud in truth.frauds.items():
        made = first.get(number, ())
        against = [one for one in made if fraud.lasts(one.at_ms, one.at_ms + 1)]
        by_type[fraud.type].append(against)
        if against:
            delays[fraud.type].append((min(one.at_ms for one in against) - fraud.from_ms) / 1000)
        elif any(fraud.lasts(one.at_ms - MEMORY_MS, one.at_ms + 1) for one in made):
            late[fraud.type] += 1
    return {
        kind: Caught(
            numbers=len(found),
            caught=sum(map(bool, found)),
            blocked=sum(any(made.action == "block" for made in against) for against in found),
            late=late[kind],
            median_delay_s=median(delays[kind]) if delays[kind] else None,
        )
        for kind, found in sorted(by_type.items())
    }


def _frauds(number_days: NumberDays, offset_ms: int, truth: Truth) -> Bools:
    """Which numbers were frauds at any moment of their day."""
    numbers, days, _ = number_days
    found = np.isin(numbers, np.fromiter(truth.frauds, np.uint64, len(truth.frauds)))
    for row in np.flatnonzero(found).tolist():
        begins_ms = int(days[row]) * DAY_MS - offset_ms
        found[row] = truth.frauds[int(numbers[row])].lasts(begins_ms, begins_ms + DAY_MS)
    return found


def _level(name: str, margin: float, number_days: NumberDays, span_days: float, frauds: Bools | None) -> Level:
    """How many numbers reach `margin` on a day; `frauds`: which of the number-days are fraud."""
    reached = number_days[2] >= margin
    bad = None if frauds is None else float((reached & frauds).sum() / span_days)
    return Level(name, margin, float(reached.sum() / span_days), bad)


def _suggested(number_days: NumberDays, span_days: float, frauds: Bools | None, budget: int) -> list[Level]:
    """The lowest margins that at most half of `budget` numbers a day reach, `budget`, and twice as many."""
    _, _, margins = number_days
    shares = {"half the budget": 0.5, "the budget": 1, "twice the budget": 2}
    lowest = lowest_within(margins, None, [share * budget * span_days for share in shares.values()])
    return [
        _level(name, margin, number_days, span_days, frauds)
        for name, margin in zip(shares, lowest, strict=True)
        if margin is not None
    ]
