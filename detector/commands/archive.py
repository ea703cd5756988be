"""`archive`: the rows of the log are kept for as long as labels take, and what must be forgotten is."""

import argparse
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import (
    Commands,
    add_command,
    add_config,
    open_kafka,
    out,
    positive,
    say,
    settings_of,
)
from detector.errors import ConfigError, Recoverable

if TYPE_CHECKING:
    from detector.learning.archive import Archive
    from detector.learning.archiving import Archiver

PAUSE_S: Final = 600
"""Between two looks at the log: each leaves a file of every partition and day, and a few large ones read faster than
many small ones. Retention of topics is days."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "archive",
        _archive,
        "keep the rows that ingest publishes, as parquet by the day of their event",
        "Each row is there once, wherever the process dies: where to read on stands in the folder itself. It runs\n"
        "until SIGTERM or Ctrl-C; with --once it ends at the log's present end. One process at a time writes to a\n"
        "folder; `features --archive` and `archive erase` may run beside it. DIR/vectors holds, in the same way, the\n"
        "vectors that detect kept as it scored them; `detector parity` compares them with what the rows give.",
    )
    add_config(parser)
    parser.add_argument("--dir", type=Path, metavar="DIR", help="the folder of the archive (required)")
    parser.add_argument("--once", action="store_true", help="end at the log's present end, as a cron job does")
    parser.add_argument(
        "--keep-days",
        type=positive,
        metavar="N",
        help="remove days older than the newest less N; a day in the future is not the newest (default: keep all)",
    )
    parser.add_argument(
        "--pause-s", type=positive, default=PAUSE_S, metavar="S", help=f"between two looks (default: {PAUSE_S})"
    )
    parser.add_argument(
        "--accept-gaps", action="store_true", help="go on where retention has taken rows that are not archived yet"
    )
    erase = add_command(
        parser.add_subparsers(metavar="COMMAND"),
        "erase",
        _erase,
        "forget a number: its rows are removed from every file",
        "In rows of those whom it called or wrote to it is as if withheld. An E.164 number without a trunk is\n"
        "erased behind every trunk. What the topic still holds and is not archived yet is archived later: ask again.",
    )
    # Given before or behind `erase`: what is left out here must not hide what stands there.
    erase.add_argument("--dir", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="the folder of the archive")
    erase.add_argument(
        "--number", required=True, metavar="NUMBER", help="as decisions write it: +E164, sender:NAME@3, …"
    )


def _folder(arguments: argparse.Namespace) -> "Archive":
    from detector.learning.archive import Archive

    if arguments.dir is None:
        raise ConfigError("--dir: wanted the folder of the archive (got none)")
    return Archive(arguments.dir)


def _archive(arguments: argparse.Namespace) -> int:
    from detector.learning.archiving import Archiver
    from detector.learning.servedtable import archive_of_served
    from detector.supervisor import stop_on_signals, until_told_or_alone
    from detector.verdict.served import SERVED

    archive = _folder(arguments)
    served = archive_of_served(archive.root)
    settings = settings_of(arguments)
    stop = threading.Event()
    if not arguments.once:
        stop_on_signals(stop.set, stop.set)
    stopped = until_told_or_alone(stop.is_set)
    ahead_s = max((source.max_future_s or 0 for source in settings.sources), default=0)
    topics, gaps = settings.topics, arguments.accept_gaps
    with archive.writing(), served.writing(), open_kafka(settings) as broker:
        looks = [(archive, Archiver(archive, broker, topics.events, accept_gaps=gaps), topics.partitions, "rows")]
        kept = broker.partitions().get(topics.vectors)
        if kept:
            row_bytes = SERVED.itemsize
            archiver = Archiver(served, broker, topics.vectors, accept_gaps=gaps, row_bytes=row_bytes)
            looks.append((served, archiver, kept, "vectors"))
        while True:
            try:
                for look in looks:
                    _look(*look, arguments.keep_days, int((time.time() + ahead_s) * 1000), stopped)
            except Recoverable as error:
                if arguments.once:
                    raise
                say(f"trying again in {arguments.pause_s} s: {error}")
            if arguments.once or stop.wait(arguments.pause_s) or stopped():
                return 0


def _look(
    archive: "Archive",
    archiver: "Archiver",
    partitions: int,
    what: str,
    keep_days: int | None,
    until_ms: int,
    stopped: Callable[[], bool],
) -> None:
    """Every partition is archived up to its present end, and what is too old is gone.

    `until_ms`: the latest moment that an event can have.
    """
    rows = 0
    for q in range(partitions):
        if stopped():
            break
        rows += archiver.step(q, stopped)
    gone = archive.keep(keep_days, until_ms) if keep_days is not None else 0
    out(f"{archive.root}: {rows:,} {what} archived" + (f"; {gone:,} days removed" if gone else ""))


def _erase(arguments: argparse.Namespace) -> int:
    from detector.learning.servedtable import archive_of_served
    from detector.records import parse_number

    archive = _folder(arguments)
    try:
        number = parse_number(arguments.number)
    except ValueError as error:
        raise ConfigError(f"--number: {error}") from error
    if not archive.progress():
        raise ConfigError(f"{archive.root}: wanted what `detector archive` wrote (got none of it)")
    for one, what in ((archive, "rows"), (archive_of_served(archive.root), "vectors")):
        if not one.root.exists():  # an archive of before vectors were kept
            continue
        rows, files = one.erase(number)
        out(f"{one.root}: {rows:,} {what} of {arguments.number} removed; {files:,} files written anew")
    return 0
