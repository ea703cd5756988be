"""`audit`: a stretch of the log is decided on once more, and compared with what was published."""

import argparse
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, say, settings_of
from detector.commands.places import WHAT, offset_of, place
from detector.errors import ConfigError

if TYPE_CHECKING:
    from detector.service.audit import Audited

MOST_LINES: Final = 50
"""Differences printed; the table counts all of them."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "audit",
        _audit,
        "decide on a stretch of the log again and compare with what was published",
        "Rows of [FROM, TO) are replayed from the newest snapshot at or before FROM, else from the log's start if\n"
        "that reaches back far enough. Exit 1 if a decision is missing from the history, stands there in addition,\n"
        "or says something else. Model and policy must be those that the control topic names for the range, and\n"
        "the mode of that time is taken from there; every other setting is taken as it is now.",
    )
    add_config(parser)
    parser.add_argument("--from", dest="start", type=place, metavar="FROM", help=f"{WHAT} (default: the log's start)")
    parser.add_argument("--to", dest="stop", type=place, metavar="TO", help=f"{WHAT} (default: what is committed)")
    parser.add_argument("--partition", type=int, metavar="Q", help="only this one (default: all)")


def _audit(arguments: argparse.Namespace) -> int:
    from detector.broker import TopicPartition
    from detector.service.audit import Auditor
    from detector.snapshot import open_store

    settings = settings_of(arguments)
    partitions = range(settings.topics.partitions)
    if arguments.partition is not None and arguments.partition not in partitions:
        raise ConfigError(f"--partition: wanted 0 to {len(partitions) - 1} (got {arguments.partition})")
    with open_kafka(settings) as broker:
        auditor = Auditor(settings, broker, open_store(settings, broker.identity(settings.topics.events)))
        audited = []
        for q in partitions if arguments.partition is None else [arguments.partition]:
            at = TopicPartition(settings.topics.events, q)
            start = None if arguments.start is None else offset_of(broker, at, arguments.start)
            stop = None if arguments.stop is None else offset_of(broker, at, arguments.stop)
            audited.append(auditor.audit(q, start, stop))
            say(f"partition {q}: offsets {audited[-1].start:,} to {audited[-1].stop:,} decided on again")
    for line in lines(audited):
        out(line)
    return 1 if any(one.differences for one in audited) else 0


COLUMNS: Final = ("partition", "from", "to", "state from", "decided", "published", "missing", "extra", "different")


def lines(audited: "list[Audited]") -> list[str]:
    """A table of the partitions, and the differences, each on a line."""
    table: list[tuple[str, ...]] = [COLUMNS]
    for one in audited:
        state = f"{'snapshot' if one.from_snapshot else 'log'} {one.state_from}" if one.start < one.stop else "-"
        counts = (one.decided, one.published, *(one.count(what) for what in COLUMNS[-3:]))
        table.append((str(one.partition), str(one.start), str(one.stop), state, *map(str, counts)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    found = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    differences = [difference for one in audited for difference in one.differences]
    found += [f"{each.what:<9}  {each.decision_id}  {each.key}  {each.detail}" for each in differences[:MOST_LINES]]
    if len(differences) > MOST_LINES:
        found.append(f"and {len(differences) - MOST_LINES} more")
    decided = sum(one.decided for one in audited)
    found.append(
        f"{decided} decisions, {len(differences)} differences" if differences else f"{decided} decisions, equal"
    )
    return found
