"""`model`: the bundle that ships is made again, by the commands that a carrier's data scientist uses.

    seeds --simulate--> records, labels --features--> tables --fit--> models/default --evaluate--> models/report

Every command is a process of its own and is printed, so that any of them can be run alone. Equal seed, sizes and
libraries: equal bytes.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from detector.commands.common import Commands, add_command, positive, say
from detector.commands.demo import DEMO_CONFIG
from detector.config import ROOT
from detector.errors import Fatal

OUT: Final = Path(ROOT, "models", "default")
REPORT: Final = Path(ROOT, "models", "report")
BASE: Final = 7_000_000
"""Seeds of networks start here, out of the way of anybody who tries small ones."""
WARM_DAYS: Final = 7
"""The longest window: it is full where a vector is taken, as it is where a model may block. Campaigns begin thereafter:
one that lasts for hours would leave no vector before, and a delay is known only of what begins while it is watched."""
FLOOR: Final = 3
"""Events in 24 h below which nobody is scored; `fitting.ACTIVITY_FLOOR`."""
KNOWN_BY: Final = "2028-01-01"
"""A year after any simulated day: everything that will ever be known is."""
ORDINARY: Final = 0.02
"""Share of ordinary fraudsters in every other network."""
EARLY: Final = "day:4"
"""Vectors that are fitted on; those of thresholds and figures are taken at every event, as production scores."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What networks are for. No seed serves two purposes, and none is the demo's."""

    name: str
    place: int
    """Of its seeds."""
    moments: str
    campaigns: str
    density: int
    """Subscribers for each campaign: where thresholds are set, honest numbers are what counts."""


TRAINING: Final = Purpose("training", 0, EARLY, "fitted,irsf-overt:2", 150)
THRESHOLDS: Final = Purpose("thresholds", 1, "every:1", "fitted", 600)
TEST: Final = Purpose("test", 2, "every:1", "all,irsf-overt:5,smishing-overt:3", 200)
"""A campaign of IRSF or smishing has a few numbers only, one of Wangiri dozens: as many campaigns of each would leave
too few numbers to fit on or to judge by."""

