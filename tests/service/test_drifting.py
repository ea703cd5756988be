"""Drifting: a day of event time is remembered, and nothing is said of few vectors."""

from pathlib import Path

import numpy as np
import pytest

from detector.config import ROOT
from detector.metrics import Metrics
from detector.replay import Replay
from detector.service.drifting import HOUR_MS, HOURS, Drifting
from detector.verdict.drift import LEAST_VECTORS, SCORE, Counts
from detector.verdict.model import Model
from tests.service.harness import RECORDS, settings_for, traffic

START_MS = 1_794_000_000_000 // HOUR_MS * HOUR_MS


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(Path(ROOT, "models", "default"))


def drawn(model: Model, size: int, times: float = 1.0) -> Counts:
    """Counts of `size` vectors and scores drawn from the bundle's own histograms, features `times` as large."""
    rng = np.random.default_rng(size)
    columns = []
    for edges, shares in zip(model.drift.edges, model.drift.shares, strict=True):
        values = np.array([*edges, edges[-1] + 1, np.nan])  # the highest of each bin, one above all, not known
        columns.append(values[rng.choice(len(values), size, p=shares / shares.sum())])
    return model.drift.counts(times * np.array(columns[:-1]).T, columns[-1])


def test_a_day_is_summed_and_older_hours_are_let_go(model: Model) -> None:
    """hour 0 1 2 ... 23 | 24: the first hour leaves when the twenty-fifth begins."""
    drifting = Drifting(model)
    for hour in range(HOURS):
        drifting.add(drawn(model, 100), START_MS + hour * HOUR_MS)
    assert drifting.vectors == 100 * HOURS
    drifting.add(drawn(model, 7), START_MS + HOURS * HOUR_MS)
    assert drifting.vectors == 100 * (HOURS - 1) + 7


def test_a_gap_of_days_leaves_nothing_behind(model: Model) -> None:
    """A feed that stood still for a week begins anew."""
    drifting = Drifting(model)
    drifting.add(drawn(model, 100), START_MS)
    drifting.add(drawn(model, 9), START_MS + 9 * HOURS * HOUR_MS)
    assert drifting.vectors == 9


def test_partitions_that_lag_count_for_their_own_hour(model: Model) -> None:
    """Behind a backlog they stand at different times; what is a day behind the newest is dropped."""
    drifting = Drifting(model)
    drifting.add(drawn(model, 100), START_MS + 30 * HOUR_MS)
    drifting.add(drawn(model, 10), START_MS + 29 * HOUR_MS)
    drifting.add(drawn(model, 1), START_MS + 6 * HOUR_MS)
    assert drifting.vectors == 110
    drifting.add(drawn(model, 5), START_MS + 53 * HOUR_MS)
    assert drifting.vectors == 105


def test_few_vectors_say_nothing_and_many_name_what_moved(model: Model) -> None:
    """Below a thousand the index would be chance."""
    drifting = Drifting(model)
    drifting.add(drawn(model, LEAST_VECTORS - 1), START_MS)
    assert drifting.stability() == {}
    drifting.add(drawn(model, 2_000), START_MS)
    found = drifting.stability()
    assert max(found.values()) < 0.1
    assert "score" in found
    moved = Drifting(model)
    moved.add(drawn(model, 2_000, times=3.0), START_MS)
    assert moved.stability()["calls_out_7d"] > 0.25


def test_a_role_tells_what_it_has_drawn_as_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the first batch on, told every ten seconds; with few vectors only how many they are."""
    clock = iter(range(0, 10**12, 3_000))
    metrics = Metrics()
    with Replay(settings_for(tmp_path), metrics, lambda: START_MS + next(clock)) as replay:
        records = traffic(20_000)
        replay.publish(RECORDS, records[:15_000])
        replay.settle()
        few = metrics.value("drift_vectors")
        assert 0 < few < LEAST_VECTORS
        assert metrics.by_label("feature_drift", "feature") == {}
        monkeypatch.setattr("detector.service.drifting.LEAST_VECTORS", 10)
        replay.publish(RECORDS, records[15_000:])
        replay.settle()
        assert metrics.value("drift_vectors") > few
        told = metrics.by_label("feature_drift", "feature")
        assert set(told) == comparable()


def comparable() -> set[str]:
    """The features that the shipped bundle knows something of among honest numbers, and the score."""
    model = Model.load(Path(ROOT, "models", "default"))
    named = zip((*model.names, SCORE), model.drift.shares, strict=True)
    return {name for name, shares in named if not np.isnan(shares[0])}
