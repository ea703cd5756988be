"""Leaks: a column that knows the label is refused by name, whatever it is called; shuffled labels teach nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import ConfigError
from detector.learning.estimators import Recipe, recipe
from detector.learning.greatest import numbers_of_table
from detector.learning.leaks import check_leaks
from detector.learning.rates import Interval, area_intervals
from detector.learning.search import cross_margins
from detector.learning.splits import folds_of
from detector.learning.table import Table
from detector.learning.tablefiles import read_table
from tests.learning import labelled


def table(path: Path, rows: int = 400, **columns: list[Any]) -> Table:
    """The carrier's table with further columns."""
    file = labelled.write(path / "t.parquet", {**labelled.carrier(rows), **columns})
    return read_table([file], {"label": "is_fraud", "number": "msisdn"})


@pytest.mark.parametrize(
    "values", [(1.0, 0.0), (0.0, 1.0), (7.0, -3.0), (None, 2.0), (2.0, None)], ids=lambda pair: str(pair)
)
def test_the_label_by_another_name_is_refused(tmp_path: Path, values: tuple[float | None, float | None]) -> None:
    """As it is, turned round, recoded, or told by what is missing."""
    fraud, honest = values
    renamed = [fraud if label else honest for label in labelled.carrier(400)["is_fraud"]]
    with pytest.raises(ConfigError, match=r"^churn_code: wanted a feature \(got "):
        check_leaks(table(tmp_path, churn_code=renamed))


def test_a_column_known_of_one_class_only_is_refused(tmp_path: Path) -> None:
    """When a case was closed is known of fraud alone."""
    rng = np.random.default_rng(3)
    closed = [float(rng.integers(100)) if label else None for label in labelled.carrier(400)["is_fraud"]]
    with pytest.raises(ConfigError, match=r"closed_day: .* known of one class only"):
        check_leaks(table(tmp_path, closed_day=closed))


def test_a_feature_that_tells_nearly_everything_is_named_but_kept(tmp_path: Path) -> None:
    """It may be true; only the carrier knows when it was known."""
    rng = np.random.default_rng(4)
    suspect = [8.0 * label + float(rng.normal()) for label in labelled.carrier(400)["is_fraud"]]
    (note,) = check_leaks(table(tmp_path, strikes=suspect))
    assert note.startswith("strikes alone tells the classes apart (area ")


def test_an_honest_table_has_nothing_to_say(tmp_path: Path) -> None:
    """Features that overlap as real ones do."""
    assert check_leaks(table(tmp_path)) == ()


def lightly(name: str, read: Table) -> Recipe:
    """The default with few trees."""
    whole = recipe(name, len(read), read.features, {})
    return replace(whole, parameters={**whole.parameters, **({"models": 2, "max_iter": 15} if name == "trees" else {})})


def shuffled_areas(read: Table, cross: bool, name: str) -> list[Interval]:
    """Of the area, for ten shuffles: cross-fitted, or fitted on one half of the numbers for the other."""
    found = []
    for seed in range(10):
        shuffled = replace(read, fraud=np.random.default_rng(100 + seed).random(len(read)) < 0.3)
        folds = folds_of(shuffled, seed, 5 if cross else 2)
        margins = cross_margins(shuffled, lightly(name, read), folds, seed)
        judged = np.full(len(read), True) if cross else folds == 0
        numbers = numbers_of_table(shuffled.rows(judged), margins[judged])
        found.append(area_intervals(numbers.margin, numbers.fraud, 1)[0])
    return found


@pytest.mark.parametrize("name", ["trees", "logistic"])
def test_shuffled_labels_give_an_area_of_a_half_within_its_interval(tmp_path: Path, name: str) -> None:
    """Nothing in the fit knows the label of a row that it scores: neither folds, nor weights, nor numbers.

    An interval of 95 % misses a half once in twenty shuffles: three misses of ten have a chance of 1 %.
    """
    holds = [
        one for one in shuffled_areas(table(tmp_path), False, name) if one.low and one.high and one.low < 0.5 < one.high
    ]
    assert len(holds) >= 8


@pytest.mark.parametrize("name", ["trees", "logistic"])
def test_cross_fitting_shuffled_labels_is_right_on_the_mean(tmp_path: Path, name: str) -> None:
    """A leak would lift it. Folds share most of what they are fitted on, so that one area strays further than its own
    interval says; that of ten shuffles is held to their own spread."""
    areas = np.array([one.value for one in shuffled_areas(table(tmp_path), True, name)], np.float64)
    assert abs(areas.mean() - 0.5) < 3 * areas.std(ddof=1) / np.sqrt(len(areas))
    assert areas.std(ddof=1) < 0.06
