"""Plan: what a subscriber base takes in memory, before there is one.

    numbers, rates -> a sample lives through four weeks in a real State -> records by form, index, buffer

Which form a number has depends on how often it is seen and on whom it meets, in ways that the kernels
alone know. So a few thousand numbers of each kind are drawn and counted by these kernels, and what
they take is scaled up: a plan cannot say something else than the state does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.config import Settings
from detector.features.index import POSITION_BYTES, table_size
from detector.features.past import FORMS
from detector.features.state import State
from detector.pipeline import CHUNK_ROWS
from detector.records import BODY_BITS, ROW, TRUNK_BITS, Flag, Kind, NumberKind, Role, Rows
from detector.service.copies import SPARE
from detector.service.taking import THREADS
from detector.units import DAY_MS

SAMPLE: Final = 4_000
"""Numbers drawn of each kind: a share of one in twenty is then known to within a tenth of it."""
DAYS: Final = 28
"""A number that was promoted once stays so until little is left of it. After eight days, all that the rings hold, a
twentieth fewer are usual than after weeks (60,000 numbers, `loadtest.population`), when as many come as go."""
FIRST_MS: Final = 20_454 * DAY_MS
CONTACTS: Final = 10
ELSEWHERE: Final = 0.1
"""A number mostly meets a few others, the nearest most often; one row in ten is of a stranger. Honest numbers of
Sichuan (2019-20) met 61 others in months, each some seven times (medians)."""
CELLS: Final = 8
"""That a number is seen in within days."""
FIRST_NUMBER: Final = (int(NumberKind.E164) << (BODY_BITS + TRUNK_BITS)) | 999_710_000_000
BASE_BYTES: Final = 300_000_000
"""A detect worker that holds nothing: interpreter, compiled kernels, model and client library, 206 MB. The rest is for
what the client has under way and for the decisions that are in force: at work a worker held 326 MB, its batch and
snapshot buffer included, of 439 that are planned for the three (`python -m loadtest base`)."""


@dataclass(frozen=True, slots=True)
class People:
    """Numbers that are alike."""

    numbers: int
    rate: float
    """Rows of one number a day, on the average: calls and messages, both ways."""
    spread: float = 0.0
    """Standard deviation of the logarithm of a number's own rate; 0 = all have the same one."""


@dataclass(frozen=True, slots=True)
class Held:
    """Records of one form in the whole network."""

    numbers: int
    bytes_a_number: int
    bytes: int
    """Those that are free again included: everybody begins quiet, and leaves that record behind."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What `detect.most_numbers` would mean."""

    most_numbers: int
    """In a partition."""
    wanted_numbers: int
    """That the base brings to a partition."""
    strangers: int
    """More numbers that fit in, seen once and never again: what a flood of made-up ones can bring."""
    flooded_bytes: int
    """Of a partition that is full of them."""
    most_bytes: int
    """Of a partition whose numbers were all wide: none is ever larger."""

    @property
    def evicted(self) -> int:
        """Numbers of a partition that would have to go before they are silent for long."""
        return max(0, self.wanted_numbers - self.most_numbers)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a network takes."""

    partitions: int
    workers: int
    """On each of the machines."""
    machines: int
    numbers: int
    """Of the network."""
    forms: dict[str, Held]
    index_bytes: int
    partition_bytes: int
    """Records and index of one partition."""
    worker_partitions: int
    buffer_bytes: int
    """Of a worker: a copy of one partition, and room for growth."""
    taking_bytes: int
    """Of a worker, for seconds: snapshots of partitions that are read before they are state."""
    batch_bytes: int
    """Of a worker: the largest transaction's rows."""
    base_bytes: int
    limit: Limit | None

    @property
    def state_bytes(self) -> int:
        """Of the network: records and index."""
        return self.index_bytes + sum(held.bytes for held in self.forms.values())

    @property
    def worker_bytes(self) -> int:
        """Of a worker with its share of the partitions, the buffer included."""
        return self.worker_partitions * self.partition_bytes + self.buffer_bytes + self.batch_bytes + self.base_bytes

    @property
    def peak_bytes(self) -> int:
        """Of a worker that takes partitions while it holds the buffer: what its container must have."""
        return self.worker_bytes + self.taking_bytes

    @property
    def machine_bytes(self) -> int:
        """Of all workers of a machine, each at its peak."""
        return self.workers * self.peak_bytes


