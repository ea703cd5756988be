"""State: what one partition remembers of its numbers, reached through `update` and `vectors` alone.

After `update(rows)` the state is a pure function of all rows so far: not of batch split, wall
clock, scores or workers. Equal log, equal bytes of `arrays()`; rows of a window in another order,
equal features at an equal as-of time.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.errors import SnapshotError
from detector.features.catalogue import FEATURES
from detector.features.index import ABSENT, Index
from detector.features.past import FORMS
from detector.features.pool import FREE, MARKS, USED, Pool
from detector.features.status import Status as Status
from detector.features.tiles import MINUTE_MS
from detector.features.update import (
    CLOCK,
    FORGOTTEN,
    Memory,
    apply_rows,
    blank_scratch,
    memory_of,
    place_at,
    sum_own_blocks,
    take_vectors,
)
from detector.features.vectors import Vectors
from detector.records import NO_NUMBER, Arrays, Bools, Flag, I64s, Kind, Rows, U64s

FIRST_USUAL: Final = 1 / 4
FIRST_WIDE: Final = 1 / 64
"""Of the numbers that a state makes room for at first, what it makes room for in the larger forms."""


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
    forgotten: int = 0
    """Numbers that were let go, for they had long been silent."""


def countable(rows: Rows) -> Bools:
    """Which rows say something about a number's behaviour."""
    kind = rows["kind"]
    traffic = (kind == Kind.CALL) | (kind == Kind.SMS)
    subject: Bools = traffic & (rows["flags"] & np.uint16(Flag.EMERGENCY) == 0) & (rows["number"] != NO_NUMBER)
    return subject


class State:
    """The numbers of one partition."""

    def __init__(self, capacity: int, utc_offset_minutes: int) -> None:
        """Room for `capacity` numbers, more when needed; local time is UTC plus `utc_offset_minutes`."""
        self._index = Index(capacity)
        rooms = (capacity, int(capacity * FIRST_USUAL), int(capacity * FIRST_WIDE))
        quiet, usual, wide = (Pool(form, room) for form, room in zip(FORMS.values(), rooms, strict=True))
        self._pools = (quiet, usual, wide)
        self._clock = np.zeros(CLOCK, np.int64)
        self._utc_offset_minutes = utc_offset_minutes
        self._scratch = blank_scratch()

    def __len__(self) -> int:
        """How many numbers are remembered."""
        return sum(map(len, self._pools))

    @property
    def forms(self) -> dict[str, int]:
        """How many numbers are remembered in each form."""
        return dict(zip(FORMS, map(len, self._pools), strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use."""
        return self._index.nbytes + sum(pool.nbytes for pool in self._pools)

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
        self._index.reserve(len(rows))
        for pool in self._pools:
            pool.reserve(len(rows))
        admit = countable(rows)
        positions = self._index.locate(np.ascontiguousarray(rows["number"]), admit)
        positions[~admit] = ABSENT
        status = np.empty(len(rows), np.uint8)
        as_of_ms = np.empty(len(rows), np.int64)
        room = int(np.count_nonzero(wanted))
        scored = np.empty(room, np.int64)
        vectors = np.empty((room, len(FEATURES)))
        taken = np.zeros(1, np.int64)
        forgotten = int(self._clock[FORGOTTEN])
        apply_rows(
            self._memory(),
            rows,
            positions,
            wanted,
            floor,
            self._utc_offset_minutes * MINUTE_MS,
            self._scratch,
            status,
            as_of_ms,
            scored,
            vectors,
            taken,
        )
        forgotten = int(self._clock[FORGOTTEN]) - forgotten
        return Updated(status, as_of_ms, scored[: taken[0]], vectors[: taken[0]], forgotten)

    def vectors(self, numbers: U64s, as_of_ms: I64s | int | None = None) -> Vectors:
        """The features of each number: f64[n, 60].

        As of its newest event, or as of `as_of_ms` where that is later. A number of which nothing
        is known has the features of one that has been silent.
        """
        out = np.empty((len(numbers), len(FEATURES)))
        places = self._index.find(np.ascontiguousarray(numbers, dtype=np.uint64))
        times = _times(as_of_ms, len(numbers))
        take_vectors(self._memory(), places, times, self._utc_offset_minutes * MINUTE_MS, self._scratch, out)
        return out

    def own_blocks(self, numbers: U64s, as_of_ms: I64s | int | None = None) -> I64s:
        """Attempts of each number that our own enforcement rejected in the 24 h window: i64[n]."""
        out = np.empty(len(numbers), np.int64)
        places = self._index.find(np.ascontiguousarray(numbers, dtype=np.uint64))
        sum_own_blocks(self._memory(), places, _times(as_of_ms, len(numbers)), self._scratch, out)
        return out

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that is remembered, by name. Views: to be written or copied before the next update."""
        marks = np.array([pool.marks for pool in self._pools])
        scalars = np.array([self._utc_offset_minutes, *self._clock])
        return {"scalars": scalars, "marks": marks} | {
            name: pool.used for name, pool in zip(FORMS, self._pools, strict=True)
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "State":
        """A state that goes on exactly where `arrays` were taken; else raises `SnapshotError`."""
        _check(arrays)
        state = cls(0, int(arrays["scalars"][0]))
        state._clock[:] = arrays["scalars"][1:]
        for form, (name, pool) in enumerate(zip(FORMS, state._pools, strict=True)):
            records = arrays[name]
            pool.refill(records, arrays["marks"][form])
            places = np.arange(len(records), dtype=np.int32) | np.int32(place_at(form, 0))
            alive = records["newest_ms"] != FREE
            state._index.put(records["number"][alive], places[alive])
        return state

    def _memory(self) -> Memory:
        return memory_of(self._index.keys, self._index.places, self._pools, self._clock)


def _check(arrays: Arrays) -> None:
    """`arrays` are what a state gave; else raises `SnapshotError`."""
    missing = {"scalars", "marks", *FORMS} - arrays.keys()
    if missing:
        raise SnapshotError(f"state arrays: wanted {sorted(missing)}, got {sorted(arrays)}")
    _check_array(arrays, "scalars", np.dtype(np.int64), (1 + CLOCK,))
    _check_array(arrays, "marks", np.dtype(np.int64), (len(FORMS), MARKS))
    for (name, form), used in zip(FORMS.items(), arrays["marks"][:, USED].tolist(), strict=True):
        _check_array(arrays, name, form, (used,))


def _check_array(arrays: Arrays, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    array = arrays[name]
    if array.dtype != dtype or array.shape != shape:
        raise SnapshotError(
            f"state array {name}: wanted {shape} of {dtype.itemsize} bytes ({dtype}), "
            f"got {array.shape} of {array.dtype.itemsize} bytes ({array.dtype})"
        )


def _times(as_of_ms: I64s | int | None, length: int) -> I64s:
    """One as-of time for each number; 0, which every newest time outdoes, where none is given."""
    times = np.asarray(0 if as_of_ms is None else as_of_ms, dtype=np.int64)
    return np.ascontiguousarray(np.broadcast_to(times, length))
