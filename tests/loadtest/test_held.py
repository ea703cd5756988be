"""Held: throughput where detect holds numbers already, small on a real Kafka."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.held import Held, measure, table
from loadtest.population import Population
from tests.loadtest.test_throughput import run


def test_a_rate_is_told_as_a_share_of_the_first_sizes() -> None:
    """Twice the time for as many records is half of it."""
    told = table([Held(1_000, 1e7, run()), Held(100_000, 1e9, replace(run(), seconds=20.0))])
    assert "| 1,000 | 0.01 | 100,000 | 100% | 20% | 2.0 | 8.0 | 3.0 | 0.50 |" in told
    assert "| 100,000 | 1.00 | 50,000 | 50% | 20% | 2.0 | 8.0 | 3.0 | 0.50 |" in told


@pytest.mark.kafka
@pytest.mark.slow
def test_the_backlog_meets_numbers_that_are_held(tmp_path: Path) -> None:
    """Each of its records makes two rows, the prefill's not among them; broken ones make none."""
    held = measure(Population(2_000), days=1.0, records=120_000, folder=tmp_path)
    assert held.run.rows == 2 * (120_000 - 120_000 // 5_000)
    assert 0 < held.run.scored < held.run.rows
    assert held.state_bytes > 0
    assert held.run.records_per_s > 0
