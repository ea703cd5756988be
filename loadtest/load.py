"""Load: a process of its own that writes a population's records at a pace, until it is told to end.

`python -m loadtest.load CONFIG --numbers N --seed S --first PLACE --rate R --to source|events` prints a line when it
begins to write, and one of JSON when it ends: what it has written, and how far it ever fell behind its pace. It ends at
SIGTERM, and with its parent.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import numpy as np

from detector.broker.kafka import KafkaBroker
from detector.config import ROOT, Settings, load
from detector.errors import Fatal
from loadtest.oracle import RECORDS
from loadtest.packed import publish
from loadtest.population import Population
from loadtest.stencil import are_broken, lines

BEGUN: Final = "writing"
TICK_S: Final = 0.05
LONGEST_TICKS: Final = 10
"""Whoever fell behind catches up in writes of at most so many ticks' records."""
To = Literal["source", "events"]


@dataclass
class Written:
    """What a load process came to."""

    first: int
    records: int = 0
    rows: int = 0
    """Of records to the source: those that they must give."""
    broken: int = 0
    behind_s: float = 0.0
    """The most that it was late."""
    per_s: float = 0.0


class Load:
    """The process while in its `with` block; `written` once it has ended."""

    def __init__(self, config: Path, population: Population, first: int, rate: int, to: To) -> None:
        self._command = [sys.executable, "-m", "loadtest.load", str(config.resolve()), "--to", to]
        self._command += ["--numbers", f"{population.size}", "--seed", f"{population.seed}"]
        self._command += ["--first", f"{first}", "--rate", f"{rate}"]
        self.written = Written(first)

    def __enter__(self) -> "Load":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != BEGUN.encode():
            raise Fatal(f"the load process ended with {self._process.wait()} before it wrote anything")
        return self

    def end(self) -> Written:
        """Nothing more is written."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate()
        if self._process.returncode != 0:
            raise Fatal(f"the load process ended with {self._process.returncode}")
        self.written = Written(**json.loads(said))
        return self.written

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Writing:
    """Writes records to one of the two topics."""

    def __init__(self, broker: KafkaBroker, settings: Settings, population: Population, first: int, to: To) -> None:
        self._broker, self._settings, self._population = broker, settings, population
        self._producer = broker.producer(f"{settings.group}-load") if to == "events" else None
        self._partitions = broker.partitions()[RECORDS]
        self._turn = 0
        self.written = Written(first)

    def write(self, count: int) -> None:
        """The next `count` records stand there."""
        drawn = self._population.draw(self.written.first + self.written.records, count)
        if self._producer is not None:
            topics = self._settings.topics
            self.written.rows += publish(self._producer, topics.events, topics.partitions, drawn)
        else:
            values: list[tuple[bytes | None, bytes | None]] = [(None, line) for line in lines(drawn)]
            self._broker.publish(RECORDS, values, self._turn % self._partitions)
            broken = int(np.count_nonzero(are_broken(drawn)))
            self.written.broken += broken
            self.written.rows += 2 * (count - broken)
        self.written.records += count
        self._turn += 1


def pace(writing: Writing, rate: int, ended: threading.Event) -> Written:
    """Write `rate` records a second until `ended`."""
    written, began = writing.written, time.monotonic()
    most = max(1, int(rate * TICK_S * LONGEST_TICKS))
    while not ended.is_set():
        due = int((time.monotonic() - began) * rate)
        missing = due - written.records
        if missing > 0:
            written.behind_s = max(written.behind_s, missing / rate)
            writing.write(min(missing, most))
        ended.wait(max(0.0, began + written.records / rate + TICK_S - time.monotonic()))
    written.per_s = written.records / (time.monotonic() - began)
    return written


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.load")
    parser.add_argument("config", type=Path)
    for name in ("numbers", "seed", "first", "rate"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--to", choices=("source", "events"), required=True)
    arguments = parser.parse_args()
    settings = load(arguments.config)
    ended, parent = threading.Event(), os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        ended.set()

    threading.Thread(target=end_with_parent, daemon=True).start()
    with closing(KafkaBroker(settings.kafka)) as broker:
        population = Population(arguments.numbers, arguments.seed)
        writing = Writing(broker, settings, population, arguments.first, arguments.to)
        sys.stdout.write(f"{BEGUN}\n")
        sys.stdout.flush()
        sys.stdout.write(json.dumps(asdict(pace(writing, arguments.rate, ended))) + "\n")


if __name__ == "__main__":
    main()
