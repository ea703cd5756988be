"""Contrasts: what the figures would be with something simpler, and with less to go by.

    table -> few vectors of each number-day -> folds by number -> contestants fitted on the other folds -> recall

Baselines: two rules, an isolation forest that needs no labels, a logistic regression. Ablations: the bundle's own kind
of estimator without a group of features. All are cross-fitted within the table, and so is the estimator with all
features that they are set beside: what the bundle itself reaches stands elsewhere. Fitting takes the time, so that many
more rows are judged than are fitted on: enough honest number-days for a threshold at 0.01 %, where the table has them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from sklearn.ensemble import IsolationForest
from threadpoolctl import threadpool_limits

from detector.features.catalogue import FEATURES, NAMES
from detector.learning.estimators import Recipe, recipe
from detector.learning.greatest import number_days_of_table, number_weights, numbers_of_table
from detector.learning.rates import UNKNOWN, Floats, area, average_precision
from detector.learning.readoff import ReadOff
from detector.learning.search import cross_margins
from detector.learning.splits import folds_of
from detector.learning.table import Table, number_day_keys
from detector.learning.thresholds import FEWEST, SHARES
from detector.records import Bools, I64s
from detector.verdict.trees import Margins, Vectors

MOST_ROWS: Final = 12_000
"""Vectors that contestants are fitted on: enough to tell them apart, few enough for a minute."""
MOST_JUDGED: Final = 80_000
"""Vectors that they are judged on where the table has the honest number-days that 0.01 % needs, 30,000: three quarters
are of honest numbers, at most `VECTORS` of a day. It takes a third longer than to judge `MOST_ROWS`."""
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
"""Measures that calls and messages share: without the other service they would read otherwise, but they stay, which
a note says."""

Kept = Callable[[str, str], bool]
"""Measure and window of a feature -> whether it stays."""

ABLATIONS: Final[Mapping[str, Kept]] = {
    "no lifetime features": lambda _, window: window != "7d",
    "no geography": lambda measure, _: measure not in GEOGRAPHY,
    "no device": lambda measure, _: measure not in DEVICE,
    "voice only": lambda measure, _: measure not in SMS,
    "SMS only": lambda measure, _: measure in SMS | BOTH,
}
VOLUME: Final = ("calls_out_24h", "sms_out_24h")
RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "distinct-share rule": ("distinct_share_24h", *VOLUME, "distinct_share_7d", "calls_out_7d", "sms_out_7d"),
    "volume rule": VOLUME,
}
"""Features that the rules look at."""
LEAST_CALLS: Final = (3, 5, 10, 20, 50, 100, 200)
"""Calls and messages from which on the distinct share may count: of three calls it is one for nearly everybody."""
NOT_LOOKED_AT: Final = -1.0


def contrasts(
    table: Table, estimator: str, seed: int, say: Callable[[str], None], monotone: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """`ablations` and `baselines` of an evaluation, and `contrast`, the estimator that they are set beside.

    `monotone`: the directions that it is held to, 1 or -1 by feature.
    """
    sample = sampled(table, MOST_JUDGED if _tells_the_least(table) else MOST_ROWS, seed)
    few = _numbers_within(sample, MOST_ROWS, np.random.default_rng(seed))
    folds = folds_of(sample, seed, FOLDS)
    features, size = sample.features, int(few.sum())
    name = estimator if estimator in ("trees", "logistic") else "trees"
    whole = _light(recipe(name, size, features, monotone or {}))
    fitted, judged = _size(sample.rows(few)), _size(sample)
    say(f"contrasts fitted on {fitted}, judged on {judged}")
    notes = [
        f"Cross-fitted by number within this table, on {fitted}, and judged on {judged}; the margins of {VECTORS} "
        "vectors a day at most."
    ]
    if name != estimator:
        notes.append(f"The bundle's estimator {estimator} is a hook: trees stand in for it.")
    baselines = []
    for rule, columns in RULES.items():
        if missing := [column for column in columns if column not in features]:
            notes.append(f"The {rule} is not known: the table has no {' and '.join(missing)}.")
        elif rule == "volume rule":
            baselines.append(_judged(rule, sample, _sum(sample, VOLUME), seed))
        else:
            score, chosen = _distinct_share(sample, folds, few)
            baselines.append(_judged(rule, sample, score, seed))
            notes.append(
                f"The {rule} looks at vectors with enough calls and messages, by its area in the other folds: "
                f"{chosen}. Where many honest number-days are tied at one no margin is reached by few of them, and "
                "recall is nought."
            )
    baselines.append(_judged("isolation forest", sample, _isolation(sample, folds, few, seed), seed))
    logistic = cross_margins(sample, recipe("logistic", size, features, {}), folds, seed, few)
    baselines.append(_judged("logistic regression", sample, logistic, seed))
    say(f"baselines: {', '.join(one['name'] for one in baselines)}")
    ablations = []
    catalogue = set(NAMES) <= set(features)
    if not catalogue:
        notes.append("Ablations are not known: the features are not the catalogue's.")
    for what, kept in ABLATIONS.items() if catalogue else ():
        left = [feature.name for feature in FEATURES if kept(feature.measure, feature.window)]
        ablations.append(_judged(what, sample, _ablated(sample, whole, left, folds, few, seed), seed))
        say(f"ablation: {what}")
    if catalogue:
        notes.append(
            f"'voice only' and 'SMS only' keep what is counted over calls and messages together: "
            f"{', '.join(sorted(BOTH))}. In a network with one of the two these would read otherwise."
        )
    return {
        "contrast": _judged(f"{name}, all features", sample, cross_margins(sample, whole, folds, seed, few), seed),
        "baselines": baselines,
        "ablations": ablations,
        "contrast_notes": notes,
    }


def importance(table: Table, margins: Callable[[Vectors], Margins], rows: int, seed: int) -> list[dict[str, Any]]:
    """How far the area under the curve falls when one feature's values are dealt out anew among at most `rows` rows."""
    rng = np.random.default_rng(seed)
    sample = table if len(table) <= rows else table.rows(np.sort(_balanced(table, rows, rng)))
    weights = number_weights(table)
    before = _number_area(sample, margins(sample.vectors), weights)
    dealt = rng.permutation(len(sample))
    found = []
    for i, name in enumerate(sample.features):
        vectors = sample.vectors.copy()
        vectors[:, i] = vectors[dealt, i]
        found.append({"feature": name, "drop": before - _number_area(sample, margins(vectors), weights)})
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
    return few.rows(_numbers_within(few, most, rng))


