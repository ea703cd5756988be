"""`parity`: what serving scored is what training computes, or the features that differ are named."""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, say, settings_of
from detector.errors import ConfigError
from detector.metrics import PARITY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detector.config import Settings
    from detector.learning.features import Taken
    from detector.learning.logs import Log
    from detector.learning.parity import Parity
    from detector.verdict.served import Served


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "parity",
        _parity,
        "compare the vectors that detect kept as it scored them with what is computed of the same rows",
        "Detect keeps one scored vector of detect.vectors_every, and that of every decision. They are compared, bit\n"
        "for bit, with what the rows of the archive or of the topic give, or with a table of `detector features`.\n"
        "Where the beginning of a log is gone, vectors of its first eight days are left out: their windows reach\n"
        "further back. Exit 1 if a feature differs, if a vector that serving kept is not computed, or if there is\n"
        "nothing to compare. Whoever is erased from an archive is missing from the windows of those whom he called:\n"
        "so let an alarm rest on --from-topic.",
    )
    add_config(parser)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--archive", type=Path, metavar="DIR", help="what `detector archive` kept, rows and vectors")
    given.add_argument("--from-topic", action="store_true", help="what the topics hold")
    parser.add_argument("--partition", type=int, metavar="Q", help="only this one of the log (default: all)")
    parser.add_argument(
        "--vectors", type=Path, metavar="FILE", help="compare with this table, as far as it has the same moments"
    )
    parser.add_argument(
        "--metrics",
        type=Path,
        metavar="FILE",
        help="write the outcome for a node exporter's textfile collector (FILE ends in .prom); an alert looks at it",
    )


def _parity(arguments: argparse.Namespace) -> int:
    from detector.learning.archive import Archive
    from detector.learning.logs import logs_in, logs_on
    from detector.learning.parity import compare, of_originators
    from detector.learning.servedtable import archive_of_served, read_served, served_on

    settings = settings_of(arguments)
    partition = arguments.partition
    if partition is not None and partition not in range(settings.topics.partitions):
        raise ConfigError(f"--partition: wanted 0 to {settings.topics.partitions - 1} (got {partition})")
    with ExitStack() as stack:
        if arguments.archive is not None:
            logs = logs_in(Archive(arguments.archive), settings.topics.partitions, partition)
            served = read_served(archive_of_served(arguments.archive), partition)
        else:
            broker = stack.enter_context(open_kafka(settings))
            served, strange = served_on(broker, settings.topics.vectors, partition)
            logs = logs_on(broker, settings, partition)
            if strange:
                say(f"{settings.topics.vectors}: {strange:,} messages of other features, or of nobody's, are left out")
        served = _comparable(of_originators(served), logs)
        found = compare(served, _computed(settings, stack, logs, arguments.vectors))
    equal = found.compared > 0 and not found.differing and (arguments.vectors is not None or not found.missing)
    for line in lines(found, {source.id: source.name for source in settings.sources}):
        out(line)
    out("equal" if equal else "not equal" if found.compared else "nothing to compare")
    if arguments.metrics is not None:
        _write(arguments.metrics, found, equal=equal)
    return 0 if equal else 1


def _comparable(served: "Served", logs: "list[Log]") -> "Served":
    """Those whose rows, and whose windows' rows, are there."""
    import numpy as np

    fine = np.zeros(len(served), np.bool_)
    for log in logs:
        mine = (served["log_partition"] == log.partition) & (served["log_offset"] >= log.start)
        mine &= served["log_offset"] < log.stop
        fine |= mine & (served["event_ms"] >= log.whole_from_ms())
    if left := len(served) - int(fine.sum()):
        say(f"{left:,} vectors are left out: the log does not hold their rows, or not all of their windows")
    return served[fine]


def _computed(settings: "Settings", stack: ExitStack, logs: "list[Log]", path: Path | None) -> "Iterable[Taken]":
    from detector.learning.parity import taken_of
    from detector.learning.vectors import VectorTable

    if path is None:
        return (taken for log in logs for taken in log.vectors(settings))
    table = stack.enter_context(VectorTable(path))
    if table.heading.home_utc_offset_minutes != settings.home.utc_offset_minutes:
        raise ConfigError(
            f"{path}: wanted local time of UTC plus {settings.home.utc_offset_minutes} minutes "
            f"(got {table.heading.home_utc_offset_minutes})"
        )
    return taken_of(table, {source.name: source.id for source in settings.sources})


def lines(found: "Parity", sources: dict[int, str]) -> list[str]:
    """What is printed, for the verdict at its end."""
    said = [
        f"{found.served:,} vectors kept by serving, {found.compared:,} compared, {found.missing:,} not computed here; "
        f"{found.differing:,} differ"
    ]
    for name, count in found.features.most_common():
        said.append(f"{name}: {count:,} differ")
        for one in found.examples[name]:
            source = sources.get(one.source, f"#{one.source}")
            said.append(
                f"  {one.number} at {source}[{one.partition}] offset {one.offset}: "
                f"served {one.served!r}, computed {one.computed!r}"
            )
    return said


def _write(path: Path, found: "Parity", *, equal: bool) -> None:
    """Written beside and renamed: a scrape meets all of it or what was there before."""
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    values = {
        "parity_equal": float(equal),
        "parity_vectors": found.compared,
        "parity_differing": found.differing,
        "parity_missing": found.missing,
        "parity_timestamp_seconds": time.time(),
    }
    registry = CollectorRegistry()
    for metric in PARITY:
        Gauge(metric.exposed, metric.meaning, registry=registry).set(values[metric.attribute])
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise ConfigError(f"{path}: wanted a place to write to (got {error.strerror or error})") from error
