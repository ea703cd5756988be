"""Estimators: a sum of models is the mean of their margins, and trees still; hooks are checked before they cost."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from detector.errors import ConfigError
from detector.learning.estimators import (
    BINNED,
    LARGE_TREES,
    SMALL,
    Recipe,
    add_forest,
    averaged,
    drawn_rows,
    hardly_known,
    recipe,
)
from detector.records import Bools
from detector.verdict.modelfile import dump_estimator, load_estimator
from detector.verdict.nodes import take_nodes
from detector.verdict.trees import Vectors, flatten

FEATURES = tuple("abcdef")


def drawn(size: int = 500, seed: int = 1) -> tuple[Vectors, Bools]:
    """Vectors with holes, and labels that two features tell."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(size, len(FEATURES)))
    fraud = vectors[:, 0] - vectors[:, 1] + rng.normal(size=size) > 0.7
    vectors[rng.random(vectors.shape) < 0.1] = np.nan
    return vectors, fraud


def plain_hook(features: tuple[str, ...], seed: int) -> Any:
    """What the allow-list holds."""
    assert features == FEATURES
    return HistGradientBoostingClassifier(max_iter=7, random_state=seed)


def piped_hook(features: tuple[str, ...], seed: int) -> Any:
    """Its last step takes weights; it takes no missing values."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.5))


def any_hook(features: tuple[str, ...], seed: int) -> Any:
    """For a table of any features."""
    return HistGradientBoostingClassifier(random_state=seed)


def foreign_hook(features: tuple[str, ...], seed: int) -> Any:
    """Not on the list."""
    return RandomForestClassifier()


def worse_hook(features: tuple[str, ...], seed: int) -> Any:
    """Not on the list either."""
    return make_pipeline(StandardScaler(), GaussianNB())


def no_estimator(features: tuple[str, ...], seed: int) -> Any:
    """Nothing that can be fitted."""
    return "trees"


def light(name: str = "trees", monotone: Mapping[str, int] | None = None) -> Recipe:
    """The default with fewer trees."""
    whole = recipe(name, 500, FEATURES, monotone or {})
    return replace(whole, parameters={**whole.parameters, "models": 2, "max_iter": 20})


def test_an_average_of_models_has_the_mean_of_their_margins() -> None:
    """To rounding: the leaves are divided instead of the sum."""
    vectors, fraud = drawn()
    models = [
        HistGradientBoostingClassifier(max_iter=10, max_features=0.4, random_state=i).fit(vectors, fraud)
        for i in range(3)
    ]
    wanted = np.mean([model.decision_function(vectors) for model in models], axis=0)
    assert averaged(models).decision_function(vectors) == pytest.approx(wanted, abs=1e-12)
    assert averaged(models[:1]).decision_function(vectors).tolist() == models[0].decision_function(vectors).tolist()


def test_a_forest_adds_its_probability_to_the_margin() -> None:
    """Its trees are the sum's: to rounding, for values known and not known."""
    vectors, fraud = drawn()
    vectors = vectors.astype(np.float32).astype(np.float64)  # a forest compares as float32
    whole = HistGradientBoostingClassifier(max_iter=5, random_state=1).fit(vectors, fraud)
    forest = ExtraTreesClassifier(20, max_leaf_nodes=31, random_state=1).fit(vectors, fraud)
    wanted = whole.decision_function(vectors) + 8 * (forest.predict_proba(vectors)[:, 1] - 0.5)
    add_forest(whole, forest, 8.0)
    assert whole.decision_function(vectors) == pytest.approx(wanted, abs=1e-9)
    assert recipe("trees", 500, FEATURES, {"a": 1}).parameters["forest_trees"] == 0


