"""Soak: paced load for long, a kill -9 a minute, and whether anything grows.

    Load -> source -> two ingest, two detect -> decisions
    every 5 s: memory, handles and threads of each process; probes all the while: latency

The first worker of each role is spared, and lives as long as the run; the others are killed in turn. Flat means: the
most memory that the spared one holds beyond its state after the settling time is at most 2 % above the most that it
held within it. (Of those that are killed each life begins with another backlog, and its memory with another peak: the
most of eight such lives is more than the most of two, and says nothing of growth.) State is what the process says that
it holds of its numbers and of what it decided on them (`detector_state_bytes`, `detector_cases_bytes`): it grows while
quiet numbers become usual ones, and until every fraud has its decision, as it must, and is printed beside; the most
that it has been counts, for what it lets go of is not given back to the system. Handles and threads are looked at in
all of them.
"""

import argparse
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Final

from loadtest.balance import Balance, balance
from loadtest.command import add_common, conclude, say, work_folder
from loadtest.deployment import Deployment, deployment
from loadtest.fleet import ROLES, Fleet, Worker
from loadtest.load import Load, Written
from loadtest.population import Population
from loadtest.probe import Prober
from loadtest.scrape import scrape
from loadtest.timeline import Seen, back_under, percentile
from loadtest.vitals import Vitals, vitals

SAMPLE_S: Final = 5.0
PROBE_S: Final = 0.1
SPAN_S: Final = 10.0
"""Latency is told for each."""
SETTLING_S: Final = 300.0
"""Of a run of 20 minutes; a shorter one takes a quarter of its time."""
GROWTH: Final = 0.02
MORE_HANDLES: Final = 8
"""Handles and threads: connections to the broker come and go by themselves."""
BACK_S: Final = 10.0
WINDOW_S: Final = 2.0
"""In which 99 % of the probes keep the bound when latency is back."""
WORKERS: Final = 2
SPARED: Final = 0
"""The ordinal of those that are never killed."""
MEMORY: Final = "memory"
STATE: Final = ("detector_state_bytes", "detector_cases_bytes")


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment of the run."""

    at_s: float
    role: str
    ordinal: int
    held: Vitals
    state_bytes: float = 0.0
    """Of it in the state of numbers and their decisions; asked of the one that is spared."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill -9, and when latency was back under its bound, in seconds from it."""

    at_s: float
    name: str
    back_s: float


@dataclass
class Soak:
    """What the command measured."""

    minutes: float
    rate: int
    bound_s: float
    settling_s: float
    written: Written
    samples: list[Sample] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    latency: list[tuple[float, float, float]] = field(default_factory=list)
    """Of each span: when it began, p50 and p99 of the probes written in it."""
    balance: Balance = field(default_factory=Balance)
    unbalanced: int = 0
    """Probes without a decision, or with two."""

    def most(self, role: str, what: str, late: bool) -> float:
        """The most of `what` that one process of a role held within the settling time, or after it; NaN of none.

        Of memory: that the spared one held.
        """
        if what == MEMORY:
            held = self._beyond_state(role)
        else:
            held = [(one.at_s, float(getattr(one.held, what))) for one in self.samples if one.role == role]
        return max((value for at_s, value in held if (at_s > self.settling_s) == late), default=math.nan)

    def _beyond_state(self, role: str) -> list[tuple[float, float]]:
        """What the spared one held beyond the most that its state had been by then, by time, in bytes.

        What state lets go of, Python keeps: the next takes it.
        """
        of_role = [one for one in self.samples if one.role == role and one.ordinal == SPARED]
        states = accumulate((one.state_bytes for one in of_role), max)
        return [(one.at_s, one.held.rss_bytes - state) for one, state in zip(of_role, states, strict=True)]

    def state(self, role: str, late: bool) -> float:
        """The most that the spared one held in state, bytes."""
        of_role = (one for one in self.samples if one.role == role and one.ordinal == SPARED)
        return max((one.state_bytes for one in of_role if (one.at_s > self.settling_s) == late), default=math.nan)

    def unmet(self) -> list[str]:
        """Every criterion that is not met."""
        sentences = []
        for role in ROLES:
            first, then = self.most(role, MEMORY, late=False), self.most(role, MEMORY, late=True)
            if not then <= first * (1 + GROWTH):
                sentences.append(
                    f"{role}: memory beyond state grew from {first / 1e6:.0f} to {then / 1e6:.0f} MB (at most 2 %)"
                )
            for what in ("handles", "threads"):
                first, then = self.most(role, what, late=False), self.most(role, what, late=True)
                if not then <= first + MORE_HANDLES:
                    sentences.append(
                        f"{role}: {what} grew from {first:.0f} to {then:.0f} (at most {MORE_HANDLES} more)"
                    )
        sentences += [
            f"kill of {kill.name} at {kill.at_s:.0f} s: back after {kill.back_s:.1f} s (bound {BACK_S:.0f} s)"
            for kill in self.kills
            if kill.back_s > BACK_S
        ]
        if self.written.per_s < 0.99 * self.rate:
            sentences.append(f"the generator wrote {self.written.per_s:,.0f} records/s (wanted {self.rate:,})")
        sentences += self.balance.unmet(self.written.records, self.written.broken)
        if self.unbalanced:
            sentences.append(f"{self.unbalanced} probes without a decision, or with two")
        return sentences


