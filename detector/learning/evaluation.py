"""Evaluation: what a bundle catches of a scenario it has never seen, how late, and whom it wrongs.

The unit is the number, counted once; every row that production would score is scored, on the real
path, from the first warm day on. Margins alone are judged here: no rules, lists or budgets.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from detector.learning.labels import Label
from detector.learning.population import DAY_MS
from detector.learning.scoring import Scorer, Scores, number_days, score
from detector.learning.seeds import FIRST_DAY
from detector.learning.simulate import Traffic
from detector.verdict.manifest import LEVELS, Thresholds


@dataclass(frozen=True, slots=True)
class Case:
    """One number's part in a campaign, and when it first reached each level (None = never)."""

    label: Label
    first_ms: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Group:
    """The numbers of one kind and stealth."""

    name: str
    cases: Sequence[Case] = field(repr=False)

    def caught(self, level: str) -> int:
        """How many reached `level`."""
        return sum(case.first_ms[level] is not None for case in self.cases)

    def delays_s(self) -> list[float]:
        """Of those that reached `flag`: seconds from the first fraudulent event."""
        times = ((case, case.first_ms["flag"]) for case in self.cases)
        return [(at - case.label.active_from_ms) / 1000 for case, at in times if at is not None]

    def victims(self) -> list[int]:
        """Of those that reached `flag`: distinct recipients tried by then."""
        times = ((case, case.first_ms["flag"]) for case in self.cases)
        return [case.label.victims_before(at) for case, at in times if at is not None]


@dataclass(frozen=True, slots=True)
class Report:
    """What a bundle did to the scenarios held out."""

    groups: Sequence[Group]
    honest_number_days: int
    wronged: Mapping[str, Counter[str]] = field(repr=False)
    """Profiles of the honest number-days that reached each level."""

    def honest_share(self, level: str) -> float:
        """Share of honest number-days that reached `level`."""
        return self.wronged[level].total() / max(1, self.honest_number_days)

    def metrics(self) -> dict[str, float]:
        """Flat figures for a manifest."""
        found: dict[str, float] = {"honest_number_days": float(self.honest_number_days)}
        for level in LEVELS:
            found[f"honest_share_{level}"] = self.honest_share(level)
        for group in self.groups:
            for level in LEVELS:
                found[f"recall_{level}_{group.name}"] = group.caught(level) / len(group.cases)
            if group.caught("flag"):
                found[f"delay_s_{group.name}"] = float(np.median(group.delays_s()))
                found[f"delay_victims_{group.name}"] = float(np.median(group.victims()))
        return found

    def lines(self) -> list[str]:
        """The report as a table of Markdown, and whom it wronged."""
        lines = [
            "| campaign | numbers | watch | flag | block | median delay, s | median victims |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for group in self.groups:
            shares = " | ".join(f"{group.caught(level) / len(group.cases):.0%}" for level in LEVELS)
            late = "- | -"
            if group.caught("flag"):
                late = f"{np.median(group.delays_s()):,.0f} | {np.median(group.victims()):,.0f}"
            lines.append(f"| {group.name} | {len(group.cases)} | {shares} | {late} |")
        lines += ["", f"Honest number-days scored: {self.honest_number_days:,}. Of them reached", ""]
        for level in LEVELS:
            who = ", ".join(f"{count} {name}" for name, count in self.wronged[level].most_common()) or "nobody"
            lines.append(f"- {level}: {1e6 * self.honest_share(level):,.0f} a day and million ({who})")
        return lines


def evaluate(traffic: Traffic, scorer: Scorer, thresholds: Thresholds, floor: int) -> Report:
    """The report on `traffic`, of which the scorer must not have seen anything."""
    scores = score(traffic, scorer, floor)
    bars = {level: float(getattr(thresholds, level)) for level in LEVELS}
    days = number_days(scores)
    honest = ~days.fraud
    reached = {level: honest & (days.margins >= bar) for level, bar in bars.items()}
    return Report(
        groups=_groups(traffic, scores, bars),
        honest_number_days=int(honest.sum()),
        wronged={
            level: Counter(traffic.profile_of(int(number)) for number in days.numbers[who])
            for level, who in reached.items()
        },
    )


def pooled(reports: Sequence[Report]) -> Report:
    """Several scenarios as one."""
    names = sorted({group.name for report in reports for group in report.groups})
    return Report(
        groups=[
            Group(
                name,
                [case for report in reports for group in report.groups if group.name == name for case in group.cases],
            )
            for name in names
        ],
        honest_number_days=sum(report.honest_number_days for report in reports),
        wronged={level: sum((report.wronged[level] for report in reports), Counter()) for level in LEVELS},
    )


def _groups(traffic: Traffic, scores: Scores, bars: Mapping[str, float]) -> list[Group]:
    """Labels by kind and stealth; those active before the first warm day are left out."""
    by_number = np.argsort(scores.numbers, kind="stable")
    ordered = scores.numbers[by_number]
    begin = traffic.scenario.start_ms + FIRST_DAY * DAY_MS
    found: dict[str, list[Case]] = {}
    for label in traffic.labels:
        if label.active_from_ms < begin:
            continue
        low, high = (int(np.searchsorted(ordered, np.uint64(label.number), side)) for side in ("left", "right"))
        mine = by_number[low:high]
        mine = mine[scores.event_ms[mine] >= label.active_from_ms]
        first = {}
        for level, bar in bars.items():
            at = mine[scores.margins[mine] >= bar]
            first[level] = int(scores.event_ms[at].min()) if len(at) else None
        found.setdefault(f"{label.type}-{label.stealth}", []).append(Case(label, first))
    return [Group(name, cases) for name, cases in sorted(found.items())]
