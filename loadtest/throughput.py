"""Throughput: a backlog of records, worked off by one process of each role, or by several.

The clock runs from the first committed ingest transaction to the moment when detect has
committed everything: transactions, sixty features, trees and policy included, start-up not.
Beside each run stands how fast one consumer reads the same records and does nothing: the share of it that a run
comes to says more on a shared machine than either figure.

Plain records are a simulated network's: a week in which windows fill, and a day with campaigns in it. The other
mappings' are calls between 100,000 numbers at random, within minutes, so that fewer rows are scored.
"""

import argparse
import math
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

from msgspec import to_builtins

from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import Settings, load
from detector.errors import Fatal, Recoverable
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, simulate
from detector.verdict.manifest import running_versions
from loadtest.command import say, write_figures
from loadtest.configuration import CONFIGS, configure
from loadtest.fleet import ROLES
from loadtest.ingest import FORMS, PLAIN, calls
from loadtest.limit import Limit, limit
from loadtest.oracle import RECORDS as SOURCE
from loadtest.processes import RoleProcess, Watched, cpu_s, peak_bytes
from loadtest.scrape import Scraped, scrape
from loadtest.versions import InForce, Versions

SOURCE_PARTITIONS: Final = 4
CHUNK: Final = 20_000
POLL_S: Final = 0.05
LIMIT_S: Final = 600.0
RECORDS_A_NUMBER: Final = 94
"""Of a simulated network: so that every mapping's backlog is as long."""
Name = TypeVar("Name")


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
    workers: int = 1
    """Of each role; processor time and memory are the sums over them."""
    mapping: str = PLAIN
    limit: Limit | None = None
    """One consumer over the same records, right after the run; None where it was not measured."""
    in_force: tuple[InForce, ...] = ()
    """What decided, as `control` tells."""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def share_of_limit(self) -> float:
        """Of the bare consumer's rate; NaN where that was not measured."""
        return self.records_per_s / self.limit.records_per_s if self.limit else math.nan

    @property
    def records_per_s(self) -> float:
        """Records, each from JSON to its committed decisions."""
        return self.records / self.seconds

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a file."""
        return asdict(self) | {
            "in_force": [by._asdict() for by in self.in_force],
            "records_per_s": self.records_per_s,
            "share_of_limit": self.share_of_limit,
            "libraries": to_builtins(running_versions()),
        }


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("throughput", help="work a backlog off, end to end, exactly once")
    parser.add_argument(
        "--numbers", type=int, default=10_000, help="subscribers, at about 94 records each (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="of each role (default: %(default)s)")
    parser.add_argument("--mapping", choices=(PLAIN, *FORMS), default=PLAIN, help="of the source (default: plain)")
    parser.add_argument("--runs", type=int, default=3, help="how often (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    runs = []
    for number in range(arguments.runs):
        runs.append(measure(arguments.numbers, number + 1, arguments.workers, arguments.mapping))
        say(f"run {number + 1} of {arguments.runs}: {runs[-1].records_per_s:,.0f} records/s")
    sys.stdout.write(table(runs))
    write_figures(arguments.json, [run.as_dict() for run in runs])
    return 0


def backlog(numbers: int, seed: int, mapping: str = PLAIN) -> list[bytes]:
    """The records of a run."""
    if mapping == PLAIN:
        return encode(simulate(Scenario(numbers=numbers, days=8, seed=seed)).records)
    return list(calls(FORMS[mapping], RECORDS_A_NUMBER * numbers))


def measure(numbers: int, seed: int, workers: int = 1, mapping: str = PLAIN) -> Run:
    """One run on a broker of its own, and the bare consumer behind it."""
    return work_off(backlog(numbers, seed, mapping), workers, mapping)


def fill(broker: KafkaBroker, settings: Settings, values: Sequence[bytes]) -> None:
    """All topics are there, and the records stand in the source's."""
    broker.create(topic_specs(settings, source_partitions=SOURCE_PARTITIONS))
    feed(broker, values)


