"""Reasons: which features raised a score, placed among honest numbers."""

import numpy as np
import pytest

from detector.features.catalogue import NAMES
from detector.verdict.model import Model
from detector.verdict.reasons import explain, percentile
from tests.verdict import models

HUNDRED = np.arange(101.0)


def vector_of(model: Model, **features: float) -> np.ndarray:
    """A typical honest vector with these features."""
    vector = model.medians.copy()
    for name, value in features.items():
        vector[NAMES.index(name)] = value
    return vector


def test_the_feature_that_raised_the_margin_leads(model: Model) -> None:
    """The tiny model rises with fan-out; everything else is as with honest numbers."""
    vector = vector_of(model, distinct_out_24h=80.0)
    margin = float(model.margins(vector[None])[0])
    first = explain(model, vector)[0]
    assert first.feature == "distinct_out_24h"
    assert first.value == 80.0
    assert first.unit == "numbers"
    assert first.percentile is not None
    assert first.percentile > 95
    typical = float(model.margins(model.medians[None])[0])
    assert first.contribution == pytest.approx(margin - typical, abs=1e-4)
    assert first.sentence.startswith(
        "Different numbers it called or wrote to in the last 24 hours. 80 numbers, more than"
    )


def test_reasons_are_at_most_five_and_sorted(model: Model) -> None:
    """What raised most comes first."""
    vectors, fraud = models.samples(50)
    for vector in vectors[fraud]:
        found = explain(model, vector)
        assert 1 <= len(found) <= 5
        assert sorted((reason.contribution for reason in found), reverse=True) == [r.contribution for r in found]


def test_features_of_the_rule_make_up_for_missing_ones(model: Model) -> None:
    """A number that is typical in all the model sees still tells what its rule saw."""
    looked_at = ("calls_out_1h", "cancelled_share_1h")
    found = explain(model, model.medians.copy(), looked_at)
    assert set(looked_at) == {reason.feature for reason in found}


def test_an_unknown_value_is_null_and_says_so(model: Model) -> None:
    """NaN has no JSON form, and "nan share" no meaning."""
    vector = vector_of(model, talk_mean_24h=float("nan"))
    reason = explain(model, vector, ("talk_mean_24h",))[-1]
    assert (reason.value, reason.percentile) == (None, None)
    assert reason.sentence.endswith("Cannot be known here.")


@pytest.mark.parametrize(
    ("quantiles", "value", "expected"),
    [
        (HUNDRED, 50.0, 50.0),
        (HUNDRED, 50.5, 50.5),
        (HUNDRED, -1.0, 0.0),
        (HUNDRED, 1e9, 100.0),
        (np.repeat([0.0, 5.0], [61, 40]), 0.0, 30.0),
        (np.repeat([0.0, 5.0], [61, 40]), 5.0, 80.5),
        (HUNDRED, float("nan"), None),
        (np.full(101, np.nan), 1.0, None),
    ],
)
def test_a_percentile_is_the_middle_of_equal_values(
    quantiles: np.ndarray, value: float, expected: float | None
) -> None:
    """A value that half of the honest numbers share is nothing special."""
    assert expected == percentile(quantiles, value)


def test_reasons_are_the_greatest_contributions(model: Model) -> None:
    """What raised the score most, to the digits that are written; nothing that would read as 0."""
    vectors, fraud = models.samples(60, seed=2)
    for vector in vectors[fraud]:
        added = model.contributions(vector)
        wanted = sorted((round(float(x), 4) for x in added if round(float(x), 4) > 0), reverse=True)[:5]
        assert [reason.contribution for reason in explain(model, vector)] == wanted
