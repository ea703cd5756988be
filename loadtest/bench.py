"""Bench: whether anything costs more than it did, told by ratios and not by times.

    reference, work, reference | reference, work, reference | ...   -> work / reference, by kernel; medians
    reference  reference  reference  reference  ...
    ======== a backlog on a Kafka of its own =======                -> processor time of each role / reference

Processor time of a record, over that of a record of the reference measured beside it in the same run: a machine that is
slower, or busy with others, is so for both. The ratios of a run that was found good are committed in
`loadtest/bench.json`; whatever has moved from there by more than a tenth is told, and fails the run. What became
cheaper too: then `--write` makes that the measure. Ratios are of one kind of processor and one set of libraries.

`--instructions` counts instructions instead, of kernels alone: no other process can change these.
"""

import argparse
import json
import math
import os
import platform
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final

from msgspec import to_builtins

from detector.config import ROOT
from detector.errors import Fatal
from detector.verdict.manifest import running_versions
from loadtest.command import say, write_figures
from loadtest.instructions import count
from loadtest.throughput import backlog, work_off
from loadtest.works import Reference, Work, kernels

BASELINE: Final = ROOT / "loadtest" / "bench.json"
TOLERANCE: Final = 0.10
TURNS: Final = 5
PROCESSES: Final = 5
RUNS: Final = 3
NUMBERS: Final = 2_000
"""Of the backlog: about 190,000 records."""
PAUSE_S: Final = 0.1
"""Between two references beside a backlog: they take about a tenth of one core."""
ROLES_WORK: Final = {"ingest": "end to end: ingest", "detect": "end to end: detect"}
KERNELS_NEED: Final = ("numba", "llvmlite", "orjson", "confluent-kafka")
"""What ratios and counts rest on beside the libraries that a model bundle names."""
CPUINFO: Final = Path("/proc/cpuinfo")


@dataclass
class Measures:
    """What one run measured, or a baseline says."""

    unit: str
    """`ratios`, or the counter of instructions."""
    costs: dict[str, float] = field(default_factory=dict)
    """Of a record or row, by work."""
    spreads: dict[str, float] = field(default_factory=dict)
    """From the least of the processes or runs to the most, as a share of the median."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A work that costs something else than it did."""

    work: str
    was: float
    now: float

    @property
    def by(self) -> float:
        """As a share of what it was."""
        return self.now / self.was - 1


def moved(was: Mapping[str, float], now: Mapping[str, float], tolerance: float = TOLERANCE) -> list[Moved]:
    """What differs by more than the tolerance; a work that only one of them knows differs in any case."""
    names = list(was) + [name for name in now if name not in was]
    pairs = [Moved(name, was.get(name, math.nan), now.get(name, math.nan)) for name in names]
    return [pair for pair in pairs if not abs(pair.by) <= tolerance]


def ratios(turns: int, processes: int) -> Measures:
    """The kernels, in so many processes one after another: the median of their medians.

    Costs differ between processes more than between turns, perhaps by where memory comes to lie. Measured in one
    process each, the trees differed by 10 % between two of four runs, and the turns of each by 2 %. Five processes
    are not enough for them: two runs over the same code differed by 15 %, all else by 5 % at most.
    """
    found: dict[str, list[float]] = {}
    for _ in range(processes):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            for name, ratio in pool.submit(ratios_here, turns).result().items():
                found.setdefault(name, []).append(ratio)
    return summed_up(found)


def ratios_here(turns: int) -> dict[str, float]:
    """Each kernel between two references, turn by turn, in this process."""
    return interleaved(kernels(), Reference.made(), turns)


def interleaved(works: Mapping[str, Work], reference: Work, turns: int) -> dict[str, float]:
    """The median ratio of each work; the first turn, in which kernels are compiled, does not count."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(turns + 1):
        for name, work in works.items():
            work.prepare()
            before, cost, after = record_ns(reference), record_ns(work), record_ns(reference)
            if turn:
                found[name].append(2 * cost / (before + after))
    return {name: median(taken) for name, taken in found.items()}


def record_ns(work: Work) -> float:
    """Processor time of this thread, by record."""
    began = time.thread_time_ns()
    done = work.do()
    return (time.thread_time_ns() - began) / done


def summed_up(found: Mapping[str, list[float]]) -> Measures:
    """Medians, and how far apart they lie."""
    measures = Measures("ratios")
    for name, taken in found.items():
        measures.costs[name] = median(taken)
        measures.spreads[name] = (max(taken) - min(taken)) / median(taken)
    return measures


class Beside:
    """Does the reference now and then while in its `with` block."""

    def __init__(self, reference: Work) -> None:
        self._reference = reference
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.found_ns: list[float] = []

    def _run(self) -> None:
        while not self._ended.is_set():
            self.found_ns.append(record_ns(self._reference))
            self._ended.wait(PAUSE_S)

    def __enter__(self) -> "Beside":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()


def end_to_end(reference: Work, runs: int) -> Measures:
    """What a record costs each role on a real Kafka, start-up and broker not."""
    values = backlog(NUMBERS, seed=1)
    found: dict[str, list[float]] = {name: [] for name in ROLES_WORK.values()}
    for _ in range(runs):
        with Beside(reference) as beside:
            run = work_off(values)
        for role, name in ROLES_WORK.items():
            found[name].append(1e9 * run.cpu_s[role] / run.records / median(beside.found_ns))
        say(f"{run.records_per_s:,.0f} records/s end to end, {run.share_of_limit:.0%} of a bare consumer")
    return summed_up(found)


def processor() -> str:
    """What it calls itself (Linux)."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}"


