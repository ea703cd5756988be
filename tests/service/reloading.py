"""Reloading: both roles run on a broker in memory while files of their deployment change."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from detector.config import Settings
from detector.metrics import Metrics
from detector.replay import Replay
from tests.service.harness import RECORDS, traffic

START_MS = 1_794_000_000_000
LIMIT_S = 60.0


@contextmanager
def half_way(settings: Settings, metrics: Metrics, size: int) -> Iterator[Replay]:
    """Both roles, which have worked off the first half of `size` records."""
    with Replay(settings, metrics, lambda: START_MS) as running:
        running.publish(RECORDS, traffic(size)[: size // 2])
        running.settle()
        yield running


def rewrite(path: Path, **fields: object) -> None:
    """Other sections in a YAML file, in its place at once: as an editor or a mounted volume puts it there."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8")) | fields
    beside = path.with_suffix(".new")
    beside.write_text(yaml.safe_dump(tree), encoding="utf-8")
    beside.replace(path)


def wait_reloaded(replay: Replay, metrics: Metrics, outcome: str, times: int = 1) -> None:
    """The loop goes round until the files have been loaded, or refused."""
    until = time.monotonic() + LIMIT_S
    while metrics.value("reloads", outcome=outcome) < times:
        assert time.monotonic() < until
        replay.settle()
        time.sleep(0.01)
