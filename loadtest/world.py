"""The world of a run: a broker behind a proxy, a fleet, a history being written, and an oracle.

Nemeses strike at it. It can tell how far each role has committed, wait until all that was
written has been decided, and say what differs then.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import ROOT, Settings, load
from detector.errors import Fatal, Recoverable
from detector.service.ingest import ROLE as INGEST
from loadtest.fleet import Fleet
from loadtest.history import Writer, traffic
from loadtest.oracle import RECORDS, Oracle
from loadtest.proxy import Proxy

SOURCE_PARTITIONS: Final = 3
PARTITIONS: Final = 4
POLL_S: Final = 0.02
START_S: Final = 90.0
RECOVER_S: Final = 120.0
"""A fault after which not everything is decided in this time counts as not recovered."""

Offsets = dict[TopicPartition, int]


@dataclass
class World:
    """What nemeses strike at."""

    settings: Settings
    folder: Path
    kafka: LocalKafka
    proxy: Proxy
    broker: KafkaBroker
    """A way of the run's own, which no fault but the broker's reaches."""
    fleet: Fleet
    writer: Writer
    oracle: Oracle
    chance: random.Random

    @property
    def snapshots(self) -> Path:
        """The store that all detect workers reach."""
        return self.settings.path(self.settings.detect.snapshots)

    def committed(self, role: str, limit_s: float = RECOVER_S) -> Offsets:
        """The group's offsets, once no transaction is pending on them."""
        ats = self.log_of(role)
        until = time.monotonic() + limit_s
        while True:
            try:
                return {at: offset or 0 for at, offset in self.broker.committed(self._group(role), ats).items()}
            except Recoverable:
                if time.monotonic() > until:
                    raise

    def ends(self, role: str) -> Offsets:
        """Where the log that a role reads ends."""
        return {at: self.broker.watermarks(at)[1] for at in self.log_of(role)}

    def log_of(self, role: str) -> list[TopicPartition]:
        """The partitions that a role reads and that carry traffic."""
        if role == INGEST:
            return [TopicPartition(RECORDS, partition) for partition in range(SOURCE_PARTITIONS)]
        return [TopicPartition(self.settings.topics.events, q) for q in range(self.settings.topics.partitions)]

    def _group(self, role: str) -> str:
        return f"{self.settings.group}-{role}"

    def reach(self, role: str, targets: Mapping[TopicPartition, int], limit_s: float = RECOVER_S) -> bool:
        """Wait until a role has committed every message before `targets`: only markers may lie between."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            try:
                done = self.committed(role, max(0.0, until - time.monotonic()))
            except Recoverable:
                return False
            if all(done[at] >= target or self._is_empty(at, done[at], target) for at, target in targets.items()):
                return True
            time.sleep(POLL_S)
        return False

    def _is_empty(self, at: TopicPartition, start: int, stop: int) -> bool:
        # A transaction leaves one marker a partition: more than a few offsets apart there are messages.
        return stop - start <= 8 and not any(True for _ in self.broker.read(at, start, stop))

    def settle(self, limit_s: float = RECOVER_S) -> bool:
        """Nothing more is written, and everything written is decided; the oracle has read it all."""
        self.writer.pause()
        settled = self.reach(INGEST, self.ends(INGEST), limit_s) and self.reach("detect", self.ends("detect"), limit_s)
        self.oracle.advance()
        return settled


@contextmanager
def world(seed: int, records: int, per_s: int, workers: int, folder: Path) -> Iterator[World]:
    """A world at work: every partition has been committed on by both roles."""
    values = traffic(records, seed)
    with Proxy() as proxy, LocalKafka(data=folder / "kafka", proxy_port=proxy.port) as kafka:
        proxy.upstream = kafka.behind_proxy
        config = _configure(folder, f"127.0.0.1:{proxy.port}")
        settings = load(config)
        with closing(KafkaBroker(kafka.options | {"log_level": 0})) as broker:
            broker.create(topic_specs(settings, source_partitions=SOURCE_PARTITIONS))
            writer = Writer(kafka.options | {"log_level": 0}, values, per_s, SOURCE_PARTITIONS)
            with Fleet(config, workers) as fleet, writer:
                made = World(
                    settings,
                    folder,
                    kafka,
                    proxy,
                    broker,
                    fleet,
                    writer,
                    Oracle(broker, settings),
                    random.Random(seed),
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
    """`configs/local.yaml` on this broker, with the plain source alone, deciding all it may, in small transactions."""
    tree: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "local.yaml").read_text(encoding="utf-8"))
    tree["kafka"] = {"bootstrap.servers": address}
    tree["sources"] = [source for source in tree["sources"] if source["topic"] == RECORDS]
    tree["sources"][0]["mapping"] = str(ROOT / "configs" / "sources" / "plain.yaml")
    tree["instance"] = "faults"
    tree["topics"] = {"partitions": PARTITIONS}
    tree["admin"] = {"port": 0}
    tree["ingest"] = {"batch_records": 400, "rows_per_message": 128, "wait_ms": 20}
    tree["detect"] = {
        "batch_messages": 20,
        "wait_ms": 20,
        "snapshot_every_s": 2,
        "snapshots": str(folder / "snapshots"),
    }
    tree["verdict"] = {
        "mode": "enforce",
        "assume_warm": True,
        "policy": str(ROOT / "configs" / "policy.yaml"),
        "redress": {"url": "https://redress.example"},
    }
    tree["model"] = {"bundle": str(ROOT / "models" / "default"), "accept_simulated": True}
    tree["home"]["zones"] = str(ROOT / "configs" / "zones.csv")
    path = folder / "faults.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path
