"""Read-off: what is held to a margin that few honest number-days set is as uncertain as these are."""

import numpy as np
import pytest

from detector.learning import readoff
from detector.learning.greatest import Greatest
from detector.learning.rates import REPLICATES, Interval, share
from detector.learning.readoff import STREAM, ReadOff
from detector.learning.thresholds import SHARES, choose_thresholds
from detector.records import I64s
from detector.verdict.trees import Margins


def entries(number: I64s, margin: Margins, fraud: bool, weight: float = 1.0) -> Greatest:
    """Number-days, or numbers, of one class."""
    size = len(number)
    return Greatest(number, np.arange(size), np.full(size, fraud), margin, np.full(size, weight), np.arange(size))


def honest(numbers: int, days: int, seed: int) -> Greatest:
    """A number's days are alike."""
    rng = np.random.default_rng(seed)
    margin = np.repeat(rng.exponential(size=numbers), days) + 0.1 * rng.exponential(size=numbers * days)
    return entries(np.repeat(np.arange(numbers), days), margin, False)


def ends(said: Interval) -> tuple[float, float]:
    """Of an interval that is known."""
    assert said.low is not None
    assert said.high is not None
    return said.low, said.high


def test_each_replicate_is_a_plain_bootstrap_of_honest_and_of_fraud_numbers() -> None:
    """Of all number-days, not of the tail alone; each fraud that is drawn is held to the bar of its own replicate."""
    days = honest(1_500, 4, seed=1)
    fraud = entries(np.arange(40), np.random.default_rng(2).exponential(size=40) * 5, True)
    found = ReadOff.of(days, seed=3)
    honests, frauds = np.random.default_rng([3, STREAM]), np.random.default_rng(3)
    recalls = []
    for i in range(REPLICATES):
        drawn = honests.integers(1_500, size=1_500)
        bars = choose_thresholds(np.concatenate([days.margin[4 * k : 4 * k + 4] for k in drawn.tolist()]))
        assert (found.drawn["watch"][i], found.drawn["flag"][i]) == pytest.approx((bars.watch, bars.flag))
        recalls.append(np.mean(fraud.margin[frauds.integers(40, size=40)] >= bars.watch))
    said = found.recall("watch", fraud, fraud.fraud, seed=3)
    assert said.value == np.mean(fraud.margin >= choose_thresholds(days.margin).watch)
    assert (said.low, said.high) == pytest.approx(tuple(np.quantile(recalls, [0.025, 0.975])))


def test_a_bar_that_few_set_makes_the_interval_wider_and_one_that_many_set_does_not() -> None:
    """Against the share held to a bar that is taken for known; 0.1 % of 6,000 number-days are six."""
    fraud = entries(np.arange(200), np.random.default_rng(2).exponential(size=200) * 5, True)
    wider = []
    for numbers in (1_500, 60_000):
        days = honest(numbers, 4, seed=1)
        said = ReadOff.of(days, seed=3).recall("watch", fraud, fraud.fraud, seed=3)
        bar = choose_thresholds(days.margin).watch
        known, _ = share(fraud.margin >= bar, fraud.number, None, seed=3)
        assert said.value == known.value
        wider.append(np.ptp(ends(said)) / np.ptp(ends(known)))
    assert wider[0] > 1.5
    assert wider[1] == pytest.approx(1, abs=0.25)


def test_the_interval_holds_the_truth_about_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recall at the margin that 0.1 % of a million honest number-days reach; with the bar known: far less often."""
    monkeypatch.setattr(readoff, "REPLICATES", 200)
    bar = choose_thresholds(honest(500_000, 2, seed=0).margin).watch
    rng = np.random.default_rng(7)
    truth = float(np.exp(-bar / 5))
    inside = fixed = 0
    trials = 60
    for trial in range(trials):
        days = honest(2_000, 3, seed=1 + trial)
        fraud = entries(np.arange(400), rng.exponential(size=400) * 5, True)
        read = ReadOff.of(days, seed=trial)
        said = read.recall("watch", fraud, fraud.fraud, seed=trial)
        known, _ = share(fraud.margin >= read.bars["watch"], fraud.number, None, seed=trial)
        inside += ends(said)[0] <= truth <= ends(said)[1]
        fixed += ends(known)[0] <= truth <= ends(known)[1]
    print(f"the truth lies within {inside} of {trials} intervals, within {fixed} with the bar taken for known")
    assert inside >= 0.85 * trials
    assert fixed < 0.75 * trials


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_equal_margins_and_equal_weights_change_nothing(weight: float) -> None:
    """A score that saturates: half of all are at its top, so that none may reach it, in any replicate."""
    number = np.arange(2_000)
    days = entries(number, np.where(number % 2 == 0, 1.0, number / 4_000), False, weight)
    found = ReadOff.of(days, seed=1)
    assert found.bars["watch"] > 1
    assert (found.drawn["watch"] > 1).all()
    assert found.extrapolated == {"watch": True, "flag": True}


def test_weights_are_number_days_that_are_there_as_often() -> None:
    """Of the bar and of the share; a fraud that stands for three is held to it three times."""
    days = honest(4_000, 2, seed=5)
    heavy = Greatest(days.number, days.day, days.fraud, days.margin, np.where(days.number % 7 == 0, 9.0, 1.0), days.row)
    found = ReadOff.of(heavy, seed=1)
    assert found.bars["watch"] == choose_thresholds(heavy.margin, heavy.weight).watch
    more = np.repeat(days.margin, heavy.weight.astype(int))
    assert np.mean(more >= found.bars["watch"]) <= SHARES["watch"]
    middle = float(np.median(found.drawn["watch"]))
    assert np.mean(more >= middle) == pytest.approx(SHARES["watch"], rel=0.5)


def test_so_few_that_a_draw_sets_no_bar_leave_out_that_draw() -> None:
    """Two numbers, of three days and of one: the second drawn twice has two, too few to set any."""
    days = entries(np.array([0, 0, 0, 1]), np.arange(4.0), False)
    found = ReadOff.of(days, seed=1)
    assert 0.15 < np.isnan(found.drawn["watch"]).mean() < 0.35
    fraud = entries(np.arange(5), np.arange(0.0, 500.0, 100.0), True)
    assert len(ends(found.recall("watch", fraud, fraud.fraud, seed=1))) == 2
