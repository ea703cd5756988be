"""`plan-memory`: what a subscriber base needs."""

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import orjson

from detector.commands.common import Commands, add_command, add_config, out, positive, settings_of
from detector.errors import ConfigError

if TYPE_CHECKING:
    from detector.service.plan import Plan

ON_NET_A_DAY: Final = 11.0
"""Calls and messages of a subscriber a day, in a network of 360 million."""
ON_NET_SPREAD: Final = 1.2
"""Of Sichuan's honest numbers the ninth tenth made 4.4 times the median's calls: 4.4 = exp(1.16 x 1.28)."""
OFF_NET_A_DAY: Final = 5 / 7
"""Seen five times a week: at most ten, as a rule."""
MOST_NUMBERS: Final = 10**10
MOST_A_DAY: Final = 2_000.0


def natural(text: str) -> int:
    """A count of numbers."""
    value = int(text)
    if not 0 <= value <= MOST_NUMBERS:
        raise argparse.ArgumentTypeError(f"wanted 0 to {MOST_NUMBERS} (got {text})")
    return value


def rate(text: str) -> float:
    """Sightings a day."""
    value = float(text)
    if not 0 < value <= MOST_A_DAY:
        raise argparse.ArgumentTypeError(f"wanted more than 0, and at most {MOST_A_DAY:.0f}, a day (got {text})")
    return value


def spread(text: str) -> float:
    """Of a logarithm."""
    value = float(text)
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"wanted 0 to 2 (got {text})")
    return value


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "plan-memory",
        _plan_memory,
        "say how much memory the detect workers of a subscriber base need",
        "A sample of the numbers lives through four weeks in a real state, and is scaled up. Numbers are remembered\n"
        "until they have been silent for sixteen days: off-net ones are those seen within that time. The peak is what\n"
        "a worker's container must be allowed; limits of partitions and batches are those of the configuration.",
    )
    add_config(parser)
    parser.add_argument("--on-net", type=natural, required=True, metavar="N", help="numbers of our own subscribers")
    parser.add_argument("--off-net", type=natural, required=True, metavar="N", help="other numbers seen in 16 days")
    add = parser.add_argument
    add("--on-net-rate", type=rate, default=ON_NET_A_DAY, metavar="R", help="calls and messages a day (default: 11)")
    add("--off-net-rate", type=rate, default=OFF_NET_A_DAY, metavar="R", help="the same, seen by us (default: 5/7)")
    add(
        "--spread",
        type=spread,
        default=ON_NET_SPREAD,
        metavar="S",
        help="how much rates of on-net numbers differ: standard deviation of their logarithm (default: %(default)s)",
    )
    add("--partitions", type=positive, metavar="P", help="instead of topics.partitions")
    add("--workers", type=positive, default=1, metavar="W", help="detect workers on each machine (default: 1)")
    add("--machines", type=positive, default=1, metavar="M", help="machines (default: 1)")
    add(
        "--capacity",
        type=positive,
        metavar="N",
        help="what detect.most_numbers: N would mean (default: what is configured)",
    )
    add("--json", action="store_true", help="print the plan as JSON")


def _plan_memory(arguments: argparse.Namespace) -> int:
    from msgspec.structs import replace

    from detector.service.plan import People, plan

    settings = settings_of(arguments)
    if arguments.partitions:
        settings = replace(settings, topics=replace(settings.topics, partitions=arguments.partitions))
    if arguments.on_net + arguments.off_net == 0:
        raise ConfigError("--on-net, --off-net: wanted at least one number (got 0)")
    if arguments.workers * arguments.machines > settings.topics.partitions:
        raise ConfigError(
            f"--workers, --machines: wanted at most one worker for each of the {settings.topics.partitions} partitions "
            f"(got {arguments.workers * arguments.machines})"
        )
    people = [
        People(arguments.on_net, arguments.on_net_rate, arguments.spread),
        People(arguments.off_net, arguments.off_net_rate),
    ]
    most_numbers = arguments.capacity or settings.detect.most_numbers
    planned = plan(settings, people, arguments.workers, arguments.machines, most_numbers)
    if arguments.json:
        sys.stdout.write(orjson.dumps(tree(planned), option=orjson.OPT_INDENT_2).decode() + "\n")
        return 0
    for line in lines(planned):
        out(line)
    return 0


def tree(planned: "Plan") -> dict[str, object]:
    """The plan with its sums, as plain values."""
    sums = ("state_bytes", "worker_bytes", "peak_bytes", "machine_bytes")
    whole: dict[str, object] = asdict(planned) | {name: getattr(planned, name) for name in sums}
    if planned.limit:
        whole["limit"] = asdict(planned.limit) | {"evicted": planned.limit.evicted}
    return whole


def lines(planned: "Plan") -> list[str]:
    """The plan for the reader."""
    found = [_line("numbers", "bytes each", "MB")]
    for form, held in planned.forms.items():
        found.append(_line(f"{held.numbers:,}", f"{held.bytes_a_number:,}", _mb(held.bytes), form))
    found.append(_line(f"{planned.numbers:,}", "", _mb(planned.index_bytes), "index"))
    found.append(
        _line("", f"{planned.state_bytes / planned.numbers:,.0f}", _mb(planned.state_bytes), "state, whole network")
    )
    found.append(_line("", "", _mb(planned.partition_bytes), f"state, one of {planned.partitions} partitions"))
    found += ["", "a detect worker"]
    mine = planned.worker_partitions * planned.partition_bytes
    found.append(_line("", "", _mb(mine), f"state, {planned.worker_partitions} partitions"))
    found.append(_line("", "", _mb(planned.buffer_bytes), "snapshot buffer"))
    found.append(_line("", "", _mb(planned.batch_bytes), "largest batch"))
    found.append(_line("", "", _mb(planned.base_bytes), "process"))
    found.append(_line("", "", _mb(planned.worker_bytes), "total"))
    found.append(_line("", "", _mb(planned.peak_bytes), "peak, taking partitions"))
    found += [f"each of {planned.machines} machines"]
    found.append(_line("", "", _mb(planned.machine_bytes), f"peak of {planned.workers} workers"))
    limit = planned.limit
    if limit:
        found += ["", f"detect.most_numbers: {limit.most_numbers:,}, for the {limit.wanted_numbers:,} of a partition"]
        found.append(
            f"  too low: {limit.evicted:,} numbers of each partition would be evicted while they are still seen"
            if limit.evicted
            else f"  {limit.strangers:,} more fit in, made up perhaps, before anybody is evicted"
        )
        found.append(_line("", "", _mb(limit.flooded_bytes), "a partition full of them"))
        found.append(_line("", "", _mb(limit.most_bytes), "at the very most"))
    return found


def _line(numbers: str, each: str, size: str, name: str = "") -> str:
    return f"{name:<32}{numbers:>14}{each:>12}{size:>10}"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f}"
