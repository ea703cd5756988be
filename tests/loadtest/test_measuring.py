"""Recovery and rebalance on a real Kafka, as small as they can be: that they measure, not how much."""

import math
from pathlib import Path

import pytest

from loadtest import rebalance, recovery

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_a_kill_under_load_is_measured_until_every_partition_is_decided_again(tmp_path: Path) -> None:
    """Those of the killed stood still for longer than any of the others' gaps before; nothing was lost or doubled."""
    measured = recovery.measure(
        2_000, 1_000, 3, days=0.5, wait_s=3.0, ingest=1, folder=tmp_path, kills=[recovery.ONE], trial_s=0.0
    )
    (turn,) = measured.turns
    assert measured.unbalanced == 0
    assert len(turn.killed) == 1
    assert 0 < len(turn.again_s) < 12
    assert len(turn.again_s) + len(turn.others_gap_s) == 12
    assert all(math.isfinite(seconds) for seconds in turn.again_s.values())
    assert all(turn.caught_up_s[q] >= 0 and math.isfinite(turn.caught_up_s[q]) for q in turn.again_s)
    assert min(turn.again_s.values()) > turn.before_gap_s
    assert turn.replayed_rows > 0
    assert measured.filled.rows == 2 * measured.filled.records
    assert all(one.records > 0 for one in measured.written)
    assert "| kill -9 of one detect worker | " in recovery.table(measured)


def test_every_change_of_workers_is_measured_on_every_partition(tmp_path: Path) -> None:
    """Partitions move when a worker joins, and those that it had move when it leaves; each probe is decided once."""
    changes = [rebalance.NOTHING, rebalance.JOINS, rebalance.LEAVES]
    steps, unbalanced = rebalance.measure(2_000, 500, 3, quiet_s=2.0, folder=tmp_path, changes=changes)
    assert unbalanced == 0
    assert [len(step.moved) + len(step.stayed) for step in steps] == [12] * 3
    still, joins, leaves = steps
    assert not still.moved
    assert joins.moved
    assert leaves.moved.keys() >= joins.moved.keys()
    assert all(gap > 0 for step in steps for gap in (*step.moved.values(), *step.stayed.values()))
