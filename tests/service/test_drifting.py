"""Drifting: a day of event time is remembered, and nothing is said of few vectors."""

from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.config import ROOT
from detector.learning.encode import encode
from detector.learning.simulate import MONDAY_MS, Scenario, simulate
from detector.metrics import Metrics
from detector.replay import Replay
from detector.service.aside import Aside
from detector.service.detect import DetectRole
from detector.service.driftfile import DriftFile
from detector.service.drifting import HOURS, Drifting
from detector.service.ingest import IngestRole
from detector.service.rules import Rules
from detector.units import HOUR_MS
from detector.verdict.drift import ACT, LEAST_VECTORS, SCORE, Counts, stability
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from tests.service.harness import RECORDS, log_entries, settings_for, traffic
from tests.service.test_roles import drain

T = TypeVar("T")

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
    drifting.add(drawn(model, LEAST_VECTORS - 2), START_MS)
    drifting.add(drawn(model, 1), START_MS + 23 * HOUR_MS)
    assert drifting.stability() == {}
    drifting.add(drawn(model, 2_000), START_MS)
    found = drifting.stability()
    assert max(found.values()) < 0.1
    assert "score" in found
    moved = Drifting(model)
    moved.add(drawn(model, 2_000, times=3.0), START_MS)
    moved.add(drawn(model, 1), START_MS + 23 * HOUR_MS)
    assert moved.stability()["calls_out_7d"] > 0.25


def test_nothing_is_said_until_a_whole_day_is_counted(model: Model) -> None:
    """
    hour 0 1 ... 22 | 23: the first index      a gap of a day: from the hour behind it on again
    """
    drifting = Drifting(model)
    for hour in range(HOURS):
        assert drifting.stability() == {}
        drifting.add(drawn(model, 2_000), START_MS + hour * HOUR_MS)
    assert drifting.stability()
    drifting.add(drawn(model, 2_000), START_MS + (2 * HOURS - 1) * HOUR_MS)
    assert drifting.stability() == {}


@pytest.mark.slow
def test_of_a_night_alone_features_would_seem_to_have_moved(tmp_path: Path) -> None:
    """The evidence for a whole day: 10,000 people on whom nothing has changed, a Tuesday against the Monday before."""
    settings = settings_for(tmp_path)
    broker = MemoryBroker()
    broker.create(topic_specs(settings))
    values = encode(simulate(Scenario(numbers=10_000, days=9, seed=31, campaigns=(), festival_day=None)).records)
    broker.publish(RECORDS, [(None, value) for value in values], 0)
    drain(IngestRole(settings, broker, Metrics(), "0"))
    detector = Rules.load(settings).detector
    assert detector.model is not None
    monday_ms, tuesday_ms = (MONDAY_MS + days * HOURS * HOUR_MS for days in (7, 8))
    monday, tuesday, night = (np.zeros_like(detector.model.drift.shares) for _ in range(3))
    for q in range(settings.topics.partitions):
        part = detector.fresh(q, Memory(), Memory())
        for entry in log_entries(broker, settings, q):
            outcome = detector.process(part, [entry])
            if outcome.drawn is None or outcome.newest_ms < monday_ms:
                continue
            (monday if outcome.newest_ms < tuesday_ms else tuesday)[:] += outcome.drawn
            if 0 <= outcome.newest_ms - tuesday_ms < 6 * HOUR_MS:
                night += outcome.drawn

    def above(counts: Counts, what: str) -> int:
        """How many features ask for action, held against the Monday."""
        found = stability(monday / monday.sum(axis=1, keepdims=True), counts / counts.sum(axis=1, keepdims=True))
        many = int((found > ACT).sum())
        print(f"{what}, {int(counts[-1].sum())} vectors: {many} of {len(found)} above {ACT}, highest {found.max():.2f}")
        return many

    assert above(tuesday, "the whole Tuesday") == 0
    assert above(night, "its first six hours") > 2


def counted(model: Model) -> Drifting:
    """A day and an hour of it."""
    drifting = Drifting(model)
    for hour in range(HOURS + 1):
        drifting.add(drawn(model, 100 + hour, times=2.0), START_MS + hour * HOUR_MS)
    return drifting