def feed(broker: KafkaBroker, values: Sequence[bytes]) -> None:
    """The records stand in the source's topic, chunk by chunk over its partitions."""
    for number, start in enumerate(range(0, len(values), CHUNK)):
        chunk = [(None, value) for value in values[start : start + CHUNK]]
        broker.publish(SOURCE, chunk, number % SOURCE_PARTITIONS)


def work_off(values: Sequence[bytes], workers: int = 1, mapping: str = PLAIN) -> Run:
    """Records of one mapping are worked off on a broker of the run's own, and then only read."""
    with tempfile.TemporaryDirectory(prefix="loadtest-") as folder, LocalKafka() as kafka:
        source = {"mapping": str(CONFIGS / "sources" / f"{mapping}.yaml")}
        ports = {"port": free_ports(2 * workers)}
        config = configure(Path(folder), kafka.address, "loadtest", source=source, admin=ports)
        settings = load(config)
        with closing(KafkaBroker(settings.kafka)) as broker:
            fill(broker, settings, values)
            run = work(kafka.pid, broker, config, len(values), sum(map(len, values)) / len(values), workers)
            bare = limit(config, f"{settings.group}-limit", len(values))
            in_force = _in_force(broker, settings)
    return replace(run, mapping=mapping, limit=bare, in_force=in_force, settings=to_builtins(settings))


def _in_force(broker: KafkaBroker, settings: Settings) -> tuple[InForce, ...]:
    """What decided anything, over all partitions; of a partition that `control` does not tell of, nothing."""
    nobody = InForce("", "", "")
    versions = Versions(nobody)
    for q in range(broker.partitions()[settings.topics.control]):
        at = TopicPartition(settings.topics.control, q)
        versions.hear(broker.read(at, *broker.watermarks(at)))
    found = set()
    for q in range(settings.topics.partitions):
        end = broker.watermarks(TopicPartition(settings.topics.events, q))[1]
        found |= {stretch.by for stretch in versions.stretches(q, 0, end)}
    return tuple(sorted(found - {nobody}))


def work(
    broker_pid: int, broker: KafkaBroker, config: Path, records: int, record_bytes: float, workers: int = 1
) -> Run:
    """So many processes of each role work off what stands in the source's topic; its topics are there, and empty."""
    settings = load(config)
    broker_before = cpu_s(broker_pid)
    with ExitStack() as stack:
        roles = {(role, k): stack.enter_context(RoleProcess(role, config, k)) for k in range(workers) for role in ROLES}
        run = clocked(broker, settings, records, record_bytes, roles)
        run.cpu_s["broker"] = cpu_s(broker_pid) - broker_before
    return run


def clocked(
    broker: KafkaBroker,
    settings: Settings,
    records: int,
    record_bytes: float,
    roles: Mapping[tuple[str, int], RoleProcess],
) -> Run:
    """What the processes, by role and ordinal, come to from ingest's first commit on; without the broker's time."""
    sources = [TopicPartition(SOURCE, partition) for partition in range(SOURCE_PARTITIONS)]
    workers = len(roles) // len(ROLES)
    seconds, before, share = first_to_last_commit(
        lambda: committed(broker, f"{settings.group}-ingest", sources),
        lambda: is_done(broker, settings),
        roles,
        records,
    )
    cpu = dict.fromkeys(ROLES, 0.0)
    peak = dict.fromkeys(ROLES, 0)
    for (role, k), process in roles.items():
        cpu[role] += (cpu_s(process.pid) - before[role, k]) / share
        peak[role] += peak_bytes(process.pid)
    machine = f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}"
    return Run(records, record_bytes, *detect_counts(settings, workers), seconds, cpu, peak, machine, workers)


def free_ports(count: int = 2) -> int:
    """A free port with free ones behind it: of ordinal k ingest takes the (2 k)th, detect the next."""
    while True:
        with ExitStack() as stack:
            port = 0
            for place in range(count):
                one = stack.enter_context(socket.socket())
                try:
                    one.bind(("127.0.0.1", port and port + place))
                except (OSError, OverflowError):
                    break
                port = port or int(one.getsockname()[1])
            else:
                return port


