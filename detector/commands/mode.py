"""`mode`, `kill`: which mode decides, in every worker at once, until somebody says otherwise."""

import argparse
import getpass
import time
from typing import TYPE_CHECKING, Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, positive, say, settings_of

if TYPE_CHECKING:
    from detector.ingest.commands import ModeChange
    from detector.service.standing import Told

LOOK_S: Final = 0.3
"""Between two looks at who decides in the new mode."""
HOW: Final = (
    "Running workers hear of it within two seconds, those that start later before they decide anything; it outlives\n"
    "every restart. Nobody who is blocked is freed: see `detector release --where`. It is a record on the control\n"
    "topic, and on the commands topic for the audit."
)


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    mode = add_command(
        commands,
        "mode",
        _switch,
        "let another mode decide in every worker",
        "shadow: decide aside; flag: never block; enforce; configured: what each configuration says again.\n" + HOW,
    )
    mode.add_argument("mode", choices=("shadow", "flag", "enforce", "configured"))
    kill = add_command(
        commands,
        "kill",
        _switch,
        "the kill switch: from now on nothing is decided that anybody acts on",
        "The same as `detector mode shadow`; `detector mode configured` ends it.\n" + HOW,
    )
    kill.set_defaults(mode="shadow")
    for parser in (mode, kill):
        add_config(parser)
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the audit")
        parser.add_argument("--actor", default=getpass.getuser(), help="who (default: the user of this machine)")
        parser.add_argument(
            "--wait",
            type=positive,
            default=10,
            metavar="SECONDS",
            help="how long to wait until all partitions say so (default: 10)",
        )


def _switch(arguments: argparse.Namespace) -> int:
    from detector.ingest.commands import ModeChange
    from detector.service.orders import Orders
    from detector.service.standing import told

    settings = settings_of(arguments)
    change = ModeChange(
        action="mode",
        mode=arguments.mode,
        actor=arguments.actor,
        reason=arguments.reason,
        id=f"{arguments.actor}-{time.time_ns():x}",
    )
    with open_kafka(settings) as broker:
        Orders(broker, settings.topics).switch(change)
        out(f"mode {change.mode} by {change.actor}: published as {change.id}")
        until = time.monotonic() + arguments.wait
        while True:
            standing = told(broker, settings)
            said = sum(one.mode_change == change.id for one in standing.values())
            if said == settings.topics.partitions or time.monotonic() > until:
                break
            say(f"{said} of {settings.topics.partitions} partitions decide so")
            time.sleep(LOOK_S)
    for line in _told(change, standing, settings.topics.partitions):
        out(line)
    return 0


def _told(change: "ModeChange", standing: "dict[int, Told]", partitions: int) -> list[str]:
    silent = [str(q) for q in range(partitions) if q not in standing or standing[q].mode_change != change.id]
    lines = [f"{partitions - len(silent)} of {partitions} partitions decide so"]
    if silent:
        lines.append(
            f"not said of {', '.join(silent)}: see whether a worker holds it and is ready; one that starts later "
            "decides nothing before it knows"
        )
    return lines