def test_the_default_of_a_small_table_is_trees_for_the_kernel_and_a_file_to_the_bit() -> None:
    """Eight models' trees summed are still trees: the bundle and its kernel give the estimator's own margins."""
    vectors, fraud = drawn()
    made = recipe("trees", len(vectors), FEATURES, {})
    fitted = made.fit(vectors, fraud, np.ones(len(fraud)), np.arange(len(fraud)), 3)
    nodes = take_nodes(fitted)
    assert nodes is not None
    assert (
        len(nodes.roots) - 1
        == made.parameters["models"] * made.parameters["max_iter"] + made.parameters["forest_trees"]
    )
    margins = fitted.decision_function(vectors)
    assert flatten(nodes).margins(vectors).tobytes() == margins.tobytes()
    assert load_estimator(dump_estimator(fitted), "x").decision_function(vectors).tobytes() == margins.tobytes()


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    """Models are drawn from the seed alone."""
    vectors, fraud = drawn(200)
    made = light()
    files = [dump_estimator(made.fit(vectors, fraud, np.ones(200), np.arange(200), seed)) for seed in (1, 1, 2)]
    assert files[0] == files[1] != files[2]


def test_a_large_table_gets_the_trees_that_a_service_scores_fast() -> None:
    """One model, as the one that ships."""
    assert recipe("trees", SMALL, FEATURES, {}).parameters["models"] > 1
    assert recipe("trees", SMALL + 1, FEATURES, {}).parameters == LARGE_TREES


def test_the_fewer_the_numbers_the_slower_trees_learn() -> None:
    """By the square root, to a floor; several vectors of a number do not make it two."""
    rates = [recipe("trees", 5_000, FEATURES, {}, numbers).parameters["learning_rate"] for numbers in (20, 300, 5_000)]
    assert rates == [0.024, 0.04, 0.08]
    assert recipe("trees", 300, FEATURES, {}).parameters["learning_rate"] == 0.04


def test_a_monotone_feature_never_lowers_the_margin_when_it_rises() -> None:
    """Whatever the other features are; without the constraint, noise does it somewhere."""
    vectors, fraud = drawn()
    rising = np.tile(vectors[:40], (21, 1))
    rising[:, 2] = np.repeat(np.linspace(-3, 3, 21), 40)
    steps = {}
    for way in (0, 1):
        made = light(monotone={"c": way} if way else {})
        fitted = made.fit(vectors, fraud, np.ones(len(fraud)), np.arange(len(fraud)), 3)
        steps[way] = np.diff(fitted.decision_function(rising).reshape(21, 40), axis=0).min()
    assert steps[1] >= 0 > steps[0]


def test_the_numbers_of_a_model_are_drawn_whole_and_of_both_kinds() -> None:
    """All rows of four fifths of the fraud numbers and of the honest ones."""
    number = np.repeat(np.arange(50), 3)
    fraud = number < 10
    rows = drawn_rows(number, fraud, 0.8, np.random.default_rng(1))
    kept = np.unique(number[rows])
    assert len(rows) == 3 * len(kept)
    assert ((kept < 10).sum(), (kept >= 10).sum()) == (8, 32)


def test_a_feature_that_nobody_knows_is_nothing_to_split_on() -> None:
    """As `open_calls_24h` is without phases."""
    vectors, fraud = drawn()
    vectors[:, 3] = np.nan
    nodes = take_nodes(light().fit(vectors, fraud, np.ones(len(fraud)), np.arange(len(fraud)), 3))
    assert nodes is not None
    splits = nodes.nodes[~nodes.nodes["leaf"]]
    assert 3 not in splits["feature"]


@pytest.mark.parametrize("seed", range(4))
def test_a_feature_that_one_number_knows_is_nothing_to_split_on_where_it_was_not_drawn(seed: int) -> None:
    """Each of eight models sees four fifths of the numbers: one without that number has a feature that nobody knows."""
    vectors, fraud = drawn()
    number = np.arange(len(fraud)) // 5
    vectors[number != 17, 3] = np.nan
    vectors[number == 17, 3] = np.arange(5.0)
    fitted = recipe("trees", len(vectors), FEATURES, {}).fit(vectors, fraud, np.ones(len(fraud)), number, seed)
    assert np.isfinite(fitted.decision_function(vectors)).all()


