"""`detector archive` as a process of its own on a real Kafka: killed or stopped in mid-write, it keeps a row once."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import yaml

from detector.broker import TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.cli import main
from detector.learning.archive import Archive
from tests.commands.test_archive import EVENTS, in_archive, in_log, publish
from tests.service.harness import settings_tree

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

KILLS = 5
DEADLINE_S = 120.0
MESSAGES, EACH = 60, 400
"""Rows of a partition between two deaths: enough that a process is seen at writing them."""


class Archiving:
    """The command, looking at the log every second."""

    def __init__(self, config: Path, root: Path, log: Path) -> None:
        command = ["archive", "--config", str(config), "--dir", str(root), "--pause-s", "1"]
        self._log = log.open("ab")
        self.child = subprocess.Popen(
            [sys.executable, "-m", "detector.cli", *command], stdout=self._log, stderr=self._log
        )

    def end(self, how: signal.Signals) -> int:
        self.child.send_signal(how)
        code = self.child.wait(60)
        self._log.close()
        return code


@pytest.fixture
def broker(kafka: LocalKafka) -> Iterator[KafkaBroker]:
    """The topic, empty, and no topic of vectors: there need not be one."""
    with closing(KafkaBroker(kafka.options)) as broker:
        broker.delete([EVENTS]) if EVENTS in broker.partitions() else None
        broker.create([TopicSpec(EVENTS, 2)])
        yield broker
        broker.delete([EVENTS])


@pytest.fixture
def config(tmp_path: Path, kafka: LocalKafka) -> Path:
    path = tmp_path / "detector.yaml"
    tree = settings_tree(tmp_path, **{"bootstrap.servers": kafka.address})
    tree["topics"] = {"partitions": 2, "vectors": "archive.none"}
    path.write_text(yaml.safe_dump(tree))
    return path


def wait_for(condition: Callable[[], bool], archiving: Archiving, log: Path) -> None:
    """Without a pause: what is waited for is over within milliseconds."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert archiving.child.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()


def being_written(root: Path, since_s: float = 0.0) -> list[Path]:
    """Files that are not whole, and that somebody has written to since then: a killed process leaves some, too."""
    found = []
    for path in root.glob("*/.*.part"):
        with suppress(FileNotFoundError):  # it has just got its name
            if path.stat().st_mtime >= since_s:
                found.append(path)
    return found


def test_killed_in_mid_write_and_stopped_in_mid_write_every_row_is_there_once(
    broker: KafkaBroker, config: Path, tmp_path: Path
) -> None:
    """kill -9 again and again while a file is half written; SIGTERM there ends in order, with what was begun whole."""
    root, log = tmp_path / "archive", tmp_path / "archive.log"
    left = 0
    for number in range(KILLS + 1):
        for q in range(2):
            publish(broker, q, number * 100_000, MESSAGES, EACH)
        started_s = time.time() + 0.05  # the clock of files may stand behind this one by a tick
        archiving = Archiving(config, root, log)

        def at_it(since_s: float = started_s) -> bool:
            return bool(being_written(root, since_s))

        wait_for(at_it, archiving, log)
        if number < KILLS:
            archiving.end(signal.SIGKILL)
            left += len(being_written(root))
        else:
            assert archiving.end(signal.SIGTERM) == 0, log.read_text()
            assert being_written(root) == []
            for q, progress in Archive(root).progress().items():
                assert in_archive(root, q) == [row for row in in_log(broker, q) if row[0] < progress.next]
    assert left > 0, "no kill fell within a write"
    assert main(["archive", "--config", str(config), "--dir", str(root), "--once"]) == 0
    for q in range(2):
        archived, logged = in_archive(root, q), in_log(broker, q)
        assert archived == logged
        assert len(logged) == (KILLS + 1) * MESSAGES * EACH
        assert set(Counter((offset, index) for offset, index, _ in archived).values()) == {1}
    assert being_written(root) == []


def test_it_goes_on_until_it_is_stopped(broker: KafkaBroker, config: Path, tmp_path: Path) -> None:
    """What is published while it runs is archived by its next look; SIGTERM between two looks ends it at once."""
    root, log = tmp_path / "archive", tmp_path / "archive.log"
    archiving = Archiving(config, root, log)
    for number in range(3):
        publish(broker, 0, number * 1_000)
        rows = len(in_log(broker, 0))

        def caught_up(rows: int = rows) -> bool:
            time.sleep(0.05)
            return 0 in Archive(root).progress() and len(in_archive(root, 0)) == rows

        wait_for(caught_up, archiving, log)
    assert archiving.end(signal.SIGTERM) == 0
    assert in_archive(root, 0) == in_log(broker, 0)
    assert os.listdir(root / "vectors") != []
