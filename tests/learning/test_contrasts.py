"""Contrasts: what is taken away makes a difference where it should, and none where it cannot."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.features.catalogue import FEATURES
from detector.learning.contrasts import ABLATIONS, BOTH, GEOGRAPHY, RULES, SMS, VECTORS, contrasts, importance, sampled
from detector.learning.estimators import Recipe
from detector.learning.monotone import KNOWN, MEASURES, directions
from detector.learning.search import cross_margins
from detector.learning.table import Table
from detector.learning.tablefiles import read_table
from detector.records import Bools, I64s
from detector.units import DAY_MS
from detector.verdict.trees import Margins
from tests.learning import labelled
from tests.learning.test_splits import small


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A carrier's own table."""
    path = labelled.write(tmp_path_factory.mktemp("t") / "t.csv", labelled.carrier(400))
    return read_table([path], {"label": "is_fraud", "number": "msisdn"})


def test_a_feature_that_nothing_looks_at_has_no_importance(table: Table) -> None:
    """Dealt out anew, only what the margin is made of lowers the area; the most important comes first."""
    found = importance(table, lambda vectors: vectors[:, 0] + 0.2 * vectors[:, 2], 10_000, seed=1)
    drops = {one["feature"]: one["drop"] for one in found}
    assert [one["feature"] for one in found[:2]] == ["strangers", "night"]
    assert drops["noise_a"] == drops["noise_b"] == drops["repeats"] == 0
    assert drops["strangers"] > drops["night"] > 0


def test_a_sample_holds_few_vectors_of_each_number_day_and_as_much_fraud_as_it_may(tmp_path: Path) -> None:
    """Two of five vectors a day, numbers whole, a quarter of the room for fraud numbers."""
    whole = read_table([labelled.write(tmp_path / "v.parquet", labelled.ours(80, 4, vectors=5))])
    sample = sampled(whole, 300, seed=1)
    assert 280 < len(sample) <= 300
    counts = Counter(zip(sample.number.tolist(), sample.day.tolist(), strict=True))
    assert set(counts.values()) == {VECTORS}
    assert all(counts[number, day] for number in np.unique(sample.number) for day in np.unique(whole.day))
    fraud = np.isin(sample.number, sample.number[sample.fraud])
    assert 0.2 < fraud.mean() <= 0.25
    assert len(sampled(whole, 10_000, seed=1)) == VECTORS * 80 * 4


def test_a_number_day_of_which_few_vectors_are_kept_weighs_what_it_weighed(tmp_path: Path) -> None:
    """Of days with one vector, two, and a hundred: 1 each, as before."""
    counts = {"a": 1, "b": 2, "c": 100, "d": 7}
    columns = {
        "number": [name for name, count in counts.items() for _ in range(count)],
        "event_ms": [labelled.START_MS + k for count in counts.values() for k in range(count)],
        "x": [float(k) for count in counts.values() for k in range(count)],
        "label": [int(name > "b") for name, count in counts.items() for _ in range(count)],
    }
    sample = sampled(read_table([labelled.write(tmp_path / "t.csv", columns)]), 1_000, seed=1)
    kept = Counter(sample.numbers[sample.number].tolist())
    assert kept == {"a": 1, "b": 2, "c": VECTORS, "d": VECTORS}
    for name in counts:
        assert sample.weight[sample.numbers[sample.number] == name].sum() == pytest.approx(1)


def test_the_estimator_that_the_others_are_set_beside_keeps_to_the_bundles_directions(table: Table) -> None:
    """Held to the wrong one it tells less: so it was heard."""
    found = {
        way: contrasts(table, "trees", 1, lambda _: None, {"strangers": way, "repeats": -way})["contrast"]["area"]
        for way in (1, -1)
    }
    assert found[1] > found[-1] + 0.05


def test_contestants_are_cross_fitted_and_a_forest_without_labels_is_the_worst(table: Table) -> None:
    """Features that tell apart by their level, which an isolation forest sees on both sides."""
    found = contrasts(table, "trees", 1, lambda _: None)
    areas = {one["name"]: one["area"] for one in (found["contrast"], *found["baselines"])}
    assert areas["trees, all features"] > areas["isolation forest"] + 0.1
    assert areas["logistic regression"] > areas["isolation forest"] + 0.1
    assert any("distinct-share rule is not known" in note for note in found["contrast_notes"])
    assert any("Ablations are not known" in note for note in found["contrast_notes"])


def test_a_recall_that_too_few_honest_number_days_can_tell_is_not_known(table: Table) -> None:
    """Of 280 honest numbers none is one in a thousand: a threshold beyond the data would be a figure of nothing."""
    found = contrasts(table, "logistic", 1, lambda _: None)
    assert found["contrast"]["recall"]["watch"] == {"value": None, "low": None, "high": None}


