"""Search: hyper-parameters by random draws from a small stated space, judged by cross-validation by number.

Trial 0 is the default. It is replaced only by a trial that beats it by more than the standard error of the difference
over the folds: with few numbers the best of many draws is mostly the luckiest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from detector.errors import ConfigError
from detector.learning.estimators import Recipe
from detector.learning.greatest import numbers_of_table
from detector.learning.rates import average_precision
from detector.learning.splits import folds_of
from detector.learning.table import Table
from detector.records import Bools
from detector.verdict.trees import Margins

SPACES: Final[Mapping[str, Mapping[str, tuple[Any, ...]]]] = {
    "trees": {
        "max_iter": (50, 100, 200),
        "learning_rate": (0.03, 0.05, 0.08, 0.12),
        "max_leaf_nodes": (6, 10, 16, 24, 31),
        "min_samples_leaf": (5, 10, 20, 50, 100),
        "l2_regularization": (0.3, 1.0, 3.0, 10.0, 30.0),
        "max_features": (0.15, 0.3, 0.5, 0.8),
    },
    "logistic": {"C": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)},
}
"""Values drawn from, each as likely as the other."""
PATIENCE: Final = 15
"""Trials without a better one after which the search ends."""


@dataclass(frozen=True, slots=True)
class Found:
    """The recipe that was chosen, and how."""

    recipe: Recipe
    said: dict[str, Any]


def search(table: Table, start: Recipe, trials: int, seed: int, say: Callable[[str], None]) -> Found:
    """The best of `trials` draws and the default, by mean average precision of numbers over the folds."""
    space = SPACES.get(start.name)
    if space is None:
        raise ConfigError(f"--search: wanted trees or logistic, whose space is known (got {start.name})")
    folds = folds_of(table, seed)
    rng = np.random.default_rng(seed)
    first = fold_scores(table, start, folds, seed)
    best, recipe, since = first, start, 0
    tried = [{"parameters": dict(start.parameters), "average_precision": float(first.mean())}]
    for trial in range(1, trials + 1):
        drawn = {name: values[int(rng.integers(len(values)))] for name, values in space.items()}
        candidate = replace(start, parameters={**start.parameters, **drawn})
        scores = fold_scores(table, candidate, folds, seed)
        tried.append({"parameters": dict(candidate.parameters), "average_precision": float(scores.mean())})
        since += 1
        if scores.mean() > best.mean():
            best, recipe, since = scores, candidate, 0
        say(f"search {trial} of {trials}: {scores.mean():.4f}, best {best.mean():.4f}, default {first.mean():.4f}")
        if since >= PATIENCE:
            say(f"search ended: {PATIENCE} draws without a better one")
            break
    gain = best - first
    kept = bool(gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)))
    return Found(
        start if kept else recipe,
        {
            "space": {name: list(values) for name, values in space.items()},
            "folds": int(folds.max()) + 1,
            "judged_by": "average precision of numbers, mean over folds",
            "default_kept": kept,
            "trials": tried,
        },
    )


def fold_scores(table: Table, recipe: Recipe, folds: np.ndarray[Any, Any], seed: int) -> Margins:
    """Average precision of the numbers of each fold, scored by a model that has not seen them."""
    margins = cross_margins(table, recipe, folds, seed)
    scores = []
    for fold in range(int(folds.max()) + 1):
        mine = folds == fold
        numbers = numbers_of_table(table.rows(mine), margins[mine])
        scores.append(average_precision(numbers.margin, numbers.fraud))
    return np.array(scores)


def cross_margins(
    table: Table, recipe: Recipe, folds: np.ndarray[Any, Any], seed: int, among: Bools | None = None
) -> Margins:
    """The margin of each row by a model that was fitted on the other folds; `among`: rows that may be fitted on."""
    margins = np.empty(len(table))
    for fold in range(int(folds.max()) + 1):
        mine = folds == fold
        others = table.rows(~mine if among is None else ~mine & among)
        estimator = recipe.fit(others.vectors, others.fraud, others.weight, others.number, seed)
        margins[mine] = estimator.decision_function(table.vectors[mine])
    return margins
