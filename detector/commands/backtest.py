"""`backtest`: what a policy and a model would have done over past traffic, beside today's."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from detector.commands.batches import Batches, of_files, of_topic
from detector.commands.common import Commands, add_command, add_config, open_kafka, out, positive, settings_of
from detector.commands.labels import labels_of
from detector.commands.places import WHAT, Place, offset_of, place
from detector.commands.replay import CHUNK, as_ordered, for_files, in_order
from detector.commands.sidebyside import date_of, lines
from detector.config import Settings
from detector.errors import ConfigError

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.learning.backtest import Lane, Outcome, Truth


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
    parser.add_argument(
        "--from", dest="start", type=place, metavar="FROM", help=f"without files: decide from here on; {WHAT}"
    )
    parser.add_argument("--to", dest="stop", type=place, metavar="TO", help=f"{WHAT} (default: the log's end)")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="the other policy")
    parser.add_argument("--bundle", type=Path, metavar="FOLDER", help="the other model")
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="known frauds, in files or `topic`, caught by what is decided while they last: every other number counts "
        "as honest",
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
    settings = settings_of(arguments)
    if arguments.files:
        if not arguments.source:
            raise ConfigError("--source: wanted the configured source that reads the files (got none)")
        return for_files(settings, arguments)
    if arguments.start is None:
        raise ConfigError("wanted FILEs, or --from for a range of the internal topic (got neither)")
    return as_ordered(settings, arguments)


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
    from detector.learning.known import Known
    from detector.learning.labelfile import DETECTOR

    labels = labels_of(files, settings)
    known = Known(labels, max((label.known_at_ms for label in labels), default=0), 0)
    return truth_of(
        (
            (label.number, label.active_from_ms, label.active_until_ms, label.type or "unknown")
            for label in known.frauds()
        ),
        {label.number for label in labels if label.source == DETECTOR}
        - {label.number for label in labels if label.source != DETECTOR},
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


def _starts(broker: "Broker", settings: Settings, start: Place) -> dict[int, int]:
    """Of each partition: where the range begins."""
    from detector.broker import TopicPartition

    partitions = range(settings.topics.partitions)
    return {q: offset_of(broker, TopicPartition(settings.topics.events, q), start) for q in partitions}


def _write(path: Path, outcomes: "Sequence[Outcome]", arguments: argparse.Namespace) -> None:
    import orjson

    lanes = []
    for one in outcomes:
        tree = asdict(one) | {"alerts_a_day": one.alerts_a_day, "numbers": len(one.numbers)}
        for field in ("days", "alerts"):
            tree[field] = {date_of(day): value for day, value in getattr(one, field).items()}
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
