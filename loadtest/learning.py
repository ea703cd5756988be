"""Learning: how long it takes from nothing to a model that has been judged, stage by stage, by the commands themselves.

    seed     --simulate--> records, labels --features--> table --fit--> bundle -+
    seed + 1 --simulate--> records, labels --features--> table -----------------+--evaluate--> report

The two networks are made side by side, a process each, then the bundle of the first is judged on the second. A stage is
a process of one thread, for the most part: so on two cores that nothing else keeps busy the whole takes the processor
time of the dearer network, of fit and of evaluate. That is held to the bound: what a wall clock shows depends on what
else runs.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from detector.config import ROOT
from detector.errors import Fatal
from loadtest.command import add_common, conclude, say, work_folder

BOUND_S: Final = 900.0
"""Of a week of 100,000 numbers, and the week before it in which windows fill."""
WINDOWS_DAYS: Final = 7
"""In which no vector is taken."""
CONFIG: Final = ROOT / "configs" / "demo.yaml"
MOMENTS: Final = "every:8"
"""Vectors a number: a million of such a week. All of them would be eight times as many, 4 GB of features in fit and in
evaluate: so thresholds and figures of this run are of every eighth event, which suits its times, but no model that is
to be served (`fit --thresholds-on` takes a smaller table at every:1)."""
NUMBERS_A_CAMPAIGN: Final = 200
KNOWN_BY: Final = "2027-06-01"
"""Months after the simulated weeks: everything that will be said of them is known."""
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Stage:
    """A command that has run to its end."""

    command: str
    network: int
    """Whose records or vectors it worked on; 0 the one that is fitted on."""
    wall_s: float
    processor_s: float
    peak_bytes: int
    made: int
    """Records of simulate, vectors of features; of the others the vectors that they took."""


def run(command: str, network: int, arguments: Sequence[object], counted: Path, folder: Path) -> Stage:
    """The command has ended well; `counted` is the parquet file whose rows it made or took."""
    words = [command, *map(str, arguments)]
    say(f"detector {' '.join(words)}")
    log = folder / f"{command}-{network}.log"
    began = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "detector.cli", *words], stdout=file, stderr=file)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Fatal(f"detector {command} ended with {process.returncode}: {log.read_text('utf-8', 'replace')[-500:]}")
    seconds = time.monotonic() - began
    made = pq.read_metadata(counted).num_rows
    return Stage(command, network, seconds, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss, made)


def network(index: int, numbers: int, days: int, seed: int, folder: Path) -> tuple[list[Stage], Path]:
    """Simulated, and its vectors taken: the stages, and the table."""
    records, labels, vectors = (folder / f"{index}.{what}" for what in ("parquet", "labels.jsonl", "vectors.parquet"))
    people = ["--numbers", numbers, "--days", days, "--seed", seed + index]
    frauds = ["--campaigns", "fitted", "--campaigns-from", WINDOWS_DAYS - 1]
    frauds += ["--campaign-count", max(1, numbers // NUMBERS_A_CAMPAIGN)]
    written = ["--to", "parquet", "--out", records, "--labels", labels]
    simulated = run("simulate", index, [*people, *frauds, *written], records, folder)
    source = ["--config", CONFIG, "--source", "plain", "--input", records, "--at", MOMENTS]
    known = ["--warm-days", WINDOWS_DAYS, "--labels", labels, "--known-by", KNOWN_BY, "--out", vectors]
    return [simulated, run("features", index, [*source, *known], vectors, folder)], vectors


def measure(numbers: int, days: int, seed: int, folder: Path) -> list[Stage]:
    """All stages, in the order in which they are told."""
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda index: network(index, numbers, days, seed, folder), (0, 1))
    (stages, fitted_on), (others, judged_on) = one, other
    bundle = folder / "bundle"
    fit = run("fit", 0, ["--vectors", fitted_on, "--out", bundle, "--parameter", "models=1"], fitted_on, folder)
    judge = ["--bundle", bundle, "--vectors", judged_on, "--out", folder / "judged"]
    return [*stages, *others, fit, run("evaluate", 1, judge, judged_on, folder)]


def alone_s(stages: Sequence[Stage]) -> float:
    """How long it all would take on two cores without anything beside it."""
    networks = [sum(one.processor_s for one in stages if one.network == k and one.command in MADE) for k in (0, 1)]
    return max(networks) + sum(one.processor_s for one in stages if one.command not in MADE)


MADE: Final = ("simulate", "features")
"""The stages of a network, which are made side by side with the other's."""


def table(stages: Sequence[Stage], wall_s: float) -> str:
    """The stages as a markdown table, and whether the bound is kept."""
    alone, whole = alone_s(stages), sum(one.processor_s for one in stages)
    lines = [
        "| stage | network | rows | processor time | rows a second of it | wall clock | peak memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(line, stages),
        "",
        f"{whole:.0f} s of processor time; {alone:.0f} s on two cores alone (bound {BOUND_S:.0f} s); "
        f"by the wall clock {wall_s:.0f} s",
    ]
    return "\n".join(lines) + "\n"


def line(one: Stage) -> str:
    """A row of the table."""
    pace = f"{one.made / one.processor_s:,.0f}"
    seconds = (f"{one.processor_s:.0f} s", pace, f"{one.wall_s:.0f} s", f"{one.peak_bytes / MIB:,.0f} MB")
    return "| " + " | ".join([one.command, f"{one.network + 1}", f"{one.made:,}", *seconds]) + " |"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("learning", help="from nothing to a model that has been judged: what each stage takes")
    parser.add_argument("--numbers", type=int, default=100_000, help="of each network (default: %(default)s)")
    parser.add_argument(
        "--days", type=int, default=2 * WINDOWS_DAYS, help="the first seven fill windows (default: %(default)s)"
    )
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Measure, and print the table; 1 where the bound is not kept."""
    began = time.monotonic()
    with work_folder(arguments.folder, "learning") as folder:
        stages = measure(arguments.numbers, arguments.days, arguments.seed, folder)
    wall_s, alone = time.monotonic() - began, alone_s(stages)
    unmet = [f"{alone:.0f} s on two cores alone (bound {BOUND_S:.0f} s)"] if alone > BOUND_S else []
    figures = {"stages": [asdict(one) for one in stages], "alone_s": alone, "wall_s": wall_s, "unmet": unmet}
    return conclude(arguments.json, table(stages, wall_s), figures, unmet)
