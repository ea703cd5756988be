"""State: what numbers take in memory, and what a row costs when there are many of them.

No Kafka: the rows of a population go straight to the states of twelve partitions, for eight days of event time, so
that all windows are full. Then the last rows are timed: counted only, as when a partition is replayed, and with
a vector at each originating row above the activity floor, as in production.
"""

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from detector.features.past import FORMS
from detector.features.state import State
from detector.ingest.rows import scatter
from detector.pipeline import CHUNK_ROWS
from detector.records import Role, Rows
from loadtest import packed
from loadtest.command import say, write_figures
from loadtest.population import Population
from loadtest.vitals import resident_bytes

PARTITIONS: Final = 12
DAYS: Final = 8
"""All that the rings hold."""
FLOOR: Final = 3
"""The activity floor of the shipped model."""
STEP: Final = 200_000
"""Records drawn at once."""
TIMED_STEPS: Final = 12
"""Of them every other one is counted only, the rest with vectors."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One size of population."""

    numbers: int
    rows: int
    forms: dict[str, int]
    state_bytes: int
    largest_partition_bytes: int
    """The most that is copied for a snapshot: its buffer is as large."""
    resident_bytes: int
    """What the process grew by."""
    counted_ns: float
    """Processor time a row without vectors, median."""
    scored_ns: float
    """Processor time a row of which the share `scored` gives a vector, median."""
    scored: float

    @property
    def bytes_a_number(self) -> float:
        """Index and room of freed records included."""
        return self.state_bytes / max(1, sum(self.forms.values()))


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("state", help="memory by form, and what a row costs, at several sizes")
    parser.add_argument(
        "--numbers", type=int, nargs="+", default=[100_000, 1_000_000], help="sizes (default: 100000 1000000)"
    )
    parser.add_argument("--days", type=float, default=DAYS, help="of event time to fill with (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    measured = []
    for numbers in arguments.numbers:
        measured.append(measure(numbers, arguments.days))
        say(f"{numbers:,} numbers: {measured[-1].state_bytes / 1e9:.2f} GB")
    sys.stdout.write(table(measured))
    write_figures(arguments.json, [asdict(one) for one in measured])
    return 0


def measure(numbers: int, days: float = DAYS) -> Measured:
    """Fill the states of a population of that size, and time what comes then."""
    gc.collect()
    before = resident_bytes()
    population = Population(numbers)
    states = [State(4_096, 0) for _ in range(PARTITIONS)]
    # Everybody once, then everybody at their own rate.
    place = rows = 0
    for start in range(0, numbers, STEP):
        drawn = population.census(place, range(start, min(start + STEP, numbers)))
        rows += _take(states, packed.rows(drawn), scored=False)[0]
        place += len(drawn)
    until = place + int(population.records_a_day * days)
    while place < until:
        drawn = population.draw(place, min(STEP, until - place))
        rows += _take(states, packed.rows(drawn), scored=False)[0]
        place += len(drawn)
    counted, with_vectors, shares = [], [], []
    for step in range(TIMED_STEPS):
        drawn = population.draw(place, STEP)
        some = packed.rows(drawn)
        place += len(drawn)
        began = time.process_time()
        taken, vectors = _take(states, some, scored=step % 2 == 1)
        ns = 1e9 * (time.process_time() - began) / taken
        rows += taken
        if step % 2 == 1:
            with_vectors.append(ns)
            shares.append(vectors / taken)
        else:
            counted.append(ns)
    forms = {form: sum(state.forms[form] for state in states) for form in FORMS}
    sizes = [state.nbytes for state in states]
    grown = resident_bytes() - before
    return Measured(
        numbers, rows, forms, sum(sizes), max(sizes), grown, median(counted), median(with_vectors), median(shares)
    )


def _take(states: Sequence[State], some: Rows, scored: bool) -> tuple[int, int]:
    """Rows go to the states of their partitions, in chunks as in production; returns rows and vectors."""
    vectors = 0
    for partition, mine in scatter(some, len(states)):
        for start in range(0, len(mine), CHUNK_ROWS):
            chunk = mine[start : start + CHUNK_ROWS]
            moments = chunk["role"] == Role.FROM if scored else np.zeros(len(chunk), np.bool_)
            vectors += len(states[partition].update(chunk, moments, FLOOR).scored)
    return len(some), vectors


def table(measured: Sequence[Measured]) -> str:
    """The sizes as a markdown table."""
    lines = [
        "| numbers | rows | quiet | usual | wide | bytes a number | state | largest partition | process grew by "
        "| a row counted | a row, scored | scored |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in measured:
        cells = [
            f"{one.numbers:,}",
            f"{one.rows / 1e6:,.0f} M",
            *(f"{one.forms[form]:,}" for form in FORMS),
            f"{one.bytes_a_number:,.0f}",
            f"{one.state_bytes / 1e9:.2f} GB",
            f"{one.largest_partition_bytes / 1e6:,.0f} MB",
            f"{one.resident_bytes / 1e9:.2f} GB",
            f"{one.counted_ns:,.0f} ns",
            f"{one.scored_ns:,.0f} ns",
            f"{one.scored:.0%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
