"""`commands list`: who ordered what, when and why."""

import argparse
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, settings_of
from detector.ingest.commands import Command, ModeChange

if TYPE_CHECKING:
    from detector.broker import Message

APART_MS: Final = 600_000
"""The same words after a pause of ten minutes are another mass release."""

Given = tuple[int, Command | ModeChange]
"""When an order was stored, UTC ms, and what it says."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = commands.add_parser("commands", help="read what was ordered", description="Read what was ordered.")
    listing = add_command(
        parser.add_subparsers(metavar="COMMAND", required=True),
        "list",
        _list,
        "print what operators have ordered: when, who, what, why",
        "One order a line, oldest first; a mass release is one line, unless --each. Orders are kept for 400 days.",
    )
    add_config(listing)
    listing.add_argument("--since", default="0", metavar="TIME", help="90m, 2h, 7d, an ISO time or UTC milliseconds")
    listing.add_argument("--actor", help="only those of one person")
    listing.add_argument("--number", metavar="NUMBER", help="only those about one number, and changes of mode")
    listing.add_argument("--each", action="store_true", help="each command of a mass release")
    listing.add_argument("--json", action="store_true", help="the records themselves, a line each")


def _list(arguments: argparse.Namespace) -> int:
    from detector.service.orders import Orders
    from detector.service.release import moment_ms

    settings = settings_of(arguments)
    since_ms = moment_ms(arguments.since, time.time_ns() // 1_000_000)
    with open_kafka(settings) as broker:
        given = [
            (_stored_ms(message), order)
            for message, order in Orders(broker, settings.topics).given()
            if _stored_ms(message) >= since_ms
            and arguments.actor in (None, order.actor)
            and (arguments.number is None or isinstance(order, ModeChange) or order.number == arguments.number)
        ]
    given.sort(key=lambda one: one[0])
    if arguments.json:
        for at_ms, order in given:
            out(msgspec.json.encode({"at_ms": at_ms, **msgspec.to_builtins(order)}).decode())
    else:
        for line in lines(given, each=arguments.each):
            out(line)
    return 0


def _stored_ms(message: "Message") -> int:
    return message.timestamp()[1]


def lines(given: Iterable[Given], *, each: bool) -> list[str]:
    """A line for each order; of a mass release one, with how many cases it was given for."""
    batches: dict[tuple[str, str], list[Given]] = {}
    rows: list[list[Given]] = []
    for at_ms, order in given:
        if isinstance(order, Command) and order.batch and not each:
            batch = batches.get((order.actor, order.batch))
            if batch is None or at_ms - batch[-1][0] > APART_MS:
                batch = batches[order.actor, order.batch] = []
                rows.append(batch)
            batch.append((at_ms, order))
        else:
            rows.append([(at_ms, order)])
    return [_line(row) for row in rows]


def _line(row: list[Given]) -> str:
    at_ms, order = row[0]
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))
    if isinstance(order, ModeChange):
        what = f"mode {order.mode}"
    elif len(row) > 1 or order.batch:
        what = f"{order.action} of {len({one.id for _, one in row if isinstance(one, Command)}):,} where {order.batch}"
    else:
        life = f" for {order.ttl_s} s" if order.ttl_s else ""
        what = f"{order.action} {order.number} ({order.service}, {order.covers}){life}"
    line = f"{at}  {order.actor}  {what}  {order.reason}  [{order.id}]"
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in line)
