"""Contributions are exact Shapley values: held to the sum over all coalitions on small models."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from detector.config import ROOT
from detector.verdict import contributions as module
from detector.verdict.contributions import Boxes, Turns
from detector.verdict.model import Model
from detector.verdict.nodes import take_nodes
from tests.verdict import models
from tests.verdict.naive import shapley

CLOSE = 1e-9
"""Sums of some hundred leaves, taken in another order."""


def small_table(features: int, seed: int, size: int = 1_500) -> tuple[np.ndarray, np.ndarray]:
    """Vectors with missing values whose label needs features together: pairs, one of two, one but not another."""
    rng = np.random.default_rng(seed)
    vectors = rng.gamma(1.0, 10.0, size=(size, features)).round(1)
    known = np.nan_to_num(vectors)
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    either = (known[:, 0] > 15) | (known[:, 1] > 15)
    both = (known[:, 2] > 6) & (known[:, 3] < 9)
    fraud = (either & both) ^ (rng.random(size) < 0.05) | (known[:, -1] > 40)
    return vectors, fraud


@cache
def small_model(features: int, seed: int, trees: int = 30) -> Any:
    """Boosted trees on such a table."""
    vectors, fraud = small_table(features, seed)
    estimator = HistGradientBoostingClassifier(max_iter=trees, early_stopping=False, random_state=seed)
    with threadpool_limits(1):
        return estimator.fit(vectors, fraud)


def boxes_of(estimator: Any, reference: np.ndarray) -> Boxes:
    nodes = take_nodes(estimator)
    assert nodes is not None
    return Boxes.of(nodes, reference)


@pytest.mark.parametrize(("features", "seed"), [(5, 1), (8, 2), (10, 3)])
def test_contributions_of_trees_are_the_exact_shapley_values(features: int, seed: int) -> None:
    """Of frauds and honest numbers, with missing values in the vector, in the reference, and in neither."""
    estimator = small_model(features, seed)
    vectors, _ = small_table(features, seed + 100, 12)
    vectors[0], vectors[1, ::2] = np.nan_to_num(vectors[0]), np.nan
    for vector, reference in zip(vectors[:6], vectors[6:], strict=True):
        got = boxes_of(estimator, reference).contributions(vector)
        wanted = shapley(estimator.decision_function, vector, reference)
        assert np.allclose(wanted, got, rtol=0, atol=CLOSE)


FLOATS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 60),
    st.sampled_from(small_model(5, 1)._predictors[0][0].nodes["num_threshold"].tolist()),
)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (2, 5), elements=FLOATS, fill=st.nothing()))
def test_contributions_are_exact_for_any_floats(pair: np.ndarray) -> None:
    """Infinities, missing values, and values that stand exactly on a threshold."""
    estimator = small_model(5, 1)
    got = boxes_of(estimator, pair[1]).contributions(pair[0])
    assert np.allclose(shapley(estimator.decision_function, pair[0], pair[1]), got, rtol=0, atol=CLOSE)


def test_the_plain_kernel_equals_the_compiled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines, run by Python, to the last bit."""
    estimator = small_model(8, 2)
    vectors, _ = small_table(8, 6, 2)
    boxes = boxes_of(estimator, vectors[0])
    compiled = boxes.contributions(vectors[1])
    monkeypatch.setattr(module, "share_out", getattr(module.share_out, "py_func", module.share_out))
    assert compiled.tobytes() == boxes.contributions(vectors[1]).tobytes()


def test_two_features_that_suffice_alone_share_the_contribution() -> None:
    """Made typical one at a time, neither would be missed, and the decision would have no reason at all."""
    vectors = np.array(np.meshgrid([0.0, 1.0], [0.0, 1.0])).reshape(2, -1).T.repeat(100, axis=0)
    fraud = vectors.any(axis=1)
    with threadpool_limits(1):
        estimator = HistGradientBoostingClassifier(max_iter=50, early_stopping=False, random_state=0).fit(
            vectors, fraud
        )
    both, neither = np.ones(2), np.zeros(2)
    margin = estimator.decision_function(both[None])[0]
    alone = [margin - estimator.decision_function(np.array([vector]))[0] for vector in ([0.0, 1.0], [1.0, 0.0])]
    got = boxes_of(estimator, neither).contributions(both)
    assert np.allclose(alone, 0, atol=0.05)
    assert got == pytest.approx([(margin - estimator.decision_function(neither[None])[0]) / 2] * 2, rel=0.01)
    assert got.min() > 2


