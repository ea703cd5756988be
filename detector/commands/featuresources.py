"""Feature sources: where `features` takes rows from, each with the flags that go with it.

files of records --through ingest--+
events.by-number ------------------+--> Taker, with a state of its own --> vectors at the moments of the plan
an archive of it ------------------+
"""

import argparse
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from detector.commands.common import say, source_named
from detector.commands.places import offset_of
from detector.config import Settings
from detector.errors import ConfigError
from detector.units import DAY_MS

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.learning.features import Taken, Tally, Tell
    from detector.learning.moments import Plan
    from detector.pipeline import Entry


def taken_from_files(
    settings: Settings, arguments: argparse.Namespace, plan: "Plan", floor: int, tally: "Tally", tell: "Tell"
) -> "Iterator[Taken]":
    """Files of one source as one log; `tell` is given what is refused."""
    from detector.learning.features import from_files

    for name in ("start", "stop", "partition"):
        if getattr(arguments, name) is not None:
            flag = {"start": "--from", "stop": "--to"}.get(name, f"--{name}")
            raise ConfigError(f"{flag}: wanted --from-topic with it (got --input)")
    if arguments.source is None:
        raise ConfigError("--source: wanted the name of the source that reads the files (got none)")
    source = source_named(settings, arguments.source)
    return from_files(settings, source, arguments.input, plan.of, floor, tally, tell, _warm_ms(arguments))


def taken_from_topic(
    settings: Settings, broker: "Broker", arguments: argparse.Namespace, plan: "Plan", floor: int, tally: "Tally"
) -> "Iterator[Taken]":
    """Partition by partition; the state from the newest snapshot at or before the range, else from the log's start."""
    from detector.broker import TopicPartition
    from detector.broker.entries import read_entries
    from detector.learning.features import Taker, from_log
    from detector.service.restore import Restorer
    from detector.service.rules import Rules
    from detector.snapshot import open_store
    from detector.verdict.memory import Memory

    wanted = _partitions(settings, arguments)
    store = open_store(settings, broker.identity(settings.topics.events))
    restorer = Restorer(settings, broker, Rules.load(settings).detector, store)
    for q in wanted:
        at = TopicPartition(settings.topics.events, q)
        low, high = broker.watermarks(at)
        start = offset_of(broker, at, arguments.start) if arguments.start else low
        stop = min(high, offset_of(broker, at, arguments.stop)) if arguments.stop else high
        if start < low:
            raise ConfigError(f"--from: {at.topic}[{q}] starts at offset {low}: wanted one from there on (got {start})")
        if start >= stop:
            continue
        stood = restorer.stand(at, low, start, Memory(), Memory())
        covered = stood.part.coverage
        taker = Taker(
            stood.part.state,
            plan.of(q),
            floor,
            tally,
            covered.newest_ms,
            _warm_ms(arguments),
            int(covered.span[0]),
        )
        yield from from_log(read_entries(broker, at, stood.start, stop), taker, start, tally)


def taken_from_archive(
    settings: Settings, arguments: argparse.Namespace, plan: "Plan", floor: int, tally: "Tally"
) -> "Iterator[Taken]":
    """Partition by partition; the state from the archive's first row on. Behind a gap windows have to fill anew."""
    from detector.learning.archive import Archive
    from detector.learning.features import Taker, from_log
    from detector.pipeline import fresh_state

    for flag, end in (("--from", arguments.start), ("--to", arguments.stop)):
        if end is not None and end.time_ms is not None:
            raise ConfigError(f"{flag}: wanted an offset with --archive (got a time: it does not say when published)")
    archive = Archive(arguments.archive)
    progress = archive.progress_of(settings.topics.partitions)
    start = arguments.start.offset if arguments.start else 0
    for q in _partitions(settings, arguments):
        if q not in progress:
            continue
        for first, behind in progress[q].gaps:
            say(f"{archive.root}: partition {q}: the offsets {first} to {behind - 1} were never archived")
        stop = min(progress[q].next, arguments.stop.offset) if arguments.stop else progress[q].next
        taker = Taker(fresh_state(settings), plan.of(q), floor, tally, warm_ms=_warm_ms(arguments))
        entries = (entry for entry in archive.entries(q, progress[q].next) if entry.offset < stop)
        for part in _between(entries, [behind for _, behind in progress[q].gaps]):
            yield from from_log(part, taker, start, tally)
            taker.interrupt()


def _between(entries: "Iterator[Entry]", bounds: Sequence[int]) -> "Iterator[Iterator[Entry]]":
    """The entries cut at offsets, each part to be read before the next is asked for."""
    return (part for _, part in groupby(entries, lambda entry: bisect_right(bounds, entry.offset)))


def _partitions(settings: Settings, arguments: argparse.Namespace) -> list[int]:
    """Those that are asked for."""
    there = range(settings.topics.partitions)
    if arguments.partition is None:
        return list(there)
    if arguments.partition not in there:
        raise ConfigError(f"--partition: wanted 0 to {len(there) - 1} (got {arguments.partition})")
    return [arguments.partition]


def _warm_ms(arguments: argparse.Namespace) -> int:
    if not arguments.warm_days >= 0:
        raise ConfigError(f"--warm-days: wanted at least 0 (got {arguments.warm_days})")
    return int(arguments.warm_days * DAY_MS)
