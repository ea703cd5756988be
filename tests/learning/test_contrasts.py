"""Contrasts: what is taken away makes a difference where it should, and none where it cannot."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from detector.features.catalogue import FEATURES
from detector.learning.contrasts import ABLATIONS, BOTH, GEOGRAPHY, RULES, SMS, VECTORS, contrasts, importance, sampled
from detector.learning.monotone import KNOWN, MEASURES, directions
from detector.learning.table import Table
from detector.learning.tablefiles import read_table
from tests.learning import labelled


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