def test_what_is_known_in_all_that_are_drawn_is_fitted_as_it_is() -> None:
    """Bit for bit as scikit-learn does it alone, missing values included."""
    vectors, fraud = drawn()
    made = replace(light(), parameters={**LARGE_TREES, "max_iter": 5, "min_samples_leaf": 10})
    fitted = made.fit(vectors, fraud, np.ones(len(fraud)), np.arange(len(fraud)), 3)
    plain = {name: value for name, value in made.parameters.items() if name not in ("models", "numbers_share")}
    seed = int(np.random.default_rng((3, 0)).integers(2**31))
    alone = HistGradientBoostingClassifier(**plain, early_stopping=False, random_state=seed).fit(vectors, fraud)
    assert fitted.decision_function(vectors).tobytes() == alone.decision_function(vectors).tobytes()


@pytest.mark.parametrize("uneven", [False, True])
def test_a_feature_that_a_few_of_a_large_table_know_is_nothing_to_split_on(uneven: bool) -> None:
    """scikit-learn bins 200,000 of them, drawn by weight, and fails on a feature that none of these knows."""
    size = BINNED + 20_000
    vectors = np.random.default_rng(1).normal(size=(size, 3))
    fraud = vectors[:, 0] > 1
    weight = np.where(np.arange(size) % 2, 1.0, 1e-9 if uneven else 1.0)
    rare = vectors.copy()
    rare[:, 2] = np.nan
    rare[:40:2, 2] = 1.0
    assert hardly_known(rare, weight).tolist() == [False, False, True]
    assert not hardly_known(vectors, weight).any()
    made = replace(light(), features=("a", "b", "c"), parameters={**LARGE_TREES, "max_iter": 2})
    fitted = made.fit(rare, fraud, weight, np.arange(size), 1)
    assert np.isfinite(fitted.decision_function(rare[:100])).all()


def test_a_hook_gives_any_estimator_of_the_list() -> None:
    """With the features and the seed."""
    vectors, fraud = drawn()
    made = recipe("tests.learning.test_estimators:plain_hook", len(vectors), FEATURES, {})
    assert made.parameters["max_iter"] == 7
    fitted = made.fit(vectors, fraud, np.ones(len(fraud)), np.arange(len(fraud)), 5)
    assert fitted.random_state == 5
    assert fitted.n_iter_ == 7


def test_weights_reach_the_last_step_of_a_pipeline() -> None:
    """A row that weighs nothing is as if it were not there, up to the scaler that comes before."""
    vectors, fraud = drawn(300)
    vectors = np.nan_to_num(vectors)
    made = recipe("tests.learning.test_estimators:piped_hook", 300, FEATURES, {})
    weights = np.where(np.arange(300) < 150, 1.0, 1e-9)
    light = made.fit(vectors, fraud, weights, np.arange(300), 1).steps[-1][1].coef_
    even = made.fit(vectors, fraud, np.ones(300), np.arange(300), 1).steps[-1][1].coef_
    assert not np.allclose(light, even)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("forest", r"--estimator: wanted trees, logistic or module:function \(got 'forest'\)"),
        ("no.such.module:make", r"wanted an importable function \(No module named 'no'\)"),
        ("tests.learning.test_estimators:nothing", r"wanted an importable function \(.*nothing"),
        ("tests.learning.test_estimators:no_estimator", r"wanted a scikit-learn classifier \(got str\)"),
        ("tests.learning.test_estimators:foreign_hook", r"allow-list \(got .*RandomForestClassifier"),
        ("tests.learning.test_estimators:worse_hook", r"allow-list \(got sklearn.naive_bayes.GaussianNB\)"),
    ],
)
def test_a_hook_that_cannot_be_saved_is_refused_before_it_is_fitted(name: str, message: str) -> None:
    """Which type is not on the list is said by name."""
    with pytest.raises(ConfigError, match=message):
        recipe(name, 100, FEATURES, {})


def test_an_estimator_that_cannot_take_the_table_says_why() -> None:
    """A pipeline without an imputer meets missing values."""
    vectors, fraud = drawn()
    made = recipe("tests.learning.test_estimators:piped_hook", len(vectors), FEATURES, {})
    with pytest.raises(ConfigError, match=r"piped_hook: it cannot be fitted on this table \(.*NaN"):
        made.fit(vectors, fraud, np.ones(len(fraud)), np.arange(len(fraud)), 1)
