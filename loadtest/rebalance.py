"""Rebalance: what each partition sees when workers of detect come and go, from outside.

Paced load and probes go straight to the internal topic, as ingest would put them there: only detect is looked at.

On every partition a probe is written every 20 ms. The longest time without a decision is
its pause; those that changed hands are told from those that did not by what the workers say they hold.
"""

import argparse
import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from detector.service.figures import ROLE as DETECT
from loadtest.command import add_common, conclude, say, work_folder
from loadtest.deployment import Deployment, deployment
from loadtest.fleet import Fleet, Worker
from loadtest.load import Load
from loadtest.population import Population
from loadtest.probe import Prober
from loadtest.timeline import longest_gap

MOVED_S: Final = 3.0
"""The bound of a partition that changes hands."""
STAYED_S: Final = 0.3
"""The bound of all others; or the longest pause without a rebalance, where that is longer."""
PROBE_S: Final = 0.02
WORKERS: Final = 2
AFTERWARDS_S: Final = 3.0
LIMIT_S: Final = 60.0
NOTHING: Final = "nothing changes"
JOINS: Final = "a third worker joins"
LEAVES: Final = "it leaves in order"
REPLACED: Final = "a worker hands over and is started again"
RESTARTS: Final = "a worker is restarted in its place"
CHANGES: Final = (NOTHING, JOINS, LEAVES, REPLACED, RESTARTS)
IN_PLACE_S: Final = 10.0
"""The bound where nobody takes over: that of a recovery."""


@dataclass
class Step:
    """What one change of workers did, in seconds."""

    what: str
    moved: dict[int, float] = field(default_factory=dict)
    stayed: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def worst_moved(self) -> float:
        """0 where none did."""
        return max(self.moved.values(), default=0.0)

    @property
    def worst_stayed(self) -> float:
        """0 where all moved."""
        return max(self.stayed.values(), default=0.0)


def measure(
    numbers: int, rate: int, seed: int, quiet_s: float, folder: Path, changes: Sequence[str] = CHANGES
) -> tuple[list[Step], int]:
    """The steps, the first of them without any change; and the probes that were lost or are there twice."""
    population = Population(numbers, seed)
    with deployment(folder, "rebalance") as made:
        filled = made.prefill(population, days=1.0)
        with Fleet(made.config, {"ingest": 0, "detect": WORKERS}) as fleet:
            made.wait_ready(fleet)
            made.work_off(DETECT)
            with (
                Load(made.config, population, filled.records, rate, "events") as load,
                Prober(made.settings, PROBE_S, past_ingest=True) as prober,
            ):
                time.sleep(AFTERWARDS_S)
                steps = _steps(made, fleet, prober, quiet_s, changes)
                load.end()
                prober.finish()
    return steps, prober.lost() + prober.repeated


def _steps(made: Deployment, fleet: Fleet, prober: Prober, quiet_s: float, changes: Sequence[str]) -> list[Step]:
    guests: list[Worker] = []

    def joins() -> str:
        guests.append(fleet.join("detect"))
        return ""

    def leaves() -> str:
        fleet.leave(guests[0], signal.SIGUSR1)
        fleet.workers.remove(guests[0])
        return guests[0].name

    def ended(how: signal.Signals) -> str:
        worker = fleet.of("detect")[0]
        fleet.strike(worker, how)
        fleet.gone(worker)
        return worker.name

    def nothing() -> str:
        time.sleep(quiet_s)
        return ""

    acts: dict[str, Callable[[], str]] = {
        NOTHING: nothing,
        JOINS: joins,
        LEAVES: leaves,
        REPLACED: lambda: ended(signal.SIGUSR1),
        RESTARTS: lambda: ended(signal.SIGTERM),
    }
    steps = []
    for what in changes:
        before, began = made.owners(fleet), time.monotonic()
        told_to_end = acts[what]()
        made.wait_ready(fleet, LIMIT_S)
        _wait_held(made, fleet)
        time.sleep(AFTERWARDS_S)
        until, after = time.monotonic(), made.owners(fleet)
        step, seen = Step(what, seconds=until - began), prober.seen()
        for q in range(made.settings.topics.partitions):
            decided = [one.decided_s for one in seen if one.partition == q and math.isfinite(one.decided_s)]
            # Those of a worker that comes back in time have not changed hands, and paused all the same.
            moved = before.get(q) != after.get(q) or before.get(q) == told_to_end
            (step.moved if moved else step.stayed)[q] = longest_gap(decided, began, until)
        steps.append(step)
        say(line(step))
    return steps


def _wait_held(made: Deployment, fleet: Fleet) -> None:
    """Every partition is held by somebody."""
    until = time.monotonic() + LIMIT_S
    while len(made.owners(fleet)) < made.settings.topics.partitions and time.monotonic() < until:
        time.sleep(0.2)


def unmet(steps: Sequence[Step], unbalanced: int) -> list[str]:
    """What is beyond its bound."""
    still = max(STAYED_S, steps[0].worst_stayed)
    sentences = []
    for step in steps[1:]:
        bound_s = IN_PLACE_S if step.what == RESTARTS else MOVED_S
        if step.worst_moved > bound_s:
            sentences.append(
                f"{step.what}: a partition that moved paused for {step.worst_moved:.2f} s (bound {bound_s} s)"
            )
        if step.worst_stayed > still:
            sentences.append(f"{step.what}: one that stayed paused for {step.worst_stayed:.2f} s (bound {still:.2f} s)")
        if not step.moved:
            sentences.append(f"{step.what}: no partition moved")
    if unbalanced:
        sentences.append(f"{unbalanced} probes without a decision, or with two")
    return sentences


def table(steps: Sequence[Step], unbalanced: int) -> str:
    """The steps as a markdown table, and whether the bounds are kept."""
    lines = [
        "| change | moved | pause: median, worst | stayed | pause: worst |",
        "| --- | ---: | --- | ---: | --- |",
        *map(line, steps),
        "",
    ]
    beyond = unmet(steps, unbalanced)
    return "\n".join(lines + (["beyond the bounds:", *beyond] if beyond else ["every bound is kept"])) + "\n"


def line(step: Step) -> str:
    """A row of the table."""
    moved = f"{median(step.moved.values()):.2f} s, {step.worst_moved:.2f} s" if step.moved else ""
    stayed = f"{step.worst_stayed:.2f} s" if step.stayed else ""
    return f"| {step.what} | {len(step.moved)} | {moved} | {len(step.stayed)} | {stayed} |"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser("rebalance", help="workers come and go: how long each partition pauses")
    parser.add_argument("--numbers", type=int, default=100_000, help="subscribers (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5_000, help="records a second (default: %(default)s)")
    parser.add_argument(
        "--quiet", type=float, default=15.0, metavar="S", help="seconds without any change, at first (default: 15)"
    )
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Measure, and print the table; 1 where a bound is not kept."""
    with work_folder(arguments.folder, "rebalance") as folder:
        steps, unbalanced = measure(arguments.numbers, arguments.rate, arguments.seed, arguments.quiet, folder)
    beyond = unmet(steps, unbalanced)
    figures = {"steps": [asdict(step) for step in steps], "unmet": beyond}
    return conclude(arguments.json, table(steps, unbalanced), figures, beyond)
