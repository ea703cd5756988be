"""Heartbeats travel from their topic through both roles to a commit, and count as nothing else."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker, MemoryProducer
from detector.broker.topics import topic_specs
from detector.config import Settings
from detector.errors import Abort
from detector.metrics import Metrics
from detector.pipeline import Entry, Outcome
from detector.records import BEAT_ID
from detector.service import Role
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.rules import Rules
from detector.verdict.memory import Memory
from tests.service.harness import (
    RECORDS,
    everything,
    expected_decisions,
    expected_rows,
    log_entries,
    published_decisions,
    published_rows,
    settings_for,
    source_positions,
    traffic,
)

EVERY_S = 10
PARTITIONS = 4


class Clock:
    """What the roles and the broker take for now."""

    def __init__(self) -> None:
        self.now_s = 1_794_000_000.0

    def ms(self) -> int:
        return int(1000 * self.now_s)

    def s(self) -> float:
        return self.now_s


class Running:
    """Both roles on a broker in memory, with a clock that the test turns."""

    def __init__(self, settings: Settings, workers: int = 1) -> None:
        self.settings, self.clock = settings, Clock()
        self.broker = MemoryBroker(self.clock.ms)
        self.broker.create(topic_specs(settings))
        self.metrics = Metrics()
        self.ingest = [IngestRole(settings, self.broker, self.metrics, f"{i}", self.clock.s) for i in range(workers)]
        self.detect = DetectRole(settings, self.broker, self.metrics, "0", self.clock.s)

    def settle(self, *roles: Role) -> None:
        """Nothing is left to do."""
        idle = 0
        while idle < 3:
            idle = 0 if sum(role.step() for role in roles or (*self.ingest, self.detect)) else idle + 1

    def heard(self) -> float:
        """Heartbeats that have come through."""
        samples = [s for family in self.metrics.heartbeat_seconds.collect() for s in family.samples]
        return next(s.value for s in samples if s.name.endswith("_count"))

    def spent_s(self) -> float:
        """How long all of them took together."""
        samples = [s for family in self.metrics.heartbeat_seconds.collect() for s in family.samples]
        return next(s.value for s in samples if s.name.endswith("_sum"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_for(tmp_path)
    return replace(made, ingest=replace(made.ingest, heartbeat_s=EVERY_S))


def test_one_comes_through_every_partition_at_its_interval(settings: Settings) -> None:
    """Without any traffic: at once, then not before the interval has passed."""
    running = Running(settings)
    running.settle()
    assert running.heard() == PARTITIONS
    running.clock.now_s += EVERY_S - 1
    running.settle()
    assert running.heard() == PARTITIONS
    running.clock.now_s += 1
    running.settle()
    assert running.heard() == 2 * PARTITIONS
    told = {s.labels["partition"]: s.value for f in running.metrics.heartbeat_timestamp.collect() for s in f.samples}
    assert told == {str(q): running.clock.now_s for q in range(PARTITIONS)}


def test_its_time_is_from_its_topic_to_detects_commit(settings: Settings) -> None:
    """Ingest has sent it on; detect comes seven seconds later."""
    running = Running(settings)
    running.settle(*running.ingest)
    running.clock.now_s += 7
    running.settle(running.detect)
    assert (running.heard(), running.spent_s()) == (PARTITIONS, 7 * PARTITIONS)


def test_several_ingest_workers_send_one_each_partition(settings: Settings) -> None:
    """Who holds a partition of their topic sends there: nobody else does."""
    running = Running(settings, workers=2)
    running.settle()
    before = running.heard()
    running.clock.now_s += EVERY_S
    running.settle()
    assert running.heard() == before + PARTITIONS


def test_it_is_missed_where_ingest_does_not_run(settings: Settings) -> None:
    """The time stays that at which the partition was taken: one that never comes is missed too."""
    running = Running(settings)
    running.settle(running.detect)
    taken = running.clock.now_s
    running.clock.now_s += 100
    running.settle(running.detect)
    assert running.metrics.value("heartbeat_timestamp") == PARTITIONS * taken


def test_nothing_is_sent_unless_asked_for(tmp_path: Path) -> None:
    """Nor is there a topic for it, nor a time that would look old."""
    running = Running(settings_for(tmp_path))
    running.settle()
    assert running.settings.topics.heartbeats not in running.broker.partitions()
    assert running.heard() == 0
    assert [s for f in running.metrics.heartbeat_timestamp.collect() for s in f.samples] == []


def test_it_is_no_traffic(settings: Settings) -> None:
    """No row, no record, no batch, no latency of traffic is counted for it."""
    running = Running(settings)
    running.settle()
    metrics = running.metrics
    assert running.heard() > 0
    assert (metrics.value("records"), metrics.value("rows"), metrics.value("rejects")) == (0, 0, 0)
    for histogram in (metrics.latency_seconds, metrics.batch_size):
        assert [s for f in histogram.collect() for s in f.samples if s.name.endswith("_count")] == []


def test_rows_and_decisions_are_those_without_it(settings: Settings) -> None:
    """The single-pass oracles see the same rows, once, and the same decisions, heartbeats among them or not."""
    running = Running(settings)
    records = traffic(12_000)
    for start in range(0, len(records), 3_000):
        running.broker.publish(RECORDS, [(None, value) for value in records[start : start + 3_000]], partition=0)
        running.clock.now_s += EVERY_S
        running.settle()
    assert running.heard() >= 4 * PARTITIONS
    assert published_rows(running.broker, settings) == expected_rows(settings, source_positions(running.broker))
    decided = published_decisions(running.broker, settings)
    assert decided == expected_decisions(running.broker, settings)
    assert decided.total() > 0


@pytest.mark.parametrize("victim", ["ingest", "detect"])
def test_one_whose_transaction_is_aborted_comes_through_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """Detect tells of it when its commit has succeeded, however often it was tried."""
    running = Running(settings)
    running.settle()
    before = running.heard()
    commit, failures = MemoryProducer.commit, [victim]

    def failing(self: MemoryProducer, offsets: dict[TopicPartition, int], metadata: object) -> None:
        topic = settings.topics.heartbeats if victim == "ingest" else settings.topics.events
        if failures and any(at.topic == topic for at in offsets):
            failures.pop()
            raise Abort("as if the group had moved on")
        commit(self, offsets, metadata)

    monkeypatch.setattr(MemoryProducer, "commit", failing)
    running.clock.now_s += EVERY_S
    running.settle()
    assert failures == []
    assert running.heard() == before + PARTITIONS


@pytest.mark.parametrize("content", [b"", b"-1", b"soon", b"1e3", b"9" * 400])
def test_one_that_is_not_what_ingest_writes_says_nothing(settings: Settings, content: bytes) -> None:
    """And stops nothing."""
    detector = Rules.load(settings).detector
    part = detector.fresh(0, Memory(), Memory())
    outcome = detector.process(part, [Entry(0, b"", [("schema", BEAT_ID), ("beat", content)])])
    assert outcome == Outcome()


def test_they_leave_one_behind_when_their_topic_is_compacted(settings: Settings) -> None:
    """All of a partition have one key; compaction takes none that has no key."""
    running = Running(settings)
    for _ in range(3):
        running.settle()
        running.clock.now_s += EVERY_S
    keys = [(partition, key) for partition, key, _ in everything(running.broker, settings.topics.heartbeats)]
    assert len(keys) == 3 * PARTITIONS
    assert set(keys) == {(q, b"beat") for q in range(PARTITIONS)}


def test_its_message_holds_no_row(settings: Settings) -> None:
    """Whoever reads the internal log takes it for a message without rows, and none is rejected."""
    running = Running(settings)
    running.settle()
    entries = [entry for q in range(PARTITIONS) for entry in log_entries(running.broker, settings, q)]
    beats = [entry for entry in entries if dict(entry.headers)["schema"] == BEAT_ID]
    assert (len(beats), {entry.value for entry in beats}) == (PARTITIONS, {b""})
    assert published_rows(running.broker, settings).total() == 0
