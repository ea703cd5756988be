"""Rates: areas, shares and intervals are what a few plain loops say they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.learning import rates
from detector.records import Bools

SCORES = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: {fraud for _, fraud in rows} == {False, True}
)


def arrays(rows: list[tuple[int, bool]]) -> tuple[rates.Floats, Bools]:
    """Values, with many equals, and labels."""
    return np.array([float(value) for value, _ in rows]), np.array([fraud for _, fraud in rows])


@given(SCORES)
def test_the_area_is_how_often_a_fraud_lies_above_an_honest_one(rows: list[tuple[int, bool]]) -> None:
    """Every pair is compared; equals count half."""
    bad = [value for value, fraud in rows if fraud]
    good = [value for value, fraud in rows if not fraud]
    pairs = [(a > b) + 0.5 * (a == b) for a in bad for b in good]
    assert rates.area(*arrays(rows)) == pytest.approx(sum(pairs) / len(pairs))


@given(SCORES)
def test_average_precision_adds_the_precision_at_each_distinct_value(rows: list[tuple[int, bool]]) -> None:
    """As its definition says: sum of (recall gained) x precision, from the highest value down."""
    total = sum(fraud for _, fraud in rows)
    before, found = 0, 0.0
    for bar in sorted({value for value, _ in rows}, reverse=True):
        reached = [fraud for value, fraud in rows if value >= bar]
        found += (sum(reached) - before) / total * sum(reached) / len(reached)
        before = sum(reached)
    assert rates.average_precision(*arrays(rows)) == pytest.approx(found)


def test_both_areas_are_scikit_learns() -> None:
    """On a drawn sample with equals."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(2)
    fraud = rng.random(500) < 0.2
    values = np.round(rng.normal(size=500) + fraud, 1)
    assert rates.area(values, fraud) == pytest.approx(roc_auc_score(fraud, values))
    assert rates.average_precision(values, fraud) == pytest.approx(average_precision_score(fraud, values))


def test_a_share_and_its_interval_are_those_of_a_plain_bootstrap_of_numbers() -> None:
    """Numbers are drawn with all their entries, with their weights; the middle 95 % of the replicates."""
    rng = np.random.default_rng(5)
    number = rng.integers(0, 30, 90)
    reached, weight = rng.random(90) < 0.4, rng.integers(1, 4, 90).astype(float)
    found, _ = rates.share(reached, number, weight, seed=8)
    draws = np.random.default_rng(8)
    codes = sorted(set(number.tolist()))
    replicates = []
    for _ in range(rates.REPLICATES):
        above = below = 0.0
        for place in draws.integers(len(codes), size=len(codes)):
            mine = number == codes[int(place)]
            above += float(weight[mine & reached].sum())
            below += float(weight[mine].sum())
        replicates.append(above / below)
    low, high = np.quantile(replicates, [0.025, 0.975])
    assert found.value == pytest.approx(float(weight[reached].sum() / weight.sum()))
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """200 samples of 60 numbers with three days each that share their luck: the truth of 0.3 is inside in 95 %.

    Days drawn one by one would give intervals that are too narrow by the square root of three.
    """
    rng = np.random.default_rng(6)
    inside = 0
    for trial in range(200):
        reached = np.repeat(rng.random(60) < 0.3, 3)
        found, _ = rates.share(reached, np.repeat(np.arange(60), 3), None, seed=trial)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.3 <= found.high
    assert 180 <= inside <= 199


def test_a_share_of_nothing_or_all_has_the_exact_binomial_bound() -> None:
    """Every replicate is the same: the bootstrap alone would claim certainty. Of 20, all: at least 83 %."""
    all_caught, _ = rates.share(np.ones(20, bool), np.arange(20), None, 1)
    assert all_caught.low == pytest.approx(0.8316, abs=1e-4)
    assert all_caught.high == 1
    none, _ = rates.share(np.zeros(20, bool), np.arange(20), None, 1)
    assert none.low == 0
    assert none.high == pytest.approx(1 - 0.8316, abs=1e-4)


def test_one_that_stands_for_many_tells_no_more_than_one() -> None:
    """Eleven, all caught, one of which stands for ninety: the bound of 1.2 numbers, not of eleven."""
    all_caught, _ = rates.share(np.ones(11, bool), np.arange(11), np.append(np.ones(10), 90.0), 1)
    assert all_caught.low == pytest.approx(0.025 ** (1 / (100**2 / (10 + 90**2))), abs=1e-4)
    assert all_caught.low is not None
    assert all_caught.low < 0.06


def test_weights_of_areas_and_curves_are_numbers_that_are_there_as_often() -> None:
    """An entry of weight three is as good as three entries."""
    rng = np.random.default_rng(9)
    fraud = rng.random(80) < 0.4
    values, weight = np.round(rng.normal(size=80) + fraud, 1), rng.integers(1, 4, 80)
    more, bad = np.repeat(values, weight), np.repeat(fraud, weight)
    assert rates.area(values, fraud, weight.astype(float)) == pytest.approx(rates.area(more, bad))
    assert rates.average_precision(values, fraud, weight.astype(float)) == pytest.approx(
        rates.average_precision(more, bad)
    )
    curves = rates.precision_recall(values, fraud, weight.astype(float)), rates.precision_recall(more, bad)
    assert np.allclose(curves[0], curves[1])
    ranked, precise = rates.area_intervals(values, fraud, 1, weight.astype(float))
    assert (ranked.value, precise.value) == pytest.approx((rates.area(more, bad), rates.average_precision(more, bad)))


def test_a_share_of_no_entries_is_not_known() -> None:
    """Nought would be a figure."""
    assert rates.share(np.empty(0, bool), np.empty(0, np.int64), None, 1)[0] == rates.UNKNOWN


def test_precision_at_a_prevalence_is_counted_out() -> None:
    """A million numbers, 1,000 of them fraud: 900 caught and 999 wronged."""
    assert rates.precision(0.001, 0.9, 0.001) == pytest.approx(900 / (900 + 999))


def test_the_interval_of_an_area_holds_it_and_narrows_with_more_numbers() -> None:
    """Four times the numbers, half the width."""
    widths = []
    for size in (400, 1_600):
        rng = np.random.default_rng(7)
        fraud = rng.random(size) < 0.3
        found, _ = rates.area_intervals(rng.normal(size=size) + fraud, fraud, 1)
        assert found.low is not None
        assert found.high is not None
        assert found.value is not None
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.3)


def test_a_difference_is_a_paired_bootstrap_of_the_same_numbers_held_to_two_bars() -> None:
    """By plain loops; of a model and itself it is nought in every replicate."""
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=50), rng.normal(size=50) + 0.4
    weight, bars = rng.integers(1, 4, 50).astype(float), (rng.normal(size=300) / 9, rng.normal(size=300) / 9)
    found = rates.difference_above((first, second), weight, (0.0, 0.0), bars, seed=8)
    draws, replicates = np.random.default_rng(8), []
    for i in range(300):
        drawn = draws.integers(50, size=50)
        caught = [(weight[drawn] * (each[drawn] >= bars[k][i])).sum() for k, each in enumerate((first, second))]
        replicates.append((caught[1] - caught[0]) / weight[drawn].sum())
    assert found.value == pytest.approx(
        (weight * (second >= 0)).sum() / weight.sum() - (weight @ (first >= 0)) / weight.sum()
    )
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(replicates, [0.025, 0.975])))
    same = rates.difference_above((first, first), weight, (0.0, 0.0), (bars[0], bars[0]), seed=8)
    assert same == rates.Interval(0.0, 0.0, 0.0)
