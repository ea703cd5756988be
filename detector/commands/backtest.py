"""`backtest`: what a policy and a model would have done over past traffic, beside today's."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from detector.commands.audit import Place, place
from detector.commands.common import Commands, add_command, add_config, open_kafka, out, positive, say, settings_of
from detector.commands.labels import labels_of
from detector.commands.replay import CHUNK, for_files, in_order
from detector.config import Settings
from detector.errors import ConfigError

if TYPE_CHECKING:
    from detector.broker import Broker, Message
    from detector.learning.backtest import Lane, Level, Outcome, Truth
    from detector.pipeline import Entry

BATCH: Final = 500
"""Messages of a topic taken through the core at once."""
IDLE_WAIT_MS: Final = 1
ACTIONS: Final = ("flag", "warn", "block")

Batches = Iterator[tuple[int, "list[Entry]"]]
"""Partitions of the internal log, each with its next messages in order."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "backtest",
        _backtest,
        "say what a policy and a model would have decided on past traffic, beside today's",
        "Records of FILEs, or a range of events.by-number, go through the detector itself and nothing is published.\n"
        "With --policy or --bundle a second lane decides the same rows with these in place of the configuration's.\n"
        "Both begin knowing nothing, at the files' or the topic's first record, and what lies before --from is only\n"
        "remembered. Until the windows are full, a week, rules are silent and no margin counts for thresholds (unless\n"
        "--assume-warm).",
    )
    add_config(parser)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="records of one source, as for `replay`")
    parser.add_argument("--source", metavar="NAME", help="the configured source that reads the files")
    what = "an offset, or the time of publication: ISO or UTC milliseconds"
    parser.add_argument(
        "--from", dest="start", type=place, metavar="FROM", help=f"without files: decide from here on; {what}"
    )
    parser.add_argument("--to", dest="stop", type=place, metavar="TO", help=f"{what} (default: the log's end)")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="the other policy")
    parser.add_argument("--bundle", type=Path, metavar="FOLDER", help="the other model")
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="known frauds, in files or `topic`: every other number counts as honest",
    )
    parser.add_argument(
        "--budget",
        type=positive,
        default=100,
        metavar="N",
        help="alerts a day that an analyst can look at (default: 100)",
    )
    parser.add_argument("--analysts", type=positive, default=1, metavar="N", help="how many there are (default: 1)")
    parser.add_argument("--mode", choices=("shadow", "flag", "enforce"), help="instead of verdict.mode")
    parser.add_argument("--assume-warm", action="store_true", help="let rules act from the first record on")
    parser.add_argument(
        "--accept-simulated", action="store_true", help="let a model that was trained on simulated traffic only block"
    )
    parser.add_argument(
        "--by-time",
        action="store_true",
        help="put all records in order of their events' time first, in memory (default: as filed, in bounded memory)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")


def _backtest(arguments: argparse.Namespace) -> int:
    from detector.learning.backtest import Lane

    settings = _settings(arguments)
    lanes = [Lane("today", settings)]
    if arguments.policy or arguments.bundle:
        lanes.append(Lane("other", _other(settings, arguments)))
    truth = _truth(arguments.labels, settings) if arguments.labels else None
    if arguments.files:
        _run(lanes, of_files(settings, _blocks(settings, arguments)))
    else:
        with open_kafka(settings) as broker:
            for lane in lanes:
                lane.decide_from = _starts(broker, settings, arguments.start)
            _run(lanes, of_topic(broker, settings, arguments.stop))
    outcomes = [lane.outcome(truth, arguments.budget * arguments.analysts) for lane in lanes]
    if arguments.json:
        _write(arguments.json, outcomes, arguments)
    for line in lines(outcomes, arguments.analysts):
        out(line)
    return 0


def _run(lanes: "Sequence[Lane]", batches: Batches) -> None:
    for partition, entries in batches:
        for lane in lanes:
            lane.take(partition, entries)


def _settings(arguments: argparse.Namespace) -> Settings:
    """Of today's lane."""
    from msgspec.structs import replace

    settings = settings_of(arguments)
    if arguments.files:
        if not arguments.source:
            raise ConfigError("--source: wanted the configured source that reads the files (got none)")
        return for_files(settings, arguments)
    if arguments.start is None:
        raise ConfigError("wanted FILEs, or --from for a range of the internal topic (got neither)")
    return replace(
        settings,
        model=replace(settings.model, accept_simulated=arguments.accept_simulated or settings.model.accept_simulated),
        verdict=replace(
            settings.verdict,
            mode=arguments.mode or settings.verdict.mode,
            assume_warm=arguments.assume_warm or settings.verdict.assume_warm,
        ),
    )


