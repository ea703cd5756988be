"""Search: draws from the stated space, ends when nothing gets better, and takes no draw that was merely luckier."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from detector.errors import ConfigError
from detector.learning import search as searching
from detector.learning.estimators import recipe
from detector.learning.greatest import numbers_of_table
from detector.learning.rates import average_precision
from detector.learning.search import PATIENCE, SPACES, cross_margins, fold_scores, search
from detector.learning.splits import folds_of
from detector.learning.table import Table
from detector.learning.tablefiles import read_table
from tests.learning import labelled


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A carrier's own."""
    path: Path = labelled.write(tmp_path_factory.mktemp("t") / "t.csv", labelled.carrier(300))
    return read_table([path], {"label": "is_fraud", "number": "msisdn"})


def scored(monkeypatch: pytest.MonkeyPatch, each: list[list[float]]) -> None:
    """Trials have these scores by fold, the last of them for good."""
    left: Iterator[list[float]] = iter(each)
    last = each[-1]
    monkeypatch.setattr(searching, "fold_scores", lambda *_: np.array(next(left, last)))


def run(table: Table, trials: int, told: list[str] | None = None) -> searching.Found:
    """A search for the logistic regression's one parameter."""
    start = recipe("logistic", len(table), table.features, {})
    return search(table, start, trials, 1, (told if told is not None else []).append)


def test_a_draw_that_is_better_on_every_fold_is_taken(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """By more than the standard error of its gain."""
    scored(monkeypatch, [[0.5, 0.6, 0.7], [0.4, 0.4, 0.4], [0.6, 0.7, 0.81], [0.1, 0.1, 0.1]])
    found = run(table, 3)
    assert not found.said["default_kept"]
    assert found.recipe.parameters == found.said["trials"][2]["parameters"]
    assert found.recipe.parameters["C"] in SPACES["logistic"]["C"]


def test_a_draw_that_is_better_by_one_lucky_fold_is_not(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mean is higher, and so is the chance of that among many draws."""
    scored(monkeypatch, [[0.5, 0.6, 0.7], [0.45, 0.55, 0.85]])
    found = run(table, 1)
    assert found.said["default_kept"]
    assert found.recipe.parameters == found.said["trials"][0]["parameters"]


def test_a_search_ends_when_nothing_gets_better(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so."""
    scored(monkeypatch, [[0.5, 0.6, 0.7], [0.1, 0.1, 0.1]])
    told: list[str] = []
    found = run(table, 100, told)
    assert len(found.said["trials"]) == PATIENCE + 1
    assert told[-1] == f"search ended: {PATIENCE} draws without a better one"


def test_a_fold_is_scored_by_a_model_that_was_fitted_on_the_others(table: Table) -> None:
    """The score of a fold is that of a model fitted by hand without it."""
    start = recipe("logistic", len(table), table.features, {})
    folds = folds_of(table, 1)
    mine = table.rows(folds == 2)
    rest = table.rows(folds != 2)
    fitted = start.fit(rest.vectors, rest.fraud, rest.weight, rest.number, 1)
    numbers = numbers_of_table(mine, fitted.decision_function(mine.vectors))
    assert fold_scores(table, start, folds, 1)[2] == average_precision(numbers.margin, numbers.fraud)
    margins = cross_margins(table, start, folds, 1)
    assert margins[folds == 2].tolist() == fitted.decision_function(mine.vectors).tolist()


def test_a_hook_has_no_space_to_search(table: Table) -> None:
    """Its parameters are its own."""
    start = recipe("tests.learning.test_estimators:any_hook", len(table), table.features, {})
    with pytest.raises(ConfigError, match=r"--search: wanted trees or logistic, whose space is known"):
        search(table, start, 2, 1, lambda _: None)
