"""Partitions that are restored beside the stream: the others go on, and whatever happens meanwhile costs nothing."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace as replace_store
from pathlib import Path
from threading import Event
from typing import Any, Final, TypeVar

import pytest
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.simulated import Point
from detector.broker.topics import topic_specs
from detector.errors import CannotRebuild, Recoverable
from detector.metrics import Metrics
from detector.service.aside import Aside, Executor
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.restore import Restorer
from detector.service.rules import Rules
from detector.snapshot import open_store
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from tests.service.harness import (
    expected_decisions,
    log_entries,
    published_decisions,
    settings_for,
    traffic,
)
from tests.service.simulation import Crash, Network
from tests.service.test_faults import ingested, raising, started

PATIENCE_S: Final = 120.0

T = TypeVar("T")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(tmp_path, monkeypatch)


def committed(network: Network) -> dict[int, int]:
    """Detect's offsets, 0 where there is none."""
    ats = [TopicPartition(network.settings.topics.events, q) for q in range(3)]
    return {at.partition: offset or 0 for at, offset in network.broker.committed("detector-detect", ats).items()}


def all_taken(network: Network, name: str) -> None:
    """The worker is given all partitions and restores none yet."""
    network.slow.add(name)
    network.start(name)
    for _ in range(3):
        network.step(name)
    assert len(network.restores[name].calls) == 3


def test_partitions_that_are_restored_go_on_while_another_is_not(network: Network) -> None:
    """One after another is started, and those that are commit; the last one has committed nothing by then."""
    started(network, "ingest-0")
    ingested(network)
    all_taken(network, "detect-0")
    assert committed(network) == {0: 0, 1: 0, 2: 0}
    for ready in (1, 2):
        network.restore("detect-0", most=1)
        for _ in range(10):
            network.step("detect-0")
        moved = [q for q, offset in committed(network).items() if offset > 0]
        assert moved == list(range(ready))
    network.settle()
    network.check()
    assert network.deaths == []


def test_a_partition_that_moves_does_not_stop_those_that_stay(network: Network) -> None:
    """A new worker takes long to restore its share; the old one goes on with the rest."""
    started(network, "ingest-0", "detect-0")
    network.slow.add("detect-1")
    network.start("detect-1")
    for _ in range(3):
        network.step("detect-1")
        network.step("detect-0")
    (moved,) = [call[2][0] for call in network.restores["detect-1"].calls]
    before = committed(network)
    ingested(network)
    for _ in range(20):
        network.step("detect-0")
        network.step("detect-1")
    now = committed(network)
    assert [q for q in range(3) if now[q] > before[q]] == [q for q in range(3) if q != moved]
    network.settle()
    network.check()


@pytest.mark.parametrize("after", range(3))
@pytest.mark.parametrize("point", [Point.COMMITTED, Point.WATERMARKS, Point.READ])
@pytest.mark.parametrize("returns", [False, True], ids=["stays away", "comes back"])
def test_a_partition_lost_while_it_is_restored_is_nobodys_but_the_next_holders(
    network: Network, point: Point, after: int, returns: bool
) -> None:
    """Its lease ends in the midst of the restore, another works and commits further, and it may come back at once."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    for _ in range(5):
        network.step("detect-0")
    network.leave("detect-0")
    all_taken(network, "detect-1")

    def others_work() -> None:
        network.broker.expire(*network.identity("detect-1"))
        network.start("detect-2")
        for _ in range(3):
            network.step("detect-2")
        if returns:
            network.leave("detect-2")
        network.step("detect-1")

    network.broker.strike(point, others_work, after)
    network.restore("detect-1", most=3)
    assert "detect-2" in network.workers
    network.settle()
    network.check()
    assert network.deaths == []


def test_what_a_restore_came_to_is_dropped_if_another_has_worked_before_the_loop_looks(network: Network) -> None:
    """The thread has done its work; the loop starts the partition, and the same step's poll says that it is lost."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    for _ in range(3):
        network.step("detect-0")
    network.leave("detect-0")
    all_taken(network, "detect-1")
    network.restore("detect-1")
    network.broker.expire(*network.identity("detect-1"))
    network.start("detect-2")
    for _ in range(3):
        network.step("detect-2")
    before = committed(network)
    network.step("detect-1")
    assert committed(network) == before
    network.settle()
    network.check()
    assert network.deaths == []


