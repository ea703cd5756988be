"""Estimators: what can be fitted on a table, by name or by a hook.

    trees                gradient-boosted trees; several models' trees summed where the table is small
    logistic             logistic regression on imputed, scaled features: a weight a feature, for reading
    module:function      any scikit-learn classifier: `function(feature_names, seed)` returns it, unfitted

A hook's estimator needs `fit(vectors, fraud)`, with `sample_weight` if weights are to count, and `decision_function`;
all that it is made of must be on the model file's allow-list (`verdict.modelfile.ALLOWED`), or it is refused by name.

To them is added a forest of random splits, which on few numbers errs elsewhere than boosting does (tuned extra trees
were ahead of boosting on every table of `contest` with 1,000 rows or fewer); not where directions are asked for.
Averaging models that each saw part of the numbers and part of the features at every split takes from boosting
what it lacks on small tables; a sum of trees is still a list of trees, so a bundle holds it as it holds one model, and
the same kernel scores it.
"""

import importlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits

from detector.errors import ConfigError, SnapshotError
from detector.learning.table import Weights
from detector.records import Bools, I64s
from detector.verdict.modelfile import dump_estimator
from detector.verdict.trees import Vectors

SMALL: Final = 20_000
"""Rows up to which several models are averaged."""
SMALL_TREES: Final[Mapping[str, Any]] = {
    "models": 8,
    "numbers_share": 0.8,
    "max_iter": 100,
    "learning_rate": 0.08,
    "max_leaf_nodes": 16,
    "min_samples_leaf": 10,
    "l2_regularization": 3.0,
    "max_features": 0.3,
    "forest_trees": 150,
    "forest_weight": 8.0,
}
ENOUGH: Final = 1_200
"""Numbers below which trees learn more slowly, by the square root of how many there are."""
SLOWEST: Final = 0.3
FOREST_LEAVES: Final = 31
"""Leaves of a tree of the forest: one word of the kernel's masks."""
LARGE_TREES: Final[Mapping[str, Any]] = {
    "models": 1,
    "numbers_share": 1.0,
    "max_iter": 100,
    "learning_rate": 0.1,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 100,
    "l2_regularization": 5.0,
    "max_features": 1.0,
}
"""The shipped model's: what a service scores 100,000s of vectors a second with."""
BINNED: Final = 200_000
"""Rows that scikit-learn draws to bin a feature by, where there are more; it fails where none of them knows it."""
ENOUGH_BINNED: Final = 25
"""Of these that must know a feature on average: then none does once in 70 billion draws (e to the -25)."""
LOGISTIC: Final[Mapping[str, Any]] = {"C": 0.1}
MOST_ITERATIONS: Final = 2_000
"""Of the logistic regression's solver."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an estimator is made: its name, its parameters, and what fits it."""

    name: str
    parameters: Mapping[str, Any]
    monotone: Mapping[str, int]
    features: tuple[str, ...]

    def fit(self, vectors: Vectors, fraud: Bools, weight: Weights, number: I64s, seed: int) -> Any:
        """The fitted estimator; equal arguments, equal bytes. Weights are scaled to a mean of 1.

        Raises `ConfigError` where an estimator takes no such parameters, or that of a hook cannot be fitted.
        """
        weight = weight / weight.mean()
        try:
            with threadpool_limits(1):
                if self.name == "trees":
                    return self._trees(vectors, fraud, weight, number, seed)
                if self.name == "logistic":
                    return _fit(_logistic(self.parameters), vectors, fraud, weight)
                return self._hooked(vectors, fraud, weight, seed)
        except InvalidParameterError as error:
            raise ConfigError(f"--parameter: wanted others (got {error})") from error

    def _trees(self, vectors: Vectors, fraud: Bools, weight: Weights, number: I64s, seed: int) -> Any:
        parameters = dict(self.parameters)
        models, share = parameters.pop("models"), parameters.pop("numbers_share")
        forest_trees, forest_weight = parameters.pop("forest_trees", 0), parameters.pop("forest_weight", 0.0)
        ways = [self.monotone.get(name, 0) for name in self.features]
        fitted = []
        for model in range(models):
            rng = np.random.default_rng((seed, model))
            drawn = drawn_rows(number, fraud, share, rng)
            mine = splittable(vectors[drawn], weight[drawn])
            trees = HistGradientBoostingClassifier(
                **parameters,
                monotonic_cst=ways if any(ways) else None,
                early_stopping=False,
                random_state=int(rng.integers(2**31)),
            )
            fitted.append(trees.fit(mine, fraud[drawn], sample_weight=_uneven(weight[drawn])))
        whole = averaged(fitted)
        if forest_trees:
            forest = ExtraTreesClassifier(
                forest_trees,
                max_leaf_nodes=FOREST_LEAVES,
                max_features=0.6,
                min_samples_leaf=3,
                random_state=seed,
            ).fit(splittable(vectors.copy(), weight), fraud, sample_weight=_uneven(weight))
            add_forest(whole, forest, forest_weight)
        return whole

    def _hooked(self, vectors: Vectors, fraud: Bools, weight: Weights, seed: int) -> Any:
        estimator = hooked(self.name, self.features, seed)
        try:
            fitted = _fit(estimator, vectors, fraud, weight)
        except ValueError as error:
            raise ConfigError(f"--estimator {self.name}: it cannot be fitted on this table ({error})") from error
        return fitted


