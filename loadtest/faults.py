"""Faults: nemeses strike at a world at work, one after the other, and the oracles say what became of it.

Each row of the table is one kind of fault over all its turns. `lost` and `repeated` count rows,
dead letters and decisions; a decision must have equal id and content. `recover` is from the
kill, or the end of a fault that lasts, until every partition of both roles has committed what
was written since. `gave up` counts processes that ended in failure by themselves and were
started again. Notes below the table say what a fault measured beside.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from detector.errors import ConfigError, DetectorError
from detector.features.catalogue import feature_hash
from detector.snapshot import Store
from loadtest.command import add_common, say, work_folder, write_figures
from loadtest.nemeses_broker import BROKER
from loadtest.nemeses_clocks import CLOCKS
from loadtest.nemeses_input import INPUT
from loadtest.nemeses_processes import PROCESSES
from loadtest.nemeses_snapshots import SNAPSHOTS
from loadtest.nemeses_versions import VERSIONS
from loadtest.nemesis import Nemesis
from loadtest.world import World, world

NEMESES: Final = (*PROCESSES, *BROKER, *SNAPSHOTS, *INPUT, *CLOCKS, *VERSIONS)
PER_S: Final = 1_000
CHAPTER: Final = 250_000
"""Records that are made ahead at once, four minutes' worth: at most."""
WORKERS: Final = 2
SIMULATED: Final = (
    (
        "commit markers of decisions late, offsets stable",
        "tests/service/test_faults.py::test_a_worker_that_takes_a_partition_waits_for_decisions_whose_markers_are_late",
    ),
    ("every worker's lease lost at once", "tests/service/test_faults.py::test_every_workers_lease_is_lost_at_once"),
    ("a crash at every step of the protocol", "tests/service/test_protocol.py"),
)
"""Faults that a real broker cannot be told to have, or not at a chosen step, and their tests."""
SINCE_S: Final = 0.5
"""After a strike, until each partition of the source has had new records."""


@dataclass
class Row:
    """What one kind of fault has come to."""

    fault: str
    injected: int = 0
    records: int = 0
    decisions: int = 0
    lost: int = 0
    repeated: int = 0
    recover_s: list[float] = field(default_factory=list)
    gave_up: int = 0
    unmet: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    command: str = ""
    """What reproduces it."""

    @property
    def holds(self) -> bool:
        """Nothing lost, nothing twice, and everything seen that should be."""
        return not (self.lost or self.repeated or self.unmet)


def run(
    seed: int, minutes: float, kinds: Sequence[type[Nemesis]], say: Callable[[str], None], folder: Path
) -> list[Row]:
    """Turns of every kind, in an order drawn from `seed`, until the minutes are over; each kind has one at least.

    Logs, snapshots and the broker's data stay in `folder`.
    """
    rows = {kind: Row(kind.name, command=command_of(kind, seed)) for kind in kinds}
    end_row = Row("end of the run: state")
    until = time.monotonic() + 60 * minutes
    with world(seed, min(CHAPTER, PER_S * 60 * len(kinds)), PER_S, WORKERS, folder) as made:
        say(f"{len(kinds)} kinds of faults, seed {seed}, {PER_S} records/s, {WORKERS} workers of each role")
        for kind in _turns(kinds, made.chance):
            if time.monotonic() > until and rows[kind].injected:
                break
            take_turn(made, kind(), rows[kind])
            say(_line(rows[kind]))
        end_row.unmet += compare_states(made)
        end_row.notes.append(f"{made.fleet.killed} processes of both roles ended with kill -9 in all")
    return [*rows.values(), end_row]


def _turns(kinds: Sequence[type[Nemesis]], chance: random.Random) -> Iterator[type[Nemesis]]:
    while True:
        yield from chance.sample(kinds, len(kinds))


