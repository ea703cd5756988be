"""`decisions tail`: what is decided, a line each, as an analyst reads it."""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, settings_of

if TYPE_CHECKING:
    from detector.broker import Broker, TopicPartition
    from detector.config import Settings
    from detector.verdict.decisions import Decision

PAUSE_S: Final = 0.3
"""Between two looks at the ends of the partitions."""
HISTORY: Final = "history"
"""In place of a file of decisions: the configured topic."""
AT_ONCE: Final = 500
"""Offsets that are read of one partition before the next one's turn: a megabyte or less of each waits to be printed."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = commands.add_parser("decisions", help="read what is decided", description="Read what is decided.")
    tail = add_command(
        parser.add_subparsers(metavar="COMMAND", required=True),
        "tail",
        _tail,
        "print decisions as they are published, until Ctrl-C",
        "Columns: time of the event, action, number, service, scope, rule, score, expiry; then the reasons\n"
        "and, where a block was held back, by what. Decisions are kept for 400 days: --since is quicker than\n"
        "--from-beginning.",
    )
    add_config(tail)
    start = tail.add_mutually_exclusive_group()
    start.add_argument("--from-beginning", action="store_true", help="start with the oldest that is kept")
    start.add_argument(
        "--since",
        metavar="TIME",
        help="start with what was published then: 90m, 2h, 7d, an ISO time or UTC milliseconds",
    )
    tail.add_argument("--no-follow", action="store_true", help="end at the newest instead of waiting for more")
    tail.add_argument("--shadow", action="store_true", help="those of shadow mode, which nobody acts on")
    tail.add_argument(
        "--json",
        action="store_true",
        help="print the decisions themselves, a line each: `features --decisions` reads them",
    )


def decisions_of(path: Path, settings: "Settings") -> "Iterator[Decision]":
    """What a file holds, or the topic of the history where it is called `history`; a partition's in their order."""
    from detector.learning.decided import decisions_on, read_decisions

    if str(path) != HISTORY:
        yield from read_decisions(path)
        return
    with open_kafka(settings) as broker:
        yield from decisions_on(broker, settings)


def _tail(arguments: argparse.Namespace) -> int:
    from detector.broker import TopicPartition
    from detector.commands.reading import decision_lines
    from detector.service.release import moment_ms

    settings = settings_of(arguments)
    topics = settings.topics
    topic = topics.shadow if arguments.shadow else topics.history
    since_ms = None if arguments.since is None else moment_ms(arguments.since, time.time_ns() // 1_000_000)
    with open_kafka(settings) as broker:

        def start(at: TopicPartition) -> int:
            if since_ms is not None:
                return broker.offset_at(at, since_ms)
            return broker.watermarks(at)[0 if arguments.from_beginning else 1]

        positions = {at: start(at) for at in (TopicPartition(topic, q) for q in range(topics.partitions))}
        for decision in follow(broker, positions, more=lambda: not arguments.no_follow):
            for line in [decision.to_json().decode()] if arguments.json else decision_lines(decision):
                out(line)
    return 0


def follow(
    broker: "Broker", positions: "Mapping[TopicPartition, int]", more: Callable[[], bool]
) -> "Iterator[Decision]":
    """Every partition's decisions from its position to its end, and again while there may be `more`; without a group.

    The earliest issued first, of those that come next in each partition: however many there are, a few are in memory.
    """
    positions = dict(positions)
    while True:
        ends = {at: broker.watermarks(at)[1] for at in positions}
        yield from merge(
            *(_decisions(broker, at, start, ends[at]) for at, start in positions.items()),
            key=lambda decision: decision.issued_at,
        )
        positions = ends
        if not more():
            return
        time.sleep(PAUSE_S)


def _decisions(broker: "Broker", at: "TopicPartition", start: int, end: int) -> "Iterator[Decision]":
    """Of `[start, end)`, read in turns: readers that stay open would take more memory than what they read."""
    from detector.verdict.decisions import Decision

    for first in range(start, end, AT_ONCE):
        values = [message.value() for message in broker.read(at, first, min(first + AT_ONCE, end))]
        yield from (Decision.from_json(value) for value in values if value)
