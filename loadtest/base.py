"""Base: what a detect worker holds of its machine beyond the state of its numbers.

    no number yet            -> interpreter, compiled kernels, model, client library
    a backlog is worked off  -> and what is under way: fetched messages, rows of a batch, decisions in force

`detector plan-memory` takes its word for the first: `service.plan.BASE_BYTES`. The batch and the snapshot buffer it
plans by themselves. What a worker holds at the most must be within the three.
"""

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from detector.config import Settings
from detector.errors import Fatal
from detector.service.plan import People, Plan, plan
from loadtest.command import add_common, conclude, say, work_folder
from loadtest.deployment import WORK_OFF_S, Deployment, deployment
from loadtest.fleet import Fleet, Worker
from loadtest.population import Population
from loadtest.scrape import scrape
from loadtest.vitals import vitals

ROLE: Final = "detect"
STATE: Final = "detector_state_bytes"
STEP_S: Final = 0.2
"""Between two looks."""
STILL_S: Final = 5.0
"""A worker that is ready has nothing left to load after so long."""


@dataclass(frozen=True, slots=True)
class Base:
    """What one worker held, bytes; its numbers' state is left out throughout."""

    numbers: int
    rows: int
    """That it worked off."""
    idle_bytes: int
    busy_bytes: int
    """At the most."""
    base_bytes: int
    """What the plan takes for a process, and beside it for these numbers:"""
    batch_bytes: int
    buffer_bytes: int

    @property
    def planned_bytes(self) -> int:
        """Of a worker without its state."""
        return self.base_bytes + self.batch_bytes + self.buffer_bytes

    def unmet(self) -> list[str]:
        """Where a plan would say too little."""
        return [
            f"{what}: {held / 1e6:,.0f} MB beyond the state (planned: {most / 1e6:,.0f})"
            for what, held, most in (
                ("holding nothing", self.idle_bytes, self.base_bytes),
                ("at work", self.busy_bytes, self.planned_bytes),
            )
            if held > most
        ]


def measure(numbers: int, days: float, seed: int, folder: Path) -> Base:
    """One worker that has all partitions, on a broker of its own: at first none has a row, then a backlog waits."""
    population = Population(numbers, seed)
    with deployment(folder, "base") as made:
        with Fleet(made.config, {"ingest": 0, ROLE: 1}) as fleet:
            made.wait_ready(fleet)
            time.sleep(STILL_S)
            idle = _beyond_state(fleet.workers[0])
            fleet.stop()
        filled = made.prefill(population, days)
        say(f"{filled.rows:,} rows of {numbers:,} numbers wait")
        with Fleet(made.config, {"ingest": 0, ROLE: 1}) as fleet:
            made.wait_ready(fleet)
            busy = _most_at_work(made, fleet.workers[0])
        planned = _planned(made.settings, population)
    return Base(numbers, filled.rows, idle, busy, planned.base_bytes, planned.batch_bytes, planned.buffer_bytes)


def _beyond_state(worker: Worker) -> int:
    """Looked at once; `Fatal` where its process has gone."""
    state_bytes = scrape(worker.url).total(STATE)
    held = vitals(worker.pid)
    if held is None:
        raise Fatal(f"{worker.name} ended: {worker.last_words()}")
    return held.rss_bytes - int(state_bytes)


def _most_at_work(made: Deployment, worker: Worker) -> int:
    """The most that it holds until it has worked off what stands there now."""
    ends, most, until = made.ends(ROLE), 0, time.monotonic() + WORK_OFF_S
    while not made.reach(ROLE, ends, STEP_S):
        most = max(most, _beyond_state(worker))
        if time.monotonic() > until:
            raise Fatal(f"the backlog was not worked off in {WORK_OFF_S:.0f} s")
    return max(most, _beyond_state(worker))


def _planned(settings: Settings, population: Population) -> Plan:
    rate = 2 * population.records_a_day / population.size
    return plan(settings, [People(population.size, rate)], workers=1, machines=1, most_numbers=None)


def table(base: Base) -> str:
    """What was held beside what is planned, as markdown."""
    lines = [
        f"a detect worker beyond the state of its numbers; {base.numbers:,} numbers, {base.rows:,} rows worked off",
        "",
        "| | held, MB | planned, MB |",
        "| --- | ---: | ---: |",
        f"| holding nothing | {base.idle_bytes / 1e6:,.0f} | {base.base_bytes / 1e6:,.0f} |",
        f"| at work, the most | {base.busy_bytes / 1e6:,.0f} | {base.planned_bytes / 1e6:,.0f} |",
        "",
    ]
    beyond = base.unmet()
    return "\n".join(lines + (["not within the plan:", *beyond] if beyond else ["both are within the plan"])) + "\n"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("base", help="what a detect worker takes in memory beside the state of its numbers")
    parser.add_argument("--numbers", type=int, default=50_000, help="of the backlog (default: %(default)s)")
    parser.add_argument("--days", type=float, default=8.0, help="of event time in it (default: %(default)s)")
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Measure, and print the table; 1 where a plan would say too little."""
    with work_folder(arguments.folder, "base") as folder:
        base = measure(arguments.numbers, arguments.days, arguments.seed, folder)
    return conclude(arguments.json, table(base), asdict(base) | {"unmet": base.unmet()}, base.unmet())
