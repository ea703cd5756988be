"""Contest: the default of `fit` beside tuned forests, plain boosting and logistic regression, on public tables.

    table -> outer folds -> each contestant, tuned by random search on inner folds -> area and average precision

`python -m detector.learning.contest` prints a table; the defaults in `estimators` were chosen by it. Ours is not tuned
here: that is the point. Tables are those that scikit-learn ships or generates, with noise, missing values and about
30 % positives, of 400 to 4,000 rows; `quantiles` has the quantiles of real numbers (1,962 fraud and 4,144 honest ones,
Sichuan 2019-20) and lets each feature alone tell as much as it does there.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from scipy.special import ndtri
from sklearn import datasets
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from detector.learning.estimators import recipe
from detector.learning.rates import Floats, area, average_precision
from detector.records import Bools

OUTER: Final = 3
INNER: Final = 3
DRAWS: Final = 6
TREES: Final = 150
SEED: Final = 4

Labelled = tuple[Floats, Bools]

QUANTILES: Final = (
    # honest and fraud p10/25/50/75/90 of calls, distinct counterparties, distinct share, outgoing share, devices, mean
    # contacts, most contacts, mean and median duration, hours, days, messages, received share of messages
    ((47, 163, 467, 1070, 2070), (29, 88, 216, 624, 1920)),
    ((12, 27, 61, 137, 259), (15, 56, 138, 307, 753)),
    ((0.066, 0.094, 0.148, 0.259, 0.456), (0.162, 0.433, 0.806, 0.952, 0.998)),
    ((0.285, 0.406, 0.519, 0.678, 1), (0.461, 0.753, 0.971, 1, 1)),
    ((1, 1, 1, 2, 3), (1, 1, 2, 4, 7)),
    ((2.2, 3.9, 6.8, 10.6, 15.2), (1, 1.05, 1.24, 2.3, 6.2)),
    ((10, 38, 101, 222, 412), (2, 3, 6, 21, 184)),
    ((42, 56, 77, 113, 168), (33, 57, 92, 146, 226)),
    ((24, 30, 37, 48, 65), (19, 29, 41, 55, 82)),
    ((13, 16, 18, 20, 23), (5, 9, 11, 16, 22)),
    ((20, 30, 31, 31, 31), (2, 3, 6, 28, 31)),
    ((257, 554, 941, 1580, 2480), (41, 67, 159, 716, 2460)),
    ((0.953, 0.983, 0.994, 0.998, 1), (0.773, 0.873, 0.957, 0.987, 1)),
)
AREAS: Final = (0.61, 0.66, 0.875, 0.78, 0.73, 0.875, 0.82, 0.56, 0.54, 0.78, 0.83, 0.75, 0.76)
TOWARDS_FRAUD: Final = (-1, 1, 1, 1, 1, -1, -1, 1, 1, -1, -1, -1, -1)
"""What each feature tells alone, and which end of it is fraud's."""
TOGETHER: Final = 0.94
"""What all features tell together at best: about what is reached on the real numbers."""


def quantiles(rng: np.random.Generator) -> Labelled:
    """6,106 numbers: one hidden factor tells as much as `TOGETHER`, each feature a part of it, in its real units."""
    honest, fraud = 4_144, 1_962
    label = np.repeat([False, True], [honest, fraud])
    apart = np.sqrt(2) * ndtri(TOGETHER)
    hidden = rng.normal(size=len(label)) + apart * label
    columns = []
    for rows, alone, way in zip(QUANTILES, AREAS, TOWARDS_FRAUD, strict=True):
        part = np.sqrt(2) * ndtri(alone) / apart
        drawn = way * (part * hidden + np.sqrt(1 - part**2) * rng.normal(size=len(label)))
        pool = [
            np.interp(rng.random(size), (0.1, 0.25, 0.5, 0.75, 0.9), each)
            for size, each in zip((honest, fraud), rows, strict=True)
        ]
        columns.append(np.sort(np.concatenate(pool))[np.argsort(np.argsort(drawn))])
    noise = rng.normal(size=(len(label), 7))
    return _holed(np.hstack([np.stack(columns, axis=1), noise]), 0.03, rng), label


def tables() -> dict[str, Callable[[np.random.Generator], Labelled]]:
    """Tables by name, drawn from a generator."""
    return {
        "breast cancer": _cancer,
        "diabetes, top 30 %": _diabetes,
        "digits 3, 5 and 8, noisy": _digits,
        "quantiles of real numbers": quantiles,
        "classification 3,000 x 20": lambda rng: _made(rng, 3_000, 20, 8, 0.05, 1.0, 0.1),
        "classification 2,000 x 60": lambda rng: _made(rng, 2_000, 60, 12, 0.1, 0.6, 0.15),
        "classification 4,000 x 10": lambda rng: _made(rng, 4_000, 10, 6, 0.02, 0.8, 0.05),
        "Hastie 2,500 x 10": _hastie,
        "Friedman 2,500 x 25": _friedman,
    }


def contestants() -> dict[str, Callable[[Floats, Bools], Callable[[Floats], Floats]]]:
    """What is fitted on a training part, and then scores."""
    forest: Mapping[str, Any] = {
        "max_features": [0.1, 0.2, "sqrt", 0.4, 0.6],
        "min_samples_leaf": [1, 2, 3, 5, 10],
        "max_depth": [None, 12],
    }
    boosting = {
        "learning_rate": [0.02, 0.05, 0.1, 0.2],
        "max_iter": [50, 100, 200],
        "max_leaf_nodes": [7, 15, 31],
        "min_samples_leaf": [5, 20, 50],
        "l2_regularization": [0.0, 1.0, 10.0],
        "max_features": [0.3, 0.6, 1.0],
    }
    linear = {"C": [0.001, 0.01, 0.1, 1.0, 10.0]}
    return {
        "ours, default": _ours,
        "boosting, plain": lambda x, y: _scores(HistGradientBoostingClassifier(random_state=SEED).fit(x, y)),
        "boosting, tuned": _tuned(HistGradientBoostingClassifier(random_state=SEED), boosting, imputed=False),
        "random forest, tuned": _tuned(RandomForestClassifier(TREES, random_state=SEED), forest),
        "extra trees, tuned": _tuned(ExtraTreesClassifier(TREES, random_state=SEED), forest),
        "logistic regression, tuned": _tuned(LogisticRegression(max_iter=2_000), linear),
    }


