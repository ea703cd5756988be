"""What a partition's log covers, row by row: is it warm, and which feeds are silent or thin.

Rules and models may block only where the log reaches back over the longest window and the
feeds that they depend on are flowing: a feed that stops makes everybody look like fraud.
Both are facts of the log, so they are state like any other and part of the snapshot.

A feed is silent that brings nothing for longer than its limit, and thin from an hour on that brought less than half of
what the same hour of the week usually brings, until one that did not. Then it refills.
"""

from dataclasses import dataclass, field

import numpy as np

from detector.jit import kernel
from detector.records import Bools, I32s, I64s, Kind, Rows, U16s, U64s
from detector.units import DAY_MS, HOUR_MS

LONGEST_WINDOW_MS = 7 * DAY_MS
GAP_MS = DAY_MS
"""A leap of a partition's newest event time by more than this (the widest hop) starts its
coverage anew: nothing is known of the stretch between, and one record with a clock that is
years behind does not make an empty log warm."""
REFILL_MS = DAY_MS
"""How long a feed that came back is held to be refilling at most; a shorter silence refills as
long as it lasted. The windows of a day and less drive the rules; the week dilutes the gap."""
SOURCES = 64
WEEK_HOURS = 7 * 24
WEEKS = 4
"""How many weeks back an hour's usual rate is looked for. It is their median: one week's outage, or its burst of
fraud, is not what is usual."""
SLOTS = (WEEKS + 1) * WEEK_HOURS
LEAST_USUAL = 100
"""Rows of a partition in an hour that a feed must usually bring to be judged by it: half of fewer can be chance."""


@dataclass(frozen=True, slots=True)
class Covered:
    """Coverage at each row of a batch, after that row."""

    warm: Bools
    silent: U64s
    """Bit s is set where source id s is silent, thin or refilling."""


@dataclass(slots=True)
class Coverage:
    """Coverage of one partition's log."""

    span: I64s = field(default_factory=lambda: np.zeros(2, np.int64))
    """Event time at which coverage starts, and the newest event time; 0 before the first row."""
    last_seen: I64s = field(default_factory=lambda: np.zeros(SOURCES, np.int64))
    refill_until: I64s = field(default_factory=lambda: np.zeros(SOURCES, np.int64))
    thin_since: I64s = field(default_factory=lambda: np.zeros(SOURCES, np.int64))
    """Event time at which a source's first thin hour of those that last began; 0: it is not thin."""
    judge_at: I64s = field(default_factory=lambda: np.zeros(SOURCES, np.int64))
    """The newest event time from which a source's next hour is judged: at its end, and its limit of silence later."""
    hourly: I32s = field(default_factory=lambda: np.zeros((0, SLOTS), np.int32))
    """Rows by source id, up to the highest seen, and hour of event time modulo `SLOTS`."""

    @property
    def newest_ms(self) -> int:
        """The newest event time of the partition, 0 before the first row."""
        return int(self.span[1])

    def update(self, rows: Rows, silent_after_ms: I64s) -> Covered:
        """Take `rows` in and say what was covered at each. `silent_after_ms[64]`: 0 = never silent."""
        covered = Covered(np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.uint64))
        source = rows["source"] % SOURCES
        room = int(source.max(initial=0)) + 1 - len(self.hourly)
        if room > 0:
            self.hourly = np.concatenate([self.hourly, np.zeros((room, SLOTS), np.int32)])
        _cover(
            np.ascontiguousarray(rows["event_ms"]),
            source,
            rows["kind"] != Kind.COMMAND,
            silent_after_ms,
            np.flatnonzero(silent_after_ms > 0),
            self.span,
            self.last_seen,
            self.refill_until,
            self.thin_since,
            self.judge_at,
            self.hourly,
            covered.warm,
            covered.silent,
        )
        return covered

    def arrays(self) -> dict[str, I64s | I32s]:
        """The arrays that a snapshot keeps."""
        return {
            "span": self.span,
            "last_seen": self.last_seen,
            "refill_until": self.refill_until,
            "thin_since": self.thin_since,
            "judge_at": self.judge_at,
            "hourly": self.hourly,
        }


