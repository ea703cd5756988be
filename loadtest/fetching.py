"""Fetching: what each setting that we pin for reading is worth, one changed at a time.

    one backlog, read by a bare consumer: as shipped | one setting as librdkafka has it | as shipped | the next | ...

Rate, processor time and memory of each, over those of the readings as shipped on either side of it: medians of the
rounds. What keeps a partition from being fetched too late (`fetch.wait.max.ms`) shows in latency and not here.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.options import FETCH
from detector.config import load
from loadtest.command import say, work_folder, write_figures
from loadtest.configuration import configure
from loadtest.limit import Limit, limit
from loadtest.throughput import backlog, fill

OTHERS: Final[Sequence[tuple[str, Any]]] = (
    ("check.crcs", False),
    ("queued.min.messages", 100_000),
    ("queued.min.messages", 10_000),
    ("queued.max.messages.kbytes", 16_384),
    ("fetch.queue.backoff.ms", 1_000),
    ("fetch.message.max.bytes", 1 << 20),
    ("fetch.message.max.bytes", 16 << 20),
)
"""What each setting could be instead: librdkafka's own value where we chose another, and the other side of ours."""


@dataclass(frozen=True, slots=True)
class Instead:
    """One setting changed: its reading over those as shipped around it, medians over the rounds."""

    name: str
    pinned: Any
    other: Any
    rate: float
    cpu: float
    peak: float

    @staticmethod
    def of(name: str, other: Any, rounds: Sequence[tuple[Limit, Limit, Limit]]) -> "Instead":
        """Of rounds of (as shipped, changed, as shipped)."""

        def over(figure: str) -> float:
            triples = [[float(getattr(one, figure)) for one in turn] for turn in rounds]
            return median(2 * one / (before + after) for before, one, after in triples)

        shares = over("records_per_s"), over("cpu_s_per_million"), over("peak_bytes")
        return Instead(name, FETCH[name], other, *shares)


def measure(numbers: int, rounds: int, folder: Path) -> list[Instead]:
    """Every other value in turn, so many times, on one broker."""
    taken: dict[int, list[tuple[Limit, Limit, Limit]]] = {k: [] for k in range(len(OTHERS))}
    with LocalKafka(data=folder / "kafka") as kafka:
        shipped = configure(folder, kafka.address, "shipped")
        settings = load(shipped)
        values = backlog(numbers, seed=1)
        with closing(KafkaBroker(settings.kafka)) as broker:
            fill(broker, settings, values)
        others = [_changed(folder, kafka.address, k, {name: value}) for k, (name, value) in enumerate(OTHERS)]
        for turn in range(rounds):
            before = limit(shipped, f"shipped-{turn}", len(values))
            for k, other in enumerate(others):
                one = limit(other, f"other-{turn}-{k}", len(values))
                after = limit(shipped, f"shipped-{turn}-{k}", len(values))
                taken[k].append((before, one, after))
                before = after
            say(f"round {turn + 1} of {rounds}: {before.records_per_s:,.0f} records/s as shipped")
    return [Instead.of(name, other, taken[k]) for k, (name, other) in enumerate(OTHERS)]


def _changed(folder: Path, address: str, k: int, options: Mapping[str, Any]) -> Path:
    return configure(folder, address, f"other-{k}", kafka={"bootstrap.servers": address, **options})


def table(measured: Sequence[Instead]) -> str:
    """One line for each value, as markdown: 1.00 is as shipped."""
    lines = [
        "| setting | as shipped | instead | rate | processor time | memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| `{one.name}` | {one.pinned} | {one.other} | {one.rate:.2f} | {one.cpu:.2f} | {one.peak:.2f} |"
        for one in measured
    ]
    return "\n".join(lines) + "\n"


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("fetching", help="what each pinned setting of reading is worth")
    parser.add_argument("--numbers", type=int, default=15_000, help="subscribers, at about 94 records each")
    parser.add_argument("--rounds", type=int, default=5, help="how often (default: %(default)s)")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep the broker's data there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with work_folder(arguments.folder, "fetching") as folder:
        measured = measure(arguments.numbers, arguments.rounds, folder)
    sys.stdout.write(table(measured))
    write_figures(arguments.json, [asdict(one) for one in measured])
    return 0
