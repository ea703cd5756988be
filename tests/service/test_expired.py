"""A partition whose log has expired while it was idle: what may be taken on, and what must be refused."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.config import Settings
from detector.errors import CannotRebuild
from detector.metrics import Metrics
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from tests.service.harness import RECORDS, published_decisions, settings_for, traffic
from tests.service.test_roles import broker_with, committed, drain


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    return traffic(6_000)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Every batch a message or two, so that there is a marker behind each."""
    settings = settings_for(tmp_path)
    return replace(settings, ingest=replace(settings.ingest, batch_records=500))


def worked_through(settings: Settings, records: list[bytes]) -> tuple[MemoryBroker, list[TopicPartition]]:
    """Detect has committed everything and stopped; of each partition only its last marker is ahead."""
    broker = broker_with(settings, records)
    detect = DetectRole(settings, broker, Metrics(), "0")
    drain(IngestRole(settings, broker, Metrics(), "0"), detect)
    detect.close()
    ats = [TopicPartition(settings.topics.events, q) for q in range(settings.topics.partitions)]
    assert [broker.watermarks(at)[1] - committed(broker, at) for at in ats] == [1] * len(ats)
    return broker, ats


def test_a_log_that_has_expired_altogether_was_counted_if_only_a_marker_is_gone(
    settings: Settings, records: list[bytes], tmp_path: Path
) -> None:
    """
    log      ... row row marker |          a row at c would have its own marker at c + 1 or later, and that
    offsets             c       low = high   would still be there or the log not end here: c held a marker

    What is decided from there on is what is decided where nothing has expired.
    """
    broker, ats = worked_through(settings, records[:4_000])
    other = replace(settings, detect=replace(settings.detect, snapshots=str(tmp_path / "other")))
    undisturbed, _ = worked_through(other, records[:4_000])
    before = published_decisions(broker, settings)
    for at in ats:
        broker.truncate(at, broker.watermarks(at)[1])
        assert committed(broker, at) == broker.watermarks(at)[0] - 1
    for one, its in ((broker, settings), (undisturbed, other)):
        detect = DetectRole(its, one, Metrics(), "0")
        drain(detect)
        one.publish(RECORDS, [(None, value) for value in records[4_000:]], 0)
        drain(IngestRole(its, one, Metrics(), "0"))
        drain(detect)
    assert published_decisions(broker, settings) == published_decisions(undisturbed, other)
    assert published_decisions(broker, settings).total() > before.total()


@pytest.mark.parametrize("gone", ["rows", "more than a marker", "a marker, and the log goes on"])
def test_a_log_of_which_rows_may_be_gone_is_refused(settings: Settings, records: list[bytes], gone: str) -> None:
    """Whether what is gone held rows cannot be known: nothing goes on in silence."""
    broker, ats = worked_through(settings, records[:4_000])
    producer = broker.producer("somebody")
    producer.begin()
    producer.send(ats[1].topic, 1, b"")
    if gone == "more than a marker":
        producer.abort()
    else:
        producer.commit({}, None)
    low = broker.watermarks(ats[1])[1] if gone != "a marker, and the log goes on" else committed(broker, ats[1]) + 2
    broker.truncate(ats[1], low)
    with pytest.raises(CannotRebuild, match=r"events.by-number\[1\]: the committed offset .* lies outside the log"):
        drain(DetectRole(settings, broker, Metrics(), "0"))


def test_without_a_snapshot_at_the_committed_offset_an_expired_log_is_refused(
    settings: Settings, records: list[bytes]
) -> None:
    """Nothing is lost of the rows, but their state is."""
    broker, ats = worked_through(settings, records[:4_000])
    for at in ats:
        broker.truncate(at, broker.watermarks(at)[1])
    for manifest in settings.path(settings.detect.snapshots).rglob("manifest.json"):
        manifest.unlink()
    with pytest.raises(CannotRebuild, match=r"no usable snapshot"):
        drain(DetectRole(settings, broker, Metrics(), "0"))