def first_to_last_commit(
    read: Callable[[], int], is_done: Callable[[], bool], processes: Mapping[Name, Watched], records: int
) -> tuple[float, dict[Name, float], float]:
    """Seconds for all records; processor time that each process had used at the first commit; the share of the
    records that came after it.

    `read` says how many records are committed. The clock runs from the first commit to the one after which all are,
    and what comes of them too (`is_done`). Those of the first commit were worked on before the clock ran.
    """
    limit = time.monotonic() + LIMIT_S
    began, first, before = 0.0, 0, dict.fromkeys(processes, 0.0)
    while time.monotonic() < limit:
        for process in processes.values():
            process.check()
        done = read()
        if not began and done:
            began, first = time.monotonic(), done
            before = {name: cpu_s(process.pid) for name, process in processes.items()}
        if done >= records and is_done():
            share = (records - first) / records
            if not share:
                raise Fatal(f"all {records:,} records were committed at once: too few to measure")
            return (time.monotonic() - began) / share, before, share
        time.sleep(POLL_S)
    raise Fatal(f"the backlog of {records:,} records was not worked off in {LIMIT_S:.0f} s")


def committed(broker: KafkaBroker, group: str, ats: Sequence[TopicPartition], *, everywhere: bool = False) -> int:
    """How many records a group has committed; 0 while a transaction is pending on them, and, if it is to have committed
    something `everywhere`, until it has."""
    try:
        offsets = broker.committed(group, ats).values()
    except Recoverable:
        return 0
    return 0 if everywhere and None in offsets else sum(offset or 0 for offset in offsets)


def is_done(broker: KafkaBroker, settings: Settings) -> bool:
    """Whether at most the marker of its last transaction lies ahead of detect in every partition."""
    events = [TopicPartition(settings.topics.events, q) for q in range(settings.topics.partitions)]
    try:
        done = broker.committed(f"{settings.group}-detect", events)
    except Recoverable:
        return False
    return all((done[at] or 0) >= broker.watermarks(at)[1] - 1 for at in events)


def detect_told(settings: Settings, workers: int = 1) -> list[Scraped]:
    """What the detect processes say of themselves."""
    first = settings.admin.port + ROLES.index("detect")
    return [scrape(f"http://{settings.admin.host}:{first + 2 * k}") for k in range(workers)]


def detect_counts(settings: Settings, workers: int = 1) -> tuple[int, int, int]:
    """Rows, rows scored and decisions of the detect processes since they began."""
    told = detect_told(settings, workers)
    names = ("rows", "scored", "decisions")
    rows, scored, decisions = (int(sum(one.total(f"detector_{name}_total") for one in told)) for name in names)
    return rows, scored, decisions


def table(runs: Sequence[Run]) -> str:
    """The runs as a markdown table, medians last."""
    lines = [
        f"{runs[0].machine}; {runs[0].records:,} {runs[0].mapping} records of {runs[0].record_bytes:.0f} bytes a run, "
        f"worked off by {runs[0].workers} of each role",
        "",
        "| run | records/s | bare consumer | share of it | scored | decisions | CPU s/M ingest | detect | broker "
        "| peak MB ingest | detect |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, run in enumerate(runs, 1):
        per_million = [f"{run.cpu_s[name] / run.records * 1e6:.1f}" for name in ("ingest", "detect", "broker")]
        peaks = [f"{run.peak_bytes[name] / 1e6:.0f}" for name in ("ingest", "detect")]
        cells = [
            f"{number}",
            f"{run.records_per_s:,.0f}",
            f"{run.limit.records_per_s:,.0f}" if run.limit else "",
            f"{run.share_of_limit:.0%}" if run.limit else "",
            f"{run.scored:,}",
            f"{run.decisions:,}",
            *per_million,
            *peaks,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    rates = [run.records_per_s for run in runs]
    lines += ["", f"median {median(rates):,.0f} records/s, from {min(rates):,.0f} to {max(rates):,.0f}"]
    return "\n".join(lines) + "\n"
