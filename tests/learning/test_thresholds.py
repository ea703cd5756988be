"""Thresholds with weights, and the sigmoid at another prevalence, against plain references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError
from detector.learning.thresholds import SHARES, calibrate, choose_thresholds, logit, shifted


def naive(margins: list[float], weights: list[float], share: float) -> float:
    """The lowest margin down to which the number-days together weigh no more than `share` of all."""
    total, upto, found = sum(weights), 0.0, float("inf")
    for margin, weight in sorted(zip(margins, weights, strict=True), reverse=True):
        upto += weight
        if upto > share * total:
            break
        found = margin
    return found


@given(st.integers(0, 1_000))
def test_weighted_thresholds_are_reached_by_their_share_of_the_weight(seed: int) -> None:
    """A number-day drawn with a probability of a tenth stands for ten."""
    rng = np.random.default_rng(seed)
    margins, weights = rng.normal(size=20_000), rng.choice([1.0, 10.0], 20_000, p=[0.9, 0.1])
    found = choose_thresholds(margins, weights)
    assert found.watch == naive(margins.tolist(), weights.tolist(), SHARES["watch"])
    assert found.watch <= found.flag <= found.block


def test_thresholds_are_reached_by_their_share_of_honest_number_days() -> None:
    """0.1 %, 0.01 % and 0.001 %: 1,000, 100 and 10 in a million."""
    margins = np.random.default_rng(1).permutation(np.arange(1_000_000.0))
    found = choose_thresholds(margins)
    assert [int((margins >= bar).sum()) for bar in (found.watch, found.flag, found.block)] == [1_000, 100, 10]


def test_a_threshold_beyond_the_data_lies_above_everything_seen() -> None:
    """With 20,000 number-days nothing is known of one in 100,000: the tail is extended, never cut short."""
    margins = np.random.default_rng(1).exponential(size=20_000)
    found = choose_thresholds(margins)
    assert found.watch < found.flag < found.block
    assert found.block >= margins.max()
    assert found.block == pytest.approx(-np.log(1e-5), rel=0.25)


@pytest.mark.parametrize("weight", [None, "uneven"])
def test_equal_margins_reach_a_threshold_together_or_not_at_all(weight: str | None) -> None:
    """A share that saturates: 200 of 20,000 at the top may not make 1 % of a threshold for 0.1 %."""
    margins = np.concatenate([np.zeros(19_800), np.full(200, 3.0)])
    weights = None if weight is None else np.resize([1.0, 2.0, 3.0], len(margins))
    found = choose_thresholds(margins, weights)
    assert margins.max() < found.watch <= found.flag <= found.block
    assert found.watch == pytest.approx(3.0)


def test_a_threshold_lies_on_the_lowest_margin_whose_equals_have_room() -> None:
    """Ten above, and fifteen that are equal: 0.1 % of 20,000 are twenty, so that only the ten may reach `watch`."""
    margins = np.concatenate([np.zeros(19_975), np.full(15, 1.0), np.arange(2.0, 12.0)])
    found = choose_thresholds(margins)
    assert found.watch == 2.0
    assert found.block > found.flag > 11.0


@given(st.integers(0, 1_000), st.integers(1, 300), st.booleans())
def test_no_more_than_its_share_reaches_a_threshold_however_many_are_equal(
    seed: int, steps: int, weighted: bool
) -> None:
    """Of the weight, by counting."""
    margins = np.floor(steps / 5 * np.random.default_rng(seed).exponential(size=4_000))
    weights = np.resize([1.0, 4.0], len(margins)) if weighted else np.ones(len(margins))
    found = choose_thresholds(margins, weights)
    for level, share in SHARES.items():
        assert weights[margins >= getattr(found, level)].sum() <= share * weights.sum()
    assert found.watch <= found.flag <= found.block


def test_a_tail_is_extended_from_the_share_that_stands_at_its_base() -> None:
    """Of 300 the third is one in a hundred: `block` is a thousand times as rare, not a hundred. On average of 400
    draws; three number-days still tell too short a tail."""
    blocks = [choose_thresholds(np.random.default_rng(seed).exponential(size=300)).block for seed in range(400)]
    assert 0.75 * -np.log(1e-5) < np.mean(blocks) < -np.log(1e-5)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_hardly_any_honest_number_days_set_no_threshold(size: int) -> None:
    """Said with how many are wanted."""
    with pytest.raises(ConfigError, match=rf"thresholds: wanted at least 3 honest number-days .* \(got {size}\)"):
        choose_thresholds(np.arange(float(size)))


def test_equal_weights_change_nothing() -> None:
    """Bit for bit: whatever they are."""
    margins = np.random.default_rng(1).normal(size=5_000)
    assert choose_thresholds(margins, np.full(5_000, 0.25)) == choose_thresholds(margins)


def test_few_honest_number_days_extend_the_tail_above_everything_seen() -> None:
    """With weights as without."""
    rng = np.random.default_rng(2)
    margins, weights = rng.normal(size=300), rng.integers(1, 5, 300).astype(float)
    found = choose_thresholds(margins, weights)
    assert found.flag >= margins.max()
    assert found.watch < found.flag < found.block


def test_the_sigmoid_is_the_maximum_of_the_weighted_likelihood() -> None:
    """No step of a thousandth in either coefficient makes it likelier."""
    rng = np.random.default_rng(3)
    margins = rng.normal(size=3_000)
    fraud = rng.random(3_000) < 1 / (1 + np.exp(-(1.7 * margins - 2)))
    weights = rng.integers(1, 4, 3_000).astype(float)
    found = calibrate(margins, fraud, weights)

    def likelihood(a: float, b: float) -> float:
        return float(-(weights * np.logaddexp(0, np.where(fraud, -1, 1) * (a * margins + b))).sum())

    best = likelihood(found.a, found.b)
    for a, b in ((1e-2, 0), (-1e-2, 0), (0, 1e-2), (0, -1e-2)):
        assert likelihood(found.a + a, found.b + b) < best
    assert found.a == pytest.approx(1.7, abs=0.2)


def test_a_model_that_tells_nothing_still_never_reorders_numbers() -> None:
    """A falling sigmoid would show the worst as the best, and no bundle may hold one."""
    margins = np.arange(100.0)
    assert calibrate(margins, margins < 30).a > 0


def test_another_prevalence_moves_the_intercept_alone_and_to_where_bayes_says() -> None:
    """Of two normal classes the posterior is known at any prevalence."""
    rng = np.random.default_rng(4)
    fraud = rng.random(200_000) < 0.3
    margins = rng.normal(size=200_000) + 2 * fraud
    there = shifted(calibrate(margins, fraud), 0.3, 0.001)
    at = np.array([-1.0, 0.0, 1.0, 2.0, 4.0])
    # log of the densities' ratio is 2 m - 2; the posterior's odds are that times the prior's.
    assert there.a * at + there.b == pytest.approx(2 * at - 2 + logit(0.001), abs=0.06)