def take_turn(made: World, nemesis: Nemesis, row: Row) -> None:
    """The nemesis has struck as often as it does, and what differs afterwards stands in `row`."""
    records, decided, gave_up = made.oracle.records, made.oracle.decided, made.fleet.gave_up()
    for _ in range(nemesis.strikes):
        nemesis.strike(made)
        struck = time.monotonic()
        row.injected += 1
        time.sleep(SINCE_S)
        recovered = made.reach("ingest", made.ends("ingest")) and made.reach("detect", made.ends("detect"))
        row.recover_s.append(time.monotonic() - struck)
        nemesis.want(recovered, f"it recovers (not after {row.recover_s[-1]:.0f} s)")
        nemesis.heal(made)
    nemesis.want(made.settle(), "everything written is decided in the end")
    nemesis.see(made)
    row.unmet += nemesis.unmet
    row.notes = nemesis.notes or row.notes
    row.records += made.oracle.records - records
    row.decisions += made.oracle.decided - decided
    row.lost += made.oracle.lost()
    row.repeated += made.oracle.repeated()
    row.gave_up += made.fleet.gave_up() - gave_up
    if made.oracle.lost() or made.oracle.repeated():
        row.unmet += made.oracle.examples()
    made.oracle.forget()
    made.writer.resume()


def compare_states(made: World) -> list[str]:
    """Every worker leaves in order; its last snapshots are byte for byte the state of an undisturbed run."""
    made.settle()
    codes = made.fleet.stop()
    unmet = [f"{name} exits with 0 at the end (got {code})" for name, code in codes.items() if code]
    features = f"{feature_hash()}+{made.settings.home.utc_offset_minutes}"
    store = Store(made.snapshots, made.broker.identity(made.settings.topics.events), features)
    for q, part in made.oracle.parts.items():
        at = made.oracle.state_at[q]
        try:
            arrays = store.load(q, at)
        except DetectorError as error:
            unmet.append(f"partition {q} has a snapshot at its end, {at} ({error})")
            continue
        wanted = part.arrays()
        differ = [name for name in wanted if not np.array_equal(wanted[name], arrays.get(name, np.empty(0)))]
        if differ:
            unmet.append(f"partition {q} at {at}: arrays as in an undisturbed run (differ: {', '.join(differ)})")
    return unmet


def table(rows: Iterable[Row]) -> str:
    """The rows as a markdown table, and below it whatever was not as it should be."""
    lines = [
        "| fault | times injected | records | decisions | lost | repeated | recover: median, worst |"
        " gave up | command |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | --- |",
    ]
    rows = list(rows)
    lines += [_line(row) for row in rows if row.injected]
    unmet = [sentence for row in rows for sentence in row.unmet]
    lines += ["", *(f"{row.fault}: {note}" for row in rows for note in row.notes)]
    lines += ["", *(["not as it should be:", *unmet] if unmet else ["state at the end: that of an undisturbed run"])]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    recover = f"{median(row.recover_s):.1f} s, {max(row.recover_s):.1f} s" if row.recover_s else ""
    cells = [row.fault, f"{row.injected}", f"{row.records:,}", f"{row.decisions:,}", f"{row.lost}", f"{row.repeated}"]
    return "| " + " | ".join([*cells, recover, f"{row.gave_up}", f"`{row.command}`"]) + " |"


def command_of(kind: type[Nemesis], seed: int) -> str:
    """What reproduces a fault."""
    return f"python -m loadtest faults --seed {seed} --only {kind.__name__}"


def listed(seed: int) -> str:
    """Every fault and the command that reproduces it, those among them that only a simulated broker can have."""
    commands = [(kind.name, command_of(kind, seed)) for kind in NEMESES] + [
        (name, f"pytest {test}") for name, test in SIMULATED
    ]
    return (
        "\n".join(
            ["| fault | command |", "| --- | --- |", *(f"| {name} | `{command}` |" for name, command in commands)]
        )
        + "\n"
    )


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser("faults", help="nemeses strike, oracles say what was lost or is there twice")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="go on for so long; every fault has one turn at least"
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this fault only; repeatable")
    parser.add_argument("--list", action="store_true", help="only say which faults there are, and what reproduces each")
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Run, and print the table; 1 if anything was not as it should be."""
    only = arguments.only
    if arguments.list:
        sys.stdout.write(listed(arguments.seed))
        return 0
    kinds = [kind for kind in NEMESES if not only or any(word in (kind.name, kind.__name__) for word in only)]
    if not kinds:
        raise ConfigError(f"--only: wanted one of {', '.join(kind.name for kind in NEMESES)} (got {', '.join(only)})")
    with work_folder(arguments.folder, "faults") as folder:
        rows = run(arguments.seed, arguments.minutes, kinds, say, folder)
    sys.stdout.write(table(rows))
    write_figures(arguments.json, [asdict(row) for row in rows])
    return 0 if all(row.holds for row in rows) else 1
