"""Side by side: what backtested lanes came to, as a person reads it."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from detector.learning.backtest import Level, Outcome

ACTIONS: Final = ("flag", "warn", "block")


def lines(outcomes: "Sequence[Outcome]", analysts: int) -> list[str]:
    """The outcomes side by side."""
    found = [f"{one.name}: model {one.model}, policy {one.policy}, mode {one.mode}" for one in outcomes]
    first = outcomes[0]
    found.append(f"{first.rows:,} rows, {first.scored:,} scored; {first.span_days:.1f} days with full windows")
    found += ["", *_table("day", [_by_day(one) for one in outcomes], outcomes)]
    found += ["", *_table("rule", [one.rules for one in outcomes], outcomes)]
    if any(one.types for one in outcomes):
        found += ["", *_types(outcomes)]
        found += ["", *_table("honest numbers touched", [_touched(one) for one in outcomes], outcomes)]
    found += ["", *_workload(outcomes, analysts)]
    if len(outcomes) == 2:
        mine, theirs = outcomes[0].numbers, outcomes[1].numbers
        found.append(
            f"numbers decided against: {len(mine & theirs):,} by both, {len(mine - theirs):,} by {outcomes[0].name} "
            f"only, {len(theirs - mine):,} by {outcomes[1].name} only"
        )
    for one in outcomes:
        found += ["", *_levels(one)]
    return found


def _table(what: str, counted: Sequence[Mapping[str, Mapping[str, int]]], outcomes: "Sequence[Outcome]") -> list[str]:
    """A line for each key that any of them has; actions of each lane side by side."""
    keys = list(dict.fromkeys(key for counts in counted for key in counts))
    head = "  ".join(f"{' ' + one.name:->20}" for one in outcomes)
    found = [f"{'':<32}{head}", f"{what:<32}" + "  ".join("".join(f"{a:>7}" for a in ACTIONS)[1:] for _ in outcomes)]
    for key in [*keys, "all"]:
        cells = []
        for counts in counted:
            mine = [counts.get(key, {})] if key != "all" else list(counts.values())
            cells.append("".join(f"{sum(c.get(a, 0) for c in mine):>7,}" for a in ACTIONS)[1:])
        found.append(f"{key:<32}" + "  ".join(cells))
    return found


def _by_day(outcome: "Outcome") -> dict[str, Mapping[str, int]]:
    return {date_of(day): counts for day, counts in outcome.days.items()}


def _touched(outcome: "Outcome") -> dict[str, Mapping[str, int]]:
    return {"gravest against each": outcome.touched}


def _types(outcomes: "Sequence[Outcome]") -> list[str]:
    """Known frauds by type. Late: decided against only after it had ended."""
    columns = ("caught", "blocked", "late", "delay")
    found = [f"{'fraud':<24}{'numbers':>8}" + "  ".join("".join(f"{name:>10}" for name in columns) for _ in outcomes)]
    for kind in dict.fromkeys(kind for one in outcomes for kind in one.types):
        cells = []
        for one in outcomes:
            caught = one.types[kind]
            delay = "-" if caught.median_delay_s is None else str(timedelta(seconds=round(caught.median_delay_s)))
            cells.append(f"{caught.caught:>10,}{caught.blocked:>10,}{caught.late:>10,}{delay:>10}")
        found.append(f"{kind:<24}{outcomes[0].types[kind].numbers:>8,}" + "  ".join(cells))
    return found


def _workload(outcomes: "Sequence[Outcome]", analysts: int) -> list[str]:
    return [
        f"{one.name}: {one.alerts_a_day:,.1f} alerts a day, {one.alerts_a_day / analysts:,.1f} for each of {analysts} "
        f"analysts (at most {max(one.alerts.values(), default=0):,})"
        + "".join(f"; held back by {why}: {count:,}" for why, count in one.held_back.items())
        for one in outcomes
    ]


def _levels(outcome: "Outcome") -> list[str]:
    """Thresholds as they are, and as a budget would have them."""
    found = [f"{outcome.name + ': numbers a day that reach':<36}{'margin':>10}{'numbers':>10}{'frauds':>10}"]
    return found + [_level(level) for level in (*outcome.levels, *outcome.suggested)]


def _level(level: "Level") -> str:
    frauds = "-" if level.frauds_a_day is None else f"{level.frauds_a_day:,.1f}"
    return f"  {level.name:<34}{level.margin:>10.3f}{level.numbers_a_day:>10,.1f}{frauds:>10}"


def date_of(day: int) -> str:
    """Of a day since 1970, ISO."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
