"""`replay`: files of records through the same pipeline, with no broker: what would have been decided?"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, out, settings_of, source_named
from detector.config import Settings
from detector.errors import ConfigError
from detector.metrics import Metrics

if TYPE_CHECKING:
    from detector.ingest.rows import SourceReader

CHUNK: Final = 10_000
"""Records published at once: decisions appear as the file goes by."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "replay",
        _replay,
        "put files of records through the whole pipeline and print what is decided",
        "Each file is split into the messages that its source would have published; all of them are taken in order\n"
        "of their events' time, whatever the order of the files. Nothing is kept: neither topics nor snapshots.",
    )
    add_config(parser)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--source", required=True, metavar="NAME", help="the configured source that reads the files")
    parser.add_argument("--mode", choices=("shadow", "flag", "enforce"), help="instead of verdict.mode")
    parser.add_argument(
        "--assume-warm", action="store_true", help="let rules block from the first record on: files rarely hold a week"
    )
    parser.add_argument(
        "--accept-simulated", action="store_true", help="let a model that was trained on simulated traffic only block"
    )
    parser.add_argument(
        "--as-filed", action="store_true", help="take records in the order of the files: what is late there is late"
    )
    parser.add_argument("--quiet", action="store_true", help="print the summary only")


def _replay(arguments: argparse.Namespace) -> int:
    from detector.commands.reading import decision_lines
    from detector.replay import Replay

    settings = for_files(settings_of(arguments), arguments)
    metrics = Metrics()
    actions: Counter[str] = Counter()
    with Replay(settings, metrics) as replay:
        values = _messages(settings, arguments.files, by_time=not arguments.as_filed)
        for start in range(0, len(values), CHUNK):
            replay.publish(settings.sources[0].topic, values[start : start + CHUNK])
            replay.settle()
            for decision in replay.decisions():
                actions[decision.action] += 1
                if not arguments.quiet:
                    for line in decision_lines(decision):
                        out(line)
        out(_summary(metrics, actions))
    return 0


def for_files(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """The settings with one source, whose records are as old as they like."""
    from msgspec.structs import replace

    source = replace(source_named(settings, arguments.source), max_future_s=None, silent_after_s=None)
    return as_ordered(replace(settings, sources=(source,)), arguments)


def as_ordered(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """The settings with what --mode, --assume-warm and --accept-simulated say."""
    from msgspec.structs import replace

    return replace(
        settings,
        model=replace(settings.model, accept_simulated=arguments.accept_simulated or settings.model.accept_simulated),
        verdict=replace(
            settings.verdict,
            mode=arguments.mode or settings.verdict.mode,
            assume_warm=arguments.assume_warm or settings.verdict.assume_warm,
        ),
    )


def _messages(settings: Settings, files: Sequence[Path], *, by_time: bool) -> list[bytes]:
    """The messages of all files, in order."""
    from detector.ingest.rows import open_source

    reader = open_source(settings, settings.sources[0])
    values: list[bytes] = []
    for file in files:
        try:
            values += reader.decoder.split(file.read_bytes())
        except OSError as error:
            raise ConfigError(f"{file}: wanted a readable file (got {error.strerror or error})") from error
    return in_order(reader, values) if by_time else values


def in_order(reader: "SourceReader", values: list[bytes]) -> list[bytes]:
    """Messages in order of their events' time."""
    import numpy as np

    from detector.ingest.rows import Raw

    count = len(values)
    rows = reader.read(Raw(values, [0] * count, range(count), [0] * count)).rows
    # What gives no row has no time; it comes first, where it can be rejected.
    event_ms = np.zeros(count, np.int64)
    event_ms[rows["offset"].astype(np.int64)] = rows["event_ms"]
    return [values[i] for i in np.argsort(event_ms, kind="stable").tolist()]


def _summary(metrics: Metrics, actions: Counter[str]) -> str:
    """What became of the records, in two lines."""
    rejects, skipped = metrics.by_label("rejects", "reason"), metrics.by_label("skipped", "why")
    return (
        f"records: {metrics.value('records'):,.0f}; rejected: {_counted(rejects)}; skipped: {_counted(skipped)}; "
        f"rows: {_counted(metrics.by_label('rows', 'status'))}; scored: {metrics.value('scored'):,.0f}; "
        f"numbers: {metrics.value('numbers'):,.0f}\n"
        f"decisions: {_counted(actions)}; held back by: {_counted(metrics.by_label('held_back', 'why'))}"
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common() if count) or "none"
