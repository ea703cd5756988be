"""`simulate`: traffic of a network that does not exist, with fraud hidden in it, to try everything on."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
    parser.add_argument("--days", type=positive, default=8, metavar="N", help="days; fraud is on the last (default: 8)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, another network (default: 1)")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="write who is a fraudster and when that becomes known, as .parquet, .csv or .jsonl",
    )


def _simulate(arguments: argparse.Namespace) -> int:
    from detector.learning.simulate import Scenario, simulate

    if arguments.to in ("jsonl", "parquet") and arguments.out is None:
        raise ConfigError(f"--to {arguments.to}: wanted --out FILE (got none)")
    settings = settings_of(arguments) if arguments.to == "kafka" else None
    traffic = simulate(Scenario(numbers=arguments.numbers, days=arguments.days, seed=arguments.seed))
    if arguments.labels is not None:
        _write_labels(traffic, arguments.labels)
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
    if arguments.to == "parquet":
        return _to_parquet(arguments.out)
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


@contextmanager
def _to_parquet(path: Path) -> Iterator[Write]:
    """A column for each field of the plain form that the simulator writes; absent fields are null."""
    import orjson
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, whole, truth = pa.string(), pa.int64(), pa.bool_()
    columns: dict[str, Any] = {
        **dict.fromkeys(("id", "type", "phase", "from", "to"), text),
        **dict.fromkeys(("start", "end", "time"), whole),
        **dict.fromkeys(("duration", "ring"), pa.float64()),
        **dict.fromkeys(("outcome", "imei", "cell", "trunk", "account"), text),
        "cause": whole,
        **dict.fromkeys(("attested", "roaming", "restricted"), truth),
    }
    schema = pa.schema(list(columns.items()))
    with pq.ParquetWriter(path, schema) as writer:
        yield lambda values: writer.write_table(
            pa.Table.from_pylist([orjson.loads(value) for value in values], schema=schema)
        )


def _write_labels(traffic: "Traffic", path: Path) -> None:
    from detector.learning.labelfile import write_labels
    from detector.learning.reports import reported

    write_labels(path, reported(traffic.labels, traffic.scenario.seed))
