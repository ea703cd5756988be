"""Faults one by one on the simulated broker: each is a short story that once went wrong, or could."""

from collections.abc import Callable
from pathlib import Path

import pytest

from detector.broker import TopicPartition
from detector.broker.simulated import Point
from detector.errors import Abort, Recoverable
from tests.service.harness import everything
from tests.service.simulation import Crash, Network


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(tmp_path, monkeypatch)


def raising(error: BaseException) -> Callable[[], None]:
    """An action that raises it."""

    def act() -> None:
        raise error

    return act


def started(network: Network, *names: str) -> None:
    """These workers run and share the partitions; 60 records wait in each of the sources' partitions."""
    for name in names:
        network.start(name)
    for _ in range(2):
        for name in names:
            network.step(name)
    for partition in range(3):
        network.publish(60, partition)


def ingested(network: Network) -> None:
    """The internal log holds everything."""
    for _ in range(30):
        network.step("ingest-0")


def step_until_it_decides(network: Network) -> None:
    """Detect has committed decisions with their offsets, and the markers of the decisions are under way."""
    topics = network.settings.topics
    network.broker.delay_markers(topics.decisions, 4_000)
    while not everything(network.broker, topics.history):
        network.step("detect-0")
    assert any(log.stable < log.end for at, log in network.broker._logs.items() if at.topic == topics.decisions)


def test_undisturbed_everything_is_there_once(network: Network) -> None:
    """Two workers of each role, and commands among the records."""
    started(network, "ingest-0", "ingest-1", "detect-0", "detect-1")
    for action in ("block", "release", "allow"):
        network.command(action)
    network.settle()
    network.check()
    assert network.deaths == []


def test_ingest_reads_an_aborted_batch_again_though_the_broker_is_away_meanwhile(network: Network) -> None:
    """The poll after an abort is where a broker that went away is noticed: the batch must not be forgotten."""
    started(network, "ingest-0", "detect-0")
    network.broker.strike(Point.OFFSETS, raising(Abort("a broker is away")))
    network.broker.strike(Point.POLL, raising(Recoverable("it still is")), after=1)
    for _ in range(2):
        network.step("ingest-0")
    network.settle()
    network.check()


def test_ingest_does_not_read_again_what_another_worker_has_done_meanwhile(network: Network) -> None:
    """Its partitions go to another after an abort, which commits further, and come back before it seeks."""
    started(network, "ingest-0", "detect-0")
    group, instance = network.identity("ingest-0")

    def another_works() -> None:
        network.broker.expire(group, instance)
        network.start("ingest-1")
        for _ in range(4):
            network.step("ingest-1")
        network.leave("ingest-1")

    network.broker.strike(Point.OFFSETS, raising(Abort("a broker is away")))
    network.broker.strike(Point.POLL, another_works, after=1)
    for _ in range(2):
        network.step("ingest-0")
    network.settle()
    network.check()


@pytest.mark.parametrize("after", range(1, 8))
def test_detect_forgets_messages_it_has_put_aside_when_it_loses_their_partition(network: Network, after: int) -> None:
    """They are read again from where the partition is restored; taken twice, or too early, state would be wrong."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    network.step("detect-0")
    network.broker.strike(Point.OFFSETS, raising(Abort("a broker is away")))
    network.broker.strike(Point.POLL, lambda: network.broker.expire(*network.identity("detect-0")), after=after)
    network.step("detect-0")
    network.settle()
    network.check()


def test_detect_forgets_messages_it_has_put_aside_though_their_partition_comes_back_at_once(network: Network) -> None:
    """In the very poll whose messages they are put before."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    network.step("detect-0")
    network.broker.strike(Point.OFFSETS, raising(Abort("a broker is away")))
    network.step("detect-0")
    network.broker.expire(*network.identity("detect-0"))
    network.settle()
    network.check()


