"""What a partition's log covers, row by row: is it warm, and which feeds are silent.

Rules and models may block only where the log reaches back over the longest window and the
feeds that they depend on are flowing: a feed that stops makes everybody look like fraud.
Both are facts of the log, so they are state like any other and part of the snapshot.
"""

from dataclasses import dataclass, field

import numpy as np

from detector.jit import kernel
from detector.records import Bools, I64s, Kind, Rows, U64s

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LONGEST_WINDOW_MS = 7 * DAY_MS
GAP_MS = DAY_MS
"""A leap of a partition's newest event time by more than this (the widest hop) starts its
coverage anew: nothing is known of the stretch between, and one record with a clock that is
years behind does not make an empty log warm."""
REFILL_MS = DAY_MS
"""How long a feed that came back is held to be refilling at most; a shorter silence refills as
long as it lasted. The windows of a day and less drive the rules; the week dilutes the gap."""
SOURCES = 64


@dataclass(frozen=True, slots=True)
class Covered:
    """Coverage at each row of a batch, after that row."""

    warm: Bools
    silent: U64s
    """Bit s is set where source id s is silent or refilling."""


@dataclass(slots=True)
class Coverage:
    """Coverage of one partition's log."""

    span: I64s = field(default_factory=lambda: np.zeros(2, np.int64))
    """Event time at which coverage starts, and the newest event time; 0 before the first row."""
    last_seen: I64s = field(default_factory=lambda: np.zeros(SOURCES, np.int64))
    refill_until: I64s = field(default_factory=lambda: np.zeros(SOURCES, np.int64))

    @property
    def newest_ms(self) -> int:
        """The newest event time of the partition, 0 before the first row."""
        return int(self.span[1])

    def update(self, rows: Rows, silent_after_ms: I64s) -> Covered:
        """Take `rows` in and say what was covered at each. `silent_after_ms[64]`: 0 = never silent."""
        covered = Covered(np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.uint64))
        _cover(
            np.ascontiguousarray(rows["event_ms"]),
            np.ascontiguousarray(rows["source"]),
            rows["kind"] != Kind.COMMAND,
            silent_after_ms,
            np.flatnonzero(silent_after_ms > 0),
            self.span,
            self.last_seen,
            self.refill_until,
            covered.warm,
            covered.silent,
        )
        return covered

    def arrays(self) -> dict[str, I64s]:
        """The arrays that a snapshot keeps."""
        return {"span": self.span, "last_seen": self.last_seen, "refill_until": self.refill_until}


@kernel
def _cover(
    event_ms: I64s,
    source: U64s,
    traffic: Bools,
    silent_after_ms: I64s,
    watched: I64s,
    span: I64s,
    last_seen: I64s,
    refill_until: I64s,
    warm: Bools,
    silent: U64s,
) -> None:
    """warm[i] = newest - start >= longest window; silent[i] bit s = newest - last_seen[s] > limit or refilling.

    An operator's command is dated by the wall clock and covers nothing.
    event_ms i64[n], source u16[n], traffic bool[n], silent_after_ms i64[64], watched i64[k] (sources with a limit)
    read; span i64[2], last_seen i64[64], refill_until i64[64] mutated; warm bool[n], silent u64[n] written.
    """
    for i in range(event_ms.size):
        if traffic[i]:
            now = event_ms[i]
            if span[0] == 0 or now > span[1] + GAP_MS:
                span[0] = now
            span[1] = max(span[1], now)
            s = source[i] % SOURCES
            gap = now - last_seen[s]
            if last_seen[s] > 0 and 0 < silent_after_ms[s] < gap:
                refill_until[s] = now + min(gap, REFILL_MS)
            last_seen[s] = max(last_seen[s], now)
        warm[i] = span[1] - span[0] >= LONGEST_WINDOW_MS
        bits = np.uint64(0)
        for k in watched:
            if last_seen[k] > 0 and (span[1] - last_seen[k] > silent_after_ms[k] or span[1] < refill_until[k]):
                bits |= np.uint64(1) << np.uint64(k)
        silent[i] = bits