@kernel
def _cover(
    event_ms: I64s,
    source: U16s,
    traffic: Bools,
    silent_after_ms: I64s,
    watched: I64s,
    span: I64s,
    last_seen: I64s,
    refill_until: I64s,
    thin_since: I64s,
    judge_at: I64s,
    hourly: I32s,
    warm: Bools,
    silent: U64s,
) -> None:
    """warm[i] = newest - start >= longest window; silent[i] bit s = newest - last_seen[s] > limit, thin or refilling.

    An operator's command is dated by the wall clock and covers nothing.
    event_ms i64[n], source u16[n] < 64, traffic bool[n], silent_after_ms i64[64], watched i64[k] (sources with a limit)
    read; span i64[2], last_seen, refill_until, thin_since, judge_at i64[64], hourly i32[above source, SLOTS] mutated;
    warm bool[n], silent u64[n] written.
    """
    for i in range(event_ms.size):
        if traffic[i]:
            now = event_ms[i]
            _reach(now, span, thin_since, judge_at, hourly)
            s = source[i]
            if now > span[1] - SLOTS * HOUR_MS:
                hourly[s, now // HOUR_MS % SLOTS] += 1
            gap = now - last_seen[s]
            if last_seen[s] > 0 and 0 < silent_after_ms[s] < gap:
                refill_until[s] = now + min(gap, REFILL_MS)
            last_seen[s] = max(last_seen[s], now)
            for k in watched:
                if span[1] >= judge_at[k]:
                    _judge_hours(k, silent_after_ms[k], span, refill_until, thin_since, judge_at, hourly)
        warm[i] = span[1] - span[0] >= LONGEST_WINDOW_MS
        bits = np.uint64(0)
        for k in watched:
            quiet = span[1] - last_seen[k] > silent_after_ms[k] or span[1] < refill_until[k] or thin_since[k] > 0
            if last_seen[k] > 0 and quiet:
                bits |= np.uint64(1) << np.uint64(k)
        silent[i] = bits


@kernel
def _reach(now: int, span: I64s, thin_since: I64s, judge_at: I64s, hourly: I32s) -> None:
    """The newest event time is at least `now`; hours that begin with it have brought nothing yet."""
    if span[0] == 0 or now > span[1] + GAP_MS:
        span[0] = span[1] = now
        thin_since[:] = 0
        judge_at[:] = 0
        hourly[:] = 0
    for hour in range(span[1] // HOUR_MS + 1, now // HOUR_MS + 1):
        hourly[:, hour % SLOTS] = 0
    span[1] = max(span[1], now)


@kernel
def _judge_hours(
    k: int, limit_ms: int, span: I64s, refill_until: I64s, thin_since: I64s, judge_at: I64s, hourly: I32s
) -> None:
    """Source `k` is judged by each of its hours that are over by `limit_ms`, from the one that `judge_at[k]` is for."""
    over = (span[1] - limit_ms) // HOUR_MS
    first = (judge_at[k] - limit_ms) // HOUR_MS - 1 if judge_at[k] > 0 else over
    for hour in range(first, over):
        if _is_thin(k, hour, span[0], hourly):
            if thin_since[k] == 0:
                thin_since[k] = hour * HOUR_MS
        elif thin_since[k] > 0:
            refill_until[k] = max(refill_until[k], span[1] + min(hour * HOUR_MS - thin_since[k], REFILL_MS))
            thin_since[k] = 0
    judge_at[k] = (over + 1) * HOUR_MS + limit_ms


@kernel
def _is_thin(k: int, hour: int, start_ms: int, hourly: I32s) -> bool:
    """Whether source `k` brought less than half of what that hour of the week usually brings."""
    if k >= len(hourly):
        return False
    usual = _usual(hourly[k], hour, start_ms)
    return bool(usual >= LEAST_USUAL and 2 * hourly[k, hour % SLOTS] < usual)


@kernel
def _usual(of_source: I32s, hour: int, start_ms: int) -> int:
    """The median of the same hour in the weeks before, as far as they are covered; the lower of two; 0 of none."""
    weeks = 0
    while weeks < WEEKS and (hour - (weeks + 1) * WEEK_HOURS) * HOUR_MS >= start_ms:
        weeks += 1
    for week in range(1, weeks + 1):
        count = of_source[(hour - week * WEEK_HOURS) % SLOTS]
        less = same = 0
        for other in range(1, weeks + 1):
            found = of_source[(hour - other * WEEK_HOURS) % SLOTS]
            less += found < count
            same += found == count
        if less <= (weeks - 1) // 2 < less + same:
            return int(count)
    return 0
