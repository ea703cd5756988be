"""Engines: what is measured, what each promises and does, and the commands that start it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from detector.config import ROOT
from loadtest.peers.build import classpath_of, python_of
from loadtest.throughput import SOURCE_PARTITIONS

CORES: Final = min(os.cpu_count() or 1, SOURCE_PARTITIONS)
HEAP: Final = "-Xmx3g"

Command = list[str]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another engine."""

    name: str
    title: str
    guarantee: str
    target: float
    """How many times as fast our own detector, doing the whole job, is to be."""
    how: str
    """Its tuning, in a sentence."""
    processes: int
    """As many share the partitions; one that uses all cores has no use for more."""
    needs_java: bool
    build: Callable[[Path], Callable[[Path, Path], Command]]
    """Given the folder of caches: what makes the command of a task's file and a folder for state."""

    @property
    def needs_python(self) -> bool:
        """Whether it needs packages from PyPI."""
        return not self.needs_java


def _quix(folder: Path) -> Callable[[Path, Path], Command]:
    python = python_of(folder, "quix")
    return lambda task, state: [str(python), "-m", "loadtest.peers.quix.app", str(task), str(state)]


def _kstreams(folder: Path) -> Callable[[Path, Path], Command]:
    path = classpath_of(folder, "kstreams")
    return lambda task, state: [*_java(path), "KafkaStreamsJob", str(task), str(state)]


def _flink(folder: Path) -> Callable[[Path, Path], Command]:
    path = classpath_of(folder, "flink")
    return lambda task, state: [*_java(path), "FlinkJob", str(task), str(state)]


def _java(classpath: str) -> Command:
    # Flink copies and looks into java.util's objects by reflection.
    opened = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("util", "lang")]
    return ["java", HEAP, *opened, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath]


PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer
    for peer in (
        Peer(
            "flink",
            "Flink 1.20",
            "exactly once",
            2.0,
            "a slot a core in one JVM, state on the heap, object reuse",
            processes=1,
            needs_java=True,
            build=_flink,
        ),
        Peer(
            "kstreams",
            "Kafka Streams 4.3",
            "exactly once (v2)",
            5.0,
            "a thread a core, state in memory with a changelog, record cache",
            processes=1,
            needs_java=True,
            build=_kstreams,
        ),
        Peer(
            "quix",
            "Quix Streams 3.28",
            "exactly once",
            8.0,
            "a process a core in one group, state in RocksDB with a changelog",
            processes=CORES,
            needs_java=False,
            build=_quix,
        ),
    )
}


def environment() -> dict[str, str]:
    """What a peer is started with: a Python of its own finds the job, which is the project's."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
