"""Rates: the few figures of a process that tell at a glance how it does, from its own registry."""

from collections import deque
from collections.abc import Iterator
from threading import Lock
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry

SPAN_S: Final = 30.0
"""A rate is over this long, where the page was asked for so long."""
LABELS: Final = {
    "detector_records_total": "records/s",
    "detector_rows_total": "rows/s",
    "detector_scored_total": "scored/s",
    "detector_decisions_total": "decisions/s",
    "detector_rejects_total": "rejects/s",
}
LAG_S: Final = 60.0
"""From which on a lag is worth a look, as the table of metrics says."""
UNITS: Final = ((172_800, 86_400, "d"), (7_200, 3_600, "h"), (120, 60, "min"))
"""From how many seconds on a time is told in a unit of how many."""


class Figure(NamedTuple):
    """One of them."""

    label: str
    text: str
    is_bad: bool = False


class Rates:
    """What the counters of one registry stood at, each time somebody looked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._lock = Lock()
        self._looks: deque[tuple[float, dict[str, float]]] = deque()

    def figures(self, now_s: float) -> Iterator[Figure]:
        """Each figure that the process has. `now_s` never goes back."""
        totals: dict[str, float] = {}
        lags: dict[str, float] = {}
        for family in self._registry.collect():
            for sample in family.samples:
                if sample.name in LABELS:
                    totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
                elif sample.name == "detector_lag_seconds":
                    lags[sample.labels["role"]] = sample.value
        before_s, before = self._look(now_s, totals)
        for name, label in LABELS.items():
            if totals.get(name):
                gone_s = now_s - before_s
                rate = (totals[name] - before.get(name, 0.0)) / gone_s if gone_s > 0 else None
                yield Figure(label, "…" if rate is None else _text(rate))
        for role, lag_s in lags.items():
            yield Figure(f"lag of {role}", _time(lag_s), lag_s > LAG_S)

    def _look(self, now_s: float, totals: dict[str, float]) -> tuple[float, dict[str, float]]:
        """The oldest look within the span; at the first one, this one."""
        with self._lock:
            if not self._looks or now_s - self._looks[-1][0] >= 1:
                self._looks.append((now_s, totals))
            while len(self._looks) > 1 and self._looks[0][0] < now_s - SPAN_S:
                self._looks.popleft()
            return self._looks[0]


def _time(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for least, each, unit in UNITS:
        if seconds >= least:
            return f"{seconds / each:,.0f} {unit}"
    return f"{seconds:.1f} s"


def _text(rate: float) -> str:
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:,.0f}"
