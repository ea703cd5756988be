"""`python -m loadtest peers`: other engines beside our own detector, on one broker, in one run."""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from detector.broker import TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.errors import ConfigError
from loadtest.command import say, write_figures
from loadtest.oracle import RECORDS as SOURCE
from loadtest.peers.backlog import draw
from loadtest.peers.build import BUILT, check_tools
from loadtest.peers.compare import LIMIT, OURS, Bench, Measured
from loadtest.peers.engines import PEERS, Peer
from loadtest.peers.table import rows, table
from loadtest.throughput import SOURCE_PARTITIONS

COMMIT_MS: Final = 1_000
"""Peers trade latency for throughput by this. Their defaults are 100 ms, 5 s and no checkpoint at all; this is one
figure for all, and ten times what our own may take for a decision."""


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("peers", help="Flink, Kafka Streams and Quix Streams beside our own, in one run")
    parser.add_argument(
        "--only",
        type=_chosen,
        metavar="NAME,...",
        default=list(PEERS.values()),
        help=f"peers to measure beside our own, of {', '.join(PEERS)} (default: all)",
    )
    parser.add_argument("--records", type=int, default=2_000_000, help="about so many (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="how often each takes its turn (default: %(default)s)")
    parser.add_argument(
        "--commit-ms",
        type=int,
        default=COMMIT_MS,
        help="how often peers commit, or make a checkpoint (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the records (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", default=BUILT, help="keep what is fetched and compiled there"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_run)


def _chosen(text: str) -> list[Peer]:
    unknown = [name for name in text.split(",") if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"wanted names among {', '.join(PEERS)} (got {', '.join(unknown)})")
    return [peer for name, peer in PEERS.items() if name in text.split(",")]


def _run(arguments: argparse.Namespace) -> int:
    if arguments.runs < 1:
        raise ConfigError(f"--runs: wanted at least 1 (got {arguments.runs})")
    if arguments.commit_ms < 1:
        raise ConfigError(f"--commit-ms: wanted at least 1 (got {arguments.commit_ms})")
    turns, record_bytes = measure(
        arguments.only,
        arguments.records,
        arguments.runs,
        arguments.seed,
        arguments.folder.resolve(),
        arguments.commit_ms,
    )
    sys.stdout.write(table(turns, record_bytes, arguments.commit_ms))
    figures = [[asdict(one) for one in turn.values()] for turn in turns]
    write_figures(arguments.json, {"record_bytes": record_bytes, "commit_ms": arguments.commit_ms, "turns": figures})
    return 1 if any(row.wrong for row in rows(turns)) else 0


def measure(
    peers: Sequence[Peer], records: int, runs: int, seed: int, built: Path, commit_ms: int = COMMIT_MS
) -> tuple[list[Mapping[str, Measured]], float]:
    """So many turns, in each of which every engine works the backlog off once; bytes of a record.

    They take turns, so that what else the machine does falls on all of them.
    """
    check_tools(java=True, python=any(peer.needs_python for peer in peers))
    commands = {peer.name: peer.build(built) for peer in peers}
    backlog = draw(records, seed)
    turns: list[Mapping[str, Measured]] = []
    with (
        tempfile.TemporaryDirectory(prefix="peers-") as folder,
        LocalKafka() as kafka,
        closing(KafkaBroker({"bootstrap.servers": kafka.address})) as broker,
    ):
        broker.create([TopicSpec(SOURCE, SOURCE_PARTITIONS)])
        backlog.publish(broker)
        bench = Bench(kafka, broker, Path(folder), backlog, commit_ms)
        # Not counted: the broker's code is compiled meanwhile, and our kernels where they were not yet.
        bench.ours(0)
        for turn in range(1, runs + 1):
            made = {LIMIT: bench.limit(turn), OURS: bench.ours(turn)}
            for peer in peers:
                made[peer.name] = bench.peer(peer, commands[peer.name], turn)
            turns.append(made)
            rates = ", ".join(f"{name} {one.records_per_s:,.0f}" for name, one in made.items())
            say(f"turn {turn} of {runs}, records/s: {rates}")
    return turns, backlog.record_bytes
