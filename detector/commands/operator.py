"""`release`, `allow`, `block`: what an operator decides about a number, or about many, with a name and a reason."""

import argparse
import getpass
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, positive, say, settings_of
from detector.errors import ConfigError, DetectorError

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.config import Settings
    from detector.ingest.commands import Command
    from detector.service.orders import Orders
    from detector.service.release import Before, Progress
    from detector.verdict.decisions import Decision

ACTIONS: Final = {
    "release": "end what is in force against a number; for 7 days (or --ttl) no model rule acts on it",
    "allow": "let no model rule act on a number for 7 days (or --ttl)",
    "block": "block a number on an operator's word, whatever the model says",
}
UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LOOK_S: Final = 0.5
"""Between two looks at what has become of a mass release."""
WRITTEN: Final = (
    "NUMBER is written as decisions write it: +4479…, +4479…@7 (as it arrives on trunk group 7), short:611,\n"
    "local:1001@3 or sender:ACME@3. The command is a record of its own on the commands topic."
)
MANY: Final = (
    "\n\nWith --where in place of NUMBER, every decision in force that the words describe is released, counted first:\n"
    "rule=, model=, policy=, service=, action=, scope=, basis=, since=, until= (90m, 2h, 7d, an ISO time),\n"
    "range=+99971*; by commas, all must hold. What operators and courts decided is let be unless basis= names\n"
    "it. It may be repeated."
)


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    for action, what in ACTIONS.items():
        parser = add_command(
            commands,
            action,
            _command,
            what,
            WRITTEN + (MANY if action == "release" else ""),
        )
        add_config(parser)
        parser.add_argument("number", metavar="NUMBER", nargs="?" if action == "release" else None)
        if action == "release":
            _add_many(parser)
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the audit")
        parser.add_argument("--actor", default=getpass.getuser(), help="who (default: the user of this machine)")
        parser.add_argument("--service", choices=("voice", "sms", "all"), default="all", help="default: all")
        scopes = "originating, terminating, all, zone:882-satellite, trunk:7"
        default = "originating" if action == "block" else "all"
        parser.add_argument("--scope", help=f"{scopes}; as decisions name it (default: {default})")
        parser.add_argument(
            "--ttl",
            type=life,
            metavar="TIME",
            help="how long it holds, e.g. 90m, 12h, 30d; at most 90d (default: by the policy)",
        )
        parser.set_defaults(action=action)


