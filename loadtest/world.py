"""The world of a run: a broker behind a proxy, a fleet, a history being written, and an oracle.

Nemeses strike at it. It can tell how far each role has committed, wait until all that was
written has been decided, and say what differs then.
"""

import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import load
from detector.errors import Fatal
from loadtest.configuration import configure
from loadtest.fleet import Fleet
from loadtest.history import Writer, chapters
from loadtest.oracle import Oracle
from loadtest.progress import POLL_S, RECOVER_S, Progress
from loadtest.proxy import Proxy

SOURCE_PARTITIONS: Final = 3
PARTITIONS: Final = 4
START_S: Final = 90.0
MAX_FUTURE_S: Final = 120
"""As in production; the history lies in the past."""


@dataclass(kw_only=True)
class World(Progress):
    """What nemeses strike at."""

    folder: Path
    config: Path
    """What processes read when they start."""
    kafka: LocalKafka
    proxy: Proxy
    fleet: Fleet
    writer: Writer
    oracle: Oracle
    chance: random.Random

    @property
    def snapshots(self) -> Path:
        """The store that all detect workers reach."""
        return self.settings.path(self.settings.detect.snapshots)

    def settle(self, limit_s: float = RECOVER_S) -> bool:
        """Nothing more is written, and everything written is decided; the oracle has read it all."""
        self.writer.pause()
        settled = self.reach_ends(limit_s)
        self.oracle.advance()
        return settled


@contextmanager
def world(seed: int, records: int, per_s: int, workers: int, folder: Path) -> Iterator[World]:
    """A world at work: every partition has been committed on by both roles.

    The history goes on for as long as anybody looks, in chapters of about `records` records.
    """
    with Proxy() as proxy, LocalKafka(data=folder / "kafka", proxy_port=proxy.port) as kafka:
        proxy.upstream = kafka.behind_proxy
        config = _configure(folder, f"127.0.0.1:{proxy.port}")
        settings = load(config)
        with closing(KafkaBroker(kafka.options | {"log_level": 0})) as broker:
            broker.create(topic_specs(settings, source_partitions=SOURCE_PARTITIONS))
            writer = Writer(kafka.options | {"log_level": 0}, chapters(records, seed), per_s, SOURCE_PARTITIONS)
            with Fleet(config, workers) as fleet, writer:
                made = World(
                    settings=settings,
                    broker=broker,
                    source_partitions=SOURCE_PARTITIONS,
                    folder=folder,
                    config=config,
                    kafka=kafka,
                    proxy=proxy,
                    fleet=fleet,
                    writer=writer,
                    oracle=Oracle(broker, settings),
                    chance=random.Random(seed),
                )
                _wait_for_work(made)
                yield made


def _wait_for_work(made: World) -> None:
    until = time.monotonic() + START_S
    while not all(all(made.committed(role).values()) for role in ("ingest", "detect")):
        if time.monotonic() > until:
            words = "\n".join(f"{worker.name}: {worker.last_words()}" for worker in made.fleet.workers)
            raise Fatal(f"the roles have not begun to commit after {START_S:.0f} s:\n{words}")
        time.sleep(POLL_S)


def _configure(folder: Path, address: str) -> Path:
    """Deciding all it may, in small transactions and with many snapshots."""
    return configure(
        folder,
        address,
        "faults",
        source={"max_future_s": MAX_FUTURE_S},
        topics={"partitions": PARTITIONS},
        ingest={"batch_records": 400, "rows_per_message": 128, "wait_ms": 20},
        detect={"batch_messages": 20, "wait_ms": 20, "snapshot_every_s": 2},
        verdict={"mode": "enforce", "assume_warm": True, "redress": {"url": "https://redress.example"}},
        model={"accept_simulated": True},
    )
