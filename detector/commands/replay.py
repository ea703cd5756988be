"""`replay`: files of records through the same pipeline, with no broker: what would have been decided?"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from detector.commands.common import Commands, add_command, add_config, out, settings_of, source_named
from detector.config import Settings
from detector.errors import ConfigError
from detector.metrics import Metrics

CHUNK: Final = 10_000
"""Records published at once: decisions appear as the file goes by."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "replay",
        _replay,
        "put files of records through the whole pipeline and print what is decided",
        "Files are read in the order given, each split into the messages that its source would have published.\n"
        "Nothing is kept: neither topics nor snapshots.",
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
    parser.add_argument("--quiet", action="store_true", help="print the summary only")


def _replay(arguments: argparse.Namespace) -> int:
    from detector.commands.reading import decision_lines
    from detector.replay import Replay

    settings = _for_files(settings_of(arguments), arguments)
    metrics = Metrics()
    actions: Counter[str] = Counter()
    with Replay(settings, metrics) as replay:
        for values in _messages(settings, arguments.files):
            replay.publish(settings.sources[0].topic, values)
            replay.settle()
            for decision in replay.decisions():
                actions[decision.action] += 1
                if not arguments.quiet:
                    for line in decision_lines(decision):
                        out(line)
        out(_summary(metrics, actions))
    return 0


def _for_files(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """The settings with one source, whose records are as old as they like."""
    from msgspec.structs import replace

    source = replace(source_named(settings, arguments.source), max_future_s=None, silent_after_s=None)
    return replace(
        settings,
        sources=(source,),
        model=replace(settings.model, accept_simulated=arguments.accept_simulated or settings.model.accept_simulated),
        verdict=replace(
            settings.verdict,
            mode=arguments.mode or settings.verdict.mode,
            assume_warm=arguments.assume_warm or settings.verdict.assume_warm,
        ),
    )


def _messages(settings: Settings, files: list[Path]) -> Iterator[list[bytes]]:
    """The messages of the files, some thousand at a time."""
    from detector.ingest.rows import open_source

    decoder = open_source(settings, settings.sources[0]).decoder
    for file in files:
        try:
            values = decoder.split(file.read_bytes())
        except OSError as error:
            raise ConfigError(f"{file}: wanted a readable file (got {error.strerror or error})") from error
        for start in range(0, len(values), CHUNK):
            yield values[start : start + CHUNK]


def _summary(metrics: Metrics, actions: Counter[str]) -> str:
    """What became of the records, in two lines."""
    rejects = metrics.by_label("rejects", "reason")
    rows = metrics.by_label("rows", "status")
    return (
        f"records: {metrics.value('records'):,.0f}; rejected: {_counted(rejects)}; rows: {_counted(rows)}; "
        f"scored: {metrics.value('scored'):,.0f}; numbers: {metrics.value('numbers'):,.0f}\n"
        f"decisions: {_counted(actions)}; held back by: {_counted(metrics.by_label('held_back', 'why'))}"
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common() if count) or "none"
