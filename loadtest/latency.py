"""Latency: from writing a message to its committed decision, at several paces and when nothing else happens.

    Load -> source ----\\
                         ingest -> events.by-number -> detect -> decisions -> Prober, read committed
    Prober -> commands -/

A command's way is that of the traffic: it stands in the same batches and commits, and always makes a decision, which
of the traffic hardly one record in a thousand does. Probes come one by one: at once they would be a burst of their own.
Beside it stands how long each stage took, as the roles count it.
A pace that the generator could not write, or that the roles did not carry, is told as such: its figures
are those of a growing backlog.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtest.command import add_common, say, work_folder, write_figures
from loadtest.deployment import Deployment, deployment
from loadtest.fleet import ROLES, Fleet
from loadtest.load import Load, Written
from loadtest.population import Population
from loadtest.probe import Prober
from loadtest.scrape import Scraped
from loadtest.stages import Stage, stages
from loadtest.timeline import Seen, percentile

BOUND_RATE: Final = 20_000
P50_S: Final = 0.04
P99_S: Final = 0.1
"""The bounds: at `BOUND_RATE` records a second."""
SHARES: Final = (0.5, 0.9, 0.99, 0.999, 1.0)
IDLE: Final = 0
"""The pace of a system that carries nothing but probes."""
RATES: Final = (IDLE, 1_000, BOUND_RATE)
CAPACITY_SHARES: Final = (0.5, 0.8)
CAPACITY: Final = 200_000
PROBE_S: Final = 0.25
"""From probe to probe of a partition: with twelve, 48 a second."""
IDLE_PROBE_S: Final = 3.0
SETTLE_S: Final = 5.0
"""Probes of so long after the load began do not count: buffers, connections and batches take their size."""
KEPT_UP: Final = 0.98
"""A generator that wrote less of its pace did not keep it."""


@dataclass
class Paced:
    """One pace."""

    rate: int
    written: Written | None
    """None of an idle system."""
    probes: int
    latency_s: list[float]
    """At each of `SHARES`; infinite where a probe had no decision."""
    stages: list[Stage] = field(default_factory=list)
    backlog_s: float = 0.0
    """Until all was committed, once the generator had ended."""
    unbalanced: int = 0
    """Probes without a decision, or with two."""
    ended: int = 0
    """Processes that ended meanwhile."""

    def at(self, share: float) -> float:
        """Seconds at one of `SHARES`."""
        return self.latency_s[SHARES.index(share)]

    def unmet(self) -> list[str]:
        """What is beyond its bound, or was not what it is called."""
        name = called(self.rate)
        sentences = []
        if self.rate == BOUND_RATE:
            for share, bound_s in ((0.5, P50_S), (0.99, P99_S)):
                if not self.at(share) <= bound_s:
                    words = f"p{100 * share:.0f} is {1e3 * self.at(share):.0f} ms"
                    sentences.append(f"{name}: {words} (bound {1e3 * bound_s:.0f} ms)")
        if not self.probes:
            sentences.append(f"{name}: no probe was written")
        if self.unbalanced:
            sentences.append(f"{name}: {self.unbalanced} probes without a decision, or with two")
        if self.ended:
            sentences.append(f"{name}: {self.ended} processes ended")
        if self.written and self.written.per_s < KEPT_UP * self.rate:
            sentences.append(f"{name}: the generator wrote {self.written.per_s:,.0f} a second")
        return sentences


def rates_of(capacity: int) -> list[int]:
    """The paces of a run, where none are named."""
    return [*RATES, *(round(share * capacity) for share in CAPACITY_SHARES)]


def measure(
    rates: Sequence[int],
    seconds: float,
    numbers: int,
    days: float,
    workers: int,
    seed: int,
    folder: Path,
    settle_s: float = SETTLE_S,
) -> list[Paced]:
    """One deployment, one pace after another, each `seconds` long behind `settle_s` that do not count."""
    population, runs = Population(numbers, seed), []
    with deployment(folder, "latency") as made:
        filled = made.prefill(population, days)
        say(f"{filled.rows:,} rows of {numbers:,} numbers published")
        with Fleet(made.config, workers) as fleet:
            made.wait_ready(fleet)
            made.work_off()
            at = filled.records
            for rate in rates:
                runs.append(_paced(made, fleet, population, at, rate, seconds, settle_s))
                at += runs[-1].written.records if runs[-1].written else 0
                say(line(runs[-1]))
    return runs


def _paced(
    made: Deployment, fleet: Fleet, population: Population, first: int, rate: int, seconds: float, settle_s: float
) -> Paced:
    ended = _ended(fleet)
    written = None
    with Prober(made.settings, PROBE_S if rate else IDLE_PROBE_S, in_turn=True) as prober:
        if rate:
            with Load(made.config, population, first, rate, "source") as load:
                since, looks = _stretch(made, fleet, seconds, settle_s)
                written = load.end()
        else:
            since, looks = _stretch(made, fleet, seconds, settle_s)
        stopped = time.monotonic()
        made.work_off()
        backlog_s = time.monotonic() - stopped
        prober.finish()
        counted = [one for one in prober.seen() if since <= one.written_s < since + seconds]
        unbalanced = prober.lost() + prober.repeated
    paced = summed_up(rate, counted)
    paced.written, paced.stages, paced.backlog_s = written, stages(*looks), backlog_s
    paced.unbalanced, paced.ended = unbalanced, _ended(fleet) - ended
    return paced


def _stretch(
    made: Deployment, fleet: Fleet, seconds: float, settle_s: float
) -> tuple[float, tuple[dict[str, Scraped], dict[str, Scraped]]]:
    """Let it settle, and then pass; returns when it began, and the looks at both its ends."""
    time.sleep(settle_s)
    before, since = _looks(made, fleet), time.monotonic()
    time.sleep(seconds)
    return since, (before, _looks(made, fleet))


def _looks(made: Deployment, fleet: Fleet) -> dict[str, Scraped]:
    return {name: told for role in ROLES for name, told in made.told(fleet, role).items()}


def _ended(fleet: Fleet) -> int:
    return sum(len(worker.codes) for worker in fleet.workers)


def summed_up(rate: int, counted: Sequence[Seen]) -> Paced:
    """The latencies of the probes that count."""
    latencies = [one.latency_s for one in counted]
    return Paced(rate, None, len(latencies), [percentile(latencies, share) for share in SHARES])


def called(rate: int) -> str:
    """`20,000 records/s`."""
    return f"{rate:,} records/s" if rate else "idle"


def unmet(runs: Sequence[Paced]) -> list[str]:
    """What any of them did not keep."""
    return [sentence for run in runs for sentence in run.unmet()]


def table(runs: Sequence[Paced]) -> str:
    """The paces as a markdown table, and the stages of each as another."""
    beyond = unmet(runs)
    lines = [
        "| pace | written a second | probes | p50 | p90 | p99 | p99.9 | worst | all committed after |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(line, runs),
        "",
        "| pace | role | stage | batches | mean | p50 at most | p99 at most |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for run in runs:
        for one in run.stages:
            cells = [called(run.rate), one.role, one.stage, f"{one.batches:,}"]
            cells += [f"{1e3 * seconds:.1f} ms" for seconds in (one.mean_s, one.p50_at_most_s, one.p99_at_most_s)]
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(["beyond the bounds:", *beyond] if beyond else ["every bound is kept"])]
    return "\n".join(lines) + "\n"


def line(run: Paced) -> str:
    """A row of the table."""
    cells = [
        called(run.rate),
        f"{run.written.per_s:,.0f}" if run.written else "",
        f"{run.probes:,}",
        *(f"{1e3 * seconds:,.0f} ms" for seconds in run.latency_s),
        f"{run.backlog_s:.1f} s",
    ]
    return "| " + " | ".join(cells) + " |"


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("latency", help="from writing to the committed decision, at several paces")
    parser.add_argument("--rates", type=int, nargs="+", metavar="N", help="records a second each; 0 is an idle system")
    parser.add_argument(
        "--capacity",
        type=int,
        default=CAPACITY,
        metavar="N",
        help="of which 50 %% and 80 %% are two of the paces, unless --rates names them (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of each pace (default: %(default)s)")
    parser.add_argument("--numbers", type=int, default=100_000, help="subscribers (default: %(default)s)")
    parser.add_argument(
        "--days", type=float, default=2.0, help="of event time before the first pace (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="of each role (default: %(default)s)")
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Measure, and print the tables; 1 where a bound is not kept."""
    rates = arguments.rates or rates_of(arguments.capacity)
    with work_folder(arguments.folder, "latency") as folder:
        runs = measure(
            rates, arguments.seconds, arguments.numbers, arguments.days, arguments.workers, arguments.seed, folder
        )
    sys.stdout.write(table(runs))
    write_figures(arguments.json, {"shares": SHARES, "paces": [asdict(run) for run in runs], "unmet": unmet(runs)})
    return 1 if unmet(runs) else 0
