"""`simulate`: traffic of a network that does not exist, with fraud hidden in it, to try everything on."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import (
    Commands,
    add_command,
    add_config,
    open_kafka,
    positive,
    say,
    settings_of,
    source_named,
)
from detector.config import Settings
from detector.errors import ConfigError

if TYPE_CHECKING:
    from detector.learning.simulate import Traffic

Write = Callable[[Sequence[bytes]], None]

CHUNK: Final = 10_000
"""Records written at once when nothing holds them back."""
GROUP: Final = 250_000
"""Records in a row group of a parquet file: 60 MB while it is written."""
_REPEATING: Final = ["type", "phase", "from", "to", "outcome", "imei", "cell", "trunk", "account"]
TICK_S: Final = 0.05
"""With --rate, records leave twenty times a second: bursts stay below what a switch itself does."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "simulate",
        _simulate,
        "write simulated calls and messages, with fraud hidden in them",
        "Same numbers, days and seed: same bytes. Records come in the order in which switches would publish them,\n"
        "in the plain JSON form of configs/sources/plain.yaml.",
    )
    add_config(parser)
    parser.add_argument(
        "--to",
        choices=("kafka", "jsonl", "parquet", "-"),
        default="-",
        help="the source's topic, a file with a record a line, a parquet file, or standard output (default)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file, for jsonl and parquet")
    parser.add_argument("--source", default="plain", metavar="NAME", help="whose topic, for kafka (default: plain)")
    parser.add_argument(
        "--rate", type=positive, metavar="N", help="records a second (default: as fast as they are taken)"
    )
    parser.add_argument("--numbers", type=positive, default=20_000, metavar="N", help="subscribers (default: 20000)")
    parser.add_argument("--days", type=positive, default=8, metavar="N", help="default: 8")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, another network (default: 1)")
    parser.add_argument(
        "--ordinary",
        type=_share,
        metavar="SHARE",
        help="lives as in real data, with this share of ordinary fraudsters (such as 0.01) besides the open fraud",
    )
    parser.add_argument(
        "--campaigns",
        default="demo",
        metavar="NAMES",
        help="the open fraud, separated by commas: demo (default), all, overt, low, mimic, fitted (what the "
        "shipped model knows), held-out (what it does not), none; a kind (vishing) or a variant (vishing-mimic); with "
        ":N behind it, N of each in a turn",
    )
    parser.add_argument(
        "--campaign-count", type=positive, metavar="N", help="how many of them, in turn (default: each once)"
    )
    parser.add_argument(
        "--campaigns-from",
        type=positive,
        metavar="DAY",
        help="they begin on any day from this one on (1 = the first), for up to 3 days (default: all on the last)",
    )
    parser.add_argument(
        "--festival",
        type=positive,
        default=6,
        metavar="DAY",
        help="on whose evening everybody greets everybody (default: 6)",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="write who is a fraudster and when that becomes known, as .parquet, .csv or .jsonl",
    )
    parser.add_argument(
        "--truth",
        action="store_true",
        help="labels tell what no network knows: variants (vishing-mimic) as types, how honest numbers live, "
        "senders, and who was at the festival",
    )


def _share(text: str) -> float:
    """The share in `text`, or what argparse reports as wrong."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 0.5:
        raise argparse.ArgumentTypeError(f"wanted a share from 0 to 0.5 (got {text})")
    return share


def _simulate(arguments: argparse.Namespace) -> int:
    from detector.learning.ordinary import Ordinary
    from detector.learning.plans import named, planned
    from detector.learning.simulate import Scenario, simulate

    if arguments.to in ("jsonl", "parquet") and arguments.out is None:
        raise ConfigError(f"--to {arguments.to}: wanted --out FILE (got none)")
    if arguments.to == "parquet" and arguments.rate is not None:
        raise ConfigError("--rate: wanted kafka, jsonl or standard output (got --to parquet, which is written at once)")
    settings = settings_of(arguments) if arguments.to == "kafka" else None
    ordinary = None if arguments.ordinary is None else Ordinary(arguments.ordinary)
    if arguments.truth and arguments.labels is None:
        raise ConfigError("--truth: wanted --labels FILE with it (got none)")
    first_day = None if arguments.campaigns_from is None else arguments.campaigns_from - 1
    variants = named(arguments.campaigns)
    scenario = Scenario(
        numbers=arguments.numbers,
        days=arguments.days,
        seed=arguments.seed,
        campaigns=planned(variants, arguments.days, arguments.seed, arguments.campaign_count, first_day),
        festival_day=arguments.festival - 1,
        ordinary=ordinary,
    )
    traffic = simulate(scenario)
    if arguments.labels is not None:
        _write_labels(traffic, arguments.labels, truth=arguments.truth)
    if arguments.to == "parquet":
        _write_parquet(traffic, arguments.out)
        return 0
    with _sink(arguments, settings) as write:
        _pour(traffic, write, arguments.rate)
    return 0


def _pour(traffic: "Traffic", write: Write, rate: int | None) -> None:
    """Every record is written, at most `rate` a second."""
    from detector.learning.encode import encode

    size = CHUNK if rate is None else max(1, int(rate * TICK_S))
    began_s = time.monotonic()
    written, last_said_s = 0, began_s
    for start in range(0, len(traffic.records), size):
        chunk = traffic.records[start : start + size]
        write(encode(chunk, start))
        written += len(chunk)
        now_s = time.monotonic()
        if now_s - last_said_s >= 1:
            last_said_s = now_s
            say(f"{written:,} of {len(traffic.records):,} records, {written / (now_s - began_s):,.0f}/s")
        if rate is not None:
            time.sleep(max(0.0, began_s + written / rate - now_s))
    say(f"{written:,} records in {time.monotonic() - began_s:.1f} s")


def _sink(arguments: argparse.Namespace, settings: Settings | None) -> AbstractContextManager[Write]:
    if settings is not None:
        return _to_kafka(settings, arguments.source)
    return _to_lines(arguments.out if arguments.to == "jsonl" else None)


@contextmanager
def _to_kafka(settings: Settings, name: str) -> Iterator[Write]:
    topic = source_named(settings, name).topic
    with open_kafka(settings) as broker:
        yield lambda values: broker.publish(topic, [(None, value) for value in values])


@contextmanager
def _to_lines(path: Path | None) -> Iterator[Write]:
    file = path.open("wb") if path else sys.stdout.buffer
    try:
        yield lambda values: file.writelines(value + b"\n" for value in values)
    finally:
        file.flush()
        if path:
            file.close()


def _write_parquet(traffic: "Traffic", path: Path) -> None:
    """A column for each field of the plain form that the simulator writes; absent fields are null."""
    import pyarrow.parquet as pq

    from detector.learning.columns import columns

    began_s = time.monotonic()
    # Without the Arrow schema in the file, repeating texts are read as texts, not as dictionaries.
    schema = columns(traffic.records[:0]).schema
    with pq.ParquetWriter(path, schema, store_schema=False, use_dictionary=_REPEATING) as writer:
        for start in range(0, len(traffic.records), GROUP):
            writer.write_batch(columns(traffic.records[start : start + GROUP], start), row_group_size=GROUP)
    say(f"{len(traffic.records):,} records in {time.monotonic() - began_s:.1f} s")


def _write_labels(traffic: "Traffic", path: Path, *, truth: bool) -> None:
    from detector.learning.labelfile import write_labels
    from detector.learning.reports import reported, told

    write_labels(path, told(traffic) if truth else reported(traffic.labels, traffic.scenario.seed))
