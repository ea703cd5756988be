"""Backtest: margins for a budget, and labels, against their plain meaning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.learning import backtest
from detector.learning.backtest import Truth, _level, _suggested, truth_of
from detector.learning.numberdays import NumberDays


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


def test_known_frauds_among_those_that_reach_a_margin_are_counted() -> None:
    """Per day of the span."""
    number_days = columns([(1, 0, 5), (1, 1, 5), (2, 0, 5), (3, 1, 1)])
    level = _level("x", 2.0, number_days, 2.0, truth_of([(1, 0, "wangiri"), (3, 0, "irsf")]))
    assert (level.numbers_a_day, level.frauds_a_day) == (1.5, 1.0)


def test_the_first_label_of_a_number_holds_and_our_own_labels_say_nothing() -> None:
    """A number that only the detector called a fraud is neither caught nor touched."""
    truth = truth_of([(1, 50, "late"), (1, 20, "early")], own=[1, 2])
    assert truth == Truth({1: backtest.Fraud(20, "early")}, frozenset({2}))
    assert [truth.is_honest(number) for number in (1, 2, 3)] == [False, False, True]