def _other(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """`settings` with the other policy and model."""
    from msgspec.structs import replace

    if arguments.policy:
        settings = replace(settings, verdict=replace(settings.verdict, policy=str(arguments.policy.resolve())))
    if arguments.bundle:
        settings = replace(settings, model=replace(settings.model, bundle=str(arguments.bundle.resolve())))
    return settings


def _truth(files: Sequence[Path], settings: Settings) -> "Truth":
    from detector.learning.backtest import truth_of
    from detector.learning.labelfile import DETECTOR

    labels = labels_of(files, settings)
    return truth_of(
        (
            (label.number, label.active_from_ms, label.type or "unknown")
            for label in labels
            if label.fraud and label.source != DETECTOR
        ),
        (label.number for label in labels if label.source == DETECTOR),
    )


def _blocks(settings: Settings, arguments: argparse.Namespace) -> "Iterator[list[bytes]]":
    """The messages of the files, some at a time."""
    from detector.ingest.rows import open_source
    from detector.learning.recordfiles import message_blocks

    reader = open_source(settings, settings.sources[0])
    blocks = message_blocks(arguments.files, reader.decoder, reader.mapping.codec, CHUNK)
    if not arguments.by_time:
        return blocks
    values = in_order(reader, [value for block in blocks for value in block])
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def of_files(settings: Settings, blocks: Iterable[list[bytes]]) -> Batches:
    """Messages of the one source, through ingest itself on a broker in memory."""
    from msgspec.structs import replace

    from detector.broker import TopicPartition
    from detector.broker.memory import MemoryBroker
    from detector.broker.topics import topic_specs
    from detector.metrics import Metrics
    from detector.service.ingest import IngestRole

    settings = replace(settings, ingest=replace(settings.ingest, wait_ms=IDLE_WAIT_MS))
    events, source, metrics = settings.topics.events, settings.sources[0].topic, Metrics()
    broker = MemoryBroker()
    broker.create(topic_specs(settings))
    role = IngestRole(settings, broker, metrics, "backtest-0")
    try:
        for block in blocks:
            broker.publish(source, [(None, value) for value in block], partition=0)
            idle = 0
            while idle < 2:  # the first poll may bring no more than the assignment
                idle = 0 if role.step() else idle + 1
            for partition in range(settings.topics.partitions):
                at = TopicPartition(events, partition)
                entries = [_entry(message) for message in broker.read(at, *broker.watermarks(at))]
                if entries:
                    yield partition, entries
                for topic in (events, settings.topics.rejects):  # nobody reads these: they would be kept
                    read = TopicPartition(topic, partition)
                    broker.truncate(read, broker.watermarks(read)[1])
            broker.trim(source)
        rejected = metrics.value("rejects")
        say(f"{metrics.value('records'):,.0f} records, {rejected:,.0f} rejected, {metrics.value('rows_out'):,.0f} rows")
    finally:
        role.close()
        broker.close()


def _starts(broker: "Broker", settings: Settings, start: Place) -> dict[int, int]:
    """Of each partition: where the range begins."""
    from detector.broker import TopicPartition

    partitions = range(settings.topics.partitions)
    return {q: _offset(broker, TopicPartition(settings.topics.events, q), start) for q in partitions}


def of_topic(broker: "Broker", settings: Settings, stop: Place | None) -> Batches:
    """The internal topic from its beginning, a partition after another: none depends on what happens in the others."""
    from detector.broker import TopicPartition

    for partition in range(settings.topics.partitions):
        at = TopicPartition(settings.topics.events, partition)
        low, high = broker.watermarks(at)
        last = high if stop is None else min(high, _offset(broker, at, stop))
        batch: list[Entry] = []
        for message in broker.read(at, low, last):
            batch.append(_entry(message))
            if len(batch) == BATCH:
                yield partition, batch
                batch = []
        if batch:
            yield partition, batch


def _offset(broker: "Broker", at: Any, wanted: Place) -> int:
    from detector.broker.times import offset_at

    if wanted.time_ms is not None:
        return offset_at(broker, at, wanted.time_ms)
    return wanted.offset or 0


def _entry(message: "Message") -> "Entry":
    from detector.pipeline import Entry

    return Entry(message.offset(), message.value(), message.headers() or [])


# What is printed.


def lines(outcomes: "Sequence[Outcome]", analysts: int) -> list[str]:
    """The outcomes side by side."""
    found = [f"{one.name}: model {one.model}, policy {one.policy}, mode {one.mode}" for one in outcomes]
    first = outcomes[0]
    found.append(f"{first.rows:,} rows, {first.scored:,} scored; {first.span_days:.1f} days with full windows")
    found += ["", *_table("day", [_by_day(one) for one in outcomes], outcomes)]
    found += ["", *_table("rule", [one.rules for one in outcomes], outcomes)]
    if any(one.types for one in outcomes):
        found += ["", *_types(outcomes)]
        found += ["", *_table("honest numbers touched", [_touched(one) for one in outcomes], outcomes)]
    found += ["", *_workload(outcomes, analysts)]
    if len(outcomes) == 2:
        mine, theirs = outcomes[0].numbers, outcomes[1].numbers
        found.append(
            f"numbers decided against: {len(mine & theirs):,} by both, {len(mine - theirs):,} by {outcomes[0].name} "
            f"only, {len(theirs - mine):,} by {outcomes[1].name} only"
        )
    for one in outcomes:
        found += ["", *_levels(one)]
    return found


def _table(what: str, counted: Sequence[Mapping[str, Mapping[str, int]]], outcomes: "Sequence[Outcome]") -> list[str]:
    """A line for each key that any of them has; actions of each lane side by side."""
    keys = list(dict.fromkeys(key for counts in counted for key in counts))
    head = "  ".join(f"{' ' + one.name:->20}" for one in outcomes)
    found = [f"{'':<32}{head}", f"{what:<32}" + "  ".join("".join(f"{a:>7}" for a in ACTIONS)[1:] for _ in outcomes)]
    for key in [*keys, "all"]:
        cells = []
        for counts in counted:
            mine = [counts.get(key, {})] if key != "all" else list(counts.values())
            cells.append("".join(f"{sum(c.get(a, 0) for c in mine):>7,}" for a in ACTIONS)[1:])
        found.append(f"{key:<32}" + "  ".join(cells))
    return found


def _by_day(outcome: "Outcome") -> dict[str, Mapping[str, int]]:
    return {_date(day): counts for day, counts in outcome.days.items()}


def _touched(outcome: "Outcome") -> dict[str, Mapping[str, int]]:
    return {"gravest against each": outcome.touched}


def _types(outcomes: "Sequence[Outcome]") -> list[str]:
    """Known frauds by type."""
    columns = ("caught", "blocked", "delay")
    found = [f"{'fraud':<24}{'numbers':>8}" + "  ".join("".join(f"{name:>10}" for name in columns) for _ in outcomes)]
    for kind in dict.fromkeys(kind for one in outcomes for kind in one.types):
        cells = []
        for one in outcomes:
            caught = one.types[kind]
            delay = "-" if caught.median_delay_s is None else str(timedelta(seconds=round(caught.median_delay_s)))
            cells.append(f"{caught.caught:>10,}{caught.blocked:>10,}{delay:>10}")
        found.append(f"{kind:<24}{outcomes[0].types[kind].numbers:>8,}" + "  ".join(cells))
    return found


def _workload(outcomes: "Sequence[Outcome]", analysts: int) -> list[str]:
    return [
        f"{one.name}: {one.alerts_a_day:,.1f} alerts a day, {one.alerts_a_day / analysts:,.1f} for each of {analysts} "
        f"analysts (at most {max(one.alerts.values(), default=0):,})"
        + "".join(f"; held back by {why}: {count:,}" for why, count in one.held_back.items())
        for one in outcomes
    ]


def _levels(outcome: "Outcome") -> list[str]:
    """Thresholds as they are, and as a budget would have them."""
    found = [f"{outcome.name + ': numbers a day that reach':<36}{'margin':>10}{'numbers':>10}{'frauds':>10}"]
    return found + [_level(level) for level in (*outcome.levels, *outcome.suggested)]


def _level(level: "Level") -> str:
    frauds = "-" if level.frauds_a_day is None else f"{level.frauds_a_day:,.1f}"
    return f"  {level.name:<34}{level.margin:>10.3f}{level.numbers_a_day:>10,.1f}{frauds:>10}"


def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _write(path: Path, outcomes: "Sequence[Outcome]", arguments: argparse.Namespace) -> None:
    import orjson

    lanes = []
    for one in outcomes:
        tree = asdict(one) | {"alerts_a_day": one.alerts_a_day, "numbers": len(one.numbers)}
        for field in ("days", "alerts"):
            tree[field] = {_date(day): value for day, value in getattr(one, field).items()}
        lanes.append(tree)
    tree = {
        "format": "backtest-1",
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "analysts": arguments.analysts,
        "budget": arguments.budget,
        "lanes": lanes,
    }
    try:
        path.write_bytes(orjson.dumps(tree, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise ConfigError(f"{path}: wanted a place to write to (got {error.strerror or error})") from error
