"""Rates: the few figures of a process that tell at a glance how it does, from its own registry."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
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
"""From which on a lag is worth a look, as the table of metrics says; and a pause, while something waits."""
MANY: Final = 10_000
"""Messages that may wait: some ten seconds of a worker's work at 20,000 records/s."""
UNITS: Final = ((172_800, 86_400, "d"), (7_200, 3_600, "h"), (120, 60, "min"))
"""From how many seconds on a time is told in a unit of how many."""


class Figure(NamedTuple):
    """One of them."""

    label: str
    text: str
    is_bad: bool = False


class Rates:
    """What the counters of one registry stood at, each time somebody looked."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.time) -> None:
        self._registry = registry
        self._clock = clock
        self._lock = Lock()
        self._looks: deque[tuple[float, dict[str, float]]] = deque()

    def figures(self, now_s: float) -> Iterator[Figure]:
        """Each figure that the process has. `now_s` never goes back."""
        totals: dict[str, float] = {}
        lags: dict[str, float] = {}
        batches: dict[str, float] = {}
        waiting: dict[str, float] = {}
        for family in self._registry.collect():
            for sample in family.samples:
                if sample.name in LABELS:
                    totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
                elif sample.name == "detector_lag_seconds":
                    lags[sample.labels["role"]] = sample.value
                elif sample.name == "detector_last_batch_timestamp_seconds":
                    batches[sample.labels["role"]] = sample.value
                elif sample.name == "detector_lag_records":
                    role = sample.labels["role"]
                    waiting[role] = waiting.get(role, 0.0) + sample.value
        before_s, before = self._look(now_s, totals)
        for name, label in LABELS.items():
            if totals.get(name):
                gone_s = now_s - before_s
                rate = (totals[name] - before.get(name, 0.0)) / gone_s if gone_s > 0 else None
                yield Figure(label, "…" if rate is None else _text(rate))
        now = self._clock()
        pauses = {role: max(0.0, now - batch_s) for role, batch_s in batches.items()}
        for role, lag_s in lags.items():
            # As of the last batch: what has waited since then is that much older.
            grown_s = lag_s + (pauses.get(role, 0.0) if waiting.get(role) else 0.0)
            yield Figure(f"lag of {role}", _time(grown_s), grown_s > LAG_S)
        for role, messages in waiting.items():
            yield Figure(f"waiting for {role}", f"{messages:,.0f}", messages > MANY)
        for role, pause_s in pauses.items():
            yield Figure(f"last batch of {role}", _time(pause_s), pause_s > LAG_S and waiting.get(role, 0) > 0)

    def waiting(self) -> dict[int, int]:
        """Messages that wait for detect, by partition, as far as its client has told."""
        return {
            int(sample.labels["partition"]): int(sample.value)
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == "detector_lag_records" and sample.labels["role"] == "detect"
        }

    def _look(self, now_s: float, totals: dict[str, float]) -> tuple[float, dict[str, float]]:
        """The oldest look within the span; at the first one, this one."""
        with self._lock:
            if not self._looks or now_s - self._looks[-1][0] >= 1:
                self._looks.append((now_s, totals))
            while len(self._looks) > 1 and self._looks[0][0] < now_s - SPAN_S:
                self._looks.popleft()
            return self._looks[0]


class Stillness:
    """For how long the offset of each partition has stood where it stands, as far as somebody has looked."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._since: dict[int, tuple[int, float]] = {}

    def look(self, now_s: float, offsets: Mapping[int, int]) -> dict[int, float]:
        """Seconds by partition; 0 where it has moved since the last look, or was not held then."""
        with self._lock:
            before, self._since = self._since, {}
            for q, offset in offsets.items():
                stood = before.get(q, (offset, now_s))
                self._since[q] = stood if stood[0] == offset else (offset, now_s)
            return {q: now_s - since_s for q, (_, since_s) in self._since.items()}


def _time(seconds: float) -> str:
    """In the largest unit of which there are two."""
    for least, each, unit in UNITS:
        if seconds >= least:
            return f"{seconds / each:,.0f} {unit}"
    return f"{seconds:.1f} s"


def _text(rate: float) -> str:
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:,.0f}"
