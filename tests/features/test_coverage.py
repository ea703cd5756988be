"""Coverage: when a partition's log is warm, and when a feed counts as silent."""

import numpy as np
import pytest

from detector.features.coverage import DAY_MS, HOUR_MS, Coverage
from detector.records import ROW, I64s, Kind, Rows

T0 = 1_790_000_000_000
OFF: I64s = np.zeros(64, np.int64)


def rows_at(*events: tuple[int, int]) -> Rows:
    """Rows at (event time, source id)."""
    rows = np.zeros(len(events), ROW)
    rows["event_ms"] = [event_ms for event_ms, _ in events]
    rows["source"] = [source for _, source in events]
    return rows


def limit(source: int, silent_after_ms: int) -> I64s:
    limits = OFF.copy()
    limits[source] = silent_after_ms
    return limits


def test_a_log_is_warm_once_it_covers_the_longest_window() -> None:
    """Seven days from the first event, and not a millisecond before.

    day  0 |----------------------------| 7   warm
    """
    events = [(T0 + day * DAY_MS, 1) for day in range(7)]
    warm = Coverage().update(rows_at(*events, (T0 + 7 * DAY_MS - 1, 1), (T0 + 7 * DAY_MS, 1)), OFF).warm
    assert warm.tolist() == [False] * 8 + [True]


def test_one_record_from_long_ago_does_not_make_a_log_warm() -> None:
    """A leap of the newest event time by more than a day starts the coverage anew."""
    covered = Coverage().update(rows_at((T0 - 30 * DAY_MS, 1), (T0, 1), (T0 + HOUR_MS, 1)), OFF)
    assert covered.warm.tolist() == [False, False, False]


def test_an_operators_command_covers_nothing() -> None:
    """Its time is the wall clock's: over replayed traffic it would start the coverage anew."""
    rows = rows_at((T0, 1), (T0 + 30 * DAY_MS, 0), (T0 + 7 * DAY_MS, 1))
    rows["kind"] = (Kind.CALL, Kind.COMMAND, Kind.CALL)
    coverage = Coverage()
    coverage.update(rows[:1], OFF)
    coverage.span[1] = T0 + 7 * DAY_MS - 1
    assert coverage.update(rows[1:], OFF).warm.tolist() == [False, True]
    assert coverage.newest_ms == T0 + 7 * DAY_MS


def test_a_source_is_silent_until_its_gap_is_refilled() -> None:
    """Silent above 90 minutes here; back after three hours, it refills for three.

    source 1  x---x           x---x---x---x
    source 2      x       x
              0   1h  2h  3h  4h  5h  6h  7h
                       silent | refilling |
    """
    feed = [(T0, 1), (T0 + HOUR_MS, 1), (T0 + HOUR_MS, 2), (T0 + 3 * HOUR_MS, 2), (T0 + 4 * HOUR_MS, 1)]
    later = [(T0 + 5 * HOUR_MS, 1), (T0 + 6 * HOUR_MS, 1), (T0 + 7 * HOUR_MS - 1, 1), (T0 + 7 * HOUR_MS, 1)]
    silent = Coverage().update(rows_at(*feed, *later), limit(1, 90 * 60_000)).silent
    expected = [False, False, False, True, True, True, True, True, False]
    assert [bool(bits >> np.uint64(1) & np.uint64(1)) for bits in silent] == expected


def test_a_source_that_was_never_seen_is_not_silent() -> None:
    """A feed that is configured ahead of its connection holds nothing back."""
    silent = Coverage().update(rows_at((T0, 2), (T0 + DAY_MS // 2, 2)), limit(1, HOUR_MS)).silent
    assert silent.tolist() == [0, 0]


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_batches_do_not_matter(cut: int) -> None:
    """Any split of the rows gives the same answers and the same arrays."""
    rows = rows_at(*[(T0 + hour * HOUR_MS, 1 + hour % 2) for hour in (0, 1, 2, 9, 3, 30, 31, 60, 200, 201)])
    whole, parts = Coverage(), Coverage()
    expected = whole.update(rows, limit(1, 2 * HOUR_MS))
    pieces = [parts.update(piece, limit(1, 2 * HOUR_MS)) for piece in (rows[:cut], rows[cut:])]
    np.testing.assert_array_equal(np.concatenate([piece.warm for piece in pieces]), expected.warm)
    np.testing.assert_array_equal(np.concatenate([piece.silent for piece in pieces]), expected.silent)
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(parts.arrays()[name], array)
