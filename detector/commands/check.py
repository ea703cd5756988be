"""`check` and `check-source`: is the configuration right, and does a mapping read what a switch writes?"""

import argparse
from collections.abc import Callable

from detector.commands.common import Commands, add_command, add_config, out, settings_of
from detector.config import Settings
from detector.errors import DetectorError


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    check = add_command(
        commands,
        "check",
        _check,
        "check the configuration and everything it names, without a broker",
        "Reads zones, mappings, model bundle and policy, and runs the policy's own examples.",
    )
    source = add_command(
        commands,
        "check-source",
        _check_source,
        "show how a source's mapping reads files of records",
        "Prints each record mapped, or why it is rejected, and then what was counted on each side of every call and\n"
        "message. Give the files of several elements that saw the same traffic to see that it counts once a side.",
    )
    source.add_argument("source", metavar="NAME", help="a configured source")
    source.add_argument(
        "files", nargs="+", metavar="FILE", help="records of that source; OTHER=FILE for those of another source"
    )
    for command in (check, source):
        add_config(command)


def _check(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    wrong = 0
    for name, inspect in (
        ("zones", _zones),
        ("sources", _sources),
        ("model", _model),
        ("policy", _policy),
        ("kafka", _kafka),
    ):
        wrong += _say_whether(name, inspect, settings)
    out(f"{arguments.config}: {'everything fits' if not wrong else f'{wrong} of 5 do not fit'}")
    return 2 if wrong else 0


def _say_whether(name: str, inspect: Callable[[Settings], str], settings: Settings) -> bool:
    """Whether something is wrong; either way it is said in a line."""
    try:
        out(f"{name}: {inspect(settings)}")
    except DetectorError as error:
        out(f"{name}: WRONG: {error}")
        return True
    return False


def _zones(settings: Settings) -> str:
    from detector.ingest.zones import ZoneTable

    path = settings.path(settings.home.zones)
    ZoneTable.load(path)
    return str(path)


def _kafka(settings: Settings) -> str:
    from detector.broker.kafka import KafkaBroker

    KafkaBroker(settings.kafka).close()
    return "librdkafka takes the settings, and none contradicts a guarantee (no broker was asked)"


def _sources(settings: Settings) -> str:
    from detector.ingest.rows import open_source

    for source in settings.sources:
        open_source(settings, source)
    return ", ".join(f"{source.name} ({source.mapping})" for source in settings.sources)


def _model(settings: Settings) -> str:
    from detector.verdict.model import Model

    model = Model.load(settings.path(settings.model.bundle))
    simulated = "trained on simulated traffic only, " if model.simulated else ""
    accepted = "and accepted for blocking" if settings.model.accept_simulated else "and therefore never blocking"
    said = f"{model.version}{f' ({simulated}{accepted})' if simulated else ''}"
    if settings.model.challenger is not None:
        said += f", challenged by {Model.load(settings.path(settings.model.challenger)).version}"
    return said


def _policy(settings: Settings) -> str:
    from detector.errors import ConfigError
    from detector.ingest.zones import ZoneTable
    from detector.verdict.judge import Judge
    from detector.verdict.policy import Policy

    policy = Policy.load(settings.path(settings.verdict.policy))
    if wrong := policy.check_examples():
        raise ConfigError("\n".join(wrong))
    Judge(policy, None, ZoneTable.load(settings.path(settings.home.zones)), settings)
    return f"{policy.version}, {len(policy.rules)} rules, every example as it says"


def _check_source(arguments: argparse.Namespace) -> int:
    from detector.ingest.check import check_source

    for line in check_source(settings_of(arguments), arguments.source, arguments.files):
        out(line)
    return 0
