"""Recovery: kill -9 under load, and the time until every partition is decided on again.

1. A state of many numbers is made of packed rows, and worked off.
2. Load at a pace. It goes through ingest; where the machine cannot carry both roles at that pace, straight to the
   internal topic, and the output says so. Probes are written on every partition.
3. At a random moment, kill -9: of one detect worker; in another turn, of every worker of both roles.

A partition is at work again when the first probe that was written after the kill is decided, and has caught up when
for a second every probe is decided within half a second. The time is from the kill.
"""

import argparse
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from loadtest.command import add_common, conclude, say, work_folder
from loadtest.deployment import Deployment, deployment, named
from loadtest.fleet import Fleet
from loadtest.load import Load, To, Written
from loadtest.population import Population
from loadtest.probe import Prober
from loadtest.scrape import Scraped
from loadtest.stored import newest, rows_to_replay
from loadtest.timeline import Seen, back_under, first_decided, longest_gap

AGAIN_S: Final = 10.0
"""The bound: kill -9 to deciding again."""
PAUSE_S: Final = 0.05
"""The bound: how long a snapshot may stop a partition."""
PROBE_S: Final = 0.05
BOUND_S: Final = 0.5
WINDOW_S: Final = 1.0
TRIAL_S: Final = 15.0
"""Load through ingest for so long, before it is looked whether it keeps up."""
BACKLOG_S: Final = 2.0
"""What ingest may be behind then."""
LIMIT_S: Final = 180.0
WORKERS: Final = 2
ONE: Final = "kill -9 of one detect worker"
ALL: Final = "kill -9 of all workers"
KILLS: Final = (ONE, ALL)


@dataclass
class Turn:
    """One kill. Times in seconds from it, by partition."""

    what: str
    killed: list[str]
    again_s: dict[int, float] = field(default_factory=dict)
    """Of the partitions of those that were killed."""
    caught_up_s: dict[int, float] = field(default_factory=dict)
    others_gap_s: dict[int, float] = field(default_factory=dict)
    """Of the others: the longest time without a decision."""
    before_gap_s: float = 0.0
    """The longest of all partitions in the time before the kill."""
    snapshot_age_s: float = 0.0
    """Of the oldest among the newest snapshots of those partitions."""
    snapshot_bytes: int = 0
    replayed_rows: int = 0
    """From those snapshots to what was committed at the kill."""


@dataclass
class Recovery:
    """What the command measured."""

    numbers: int
    rate: int
    to: To
    filled: Written
    written: list[Written] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    state_bytes: float = 0.0
    snapshot_pause_s: float | None = None
    """The upper edge of the longest stop that detect counted; None where it counts none."""
    unbalanced: int = 0
    """Probes without a decision, or with two."""

    def unmet(self) -> list[str]:
        """What is beyond its bound."""
        sentences = []
        for turn in self.turns:
            worst = max(turn.again_s.values(), default=math.inf)
            if worst > AGAIN_S:
                sentences.append(f"{turn.what}: decided again after {worst:.1f} s (bound {AGAIN_S:.0f} s)")
        if self.snapshot_pause_s is not None and self.snapshot_pause_s > PAUSE_S:
            sentences.append(f"a snapshot stopped a partition for up to {self.snapshot_pause_s} s (bound {PAUSE_S} s)")
        if self.unbalanced:
            sentences.append(f"{self.unbalanced} probes without a decision, or with two")
        return sentences + [
            f"the generator wrote {one.per_s:,.0f} records/s (wanted {self.rate:,})"
            for one in self.written
            if one.per_s < 0.98 * self.rate
        ]


def measure(
    numbers: int,
    rate: int,
    seed: int,
    days: float,
    wait_s: float,
    ingest: int,
    folder: Path,
    kills: Sequence[str] = KILLS,
    trial_s: float = TRIAL_S,
) -> Recovery:
    """One run: prefill, load, kills, each at most `wait_s` after its load began. Without a trial, through ingest."""
    chance, population = random.Random(seed), Population(numbers, seed)
    with deployment(folder, "recovery") as made:
        filled = made.prefill(population, days)
        say(f"{filled.rows:,} rows of {numbers:,} numbers published, {filled.per_s * 2:,.0f} rows/s")
        with Fleet(made.config, {"ingest": ingest, "detect": WORKERS}) as fleet:
            began = time.monotonic()
            made.wait_ready(fleet)
            made.work_off()
            say(f"worked off in {time.monotonic() - began:.0f} s")
            recovery = Recovery(numbers, rate, "source", filled)
            at = filled.records
            if trial_s:
                if not _keeps_up(made, population, at, recovery, trial_s):
                    recovery.to = "events"
                    say("ingest cannot keep that pace beside detect: packed rows go straight to the internal topic")
                at += recovery.written[-1].records
                made.work_off()
            for what in kills:
                with (
                    Load(made.config, population, at, rate, recovery.to) as load,
                    Prober(made.settings, PROBE_S) as prober,
                ):
                    time.sleep(wait_s * chance.uniform(0.5, 1.0))
                    recovery.turns.append(_strike(made, fleet, prober, what, chance, recovery))
                    recovery.written.append(load.end())
                    made.work_off()
                    prober.finish()
                    recovery.unbalanced += prober.lost() + prober.repeated
                at += recovery.written[-1].records
                made.wait_ready(fleet)
    return recovery


def _keeps_up(made: Deployment, population: Population, first: int, recovery: Recovery, trial_s: float) -> bool:
    """Whether ingest has at most `BACKLOG_S` of records before it after some time at the pace."""
    with Load(made.config, population, first, recovery.rate, "source") as load:
        time.sleep(trial_s)
        done = sum(made.committed("ingest").values())
        behind = sum(made.ends("ingest").values()) - done
        recovery.written.append(load.end())
    return behind <= BACKLOG_S * recovery.rate