def here() -> dict[str, Any]:
    """What ratios depend on beside the code."""
    libraries = to_builtins(running_versions()) | {name: version(name) for name in KERNELS_NEED}
    return {"processor": processor(), "libraries": libraries}


def read_baseline(path: Path) -> dict[str, Any]:
    """What the file says; empty where there is none."""
    if not path.exists():
        return {}
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def renewed(baseline: Mapping[str, Any], measures: Measures) -> dict[str, Any]:
    """The baseline with what was measured in place of what it said of the same unit; its other works stay."""
    before = baseline.get(measures.unit, {}) if baseline.get("where") == here() else {}
    costs = before.get("costs", {}) | {name: float(f"{cost:.4g}") for name, cost in measures.costs.items()}
    spreads = before.get("spreads", {}) | {name: round(spread, 4) for name, spread in measures.spreads.items()}
    others = dict(baseline) if baseline.get("where") == here() else {}
    return others | {"where": here(), measures.unit: {"costs": costs, "spreads": spreads}}


def table(was: Mapping[str, float], measures: Measures, beyond: list[Moved]) -> str:
    """Every work as a markdown table, and what moved."""
    lines = [f"| work | {measures.unit} | spread | baseline | moved |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, cost in measures.costs.items():
        spread = f"{measures.spreads[name]:.1%}" if name in measures.spreads else ""
        before, by = (f"{was[name]:.4g}", f"{cost / was[name] - 1:+.1%}") if name in was else ("", "")
        lines.append(f"| {name} | {cost:.4g} | {spread} | {before} | {by} |")
    lines += ["", *(f"{one.work}: {_told(one)}" for one in beyond)]
    if not beyond:
        lines.append(f"nothing moved by more than {TOLERANCE:.0%}")
    return "\n".join(lines) + "\n"


def _told(one: Moved) -> str:
    if math.isnan(one.was):
        return "the baseline does not know it"
    if math.isnan(one.now):
        return "not measured any more"
    return f"{one.by:+.1%} ({one.was:.4g} before, {one.now:.4g} now)"


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("bench", help="whether anything costs more than it did, by ratios; about two minutes")
    parser.add_argument(
        "--turns", type=int, default=TURNS, help="of the kernels in each process (default: %(default)s)"
    )
    parser.add_argument("--processes", type=int, default=PROCESSES, help="for the kernels (default: %(default)s)")
    parser.add_argument(
        "--runs", type=int, default=RUNS, help="over a backlog on a Kafka; 0 leaves that out (default: %(default)s)"
    )
    parser.add_argument("--instructions", action="store_true", help="count those of the kernels (perf or valgrind)")
    parser.add_argument("--write", action="store_true", help="make what is measured the baseline")
    parser.add_argument("--baseline", type=Path, default=BASELINE, metavar="FILE", help="compare with it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Measure and compare; 1 where something moved."""
    if arguments.turns < 1 or arguments.processes < 1:
        raise Fatal("--turns and --processes must be at least 1")
    baseline = read_baseline(arguments.baseline)
    if not baseline and not arguments.write:
        raise Fatal(f"{arguments.baseline}: there is no baseline; --write makes one")
    measures = (
        _instructions() if arguments.instructions else _ratios(arguments.turns, arguments.processes, arguments.runs)
    )
    if arguments.write:
        baseline = renewed(baseline, measures)
        write_figures(arguments.baseline, baseline)
    elif baseline["where"] != here():
        say(f"the baseline is of {baseline['where']}; this is {here()}: --write makes one of this")
    was = baseline.get(measures.unit, {}).get("costs", {})
    if not arguments.runs:
        was = {name: cost for name, cost in was.items() if name not in ROLES_WORK.values()}
    beyond = moved(was, measures.costs)
    sys.stdout.write(table(was, measures, beyond))
    write_figures(arguments.json, {"where": here(), "measures": to_builtins(measures), "was": was})
    return 1 if beyond else 0


def _ratios(turns: int, processes: int, runs: int) -> Measures:
    measures = ratios(turns, processes)
    if runs:
        ends = end_to_end(Reference.made(), runs)
        measures.costs |= ends.costs
        measures.spreads |= ends.spreads
    return measures


def _instructions() -> Measures:
    counter, costs = count()
    return Measures(f"instructions by {counter}", costs)