def run(names: set[str] | None, only: set[str] | None, rows: int) -> Iterator[str]:
    """A line for each table and contestant: mean area and average precision over the outer folds."""
    yield "| table | rows | features | contestant | area | average precision | s a fit |"
    yield "| --- | ---: | ---: | --- | ---: | ---: | ---: |"
    totals: dict[str, list[tuple[float, float]]] = {}
    for table, make in tables().items():
        if names and table not in names:
            continue
        x, y = _some(*make(np.random.default_rng(SEED)), rows)
        folds = list(StratifiedKFold(OUTER, shuffle=True, random_state=SEED).split(x, y))
        for name, fit in contestants().items():
            if only and name not in only:
                continue
            found, begun = [], time.process_time()
            for train, test in folds:
                scores = fit(x[train], y[train])(x[test])
                found.append((area(scores, y[test]), average_precision(scores, y[test])))
            mean = np.mean(found, axis=0)
            totals.setdefault(name, []).append((float(mean[0]), float(mean[1])))
            took = (time.process_time() - begun) / OUTER
            yield f"| {table} | {len(y)} | {x.shape[1]} | {name} | {mean[0]:.4f} | {mean[1]:.4f} | {took:.1f} |"
    for name, each in totals.items():
        mean = np.mean(each, axis=0)
        yield f"| mean of {len(each)} tables | | | {name} | {mean[0]:.4f} | {mean[1]:.4f} | |"


def _some(x: Floats, y: Bools, rows: int) -> Labelled:
    """At most so many rows, drawn."""
    drawn = np.random.default_rng(SEED).permutation(len(y))[:rows]
    return x[drawn], y[drawn]


def _ours(x: Floats, y: Bools) -> Callable[[Floats], Floats]:
    features = tuple(f"f{i}" for i in range(x.shape[1]))
    made = recipe("trees", len(x), features, {})
    fitted = made.fit(x, y, np.ones(len(y)), np.arange(len(y)), SEED)
    return lambda vectors: np.asarray(fitted.decision_function(vectors))


def _tuned(
    estimator: Any, space: Mapping[str, Any], imputed: bool = True
) -> Callable[[Floats, Bools], Callable[[Floats], Floats]]:
    def fit(x: Floats, y: Bools) -> Callable[[Floats], Floats]:
        last = type(estimator).__name__.lower()
        steps = [SimpleImputer(strategy="median"), StandardScaler()] if imputed else []
        sizes = int(np.prod([len(values) for values in space.values()]))
        search = RandomizedSearchCV(
            make_pipeline(*steps, estimator),
            {f"{last}__{name}": values for name, values in space.items()},
            n_iter=min(DRAWS, sizes),
            scoring="roc_auc",
            cv=StratifiedKFold(INNER, shuffle=True, random_state=SEED),
            random_state=SEED,
        )
        return _scores(search.fit(x, y))

    return fit


def _scores(fitted: Any) -> Callable[[Floats], Floats]:
    return lambda vectors: np.asarray(fitted.predict_proba(vectors))[:, 1]


def _holed(x: Floats, share: float, rng: np.random.Generator) -> Floats:
    """With that share of values not known."""
    holed = x.copy()
    holed[rng.random(x.shape) < share] = np.nan
    return holed


def _made(
    rng: np.random.Generator, rows: int, features: int, informative: int, flipped: float, apart: float, holes: float
) -> Labelled:
    x, y = datasets.make_classification(
        rows,
        features,
        n_informative=informative,
        n_redundant=features // 6,
        n_clusters_per_class=3,
        weights=[0.7],
        flip_y=flipped,
        class_sep=apart,
        random_state=int(rng.integers(2**31)),
    )
    return _holed(x, holes, rng), y == 1


def _cancer(rng: np.random.Generator) -> Labelled:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return _holed(x, 0.1, rng), y == 0


def _diabetes(rng: np.random.Generator) -> Labelled:
    x, y = datasets.load_diabetes(return_X_y=True)
    return _holed(x, 0.05, rng), y > np.quantile(y, 0.7)


def _digits(rng: np.random.Generator) -> Labelled:
    x, y = datasets.load_digits(return_X_y=True)
    return _holed(x + rng.normal(0, 6, x.shape), 0.1, rng), np.isin(y, (3, 5, 8))


def _hastie(rng: np.random.Generator) -> Labelled:
    x = rng.normal(size=(2_500, 10))
    return x, (x**2).sum(axis=1) + rng.normal(0, 2, 2_500) > 12.5


def _friedman(rng: np.random.Generator) -> Labelled:
    x, y = datasets.make_friedman1(2_500, 25, noise=3.0, random_state=int(rng.integers(2**31)))
    return _holed(x, 0.05, rng), y > np.quantile(y, 0.7)


def main() -> None:
    """Print the contest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="append", help="only these")
    parser.add_argument("--contestant", action="append", help="only these")
    parser.add_argument("--rows", type=int, default=1_500, help="at most so many of a table (default: 1500)")
    arguments = parser.parse_args()
    for line in run(set(arguments.table or ()) or None, set(arguments.contestant or ()) or None, arguments.rows):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