def _numbers_within(table: Table, most: int, rng: np.random.Generator) -> Bools:
    """At most `most` rows, of whole numbers; at most a quarter of fraud numbers."""
    if len(table) <= most:
        return np.ones(len(table), bool)
    codes, rows = np.unique(table.number, return_counts=True)
    bad = np.isin(codes, table.number[table.fraud])
    kept: list[I64s] = []
    room = most
    for kind, part in ((bad, most // 4), (~bad, most)):
        order = rng.permutation(np.flatnonzero(kind))
        fits = order[np.cumsum(rows[order]) <= min(part, room)]
        room -= int(rows[fits].sum())
        kept.append(codes[fits])
    within: Bools = np.isin(table.number, np.concatenate(kept))
    return within


def _tells_the_least(table: Table) -> bool:
    """Whether there are honest number-days for a margin at 0.01 %."""
    keys = number_day_keys(table.number, table.day)[~table.fraud]
    return bool(SHARES["flag"] * len(np.unique(keys)) >= FEWEST)


def _size(table: Table) -> str:
    return f"{len(table):,} vectors of {len(np.unique(table.number)):,} numbers"


def _light(full: Recipe) -> Recipe:
    """With `MODELS` models at most: contestants are set beside each other, and all are as light."""
    most = min(MODELS, full.parameters.get("models", 1))
    return replace(full, parameters={**full.parameters, "models": most}) if "models" in full.parameters else full


def _balanced(table: Table, rows: int, rng: np.random.Generator) -> I64s:
    fraud = rng.permutation(np.flatnonzero(table.fraud))[: rows // 2]
    return np.concatenate([fraud, rng.permutation(np.flatnonzero(~table.fraud))[: rows - len(fraud)]])


def _ablated(sample: Table, whole: Recipe, columns: list[str], folds: I64s, few: Bools, seed: int) -> Margins:
    places = [sample.features.index(column) for column in columns]
    fewer = replace(sample, features=tuple(columns), vectors=sample.vectors[:, places])
    return cross_margins(fewer, replace(whole, features=tuple(columns)), folds, seed, few)


def _sum(sample: Table, columns: Sequence[str]) -> Floats:
    """Of each row; what is not known counts nothing."""
    return np.asarray(np.sum([np.nan_to_num(sample.column(column)) for column in columns], axis=0))


def _distinct_share(sample: Table, folds: I64s, few: Bools) -> tuple[Floats, str]:
    """Each row's distinct share, where it has enough calls and messages in the window; and from how many on in which
    window, as the area of the other folds' numbers (rows of `few`) chose for each fold."""
    scores = {}
    for window in ("24h", "7d"):
        begun = _sum(sample, [f"calls_out_{window}", f"sms_out_{window}"])
        distinct = np.nan_to_num(sample.column(f"distinct_share_{window}"), nan=NOT_LOOKED_AT)
        for least in LEAST_CALLS:
            scores[f"{least} in {window}"] = np.where(begun >= least, distinct, NOT_LOOKED_AT)
    found, chosen = np.empty(len(sample)), []
    for fold in range(int(folds.max()) + 1):
        mine = folds == fold
        others = sample.rows(few & ~mine)
        areas = {}
        for name, score in scores.items():
            numbers = numbers_of_table(others, score[few & ~mine])
            areas[name] = area(numbers.margin, numbers.fraud)
        best = max(areas, key=lambda name: areas[name])
        found[mine] = scores[best][mine]
        chosen.append(best)
    return found, ", ".join(dict.fromkeys(chosen))


def _isolation(sample: Table, folds: I64s, few: Bools, seed: int) -> Margins:
    """The deeper a vector is found, the more usual it is; labels are not looked at."""
    known = np.where(np.isnan(sample.vectors), _medians(sample.vectors), sample.vectors)
    margins = np.empty(len(sample))
    for fold in range(int(folds.max()) + 1):
        mine = folds == fold
        with threadpool_limits(1):
            forest = IsolationForest(n_estimators=FOREST, random_state=seed).fit(known[~mine & few])
            margins[mine] = -forest.score_samples(known[mine])
    return margins


def _medians(vectors: Vectors) -> Vectors:
    """Of what is known in each column; 0 where nothing is."""
    return np.array(
        [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else 0.0 for column in vectors.T]
    )


def _number_area(sample: Table, margins: Margins, weights: Floats) -> float:
    """`weights`: of numbers in the whole table, of whose days the sample may hold a part."""
    numbers = numbers_of_table(sample, margins)
    return area(numbers.margin, numbers.fraud, weights[numbers.number])


def _judged(name: str, table: Table, scores: Floats, seed: int) -> dict[str, Any]:
    """Ranking by number, and recall at margins read off the table's own honest number-days, where they are enough."""
    numbers = numbers_of_table(table, scores)
    read_off = ReadOff.of(number_days_of_table(table, scores), seed)
    recall = {
        level: (UNKNOWN if beyond else read_off.recall(level, numbers, numbers.fraud, seed)).written()
        for level, beyond in read_off.extrapolated.items()
    }
    return {
        "name": name,
        "area": area(numbers.margin, numbers.fraud, numbers.weight),
        "average_precision": average_precision(numbers.margin, numbers.fraud, numbers.weight),
        "recall": recall,
    }