def recipe(
    name: str, rows: int, features: Sequence[str], monotone: Mapping[str, int], numbers: int | None = None
) -> Recipe:
    """The recipe of that name for a table of so many rows, of so many numbers; `ConfigError` when there is none."""
    if name == "trees":
        parameters = dict(trees_for(rows, rows if numbers is None else numbers))
        if monotone and "forest_trees" in parameters:
            parameters["forest_trees"] = 0  # random splits keep to no direction
        return Recipe(name, parameters, monotone, tuple(features))
    if name == "logistic":
        return Recipe(name, LOGISTIC, {}, tuple(features))
    estimator = hooked(name, tuple(features), 0)
    try:
        dump_estimator(estimator)
    except SnapshotError as error:
        raise ConfigError(f"--estimator {name}: {error}") from error
    if not hasattr(estimator, "decision_function"):
        raise ConfigError(
            f"--estimator {name}: wanted a classifier with decision_function (got {type(estimator).__name__})"
        )
    return Recipe(name, _readable(estimator.get_params()), {}, tuple(features))


def trees_for(rows: int, numbers: int) -> Mapping[str, Any]:
    """The default of trees by size of the table: the fewer the numbers, the less is learnt of each."""
    if rows > SMALL:
        return LARGE_TREES
    slower = max(SLOWEST, min(1.0, float(np.sqrt(numbers / ENOUGH))))
    return {**SMALL_TREES, "learning_rate": round(SMALL_TREES["learning_rate"] * slower, 4)}


