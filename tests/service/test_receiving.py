"""Receive delay: from an event to its record in the topic, by what the record reports."""

import numpy as np
import pytest

from detector.ingest.rows import Raw
from detector.metrics import Metrics
from detector.records import ROW, Flag, Rows
from detector.service.receiving import SHOWN, phase_of, tell_delays

EVENT_MS = 1_794_000_000_000
WHOLE = Flag.BEGAN | Flag.ANSWERED | Flag.ENDED


@pytest.mark.parametrize(
    ("flags", "phase"),
    [
        (Flag.BEGAN, "began"),
        (Flag.BEGAN | Flag.OWN | Flag.INTERNATIONAL, "began"),
        (Flag.ANSWERED, "answered"),
        (Flag.INTERIM, "interim"),
        (Flag.ENDED, "ended"),
        (Flag.ENDED | Flag.ANSWERED, "ended"),
        (WHOLE, "complete"),
        (Flag.BEGAN | Flag.ENDED | Flag.CANCELLED, "complete"),
    ],
)
def test_a_record_reports_a_phase(flags: Flag, phase: str) -> None:
    """Facts that are no phases do not matter."""
    assert phase_of(int(flags)) == phase


def rows_of(*flags: Flag) -> Rows:
    """A row of each, at offsets 100, 101, … of source partition 3."""
    rows = np.zeros(len(flags), ROW)
    rows["flags"], rows["event_ms"], rows["partition"] = flags, EVENT_MS, 3
    rows["offset"] = 100 + np.arange(len(flags))
    return rows


def told(metrics: Metrics) -> dict[str, tuple[float, float]]:
    """Of each phase how many delays were told, and their sum in seconds."""
    samples = [s for family in metrics.receive_seconds.collect() for s in family.samples]
    counts = {s.labels["phase"]: s.value for s in samples if s.name.endswith("_count")}
    return {
        phase: (counts[phase], s.value) for s in samples if s.name.endswith("_sum") for phase in [s.labels["phase"]]
    }


def test_each_delay_is_that_of_the_rows_own_message() -> None:
    """One message of another partition has the same offset, and a row may have no message before it in the batch."""
    metrics = Metrics()
    raw = Raw([b"", b"", b""], [2, 3, 3], [100, 100, 101], [EVENT_MS + 60_000, EVENT_MS + 2_000, EVENT_MS + 5_000])
    tell_delays(metrics.receive_seconds, "msc", raw, rows_of(Flag.BEGAN, WHOLE))
    assert told(metrics) == {"began": (1, 2.0), "complete": (1, 5.0)}


def test_a_source_without_message_times_tells_nothing() -> None:
    """Replays have max_future_s off: when they were written says nothing of the switch."""
    metrics = Metrics()
    tell_delays(metrics.receive_seconds, "msc", Raw([b""], [3], [100], [0]), rows_of(WHOLE))
    assert told(metrics) == {}


@pytest.mark.parametrize("rows", [1, SHOWN - 1, SHOWN, SHOWN + 1, 10 * SHOWN + 3])
def test_a_few_rows_of_a_batch_are_told_of(rows: int) -> None:
    """However many there are: the hot path pays once a batch."""
    metrics = Metrics()
    times = np.full(rows, EVENT_MS + 1_000)
    raw = Raw([b""] * rows, [3] * rows, list(range(100, 100 + rows)), times)
    tell_delays(metrics.receive_seconds, "msc", raw, rows_of(*[WHOLE] * rows))
    assert 1 <= told(metrics)["complete"][0] <= SHOWN
