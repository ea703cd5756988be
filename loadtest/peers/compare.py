"""Compare: every engine in turn on one broker and one backlog, measured in one way, its output counted."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detector.broker import Message, TopicPartition, TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import ROOT, Settings, load
from detector.errors import Fatal
from detector.records import ROW
from loadtest.configuration import configure, regroup
from loadtest.oracle import RECORDS as SOURCE
from loadtest.peers.backlog import COEFFICIENTS, INTERCEPT, Backlog
from loadtest.peers.engines import COMMIT_MS, CORES, Command, Peer, environment
from loadtest.peers.job import Task
from loadtest.processes import Watched, cpu_s, peak_bytes
from loadtest.throughput import (
    LIMIT_S,
    SOURCE_PARTITIONS,
    committed,
    first_to_last_commit,
    free_ports,
    work,
)

OURS: Final = "ours"
LIMIT: Final = "limit"
SETTLED_S: Final = 20.0
"""Flink's offsets come as much as 10 s late: its reader sits in a poll of that length once there is nothing to read."""
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
    wrong: str = ""
    """What its output is not; empty where all is as it must be."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where all of them run."""

    kafka: LocalKafka
    broker: KafkaBroker
    folder: Path
    backlog: Backlog

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
            self._wrong_in_ours(settings, run.rows, run.decisions),
        )

    def _wrong_in_ours(self, settings: Settings, rows: int, decisions: int) -> str:
        """All records are committed when its clock stops. None may be refused, each row and decision is there once."""
        partitions = range(settings.topics.partitions)
        logged = sum(
            len(message.value() or b"") // ROW.itemsize
            for q in partitions
            for message in _all(self.broker, settings.topics.events, q)
        )
        published = sum(1 for q in partitions for _ in _all(self.broker, settings.topics.history, q))
        refused = sum(1 for q in partitions for _ in _all(self.broker, settings.topics.rejects, q))
        return difference_of_ours(refused, logged, rows, published, decisions)

    def peer(self, peer: Peer, command: Callable[[Path, Path], Command], turn: int) -> Measured:
        """Another engine: the smaller job, in a group and on a topic of this turn's own."""
        group = f"{peer.name}-{turn}"
        topic = f"{group}.decisions"
        folder = self.folder / group
        folder.mkdir()
        task = folder / "task.json"
        Task(
            self.kafka.address,
            SOURCE,
            group,
            topic,
            CORES,
            COMMIT_MS,
            COEFFICIENTS,
            INTERCEPT,
            self.backlog.threshold,
        ).write(task)
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
                return committed(self.broker, group, SOURCES)

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
        return self._measured(peer.name, seconds, cpu, broker_cpu, peak, found, wrong)

    def limit(self, turn: int) -> Measured:
        """The bare consumer: what reading alone costs."""
        config = configure(self.folder, self.kafka.address, LIMIT)
        command = [sys.executable, "-m", "loadtest.peers.limit", str(config), f"{LIMIT}-{turn}"]
        records = len(self.backlog.values)
        before = cpu_s(self.kafka.pid)
        try:
            done = subprocess.run(
                [*command, f"{records}"], capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=ROOT
            )
        except subprocess.TimeoutExpired as error:
            raise Fatal(f"{records:,} records were not read in {LIMIT_S:.0f} s") from error
        if done.returncode != 0:
            raise Fatal(f"the bare consumer ended with {done.returncode}:\n{done.stderr}")
        said = json.loads(done.stdout)
        return self._measured(LIMIT, said["seconds"], said["cpu_s"], cpu_s(self.kafka.pid) - before, said["peak"], 0)

    def _measured(
        self, engine: str, seconds: float, cpu: float, broker_cpu: float, peak: int, decisions: int, wrong: str = ""
    ) -> Measured:
        records = len(self.backlog.values)
        millions = records / 1e6
        return Measured(
            engine, records, records / seconds, cpu / millions, broker_cpu / millions, peak, decisions, wrong
        )


def _all(broker: KafkaBroker, topic: str, partition: int) -> Iterator[Message]:
    at = TopicPartition(topic, partition)
    return broker.read(at, *broker.watermarks(at))


class Decisions:
    """The committed decisions of a peer, read as they come."""

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self._broker = broker
        self._next = {TopicPartition(topic, partition): 0 for partition in range(SOURCE_PARTITIONS)}
        self.ids: Counter[str] = Counter()
        """The records that they were made of."""

    def read(self) -> int:
        """How many there are, once every transaction that was open at the call has ended."""
        ends = {at: self._broker.watermarks(at)[1] for at in self._next}
        for at, end in ends.items():
            messages = self._broker.read(at, self._next[at], end)
            self.ids.update(json.loads(message.value() or b"")["id"] for message in messages)
            self._next[at] = end
        return self.ids.total()


class Ending:
    """How many records a peer has committed; all of them as soon as the last decision is there to be read.

    A peer's work is done then. Offsets are where its reader has got to, and may come late; without decisions they count
    once nothing more has come for as long as that can take.
    """

    def __init__(self, done: Callable[[], int], is_done: Callable[[], bool], records: int) -> None:
        self._done, self._is_done, self._records = done, is_done, records
        self._since = 0.0

    def __call__(self) -> int:
        done = self._done()
        if done and self._is_done():
            return self._records
        if done < self._records:
            return done
        self._since = self._since or time.monotonic()
        return self._records if time.monotonic() - self._since > SETTLED_S else self._records - 1


def difference(expected: Counter[str], found: Counter[str], left: int = 0) -> str:
    """How what a peer published differs from what must be there, and how much it has left; empty if all is well."""
    missing, extra = (expected - found).total(), (found - expected).total()
    told = [f"{missing:,} decisions missing, {extra:,} too many"] if missing or extra else []
    return ", ".join([*told, *([f"{left:,} records not committed"] if left else [])])


def difference_of_ours(refused: int, logged: int, counted: int, published: int, decided: int) -> str:
    """The same of our own: records refused; rows in the log and counted; decisions published and made."""
    told = []
    if refused:
        told.append(f"{refused:,} records refused")
    if logged != counted:
        told.append(f"{counted:,} of {logged:,} rows counted")
    if published != decided:
        told.append(f"{published:,} of {decided:,} decisions published")
    return ", ".join(told)
