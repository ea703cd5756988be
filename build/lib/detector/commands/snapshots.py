"""`snapshots list|verify|prune`: what state is on disk, whether it is whole, and how much of it to keep."""

import argparse
import time
from typing import TYPE_CHECKING

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, positive, say, settings_of
from detector.errors import Recoverable

if TYPE_CHECKING:
    from detector.config import Settings
    from detector.service.stock import Stored


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = commands.add_parser("snapshots", help="what state is on disk", description="What state is on disk.")
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = add_command(
        below,
        "list",
        _list,
        "print every snapshot under detect.snapshots, and what is wrong with it",
        "Every file is read and its checksum compared. Needs no broker.",
    )
    verify = add_command(
        below,
        "verify",
        _verify,
        "check that every snapshot is whole and of this topic and these features",
        "Exit 1 if any is not, each with what differs. Without a broker the topic's identity is not compared, and\n"
        "that is said. Folders with temporary names are no snapshots: they are neither good nor bad.",
    )
    prune = add_command(
        below,
        "prune",
        _prune,
        "remove old, damaged and half-written snapshots",
        "The newest whole ones of every topic, partition and version of the features stay, and so do half-written\n"
        "ones of the last hour, which somebody may be writing.",
    )
    prune.add_argument("--keep", type=positive, required=True, metavar="N", help="how many whole ones stay")
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    for command in (listing, verify, prune):
        add_config(command)


def _found(settings: "Settings") -> "list[Stored]":
    from detector.service.stock import stock

    root = settings.path(settings.detect.snapshots)
    found = stock(root, time.time())
    if not found:
        say(f"no snapshots in {root}")
    return found


def _list(arguments: argparse.Namespace) -> int:
    for line in lines([(one, one.wrong) for one in _found(settings_of(arguments))]):
        out(line)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from detector.snapshot import open_store

    settings = settings_of(arguments)
    store = open_store(settings, _identity(settings))
    judged = [(one, one.unusable(store)) for one in _found(settings)]
    for line in lines(judged):
        out(line)
    bad = sum(bool(wrong) and not one.half_written for one, wrong in judged)
    whole = sum(not wrong for _, wrong in judged)
    if judged:
        out(f"{whole} usable, {bad} not, {len(judged) - whole - bad} half written")
    return 1 if bad else 0


def _identity(settings: "Settings") -> str:
    """The identity of the configured topic; empty, and said, where no broker tells it."""
    try:
        with open_kafka(settings) as broker:
            if settings.topics.events in broker.partitions():
                return broker.identity(settings.topics.events)
            say(f"no topic {settings.topics.events}: its identity is not compared")
    except Recoverable as error:
        say(f"no broker answers, so the topic's identity is not compared: {error}")
    return ""


def _prune(arguments: argparse.Namespace) -> int:
    from detector.service.stock import remove, superfluous

    doomed = list(superfluous(_found(settings_of(arguments)), arguments.keep))
    for line in lines(doomed):
        out(line)
    for one, _ in doomed:
        if not arguments.dry_run:
            remove(one)
    size = sum(one.bytes for one, _ in doomed)
    out(f"{len(doomed)} {'would be ' if arguments.dry_run else ''}removed, {size:,} bytes")
    return 0


def lines(judged: "list[tuple[Stored, str]]") -> list[str]:
    """A table of snapshots with a word on each, the folder of each topic above those in it."""
    found: list[str] = []
    topic = ""
    for one, wrong in judged:
        if one.topic != topic:
            topic = one.topic
            found.append(f"{one.path.parents[1]}:")
            found.append(f"{'partition':>9}  {'offset':>14}  {'bytes':>15}  {'age':>9}")
        found.append(f"{one.partition:>9}  {one.offset:>14}  {one.bytes:>15,}  {age(one.age_s):>9}  {wrong or 'whole'}")
    return found


def age(seconds: float) -> str:
    """A length of time in its two largest units."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    if day:
        return f"{day}d {hour}h"
    if hour:
        return f"{hour}h {minute}m"
    return f"{minute}m {second}s"
