"""Partitions that are restored beside the stream: the others go on, and whatever happens meanwhile costs nothing."""

from pathlib import Path

import pytest

from detector.broker import TopicPartition
from detector.broker.simulated import Point
from detector.errors import CannotRebuild, Recoverable
from tests.service.simulation import Crash, Network
from tests.service.test_faults import ingested, raising, started


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
