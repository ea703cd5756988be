"""What the latency test calls beyond its bounds, what it counts, and how it tells stages from two looks."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from detector.metrics import Metrics
from loadtest import latency
from loadtest.latency import BOUND_RATE, IDLE, Paced
from loadtest.load import Written
from loadtest.scrape import Scraped, parse
from loadtest.stages import WHOLE, at_most, stages
from loadtest.timeline import Seen


def paced(rate: int = BOUND_RATE, p50_s: float = 0.04, p99_s: float = 0.1) -> Paced:
    """A pace that was kept, at its bounds."""
    written = Written(0, 30 * rate, per_s=rate) if rate else None
    return Paced(rate, written, 7_000, [p50_s, 0.06, p99_s, 0.2, 0.3])


def test_a_run_at_its_bounds_keeps_them() -> None:
    """p50 of 40 ms and p99 of 100 ms are within."""
    assert latency.unmet([paced(), paced(IDLE)]) == []
    assert "every bound is kept" in latency.table([paced()])
    assert "| 20,000 records/s | 20,000 | 7,000 | 40 ms | 60 ms | 100 ms | 200 ms | 300 ms | 0.0 s |" in latency.table(
        [paced()]
    )


@pytest.mark.parametrize("rate", [IDLE, 1_000, 160_000])
def test_the_bounds_hold_at_one_pace_alone(rate: int) -> None:
    """Other paces are told, and are no criterion."""
    assert latency.unmet([paced(rate, p50_s=3.0, p99_s=math.inf)]) == []


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (paced(p50_s=0.041), "p50 is 41 ms (bound 40 ms)"),
        (paced(p99_s=0.101), "p99 is 101 ms (bound 100 ms)"),
        (paced(p99_s=math.inf), "p99 is inf ms"),
        (replace(paced(IDLE), probes=0), "idle: no probe was written"),
        (replace(paced(IDLE), unbalanced=2), "idle: 2 probes without a decision, or with two"),
        (replace(paced(1_000), ended=1), "1,000 records/s: 1 processes ended"),
        (replace(paced(160_000), written=Written(0, per_s=150_000)), "the generator wrote 150,000 a second"),
    ],
)
def test_what_a_run_did_not_keep_is_said(run: Paced, words: str) -> None:
    """One sentence each."""
    assert [words in sentence for sentence in latency.unmet([run])] == [True]
    assert words in latency.table([run])


def test_a_run_without_a_probe_keeps_no_bound() -> None:
    """NaN is not within."""
    run = latency.summed_up(BOUND_RATE, [])
    assert math.isnan(run.at(0.5))
    assert len(run.unmet()) == 3


def test_percentiles_are_of_probes_and_the_worst_is_among_them() -> None:
    """A probe without a decision is infinitely late."""
    seen = [Seen(q % 12, 10.0 + q, 10.0 + q + 0.001 * (q + 1)) for q in range(999)]
    run = latency.summed_up(1_000, [*seen, Seen(3, 2_000.0, math.inf)])
    assert run.latency_s == pytest.approx([0.5, 0.9, 0.99, 0.999, math.inf])
    assert run.probes == 1_000


def test_paces_follow_the_capacity() -> None:
    """Idle, two fixed ones, half and four fifths of it."""
    assert latency.rates_of(200_000) == [0, 1_000, 20_000, 100_000, 160_000]


def look(seconds: list[float]) -> Scraped:
    """A detect process that took so long to publish each of its batches."""
    metrics = Metrics()
    for one in seconds:
        metrics.stage_seconds.labels("detect", "publish").observe(one)
        metrics.latency_seconds.labels("detect").observe(2 * one)
    return parse(generate_latest(metrics.registry).decode())


def test_stages_are_what_was_counted_between_two_looks() -> None:
    """Of all processes of the role; one that the first look did not find began from nothing."""
    before = {"detect-0": look([5.0, 5.0])}
    after = {"detect-0": look([5.0, 5.0, 0.004, 0.004, 0.004]), "detect-1": look([0.015])}
    told = {(one.role, one.stage): one for one in stages(before, after)}
    publish = told["detect", "publish"]
    assert publish.batches == 4
    assert publish.mean_s == pytest.approx(0.027 / 4)
    assert (publish.p50_at_most_s, publish.p99_at_most_s) == (0.005, 0.02)
    assert told["detect", WHOLE].mean_s == pytest.approx(0.054 / 4)
    assert told["ingest", "map"].batches == 0
    assert math.isnan(told["ingest", "map"].mean_s)
    assert [one.stage for one in stages(before, after)] == [
        "poll",
        "map",
        "publish",
        WHOLE,
        "poll",
        "detect",
        "publish",
        WHOLE,
    ]


def test_a_percentile_of_a_histogram_is_the_upper_edge_of_its_bucket() -> None:
    """Counts run on; above the last edge it is infinite."""
    counts = [(0.01, 50.0), (0.1, 98.0), (math.inf, 100.0)]
    assert at_most(counts, 0.5) == 0.01
    assert at_most(counts, 0.98) == 0.1
    assert at_most(counts, 0.99) == math.inf
    assert math.isnan(at_most([(0.01, 0.0), (math.inf, 0.0)], 0.5))


@pytest.mark.kafka
@pytest.mark.slow
def test_latency_is_measured_on_a_real_kafka(tmp_path: Path) -> None:
    """As small as it can be: that it measures, not how much."""
    idle, run = latency.measure([IDLE, 500], 3.0, 2_000, 0.2, 1, 3, tmp_path, settle_s=1.0)
    assert idle.written is None
    assert run.written is not None
    assert run.written.records > 1_000
    assert 12 <= idle.probes <= 4 * 12 < run.probes
    for one in (idle, run):
        assert one.latency_s == sorted(one.latency_s)
        assert 0 < one.at(0.5) <= one.at(1.0) < math.inf
        assert (one.unbalanced, one.ended) == (0, 0)
        assert {stage.role for stage in one.stages if stage.batches} == {"ingest", "detect"}