@pytest.mark.parametrize("size", [1, 20])
def test_contributions_sum_to_what_lies_between_the_margins(size: int) -> None:
    """Nothing is lost and nothing is made up: all sixty features of the shipped model."""
    model = Model.load(Path(ROOT, "models", "default"))
    rng = np.random.default_rng(size)
    typical = float(model.margins(model.medians[None])[0])
    for _ in range(size):
        # Each value from somewhere among the honest, some far beyond, some unknown.
        vector = model.quantiles[rng.integers(0, 101, 60), np.arange(60)] * rng.choice([1, 10], 60, p=[0.8, 0.2])
        vector[rng.random(60) < 0.1] = np.nan
        margin = float(model.margins(vector[None])[0])
        assert margin - typical == pytest.approx(model.contributions(vector).sum(), abs=CLOSE)


def test_a_typical_vector_has_no_contributions() -> None:
    """A value that is the reference's gets exactly nothing, a missing one that is missing there too."""
    estimator = small_model(8, 2)
    reference = small_table(8, 5, 1)[0][0]
    reference[[0, 1, 3]] = 3.0, 3.0, np.nan
    boxes = boxes_of(estimator, reference)
    assert boxes.contributions(reference).tolist() == [0.0] * 8
    vector = reference.copy()
    vector[0] += 30
    assert np.flatnonzero(boxes.contributions(vector)).tolist() == [0]


def test_trees_that_never_split_explain_nothing() -> None:
    """Every vector gets the same margin."""
    vectors = np.ones((40, 3))
    with threadpool_limits(1):
        estimator = HistGradientBoostingClassifier(max_iter=3, early_stopping=False).fit(vectors, np.arange(40) < 20)
    assert boxes_of(estimator, np.zeros(3)).contributions(np.array([5.0, np.nan, 1.0])).tolist() == [0.0] * 3


def test_a_logistic_regression_is_explained_exactly() -> None:
    """Its margin is a sum over features, imputed ones included."""
    vectors, fraud = small_table(7, 4)
    estimator = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(vectors, fraud)
    turns = Turns(estimator.decision_function, vectors[3])
    for vector in vectors[4:9]:
        wanted = shapley(estimator.decision_function, vector, vectors[3])
        assert np.allclose(wanted, turns.contributions(vector), rtol=0, atol=CLOSE)


def test_pairs_of_features_are_shared_exactly_without_trees() -> None:
    """In order and in the reverse order each of a pair comes last once."""

    def margins(vectors: np.ndarray) -> np.ndarray:
        return np.asarray(vectors[:, 0] * vectors[:, 3] - vectors[:, 1] * vectors[:, 2] + vectors[:, 3] ** 2)

    vector, reference = np.array([3.0, -1.0, 2.0, 5.0]), np.array([0.5, 4.0, 2.0, 1.0])
    got = Turns(margins, reference).contributions(vector)
    assert np.allclose(shapley(margins, vector, reference), got, rtol=0, atol=CLOSE)


def test_any_other_model_has_contributions_with_the_right_sum(model: Model) -> None:
    """Beyond pairs they are an estimate; what they share out is not."""
    vectors, _ = models.samples(5, seed=8)
    reference = np.nan_to_num(vectors[0])
    for vector in vectors[1:]:
        added = Turns(model.margins, reference).contributions(vector)
        margin, typical = model.margins(np.array([vector, reference])).tolist()
        assert margin - typical == pytest.approx(added.sum(), abs=CLOSE)