def test_a_file_of_what_was_counted_goes_on_from_there(model: Model, tmp_path: Path) -> None:
    """Hour by hour: what is a day older than what comes next is let go of."""
    path, before = tmp_path / "store" / "drift" / "detect-0.json", counted(model)
    DriftFile(path, Aside(1, "drift")).close(before)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    after = DriftFile(path, Aside(1, "drift")).load(model)
    assert after.stability() == before.stability() != {}
    for drifting in (before, after):
        drifting.add(drawn(model, 7), START_MS + 30 * HOUR_MS)
    assert (after.vectors, after.stability()) == (before.vectors, before.stability())


@pytest.mark.parametrize("spoil", [b"", b"{", b"\xff", b'{"model":"m","first":1,"newest":2,"counts":[-1]}'])
def test_a_file_of_no_use_is_passed_over_and_counting_begins_anew(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: bytes
) -> None:
    """Nothing rests on it: it is said in the log, and the next writing replaces it."""
    path = tmp_path / "detect-0.json"
    path.write_bytes(spoil)
    file = DriftFile(path, Aside(1, "drift"))
    assert file.load(model).vectors == 0
    assert "passed over" in caplog.text
    file.close(counted(model))
    assert DriftFile(path, Aside(1, "drift")).load(model).vectors > 0


def test_what_was_counted_for_another_model_is_not_gone_on_with(model: Model, tmp_path: Path) -> None:
    """Its bins are others; a file that is cut short, or says that its end was before its beginning, is as little."""
    kept = counted(model).kept()
    assert Drifting.of(model, kept) is not None
    for other in ({"model": "other-1"}, {"counts": kept.counts[:-1]}, {"first": kept.newest + 1}):
        assert Drifting.of(model, replace(kept, **other)) is None
    path = tmp_path / "detect-0.json"
    path.write_bytes(msgspec.json.encode(replace(kept, model="other-1")))
    assert DriftFile(path, Aside(1, "drift")).load(model).vectors == 0


def test_it_is_written_every_five_minutes_and_never_where_nothing_is_counted(model: Model, tmp_path: Path) -> None:
    """Aside: whoever calls does not wait for the disk."""
    path, executor = tmp_path / "detect-0.json", Later()
    file, drifting = DriftFile(path, executor), counted(model)
    file.save(Drifting(model), 1_000.0)
    assert executor.calls == []
    for now_s in (1_000.0, 1_001.0, 1_299.0):
        file.save(drifting, now_s)
    assert len(executor.calls) == 1
    file.save(drifting, 1_301.0)
    assert len(executor.calls) == 1  # the first has not been written yet
    executor.run()
    assert path.exists()
    file.save(drifting, 1_302.0)
    assert len(executor.calls) == 1


def test_a_place_that_cannot_be_written_to_is_said_and_stops_nothing(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The stream goes on without."""
    (tmp_path / "drift").write_text("a file where a folder should be")
    DriftFile(tmp_path / "drift" / "detect-0.json", Aside(1, "drift")).close(counted(model))
    assert "not written" in caplog.text


class Later:
    """An executor whose calls are made when it is asked for."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> "Future[T]":
        made: Future[T] = Future()
        self.calls.append(lambda: made.set_result(call(*arguments)))
        return made

    def run(self) -> None:
        """Everything that was submitted is done."""
        while self.calls:
            self.calls.pop(0)()

    def shutdown(self) -> None:
        """Nothing to do."""


def test_a_worker_that_starts_again_goes_on_with_its_day(tmp_path: Path) -> None:
    """By its name, in the folder of snapshots; another worker begins anew."""
    settings = settings_for(tmp_path)
    broker = MemoryBroker()
    broker.create(topic_specs(settings))
    records = traffic(20_000)

    def live(part: list[bytes], name: str) -> float:
        """Both roles work `part` off and end; how many vectors detect has counted."""
        broker.publish(RECORDS, [(None, value) for value in part], 0)
        clock, metrics = count(START_MS // 1000, 3), Metrics()
        detect = DetectRole(settings, broker, metrics, name, clock=lambda: next(clock))
        roles = IngestRole(settings, broker, Metrics(), "0"), detect
        drain(*roles)
        for role in roles:
            role.close()
        return metrics.value("drift_vectors")

    first = live(records[:12_000], "0")
    assert first > 0
    assert live(records[12_000:16_000], "0") > first
    assert 0 < live(records[16_000:], "1") < first


def test_a_role_tells_what_it_has_drawn_as_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from the first batch on, told every ten seconds; with few vectors of less than a day only how many."""
    clock = iter(range(0, 10**12, 3_000))
    metrics = Metrics()
    with Replay(settings_for(tmp_path), metrics, lambda: START_MS + next(clock)) as replay:
        records = traffic(60_000)
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
