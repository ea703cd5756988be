"""Coverage: when a partition's log is warm, and when a feed counts as silent or thin."""

import numpy as np
import pytest

from detector.features.coverage import LEAST_USUAL, REFILL_MS, WEEK_HOURS, WEEKS, Coverage
from detector.records import ROW, I64s, Kind, Rows
from detector.units import DAY_MS, HOUR_MS

T0 = 1_790_002_800_000
"""At the turn of an hour."""
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


USUAL = LEAST_USUAL + 20


def hours_of(*counts: int, source: int = 1) -> Rows:
    """So many rows of `source` in each hour from T0 on, and one of source 2 at each hour's beginning."""
    events = []
    for hour, count in enumerate(counts):
        start = T0 + hour * HOUR_MS
        events.append((start, 2))
        events += [(start + 1 + (HOUR_MS - 1) * nth // count, source) for nth in range(count)]
    return rows_at(*events)


def held_at_end_of_hours(coverage: Coverage, rows: Rows, limits: I64s) -> list[bool]:
    """Whether source 1 held blocks back at the last row of each hour."""
    silent = coverage.update(rows, limits).silent
    last = np.flatnonzero(np.diff(rows["event_ms"] // HOUR_MS, append=np.int64(0)))
    return [bool(bits >> np.uint64(1) & np.uint64(1)) for bits in silent[last]]


def test_a_source_at_less_than_half_its_usual_rate_is_thin_until_it_is_back_and_has_refilled() -> None:
    """A week as usual; then an hour at just half, three at less, and as usual again. Each is judged an hour later.

    hour of the second week  0     1     2     3     4     5     6     7     8     9     10
    of the usual             1     1/2   <1/2  <1/2  <1/2  1     1     1     1     1     1
                                                     | thin            | refilling (3 h) |
    """
    thin = USUAL // 2 - 1
    week, after = [USUAL] * WEEK_HOURS, [USUAL, USUAL // 2, thin, thin, thin, *[USUAL] * 7]
    held = held_at_end_of_hours(Coverage(), hours_of(*week, *after), limit(1, HOUR_MS))
    assert held == [False] * WEEK_HOURS + [False] * 4 + [True] * 6 + [False] * 2


def test_a_source_that_usually_brings_little_is_not_judged_by_it() -> None:
    """Half of a few can be chance."""
    few = LEAST_USUAL - 1
    held = held_at_end_of_hours(Coverage(), hours_of(*[few] * WEEK_HOURS, few, few // 3, few), limit(1, HOUR_MS))
    assert not any(held)


def test_a_source_without_a_limit_is_never_thin() -> None:
    """Who does not ask to be warned of silence is not warned of half."""
    held = held_at_end_of_hours(Coverage(), hours_of(*[USUAL] * WEEK_HOURS, USUAL, 1, 1), OFF)
    assert not any(held)


def test_a_burst_a_week_ago_is_not_what_is_usual() -> None:
    """Of three weeks and one with three times the traffic (an attack, a holiday), the median counts."""
    counts = np.repeat([USUAL, USUAL, 3 * USUAL, USUAL], WEEK_HOURS).tolist()
    held = held_at_end_of_hours(Coverage(), hours_of(*counts), limit(1, HOUR_MS))
    assert not any(held[2 * WEEK_HOURS :])


def test_an_hour_is_judged_once_the_limit_of_silence_has_passed_too() -> None:
    """A feed that comes an hour late has that hour to bring what is missing."""
    week, thin = [USUAL] * WEEK_HOURS, USUAL // 2 - 1
    rows = hours_of(*week, thin, USUAL, USUAL)
    late = hours_of(*[0] * WEEK_HOURS, USUAL)[WEEK_HOURS + 1 :]
    end = np.searchsorted(rows["event_ms"], T0 + (WEEK_HOURS + 1) * HOUR_MS + HOUR_MS // 2)
    brought = np.concatenate([rows[:end], late, rows[end:]])
    for all_rows, expected in ((rows, True), (brought, False)):
        silent = Coverage().update(all_rows, limit(1, HOUR_MS)).silent
        assert bool(silent.any()) is expected


def naive_thin(counts: list[int], hour: int) -> bool:
    """By sorting."""
    before = sorted(counts[hour - week * WEEK_HOURS] for week in range(1, WEEKS + 1) if hour >= week * WEEK_HOURS)
    if not before:
        return False
    usual = before[(len(before) - 1) // 2]
    return usual >= LEAST_USUAL and counts[hour] < usual / 2


@pytest.mark.parametrize("seed", range(3))
def test_thin_hours_are_those_of_a_plain_count(seed: int) -> None:
    """Six weeks of random hours against sorting and a list, batch by batch."""
    draw = np.random.default_rng(seed)
    counts = draw.choice([1, 60, 110, 130, 230, 300], size=6 * WEEK_HOURS, p=[0.02, 0.08, 0.2, 0.3, 0.3, 0.1]).tolist()
    since, refill_until, expected = 0, 0, []
    for hour in range(len(counts)):
        now, judged = T0 + hour * HOUR_MS, hour - 2
        if judged >= 0 and naive_thin(counts, judged):
            since = since or T0 + judged * HOUR_MS
        elif since:
            refill_until = max(refill_until, now + min(T0 + judged * HOUR_MS - since, REFILL_MS))
            since = 0
        last = T0 + hour * HOUR_MS + 1 + (HOUR_MS - 1) * (counts[hour] - 1) // counts[hour]
        expected.append(since > 0 or last < refill_until)
    rows, coverage, held = hours_of(*counts), Coverage(), []
    turns = np.flatnonzero(np.diff(rows["event_ms"] // HOUR_MS)) + 1
    for some in np.split(rows, turns[np.sort(draw.choice(len(turns), 50, replace=False))]):
        held += held_at_end_of_hours(coverage, some, limit(1, HOUR_MS))
    assert len(held) == len(expected)
    assert held == expected
