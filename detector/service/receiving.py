"""Receiving: how long after the event a record of it stood in its topic, by the phase that it reports.

What comes late is decided on late: the start of a call comes within a second of it, or not at all, and
a record that is written when the call has ended comes as late as the switch's files are sent.
"""

from typing import Final

import numpy as np
from prometheus_client import Histogram

from detector.ingest.rows import Raw
from detector.records import Flag, Rows

SHOWN: Final = 8
"""Rows of a batch that are looked at: each takes 7 us, and 30 us to be found among 50,000 messages."""
_PHASES: Final = int(Flag.BEGAN | Flag.ANSWERED | Flag.ENDED | Flag.INTERIM)
_NAMES: Final = {
    int(Flag.BEGAN): "began",
    int(Flag.ANSWERED): "answered",
    int(Flag.BEGAN | Flag.ANSWERED): "began",
    int(Flag.ENDED): "ended",
    int(Flag.INTERIM): "interim",
}


def phase_of(flags: int) -> str:
    """began, answered, interim or ended; complete where one record tells of a whole call. Of a message: began."""
    return _NAMES.get(flags & _PHASES, "complete" if flags & Flag.BEGAN else "ended")


def tell_delays(delays: Histogram, source: str, raw: Raw, rows: Rows) -> None:
    """A few rows of the batch are told of, spread over it; none where the source's messages bear no time."""
    offsets, partitions = np.asarray(raw.offsets), np.asarray(raw.partitions)
    for row in rows[:: -(-len(rows) // SHOWN)]:
        here = np.flatnonzero((offsets == int(row["offset"])) & (partitions & 0xFFFF == int(row["partition"])))
        published_ms = int(raw.timestamps_ms[int(here[0])]) if len(here) else 0
        if published_ms > 0:
            delay_s = max(0.0, (published_ms - int(row["event_ms"])) / 1000)
            delays.labels(source, phase_of(int(row["flags"]))).observe(delay_s)