def _strike(
    made: Deployment, fleet: Fleet, prober: Prober, what: str, chance: random.Random, recovery: Recovery
) -> Turn:
    """The kill, and what came of it."""
    owners, told = made.owners(fleet), made.told(fleet, "detect")
    recovery.state_bytes = sum(one.total("detector_state_bytes") for one in told.values())
    _note_pause(recovery, told)
    victims = list(fleet.workers)
    if what == ONE:
        victims = [named(fleet, chance.choice(sorted(set(owners.values()))))]
    names = [worker.name for worker in victims]
    mine = sorted(q for q, name in owners.items() if name in names)
    found = newest(made, made.committed("detect"))
    stored = [found[q] for q in mine]
    turn = Turn(what, names)
    before = _seen_by_partition(prober)
    killed = time.monotonic()
    fleet.kill(victims)
    turn.before_gap_s = max(
        longest_gap((s.decided_s for s in seen), min(s.written_s for s in seen) + 1.0, killed)
        for seen in before.values()
    )
    turn.snapshot_age_s = max(one.age_s for one in stored)
    turn.snapshot_bytes = sum(one.bytes for one in stored)
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        time.sleep(0.5)
        seen = _seen_by_partition(prober)
        turn.caught_up_s = {q: back_under(seen[q], killed, BOUND_S, 1.0, WINDOW_S) - killed for q in mine}
        if all(map(math.isfinite, turn.caught_up_s.values())):
            break
    turn.again_s = {q: first_decided(seen[q], killed) - killed for q in mine}
    ended = time.monotonic()
    turn.others_gap_s = {
        q: longest_gap((one.decided_s for one in seen[q]), killed - 1.0, ended) for q in owners if q not in mine
    }
    turn.replayed_rows = sum(rows_to_replay(made, one) for one in stored)
    say(line(turn))
    return turn


def _note_pause(recovery: Recovery, told: dict[str, Scraped]) -> None:
    """The longest stop by a snapshot that any process has counted so far."""
    for one in told.values():
        edge = one.at_most("detector_snapshot_pause_seconds")
        if edge is not None:
            recovery.snapshot_pause_s = max(edge, recovery.snapshot_pause_s or 0.0)


def _seen_by_partition(prober: Prober) -> dict[int, list[Seen]]:
    seen: dict[int, list[Seen]] = {}
    for one in prober.seen():
        seen.setdefault(one.partition, []).append(one)
    return seen


def table(recovery: Recovery) -> str:
    """The turns as a markdown table, and what they rest on."""
    way = (
        "through ingest" if recovery.to == "source" else "as packed rows (ingest could not keep the pace beside detect)"
    )
    pace = ", ".join(f"{one.per_s:,.0f} ({one.behind_s:.1f} s late at most)" for one in recovery.written)
    pause = "not counted" if recovery.snapshot_pause_s is None else f"at most {recovery.snapshot_pause_s} s"
    beyond = recovery.unmet()
    lines = [
        f"{recovery.numbers:,} numbers, {recovery.state_bytes / 1e6:,.0f} MB of state; wanted {recovery.rate:,} "
        f"records/s {way}, written: {pace}",
        "",
        "| kill | partitions | snapshot age | to replay | deciding again: median, worst | caught up: worst "
        "| the others' longest gap | longest gap before |",
        "| --- | ---: | --- | --- | --- | --- | --- | --- |",
        *map(line, recovery.turns),
        "",
        f"snapshots of the killed: {', '.join(f'{turn.snapshot_bytes / 1e6:,.0f} MB' for turn in recovery.turns)}",
        f"the stream stopped for a snapshot: {pause}",
        *(["beyond the bounds:", *beyond] if beyond else ["every bound is kept"]),
    ]
    return "\n".join(lines) + "\n"


def line(turn: Turn) -> str:
    """A row of the table."""
    again = list(turn.again_s.values()) or [math.inf]
    others = f"{max(turn.others_gap_s.values()):.2f} s" if turn.others_gap_s else ""
    cells = [
        turn.what,
        f"{len(turn.again_s)}",
        f"{turn.snapshot_age_s:.0f} s" if math.isfinite(turn.snapshot_age_s) else "none",
        f"{turn.replayed_rows:,} rows",
        f"{_told(median(again))}, {_told(max(again))}",
        _told(max(turn.caught_up_s.values(), default=math.inf)),
        others,
        f"{turn.before_gap_s:.2f} s",
    ]
    return "| " + " | ".join(cells) + " |"


def _told(seconds: float) -> str:
    return f"{seconds:.1f} s" if math.isfinite(seconds) else f"not in {LIMIT_S:.0f} s"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser("recovery", help="kill -9 under load: the time until every partition is decided again")
    parser.add_argument("--numbers", type=int, default=1_000_000, help="subscribers (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=50_000, help="records a second (default: %(default)s)")
    parser.add_argument(
        "--days", type=float, default=7.0, help="of event time before the load, so that windows are full (default: 7)"
    )
    parser.add_argument(
        "--wait", type=float, default=300.0, metavar="S", help="kill at most so long after load began (default: 300)"
    )
    parser.add_argument("--ingest", type=int, default=1, metavar="N", help="ingest workers (default: %(default)s)")
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Measure, and print the table; 1 where a bound is not kept."""
    with work_folder(arguments.folder, "recovery") as folder:
        recovery = measure(
            arguments.numbers,
            arguments.rate,
            arguments.seed,
            arguments.days,
            arguments.wait,
            arguments.ingest,
            folder,
        )
    unmet = recovery.unmet()
    return conclude(arguments.json, table(recovery), asdict(recovery) | {"unmet": unmet}, unmet)
