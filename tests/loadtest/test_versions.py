"""Which version decided where, as `control` tells, and an oracle that follows it."""

from pathlib import Path

import msgspec
import pytest

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.config import Settings
from detector.errors import Fatal
from detector.metrics import Metrics
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from loadtest.history import traffic
from loadtest.oracle import RECORDS, Oracle
from loadtest.versions import InForce, Stretch, Versions
from tests.service.harness import settings_for

FIRST, SECOND, THIRD = (InForce(mode, "model", "policy") for mode in ("enforce", "flag", "shadow"))
SIZE = 6_000


def told(*lines: tuple[int, int, str]) -> Versions:
    """Heard of partition, offset, mode; enforce came first."""
    broker = MemoryBroker()
    broker.create(topic_specs(settings_for(Path("/nowhere"))))
    values: list[tuple[bytes | None, bytes | None]] = [(b"source:x", b"{}"), (b"3@7", None)]
    for partition, offset, mode in lines:
        value = {"partition": partition, "offset": offset, "mode": mode, "model": "model", "policy": "policy"}
        values.append((f"{partition}@{offset}".encode(), msgspec.json.encode(value)))
    broker.publish("control", values, 0)
    at = TopicPartition("control", 0)
    versions = Versions(FIRST)
    versions.hear(broker.read(at, *broker.watermarks(at)))
    return versions


def test_a_stretch_ends_where_another_version_took_over() -> None:
    """
    0 ...... 10 ...... 20 ......
    enforce  | flag    | shadow        of partition 1; nothing is said of partition 2
    """
    versions = told((1, 10, "flag"), (1, 20, "shadow"))
    assert versions.stretches(1, 0, 30) == [Stretch(0, 10, FIRST), Stretch(10, 20, SECOND), Stretch(20, 30, THIRD)]
    assert versions.stretches(1, 10, 20) == [Stretch(10, 20, SECOND)]
    assert versions.stretches(1, 12, 25) == [Stretch(12, 20, SECOND), Stretch(20, 25, THIRD)]
    assert versions.stretches(2, 0, 30) == [Stretch(0, 30, FIRST)]


def test_of_what_is_said_of_one_offset_the_last_holds() -> None:
    """A worker that took a partition and died before it decided anything, and its successor."""
    assert told((1, 10, "flag"), (1, 10, "shadow")).stretches(1, 5, 15) == [
        Stretch(5, 10, FIRST),
        Stretch(10, 15, THIRD),
    ]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


def changed(settings: Settings, mode: str) -> Settings:
    tree = msgspec.to_builtins(settings)
    tree["verdict"]["mode"] = mode
    return msgspec.convert(tree, Settings)


@pytest.fixture
def broker(settings: Settings) -> MemoryBroker:
    """A stream of which each third was decided in another mode."""
    broker = MemoryBroker()
    broker.create(topic_specs(settings, source_partitions=2))
    values = traffic(SIZE, seed=3)[: 3 * SIZE]
    third = len(values) // 3
    ingest = IngestRole(settings, broker, Metrics(), "0")
    for number, mode in enumerate(("enforce", "shadow", "flag")):
        detect = DetectRole(changed(settings, mode), broker, Metrics(), "0")
        broker.publish(RECORDS, [(None, value) for value in values[number * third : (number + 1) * third]], 0)
        while ingest.step() or detect.step() or ingest.step() or detect.step():
            pass
        detect.close()
    return broker


def test_the_oracle_follows_changes_of_mode(broker: MemoryBroker, settings: Settings) -> None:
    """What was decided aside too; looked at once in the middle or not."""
    oracle = Oracle(broker, settings)
    oracle.advance()
    assert (oracle.lost(), oracle.repeated(), oracle.examples()) == (0, 0, [])
    assert {by.mode for by, decisions in oracle.decided_by.items() if decisions} >= {"shadow", "flag"}


def test_what_control_does_not_tell_shows_as_wrong_decisions(broker: MemoryBroker, settings: Settings) -> None:
    """A change that nobody wrote down."""
    broker.delete([settings.topics.control])
    broker.create(topic_specs(settings))
    oracle = Oracle(broker, settings)
    oracle.advance()
    assert oracle.lost() > 0
    assert oracle.repeated() > 0


def test_a_version_that_the_run_does_not_have_is_named(broker: MemoryBroker, settings: Settings) -> None:
    """It could not be judged."""
    value = {"partition": 0, "offset": 0, "mode": "flag", "model": "stranger-1", "policy": "p"}
    broker.publish(settings.topics.control, [(b"0@0", msgspec.json.encode(value))], 0)
    with pytest.raises(Fatal, match="stranger-1"):
        Oracle(broker, settings).advance()
