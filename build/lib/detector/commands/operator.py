"""`release`, `allow`, `block`: what an operator decides about a number, with a name and a reason."""

import argparse
import getpass
import re
import time
from typing import Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, settings_of
from detector.errors import ConfigError

ACTIONS: Final = {
    "release": "end what is in force against a number; for 7 days (or --ttl) no model rule acts on it",
    "allow": "let no model rule act on a number for 7 days (or --ttl)",
    "block": "block a number on an operator's word, whatever the model says",
}
UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    for action, what in ACTIONS.items():
        parser = add_command(
            commands,
            action,
            _command,
            what,
            "NUMBER is written as decisions write it: +4479…, +4479…@7 (as it arrives on trunk group 7), short:611,\n"
            "local:1001@3 or sender:ACME@3. The command is a record of its own on the commands topic.",
        )
        add_config(parser)
        parser.add_argument("number", metavar="NUMBER")
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the audit")
        parser.add_argument("--actor", default=getpass.getuser(), help="who (default: the user of this machine)")
        parser.add_argument("--service", choices=("voice", "sms", "all"), default="all", help="default: all")
        scopes = "originating, terminating, all, zone:882-satellite, trunk:7"
        default = "originating" if action == "block" else "all"
        parser.add_argument("--scope", help=f"{scopes}; as decisions name it (default: {default})")
        parser.add_argument(
            "--ttl", type=seconds, metavar="TIME", help="how long it holds, e.g. 90m, 12h, 30d (default: by the policy)"
        )
        parser.set_defaults(action=action)


def seconds(text: str) -> int:
    """`90`, `90s`, `15m`, `12h`, `7d` as seconds."""
    match = re.fullmatch(r"([1-9][0-9]*)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"wanted a positive number of seconds, or one with s, m, h or d (got {text!r})"
        )
    return int(match[1]) * UNITS_S[match[2] or "s"]


def _command(arguments: argparse.Namespace) -> int:
    import msgspec

    from detector.errors import Rejected
    from detector.ingest.commands import Command, read_command

    settings = settings_of(arguments)
    wanted = Command(
        action=arguments.action,
        number=arguments.number,
        service=arguments.service,
        scope=arguments.scope,
        ttl_s=arguments.ttl,
        actor=arguments.actor,
        reason=arguments.reason,
        id=f"{arguments.actor}-{time.time_ns():x}",
    )
    value = msgspec.json.encode(wanted)
    command = read_command(value)
    if isinstance(command, Rejected):
        raise ConfigError(f"{arguments.action}: {command.detail}")
    with open_kafka(settings) as broker:
        broker.publish(settings.topics.commands, [(command.number.encode(), value)])
    case = f"{command.number} ({command.service}, {command.covers})"
    out(f"{command.action} {case} by {command.actor}: published as {command.id}")
    return 0
