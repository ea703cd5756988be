"""Fitting on a table: a bundle that loads, equal bytes, what was asked is recorded, what is held out is held out."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.errors import ConfigError, SnapshotError
from detector.features.catalogue import NAMES
from detector.learning import estimators
from detector.learning.estimators import SMALL_TREES
from detector.learning.fitting import Apart, Asked, fit_table
from detector.learning.greatest import number_days_of_table
from detector.learning.table import UNSAID, Table
from detector.learning.tablefiles import read_table
from detector.learning.thresholds import choose_thresholds, logit
from detector.units import DAY_MS
from detector.verdict.drift import ACT, WATCH
from detector.verdict.model import Model
from tests.learning import labelled

LIGHT = {"models": 2, "max_iter": 20}
QUIET = Asked(seed=3, parameters=LIGHT)


def silent(_: str) -> None:
    """Nobody watches."""


def given(table: Table) -> Callable[[], Table]:
    """Reads nothing: it is there."""
    return lambda: table


@pytest.fixture(scope="module")
def carriers(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A carrier's own: no time, its own features."""
    path = labelled.write(tmp_path_factory.mktemp("c") / "c.csv", labelled.carrier(500))
    return read_table([path], {"label": "is_fraud", "number": "msisdn"})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Our vectors, ten days."""
    return read_table([labelled.write(tmp_path_factory.mktemp("o") / "v.parquet", labelled.ours(250, 10))])


def test_a_carriers_own_table_becomes_a_bundle_that_only_the_service_refuses(carriers: Table, tmp_path: Path) -> None:
    """Its features are not the catalogue's: what the service would compute does not fit, and it says so."""
    fitted = fit_table(carriers, tmp_path, QUIET, silent)
    model = Model.load(tmp_path, any_features=True)
    assert model.names == carriers.features
    assert fitted.manifest.fit is not None
    assert fitted.manifest.fit.split == {"by": "number", "folds": 5, "margins": "cross-fitted"}
    assert not model.simulated
    with pytest.raises(
        SnapshotError, match=r"features\[0\]: the catalogue wants .* the service scores the catalogue's"
    ):
        Model.load(tmp_path)
    scored = model.margins(carriers.vectors)
    assert scored[carriers.fraud].mean() > scored[~carriers.fraud].mean() + 1
    assert "# Model card: fitted-" in (tmp_path / "MODEL_CARD.md").read_text()


def test_our_vectors_become_a_bundle_for_the_service_split_by_time(own: Table, tmp_path: Path) -> None:
    """Fitted on the first part alone; directions that are known are kept."""
    fitted = fit_table(own, tmp_path, QUIET, silent)
    model = Model.load(tmp_path)
    assert model.names == NAMES
    assert model.activity_floor == 2
    fit = fitted.manifest.fit
    assert fit is not None
    assert fit.split["by"] == "time"
    assert fit.monotone["reciprocity_7d"] == -1
    assert fitted.manifest.data.vectors == fit.split["rows"]["train"]
    assert fitted.manifest.data.last_ms <= fit.split["test_from"] * DAY_MS
    assert fitted.evaluation["table"]["first_ms"] >= fit.split["test_from"] * DAY_MS
    assert fitted.evaluation["ranking"]["area"]["value"] > 0.85