def hooked(name: str, features: tuple[str, ...], seed: int) -> Any:
    """What the hook `module:function` returns; `ConfigError` when it cannot be called."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise ConfigError(f"--estimator: wanted trees, logistic or module:function (got {name!r})")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"--estimator {name}: wanted an importable function ({error})") from error
    estimator = make(features, seed)
    if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise ConfigError(f"--estimator {name}: wanted a scikit-learn classifier (got {type(estimator).__name__})")
    return estimator


def averaged(models: Sequence[HistGradientBoostingClassifier]) -> HistGradientBoostingClassifier:
    """One model whose margin is the mean of theirs: all their trees, leaves divided by how many they are."""
    whole = deepcopy(models[0])
    if len(models) == 1:
        return whole
    whole._predictors = [deepcopy(trees) for model in models for trees in model._predictors]
    for (tree,) in whole._predictors:
        tree.nodes["value"] /= len(models)
    whole._baseline_prediction = np.mean([model._baseline_prediction for model in models], axis=0)
    return whole.set_params(max_iter=len(whole._predictors))


def add_forest(whole: HistGradientBoostingClassifier, forest: ExtraTreesClassifier, weight: float) -> None:
    """Adds `weight` times the forest's probability of fraud, less a half, to the margin: its trees become `whole`'s."""
    like = whole._predictors[0][0]
    for tree in forest.estimators_:
        theirs = tree.tree_
        leaf = theirs.children_left < 0
        nodes = np.zeros(theirs.node_count, like.nodes.dtype)
        nodes["value"] = weight * (theirs.value[:, 0, 1] - 0.5) / len(forest.estimators_)
        nodes["count"] = theirs.n_node_samples
        nodes["is_leaf"] = leaf
        nodes["missing_go_to_left"] = theirs.missing_go_to_left
        for ours, name in (("feature_idx", "feature"), ("num_threshold", "threshold")):
            nodes[ours] = np.where(leaf, 0, getattr(theirs, name))
        for ours, name in (("left", "children_left"), ("right", "children_right")):
            nodes[ours] = np.where(leaf, 0, getattr(theirs, name))
        added = deepcopy(like)
        added.nodes = nodes
        whole._predictors.append([added])
    whole.set_params(max_iter=len(whole._predictors))


def hardly_known(vectors: Vectors, weight: Weights) -> Bools:
    """Columns that trees cannot be told anything by: nobody knows them, or so few that no bin may come of it.

    Up to `BINNED` rows one that is known is enough.
    """
    known = ~np.isnan(vectors)
    rows = np.asarray(known.mean(axis=0))
    if len(vectors) <= BINNED:
        nobody: Bools = rows == 0
        return nobody
    weighs = np.array([weight[column].sum() for column in known.T]) / weight.sum()
    few: Bools = np.minimum(rows, weighs) * BINNED < ENOUGH_BINNED
    return few


def splittable(vectors: Vectors, weight: Weights) -> Vectors:
    """`vectors` (mutated), in which what is hardly known is constant, and so nothing to split on."""
    vectors[:, hardly_known(vectors, weight)] = 0.0
    return vectors


def drawn_rows(number: I64s, fraud: Bools, share: float, rng: np.random.Generator) -> I64s:
    """The rows of `share` of the numbers, drawn among fraud and honest ones apart, so that neither runs out."""
    if share >= 1:
        return np.arange(len(number))
    codes, place = np.unique(number, return_inverse=True)
    bad = np.zeros(len(codes), dtype=bool)
    bad[place[fraud]] = True
    kept = np.zeros(len(codes), dtype=bool)
    for kind in (bad, ~bad):
        mine = np.flatnonzero(kind)
        kept[rng.permutation(mine)[: int(np.ceil(share * len(mine)))]] = True
    return np.flatnonzero(kept[place])


def _logistic(parameters: Mapping[str, Any]) -> Pipeline:
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=MOST_ITERATIONS, **parameters),
    )


def _fit(estimator: Any, vectors: Vectors, fraud: Bools, weight: Weights) -> Any:
    """Fitted with the weights, where it or its last step takes any."""
    last = estimator.steps[-1] if isinstance(estimator, Pipeline) else ("", estimator)
    if not has_fit_parameter(last[1], "sample_weight"):
        return estimator.fit(vectors, fraud)
    name = f"{last[0]}__sample_weight" if last[0] else "sample_weight"
    return estimator.fit(vectors, fraud, **{name: _uneven(weight)})


def _uneven(weight: Weights) -> Weights | None:
    """None where all weigh the same: binning by weights takes scikit-learn 1.9 four fifths of a small fit."""
    return None if (weight == weight[0]).all() else weight


def _readable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold as it is; the rest as text."""
    plain = (str, int, float, bool, type(None))
    return {key: value if isinstance(value, plain) else repr(value) for key, value in sorted(parameters.items())}
