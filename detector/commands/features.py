"""`features`: records become a table of vectors at chosen moments, with what was known of their numbers."""

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, say, settings_of
from detector.commands.decisions import decisions_of
from detector.commands.featuresources import taken_from_archive, taken_from_files, taken_from_topic
from detector.commands.labels import labels_of
from detector.commands.places import WHAT, place
from detector.config import Settings
from detector.errors import ConfigError, Rejected
from detector.units import DAY_MS

if TYPE_CHECKING:
    from detector.learning.decided import Hidden
    from detector.learning.features import Taken, Tally, Tell
    from detector.learning.known import Known
    from detector.learning.labelling import Written
    from detector.learning.moments import Plan

WARM_DAYS: Final = 7.0
"""The longest window."""
DELAY_DAYS: Final = 14.0
"""Until fraud has usually been complained of or found in the bills; what a carrier's own sources take, it knows."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "features",
        _features,
        "put records through ingest and state, and write their vectors as a table to learn from",
        "At an event the vector is, bit for bit, what detect scores there. Records of files are taken in the order of\n"
        "the files, as one log: what is late there is late. A range of the topic is taken partition after partition,\n"
        "with the state from the newest snapshot before it. Memory does not grow with the input.\n\n"
        "  --at every:N   behind the first event of a number, and every N-th after it\n"
        "  --at day:N     behind each of the first N events of a number on a day (UTC), then at every doubling\n"
        "  --at hour      at the end of each hour of event time, of the numbers with an event in it\n"
        "  --at label     at each label's own moment: when it was known, or the last at which it still held\n\n"
        "With --labels each vector gets what was known of its number at --known-by, and as weight its share of its\n"
        "number-day. Honest is who nobody has said anything of, once the delay is over. But of whoever is blocked\n"
        "nobody complains: with --decisions silence about whom we blocked or warned of says nothing, while that is in\n"
        "force and until windows have forgotten it. What people say counts, and silence about flags and the hold-out.",
    )
    add_config(parser)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--input", nargs="+", type=Path, metavar="FILE", help="files of records: .parquet, or what the source writes"
    )
    given.add_argument("--from-topic", action="store_true", help="take the rows that ingest published")
    given.add_argument("--archive", type=Path, metavar="DIR", help="take those that `detector archive` kept of them")
    parser.add_argument("--source", metavar="NAME", help="the configured source that reads the files")
    parser.add_argument("--from", dest="start", type=place, metavar="FROM", help=f"{WHAT} (default: the log's start)")
    parser.add_argument("--to", dest="stop", type=place, metavar="TO", help=f"{WHAT} (default: the log's end)")
    parser.add_argument("--partition", type=int, metavar="Q", help="only this one (default: all)")
    parser.add_argument("--at", default="every:1", metavar="MOMENTS", help="default: every:1")
    parser.add_argument(
        "--floor",
        type=int,
        metavar="N",
        help="no vector at events of numbers that began fewer in 24 h (default: the configured model's)",
    )
    parser.add_argument(
        "--warm-days",
        type=float,
        default=WARM_DAYS,
        metavar="D",
        help=f"no vector in the log's first days: while windows fill everybody is new (default: {WARM_DAYS:g})",
    )
    parser.add_argument(
        "--labels", nargs="+", type=Path, metavar="FILE", help=".parquet, .csv or .jsonl; `topic`: the topic of labels"
    )
    parser.add_argument("--known-by", type=place, metavar="TIME", help="labels that became known later are not there")
    parser.add_argument(
        "--label-delay-days",
        type=float,
        default=DELAY_DAYS,
        metavar="D",
        help=f"how long silence must last until a number counts as honest (default: {DELAY_DAYS:g})",
    )
    parser.add_argument(
        "--decisions",
        type=Path,
        metavar="FILE",
        help="what was decided: `history`, its topic, or a file as `decisions tail --json` prints it",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the table, parquet")
    parser.add_argument("--rejects", type=Path, metavar="FILE", help="write refused records here, as JSON lines")


def _features(arguments: argparse.Namespace) -> int:
    from detector.features.catalogue import feature_hash
    from detector.learning.features import Tally
    from detector.learning.labelling import write_vectors
    from detector.learning.moments import Plan
    from detector.learning.vectors import Heading

    settings = settings_of(arguments)
    known = _known(arguments, settings)
    plan = Plan(arguments.at, settings.topics.partitions, known.moments() if known else ())
    floor = _floor(settings, arguments)
    heading = Heading(
        feature_hash=feature_hash(),
        home_utc_offset_minutes=settings.home.utc_offset_minutes,
        moments=arguments.at,
        known_by_ms=known.known_by_ms if known else None,
        label_delay_days=arguments.label_delay_days if known else None,
        activity_floor=0 if arguments.at == "label" else floor,
    )
    tally = Tally()
    with ExitStack() as stack:
        if arguments.input is None and arguments.rejects is not None:
            got = "--from-topic" if arguments.from_topic else "--archive"
            raise ConfigError(f"--rejects: wanted --input with it (got {got}: ingest has rejected already)")
        if arguments.archive is not None:
            taken = taken_from_archive(settings, arguments, plan, floor, tally)
        elif arguments.from_topic:
            taken = taken_from_topic(settings, stack.enter_context(open_kafka(settings)), arguments, plan, floor, tally)
        else:
            taken = taken_from_files(settings, arguments, plan, floor, tally, _tell(stack, arguments.rejects))
        sources = {source.id: source.name for source in settings.sources}
        written = write_vectors(arguments.out, heading, _told(taken, tally), sources, known)
    what = "records" if arguments.input else "messages"
    out(_summary(arguments.out, what, tally, written, plan))
    if known and heading.activity_floor and (unseen := written.unseen(known))[1]:
        out(
            f"{unseen[1]:,} of {unseen[0]:,} numbers that labels call fraud in this time have no vector as that: they "
            f"began fewer than {heading.activity_floor} calls or messages in 24 h, or nothing"
        )
    return 0


def _known(arguments: argparse.Namespace, settings: Settings) -> "Known | None":
    if not arguments.labels:
        if arguments.known_by is not None:
            raise ConfigError("--known-by: wanted --labels FILE with it (got none)")
        if arguments.decisions is not None:
            raise ConfigError("--decisions: wanted --labels FILE with it (got none)")
        if arguments.at == "label":
            raise ConfigError("--at label: wanted --labels FILE (got none)")
        return None
    if arguments.known_by is None or arguments.known_by.time_ms is None:
        raise ConfigError(
            "--known-by: wanted the time as of which labels are joined, ISO or UTC milliseconds (got none)"
        )
    if not arguments.label_delay_days >= 0:
        raise ConfigError(f"--label-delay-days: wanted at least 0 (got {arguments.label_delay_days})")
    from detector.learning.known import Known

    delay_ms = int(arguments.label_delay_days * DAY_MS)
    labels = labels_of(arguments.labels, settings)
    return Known(labels, arguments.known_by.time_ms, delay_ms, _hidden(arguments, settings))


def _hidden(arguments: argparse.Namespace, settings: Settings) -> "Hidden | None":
    """What our own decisions hide; of files nothing is said, for of simulated traffic nothing was decided."""
    from detector.learning.decided import hidden_by

    if arguments.decisions is None:
        if not arguments.input:
            say("no --decisions: whom we have blocked, and of whom therefore nobody complains, counts as honest")
        return None
    return hidden_by(decisions_of(arguments.decisions, settings))


def _floor(settings: Settings, arguments: argparse.Namespace) -> int:
    """What is asked for, else the activity floor of the model that detect scores with."""
    from detector.verdict.bundle import read_manifest

    if arguments.floor is None:
        return read_manifest(settings.path(settings.model.bundle)).activity_floor
    if arguments.floor < 0:
        raise ConfigError(f"--floor: wanted at least 0 (got {arguments.floor})")
    return int(arguments.floor)


def _tell(stack: ExitStack, path: Path | None) -> "Tell":
    """Writes each refused record to `path`, if there is one."""
    import base64

    import orjson

    if path is None:
        return lambda offset, rejected, value: None
    try:
        file = stack.enter_context(path.open("wb"))
    except OSError as error:
        raise ConfigError(f"{path}: wanted a place to write to (got {error.strerror or error})") from error

    def tell(offset: int, rejected: Rejected, value: bytes | None) -> None:
        line = {"offset": offset, "reason": rejected.reason.value, "detail": rejected.detail}
        try:
            line["record"] = (value or b"").decode()
        except UnicodeDecodeError:
            line["record_base64"] = base64.b64encode(value or b"").decode()
        file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    return tell


def _told(taken: "Iterable[Taken]", tally: "Tally") -> "Iterator[Taken]":
    """The same, with a line of progress now and then."""
    vectors, last_s = 0, time.monotonic()
    for each in taken:
        vectors += len(each)
        yield each
        now_s = time.monotonic()
        if now_s - last_s >= 5:
            last_s = now_s
            say(f"{tally.records:,} records, {vectors:,} vectors")


def _summary(path: Path, what: str, tally: "Tally", written: "Written", plan: "Plan") -> str:
    labels = f" ({_counted(written.labels)})" if written.labels else ""
    outside = f"; labels' moments before the records: {plan.missed:,}, after them: {plan.waiting:,}"
    behind = f"; events more than a day behind the clock that hours go by: {plan.behind:,}"
    said = (outside if plan.missed or plan.waiting else "") + (behind if plan.behind else "")
    early = f"; left out, while windows filled: {tally.early:,}" if tally.early else ""
    silent = f"; left out, for silent numbers: {tally.silent:,}" if tally.silent else ""
    return (
        f"{what}: {tally.records:,}; rejected: {_counted(tally.rejected)}; skipped: {_counted(tally.skipped)}; "
        f"rows: {_counted(tally.statuses)}\n"
        f"{path}: {written.vectors:,} vectors{labels}{early}{silent}{said}"
    )


def _counted(counts: "Counter[str]") -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common() if count) or "none"
