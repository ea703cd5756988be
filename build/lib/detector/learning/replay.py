"""Traffic becomes vectors on the real path: encoded, read by ingest, counted by the state, as in production.

records -> JSON -> SourceReader -> rows -> State -> vectors at the rows that are wanted
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from detector.config import ROOT, Settings, Source, load
from detector.features.state import State
from detector.ingest.rows import Raw, open_source
from detector.learning.encode import encode
from detector.learning.population import DAY_MS
from detector.learning.simulate import Progress, Traffic
from detector.records import Bools, I64s, Role, U64s, mix64
from detector.verdict.trees import Vectors

CHUNK_RECORDS: Final = 50_000
"""Records taken through at once: their vectors take 24 MB when every one is wanted."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Vectors of one chunk, in log order, at the FROM rows that were wanted and above the floor."""

    records: I64s
    """Index of each vector's record in the traffic."""
    vectors: Vectors


@cache
def learning_settings() -> Settings:
    """The demo's configuration: the simulator writes what it reads."""
    return load(ROOT / "configs" / "demo.yaml", {})


def replay(
    traffic: Traffic,
    wanted: Bools,
    floor: int,
    progress: Progress | None = None,
    settings: Settings | None = None,
) -> Iterator[Taken]:
    """The vectors right after each record that is `wanted` (by index), where its originator has a row.

    Raises `ValueError` when ingest rejects a record: the simulator must write what ingest reads.
    """
    settings = settings or learning_settings()
    source: Source = settings.sources[0]
    reader = open_source(settings, source)
    state = State(2 * len(traffic.people), settings.home.utc_offset_minutes)
    records = traffic.records
    for start in range(0, len(records), CHUNK_RECORDS):
        chunk = records[start : start + CHUNK_RECORDS]
        size = len(chunk)
        raw = Raw(encode(chunk, start), [0] * size, range(start, start + size), chunk["end_ms"].tolist())
        ingested = reader.read(raw)
        if ingested.rejected:
            raise ValueError(f"ingest rejected a simulated record: {ingested.rejected[0]}")
        rows = ingested.rows
        indices = rows["offset"].astype(np.int64)
        moments = wanted[indices] & (rows["role"] == Role.FROM)
        updated = state.update(rows, moments, floor)
        at = updated.scored
        yield Taken(indices[at], updated.vectors)
        if progress:
            progress(min(1.0, (start + size) / len(records)))


def day_of(traffic: Traffic, event_ms: I64s) -> I64s:
    """The day of the scenario at each time, 0 = its first."""
    return (event_ms - traffic.scenario.start_ms) // DAY_MS


def number_days_of(numbers: U64s, days: I64s) -> U64s:
    """One value for each number and day: 48 bits of the number's hash, 8 of the day."""
    return (mix64(numbers) & np.uint64((1 << 48) - 1)) << np.uint64(8) | days.astype(np.uint64)
