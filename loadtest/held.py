"""Held: a backlog worked off by a detect worker that already holds so many numbers.

    Population -> prefill -> detect holds them     -> the clock
               -> lines   -> source -> ingest, detect -> /

What the others measure with a state that the processor's caches know half of is measured here with one that lies in
memory: each size is worked off on a broker of its own, and its rate is told as a share of the first size's. Everybody
was seen once, and then at their own rate for some days; the backlog's records are of the same numbers, an even draw.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from loadtest.command import add_common, say, work_folder, write_figures
from loadtest.deployment import deployment
from loadtest.fleet import ROLES
from loadtest.population import Population
from loadtest.processes import RoleProcess, cpu_s
from loadtest.stencil import lines
from loadtest.throughput import Run, clocked, detect_counts, detect_told, feed, free_ports

DAYS: Final = 2.0
"""After them whoever is busy is held as a usual number, as after weeks."""
BACKLOG: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """One size."""

    numbers: int
    state_bytes: float
    run: Run

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a file."""
        return {"numbers": self.numbers, "state_bytes": self.state_bytes, **self.run.as_dict()}


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("held", help="throughput by how many numbers detect holds")
    parser.add_argument(
        "--numbers",
        type=int,
        nargs="+",
        default=[100_000, 1_000_000, 10_000_000],
        help="sizes, one after the other (default: 0.1, 1 and 10 M)",
    )
    parser.add_argument("--days", type=float, default=DAYS, help="of event time to fill with (default: %(default)s)")
    parser.add_argument("--records", type=int, default=BACKLOG, help="of the backlog (default: %(default)s)")
    add_common(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    measured = []
    for numbers in arguments.numbers:
        population = Population(numbers, arguments.seed)
        with work_folder(arguments.folder, "held") as folder:
            measured.append(measure(population, arguments.days, arguments.records, folder / f"{numbers}"))
        say(f"{numbers:,} numbers held: {measured[-1].run.records_per_s:,.0f} records/s")
        write_figures(arguments.json, [one.as_dict() for one in measured])
    sys.stdout.write(table(measured))
    return 0


def measure(population: Population, days: float, records: int, folder: Path) -> Held:
    """One size, on a broker of its own."""
    with deployment(folder, "held", admin={"port": free_ports()}) as made, ExitStack() as stack:
        filled = made.prefill(population, days)
        detect = stack.enter_context(RoleProcess("detect", made.config))
        made.work_off("detect")
        say(f"{filled.rows:,} rows of {population.size:,} numbers worked off")
        values = lines(population.draw(filled.records, records))
        feed(made.broker, values)
        before, broker_s = detect_counts(made.settings), cpu_s(made.kafka.pid)
        ingest = stack.enter_context(RoleProcess("ingest", made.config))
        size = sum(map(len, values)) / len(values)
        run = clocked(made.broker, made.settings, records, size, {("ingest", 0): ingest, ("detect", 0): detect})
        run.cpu_s["broker"] = cpu_s(made.kafka.pid) - broker_s
        rows, scored, decisions = (
            after - was for after, was in zip((run.rows, run.scored, run.decisions), before, strict=True)
        )
        state_bytes = sum(one.total("detector_state_bytes") for one in detect_told(made.settings))
    return Held(population.size, state_bytes, replace(run, rows=rows, scored=scored, decisions=decisions))


def table(measured: Sequence[Held]) -> str:
    """The sizes as a markdown table; each rate also as a share of the first size's."""
    names = (*ROLES, "broker")
    text = [
        f"{measured[0].run.machine}; backlogs of {measured[0].run.records:,} records",
        "",
        f"| numbers held | state, GB | records/s | of the first | scored | CPU s/M {' | '.join(names)} | detect's GB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in measured:
        run = one.run
        cells = [
            f"{one.numbers:,}",
            f"{one.state_bytes / 1e9:.2f}",
            f"{run.records_per_s:,.0f}",
            f"{run.records_per_s / measured[0].run.records_per_s:.0%}",
            f"{run.scored / run.rows:.0%}",
            *(f"{run.cpu_s[name] / run.records * 1e6:.1f}" for name in names),
            f"{run.peak_bytes['detect'] / 1e9:.2f}",
        ]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"
