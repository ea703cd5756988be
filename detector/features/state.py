"""State: what one partition remembers of its numbers, reached through `update` and `vectors` alone.

After `update(rows)` the state is a pure function of all rows so far: not of batch split, wall
clock, scores or workers. Equal log, equal bytes of `arrays()`; rows of a window in another order,
equal features at an equal as-of time.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.errors import SnapshotError
from detector.features.catalogue import FEATURES
from detector.features.index import ABSENT, Index
from detector.features.past import Pasts, blank_pasts, copied_pasts, grown_pasts
from detector.features.steps import Steps, advance, blank_steps, count_row, dedupe_key, is_late, is_recent, remember
from detector.features.tiles import BEGAN_O, HOP_24H, MINUTE_MS, OWN_BLOCKS, SMS_O, SPAN_24H, i64, sum_window
from detector.features.vectors import Vectors, write_vector
from detector.features.windows import Sums, blank_sums
from detector.jit import kernel
from detector.records import NO_NUMBER, Bools, Flag, I64s, Kind, Rows, U64s


class Status(IntEnum):
    """What became of a row."""

    COUNTED = 0
    DUPLICATE = 1
    """Its record id is among the last rows of its number: it changed nothing."""
    LATE = 2
    """Older than every window of its number: it changed nothing."""
    IGNORED = 3
    """Says nothing about a number's behaviour: a command, a heartbeat, an emergency call."""


_COUNTED: Final = int(Status.COUNTED)
_DUPLICATE: Final = int(Status.DUPLICATE)
_LATE: Final = int(Status.LATE)
_IGNORED: Final = int(Status.IGNORED)
_OWN_BLOCK: Final = int(Flag.OWN_BLOCK)


@dataclass(frozen=True, slots=True)
class Updated:
    """What `State.update` made of n rows."""

    status: npt.NDArray[np.uint8]
    """`Status` of each row."""
    as_of_ms: I64s
    """The later of the row's event time and the newest one of its number, after the row."""
    scored: I64s
    """The m rows at which a vector was taken, ascending."""
    vectors: Vectors
    """f64[m, 60], aligned with `scored`."""


@kernel
def apply_rows(
    pasts: Pasts,
    rows: Rows,
    slots: I64s,
    admit: Bools,
    moments: Bools,
    floor: int,
    utc_offset_ms: int,
    steps: Steps,
    sums: Sums,
    status: npt.NDArray[np.uint8],
    as_of_ms: I64s,
    scored: I64s,
    vectors: Vectors,
    taken: I64s,
) -> None:
    """Count each row in order; take a vector where it is wanted.

    Mutated: `pasts` (at `slots`), `steps` and `sums` (scratch). Written: `status[i]`, `as_of_ms[i]`;
    `scored[k]` and `vectors[k]` for k < `taken[0]`.
    """
    for i in range(len(rows)):
        row = rows[i]
        event_ms = i64(row["event_ms"])
        as_of_ms[i] = event_ms
        status[i] = _IGNORED
        if slots[i] == ABSENT:
            continue
        past = pasts[slots[i]]
        if admit[i]:
            key = dedupe_key(i64(row["record_id"]), i64(row["role"]))
            if is_recent(past, key):
                status[i] = _DUPLICATE
            elif is_late(past, event_ms):
                status[i] = _LATE
            else:
                status[i] = _COUNTED
                remember(past, key)
                advance(past, event_ms)
                count_row(past, row, utc_offset_ms, steps)
        newest_ms = past["newest_ms"]
        as_of_ms[i] = max(event_ms, newest_ms)
        if not moments[i] or status[i] != _COUNTED or i64(row["flags"]) & _OWN_BLOCK != 0:
            continue
        if floor > 0:
            sum_window(past["tiles_24h"], HOP_24H, SPAN_24H, newest_ms, newest_ms, sums.ring_24h)
            if sums.ring_24h[BEGAN_O] + sums.ring_24h[SMS_O] < floor:
                continue
        write_vector(past, newest_ms, sums, vectors[taken[0]])
        scored[taken[0]] = i
        taken[0] += 1


@kernel
def take_vectors(pasts: Pasts, slots: I64s, as_of_ms: I64s, sums: Sums, out: Vectors) -> None:
    """out[i] (written) = the features of `slots[i]` at `as_of_ms[i]`, or at its newest time if that is later."""
    for i in range(len(slots)):
        past = pasts[slots[i]]
        write_vector(past, max(as_of_ms[i], past["newest_ms"]), sums, out[i])


@kernel
def sum_own_blocks(pasts: Pasts, slots: I64s, as_of_ms: I64s, sums: Sums, out: I64s) -> None:
    """out[i] (written) = attempts of `slots[i]` that our enforcement rejected in the 24 h up to `as_of_ms[i]`."""
    for i in range(len(slots)):
        past = pasts[slots[i]]
        newest_ms = past["newest_ms"]
        as_of = max(as_of_ms[i], newest_ms)
        sum_window(past["tiles_24h"], HOP_24H, SPAN_24H, newest_ms, as_of, sums.ring_24h)
        out[i] = sums.ring_24h[OWN_BLOCKS]