def test_more_is_judged_than_is_fitted_on_and_nobody_is_judged_by_what_has_seen_him(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is fitted on is a part of the other folds; what is judged are all 400 numbers."""
    monkeypatch.setattr("detector.learning.contrasts.MOST_ROWS", 120)
    monkeypatch.setattr("detector.learning.contrasts.FEWEST", 0)  # as if 400 number-days could tell 0.01 %
    seen: list[tuple[int, bool]] = []

    def spied(sample: Table, recipe: Recipe, folds: I64s, seed: int, among: Bools) -> Margins:
        for fold in range(int(folds.max()) + 1):
            mine = folds == fold
            seen.append(
                (int((among & ~mine).sum()), bool(np.isin(sample.number[mine], sample.number[among & ~mine]).any()))
            )
        return cross_margins(sample, recipe, folds, seed, among)

    monkeypatch.setattr("detector.learning.contrasts.cross_margins", spied)
    found = contrasts(table, "logistic", 1, lambda _: None)
    assert "on 120 vectors of 120 numbers, and judged on 400 vectors of 400 numbers" in found["contrast_notes"][0]
    assert seen
    assert all(50 < rows < 120 and not shared for rows, shared in seen)
    assert found["contrast"]["area"] > 0.8


def test_a_recall_at_one_in_ten_thousand_is_known_where_the_table_can_tell(tmp_path: Path) -> None:
    """Forty thousand honest number-days, of which four may be wronged; with a cap of twelve thousand none could be."""
    rng = np.random.default_rng(3)
    days, numbers = 20, 2_100
    bad = np.arange(numbers) < 100
    columns = {
        "number": [f"n{i}" for i in range(numbers)] * days,
        "event_ms": [labelled.START_MS + day * DAY_MS for day in range(days) for _ in range(numbers)],
        "x": (rng.normal(size=(days, numbers)) + 6 * bad).ravel().tolist(),
        "y": rng.normal(size=days * numbers).tolist(),
        "label": bad.astype(int).tolist() * days,
    }
    table = read_table([labelled.write(tmp_path / "t.parquet", columns)])
    found = contrasts(table, "logistic", 1, lambda _: None)
    assert found["contrast"]["recall"]["flag"]["value"] > 0.9


def lives(share: float, begun: float, fraud: bool) -> dict[str, float]:
    """A vector of a rule's features."""
    return {"distinct_share_24h": share, "calls_out_24h": begun, "sms_out_24h": 0.0} | {
        "distinct_share_7d": share,
        "calls_out_7d": begun,
        "sms_out_7d": 0.0,
        "label": float(fraud),
    }


def test_the_distinct_share_counts_from_so_many_calls_on_as_the_other_folds_say(tmp_path: Path) -> None:
    """Everybody's first three calls go to three people; of fifty, a fraud's go to forty and an honest number's to ten.

    The greatest share of all vectors is one for everybody, and tells nothing.
    """
    rng = np.random.default_rng(2)
    rows = []
    for i in range(300):
        fraud = i % 3 == 0
        for share, begun in ((1.0, 3.0), ((0.8 if fraud else 0.2) + 0.05 * rng.normal(), 50.0)):
            rows.append(lives(share, begun, fraud) | {"number": i})
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    columns |= {"number": [f"n{i:03}" for i in columns["number"]], "label": [int(one) for one in columns["label"]]}
    found = contrasts(read_table([labelled.write(tmp_path / "t.parquet", columns)]), "logistic", 1, lambda _: None)
    rule = next(one for one in found["baselines"] if one["name"] == "distinct-share rule")
    assert rule["area"] > 0.99
    said = "The distinct-share rule looks at vectors with enough calls and messages, by its area in the other folds"
    assert any(note.startswith(f"{said}: 5 in 24h. ") for note in found["contrast_notes"])


def test_a_hook_is_said_to_be_stood_in_for(table: Table) -> None:
    """Its own ablations would have to be fitted by it."""
    notes = contrasts(table, "mine:made", 1, lambda _: None)["contrast_notes"]
    assert "The bundle's estimator mine:made is a hook: trees stand in for it." in notes


def test_every_measure_that_is_named_is_the_catalogues() -> None:
    """A feature that is renamed may not fall out of a group in silence."""
    measures = {feature.measure for feature in FEATURES}
    assert measures >= GEOGRAPHY | SMS | BOTH | set(MEASURES)
    names = {feature.name for feature in FEATURES}
    assert all(names >= set(columns) for columns in RULES.values())
    for kept in ABLATIONS.values():
        left = [feature for feature in FEATURES if kept(feature.measure, feature.window)]
        assert 0 < len(left) < len(FEATURES)


def test_known_directions_are_taken_unless_said_otherwise() -> None:
    """By feature name; `free` takes one back."""
    names = [feature.name for feature in FEATURES]
    assert directions(names) == dict(KNOWN)
    assert directions(["calls", "reciprocity_7d"]) == {"reciprocity_7d": -1}
    assert directions(names, ["reciprocity_7d=free", "ramp_24h=rising"])["ramp_24h"] == 1
    assert "reciprocity_7d" not in directions(names, ["reciprocity_7d=free"])
    assert directions(names, known=False) == {}


def test_what_tells_a_fraud_that_stands_for_many_is_the_more_important() -> None:
    """Ten frauds are told by the first feature, one that was drawn of ninety by the second; honest ones by neither."""
    number = np.arange(61)
    vectors = np.zeros((61, 2))
    vectors[:10, 0], vectors[10, 1] = 3.0, 3.0
    table = small((number < 11).tolist(), number.tolist())
    table = replace(table, features=("first", "second"), vectors=vectors)
    for weight, most in ((1.0, "first"), (90.0, "second")):
        weighed = replace(table, weight=np.where(number == 10, weight, 1.0))
        assert importance(weighed, lambda vectors: vectors.sum(axis=1), 10_000, seed=1)[0]["feature"] == most