GROUPS: Final[dict[str, str]] = {
    "overt": "*-overt",
    "low, as fitted on": "",
    "mimics, as fitted on": "",
    "held-out variants": "",
    "ordinary fraud": "*-ordinary",
}
"""Patterns of the variants that are judged together; the rest is filled in from `plans`."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = add_command(
        commands,
        "model",
        _model,
        "make the model that ships again, on simulated traffic",
        "Simulates networks of seeds that nothing else uses, takes their vectors, fits, sets thresholds and judges,\n"
        "each on networks of its own; every other one has people and frauds as in public aggregates of real numbers.\n"
        "It prints the commands that it runs. Equal arguments give equal bytes.",
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help="default: models/default")
    parser.add_argument("--report", type=Path, default=REPORT, metavar="FOLDER", help="default: models/report")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1, the shipped bundle's")
    parser.add_argument(
        "--numbers", type=positive, default=10_000, metavar="N", help="subscribers of a network (default: 10000)"
    )
    parser.add_argument("--days", type=positive, default=14, metavar="N", help="of a network (default: 14)")
    parser.add_argument(
        "--networks",
        type=positive,
        nargs=3,
        default=(4, 4, 2),
        metavar="N",
        help="to fit on, to set thresholds on, to judge on (default: 4 4 2)",
    )
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="networks at a time (default: 2)")
    parser.add_argument("--quick", action="store_true", help="a report without importance, baselines and ablations")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="keep tables here, and make none that is there, so that a run that was stopped goes on; for one set of "
        "arguments (default: they are removed)",
    )


def _model(arguments: argparse.Namespace) -> int:
    if arguments.work is not None:
        arguments.work.mkdir(parents=True, exist_ok=True)
        _make(arguments, arguments.work)
        return 0
    with TemporaryDirectory(prefix="model-") as work:
        _make(arguments, Path(work))
    return 0


def _make(arguments: argparse.Namespace, work: Path) -> None:
    """The bundle and its report stand where they are wanted; tables lie in `work`."""
    wanted = [
        (purpose, index)
        for purpose, count in zip((TRAINING, THRESHOLDS, TEST), arguments.networks, strict=True)
        for index in range(count)
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        tables = list(pool.map(lambda one: _table(arguments, work, *one), wanted))
    files = {
        purpose.name: [table.name for (one, _), table in zip(wanted, tables, strict=True) if one is purpose]
        for purpose in (TRAINING, THRESHOLDS, TEST)
    }
    out, report = arguments.out.resolve(), arguments.report.resolve()
    fit = ["--thresholds-on", *files["thresholds"], "--test-on", *files["test"], "--name", "simulated"]
    _run(["fit", "--vectors", *files["training"], *fit, "--seed", arguments.seed, "--out", out], work)
    groups = [part for name, types in _groups().items() for part in ("--group", f"{name}={types}")]
    judge = ["--vectors", *files["test"], *groups, "--seed", arguments.seed, "--out", report, "--update-card"]
    _run(["evaluate", "--bundle", out, *judge, *(["--quick"] if arguments.quick else [])], work)


def _table(arguments: argparse.Namespace, work: Path, purpose: Purpose, index: int) -> Path:
    """The vectors of one network, in `work`; its records are gone. Each of the variants is in it at least once."""
    from detector.learning.plans import named

    name = f"{purpose.name}-{index + 1}"
    records, labels, vectors = (work / f"{name}.{what}" for what in ("records.parquet", "labels.jsonl", "parquet"))
    if vectors.exists():
        say(f"{vectors.name} is there")
        return vectors
    network = ["--numbers", arguments.numbers, "--days", arguments.days]
    network += ["--seed", BASE + 1_000 * arguments.seed + 100 * purpose.place + index]
    # The festival is on a day that vectors are taken of, another one in each network.
    network += ["--festival", WARM_DAYS + 1 + index % max(1, arguments.days - WARM_DAYS)]
    network += ["--campaigns", purpose.campaigns, "--campaigns-from", min(WARM_DAYS + 1, arguments.days)]
    network += ["--campaign-count", max(len(named(purpose.campaigns)), arguments.numbers // purpose.density)]
    if index % 2:
        # Without the lives of real people the model would learn that honest ones are tame.
        network += ["--ordinary", ORDINARY]
    written = ["--to", "parquet", "--out", records.name, "--labels", labels.name, "--truth"]
    _run(["simulate", *network, *written], work)
    known = ["--labels", labels.name, "--known-by", KNOWN_BY]
    taken = ["--at", purpose.moments, "--floor", FLOOR, "--warm-days", WARM_DAYS, *known, "--out", vectors.name]
    _run(["features", "--config", DEMO_CONFIG, "--source", "plain", "--input", records.name, *taken], work)
    records.unlink()
    return vectors


def _groups() -> dict[str, str]:
    """Types of each group of the report, as patterns."""
    from detector.learning.plans import GROUPS as NAMED
    from detector.learning.plans import HELD_OUT

    fitted = {how: ",".join(name for name in NAMED[how] if name not in HELD_OUT) for how in ("low", "mimic")}
    return GROUPS | {
        "low, as fitted on": fitted["low"],
        "mimics, as fitted on": fitted["mimic"],
        "held-out variants": ",".join(HELD_OUT),
    }


def _run(arguments: Sequence[object], work: Path) -> None:
    """The command has ended well, in `work`; raises `Fatal` where it has not."""
    words = [str(word) for word in arguments]
    say(f"detector {shlex.join(words)}")
    done = subprocess.run([sys.executable, "-m", "detector.cli", *words], cwd=work, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise Fatal(f"detector {words[0]} ended with {done.returncode}: its last line says why")
