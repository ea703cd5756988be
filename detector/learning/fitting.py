"""Fitting: a table of vectors and labels becomes a bundle.

    table with a time       train --recipe--> estimator; thresholds' span --> thresholds, sigmoid; test --> figures
    table without           folds: each number scored by models that have not seen it --> thresholds, sigmoid, figures;
                            all numbers --recipe--> estimator
    tables apart            the table --recipe--> estimator; others --> thresholds, sigmoid; one more --> figures

1. Columns that know the label are refused (`leaks`).
2. Hyper-parameters are the default's, or searched for among the rows that are fitted on (`search`).
3. Thresholds lie on the margin, at the shares of honest number-days that `thresholds.SHARES` names.
4. The sigmoid is fitted on number-days, at their prevalence; the operator's own shifts its intercept alone.
5. Figures are of numbers that neither the estimator nor the thresholds they are held to have seen, and like thresholds
   of no later day than somebody can be honest on (`followup`).
6. Everything that is needed to do it again goes into the manifest; equal table, arguments and libraries: equal bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from detector.errors import ConfigError
from detector.features.catalogue import NAMES
from detector.learning.assessment import Judged, assess, flat
from detector.learning.digests import merged, sketch, together
from detector.learning.estimators import Recipe, hardly_known
from detector.learning.estimators import recipe as recipe_of
from detector.learning.followup import figures_of, followed, notes_of, part_of
from detector.learning.greatest import Greatest, joined, number_days_of_table
from detector.learning.leaks import check_leaks
from detector.learning.monotone import directions
from detector.learning.search import SPACES, cross_margins, search
from detector.learning.splits import TimeSplit, folds_of, reported_on, split_by_time
from detector.learning.table import Table
from detector.learning.tablecard import CARD, table_card
from detector.learning.thresholds import FEWEST, SHARES, calibrate, choose_thresholds, shifted
from detector.records import Bools, I64s
from detector.verdict.bundle import save_bundle
from detector.verdict.drift import Reference
from detector.verdict.manifest import LEVELS, Data, Fit, Manifest, Prevalence, Thresholds
from detector.verdict.trees import Margins, Vectors

ACTIVITY_FLOOR: Final = 3
"""Outgoing calls and messages in 24 h below which nobody is scored: shares of one or two events say nothing."""
GOLDEN: Final = 32
"""Vectors whose margins the manifest keeps, to the bit."""
SERVED_TREES: Final = 100
"""Of the shipped model: what a service's figures are measured with."""
LEAST_SHARE: Final = 1e-9
"""Prevalences lie strictly between 0 and 1."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller wants."""

    estimator: str = "trees"
    search: int = 0
    seed: int = 1
    operator_prevalence: float | None = None
    """Share of fraud among the operator's active numbers on a day; None = as in the table."""
    monotone: Sequence[str] = ()
    """`feature=rising`, `falling` or `free`, over what is known of the catalogue's."""
    known_directions: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Of the estimator, in place of its default's."""
    name: str = "fitted"


@dataclass(frozen=True, slots=True)
class Apart:
    """Tables for what a split of the fitted one would have to give. Whoever gives them sees to it that they hold other
    numbers or later days. Each is read when its turn comes, so that memory is that of the largest."""

    thresholds: Sequence[Callable[[], Table]]
    """Each by itself: other networks may have the same numbers."""
    test: Callable[[], Table]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit came to."""

    manifest: Manifest
    evaluation: Mapping[str, Any]
    """As `assess` gives it, of the numbers held out."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tuned:
    """Thresholds, the number-days that they and the sigmoid are set on, and what the figures are of."""

    said: dict[str, Any]
    days: Greatest
    thresholds: Thresholds
    judged: Judged
    sparse: Sequence[str] = ()
    """Moments of tables whose vectors the thresholds are set on, where these are fewer than the events."""


