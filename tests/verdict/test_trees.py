"""The kernel gives scikit-learn's margins, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from detector.features.catalogue import NAMES
from detector.verdict.trees import Trees, descend, flatten
from tests.verdict import models

ESTIMATOR = models.fitted()
WIDE = models.fitted(trees=100, leaves=31)


def trees_of(estimator: HistGradientBoostingClassifier) -> Trees:
    trees = flatten(estimator)
    assert trees is not None
    return trees


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(0, 19), st.just(len(NAMES))),
        elements=st.one_of(
            st.floats(allow_nan=True, allow_infinity=True),
            st.floats(0, 60),
            st.sampled_from(sorted({float(t) for t in trees_of(ESTIMATOR).threshold})),
        ),
        fill=st.sampled_from([0.0, float("nan"), float("inf"), float("-inf")]),
    )
)
def test_margins_equal_the_decision_function_on_any_floats(vectors: np.ndarray) -> None:
    """Missing values, infinities, and values that stand exactly on a threshold."""
    got = trees_of(ESTIMATOR).margins(vectors)
    wanted = ESTIMATOR.decision_function(vectors) if len(vectors) else np.empty(0)
    assert wanted.tobytes() == got.tobytes()


def test_margins_of_a_full_sized_model_equal_the_decision_function() -> None:
    """100 trees of 31 leaves, a batch that is no multiple of the block."""
    vectors, _ = models.samples(1_003, seed=3)
    assert (WIDE.decision_function(vectors) == trees_of(WIDE).margins(vectors)).all()


def test_the_plain_kernel_equals_the_compiled_one() -> None:
    """The same lines, run by Python: what the compiler made of them is what they say."""
    vectors, _ = models.samples(11, seed=5)
    trees = trees_of(ESTIMATOR)
    out = np.full(len(vectors), trees.baseline)
    plain = getattr(descend, "py_func", descend)
    plain(
        vectors,
        trees.feature,
        trees.threshold,
        trees.nan_left,
        trees.children,
        trees.value,
        trees.roots,
        trees.depths,
        out,
    )
    assert out.tobytes() == trees.margins(vectors).tobytes()


def test_margin_of_a_vector_does_not_depend_on_its_batch() -> None:
    """However the batch is split, the margins are the same."""
    vectors, _ = models.samples(37, seed=4)
    trees = trees_of(WIDE)
    parts = [trees.margins(vectors[start:stop]) for start, stop in ((0, 1), (1, 10), (10, 37))]
    assert trees.margins(vectors).tobytes() == np.concatenate(parts).tobytes()


def test_thresholds_at_infinity_split_missing_from_known() -> None:
    """A split of NaN against all the rest has an infinite threshold: infinity itself is known."""
    vectors, _ = models.samples(400)
    vectors[1::2, 0] = np.nan
    vectors[::2, 0] = np.arange(200)
    fraud = np.arange(400) % 2 == 0
    estimator = HistGradientBoostingClassifier(max_iter=2, early_stopping=False, random_state=0).fit(vectors, fraud)
    probes = np.full((3, len(NAMES)), np.nan)
    probes[1, 0], probes[2, 0] = np.inf, -np.inf
    margins = trees_of(estimator).margins(probes)
    assert (estimator.decision_function(probes) == margins).all()
    assert margins[0] < 0 < margins[1]


def test_other_estimators_have_no_trees() -> None:
    """They are scored by their own decision function."""
    assert flatten(LogisticRegression()) is None


def test_vectors_of_another_width_are_refused() -> None:
    """A vector of the wrong length never reaches the kernel."""
    with pytest.raises(ValueError, match=r"wanted vectors of 60 features \(got shape \(2, 3\)\)"):
        trees_of(ESTIMATOR).margins(np.zeros((2, 3)))