@pytest.mark.parametrize("said", [True, False])
def test_delays_of_the_test_are_of_frauds_that_begin_in_it(own: Table, tmp_path: Path, said: bool) -> None:
    """
    days     0 1 2 3 4 5 | 6 7 | 8 9
              train        thr.  test      a fraud of day 6 was flagged then, if at all: on day 8 it is two days old

    Whether the table says since when a number is fraud, or only shows its first vector that is.
    """
    assert own.event_ms is not None
    first = {
        number: int(own.event_ms[own.fraud & (own.number == number)].min())
        for number in np.unique(own.number[own.fraud])
    }
    since = np.array([first.get(number, UNSAID) for number in own.number.tolist()])
    table = replace(own, active_from_ms=since) if said else own
    found = fit_table(table, tmp_path, QUIET, silent)
    assert found.manifest.fit is not None
    split = found.manifest.fit.split
    days = Counter(ms // DAY_MS for ms in first.values())
    begun = {
        name: sum(count for day, count in days.items() if low <= day < high)
        for name, low, high in (
            ("before", split["thresholds_from"], split["test_from"]),
            ("in it", split["test_from"], split["test_from"] + 2),
        )
    }
    delay = found.evaluation["delay"]
    assert begun["before"] > 5 < begun["in it"]
    assert (delay["numbers"], delay["began_earlier"]) == (begun["in it"], begun["before"])
    assert sum(kind["delay"]["began_earlier"] for kind in found.evaluation["types"]) == begun["before"]
    assert max((seconds for seconds, _ in delay["distribution"]), default=0) < 2 * DAY_MS / 1000


def test_numbers_whose_recall_is_told_have_moved_no_threshold_by_their_fraud(own: Table, tmp_path: Path) -> None:
    """
    days     0 1 2 3 4 5 | 6 7 | 8 9
              train        thr.  test      a fraud of day 6 counts in the test: what it did on days 6 and 7 sets nothing

    Other vectors of fraud on these two days: equal thresholds, equal figures. Days before a fraud are honest ones, be
    it of the test or of the span itself: who leaves them out has looked at later labels.
    """
    plain = fit_table(own, tmp_path / "a", QUIET, silent)
    assert plain.manifest.fit is not None
    split = plain.manifest.fit.split
    span = (own.day >= split["thresholds_from"]) & (own.day < split["test_from"])
    tested = np.unique(own.number[own.fraud & (own.day >= split["test_from"])])
    assert np.isin(own.number[span & own.fraud], tested).any()
    vectors = own.vectors.copy()
    vectors[span & own.fraud] = own.vectors[np.flatnonzero(~own.fraud)[: np.count_nonzero(span & own.fraud)]]
    other = fit_table(replace(own, vectors=vectors), tmp_path / "b", QUIET, silent)
    assert other.manifest.calibration != plain.manifest.calibration, "these days do set what is displayed"
    assert other.manifest.thresholds == plain.manifest.thresholds
    assert other.evaluation["levels"] == plain.evaluation["levels"]
    known = np.unique(own.number[own.fraud & (own.day < split["thresholds_from"])])
    honest = own.rows(span & ~own.fraud & ~np.isin(own.number, known))
    assert np.isin(honest.number, tested).any()
    days = number_days_of_table(honest, Model.load(tmp_path / "a").margins(honest.vectors))
    assert choose_thresholds(days.margin, days.weight) == plain.manifest.thresholds


def test_the_prevalence_beside_the_counts_is_of_what_was_fitted_on(own: Table, tmp_path: Path) -> None:
    """Fraud that begins later than the training ends is none of its numbers."""
    manifest = fit_table(own, tmp_path, QUIET, silent).manifest
    assert manifest.fit is not None
    train = own.day < manifest.fit.split["thresholds_from"]
    fraud, numbers = len(np.unique(own.number[own.fraud & train])), len(np.unique(own.number[train]))
    assert manifest.data.numbers == numbers
    assert manifest.data.prevalence == pytest.approx(fraud / numbers)
    assert fraud < len(np.unique(own.number[own.fraud]))


def test_what_hardly_anybody_knows_of_a_large_table_is_said(
    carriers: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trees make nothing of it, and whoever reads the manifest should know. Large is here what 300 rows are."""
    monkeypatch.setattr(estimators, "BINNED", 300)
    vectors = carriers.vectors.copy()
    vectors[20:, carriers.features.index("repeats")] = np.nan
    table = replace(carriers, vectors=vectors)
    said = "Known in too few vectors for trees to learn anything from: repeats."
    assert said in fit_table(table, tmp_path / "a", QUIET, silent).notes
    assert said not in fit_table(carriers, tmp_path / "b", QUIET, silent).notes
    assert said not in fit_table(table, tmp_path / "c", Asked(seed=3, estimator="logistic"), silent).notes


def test_with_tables_apart_all_is_fitted_on_and_others_set_thresholds_and_give_figures(
    own: Table, tmp_path: Path
) -> None:
    """Number-days of tables that have the same numbers are not thrown together: they are two networks'."""
    others = [read_table([labelled.write(tmp_path / f"{i}.parquet", labelled.ours(120, 6, seed=i))]) for i in (7, 8, 9)]
    apart = Apart([given(others[0]), given(others[1])], given(others[2]))
    fitted = fit_table(own, tmp_path / "b", QUIET, silent, apart)
    model = Model.load(tmp_path / "b")
    fit = fitted.manifest.fit
    assert fit is not None
    assert fitted.manifest.data.vectors == len(own)
    assert fit.split["by"] == "table"
    assert list(fit.split["thresholds"]) == ["7.parquet", "8.parquet"]
    assert fitted.evaluation["table"]["files"] == dict(others[2].files) == fit.split["test"]
    days = [number_days_of_table(one, model.margins(one.vectors)) for one in others[:2]]
    honest = np.concatenate([one.margin[~one.fraud] for one in days])
    assert fit.split["honest_number_days"] == len(honest)
    assert model.thresholds == choose_thresholds(honest)
    alone = fit_table(own, tmp_path / "c", QUIET, silent, Apart([given(others[0])], given(others[2])))
    assert alone.manifest.thresholds != model.thresholds
    assert "Thresholds were set on" in (tmp_path / "b" / "MODEL_CARD.md").read_text()


def test_thresholds_that_are_set_on_a_part_of_the_events_are_said_to_be(own: Table, tmp_path: Path) -> None:
    """Serving scores each event: of the moments of the table that they are set on, not of the fitted one."""
    sparse, said = (
        replace(own, moments="every:8"),
        "Thresholds are set on vectors taken at every:8; serving scores each",
    )
    for table, apart, told in (
        (own, None, False),
        (sparse, None, True),
        (sparse, Apart([given(own)], given(sparse)), False),
        (own, Apart([given(own), given(sparse)], given(own)), True),
        (replace(own, moments=""), None, False),
    ):
        notes = fit_table(table, tmp_path, QUIET, silent, apart).notes
        assert any(note.startswith(said) for note in notes) == told


def test_tables_apart_must_have_both_classes_and_the_same_floor(own: Table, tmp_path: Path) -> None:
    """A service scores what thresholds were set on, or they mean something else."""
    for other, message in (
        (replace(own, floor=7), r"v\.parquet: wanted vectors from 2 events in 24 h on, .* \(got 7\)"),
        (own.rows(own.fraud), r"wanted fraud and honest numbers \(got fraud alone\)"),
        (own.rows(~own.fraud), r"wanted fraud and honest numbers \(got honest ones alone\)"),
    ):
        for apart in (Apart([given(other)], given(own)), Apart([given(own)], given(other))):
            with pytest.raises(ConfigError, match=message):
                fit_table(own, tmp_path, QUIET, silent, apart)


def test_a_bundle_keeps_what_honest_rows_that_it_has_not_seen_look_like(carriers: Table, tmp_path: Path) -> None:
    """Features and score: another table of the same population is steady, one of other people is not."""
    fit_table(carriers, tmp_path, QUIET, silent)
    model = Model.load(tmp_path, any_features=True)
    for apart, steady in ((1.5, True), (-3.0, False)):
        path = labelled.write(tmp_path / "next.csv", labelled.carrier(3_000, seed=8, apart=apart))
        table = read_table([path], {"label": "is_fraud", "number": "msisdn"})
        vectors = table.vectors[~table.fraud if steady else table.fraud]
        index = dict(
            zip(
                (*model.names, "score"),
                model.drift.stability(model.drift.counts(vectors, model.margins(vectors))),
                strict=True,
            )
        )
        assert (index["strangers"] < WATCH) == steady
        assert (index["score"] < ACT) == steady
        assert not np.isnan(list(index.values())).any()


def test_equal_tables_and_seeds_give_equal_bytes(carriers: Table, tmp_path: Path) -> None:
    """Every file of the bundle; another seed gives another model."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        fit_table(carriers, tmp_path / name, Asked(seed=seed, parameters=LIGHT), silent)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    read = {name: [(tmp_path / name / file).read_bytes() for file in files] for name in "abc"}
    assert read["a"] == read["b"]
    assert read["a"] != read["c"]


def test_reported_figures_are_of_numbers_that_the_model_has_not_seen(tmp_path: Path) -> None:
    """Labels that nothing tells: a report on what was fitted would find an area near 1."""
    path = labelled.write(tmp_path / "c.csv", labelled.carrier(600, apart=0.0))
    table = read_table([path], {"label": "is_fraud", "number": "msisdn"})
    fitted = fit_table(table, tmp_path / "b", QUIET, silent)
    said = fitted.evaluation["ranking"]["area"]
    assert said["low"] < 0.5 < said["high"]
    seen = Model.load(tmp_path / "b", any_features=True).margins(table.vectors)
    assert seen[table.fraud].mean() > seen[~table.fraud].mean() + 0.1


def test_the_operators_prevalence_moves_what_is_shown_and_nothing_else(carriers: Table, tmp_path: Path) -> None:
    """Margins and thresholds stay; the intercept falls by the difference of the log-odds."""
    plain = fit_table(carriers, tmp_path / "a", QUIET, silent).manifest
    moved = fit_table(carriers, tmp_path / "b", replace(QUIET, operator_prevalence=0.001), silent).manifest
    assert plain.fit is not None
    assert moved.fit is not None
    training = plain.fit.prevalence.training
    assert plain.fit.prevalence.operator is None
    assert moved.fit.prevalence.operator == 0.001
    assert moved.fit.prevalence.training == training == pytest.approx(carriers.fraud.mean(), abs=0.01)
    assert moved.calibration.b == pytest.approx(plain.calibration.b + logit(0.001) - logit(training))
    assert moved.calibration.a == plain.calibration.a
    assert moved.thresholds == plain.thresholds
    assert moved.golden == plain.golden


def test_a_search_is_recorded_and_told_as_it_goes(carriers: Table, tmp_path: Path) -> None:
    """The space, every draw and what came of it; a line a draw."""
    told: list[str] = []
    fitted = fit_table(carriers, tmp_path, Asked(seed=3, estimator="logistic", search=3), told.append)
    assert fitted.manifest.fit is not None
    said = fitted.manifest.fit.search
    assert said is not None
    assert len(said["trials"]) == 4
    assert sum(line.startswith("search ") for line in told) == 3
    assert set(said["space"]) == {"C"}
    if said["default_kept"]:
        assert fitted.manifest.fit.parameters == said["trials"][0]["parameters"]


def test_the_manifest_says_how_to_do_it_again(carriers: Table, tmp_path: Path) -> None:
    """Files by hash, roles, what was left out, parameters."""
    fit_table(carriers, tmp_path, QUIET, silent)
    fit = json.loads((tmp_path / "manifest.json").read_bytes())["fit"]
    assert fit["inputs"]["files"] == dict(carriers.files)
    assert fit["inputs"]["columns"] == {"label": "is_fraud", "number": "msisdn"}
    assert "Columns left out: tariff (text)." in fit["inputs"]["notes"]
    assert any("too few reach watch, flag, block: set beyond the data" in note for note in fit["inputs"]["notes"])
    assert fit["parameters"]["max_leaf_nodes"] == SMALL_TREES["max_leaf_nodes"]
    assert (fit["parameters"]["models"], fit["parameters"]["max_iter"]) == (2, 20)
    assert fit["search"] is None


def test_a_leak_is_refused_before_anything_is_fitted(carriers: Table, tmp_path: Path) -> None:
    """The message names the column."""
    leaky = replace(
        carriers,
        features=(*carriers.features, "blocked"),
        vectors=np.column_stack([carriers.vectors, carriers.fraud.astype(float)]),
    )
    with pytest.raises(ConfigError, match=r"blocked: wanted a feature \(got the label by another name"):
        fit_table(leaky, tmp_path, QUIET, silent)


def test_directions_that_are_asked_for_are_checked_by_name(carriers: Table, tmp_path: Path) -> None:
    """A feature or a word that is not there."""
    with pytest.raises(ConfigError, match=r"--monotone calls=rising: wanted a feature of the table \(got 'calls'\)"):
        fit_table(carriers, tmp_path, replace(QUIET, monotone=["calls=rising"]), silent)
    with pytest.raises(ConfigError, match=r"--monotone night=up: wanted one of rising, falling, free \(got 'up'\)"):
        fit_table(carriers, tmp_path, replace(QUIET, monotone=["night=up"]), silent)


def test_a_parameter_that_the_estimator_does_not_have_is_refused(carriers: Table, tmp_path: Path) -> None:
    """Those that it has are named."""
    with pytest.raises(ConfigError, match=r"--parameter depth: wanted one of the estimator's \(models, numbers_share"):
        fit_table(carriers, tmp_path, replace(QUIET, parameters={"depth": 3}), silent)


def test_directions_are_for_trees_alone(carriers: Table, tmp_path: Path) -> None:
    """Asked of another estimator they would be forgotten in silence."""
    asked = Asked(seed=3, estimator="logistic", monotone=["night=rising"])
    with pytest.raises(ConfigError, match=r"--monotone: wanted the estimator trees \(got logistic"):
        fit_table(carriers, tmp_path, asked, silent)