@pytest.mark.parametrize("snapshot", [True, False])
def test_a_restore_ends_at_the_committed_offset_and_counts_what_it_replayed(network: Network, snapshot: bool) -> None:
    """Read from the group at the start of it: each row below has been taken once, those from there on not at all."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    for ms in (0, 0, 0, 1_100, 0, 0, 0):
        network.broker.advance(ms)
        network.step("detect-0")
    broker, settings = network.broker, network.settings
    detector = Rules.load(settings).detector
    store = open_store(settings, broker.identity(settings.topics.events))
    if not snapshot:
        store = replace_store(store, root=store.root / "nowhere")
    from_snapshots = set()
    for q, offset in committed(network).items():
        taken = Restorer(settings, broker, detector, store).take(q, Event())
        assert taken is not None
        assert (taken.position, taken.part.committed) == (offset, offset)
        from_snapshots.add(taken.from_snapshot and 0 < taken.start < offset)
        entries = log_entries(broker, settings, q)
        part = detector.fresh(q, Memory(), Memory())
        detector.process(part, [entry for entry in entries if entry.offset < taken.start])
        outcome = detector.process(part, [entry for entry in entries if taken.start <= entry.offset < offset])
        assert taken.statuses == outcome.statuses
        assert 0 < offset < entries[-1].offset
        for name, array in part.arrays().items():
            assert taken.part.arrays()[name].tobytes() == array.tobytes(), name
    assert (True in from_snapshots) is snapshot


def test_a_partition_is_let_go_of_in_mid_restore(network: Network) -> None:
    """No result, and its log is not read to the end."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    for _ in range(6):
        network.step("detect-0")
    settings = network.settings
    store = replace_store(open_store(settings, "c/t"), root=network.settings.path("nowhere"))
    dropped = Event()
    dropped.set()
    assert Restorer(settings, network.broker, Rules.load(settings).detector, store).take(0, dropped) is None


@pytest.mark.parametrize("point", [Point.COMMITTED, Point.WATERMARKS, Point.READ])
def test_a_restore_that_meets_a_broker_away_is_made_again(network: Network, point: Point) -> None:
    """The worker goes on with its other partitions and does not end."""
    started(network, "ingest-0")
    ingested(network)
    all_taken(network, "detect-0")
    network.broker.strike(point, raising(Recoverable("the broker is away")))
    network.restore("detect-0")
    for _ in range(3):
        network.step("detect-0")
    role = network.workers["detect-0"]
    assert role is not None
    assert len(network.restores["detect-0"].calls) == 0
    assert committed(network)[1] > 0
    assert committed(network)[0] == 0
    network.settle()
    network.check()
    assert network.deaths == []


def test_a_worker_that_dies_in_a_restore_leaves_it_to_another(network: Network) -> None:
    """kill -9 in a thread is kill -9."""
    started(network, "ingest-0")
    ingested(network)
    all_taken(network, "detect-0")
    network.broker.strike(Point.READ, raising(Crash()), after=2)
    network.restore("detect-0")
    assert network.workers["detect-0"] is None
    network.settle()
    network.check()


