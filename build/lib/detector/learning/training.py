"""Training: vectors and labels become a bundle: trees, calibration, thresholds, honest quantiles.

    training scenarios --dataset--> vectors, labels --> trees
    validation scenarios --scoring--> greatest margin of each number-day --> thresholds, calibration
    test scenarios --evaluation--> metrics, card

A number-day weighs 1 however many vectors it has: a desk that calls all day must not count for
more than the silent majority. Equal seeds give equal bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from detector.features.catalogue import NAMES
from detector.learning.card import CARD, card
from detector.learning.dataset import Dataset, joined, training_set
from detector.learning.evaluation import Report, evaluate, pooled
from detector.learning.population import DAY_MS
from detector.learning.scoring import number_days, score
from detector.learning.seeds import Sizes, scenarios
from detector.learning.simulate import Scenario, simulate
from detector.learning.thresholds import calibrate, choose_thresholds
from detector.verdict.bundle import save_bundle
from detector.verdict.manifest import Data, Manifest
from detector.verdict.nodes import take_nodes
from detector.verdict.trees import Vectors, flatten

ACTIVITY_FLOOR: Final = 3
"""Outgoing calls and messages in 24 h below which nobody is scored: shares of one or two events say nothing."""
GOLDEN: Final = 32
"""Vectors whose margins the manifest keeps, to the bit."""

Say = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit came to."""

    manifest: Manifest
    honest_number_days: int
    """That the thresholds were set on."""
    report: Report
    """On the scenarios held out."""


def fit(out: Path, seed: int = 1, sizes: Sizes | None = None, say: Say | None = None) -> FitReport:
    """A bundle fitted on simulated traffic lies in `out`; equal `seed` and `sizes`, equal bytes."""
    sizes, say = sizes or Sizes(), say or _silent
    purposes = scenarios(seed, sizes)
    training = [
        training_set(simulate(scenario), ACTIVITY_FLOOR) for scenario in _told(purposes["training"], "training", say)
    ]
    whole = joined(training)
    say(f"fitting trees on {len(whole.vectors):,} vectors of {len(np.unique(whole.number_day)):,} number-days")
    estimator = fit_trees(whole, seed)
    quantiles, medians = honest_reference(whole, np.random.default_rng(seed))
    nodes = take_nodes(estimator)
    if nodes is None:
        raise TypeError(f"wanted boosted trees of two classes (got {type(estimator).__name__})")
    trees = flatten(nodes)
    validation = [
        number_days(score(simulate(scenario), trees, ACTIVITY_FLOOR))
        for scenario in _told(purposes["validation"], "validation", say)
    ]
    margins = np.concatenate([part.margins for part in validation])
    fraud = np.concatenate([part.fraud for part in validation])
    thresholds = choose_thresholds(margins[~fraud])
    say(f"thresholds on {np.count_nonzero(~fraud):,} honest number-days: {thresholds}")
    reports = [
        evaluate(simulate(scenario), trees, thresholds, ACTIVITY_FLOOR)
        for scenario in _told(purposes["test"], "test", say)
    ]
    report = pooled(reports)
    span = purposes["training"][0]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(whole.vectors))[:GOLDEN])
    manifest = save_bundle(
        out,
        estimator,
        name="simulated",
        data=Data(
            kind="simulated",
            first_ms=span.start_ms,
            last_ms=span.start_ms + span.days * DAY_MS,
            numbers=len(np.unique(whole.number)),
            vectors=len(whole.vectors),
            prevalence=len(np.unique(whole.number[whole.fraud])) / len(np.unique(whole.number)),
            seed=seed,
        ),
        metrics=report.metrics(),
        thresholds=thresholds,
        activity_floor=ACTIVITY_FLOOR,
        calibration=calibrate(margins, fraud),
        honest_quantiles=quantiles,
        honest_medians=medians,
        golden=whole.vectors[chosen],
    )
    number_days_used = int(np.count_nonzero(~fraud))
    (out / CARD).write_text(card(manifest, sizes, number_days_used, report), encoding="utf-8")
    return FitReport(manifest, number_days_used, report)


def fit_trees(data: Dataset, seed: int) -> HistGradientBoostingClassifier:
    """The trees: at most 100 of 31 leaves. One thread, so that sums are taken in one order."""
    _, inverse, counts = np.unique(data.number_day, return_inverse=True, return_counts=True)
    estimator = HistGradientBoostingClassifier(
        max_iter=100,
        max_leaf_nodes=31,
        learning_rate=0.1,
        min_samples_leaf=100,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=seed,
    )
    vectors = data.vectors.copy()
    # What no vector knows (calls in progress, without phases) is constant, and so nothing to split on.
    vectors[:, np.isnan(vectors).all(axis=0)] = 0
    with threadpool_limits(1):
        estimator.fit(vectors, data.fraud, sample_weight=1.0 / counts[inverse])
    return estimator


def honest_reference(data: Dataset, rng: np.random.Generator) -> tuple[Vectors, Vectors]:
    """Percentiles 0 to 100 and the median of each feature among honest numbers, one vector a number."""
    order = rng.permutation(np.flatnonzero(~data.fraud))
    _, first = np.unique(data.number[order], return_index=True)
    vectors = data.vectors[order[first]]
    quantiles = np.full((101, len(NAMES)), np.nan)
    medians = np.full(len(NAMES), np.nan)
    for column in range(len(NAMES)):
        known = vectors[~np.isnan(vectors[:, column]), column]
        if len(known):
            quantiles[:, column] = np.percentile(known, np.arange(101))
        if 2 * len(known) > len(vectors):
            medians[column] = np.median(known)
    return quantiles, medians


def _silent(_: str) -> None:
    """Nobody watches."""


def _told(planned: Sequence[Scenario], purpose: str, say: Say) -> Iterator[Scenario]:
    for i, scenario in enumerate(planned, 1):
        say(f"{purpose} scenario {i} of {len(planned)} (seed {scenario.seed})")
        yield scenario