def fit_table(table: Table, out: Path, asked: Asked, say: Say, apart: Apart | None = None) -> Fitted:
    """A bundle fitted on `table` lies in `out`, with its card. Raises `ConfigError` for what cannot be fitted.

    With tables `apart` all of `table` is fitted on.
    """
    notes = [*table.notes, *check_leaks(table)]
    if asked.monotone and asked.estimator != "trees":
        raise ConfigError(f"--monotone: wanted the estimator trees (got {asked.estimator}, which has no directions)")
    monotone = directions(table.features, asked.monotone, asked.known_directions)
    split = None if apart else split_by_time(table)
    if table.event_ms is not None and not split and not apart:
        notes.append("A part of the time held too few fraud numbers: split by number instead of by time.")
    notes += split.notes if split else () if apart else notes_of(table, ~followed(table))
    fitted_on = table.rows(split.train) if split else table
    numbers = len(np.unique(fitted_on.number))
    recipe = recipe_of(asked.estimator, len(fitted_on), table.features, monotone, numbers)
    recipe = _with(recipe, asked.parameters)
    say(
        f"{len(table):,} vectors of {len(np.unique(table.number)):,} numbers, {len(table.features)} features; "
        f"split by {'table' if apart else 'time' if split else 'number'}; {asked.estimator}"
    )
    found = search(fitted_on, recipe, asked.search, asked.seed, say) if asked.search else None
    if found and not found.said["default_kept"]:
        recipe = found.recipe
        if not split and not apart:
            notes.append(
                "Parameters were searched for among the numbers that the figures are of: these flatter a little."
            )
    trees = recipe.parameters.get("models", 0) * recipe.parameters.get("max_iter", 0)
    if table.features == NAMES and trees > SERVED_TREES:
        notes.append(
            f"{trees} trees: a service takes {trees / SERVED_TREES:.0f} times as long to score a vector as with "
            f"{SERVED_TREES}; --parameter models=1 gives those."
        )
    notes += _rarely_known(fitted_on, recipe)
    estimator = recipe.fit(fitted_on.vectors, fitted_on.fraud, fitted_on.weight, fitted_on.number, asked.seed)
    if apart:
        tuned = _by_table(table, apart, estimator, say)
    else:
        tuned = _by_time(table, split, estimator) if split else _by_number(table, recipe, asked.seed, say)
    days, thresholds = tuned.days, tuned.thresholds
    notes += _beyond(int(np.count_nonzero(~days.fraud)))
    notes += _too_few(tuned.sparse)
    calibration = calibrate(days.margin, days.fraud, days.weight)
    training = float(np.clip(np.average(days.fraud, weights=days.weight), LEAST_SHARE, 1 - LEAST_SHARE))
    prevalence = Prevalence(training=training, operator=asked.operator_prevalence, training_b=calibration.b)
    shown = calibration if prevalence.operator is None else shifted(calibration, training, prevalence.operator)
    evaluation = assess(tuned.judged, thresholds, calibration, training, asked.seed)
    quantiles, medians = honest_reference_of(fitted_on, asked.seed)
    rng = np.random.default_rng(asked.seed)
    golden = np.sort(rng.permutation(len(fitted_on))[:GOLDEN])
    manifest = save_bundle(
        out,
        estimator,
        name=asked.name,
        data=Data(
            kind=table.kind,
            first_ms=0 if fitted_on.event_ms is None else int(fitted_on.event_ms.min()),
            last_ms=0 if fitted_on.event_ms is None else int(fitted_on.event_ms.max()) + 1,
            numbers=numbers,
            vectors=len(fitted_on),
            prevalence=len(np.unique(fitted_on.number[fitted_on.fraud])) / numbers,
            seed=asked.seed,
        ),
        metrics=flat(evaluation),
        thresholds=thresholds,
        activity_floor=_floor(table),
        calibration=shown,
        drift=drift_reference_of(tuned.judged),
        honest_quantiles=quantiles,
        honest_medians=medians,
        golden=fitted_on.vectors[golden],
        features=table.features,
        fit=Fit(
            estimator=asked.estimator,
            parameters=dict(recipe.parameters),
            monotone={name: 1 if way > 0 else -1 for name, way in recipe.monotone.items()},
            split=tuned.said,
            prevalence=prevalence,
            search=found.said if found else None,
            inputs={
                "files": dict(table.files),
                "rows": sketch(fitted_on),
                "columns": dict(table.roles),
                "notes": notes,
            },
        ),
    )
    (out / CARD).write_text(table_card(manifest, evaluation), encoding="utf-8")
    return Fitted(manifest, evaluation, tuple(notes))