def measure(
    minutes: float, rate: int, numbers: int, kill_every_s: float, bound_s: float, seed: int, folder: Path
) -> Soak:
    """One run on a broker of its own."""
    chance, population = random.Random(seed), Population(numbers, seed)
    with deployment(folder, "soak") as made, Fleet(made.config, WORKERS) as fleet:
        _warm_up(made, fleet, population, rate)
        with (
            Load(made.config, population, population.size, rate, "source") as load,
            Prober(made.settings, PROBE_S, in_turn=True) as prober,
        ):
            soak = Soak(minutes, rate, bound_s, min(SETTLING_S, 15 * minutes), Written(0))
            began = time.monotonic()
            killed = _live(soak, fleet, began, kill_every_s, chance)
            soak.written = load.end()
            made.work_off()
            prober.finish()
            soak.unbalanced = prober.lost() + prober.repeated
            seen = prober.seen()
        soak.kills = [Kill(at - began, name, back_under(seen, at, bound_s, 0.99, WINDOW_S) - at) for at, name in killed]
        soak.latency = spans(seen, began)
        soak.balance = balance(made.broker, made.settings)
    return soak


def _warm_up(made: Deployment, fleet: Fleet, population: Population, rate: int) -> None:
    """Everybody is at work, kernels are compiled, and every number has been seen."""
    made.wait_ready(fleet)
    filled = made.prefill(population, days=0.0)
    made.work_off()
    say(f"{filled.rows:,} rows of {population.size:,} numbers worked off; {rate:,} records/s from now on")


def _live(
    soak: Soak, fleet: Fleet, began: float, kill_every_s: float, chance: random.Random
) -> list[tuple[float, str]]:
    """Samples are taken and workers killed until the minutes are over."""
    killed: list[tuple[float, str]] = []
    victims: list[str] = []
    due = began + kill_every_s
    # The last kill leaves time to see what comes of it.
    end, last = began + 60 * soak.minutes, began + 60 * soak.minutes - 2 * BACK_S
    while (now := time.monotonic()) < end:
        soak.samples += _sampled(fleet, now - began)
        if due <= now < last:
            if not victims:
                victims = [worker.name for worker in fleet.workers if worker.ordinal != SPARED]
                chance.shuffle(victims)
            name = victims.pop()
            victim = next(worker for worker in fleet.workers if worker.name == name)
            killed.append((time.monotonic(), name))
            fleet.kill([victim])
            say(f"{now - began:6.0f} s: killed {name}")
            due += kill_every_s
        time.sleep(max(0.0, min(now + SAMPLE_S, end) - time.monotonic()))
    return killed


def _sampled(fleet: Fleet, at_s: float) -> list[Sample]:
    found = []
    for worker in fleet.workers:
        pid = worker.pid
        if pid and (held := vitals(pid)):
            found.append(Sample(at_s, worker.role, worker.ordinal, held, _state_bytes(worker)))
    return found


