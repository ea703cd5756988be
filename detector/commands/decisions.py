"""`decisions tail`: what is decided, a line each, as an analyst reads it."""

import argparse
import time
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, settings_of

if TYPE_CHECKING:
    from detector.broker import Broker
    from detector.config import Settings

PAUSE_S: Final = 0.3
"""Between two looks at the ends of the partitions."""
HISTORY: Final = "history"
"""In place of a file of decisions: the configured topic."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = commands.add_parser("decisions", help="read what is decided", description="Read what is decided.")
    tail = add_command(
        parser.add_subparsers(metavar="COMMAND", required=True),
        "tail",
        _tail,
        "print decisions as they are published, until Ctrl-C",
        "Columns: time of the event, action, number, service, scope, rule, score, expiry; then the reasons\n"
        "and, where a block was held back, by what.",
    )
    add_config(tail)
    tail.add_argument("--from-beginning", action="store_true", help="start with the oldest that is kept")
    tail.add_argument("--no-follow", action="store_true", help="end at the newest instead of waiting for more")
    tail.add_argument("--shadow", action="store_true", help="those of shadow mode, which nobody acts on")
    tail.add_argument(
        "--json",
        action="store_true",
        help="print the decisions themselves, a line each: `features --decisions` reads them",
    )


def _tail(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    topics = settings.topics
    topic = topics.shadow if arguments.shadow else topics.history
    with open_kafka(settings) as broker:
        _follow(broker, settings, topic, arguments)
    return 0


def _follow(broker: "Broker", settings: "Settings", topic: str, arguments: argparse.Namespace) -> None:
    """Read every partition from its position to its end, again and again, without a group."""
    from detector.broker import TopicPartition
    from detector.commands.reading import decision_lines
    from detector.verdict.decisions import Decision

    places = [TopicPartition(topic, q) for q in range(settings.topics.partitions)]
    positions = {at: broker.watermarks(at)[0 if arguments.from_beginning else 1] for at in places}
    while True:
        batch: list[Decision] = []
        for at in places:
            end = broker.watermarks(at)[1]
            if end > positions[at]:
                values = (message.value() for message in broker.read(at, positions[at], end))
                batch += [Decision.from_json(value) for value in values if value]
                positions[at] = end
        for decision in sorted(batch, key=lambda decision: decision.issued_at):
            for line in [decision.to_json().decode()] if arguments.json else decision_lines(decision):
                out(line)
        if arguments.no_follow:
            return
        time.sleep(PAUSE_S)
