"""One play: hours of simulated traffic go through both roles, and the decisions come out.

An hour is published at once and worked through before the next: the simulated clock goes as
fast as the machine can follow.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.config import Settings
from detector.demo.screen import Screen, Status
from detector.learning.encode import encode
from detector.learning.simulate import Traffic
from detector.metrics import Metrics
from detector.replay import Replay
from detector.units import HOUR_MS
from detector.verdict.decisions import Decision

SOURCE: Final = "plain"
"""The source whose mapping reads what the simulator writes."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came out, and what it took."""

    decisions: tuple[Decision, ...]
    records: int
    rejected: int
    elapsed_s: float
    """From the first record to the last decision, encoding of the records included."""

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.elapsed_s


def play(settings: Settings, traffic: Traffic, metrics: Metrics, screen: Screen) -> Played:
    """Every record of `traffic`, through the roles that `settings` describe."""
    topic = next(source.topic for source in settings.sources if source.name == SOURCE)
    hours = list(_hours(traffic))
    status = Status(hours=len(hours), now_ms=traffic.scenario.start_ms)
    decisions: list[Decision] = []
    # The counters belong to the process: another play in it goes on counting.
    before = _counted(metrics)
    with Replay(settings, metrics, clock_ms=lambda: status.now_ms) as replay:
        began_s = time.perf_counter()

        def after_step() -> None:
            status.elapsed_s = time.perf_counter() - began_s
            status.records = int(metrics.value("records") - before[0])
            status.behind = published - status.records
            status.numbers = int(metrics.value("numbers"))
            screen.show(status)

        published = 0
        for status.hour, (end_ms, start, stop) in enumerate(hours):
            status.now_ms = end_ms
            replay.publish(topic, encode(traffic.records[start:stop], start))
            published += stop - start
            replay.settle(after_step)
            for decision in replay.decisions():
                decisions.append(decision)
                status.decided[decision.action] += 1
                status.held_back.update(decision.held_back)
            after_step()
        elapsed_s = time.perf_counter() - began_s
    return Played(tuple(decisions), published, int(_counted(metrics)[1] - before[1]), elapsed_s)


def _counted(metrics: Metrics) -> tuple[float, float]:
    return metrics.value("records"), metrics.value("rejects")


def _hours(traffic: Traffic) -> Iterator[tuple[int, int, int]]:
    """End of each simulated hour, and the records published in it as `[start, stop)`."""
    published_ms = traffic.records["end_ms"]
    first_ms = traffic.scenario.start_ms
    last_ms = int(published_ms[-1]) if len(published_ms) else first_ms
    ends = np.arange(first_ms + HOUR_MS, last_ms + HOUR_MS + 1, HOUR_MS)
    stops = np.searchsorted(published_ms, ends)
    start = 0
    for end_ms, stop in zip(ends.tolist(), stops.tolist(), strict=True):
        yield end_ms, start, stop
        start = stop