def test_detect_publishes_what_it_kept_though_nothing_more_comes(network: Network) -> None:
    """The broker went away while it settled after an abort; it is back, and the stream is still."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    for _ in range(60):
        network.broker.strike(Point.OFFSETS, raising(Abort("a broker is away")))
        network.broker.strike(Point.POLL, raising(Recoverable("it still is")), after=1)
        network.step("detect-0")
        network.broker.spare()
        network.step("detect-0")
    assert network.is_done()
    network.check()


def test_a_worker_that_takes_a_partition_waits_for_decisions_whose_markers_are_late(network: Network) -> None:
    """Offsets are stable, the decisions committed with them not visible yet; their watermark says that they come."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    step_until_it_decides(network)
    network.broker.expire(*network.identity("detect-0"))
    network.start("detect-1")
    network.settle()
    network.check()


def test_a_worker_that_did_not_wait_for_them_would_decide_again(network: Network) -> None:
    """So the test before this one can fail: here the last stable offset is taken for the end of the decisions."""

    def watermarks(at: TopicPartition) -> tuple[int, int]:
        log = network.broker._log(at)
        return log.base, log.stable if at.topic == network.settings.topics.decisions else log.end

    started(network, "ingest-0", "detect-0")
    ingested(network)
    step_until_it_decides(network)
    network.broker.expire(*network.identity("detect-0"))
    network.start("detect-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network.broker, "watermarks", watermarks)
        network.step("detect-1")
        network.restore("detect-1")
    network.settle()
    with pytest.raises(AssertionError, match="decisions"):
        network.check()


@pytest.mark.parametrize("point", list(Point))
@pytest.mark.parametrize("role", ["ingest", "detect"])
def test_a_worker_dies_anywhere_and_another_goes_on(network: Network, role: str, point: Point) -> None:
    """Its partitions are missed after its session timeout, its transaction ends by its own."""
    started(network, "ingest-0", "detect-0")
    if role == "detect":
        ingested(network)
    if point in (Point.ABORT, Point.ABORTED_UNHEARD):
        network.broker.strike(Point.OFFSETS, raising(Abort("a broker is away")))
    if point in (Point.COMMITTED, Point.WATERMARKS, Point.READ):
        network.broker.expire(*network.identity(f"{role}-0"))
    network.broker.strike(point, raising(Crash()))
    network.start(f"{role}-1")
    for _ in range(3):
        network.step(f"{role}-0")
    network.settle()
    network.check()


@pytest.mark.parametrize(
    ("point", "deaths"), [(Point.BEGIN, 0), (Point.OFFSETS, 0), (Point.COMMIT, 1)], ids=["begin", "offsets", "commit"]
)
def test_a_zombie_publishes_nothing(network: Network, point: Point, deaths: int) -> None:
    """It stood still for longer than its session, and another has its partitions and decides.

    Its offsets are refused, and it joins again; where they were accepted before, the other waited until its
    transaction had timed out, and it is fenced.
    """
    started(network, "ingest-0", "detect-0")
    ingested(network)

    def another_works() -> None:
        network.broker.expire(*network.identity("detect-0"))
        network.start("detect-1")
        for _ in range(3):
            network.step("detect-1")

    network.broker.strike(point, another_works)
    network.step("detect-0")
    assert ["Fenced" in death for death in network.deaths] == [True] * deaths
    network.settle()
    network.check()


@pytest.mark.parametrize("renamed", [False, True], ids=["before it has its name", "after"])
@pytest.mark.parametrize("error", [Crash(), OSError("no space left on device")], ids=["killed", "disk full"])
def test_a_snapshot_that_fails_costs_nothing_but_time(network: Network, error: BaseException, renamed: bool) -> None:
    """The worker dies of a kill only; another takes the older snapshot, or the new one if it is whole."""
    started(network, "ingest-0", "detect-0")
    ingested(network)
    network.at_sync = [lambda: None, raising(error)] if renamed else [raising(error)]
    for _ in range(3):
        network.broker.advance(1_500)
        network.step("detect-0")
    assert network.at_sync == []
    assert len(network.deaths) == isinstance(error, Crash)
    network.settle()
    network.check()


def test_every_workers_lease_is_lost_at_once(network: Network) -> None:
    """As when the coordinator moves: all join again, and what they had in hand is done once."""
    names = ("ingest-0", "ingest-1", "detect-0", "detect-1")
    started(network, *names)
    for _ in range(5):
        for name in names:
            network.step(name)
        for name in names:
            network.broker.expire(*network.identity(name))
    network.settle()
    network.check()
    assert network.deaths == []
