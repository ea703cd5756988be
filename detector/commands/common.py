"""What commands share: their settings, the way to Kafka, and the way to the reader."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from detector.config import ROOT, Settings, Source, load
from detector.errors import ConfigError, Recoverable

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.broker.statistics import Statistics

Handler = Callable[[argparse.Namespace], int]
Commands = argparse._SubParsersAction
"""What `ArgumentParser.add_subparsers` returns; argparse has no public name for it."""

DEFAULT_CONFIG = Path(ROOT, "configs", "local.yaml")


def add_command(
    commands: "Commands[argparse.ArgumentParser]", name: str, run: Handler, help_: str, more: str = ""
) -> argparse.ArgumentParser:
    """A command whose handler is `run`; `more` follows the help line in the command's own help."""
    parser = commands.add_parser(
        name,
        help=help_,
        description=help_[0].upper() + help_[1:] + "." + (f"\n\n{more}" if more else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_config(parser: argparse.ArgumentParser, default: Path = DEFAULT_CONFIG) -> None:
    """`--config FILE`, else DETECTOR_CONFIG, else `default`."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=Path(os.environ.get("DETECTOR_CONFIG", default)),
        help=f"the configuration (DETECTOR_CONFIG, else configs/{default.name})",
    )


def check_folder(path: Path) -> None:
    """`--out` can be a folder; `ConfigError` where a file is in its place, before any work is done for it."""
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"--out: wanted a folder (got {path}: {place} is a file)")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings that the command line names."""
    return load(arguments.config)


@contextmanager
def open_kafka(settings: Settings, told: "Callable[[Statistics], None] | None" = None) -> Iterator["Broker"]:
    """The configured Kafka; nothing is sent before it is used. Its address stands in what is raised.

    `told` is given what its clients say of themselves.
    """
    from detector.broker.kafka import KafkaBroker

    broker = KafkaBroker(settings.kafka, told)
    try:
        yield broker
    except Recoverable as error:
        raise Recoverable(f"Kafka at {settings.kafka.get('bootstrap.servers')}: {error}") from error
    finally:
        broker.close()


def source_named(settings: Settings, name: str) -> Source:
    """The configured source of that name; `ConfigError` names those there are."""
    for source in settings.sources:
        if source.name == name:
            return source
    names = ", ".join(source.name for source in settings.sources)
    raise ConfigError(f"--source: wanted one of {names} (got {name})")


def out(text: str) -> None:
    """A line for the reader, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line of progress, on stderr: what is printed on stdout may be read by a program."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def natural(text: str) -> int:
    """A whole number from 0 on."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"wanted 0 or more (got {text})")
    return value


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"wanted at least 1 (got {value})")
    return value
