"""What was caught, how late, and who was touched without having done anything.

A fraudster's number is caught by the first decision against it from its first fraudulent event
on. Every other decision against a number touches an honest one; a hijacked subscriber is honest
before the first fraudulent event, a SIM bought for fraud is neither.

The warm-up week is counted apart: while windows fill, everybody looks new, and nothing may block.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from detector.learning.labels import Label
from detector.learning.simulate import Traffic
from detector.records import number_text, parse_number
from detector.units import DAY_MS
from detector.verdict.decisions import Decision

WARM_UP_MS: Final = 7 * DAY_MS
"""The longest window."""
AGAINST: Final = ("block", "warn", "flag")
"""Actions that touch a number, the gravest first; release and allow are in its favour."""


@dataclass(frozen=True, slots=True)
class Catch:
    """How one fraudster's number fared. `action` is the gravest, '' where it was missed.

    `delay_s` and `victims` (distinct numbers tried) are counted up to the first decision, or over
    the whole campaign where there is none.
    """

    number: str
    action: str
    delay_s: float
    victims: int


@dataclass(frozen=True, slots=True)
class CampaignScore:
    """One campaign, number by number."""

    kind: str
    stealth: str
    catches: tuple[Catch, ...]

    @property
    def blocked(self) -> int:
        """Numbers that were blocked."""
        return sum(catch.action == "block" for catch in self.catches)

    @property
    def flagged(self) -> int:
        """Numbers that were flagged or warned of, and never blocked."""
        return sum(catch.action in ("warn", "flag") for catch in self.catches)

    @property
    def missed(self) -> int:
        """Numbers that nothing was decided against."""
        return len(self.catches) - self.blocked - self.flagged

    @property
    def median_delay_s(self) -> float | None:
        """From a number's first fraudulent event to the decision, over those caught."""
        return _median(catch.delay_s for catch in self.catches if catch.action)

    @property
    def median_victims(self) -> float | None:
        """Distinct numbers tried until the decision, over those caught."""
        return _median(catch.victims for catch in self.catches if catch.action)


@dataclass(frozen=True, slots=True)
class Touched:
    """One honest number, and the gravest that was decided against it."""

    number: str
    profile: str
    action: str
    rule: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Score:
    """What one simulated network came to."""

    campaigns: tuple[CampaignScore, ...]
    touched: tuple[Touched, ...]
    """Honest numbers that something was decided against once the windows were full."""
    touched_in_warm_up: tuple[Touched, ...] = ()
    """The same, while they were filling."""


def score(traffic: Traffic, decisions: Sequence[Decision]) -> Score:
    """`decisions`, in order of time, held against the truth of `traffic`."""
    against: dict[int, list[Decision]] = defaultdict(list)
    for decision in decisions:
        if decision.action in AGAINST:
            against[parse_number(decision.number)].append(decision)
    campaigns: dict[str, list[Label]] = defaultdict(list)
    for label in traffic.labels:
        campaigns[label.campaign].append(label)
    warm_ms = traffic.scenario.start_ms + WARM_UP_MS
    early, late = (
        {number: [d for d in found if (d.issued_at < warm_ms) == is_early] for number, found in against.items()}
        for is_early in (True, False)
    )
    return Score(
        campaigns=tuple(
            CampaignScore(labels[0].type, labels[0].stealth, tuple(_catch(label, against) for label in labels))
            for labels in campaigns.values()
        ),
        touched=_touched(traffic, late),
        touched_in_warm_up=_touched(traffic, early),
    )


def _catch(label: Label, against: Mapping[int, Sequence[Decision]]) -> Catch:
    found = [decision for decision in against.get(label.number, ()) if decision.issued_at >= label.active_from_ms]
    until_ms = found[0].issued_at if found else label.active_until_ms
    return Catch(
        number=number_text(label.number),
        action=_gravest(found).action if found else "",
        delay_s=(until_ms - label.active_from_ms) / 1000,
        victims=label.victims_before(until_ms),
    )


def _touched(traffic: Traffic, against: Mapping[int, Sequence[Decision]]) -> tuple[Touched, ...]:
    """Honest numbers among those in `against`, in order of time."""
    found = []
    for number, decisions in against.items():
        profile = traffic.profile_of(number)
        labels = traffic.frauds.get(number, [])
        if any(profile == label.type for label in labels):
            continue
        honest_until_ms = min((label.active_from_ms for label in labels), default=None)
        wrong = [d for d in decisions if honest_until_ms is None or d.issued_at < honest_until_ms]
        if wrong:
            worst = _gravest(wrong)
            found.append(Touched(worst.number, profile, worst.action, worst.rule, worst.issued_at))
    return tuple(sorted(found, key=lambda touched: touched.at_ms))


def _gravest(decisions: Sequence[Decision]) -> Decision:
    """The first of the gravest."""
    return min(decisions, key=lambda decision: AGAINST.index(decision.action))


def _median(values: Iterable[float]) -> float | None:
    known = list(values)
    return median(known) if known else None
