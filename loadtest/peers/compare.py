"""Compare: every engine in turn on one broker and one backlog, measured in one way."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detector.broker import TopicPartition, TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import Settings, load
from detector.records import ROW
from loadtest.configuration import configure, regroup
from loadtest.limit import limit
from loadtest.oracle import RECORDS as SOURCE
from loadtest.peers.backlog import COEFFICIENTS, INTERCEPT, Backlog
from loadtest.peers.engines import CORES, Command, Peer, environment
from loadtest.peers.job import Task
from loadtest.peers.output import SETTLED_S, Decisions, Ending, difference, difference_of_ours, messages
from loadtest.processes import Watched, cpu_s, peak_bytes
from loadtest.throughput import (
    SOURCE_PARTITIONS,
    committed,
    first_to_last_commit,
    free_ports,
    work,
)

OURS: Final = "ours"
LIMIT: Final = "limit"
SOURCES: Final = [TopicPartition(SOURCE, partition) for partition in range(SOURCE_PARTITIONS)]


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine, over the backlog once."""

    engine: str
    records: int
    records_per_s: float
    cpu_s_per_million: float
    """Of all its processes."""
    broker_cpu_s_per_million: float
    peak_bytes: int
    decisions: int
    share: float = 1.0
    """Of the records, how many came after the first commit: the clock saw no others."""
    wrong: str = ""
    """What its output is not; empty where all is as it must be."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where all of them run."""

    kafka: LocalKafka
    broker: KafkaBroker
    folder: Path
    backlog: Backlog
    commit_ms: int
    """How often peers commit."""

    def ours(self, turn: int) -> Measured:
        """Our own detector: the whole job, on topics and snapshots of this turn's own."""
        name = f"{OURS}-{turn}"
        snapshots = {"snapshots": str(self.folder / name)}
        config = configure(self.folder, self.kafka.address, name, admin={"port": free_ports()}, detect=snapshots)
        regroup(config, name)
        settings = load(config)
        self.broker.create(topic_specs(settings, source_partitions=SOURCE_PARTITIONS))
        run = work(self.kafka.pid, self.broker, config, len(self.backlog.values), self.backlog.record_bytes)
        mine = run.cpu_s["ingest"] + run.cpu_s["detect"]
        return self._measured(
            OURS,
            run.seconds,
            mine,
            run.cpu_s["broker"],
            sum(run.peak_bytes.values()),
            run.decisions,
            1.0,
            self._wrong_in_ours(settings, run.rows, run.decisions),
        )

    def _wrong_in_ours(self, settings: Settings, rows: int, decisions: int) -> str:
        """All records are committed when its clock stops. None may be refused, each row and decision is there once."""
        partitions = range(settings.topics.partitions)
        logged = sum(
            len(message.value() or b"") // ROW.itemsize
            for q in partitions
            for message in messages(self.broker, settings.topics.events, q)
        )
        published = sum(1 for q in partitions for _ in messages(self.broker, settings.topics.history, q))
        refused = sum(1 for q in partitions for _ in messages(self.broker, settings.topics.rejects, q))
        return difference_of_ours(refused, logged, rows, published, decisions)

    def peer(self, peer: Peer, command: Callable[[Path, Path], Command], turn: int) -> Measured:
        """Another engine: the smaller job, in a group and on a topic of this turn's own."""
        group = f"{peer.name}-{turn}"
        folder = self.folder / group
        folder.mkdir()
        topic, task = f"{group}.decisions", folder / "task.json"
        self._task(group, topic).write(task)
        self.broker.create([TopicSpec(topic, SOURCE_PARTITIONS)])
        decisions = Decisions(self.broker, topic)
        records, wanted = len(self.backlog.values), self.backlog.decided.total()
        broker_before = cpu_s(self.kafka.pid)
        with ExitStack() as stack:
            processes = {
                name: stack.enter_context(
                    Watched(name, command(task, folder / name), folder / f"{name}.log", environment())
                )
                for name in (f"{group}-{number}" for number in range(peer.processes))
            }

            def done() -> int:
                # Readers and threads commit one after the other: the first alone would start the clock on half of what
                # is done by then.
                return committed(self.broker, group, SOURCES, everywhere=True)

            def is_done() -> bool:
                return decisions.read() >= wanted

            seconds, before, share = first_to_last_commit(
                Ending(done, is_done, records), lambda: True, processes, records
            )
            cpu = sum(cpu_s(process.pid) - before[name] for name, process in processes.items()) / share
            broker_cpu = cpu_s(self.kafka.pid) - broker_before
            peak = sum(peak_bytes(process.pid) for process in processes.values())
            until = time.monotonic() + SETTLED_S
            while (left := records - done()) and time.monotonic() < until:
                time.sleep(0.1)
        # Read on once it has ended: it may have published more than it should.
        found = decisions.read()
        wrong = difference(self.backlog.decided, decisions.ids, left)
        return self._measured(peer.name, seconds, cpu, broker_cpu, peak, found, share, wrong)

    def _task(self, group: str, decisions: str) -> Task:
        return Task(
            bootstrap=self.kafka.address,
            topic=SOURCE,
            group=group,
            decisions=decisions,
            threads=CORES,
            commit_ms=self.commit_ms,
            coefficients=COEFFICIENTS,
            intercept=INTERCEPT,
            threshold=self.backlog.threshold,
        )

    def limit(self, turn: int) -> Measured:
        """The bare consumer: what reading alone costs."""
        config = configure(self.folder, self.kafka.address, LIMIT)
        records, before = len(self.backlog.values), cpu_s(self.kafka.pid)
        bare = limit(config, f"{LIMIT}-{turn}", records)
        broker_cpu = cpu_s(self.kafka.pid) - before
        cpu = bare.cpu_s_per_million * records / 1e6
        return self._measured(LIMIT, records / bare.records_per_s, cpu, broker_cpu, bare.peak_bytes, 0)

    def _measured(
        self,
        engine: str,
        seconds: float,
        cpu: float,
        broker_cpu: float,
        peak: int,
        decisions: int,
        share: float = 1.0,
        wrong: str = "",
    ) -> Measured:
        records = len(self.backlog.values)
        millions = records / 1e6
        return Measured(
            engine, records, records / seconds, cpu / millions, broker_cpu / millions, peak, decisions, share, wrong
        )
