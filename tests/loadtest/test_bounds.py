"""What recovery and rebalance call beyond their bounds, and how they say it."""

import math

import pytest

from loadtest import rebalance, recovery, start
from loadtest.load import Written
from loadtest.rebalance import Step
from loadtest.recovery import Recovery, Turn
from loadtest.start import AGAIN, COMPILING, NEW, Start


def recovered(
    again_s: float = 9.9, pause_s: float | None = 0.05, unbalanced: int = 0, per_s: float = 1_000
) -> Recovery:
    """A run that keeps every bound, but for what is said."""
    turn = Turn("kill -9 of one detect worker", ["detect-0"], {0: 5.1, 3: again_s}, {0: 6.0, 3: 12.0}, {1: 0.2})
    written = Written(0, 10_000, 20_000, 0, 0.1, per_s)
    return Recovery(100, 1_000, "source", written, [written], [turn], 1e6, pause_s, unbalanced)


def test_a_recovery_within_ten_seconds_keeps_its_bounds() -> None:
    """Catching up may take longer, and nobody may have counted pauses."""
    assert recovered().unmet() == []
    assert recovered(pause_s=None).unmet() == []
    assert "every bound is kept" in recovery.table(recovered())
    assert "7.5 s, 9.9 s | 12.0 s | 0.20 s" in recovery.table(recovered())


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (recovered(again_s=10.1), "decided again after 10.1 s"),
        (recovered(again_s=math.inf), "decided again after inf s"),
        (recovered(pause_s=0.06), "a snapshot stopped a partition for up to 0.06 s"),
        (recovered(unbalanced=1), "1 probes without a decision"),
        (recovered(per_s=970), "the generator wrote 970 records/s"),
    ],
)
def test_what_a_recovery_did_not_keep_is_said(run: Recovery, words: str) -> None:
    """One sentence each."""
    assert [words in sentence for sentence in run.unmet()] == [True]
    assert words in recovery.table(run)


def test_a_partition_that_was_not_decided_again_is_told_as_such() -> None:
    """It has no time to tell."""
    assert "not in 180 s" in recovery.table(recovered(again_s=math.inf))


def steps(moved_s: float = 2.9, stayed_s: float = 0.3, still_s: float = 0.1) -> list[Step]:
    """Nothing, and then one change."""
    return [
        Step(rebalance.NOTHING, {}, {0: still_s, 1: 0.05}),
        Step(rebalance.JOINS, {0: moved_s}, {1: stayed_s}),
    ]


def test_a_rebalance_within_three_seconds_keeps_its_bounds() -> None:
    """Partitions that stayed may pause as long as they do without a rebalance, if that is longer than 0.3 s."""
    assert rebalance.unmet(steps(), 0) == []
    assert rebalance.unmet(steps(stayed_s=0.9, still_s=1.0), 0) == []
    assert "every bound is kept" in rebalance.table(steps(), 0)


@pytest.mark.parametrize(
    ("made", "unbalanced", "words"),
    [
        (steps(moved_s=3.1), 0, "a partition that moved paused for 3.10 s"),
        (steps(stayed_s=0.4), 0, "one that stayed paused for 0.40 s"),
        (steps(), 2, "2 probes without a decision"),
        ([*steps()[:1], Step(rebalance.JOINS, {}, {0: 0.1, 1: 0.1})], 0, "a third worker joins: no partition moved"),
    ],
)
def test_what_a_rebalance_did_not_keep_is_said(made: list[Step], unbalanced: int, words: str) -> None:
    """One sentence each."""
    assert [words in sentence for sentence in rebalance.unmet(made, unbalanced)] == [True]
    assert words in rebalance.table(made, unbalanced)


def test_a_start_within_five_seconds_keeps_its_bounds() -> None:
    """Whoever compiles first may take as long as that takes."""
    starts = [Start(NEW, [4.9, 2.0, 2.5], [5.5, 2.1, 2.6]), Start(COMPILING, [40.0], [41.0])]
    assert [sentence for one in starts for sentence in one.unmet()] == []
    assert "| new | 3 | 2.5, 4.9 s | 2.6, 5.5 s |" in start.table(starts)
    assert "every bound is kept" in start.table(starts)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (Start(AGAIN, [5.1], [5.2]), "again: the first decision came after 5.1 s"),
        (Start(NEW, [math.inf], [math.inf]), "new: the first decision came after inf s"),
        (Start(COMPILING, [40.0], [41.0], unbalanced=2), "compiling: 2 probes without a decision"),
    ],
)
def test_what_a_start_did_not_keep_is_said(run: Start, words: str) -> None:
    """One sentence each."""
    assert [words in sentence for sentence in run.unmet()] == [True]
    assert words in start.table([run])
