"""Backtest: margins for a budget, and labels, against their plain meaning."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.learning import backtest
from detector.learning.backtest import NEVER_MS, Caught, Made, Truth, _frauds, _level, _suggested, _types, truth_of
from detector.learning.numberdays import NumberDays
from detector.units import DAY_MS as DAY


def columns(rows: list[tuple[int, int, int]]) -> NumberDays:
    numbers, days, margins = zip(*rows, strict=True)
    return np.array(numbers, np.uint64), np.array(days, np.int64), np.array(margins, np.float64)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 20))
def test_a_suggested_margin_is_the_lowest_that_keeps_to_the_budget(margins: list[int], span: int, budget: int) -> None:
    """Ties included: all that have the margin reach it."""
    number_days = columns([(i, i % span, margin) for i, margin in enumerate(margins)])
    days = span / 2
    for level in _suggested(number_days, days, None, budget):
        share = {"half the budget": 0.5, "the budget": 1, "twice the budget": 2}[level.name]
        assert sum(margin >= level.margin for margin in margins) / days == pytest.approx(level.numbers_a_day)
        assert level.numbers_a_day <= share * budget
        lower = [margin for margin in margins if margin < level.margin]
        if lower:
            assert sum(margin >= max(lower) for margin in margins) > share * budget * days
        assert level.frauds_a_day is None


def test_frauds_among_those_that_reach_a_margin_are_counted_on_the_days_of_their_fraud() -> None:
    """
    day          0        1        2
    number 1   fraud    fraud      -      reaches it on all three: two
    number 2     -        -        -      reaches it once, honest
    number 3   fraud    fraud    fraud    does not reach it
    """
    number_days = columns([(1, 0, 5), (1, 1, 5), (1, 2, 5), (2, 0, 5), (3, 1, 1)])
    truth = truth_of([(1, 0, DAY + 1, "wangiri"), (3, 0, None, "irsf")])
    level = _level("x", 2.0, number_days, 2.0, _frauds(number_days, 0, truth))
    assert (level.numbers_a_day, level.frauds_a_day) == (2.0, 1.0)
    # East of Greenwich a day begins before midnight UTC: the end lies further in the second, the first begins earlier.
    assert _frauds(number_days, -2, truth).tolist() == [True, False, False, False, True]
    assert _frauds(number_days, 3_600_000, truth).tolist() == [True, True, False, False, True]


def made(number: int, at_ms: int, action: Literal["flag", "block"] = "flag") -> Made:
    """A decision."""
    return Made(number, f"+{number}", at_ms, action, "rule", "voice", ())


def test_what_is_decided_after_a_fraud_has_ended_does_not_catch_it() -> None:
    """
    number      fraud             decided
    1, 2        0 .. 1 day        2 days: late;  200 days: neither late nor caught
    3           0 .. 1 day        half a day: caught, after half a day
    4           0 ..              200 days: caught
    5           10 days ..        1 day: before it
    6           0 .. 1, 9 .. 10   9.5 days: caught by its second label, since its first
    """
    ended = [(number, 0, DAY, "x") for number in (1, 2, 3, 6)]
    truth = truth_of([*ended, (4, 0, None, "y"), (5, 10 * DAY, None, "y"), (6, 9 * DAY, 10 * DAY, "z")])
    decided = {
        1: [made(1, 2 * DAY, "block")],
        2: [made(2, 200 * DAY)],
        3: [made(3, DAY // 2), made(3, DAY, "block")],
        4: [made(4, 200 * DAY, "block")],
        5: [made(5, DAY)],
        6: [made(6, 9 * DAY + DAY // 2)],
    }
    found = _types(decided, truth)
    assert found["x"] == Caught(numbers=4, caught=2, blocked=0, late=1, median_delay_s=5 * 86_400.0)
    assert found["y"] == Caught(numbers=2, caught=1, blocked=1, late=0, median_delay_s=200 * 86_400.0)


def test_the_first_label_of_a_number_gives_its_type_and_our_own_labels_say_nothing() -> None:
    """A number that only the detector called a fraud is neither caught nor touched."""
    truth = truth_of([(1, 50, 60, "late"), (1, 20, None, "early")], own=[1, 2])
    spans = ((20, NEVER_MS), (50, 60))
    assert truth == Truth({1: backtest.Fraud(20, "early", spans)}, frozenset({2}))
    assert [truth.is_honest(number) for number in (1, 2, 3)] == [False, False, True]
