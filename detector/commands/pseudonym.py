"""`pseudonym`: the name under which a number stands in the log."""

import argparse

from detector.commands.common import Commands, add_command, add_config, out, settings_of
from detector.errors import ConfigError


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "pseudonym",
        _pseudonym,
        "print the name under which numbers stand in the log",
        "Needs log.pseudonym_key, the key of the processes that wrote the log.\n"
        "NUMBER is written as decisions write it.",
    )
    add_config(parser)
    parser.add_argument("numbers", nargs="+", metavar="NUMBER")


def _pseudonym(arguments: argparse.Namespace) -> int:
    from detector.logs import pseudonyms

    settings = settings_of(arguments).log
    if not settings.pseudonym_key:
        raise ConfigError("log.pseudonym_key: wanted the key of the processes that wrote the log (got '')")
    name = pseudonyms(settings.pseudonym_key)
    for number in arguments.numbers:
        out(f"{number} {name(number)}")
    return 0