def plan(
    settings: Settings, people: Sequence[People], workers: int, machines: int, most_numbers: int | None, seed: int = 1
) -> Plan:
    """What `people` take under `settings`, spread over so many workers on each of so many machines."""
    partitions = settings.topics.partitions
    held = {form: [0.0, 0.0] for form in FORMS}
    for kind in people:
        if kind.numbers:
            for form, (share, records) in _shares(kind, seed).items():
                held[form][0] += share * kind.numbers
                held[form][1] += records * kind.numbers
    sizes = {form: dtype.itemsize for form, dtype in FORMS.items()}
    forms = {form: Held(round(n), sizes[form], round(records) * sizes[form]) for form, (n, records) in held.items()}
    records_bytes = sum(one.bytes for one in forms.values())
    numbers = sum(kind.numbers for kind in people)
    in_each = -(-numbers // partitions)
    index_bytes = partitions * _index_bytes(in_each)
    copied = -(-records_bytes // partitions)
    shared = -(-partitions // (workers * machines))
    return Plan(
        partitions=partitions,
        workers=workers,
        machines=machines,
        numbers=numbers,
        forms=forms,
        index_bytes=index_bytes,
        partition_bytes=-(-(records_bytes + index_bytes) // partitions),
        worker_partitions=shared,
        buffer_bytes=copied + copied // SPARE,
        taking_bytes=min(THREADS, shared) * copied,
        batch_bytes=settings.detect.batch_messages * settings.ingest.rows_per_message * ROW.itemsize,
        base_bytes=BASE_BYTES,
        limit=_limit(most_numbers, in_each, copied, sizes) if most_numbers else None,
    )


def _limit(most_numbers: int, wanted: int, copied: int, sizes: dict[str, int]) -> Limit:
    strangers = max(0, most_numbers - wanted)
    share = min(1.0, most_numbers / max(1, wanted))
    index = _index_bytes(most_numbers)
    return Limit(
        most_numbers=most_numbers,
        wanted_numbers=wanted,
        strangers=strangers,
        flooded_bytes=round(copied * share) + strangers * sizes["quiet"] + index,
        most_bytes=most_numbers * sum(sizes.values()) + index,
    )


def _index_bytes(numbers: int) -> int:
    """As of a restored partition. One that grew number by number may do with a table half as long, until a restart."""
    return POSITION_BYTES * table_size(numbers, CHUNK_ROWS)


def _shares(kind: People, seed: int) -> dict[str, tuple[float, float]]:
    """Of one number of that kind: how much of it is in each form, and how many records it takes there."""
    state = State(SAMPLE, 0)
    rows = _lives(kind, seed)
    for start in range(0, len(rows), CHUNK_ROWS):
        state.update(rows[start : start + CHUNK_ROWS])
    # Of those with the lowest rates some were forgotten: whoever is planned for is seen often enough not to be.
    return {
        form: (state.forms[form] / len(state), state.form_bytes[form] / FORMS[form].itemsize / SAMPLE) for form in FORMS
    }


def _lives(kind: People, seed: int) -> Rows:
    """Four weeks of `SAMPLE` numbers in order of time: each once at first, then at its own rate."""
    chance = np.random.default_rng(seed)
    rates = kind.rate * np.exp(kind.spread * chance.standard_normal(SAMPLE) - kind.spread**2 / 2)
    who = np.concatenate([np.arange(SAMPLE), np.repeat(np.arange(SAMPLE), chance.poisson(rates * DAYS))])
    rows = np.zeros(len(who), ROW)
    rows["number"] = FIRST_NUMBER + who
    contact = np.minimum(chance.geometric(0.3, len(who)), CONTACTS)
    stranger = chance.integers(CONTACTS + 1, 1 << 20, len(who))
    apart = np.where(chance.random(len(who)) < ELSEWHERE, stranger, contact)
    rows["other"] = FIRST_NUMBER + (who.astype(np.uint64) << np.uint64(20)) % np.uint64(10**9) + apart
    rows["event_ms"] = FIRST_MS + chance.integers(0, DAYS * DAY_MS, len(who))
    rows["event_ms"][:SAMPLE] = FIRST_MS
    rows["kind"] = np.where(chance.random(len(who)) < 0.6, int(Kind.CALL), int(Kind.SMS))
    rows["role"] = chance.integers(0, 2, len(who))
    rows["flags"] = np.where(rows["kind"] == Kind.CALL, int(Flag.BEGAN | Flag.ANSWERED | Flag.ENDED), int(Flag.BEGAN))
    rows["duration_s"] = np.where(rows["kind"] == Kind.CALL, 60, 0)
    own = rows["role"] == Role.FROM
    rows["cell"] = np.where(own, who % 9_973 + np.minimum(chance.geometric(0.5, len(who)), CELLS), 0)
    rows["device"] = np.where(own, who + 1, 0)
    rows["record_id"] = np.arange(len(who)) + 1
    return rows[np.argsort(rows["event_ms"], kind="stable")]
