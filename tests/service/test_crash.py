"""kill -9 in mid-stream, on a real Kafka: nothing lost, nothing twice.

Processes of both roles work through 200,000 records while detect is killed again and again.
What the topics hold afterwards is compared with the two oracles of `harness`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import yaml
from msgspec import structs

from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import Settings, Topics, load
from detector.errors import Recoverable
from tests.service.harness import (
    RECORDS,
    expected_outcomes,
    expected_rows,
    published_decisions,
    published_rows,
    published_served,
    settings_tree,
    source_positions,
    traffic,
)

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SIZE = 200_000
CHUNKS = 20
KILLS = 6
"""Each falls when detect has been seen at work and 5,000 more records have just been written."""
SEED = 20261124
DEADLINE_S = 240


class Process:
    """One role as a process of its own, which can be killed and started again."""

    def __init__(self, role: str, config: Path, log: Path) -> None:
        self._command = [sys.executable, "-m", "detector.cli", role, "--config", str(config)]
        self.log = log
        self.started = 0
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=Path.cwd())
        self.started += 1

    def kill(self) -> None:
        self._child.send_signal(signal.SIGKILL)
        self._child.wait(10)

    def stop(self) -> int:
        self._child.send_signal(signal.SIGTERM)
        return self._child.wait(30)

    def alive(self) -> bool:
        return self._child.poll() is None


@pytest.fixture
def settings(kafka: LocalKafka, tmp_path: Path) -> Settings:
    """A configuration file of its own topics' names, read back."""
    tree = settings_tree(tmp_path, **{"bootstrap.servers": kafka.address})
    names = {name: f"crash.{topic}" for name, topic in structs.asdict(Topics()).items() if isinstance(topic, str)}
    tree["topics"] = {"partitions": 4, **names}
    path = tmp_path / "detector.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return load(path, os.environ | {"NUMBA_DISABLE_JIT": "0"})


@pytest.fixture
def processes(settings: Settings, tmp_path: Path) -> Iterator[dict[str, Process]]:
    config = tmp_path / "detector.yaml"
    running: dict[str, Process] = {}
    broker = KafkaBroker(settings.kafka)
    broker.create(topic_specs(settings, source_partitions=3))
    broker.close()
    try:
        for role in ("ingest", "detect"):
            running[role] = Process(role, config, tmp_path / f"{role}.log")
        yield running
    finally:
        for process in running.values():
            if process.alive():
                process.kill()


def committed(broker: KafkaBroker, group: str, ats: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The group's offsets once no transaction is pending on them."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            return {at: offset or 0 for at, offset in broker.committed(group, ats).items()}
        except Recoverable:
            assert time.monotonic() < end
            time.sleep(0.02)


def partitions_of(broker: KafkaBroker, topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in range(broker.partitions()[topic])]


def position(broker: KafkaBroker, settings: Settings) -> int:
    """How far detect has committed, over all partitions."""
    ats = partitions_of(broker, settings.topics.events)
    return sum(committed(broker, f"{settings.group}-detect", ats).values())


def is_at_work(broker: KafkaBroker, settings: Settings, before: int) -> bool:
    """Detect has come past `before`, and past a third of what stands in the log."""
    ats = partitions_of(broker, settings.topics.events)
    end = sum(broker.watermarks(at)[1] for at in ats)
    return position(broker, settings) > max(before, end // 3)


def has_finished(broker: KafkaBroker, settings: Settings) -> bool:
    """All records are ingested, and of the internal log nothing but commit markers is ahead of detect."""
    sources = partitions_of(broker, RECORDS)
    if sum(committed(broker, f"{settings.group}-ingest", sources).values()) < SIZE:
        return False
    ats = partitions_of(broker, settings.topics.events)
    done = committed(broker, f"{settings.group}-detect", ats)
    return not any(list(broker.read(at, done[at], broker.watermarks(at)[1])) for at in ats)


def wait_for(condition: Callable[[], bool], processes: dict[str, Process]) -> None:
    """`condition` holds; fails after the deadline, or when a process has ended by itself."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        for process in processes.values():
            assert process.alive(), process.log.read_text("utf-8")
        assert time.monotonic() < end, {name: process.log.read_text("utf-8") for name, process in processes.items()}
        time.sleep(0.02)


def test_detect_is_killed_in_mid_stream_and_nothing_is_lost_or_doubled(
    settings: Settings, processes: dict[str, Process], tmp_path: Path
) -> None:
    """Rows equal the sources', decisions and kept vectors an undisturbed pass's: as multisets, with equal contents."""
    broker = KafkaBroker(settings.kafka)
    chance = random.Random(SEED)
    chunks = [(None, value) for value in traffic(SIZE)]
    per_chunk = SIZE // CHUNKS
    kill_after = set(chance.sample(range(CHUNKS), KILLS))
    for number in range(CHUNKS):
        before = position(broker, settings)
        chunk = chunks[number * per_chunk : (number + 1) * per_chunk]
        broker.publish(RECORDS, chunk[: per_chunk // 2], number % 3)
        if number in kill_after:
            wait_for(partial(is_at_work, broker, settings, before), processes)
        broker.publish(RECORDS, chunk[per_chunk // 2 :], number % 3)
        if number in kill_after:
            time.sleep(chance.uniform(0.0, 0.3))
            processes["detect"].kill()
            processes["detect"].start()
    wait_for(partial(has_finished, broker, settings), processes)
    assert {name: process.stop() for name, process in processes.items()} == {"ingest": 0, "detect": 0}

    positions = source_positions(broker)
    assert len(positions) == SIZE
    assert published_rows(broker, settings) == expected_rows(settings, positions)
    published = published_decisions(broker, settings)
    expected, served = expected_outcomes(broker, settings)
    assert published - expected == published.__class__(), "published, but never decided by an undisturbed pass"
    assert expected - published == published.__class__(), "decided, but never published"
    assert published.total() > 0
    assert published_served(broker, settings) == served
    assert served.total() > published.total()
    assert processes["detect"].started == 1 + KILLS
    broker.close()