def honest_reference_of(table: Table, seed: int) -> tuple[Vectors, Vectors]:
    """Percentiles 0 to 100 and the median of each feature among honest numbers, one vector a number."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~table.fraud))
    _, first = np.unique(table.number[order], return_index=True)
    vectors = table.vectors[order[first]]
    quantiles = np.full((101, len(table.features)), np.nan)
    medians = np.full(len(table.features), np.nan)
    for column in range(len(table.features)):
        known = vectors[~np.isnan(vectors[:, column]), column]
        if len(known):
            quantiles[:, column] = np.percentile(known, np.arange(101))
        if 2 * len(known) > len(vectors):
            medians[column] = np.median(known)
    return quantiles, medians


def drift_reference_of(judged: Judged) -> Reference:
    """What drift is measured against: honest rows that the model has not seen, as the service will see none of them."""
    honest = ~judged.table.fraud
    return Reference.of(judged.table.vectors[honest], judged.margins[honest], judged.table.weight[honest])


def _beyond(honest_days: int) -> list[str]:
    """Which thresholds lie beyond what so many honest number-days can tell."""
    beyond = [level for level, share in SHARES.items() if int(share * honest_days) < FEWEST]
    if not beyond:
        return []
    return [
        f"Of {honest_days:,} honest number-days too few reach {', '.join(beyond)}: set beyond the data, by their tail."
    ]


def _too_few(sparse: Sequence[str]) -> list[str]:
    """What thresholds are worth that are not set on every event."""
    if not sparse:
        return []
    return [
        f"Thresholds are set on vectors taken at {', '.join(sparse)}; serving scores each event, so that honest "
        "number-days reach them more often than is meant. Set them on vectors taken at every:1 (--thresholds-on)."
    ]


def _rarely_known(table: Table, recipe: Recipe) -> list[str]:
    """Which features trees make nothing of though somebody knows them."""
    if recipe.name != "trees":
        return []
    left = hardly_known(table.vectors, table.weight) & ~np.isnan(table.vectors).all(axis=0)
    if not left.any():
        return []
    names = ", ".join(np.array(table.features)[left])
    return [f"Known in too few vectors for trees to learn anything from: {names}."]


def _floor(table: Table) -> int:
    """That of the vectors, for a service must score what the thresholds were set on; where they do not say it, ours."""
    if table.features != NAMES:
        return 0
    return ACTIVITY_FLOOR if table.floor is None else table.floor


def _with(recipe: Recipe, parameters: Mapping[str, Any]) -> Recipe:
    """The recipe with some parameters in place of its own; `ConfigError` for one that it does not have.

    Values of scikit-learn's are checked by it, of ours here.
    """
    for name in parameters:
        if name not in recipe.parameters or recipe.name not in SPACES:
            known = ", ".join(recipe.parameters) if recipe.name in SPACES else "none: a hook sets its own"
            raise ConfigError(f"--parameter {name}: wanted one of the estimator's ({known})")
    for name, fits, wanted in (
        ("models", lambda value: isinstance(value, int) and value >= 1, "1 or more, whole"),
        ("numbers_share", lambda value: 0 < value <= 1, "above 0, up to 1"),
        ("forest_trees", lambda value: isinstance(value, int) and value >= 0, "0 or more, whole"),
    ):
        if name in parameters and not fits(parameters[name]):
            raise ConfigError(f"--parameter {name}: wanted {wanted} (got {parameters[name]})")
    return replace(recipe, parameters={**recipe.parameters, **parameters})


def _by_time(table: Table, split: TimeSplit, estimator: Any) -> Tuned:
    """Thresholds on the second span, figures on the third."""
    second, test = part_of(table, split.thresholds), reported_on(table, split)
    days = number_days_of_table(second, estimator.decision_function(second.vectors))
    thresholds = _thresholds(days)
    judged = Judged.of(test, estimator.decision_function(test.vectors), thresholds)
    said = {**split.said, "thresholds_rows": sketch(second)}
    return Tuned(said, days, thresholds, judged, _moments(table))


def _by_table(table: Table, apart: Apart, estimator: Any, say: Say) -> Tuned:
    """Thresholds on number-days of tables that are read one after the other, figures on one more."""
    days: list[Greatest] = []
    files: dict[str, str] = {}
    rows = ""
    sparse: set[str] = set()
    for read in apart.thresholds:
        part = figures_of(_alike(read(), table))
        sparse.update(_moments(part))
        say(f"thresholds: {len(part):,} vectors of {', '.join(part.files)}")
        days.append(number_days_of_table(part, estimator.decision_function(part.vectors)))
        files = together(files.items(), part.files.items())
        rows = merged(rows, sketch(part))
        del part
    whole = joined(days)
    thresholds = _thresholds(whole)
    test = figures_of(_alike(apart.test(), table))
    say(f"figures: {len(test):,} vectors of {', '.join(test.files)}")
    said = {
        "by": "table",
        "thresholds": files,
        "thresholds_rows": rows,
        "test": dict(test.files),
        "honest_number_days": int(np.count_nonzero(~whole.fraud)),
    }
    judged = Judged.of(test, estimator.decision_function(test.vectors), thresholds)
    return Tuned(said, whole, thresholds, judged, sorted(sparse))


def _alike(part: Table, table: Table) -> Table:
    """`part`, whose vectors were taken of the same numbers; `ConfigError` where they were not."""
    if part.floor != table.floor:
        raise ConfigError(
            f"{', '.join(part.files)}: wanted vectors from {table.floor} events in 24 h on, as in "
            f"{', '.join(table.files)} (got {part.floor})"
        )
    if not part.fraud.any() or part.fraud.all():
        raise ConfigError(f"{', '.join(part.files)}: wanted fraud and honest numbers (got {_classes(part)})")
    return part


def _classes(part: Table) -> str:
    return "fraud alone" if part.fraud.any() else "honest ones alone"


def _by_number(table: Table, recipe: Recipe, seed: int, say: Say) -> Tuned:
    """Thresholds on margins by models that have not seen the number; figures held to those of the other folds."""
    folds = folds_of(table, seed)
    count = int(folds.max()) + 1
    say(f"cross-fitting {count} folds")
    kept = followed(table)
    margins, folds = cross_margins(table, recipe, folds, seed)[kept], folds[kept]
    judged = figures_of(table)
    days = number_days_of_table(judged, margins)
    said = {"by": "number", "folds": count, "margins": "cross-fitted"}
    return Tuned(said, days, _thresholds(days), Judged(judged, margins, _bars(days, folds)), _moments(table))


def _moments(table: Table) -> Sequence[str]:
    return [table.moments] if table.sparse else []


def _bars(days: Greatest, folds: I64s) -> dict[str, Margins]:
    """What each row is held to: thresholds set on the honest number-days of the other folds."""
    fold = folds[days.row]
    each = [_thresholds(days, fold != k) for k in range(int(folds.max()) + 1)]
    return {level: np.array([getattr(one, level) for one in each])[folds] for level in LEVELS}


def _thresholds(days: Greatest, among: Bools | None = None) -> Thresholds:
    """By honest number-days alone; days before a fraud are honest (why, `splits` says)."""
    honest = ~days.fraud if among is None else ~days.fraud & among
    margins: Margins = days.margin[honest]
    return choose_thresholds(margins, days.weight[honest])
