"""Start: from the start of the processes to the first decision, and until every partition is decided on.

One process of each role, on a Kafka that runs already. Probes wait in their topic before the processes start.

- new: nothing was ever committed, compiled kernels are in the cache.
- again: the processes had ended in order, and their snapshots hold the state of many numbers.
- compiling (`--compile`): nothing was ever committed, and no kernel is in the cache, as in an image that was built
  without one.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from detector.errors import Fatal
from loadtest.command import add_common, conclude, say, work_folder
from loadtest.deployment import Deployment, deployment
from loadtest.fleet import Fleet
from loadtest.population import Population
from loadtest.probe import Prober
from loadtest.timeline import first_decided

FIRST_S: Final = 5.0
"""The bound of the first decision, with kernels in the cache."""
PROBE_S: Final = 0.05
LIMIT_S: Final = 300.0
STEP_S: Final = 0.1
NEW: Final = "new"
AGAIN: Final = "again"
COMPILING: Final = "compiling"
WORKERS: Final = 1


@dataclass
class Start:
    """One way to start. Seconds from the start of the processes, by turn."""

    what: str
    first_s: list[float] = field(default_factory=list)
    """To the first decision."""
    every_s: list[float] = field(default_factory=list)
    """Until each partition had one."""
    unbalanced: int = 0
    """Probes without a decision, or with two."""

    def unmet(self) -> list[str]:
        """What is beyond its bound."""
        sentences = []
        worst = max(self.first_s, default=math.inf)
        if self.what != COMPILING and worst > FIRST_S:
            sentences.append(f"{self.what}: the first decision came after {worst:.1f} s (bound {FIRST_S:.0f} s)")
        if self.unbalanced:
            sentences.append(f"{self.what}: {self.unbalanced} probes without a decision, or with two")
        return sentences


def measure(numbers: int, turns: int, seed: int, compiles: bool, folder: Path) -> list[Start]:
    """Each way, `turns` times; compiling takes long, and is tried once."""
    new, again, compiling = Start(NEW), Start(AGAIN), Start(COMPILING)
    for turn in range(turns):
        with deployment(folder / f"{NEW}-{turn}", "start") as made:
            _take_turn(made, new)
    with deployment(folder / AGAIN, "start") as made:
        filled = made.prefill(Population(numbers, seed), days=1.0)
        with _fleet(made, {}) as fleet:
            made.wait_ready(fleet)
            made.work_off()
        say(f"{filled.rows:,} rows of {numbers:,} numbers worked off")
        for _ in range(turns):
            _take_turn(made, again)
    if compiles:
        with (
            tempfile.TemporaryDirectory(prefix="kernels-") as cache,
            deployment(folder / COMPILING, "start") as made,
        ):
            _take_turn(made, compiling, {"NUMBA_CACHE_DIR": cache})
    return [new, again, *([compiling] if compiles else [])]


@contextmanager
def _fleet(made: Deployment, environ: Mapping[str, str]) -> Iterator[Fleet]:
    """One process of each role; at the end both end in order."""
    fleet = Fleet(made.config, WORKERS)
    for worker in fleet.workers:
        worker.environ = environ
    with fleet:
        yield fleet
        codes = fleet.stop()
        if any(codes.values()):
            raise Fatal(f"a process did not end in order: {codes}")


def _take_turn(made: Deployment, start: Start, environ: Mapping[str, str] | None = None) -> None:
    """The processes are started, and ended once every partition has been decided on."""
    partitions = range(made.settings.topics.partitions)
    with Prober(made.settings, PROBE_S, in_turn=True) as prober:
        prober.wait_written()
        began = time.monotonic()
        with _fleet(made, environ or {}):
            first = [math.inf]
            while not all(map(math.isfinite, first)) and time.monotonic() - began < LIMIT_S:
                time.sleep(STEP_S)
                seen = prober.seen()
                first = [first_decided((one for one in seen if one.partition == q), -math.inf) for q in partitions]
            prober.finish()
    start.first_s.append(min(first) - began)
    start.every_s.append(max(first) - began)
    start.unbalanced += prober.lost() + prober.repeated
    say(line(start))


def table(starts: Sequence[Start]) -> str:
    """The ways as a markdown table, and whether the bounds are kept."""
    beyond = [sentence for start in starts for sentence in start.unmet()]
    lines = [
        "| start | turns | first decision: median, worst | every partition: median, worst |",
        "| --- | ---: | --- | --- |",
        *map(line, starts),
        "",
        *(["beyond the bounds:", *beyond] if beyond else ["every bound is kept"]),
    ]
    return "\n".join(lines) + "\n"


def line(start: Start) -> str:
    """A row of the table."""
    cells = [start.what, f"{len(start.first_s)}"]
    cells += [f"{median(seconds):.1f}, {max(seconds):.1f} s" for seconds in (start.first_s, start.every_s)]
    return "| " + " | ".join(cells) + " |"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("start", help="from the start of the processes to the first decision")
    parser.add_argument(
        "--numbers", type=int, default=100_000, help="in the state that is started with again (default: %(default)s)"
    )
    parser.add_argument("--turns", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="start without compiled kernels too, once")
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Measure, and print the table; 1 where a bound is not kept."""
    with work_folder(arguments.folder, "start") as folder:
        starts = measure(arguments.numbers, arguments.turns, arguments.seed, arguments.compile, folder)
    unmet = [sentence for start in starts for sentence in start.unmet()]
    return conclude(
        arguments.json, table(starts), {"starts": [asdict(start) for start in starts], "unmet": unmet}, unmet
    )
