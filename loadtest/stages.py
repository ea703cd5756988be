"""Stages: what the roles' own histograms say of a stretch of time, from two looks at /metrics.

scrape before -> the stretch -> scrape after -> Stage of each role, and its batches as a whole

A histogram knows its buckets only: a percentile is told as the upper edge of the one it lies in.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from loadtest.scrape import Scraped

STAGES: Final = {"ingest": ("poll", "map", "publish"), "detect": ("poll", "detect", "publish")}
"""In their order. `poll` is the wait for messages too: of an idle role it says nothing."""
WHOLE: Final = "batch"
"""From the oldest message of a batch standing in its topic to the commit of what came of it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one role, all its processes together, over a stretch of time. NaN where it had no batch."""

    role: str
    stage: str
    batches: int
    mean_s: float
    p50_at_most_s: float
    p99_at_most_s: float


def stages(before: Mapping[str, Scraped], after: Mapping[str, Scraped]) -> list[Stage]:
    """Every stage between the two looks, by process; who is missing in the first had counted nothing by then."""
    series = [(role, stage, "stage_seconds", {"stage": stage}) for role in STAGES for stage in STAGES[role]]
    series += [(role, WHOLE, "latency_seconds", {}) for role in STAGES]
    series.sort(key=lambda one: list(STAGES).index(one[0]))
    return [
        _stage(role, stage, f"detector_{name}", {"role": role, **labels}, before, after)
        for role, stage, name, labels in series
    ]


def _stage(
    role: str,
    stage: str,
    name: str,
    labels: Mapping[str, str],
    before: Mapping[str, Scraped],
    after: Mapping[str, Scraped],
) -> Stage:
    counts: dict[float, float] = {}
    seconds = 0.0
    for sign, looks in ((1, after), (-1, before)):
        for told in looks.values():
            seconds += sign * told.total(f"{name}_sum", **labels)
            for edge, count in told.buckets(name, **labels).items():
                counts[edge] = counts.get(edge, 0.0) + sign * count
    batches = int(max(counts.values(), default=0.0))
    mean = seconds / batches if batches else math.nan
    return Stage(role, stage, batches, mean, at_most(counts.items(), 0.5), at_most(counts.items(), 0.99))


def at_most(counts: Iterable[tuple[float, float]], share: float) -> float:
    """The lowest edge that `share` of the observations do not exceed, of running counts by edge; NaN of none."""
    ordered = sorted(counts)
    if not ordered or not ordered[-1][1]:
        return math.nan
    return next(edge for edge, count in ordered if count >= share * ordered[-1][1])
