"""Throughput: a backlog of plain JSON records, worked off by one process of each role.

The clock runs from the first committed ingest transaction to the moment when detect has
committed everything: transactions, sixty features, trees and policy included, start-up not.
"""

import argparse
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import Settings, load
from detector.errors import Fatal, Recoverable
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, simulate
from loadtest.command import say, write_figures
from loadtest.configuration import configure
from loadtest.oracle import RECORDS as SOURCE
from loadtest.processes import RoleProcess, cpu_s, peak_bytes
from loadtest.scrape import scrape

SOURCE_PARTITIONS: Final = 4
CHUNK: Final = 20_000
POLL_S: Final = 0.05
LIMIT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Run:
    """One backlog, worked off."""

    records: int
    record_bytes: float
    rows: int
    scored: int
    decisions: int
    seconds: float
    cpu_s: dict[str, float]
    peak_bytes: dict[str, int]
    machine: str

    @property
    def records_per_s(self) -> float:
        """Records, each from JSON to its committed decisions."""
        return self.records / self.seconds

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a file."""
        return asdict(self) | {"records_per_s": self.records_per_s}


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("throughput", help="work a backlog off, end to end, exactly once")
    parser.add_argument(
        "--numbers", type=int, default=10_000, help="subscribers, at about 94 records each (default: %(default)s)"
    )
    parser.add_argument("--runs", type=int, default=3, help="how often (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    runs = []
    for number in range(arguments.runs):
        runs.append(measure(arguments.numbers, seed=number + 1))
        say(f"run {number + 1} of {arguments.runs}: {runs[-1].records_per_s:,.0f} records/s")
    sys.stdout.write(table(runs))
    write_figures(arguments.json, [run.as_dict() for run in runs])
    return 0


def measure(numbers: int, seed: int) -> Run:
    """One run on a broker of its own: a week in which windows fill, and a day with campaigns in it."""
    values = encode(simulate(Scenario(numbers=numbers, days=8, seed=seed)).records)
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder, LocalKafka() as kafka:
        config = configure(Path(folder), kafka.address, "loadtest", admin={"port": _free_ports()})
        settings = load(config)
        with closing(KafkaBroker(settings.kafka)) as broker:
            broker.create(topic_specs(settings, source_partitions=SOURCE_PARTITIONS))
            for number, start in enumerate(range(0, len(values), CHUNK)):
                chunk = [(None, value) for value in values[start : start + CHUNK]]
                broker.publish(SOURCE, chunk, number % SOURCE_PARTITIONS)
            broker_before = cpu_s(kafka.pid)
            with RoleProcess("ingest", config) as ingest, RoleProcess("detect", config) as detect:
                roles = {"ingest": ingest, "detect": detect}
                seconds, before = _work_off(broker, settings, roles, len(values))
                cpu = {name: cpu_s(role.pid) - before[name] for name, role in roles.items()}
                cpu["broker"] = cpu_s(kafka.pid) - broker_before
                peak = {name: peak_bytes(role.pid) for name, role in roles.items()}
                counted = _scrape(settings)
    size = sum(map(len, values)) / len(values)
    machine = f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}"
    return Run(len(values), size, counted["rows"], counted["scored"], counted["decisions"], seconds, cpu, peak, machine)


def _free_ports() -> int:
    """A free port with a free one behind it: ingest takes the first, detect the second."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def _work_off(
    broker: KafkaBroker, settings: Settings, roles: dict[str, RoleProcess], records: int
) -> tuple[float, dict[str, float]]:
    """Seconds from the first commit of ingest to the last of detect; processor time used before."""
    sources = [TopicPartition(SOURCE, partition) for partition in range(SOURCE_PARTITIONS)]
    events = [TopicPartition(settings.topics.events, q) for q in range(settings.topics.partitions)]
    limit = time.monotonic() + LIMIT_S
    began, first, before = 0.0, 0, dict.fromkeys(roles, 0.0)
    while time.monotonic() < limit:
        for role in roles.values():
            role.check()
        ingested = _committed(broker, settings, "ingest", sources)
        if not began and ingested:
            began, first, before = time.monotonic(), ingested, {name: cpu_s(role.pid) for name, role in roles.items()}
        if ingested >= records and _is_done(broker, settings, events):
            return (time.monotonic() - began) * records / (records - first), before
        time.sleep(POLL_S)
    raise Fatal(f"the backlog of {records:,} records was not worked off in {LIMIT_S:.0f} s")


def _committed(broker: KafkaBroker, settings: Settings, role: str, ats: Sequence[TopicPartition]) -> int:
    try:
        return sum(offset or 0 for offset in broker.committed(f"{settings.group}-{role}", ats).values())
    except Recoverable:  # a transaction is pending on them
        return 0


def _is_done(broker: KafkaBroker, settings: Settings, events: Sequence[TopicPartition]) -> bool:
    """Whether at most the marker of its last transaction lies ahead of detect in every partition."""
    try:
        done = broker.committed(f"{settings.group}-detect", events)
    except Recoverable:
        return False
    return all((done[at] or 0) >= broker.watermarks(at)[1] - 1 for at in events)


def _scrape(settings: Settings) -> dict[str, int]:
    """What detect says that it has done."""
    told = scrape(f"http://{settings.admin.host}:{settings.admin.port + 1}")
    return {name: int(told.total(f"detector_{name}_total")) for name in ("rows", "scored", "decisions")}


def table(runs: Sequence[Run]) -> str:
    """The runs as a markdown table, medians last."""
    lines = [
        f"{runs[0].machine}; {runs[0].records:,} plain JSON records of {runs[0].record_bytes:.0f} bytes a run",
        "",
        "| run | records/s | scored | decisions | CPU s/M ingest | detect | broker | peak MB ingest | detect |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, run in enumerate(runs, 1):
        per_million = [f"{run.cpu_s[name] / run.records * 1e6:.1f}" for name in ("ingest", "detect", "broker")]
        peaks = [f"{run.peak_bytes[name] / 1e6:.0f}" for name in ("ingest", "detect")]
        cells = [
            f"{number}",
            f"{run.records_per_s:,.0f}",
            f"{run.scored:,}",
            f"{run.decisions:,}",
            *per_million,
            *peaks,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    rates = [run.records_per_s for run in runs]
    lines += ["", f"median {median(rates):,.0f} records/s, from {min(rates):,.0f} to {max(rates):,.0f}"]
    return "\n".join(lines) + "\n"
