"""`labels`: what was said of numbers goes from files to the topic, and from the topic to a file."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, say, settings_of
from detector.commands.places import Place, place
from detector.errors import ConfigError

if TYPE_CHECKING:
    from detector.config import Settings
    from detector.learning.labelfile import NumberLabel

TOPIC: Final = "topic"
"""In place of a label file: the configured topic. No label file can be called so, for it would have no ending."""
MOST_TOLD: Final = 5
"""Messages that are no labels, told one by one."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = commands.add_parser(
        "labels", help="publish and read what was said of numbers", description="Publish and read labels of numbers."
    )
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    publish = add_command(
        below,
        "publish",
        _publish,
        "put label files on the topic of labels, keyed by number",
        "Nothing is published unless every line of every file is a label. To publish a file again changes nothing:\n"
        "what was said twice counts once.",
    )
    add_config(publish)
    publish.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".parquet, .csv or .jsonl")
    publish.add_argument(
        "--known-at", type=place, metavar="TIME", help="of lines without known_at_ms: ISO or UTC ms (default: now)"
    )
    export = add_command(below, "export", _export, "write what the topic of labels holds to a file")
    add_config(export)
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet, .csv or .jsonl")
    export.add_argument("--known-by", type=place, metavar="TIME", help="leave out what became known later")
    withdraw = add_command(
        below,
        "withdraw",
        _withdraw,
        "take back all that was said of a number until now",
        "For a slip, or for somebody who must be forgotten: what stood on the topic is read no more, and goes with\n"
        "the topic's retention. Label files and tables that were made of it are yours to find.\n"
        "An E.164 number without a trunk is taken back behind every trunk, as `archive erase` does it.",
    )
    add_config(withdraw)
    withdraw.add_argument("numbers", nargs="+", metavar="NUMBER", help="as decisions write it: +E164, sender:NAME@3, …")


def labels_of(files: Sequence[Path], settings: "Settings") -> "list[NumberLabel]":
    """The labels of files, and of the topic where one of them is called `topic`."""
    from detector.learning.labelfile import read_labels

    labels = read_labels([file for file in files if str(file) != TOPIC])
    return labels + (_on_topic(settings) if Path(TOPIC) in files else [])


def _on_topic(settings: "Settings") -> "list[NumberLabel]":
    from detector.learning.labeltopic import read_label_topic

    with open_kafka(settings) as broker:
        found = read_label_topic(broker, settings.topics.labels)
    for wrong in found.wrong[:MOST_TOLD]:
        say(f"left out: {wrong}")
    if len(found.wrong) > MOST_TOLD:
        say(f"left out: {len(found.wrong) - MOST_TOLD:,} more messages that are no labels")
    return found.labels


def _time_ms(wanted: Place | None, flag: str, default: int | None) -> int | None:
    if wanted is None:
        return default
    if wanted.time_ms is None:
        raise ConfigError(f"{flag}: wanted a time, ISO or UTC milliseconds (got {wanted.offset})")
    return wanted.time_ms


def _publish(arguments: argparse.Namespace) -> int:
    from detector.learning.labelfile import read_labels
    from detector.learning.labeltopic import publish_labels

    settings = settings_of(arguments)
    known_at_ms = _time_ms(arguments.known_at, "--known-at", int(time.time() * 1000))
    labels = read_labels(arguments.files, known_at_ms)
    with open_kafka(settings) as broker:
        count = publish_labels(broker, settings.topics.labels, labels)
    out(f"{settings.topics.labels}: {count:,} labels published")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from detector.learning.labelfile import write_labels

    known_by_ms = _time_ms(arguments.known_by, "--known-by", None)
    labels = _on_topic(settings_of(arguments))
    labels = [label for label in labels if known_by_ms is None or label.known_at_ms <= known_by_ms]
    write_labels(arguments.out, labels)
    out(f"{arguments.out}: {len(labels):,} labels")
    return 0


def _withdraw(arguments: argparse.Namespace) -> int:
    from detector.learning.labeltopic import withdraw_labels
    from detector.records import parse_number

    settings = settings_of(arguments)
    try:
        numbers = [parse_number(number) for number in arguments.numbers]
    except ValueError as error:
        raise ConfigError(f"NUMBER: {error}") from error
    with open_kafka(settings) as broker:
        withdraw_labels(broker, settings.topics.labels, numbers)
    out(f"{settings.topics.labels}: nothing is said any more of {', '.join(arguments.numbers)}")
    return 0
