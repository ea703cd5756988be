"""State: what numbers take in memory, and what a row costs when there are many of them.

No Kafka: the rows of a population go straight to the states of twelve partitions, for eight days of event time, so
that all windows are full. Then the largest is copied as for a snapshot, into the buffer that a worker keeps, and the
last rows are timed: counted only, as when a partition is replayed, and with a vector at each originating row above
the activity floor, as in production.
"""

import argparse
import gc
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from detector.service.copies import Copies
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
    form_bytes: dict[str, int]
    """Of the records in each form, those that are free again included."""
    index_bytes: int
    largest_partition_bytes: int
    buffer_bytes: int
    """Of the snapshot buffer that a worker of all these partitions keeps."""
    resident_bytes: int
    """What the process grew by."""
    counted_ns: float
    """Processor time a row without vectors, median."""
    scored_ns: float
    """Processor time a row of which the share `scored` gives a vector, median."""
    scored: float

    @property
    def state_bytes(self) -> int:
        """Records and index."""
        return self.index_bytes + sum(self.form_bytes.values())

    @property
    def total_bytes(self) -> int:
        """The snapshot buffer included."""
        return self.state_bytes + self.buffer_bytes

    @property
    def bytes_a_number(self) -> float:
        """Index, room of freed records and snapshot buffer included."""
        return self.total_bytes / max(1, sum(self.forms.values()))


def add(commands: Any) -> None:
    """The command line."""
    parser = commands.add_parser("state", help="memory by form, and what a row costs, at several sizes")
    parser.add_argument(
        "--numbers",
        type=int,
        nargs="+",
        default=[100_000, 1_000_000, 10_000_000],
        help="sizes (default: 0.1, 1 and 10 M)",
    )
    parser.add_argument("--days", type=float, default=DAYS, help="of event time to fill with (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    measured = []
    for numbers in arguments.numbers:
        measured.append(measure(numbers, arguments.days))
        say(f"{numbers:,} numbers: {measured[-1].total_bytes / 1e9:.2f} GB")
        write_figures(arguments.json, [asdict(one) for one in measured])
    sys.stdout.write(table(measured))
    return 0


def measure(numbers: int, days: float = DAYS) -> Measured:
    """Fill the states of a population of that size, and time what comes then."""
    gc.collect()
    before = resident_bytes()
    population = Population(numbers)
    states, place, rows = filled(population, days)
    buffer = Copies()
    arrays = max(states, key=lambda state: state.nbytes).arrays()
    buffer.make_room(buffer.wanted_bytes(arrays))
    buffer.take(arrays)
    counted, with_vectors, shares = [], [], []
    for step in range(TIMED_STEPS):
        drawn = population.draw(place, STEP)
        some = packed.rows(drawn)
        place += len(drawn)
        began = time.process_time()
        taken, vectors = take(states, some, scored=step % 2 == 1)
        ns = 1e9 * (time.process_time() - began) / taken
        rows += taken
        if step % 2 == 1:
            with_vectors.append(ns)
            shares.append(vectors / taken)
        else:
            counted.append(ns)
    return Measured(
        numbers=numbers,
        rows=rows,
        forms={form: sum(state.forms[form] for state in states) for form in FORMS},
        form_bytes={form: sum(state.form_bytes[form] for state in states) for form in FORMS},
        index_bytes=sum(state.index_bytes for state in states),
        largest_partition_bytes=max(state.nbytes for state in states),
        buffer_bytes=buffer.nbytes,
        resident_bytes=resident_bytes() - before,
        counted_ns=median(counted),
        scored_ns=median(with_vectors),
        scored=median(shares),
    )


def filled(population: Population, days: float) -> tuple[list[State], int, int]:
    """States in which everybody was seen once, and then at their own rate for so many days of event time.

    Beside them the place of the next record in the stream, and the rows that they have taken.
    """
    states = [State(4_096, 0) for _ in range(PARTITIONS)]
    place = population.size + int(population.records_a_day * days)
    return states, place, sum(take(states, some, scored=False)[0] for some in _drawn_ahead(population, place))


def _drawn_ahead(population: Population, stop: int) -> Iterator[Rows]:
    """The rows of the records before place `stop`: everybody once, then everybody at their own rate.

    While some are counted, the next are drawn in another thread.
    """

    def draw(start: int) -> Rows:
        if start < population.size:
            return packed.rows(population.census(start, range(start, min(start + STEP, population.size))))
        return packed.rows(population.draw(start, min(STEP, stop - start)))

    starts = [*range(0, population.size, STEP), *range(population.size, stop, STEP)]
    with ThreadPoolExecutor(1) as executor:
        ahead = executor.submit(draw, starts[0])
        for start in starts[1:]:
            some = ahead.result()
            ahead = executor.submit(draw, start)
            yield some
        yield ahead.result()


def take(states: Sequence[State], some: Rows, scored: bool) -> tuple[int, int]:
    """Rows go to the states of their partitions, in chunks as in production; returns rows and vectors."""
    vectors = 0
    for partition, mine in scatter(some, len(states)):
        for start in range(0, len(mine), CHUNK_ROWS):
            chunk = mine[start : start + CHUNK_ROWS]
            moments = chunk["role"] == Role.FROM if scored else np.zeros(len(chunk), np.bool_)
            vectors += len(states[partition].update(chunk, moments, FLOOR).scored)
    return len(some), vectors


def table(measured: Sequence[Measured]) -> str:
    """The sizes as a markdown table; a row's time also as the share of the first size's throughput."""
    head = ["numbers", "rows"]
    head += [f"{form}: numbers, GB" for form in FORMS]
    head += ["index", "largest partition", "snapshot buffer", "total", "bytes a number", "process grew by"]
    head += ["a row counted", "throughput", "a row, scored", "throughput", "scored"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---:"] * len(head)) + " |"]
    for one in measured:
        cells = [
            f"{one.numbers:,}",
            f"{one.rows / 1e6:,.0f} M",
            *(f"{one.forms[form]:,}, {one.form_bytes[form] / 1e9:.3f}" for form in FORMS),
            f"{one.index_bytes / 1e9:.3f} GB",
            f"{one.largest_partition_bytes / 1e6:,.0f} MB",
            f"{one.buffer_bytes / 1e9:.3f} GB",
            f"{one.total_bytes / 1e9:.2f} GB",
            f"{one.bytes_a_number:,.0f}",
            f"{one.resident_bytes / 1e9:.2f} GB",
            f"{one.counted_ns:,.0f} ns",
            f"{measured[0].counted_ns / one.counted_ns:.0%}",
            f"{one.scored_ns:,.0f} ns",
            f"{measured[0].scored_ns / one.scored_ns:.0%}",
            f"{one.scored:.0%}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
