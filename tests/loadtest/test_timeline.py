"""Pauses, latency and recovery, worked out from when probes were written and decided."""

import math

import pytest

from loadtest.timeline import Seen, back_under, first_decided, longest_gap, percentile


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0), (0.0, 1.0)])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, expected: float) -> None:
    """Nearest rank: no value is made up between two."""
    assert percentile((float(value) for value in range(100, 0, -1)), share) == expected


def test_of_nothing_there_is_no_percentile() -> None:
    """It compares as neither within nor beyond a bound."""
    assert math.isnan(percentile([], 0.5))


def test_a_gap_is_counted_up_to_the_edges() -> None:
    """
    start   1     2           4  stop=5.5
      0 ----|-----|-----------|-----
    """
    assert longest_gap([4.0, 1.0, 2.0], 0.0, 5.5) == 2.0
    assert longest_gap([1.0, 2.0], 0.0, 5.5) == 3.5
    assert longest_gap([], 1.0, 5.5) == 4.5
    assert longest_gap([0.0, 9.0], 1.0, 5.0) == 4.0


def test_what_was_written_before_the_kill_does_not_show_that_anybody_is_at_work() -> None:
    """It may have been decided just before, and been read after."""
    seen = [Seen(0, 9.9, 10.1), Seen(0, 10.0, 13.0), Seen(0, 10.1, 12.5), Seen(0, 10.2, math.inf)]
    assert first_decided(seen, 10.0) == 12.5
    assert first_decided(seen, 10.2) == math.inf
    assert first_decided(seen, 11.0) == math.inf


def seen_at(latency_s: list[float]) -> list[Seen]:
    """A probe every tenth of a second from 0 on."""
    return [Seen(0, 0.1 * i, 0.1 * i + latency) for i, latency in enumerate(latency_s)]


def test_latency_is_back_when_a_whole_window_keeps_the_bound() -> None:
    """Four slow ones, two fast, a slow one, and fast ones for good: back at 0.7 s."""
    seen = seen_at([2.0] * 4 + [0.05] * 2 + [2.0] + [0.05] * 20)
    assert back_under(seen, 0.0, 0.1, 1.0, 0.5) == pytest.approx(0.7)


def test_a_share_may_be_late() -> None:
    """Of five in a window one is late: 80 % keep the bound."""
    seen = seen_at([2.0] + [0.05] * 20)
    assert back_under(seen, 0.0, 0.1, 0.8, 0.5) == 0.0
    assert back_under(seen, 0.0, 0.1, 0.9, 0.5) == pytest.approx(0.1)


@pytest.mark.parametrize("latency_s", [[], [2.0] * 30, [0.05] * 3, [2.0] * 28 + [0.05] * 2])
def test_without_a_whole_window_that_keeps_it_latency_is_not_back(latency_s: list[float]) -> None:
    """None written, all slow, too few to tell."""
    assert back_under(seen_at(latency_s), 0.0, 0.1, 1.0, 1.0) == math.inf


def test_a_probe_that_was_never_decided_keeps_no_bound() -> None:
    """Its latency is infinite."""
    seen = [*seen_at([0.05] * 8), Seen(0, 0.8, math.inf), *[Seen(0, 0.9 + 0.1 * i, 0.95 + 0.1 * i) for i in range(20)]]
    assert back_under(seen, 0.5, 0.1, 1.0, 1.0) == pytest.approx(0.9)
