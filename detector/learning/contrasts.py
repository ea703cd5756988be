"""Contrasts: what the figures would be with something simpler, and with less to go by.

    table -> few vectors of each number-day -> folds by number -> contestants fitted on the other folds -> recall

Baselines: two rules that need no fitting, an isolation forest that needs no labels, a logistic regression. Ablations:
the bundle's own kind of estimator without a group of features. All are cross-fitted within the table, and so is the
estimator with all features that they are set beside: what the bundle itself reaches stands elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from sklearn.ensemble import IsolationForest
from threadpoolctl import threadpool_limits

from detector.features.catalogue import FEATURES, NAMES
from detector.learning.estimators import Recipe, recipe
from detector.learning.greatest import number_days_of_table, numbers_of_table
from detector.learning.rates import UNKNOWN, Floats, area, average_precision, share
from detector.learning.search import cross_margins
from detector.learning.splits import folds_of
from detector.learning.table import Table, number_day_keys
from detector.learning.thresholds import FEWEST, SHARES, choose_thresholds
from detector.records import I64s
from detector.verdict.trees import Margins, Vectors

MOST_ROWS: Final = 12_000
"""Vectors that contestants are fitted on: enough to tell them apart, few enough for a minute."""
VECTORS: Final = 2
"""Of a number-day at most: more of one say little."""
FOLDS: Final = 3
MODELS: Final = 2
"""Models that an ensemble among the contestants is averaged from."""
FOREST: Final = 200
"""Trees of the isolation forest."""
GEOGRAPHY: Final = frozenset({"risk_calls", "risk_talk", "intl_share", "zones", "cells"})
DEVICE: Final = frozenset({"devices"})
SMS: Final = frozenset({"sms_out", "sms_in", "sms_in_share"})
BOTH: Final = frozenset(
    {
        "distinct_out",
        "distinct_share",
        "distinct_in",
        "reciprocity",
        "repeat_peers",
        "active_hours",
        "hours_of_day",
        "active_days",
        "ramp",
        "peak_hour_share",
        "night_share",
        "devices",
        "cells",
        "zones",
    }
)
"""Measures that calls and messages share: without the other service they would read otherwise, but they stay."""

Kept = Callable[[str, str], bool]
"""Measure and window of a feature -> whether it stays."""

ABLATIONS: Final[Mapping[str, Kept]] = {
    "no lifetime features": lambda _, window: window != "7d",
    "no geography": lambda measure, _: measure not in GEOGRAPHY,
    "no device": lambda measure, _: measure not in DEVICE,
    "voice only": lambda measure, _: measure not in SMS,
    "SMS only": lambda measure, _: measure in SMS | BOTH,
}
RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "distinct-share rule": ("distinct_share_24h",),
    "volume rule": ("calls_out_24h", "sms_out_24h"),
}
"""Features whose sum is the score."""


def contrasts(
    table: Table, estimator: str, seed: int, say: Callable[[str], None], monotone: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """`ablations` and `baselines` of an evaluation, and `contrast`, the estimator that they are set beside.

    `monotone`: the directions that it is held to, 1 or -1 by feature.
    """
    sample = sampled(table, MOST_ROWS, seed)
    folds = folds_of(sample, seed, FOLDS)
    features = sample.features
    name = estimator if estimator in ("trees", "logistic") else "trees"
    whole = _light(recipe(name, len(sample), features, monotone or {}))
    size = f"{len(sample):,} vectors of {len(np.unique(sample.number)):,} numbers"
    say(f"contrasts on {size}")
    notes = [f"Cross-fitted by number within this table, on {size}; the margins of {VECTORS} vectors a day at most."]
    baselines = []
    for rule, columns in RULES.items():
        if set(columns) <= set(features):
            score = np.sum([np.nan_to_num(sample.column(column), nan=-1.0) for column in columns], axis=0)
            baselines.append(_judged(rule, sample, score, seed))
        else:
            notes.append(f"The {rule} is not known: the table has no {' and '.join(columns)}.")
    baselines.append(_judged("isolation forest", sample, _isolation(sample, folds, seed), seed))
    logistic = cross_margins(sample, recipe("logistic", len(sample), features, {}), folds, seed)
    baselines.append(_judged("logistic regression", sample, logistic, seed))
    say(f"baselines: {', '.join(one['name'] for one in baselines)}")
    ablations = []
    catalogue = set(NAMES) <= set(features)
    if not catalogue:
        notes.append("Ablations are not known: the features are not the catalogue's.")
    for what, kept in ABLATIONS.items() if catalogue else ():
        left = [feature.name for feature in FEATURES if kept(feature.measure, feature.window)]
        ablations.append(_judged(what, sample, _ablated(sample, whole, left, folds, seed), seed))
        say(f"ablation: {what}")
    return {
        "contrast": _judged(f"{name}, all features", sample, cross_margins(sample, whole, folds, seed), seed),
        "baselines": baselines,
        "ablations": ablations,
        "contrast_notes": notes,
    }


def importance(table: Table, margins: Callable[[Vectors], Margins], rows: int, seed: int) -> list[dict[str, Any]]:
    """How far the area under the curve falls when one feature's values are dealt out anew among at most `rows` rows."""
    rng = np.random.default_rng(seed)
    sample = table if len(table) <= rows else table.rows(np.sort(_balanced(table, rows, rng)))
    before = _number_area(sample, margins(sample.vectors))
    dealt = rng.permutation(len(sample))
    found = []
    for i, name in enumerate(sample.features):
        vectors = sample.vectors.copy()
        vectors[:, i] = vectors[dealt, i]
        found.append({"feature": name, "drop": before - _number_area(sample, margins(vectors))})
    return sorted(found, key=lambda one: (-float(one["drop"]), str(one["feature"])))


