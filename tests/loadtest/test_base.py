"""What a worker takes beside its numbers, against what a plan says of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest import base

MB = 1_000_000
WITHIN = base.Base(
    numbers=10,
    rows=20,
    idle_bytes=200 * MB,
    busy_bytes=400 * MB,
    base_bytes=300 * MB,
    batch_bytes=100 * MB,
    buffer_bytes=5 * MB,
)


def test_what_is_held_within_the_plan_is_told_beside_it() -> None:
    """A line for the worker that holds nothing, and one for it at work."""
    assert WITHIN.unmet() == []
    assert "| holding nothing | 200 | 300 |\n| at work, the most | 400 | 405 |" in base.table(WITHIN)
    assert "both are within the plan" in base.table(WITHIN)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"idle_bytes": 301 * MB}, "holding nothing: 301 MB beyond the state (planned: 300)"),
        ({"busy_bytes": 406 * MB}, "at work: 406 MB beyond the state (planned: 405)"),
    ],
)
def test_a_plan_that_says_too_little_is_told(more: dict[str, int], sentence: str) -> None:
    """Each by itself: a worker that holds nothing needs no batch."""
    made = replace(WITHIN, **more)
    assert made.unmet() == [sentence]
    assert base.table(made).endswith(f"not within the plan:\n{sentence}\n")


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_is_looked_at_with_nothing_and_at_work(tmp_path: Path) -> None:
    """As small as can be: that it measures, not how much."""
    measured = base.measure(2_000, 0.5, 3, tmp_path)
    assert 50 * MB < measured.idle_bytes < 1_000 * MB
    assert measured.busy_bytes > measured.idle_bytes // 2
    assert measured.rows > 2 * 2_000
    assert measured.buffer_bytes > 0