def countable(rows: Rows) -> Bools:
    """Which rows say something about a number's behaviour."""
    kind = rows["kind"]
    traffic = (kind == Kind.CALL) | (kind == Kind.SMS)
    subject: Bools = traffic & (rows["flags"] & np.uint16(Flag.EMERGENCY) == 0) & (rows["number"] != NO_NUMBER)
    return subject


class State:
    """The numbers of one partition."""

    def __init__(self, capacity: int, utc_offset_minutes: int) -> None:
        """Room for `capacity` numbers, doubled when needed; local time is UTC plus `utc_offset_minutes`."""
        self._index = Index(capacity)
        self._pasts = blank_pasts(capacity + 1)
        self._utc_offset_minutes = utc_offset_minutes
        self._steps = blank_steps()
        self._sums = blank_sums()

    def __len__(self) -> int:
        """How many numbers are held."""
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """Bytes set aside, room to grow included."""
        return self._index.nbytes + self._pasts.nbytes

    def update(self, rows: Rows, moments: Bools | None = None, floor: int = 0) -> Updated:
        """Count `rows`, in order.

        A vector is taken right after row i if `moments[i]`, the row was counted, it is not an own
        block, and its number began at least `floor` calls and messages in the 24 h window.
        Without `moments` none is taken.
        """
        rows = np.ascontiguousarray(rows).view()
        # One constness, one compiled kernel: rows out of a message are read-only already.
        rows.flags.writeable = False
        wanted = np.zeros(len(rows), np.bool_) if moments is None else moments
        admit = countable(rows)
        slots = self._index.place(np.ascontiguousarray(rows["number"]), admit)
        self._pasts = grown_pasts(self._pasts, len(self) + 1)
        status = np.empty(len(rows), np.uint8)
        as_of_ms = np.empty(len(rows), np.int64)
        room = int(np.count_nonzero(wanted))
        scored = np.empty(room, np.int64)
        vectors = np.empty((room, len(FEATURES)))
        taken = np.zeros(1, np.int64)
        apply_rows(
            self._pasts,
            rows,
            slots,
            admit,
            wanted,
            floor,
            self._utc_offset_minutes * MINUTE_MS,
            self._steps,
            self._sums,
            status,
            as_of_ms,
            scored,
            vectors,
            taken,
        )
        return Updated(status, as_of_ms, scored[: taken[0]], vectors[: taken[0]])

    def vectors(self, numbers: U64s, as_of_ms: I64s | int | None = None) -> Vectors:
        """The features of each number: f64[n, 60].

        As of its newest event, or as of `as_of_ms` where that is later. A number of which nothing
        is known has the features of one that has been silent.
        """
        out = np.empty((len(numbers), len(FEATURES)))
        take_vectors(self._pasts, self._slots(numbers), _times(as_of_ms, len(numbers)), self._sums, out)
        return out

    def own_blocks(self, numbers: U64s, as_of_ms: I64s | int | None = None) -> I64s:
        """Attempts of each number that our own enforcement rejected in the 24 h window: i64[n]."""
        out = np.empty(len(numbers), np.int64)
        sum_own_blocks(self._pasts, self._slots(numbers), _times(as_of_ms, len(numbers)), self._sums, out)
        return out

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that is remembered, by name. Views: to be written or copied before the next update."""
        offset = np.array([self._utc_offset_minutes], np.int64)
        return {"numbers": self._index.numbers, "utc_offset_minutes": offset, "past": self._pasts[: len(self)]}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "State":
        """A state that goes on exactly where `arrays` were taken; else raises `SnapshotError`."""
        missing = {"numbers", "utc_offset_minutes", "past"} - arrays.keys()
        if missing:
            raise SnapshotError(f"state arrays: wanted {sorted(missing)}, got {sorted(arrays)}")
        numbers = np.ascontiguousarray(arrays["numbers"])
        state = cls(0, int(arrays["utc_offset_minutes"][0]))
        state._index.place(numbers, np.ones(len(numbers), np.bool_))
        state._pasts = copied_pasts(arrays["past"], len(numbers))
        return state

    def _slots(self, numbers: U64s) -> I64s:
        """The slot of each number, for those not held the blank one behind the last."""
        slots = self._index.find(np.ascontiguousarray(numbers, dtype=np.uint64))
        return np.where(slots == ABSENT, len(self), slots)


def _times(as_of_ms: I64s | int | None, length: int) -> I64s:
    """One as-of time for each number; 0, which every newest time outdoes, where none is given."""
    times = np.asarray(0 if as_of_ms is None else as_of_ms, dtype=np.int64)
    return np.ascontiguousarray(np.broadcast_to(times, length))