def sampled(table: Table, most: int, seed: int) -> Table:
    """At most `most` rows: `VECTORS` of each number-day, of whole numbers; at most a quarter is of fraud numbers, for
    thresholds are read off honest number-days. Those that are kept weigh for the others of their number-day."""
    rng = np.random.default_rng(seed)
    keys = 2 * number_day_keys(table.number, table.day) + table.fraud
    drawn = rng.permutation(len(table))
    by_key = drawn[np.argsort(keys[drawn], kind="stable")]
    starts = np.flatnonzero(np.append(True, np.diff(keys[by_key]) != 0))
    counts = np.diff(np.append(starts, len(table)))
    rank = np.arange(len(table)) - np.repeat(starts, counts)
    stands_for = np.empty(len(table))
    stands_for[by_key] = np.repeat(counts / np.minimum(counts, VECTORS), counts)
    whole = replace(table, weight=table.weight * stands_for)
    few = whole.rows(np.sort(by_key[rank < VECTORS]))
    if len(few) <= most:
        return few
    codes, rows = np.unique(few.number, return_counts=True)
    bad = np.isin(codes, few.number[few.fraud])
    kept: list[I64s] = []
    room = most
    for kind, part in ((bad, most // 4), (~bad, most)):
        order = rng.permutation(np.flatnonzero(kind))
        fits = order[np.cumsum(rows[order]) <= min(part, room)]
        room -= int(rows[fits].sum())
        kept.append(codes[fits])
    return few.rows(np.isin(few.number, np.concatenate(kept)))


def _light(full: Recipe) -> Recipe:
    """With `MODELS` models at most: contestants are set beside each other, and all are as light."""
    most = min(MODELS, full.parameters.get("models", 1))
    return replace(full, parameters={**full.parameters, "models": most}) if "models" in full.parameters else full


def _balanced(table: Table, rows: int, rng: np.random.Generator) -> I64s:
    fraud = rng.permutation(np.flatnonzero(table.fraud))[: rows // 2]
    return np.concatenate([fraud, rng.permutation(np.flatnonzero(~table.fraud))[: rows - len(fraud)]])


def _ablated(sample: Table, whole: Recipe, columns: list[str], folds: I64s, seed: int) -> Margins:
    places = [sample.features.index(column) for column in columns]
    fewer = replace(sample, features=tuple(columns), vectors=sample.vectors[:, places])
    return cross_margins(fewer, replace(whole, features=tuple(columns)), folds, seed)


def _isolation(sample: Table, folds: I64s, seed: int) -> Margins:
    """The deeper a vector is found, the more usual it is; labels are not looked at."""
    known = np.where(np.isnan(sample.vectors), _medians(sample.vectors), sample.vectors)
    margins = np.empty(len(sample))
    for fold in range(int(folds.max()) + 1):
        mine = folds == fold
        with threadpool_limits(1):
            forest = IsolationForest(n_estimators=FOREST, random_state=seed).fit(known[~mine])
            margins[mine] = -forest.score_samples(known[mine])
    return margins


def _medians(vectors: Vectors) -> Vectors:
    """Of what is known in each column; 0 where nothing is."""
    return np.array(
        [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0 for column in vectors.T]
    )


def _number_area(table: Table, margins: Margins) -> float:
    numbers = numbers_of_table(table, margins)
    return area(numbers.margin, numbers.fraud)


def _judged(name: str, table: Table, scores: Floats, seed: int) -> dict[str, Any]:
    """Ranking by number, and recall at margins read off the table's own honest number-days, where they are enough."""
    numbers, days = numbers_of_table(table, scores), number_days_of_table(table, scores)
    honest = ~days.fraud
    bars = choose_thresholds(days.margin[honest], days.weight[honest])
    bad = numbers.fraud
    recall = {}
    for level in ("watch", "flag"):
        caught = numbers.margin[bad] >= getattr(bars, level)
        read = SHARES[level] * honest.sum() >= FEWEST
        recall[level] = (share(caught, numbers.number[bad], None, seed)[0] if read else UNKNOWN).written()
    return {
        "name": name,
        "area": area(numbers.margin, numbers.fraud),
        "average_precision": average_precision(numbers.margin, numbers.fraud),
        "recall": recall,
    }