def _add_many(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--where", metavar="WORDS", help="release all that these describe, in place of one number")
    parser.add_argument("--dry-run", action="store_true", help="with --where: count, and release nobody")
    parser.add_argument("--yes", action="store_true", help="with --where: do not ask before releasing")
    parser.add_argument(
        "--wait",
        type=positive,
        default=120,
        metavar="SECONDS",
        help="with --where: how long to wait until all are released (default: 120)",
    )


def seconds(text: str) -> int:
    """`90`, `90s`, `15m`, `12h`, `7d` as seconds."""
    match = re.fullmatch(r"([1-9][0-9]*)([smhd]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"wanted a positive number of seconds, or one with s, m, h or d (got {text!r})"
        )
    return int(match[1]) * UNITS_S[match[2] or "s"]


def life(text: str) -> int:
    """As many seconds, which a decision may hold for."""
    from detector.ingest.commands import LONGEST_LIFE_S

    wanted = seconds(text)
    if wanted > LONGEST_LIFE_S:
        raise argparse.ArgumentTypeError(f"wanted at most 90d, for decisions are kept no longer (got {text!r})")
    return wanted


def _command(arguments: argparse.Namespace) -> int:
    import msgspec

    from detector.errors import Rejected
    from detector.ingest.commands import Command, read_command
    from detector.service.orders import Orders

    settings = settings_of(arguments)
    where = getattr(arguments, "where", None)
    if (where is None) == (arguments.number is None):
        raise ConfigError(
            f"{arguments.action}: wanted a number or --where (got {'neither' if where is None else 'both'})"
        )
    if where is not None:
        return _release_many(arguments, settings)
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
        before = _before(broker, settings, command) if command.action == "release" else None
        Orders(broker, settings.topics).give([command])
        case = f"{command.number} ({command.service}, {command.covers})"
        out(f"{command.action} {case} by {command.actor}: published as {command.id}")
        if before is not None:
            for line in _ended_nothing(command, before):
                out(line)
    return 0


def _before(broker: "Broker", settings: "Settings", command: "Command") -> "Before | DetectorError":
    """What is in force of its number until now, or why that is not known: nobody is kept from releasing by it."""
    from detector.records import parse_number
    from detector.service.release import Before

    try:
        return Before(broker, settings, parse_number(command.number))
    except DetectorError as error:
        return error


def _ended_nothing(command: "Command", before: "Before | DetectorError") -> "Iterator[str]":
    """What to look at where the release ends nothing; nothing where it ends something."""
    from detector.verdict.ending import ended

    now_ms = time.time_ns() // 1_000_000
    try:
        if isinstance(before, DetectorError):
            raise before
        found = before.in_force(now_ms)
    except DetectorError as error:
        yield f"whether anything was in force of {command.number} is not known: {error}"
        return
    if ended(command, found, now_ms):
        return
    yield (
        f"nothing is in force of {command.number} ({command.service}, {command.covers}): "
        "all that this does is keep model rules away from it"
    )
    for one in found:
        yield f"in force: {one.action} of {one.number} ({one.service}, {one.scope}) by {one.rule}"


def _release_many(arguments: argparse.Namespace, settings: "Settings") -> int:
    """1 where some are not released in time: detect has not come so far. To repeat it does no harm."""
    from detector.service.orders import Orders
    from detector.service.release import Progress, Where, in_force, releases

    if arguments.service != "all" or arguments.scope is not None:
        raise ConfigError(
            "release: with --where, wanted service= and scope= among its words (got --service or --scope)"
        )
    now_ms = time.time_ns() // 1_000_000
    where = Where.read(arguments.where, now_ms)
    with open_kafka(settings) as broker:
        # Before anything is counted: what is decided from here on is seen, however long the answer takes.
        progress = Progress(broker, settings)
        found = [decision for decision in in_force(broker, settings, now_ms) if where.holds(decision)]
        for line in _counted(found):
            out(line)
        if not found or arguments.dry_run or not (arguments.yes or _agreed(len(found))):
            return 0
        commands = list(releases(found, where, arguments.actor, arguments.reason, arguments.ttl))
        return _release(commands, Orders(broker, settings.topics), found, progress, arguments.wait)


def _counted(found: "Sequence[Decision]") -> list[str]:
    """How many there are, by what decided them."""
    counts = Counter((decision.action, decision.rule, decision.service) for decision in found)
    numbers = len({decision.number for decision in found})
    return [
        *(f"{count:9,}  {action} by {rule}, {service}" for (action, rule, service), count in counts.most_common()),
        f"{len(found):9,}  decisions in force on {numbers:,} numbers",
    ]


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError(f"release: {count:,} decisions: wanted --yes where nobody can be asked (got none)")
    say(f"release these {count:,}? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _release(
    commands: "Sequence[Command]", orders: "Orders", found: "list[Decision]", progress: "Progress", wait_s: float
) -> int:
    began = time.monotonic()
    total = len(found)
    orders.give(commands, lambda count: say(f"{count:,} of {total:,} commands published"))
    left = found
    while left and time.monotonic() - began < wait_s:
        time.sleep(LOOK_S)
        left = progress.left(left, time.time_ns() // 1_000_000)
        say(f"{total - len(left):,} of {total:,} released")
    gone_s = time.monotonic() - began
    out(f"{total - len(left):,} of {total:,} decisions are no longer in force, after {gone_s:.1f} s")
    if left:
        out(f"{len(left):,} still are: ingest or detect has not come so far; give the same command again to look")
    return 1 if left else 0