def _state_bytes(worker: Worker) -> float:
    """What the spared one says that it holds of its numbers and decisions; 0 of the others, who may be down."""
    if worker.ordinal != SPARED:
        return 0.0
    told = scrape(worker.url)
    return sum(told.total(name) for name in STATE)


def spans(seen: Sequence[Seen], began: float) -> list[tuple[float, float, float]]:
    """Start, p50 and p99 of latency of each span of the run that has probes."""
    by_span: dict[int, list[float]] = {}
    for one in seen:
        by_span.setdefault(int((one.written_s - began) // SPAN_S), []).append(one.latency_s)
    return [
        (number * SPAN_S, percentile(latencies, 0.5), percentile(latencies, 0.99))
        for number, latencies in sorted(by_span.items())
        if number >= 0
    ]


def table(soak: Soak) -> str:
    """What was held, every kill, and latency, as markdown."""
    lines = [
        f"{soak.minutes:g} minutes, {soak.written.records:,} records at {soak.written.per_s:,.0f}/s "
        f"({soak.written.behind_s:.1f} s late at most), {len(soak.kills)} kills; settling time {soak.settling_s:.0f} s",
        "",
        "| role | what | most in a process, settling | afterwards | change |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for role in ROLES:
        first, then = soak.most(role, MEMORY, late=False), soak.most(role, MEMORY, late=True)
        change = f"{100 * (then / first - 1):+.1f} %"
        lines.append(
            f"| {role} | memory beyond state of the one that is spared, MB "
            f"| {first / 1e6:.0f} | {then / 1e6:.0f} | {change} |"
        )
        first, then = soak.state(role, late=False), soak.state(role, late=True)
        lines.append(f"| {role} | its state, MB | {first / 1e6:.0f} | {then / 1e6:.0f} | {(then - first) / 1e6:+.0f} |")
        for what in ("handles", "threads"):
            first, then = soak.most(role, what, late=False), soak.most(role, what, late=True)
            lines.append(f"| {role} | {what} | {first:.0f} | {then:.0f} | {then - first:+.0f} |")
    lines += ["", f"| kill -9 | at | p99 <= {1000 * soak.bound_s:.0f} ms again after |", "| --- | ---: | ---: |"]
    lines += [f"| {kill.name} | {kill.at_s:.0f} s | {kill.back_s:.1f} s |" for kill in soak.kills]
    quiet = [span for span in soak.latency if not any(-SPAN_S <= kill.at_s - span[0] < SPAN_S for kill in soak.kills)]
    lines += [
        "",
        f"latency of probes, spans of {SPAN_S:.0f} s without a kill in or before them: "
        f"p50 {_median_ms(quiet, 1)}, p99 {_median_ms(quiet, 2)} (medians of {len(quiet)} spans)",
        f"{soak.balance.records:,} records: {soak.balance.rows:,} rows, {soak.balance.rejected:,} rejects, "
        f"{soak.balance.wrong} wrong",
        "",
    ]
    beyond = soak.unmet()
    return "\n".join(lines + (["not met:", *beyond] if beyond else ["every criterion is met"])) + "\n"


def _median_ms(spans_: Sequence[tuple[float, float, float]], column: int) -> str:
    return f"{1000 * percentile((one[column] for one in spans_), 0.5):.0f} ms"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser("soak", help="paced load and a kill -9 a minute: what grows, and when latency is back")
    parser.add_argument("--minutes", type=float, default=20.0, help="of load (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=20_000, help="records a second (default: %(default)s)")
    parser.add_argument("--numbers", type=int, default=100_000, help="subscribers (default: %(default)s)")
    parser.add_argument("--kill-every", type=float, default=60.0, metavar="S", help="seconds (default: %(default)s)")
    parser.add_argument("--bound-ms", type=float, default=100.0, help="of the p99 of latency (default: %(default)s)")
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Measure, and print the tables; 1 where a criterion is not met."""
    with work_folder(arguments.folder, "soak") as folder:
        soak = measure(
            arguments.minutes,
            arguments.rate,
            arguments.numbers,
            arguments.kill_every,
            arguments.bound_ms / 1000,
            arguments.seed,
            folder,
        )
    unmet = soak.unmet()
    return conclude(arguments.json, table(soak), asdict(soak) | {"unmet": unmet}, unmet)
