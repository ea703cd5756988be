"""Workers of both roles on a simulated broker: stepped one by one, killed, restarted, and held to the oracles.

    records, commands -> SimulatedBroker <- Workers (the real IngestRole and DetectRole) -> check

Time is the broker's. No threads: snapshots are written where they are asked for, partitions restored before their
worker's next step, or when a story says so. So a run is a function of what is done to it.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import numpy as np
import orjson
import pytest
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.simulated import SimulatedBroker
from detector.broker.topics import topic_specs
from detector.config import ROOT, Settings
from detector.errors import CannotRebuild, ConfigError, Fatal, Recoverable, SnapshotError
from detector.ingest.commands import Command, command_row, read_command
from detector.ingest.zones import ZoneTable
from detector.metrics import Metrics
from detector.service import Role
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.rules import Rules
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.service.harness import (
    RECORDS,
    everything,
    expected_outcomes,
    expected_rows,
    log_entries,
    published_decisions,
    published_rows,
    published_served,
    settings_for,
    source_positions,
    traffic,
)

SOURCE_PARTITIONS: Final = 3
START_MS: Final = 1_794_280_000_000
"""After the newest of the records."""
SPOOFED: Final = 37
"""Fixed numbers shown as callers from abroad, again and again: the first call of each in an hour is a block, and
whoever has forgotten that blocks again."""
MOST_NUMBERS: Final = 12
"""Of a partition: a few dozen are met, so that some are evicted, and come back, all the time."""
BAD: Final = b'{"id":"bad","type":"call","from":"+99971000001","to":"+99971000002","start":5,"end":7}'


T = TypeVar("T")


class Crash(BaseException):
    """kill -9: nothing in the process catches it."""


class Inline:
    """In place of threads: every call is made at once."""

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> "Future[T]":
        done: Future[T] = Future()
        _make(done, call, arguments)
        return done

    def shutdown(self) -> None: ...


class Later:
    """In place of threads: calls are made when the story says so, one after another."""

    def __init__(self) -> None:
        self.calls: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> "Future[T]":
        done: Future[T] = Future()
        self.calls.append((done, call, arguments))
        return done

    def make_one(self) -> None:
        """The oldest call is made."""
        _make(*self.calls.pop(0))

    def shutdown(self) -> None: ...


def _make(done: "Future[T]", call: Callable[..., T], arguments: tuple[Any, ...]) -> None:
    try:
        done.set_result(call(*arguments))
    except Exception as error:
        done.set_exception(error)


_model, _policy, _zones = cache(Model.load), cache(Policy.load), cache(ZoneTable.load)


@cache
def mixed_records() -> list[bytes]:
    """Simulated traffic with a spoofed call at every third place and a bad record at every fiftieth."""
    records: list[bytes] = []
    for number, record in enumerate(traffic(2_000)):
        records.append(record)
        fields = orjson.loads(record)
        start = int(fields.get("start") or fields.get("time") or START_MS)
        if number % 2:
            call = {"id": f"s-{number}", "type": "call", "from": f"+9992100{number * 7 % SPOOFED:04}", "start": start}
            call |= {"to": "+999748820261", "end": start + 5_000, "duration": 5, "outcome": "answered"}
            records.append(orjson.dumps(call | {"trunk": "intl-1"}))
        if number % 50 == 49:
            records.append(BAD)
    return records


class Network:
    """A simulated broker, its topics, and workers by name: `ingest-0`, `detect-1`."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        settings = settings_for(folder)
        self.settings: Settings = replace(
            settings,
            model=replace(settings.model, bundle=str(ROOT / "models" / "default")),
            ingest=replace(settings.ingest, batch_records=8, rows_per_message=4, heartbeat_s=1),
            detect=replace(settings.detect, capacity=64, batch_messages=4, most_numbers=MOST_NUMBERS, vectors_every=3),
            topics=replace(settings.topics, partitions=3),
        )
        self.broker = SimulatedBroker(START_MS)
        self.broker.create(topic_specs(self.settings, source_partitions=SOURCE_PARTITIONS))
        self.workers: dict[str, Role | None] = {}
        self.at_work: list[str] = []
        """Those within a step, the outermost first: a strike may step another worker in the midst of one."""
        self.deaths: list[str] = []
        self.published = self.commands = 0
        self.restores: dict[str, Later] = {}
        """What the detect workers of a name have to restore."""
        self.slow: set[str] = set()
        """Workers whose restores are not made before `restore` says so."""
        self.at_sync: list[Callable[[], None]] = []
        """What happens at the next syncs of a snapshot's folder: before it has its name, and after."""
        self._set_time(patch)

    def _set_time(self, patch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(monotonic=self.broker.now_s, perf_counter=self.broker.now_s, time=self.broker.now_s)
        for module in ("detect", "ingest", "saving", "outbox", "restore", "switch", "taking"):
            patch.setattr(f"detector.service.{module}.time", clock)
        patch.setattr("detector.snapshot.os.fsync", lambda handle: None)
        patch.setattr("detector.snapshot._sync", lambda folder: self.at_sync.pop(0)() if self.at_sync else None)
        for kind, load in ((Model, _model), (Policy, _policy), (ZoneTable, _zones)):
            patch.setattr(kind, "load", staticmethod(load))

    # What comes in.

    def publish(self, count: int, partition: int) -> None:
        """The next records of the traffic."""
        records = mixed_records()
        values = [records[i % len(records)] for i in range(self.published, self.published + count)]
        self.published += count
        self.broker.publish(RECORDS, [(None, value) for value in values], partition)

    def command(self, action: str) -> None:
        """An operator's word on one of the spoofed numbers; one in five is no command."""
        self.commands += 1
        number = f"+9992100{self.commands % SPOOFED:04}@1"
        text = {"action": action, "number": number, "id": f"c{self.commands}", "actor": "ana", "reason": "appeal"}
        value = b"{" if self.commands % 5 == 0 else orjson.dumps(text | {"scope": "trunk:1"})
        self.broker.publish(self.settings.topics.commands, [(number.encode(), value)])

    # Who is there.

    def identity(self, name: str) -> tuple[str, str]:
        """Group, and the instance in it, which is the transactional id too."""
        role, _, ordinal = name.partition("-")
        group = f"{self.settings.group}-{role}"
        return group, f"{group}-{ordinal}"

    def start(self, name: str) -> None:
        """A process of this name runs; one that had it is forgotten, or goes on where it stood and is fenced."""
        self.workers[name] = None
        self.watch(name, lambda: self._build(name))

    def _build(self, name: str) -> None:
        later = Later()
        common = (self.settings, self.broker, Metrics(), name[-1], self.broker.now_s)
        if name.startswith("ingest"):
            self.workers[name] = IngestRole(*common, lambda threads, what: Inline())
        else:
            self.workers[name] = DetectRole(*common, lambda threads, what: later if what == "restore" else Inline())
            self.restores[name] = later

    def step(self, name: str) -> int:
        """One step of a worker, if it lives and is not in one; returns the messages it took.

        What it has to restore is restored before, unless it is one of the slow.
        """
        if name not in self.slow:
            self.restore(name)
        role = self.workers.get(name)
        return 0 if role is None or name in self.at_work else self.watch(name, role.step) or 0

    def restore(self, name: str, most: int = 1_000) -> None:
        """Up to so many restores of a worker are made. It may be stepped in the midst of one: its loop goes on."""
        for _ in range(most):
            later = self.restores.get(name)
            if self.workers.get(name) is None or later is None or not later.calls or name in self.at_work:
                return
            self._until_it_dies(name, later.make_one)

    def leave(self, name: str, for_good: bool = True) -> None:
        """The worker stops in order."""
        role = self.workers.get(name)
        if role is not None and name not in self.at_work:
            self.watch(name, lambda: role.close(leave=for_good))
            self.workers[name] = None

    def watch(self, name: str, call: Callable[[], T]) -> T | None:
        """As `service.run` and its supervisor: what is recoverable is tried again, what is fatal ends the process."""
        self.at_work.append(name)
        try:
            return self._until_it_dies(name, call)
        finally:
            self.at_work.remove(name)

    def _until_it_dies(self, name: str, call: Callable[[], T]) -> T | None:
        before = self.workers.get(name)
        try:
            return call()
        except Recoverable:
            return None
        except (CannotRebuild, ConfigError, SnapshotError):
            raise
        except (Fatal, Crash) as error:
            self.deaths.append(f"{name}: {error!r}")
            if self.workers.get(name) is before:
                self.workers[name] = None
                self.broker.vanish(*self.identity(name))
            return None

    def dead(self) -> list[str]:
        return [name for name, role in self.workers.items() if role is None]

    # What it has come to.

    def settle(self) -> None:
        """Nothing goes wrong any more, everybody works, and everything is done.

        Each worker may die once more: of what was done to it before.
        """
        self.broker.spare()
        self.slow.clear()
        self.at_sync.clear()
        self.broker.release_markers()
        self.broker.advance(60_000)
        if not self.workers:
            self.workers = {"ingest-0": None, "detect-0": None}
        most, idle = len(self.deaths) + len(self.workers), 0
        for _ in range(2_000):
            self.broker.advance(10)
            for name in self.dead():
                self.start(name)
            idle = 0 if sum([self.step(name) for name in self.workers]) else idle + 1
            assert len(self.deaths) <= most, self.deaths
            if idle >= 3 and not self.dead() and self.is_done():
                return
        raise AssertionError(f"not done: {self.deaths}")

    def is_done(self) -> bool:
        """Of the sources and the internal log nothing is left ahead of the committed offsets."""
        topics = self.settings.topics
        read = [(RECORDS, "ingest"), (topics.commands, "ingest"), (topics.events, "detect")]
        sizes = self.broker.partitions()
        for topic, role in read:
            ats = [TopicPartition(topic, q) for q in range(sizes[topic])]
            done = self.broker.committed(f"{self.settings.group}-{role}", ats)
            if any(list(self.broker.read(at, done[at] or 0, self.broker.watermarks(at)[1])) for at in ats):
                return False
        return True

    def check(self) -> None:
        """Rows, rejects, decisions and kept vectors are there once each, and state is that of one undisturbed pass."""
        broker, settings = self.broker, self.settings
        positions = source_positions(broker)
        commands = [
            (q, m.offset(), m.timestamp()[1], m.value())
            for q in range(broker.partitions()[settings.topics.commands])
            for at in [TopicPartition(settings.topics.commands, q)]
            for m in broker.read(at, *broker.watermarks(at))
        ]
        rows = expected_rows(settings, positions) if positions else Counter()
        bad = Counter(value for *_, value in positions if value == BAD)
        for q, offset, timestamp_ms, value in commands:
            command = read_command(value)
            if isinstance(command, Command):
                rows[command_row(command, timestamp_ms, q, offset).tobytes()] += 1
            else:
                bad[value or b""] += 1
        assert_same(published_rows(broker, settings), rows, "rows")
        assert_same(Counter(value or b"" for *_, value in everything(broker, settings.topics.rejects)), bad, "rejects")
        decisions, served = expected_outcomes(broker, settings)
        assert_same(published_decisions(broker, settings), decisions, "decisions.history")
        assert_same(Counter(map(_plain, everything(broker, settings.topics.decisions))), decisions, "decisions")
        assert_same(published_served(broker, settings), served, "vectors")
        self._check_state()

    def _check_state(self) -> None:
        """Whoever holds a partition holds what one pass over its log gives, byte for byte."""
        detector = Rules.load(self.settings).detector
        holders = [role for role in self.workers.values() if isinstance(role, DetectRole)]
        held = sorted((q, one) for role in holders for q, one in role._held.items())
        assert [q for q, _ in held] == list(range(self.settings.topics.partitions))
        for q, one in held:
            part = detector.fresh(q, Memory(), Memory())
            detector.process(part, log_entries(self.broker, self.settings, q))
            wanted, got = part.arrays(), one.part.arrays()
            assert wanted.keys() == got.keys()
            for name, array in wanted.items():
                np.testing.assert_array_equal(got[name], array, err_msg=f"partition {q}: {name}")
                assert got[name].tobytes() == array.tobytes(), f"partition {q}: {name}"


def _plain(message: tuple[int, bytes | None, bytes | None]) -> tuple[int, bytes, bytes]:
    partition, key, value = message
    return partition, key or b"", value or b""


def assert_same(got: Counter[Any], wanted: Counter[Any], what: str) -> None:
    """Equal as multisets; says what is missing and what is there too often."""
    lost, repeated = wanted - got, got - wanted
    assert not lost, f"{what}: {lost.total()} of {wanted.total()} missing, such as {next(iter(lost))!r}"
    assert not repeated, f"{what}: {repeated.total()} too many, such as {next(iter(repeated))!r}"
