"""Release: how long a mass release takes, and the kill switch before it, on a Kafka and processes of its own.

    spoofed calls -> blocks in force -> detector kill -> detector release --where rule=… -> each of them is released

Each number is shown once as the caller from abroad, which a deterministic rule blocks: so there are as many decisions
in force as numbers. Then the two commands are run as an operator runs them.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from detector.errors import Fatal
from detector.service.release import Where, in_force
from loadtest.command import add_common, conclude, say, work_folder
from loadtest.deployment import Deployment, deployment
from loadtest.fleet import Fleet
from loadtest.oracle import RECORDS

BOUND_S: Final = 60.0
"""Of the release of 100,000 numbers, from the command's start to the last of them."""
RULE: Final = "cli-fixed-from-abroad"
BATCH: Final = 10_000
LIMIT_S: Final = 900.0
OTHER: Final = "+999748820261"


@dataclass
class Measured:
    """Seconds."""

    numbers: int
    kill_s: float
    """From the start of `detector kill` until each partition has said that it decides in shadow mode."""
    count_s: float
    """`--dry-run` alone, with what it counted checked."""
    release_s: float
    """From the start of `detector release` until it has seen every case released."""
    again: int
    """Decisions that the same release, given once more, has found."""

    def unmet(self) -> list[str]:
        """What is not as it must be."""
        wrong = []
        if self.release_s > BOUND_S * max(1.0, self.numbers / 100_000):
            wrong.append(f"{self.numbers:,} numbers were released in {self.release_s:.1f} s (bound {BOUND_S:.0f} s)")
        if self.again:
            wrong.append(f"{self.again} decisions were still in force afterwards")
        return wrong


def measure(numbers: int, workers: int, folder: Path) -> Measured:
    """Both commands, once."""
    sections: dict[str, dict[str, Any]] = {
        "verdict": {"mode": "enforce", "assume_warm": True, "block_budget_per_hour": 1 << 30},
    }
    with deployment(folder, "release", **sections) as made, Fleet(made.config, workers) as fleet:
        made.wait_ready(fleet)
        _spoof(made, range(numbers))
        _wait("every number is blocked", lambda: _blocked(made) == numbers)
        say(f"{numbers:,} numbers are blocked")
        began = time.monotonic()
        said = _detector(made, "kill", "--reason", "a load test", "--wait", f"{LIMIT_S:.0f}")
        kill_s = time.monotonic() - began
        partitions = made.settings.topics.partitions
        if f"{partitions} of {partitions} partitions decide so" not in said:
            raise Fatal(f"wanted every partition in shadow mode (got {said!r})")
        words = ("release", "--where", f"rule={RULE}", "--reason", "a load test")
        began = time.monotonic()
        counted = _detector(made, *words, "--dry-run")
        count_s = time.monotonic() - began
        if f"{numbers:,}  decisions in force on {numbers:,} numbers" not in counted:
            raise Fatal(f"wanted {numbers:,} decisions counted (got {counted!r})")
        began = time.monotonic()
        say(_detector(made, *words, "--yes", "--wait", f"{LIMIT_S:.0f}"))
        release_s = time.monotonic() - began
        again = re.search(r"([0-9,]+)  decisions in force", _detector(made, *words, "--yes"))
        if any(fleet.stop().values()):
            raise Fatal("a process did not end in order")
        return Measured(numbers, kill_s, count_s, release_s, int(again[1].replace(",", "")) if again else -1)


def _spoof(made: Deployment, numbers: Sequence[int]) -> None:
    now_ms = time.time_ns() // 1_000_000
    for start in range(0, len(numbers), BATCH):
        calls = (
            {"id": f"s-{now_ms}-{n}", "type": "call", "from": f"+99921{n:07}", "to": OTHER, "start": now_ms}
            | {"end": now_ms, "duration": 0, "outcome": "busy", "trunk": "international-1"}
            for n in numbers[start : start + BATCH]
        )
        made.broker.publish(RECORDS, [(None, orjson.dumps(call)) for call in calls])


def _blocked(made: Deployment) -> int:
    now_ms = time.time_ns() // 1_000_000
    where = Where.read(f"rule={RULE},action=block", now_ms)
    return sum(map(where.holds, in_force(made.broker, made.settings, now_ms)))


def _wait(what: str, is_so: Any) -> None:
    until = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > until:
            raise Fatal(f"wanted within {LIMIT_S:.0f} s: {what}")
        time.sleep(1.0)


def _detector(made: Deployment, *words: str) -> str:
    command = [sys.executable, "-m", "detector.cli", *words, "--config", str(made.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise Fatal(f"detector {words[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def table(measured: Measured) -> str:
    """As markdown, and whether the bounds are kept."""
    unmet = measured.unmet()
    lines = [
        "| what | seconds |",
        "| --- | ---: |",
        f"| kill switch: every partition decides in shadow mode | {measured.kill_s:.1f} |",
        f"| {measured.numbers:,} decisions counted | {measured.count_s:.1f} |",
        f"| {measured.numbers:,} decisions counted, ordered and seen to be released | {measured.release_s:.1f} |",
        "",
        *(["beyond the bounds:", *unmet] if unmet else ["every bound is kept"]),
    ]
    return "\n".join(lines) + "\n"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("release", help="how long the kill switch and a mass release take")
    parser.add_argument("--numbers", type=int, default=100_000, help="blocked before (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="of each role (default: %(default)s)")
    add_common(parser)
    parser.set_defaults(run=_command)


def _command(arguments: argparse.Namespace) -> int:
    """Measure, and print the table; 1 where a bound is not kept."""
    with work_folder(arguments.folder, "release") as folder:
        measured = measure(arguments.numbers, arguments.workers, folder)
    return conclude(arguments.json, table(measured), asdict(measured) | {"unmet": measured.unmet()}, measured.unmet())