def test_what_cannot_be_rebuilt_ends_the_worker_with_its_message(network: Network) -> None:
    """Raised by a step, as it is, though a thread found it."""
    started(network, "ingest-0")
    ingested(network)
    at = TopicPartition(network.settings.topics.events, 1)
    network.start("detect-0")
    for _ in range(20):
        network.step("detect-0")
    network.leave("detect-0")
    network.broker.truncate(at, network.broker.watermarks(at)[1])
    folder = Path(network.settings.path(network.settings.detect.snapshots))
    for manifest in folder.rglob("manifest.json"):
        manifest.unlink()
    network.start("detect-1")
    network.step("detect-1")
    with pytest.raises(CannotRebuild, match=rf"{at.topic}\[1\]"):
        network.step("detect-1")


def test_a_worker_has_its_place_before_its_model_is_loaded(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart has the session timeout's 6 s to be back in; what takes long comes after that."""
    seen: list[set[str]] = []
    load = Model.load

    def loaded(folder: Path) -> Model:
        seen.append(set(network.broker._group("detector-detect").members))
        return load(folder)

    monkeypatch.setattr(Model, "load", staticmethod(loaded))
    network.start("detect-0")
    assert seen == [{"detector-detect-0"}]


class Gated:
    """Threads whose restores of one partition wait until they may."""

    def __init__(self, threads: int, name: str, partition: int, gate: Event) -> None:
        self._aside = Aside(threads, name)
        self._partition = partition
        self._gate = gate

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> "Future[T]":
        def wait_and_call(*given: Any) -> T:
            assert given[0] != self._partition or self._gate.wait(PATIENCE_S)
            return call(*given)

        return self._aside.submit(wait_and_call, *arguments)

    def shutdown(self) -> None:
        self._aside.shutdown()


@pytest.mark.kafka
def test_on_a_real_broker_the_others_commit_while_one_is_still_restored(kafka: LocalKafka, tmp_path: Path) -> None:
    """Threads, group and transactions as they are; then the slow one comes after, and nothing is missing."""
    settings = settings_for(tmp_path, **{"bootstrap.servers": kafka.address})
    names = {name: f"taking-{name}" for name in ("events", "decisions", "history", "shadow", "commands", "control")}
    names["rejects"] = "taking-rejects"
    settings = replace(settings, group="taking", topics=replace(settings.topics, **names))
    source = replace(settings.sources[0], topic="taking-records")
    settings = replace(settings, sources=(source,), ingest=replace(settings.ingest, batch_records=500))
    ats = [TopicPartition(settings.topics.events, q) for q in range(settings.topics.partitions)]
    gate, slow = Event(), 2

    def executor(threads: int, name: str) -> Executor:
        return Gated(threads, name, slow, gate) if name == "restore" else Aside(threads, name)

    with closing(KafkaBroker(settings.kafka)) as broker:
        broker.create(topic_specs(settings, source_partitions=1))
        broker.publish("taking-records", [(None, value) for value in traffic(5_000)], 0)
        ingest = IngestRole(settings, broker, Metrics(), "0")
        deadline = time.monotonic() + PATIENCE_S
        while broker.committed("taking-ingest", [TopicPartition("taking-records", 0)]).popitem()[1] != 5_000:
            ingest.step()
            assert time.monotonic() < deadline
        metrics = Metrics()
        detect = DetectRole(settings, broker, metrics, "0", executor=executor)

        def done() -> set[int]:
            """The partitions of which detect has committed everything but the last marker."""
            offsets = broker.committed("taking-detect", ats)
            return {at.partition for at, offset in offsets.items() if offset == broker.watermarks(at)[1] - 1}

        others = {at.partition for at in ats} - {slow}
        while done() != others:
            detect.step()
            assert time.monotonic() < deadline
        assert metrics.value("replaying") == 1
        assert broker.committed("taking-detect", [ats[slow]]) == {ats[slow]: None}
        gate.set()
        while done() != others | {slow}:
            detect.step()
            assert time.monotonic() < deadline
        assert metrics.value("replaying") == 0
        ingest.close()
        detect.close()
        published = published_decisions(broker, settings)
        assert published == expected_decisions(broker, settings)
        assert published.total() > 0
