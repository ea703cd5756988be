"""The kernel gives scikit-learn's margins, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from detector.features.catalogue import NAMES
from detector.verdict import trees as module
from detector.verdict.nodes import take_nodes
from detector.verdict.trees import Trees, flatten
from tests.verdict import models

ESTIMATOR = models.fitted()
WIDE = models.fitted(trees=100, leaves=31)


def trees_of(estimator: HistGradientBoostingClassifier) -> Trees:
    nodes = take_nodes(estimator)
    assert nodes is not None
    return flatten(nodes)


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(0, 19), st.just(len(NAMES))),
        elements=st.one_of(
            st.floats(allow_nan=True, allow_infinity=True),
            st.floats(0, 60),
            st.sampled_from(sorted({float(t) for t in trees_of(ESTIMATOR).thresholds})),
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


def test_the_plain_kernels_equal_the_compiled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines, run by Python: what the compiler made of them is what they say."""
    vectors, _ = models.samples(11, seed=5)
    trees = trees_of(ESTIMATOR)
    compiled = trees.margins(vectors)
    for name in ("add_leaves", "find_masks", "_place"):
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, getattr(kernel, "py_func", kernel))
    assert compiled.tobytes() == trees.margins(vectors).tobytes()


@pytest.mark.parametrize("leaves", [2, 32, 33, 100])
def test_trees_of_any_size_equal_the_decision_function(leaves: int) -> None:
    """A stump, trees that fill one word of a mask, that need one bit more, and four words."""
    estimator = models.fitted(trees=7, leaves=leaves)
    vectors, _ = models.samples(500, seed=6)
    assert estimator.decision_function(vectors).tobytes() == trees_of(estimator).margins(vectors).tobytes()


def test_one_feature_alone_decides() -> None:
    """An odd number of features with splits, here one."""
    vectors, fraud = models.samples(400)
    vectors[:, 1:] = 0
    estimator = HistGradientBoostingClassifier(max_iter=3, early_stopping=False, random_state=0).fit(vectors, fraud)
    trees = trees_of(estimator)
    assert trees.columns.tolist() == [0, 0]
    assert (estimator.decision_function(vectors) == trees.margins(vectors)).all()


def test_a_tree_that_never_splits_adds_its_leaf() -> None:
    """Nothing could be learnt: every vector gets the same margin."""
    vectors, fraud = models.samples(40)
    vectors[:] = 1
    estimator = HistGradientBoostingClassifier(max_iter=3, early_stopping=False, random_state=0).fit(vectors, fraud)
    assert (estimator.decision_function(vectors) == trees_of(estimator).margins(vectors)).all()


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
    assert take_nodes(LogisticRegression()) is None


def test_vectors_of_another_width_are_refused() -> None:
    """A vector of the wrong length never reaches the kernel."""
    with pytest.raises(ValueError, match=r"wanted vectors of 60 features \(got shape \(2, 3\)\)"):
        trees_of(ESTIMATOR).margins(np.zeros((2, 3)))
