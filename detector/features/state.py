"""State: what one partition remembers of its numbers, reached through `update` and `vectors` alone.

After `update(rows)` the state is a pure function of all rows so far, and of how many numbers it may
hold: not of batch split, wall clock, scores or workers. Equal log, equal bytes of `arrays()`; rows of
a window in another order, equal features at an equal as-of time, as long as nobody is evicted.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.errors import SnapshotError
from detector.features.catalogue import FEATURES
from detector.features.index import ABSENT, FORM_AT, SLOT_MASK, Index
from detector.features.line import STANDING, form_line, no_line
from detector.features.memory import (
    CLOCK,
    EVICTED,
    FORGOTTEN,
    MOST_HELD,
    Memory,
    blank_scratch,
    memory_of,
    place_at,
)
from detector.features.past import FORMS
from detector.features.pool import FREE, MARKS, USED, Pool
from detector.features.reading import sum_own_blocks, take_vectors
from detector.features.status import Status as Status
from detector.features.update import NEXT_ROW, PROGRESS, TAKEN, apply_rows
from detector.features.vectors import Vectors
from detector.records import NO_NUMBER, Arrays, Bools, Flag, I64s, Kind, Rows, U64s
from detector.units import MINUTE_MS

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
    evicted: int = 0
    """Numbers that had to go, for no more may be held."""


def countable(rows: Rows) -> Bools:
    """Which rows say something about a number's behaviour."""
    kind = rows["kind"]
    traffic = (kind == Kind.CALL) | (kind == Kind.SMS)
    subject: Bools = traffic & (rows["flags"] & np.uint16(Flag.EMERGENCY) == 0) & (rows["number"] != NO_NUMBER)
    return subject


class State:
    """The numbers of one partition."""

    def __init__(self, capacity: int, utc_offset_minutes: int, most_numbers: int = 0) -> None:
        """Room for `capacity` numbers, more when needed; local time is UTC plus `utc_offset_minutes`.

        No more than `most_numbers` are ever held (0 = as many as come): `line` says who goes then.
        """
        self._index = Index(capacity)
        rooms = (capacity, int(capacity * FIRST_USUAL), int(capacity * FIRST_WIDE))
        quiet, usual, wide = (Pool(form, room) for form, room in zip(FORMS.values(), rooms, strict=True))
        self._pools = (quiet, usual, wide)
        self._clock = np.zeros(CLOCK, np.int64)
        self._utc_offset_minutes = utc_offset_minutes
        self._most_numbers = most_numbers
        self._line, self._turn = no_line(), np.zeros(1, np.int64)
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
        return self.index_bytes + sum(self.form_bytes.values())

    @property
    def form_bytes(self) -> dict[str, int]:
        """Bytes of the records of each form, those that are free again included."""
        return {form: pool.nbytes for form, pool in zip(FORMS, self._pools, strict=True)}

    @property
    def index_bytes(self) -> int:
        """Bytes of the index."""
        return self._index.nbytes

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
        progress = np.zeros(PROGRESS, np.int64)
        forgotten, evicted = self._clock[[FORGOTTEN, EVICTED]].tolist()
        while True:
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
                progress,
            )
            if progress[NEXT_ROW] == len(rows):
                break
            self._line = form_line((pool.used for pool in self._pools), self._most_numbers)
            self._turn[0] = 0
        taken = int(progress[TAKEN])
        return Updated(
            status,
            as_of_ms,
            scored[:taken],
            vectors[:taken],
            int(self._clock[FORGOTTEN]) - forgotten,
            int(self._clock[EVICTED]) - evicted,
        )

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

    def newest_of(self, number: int) -> tuple[str, int] | None:
        """The form in which a number is remembered, and its newest event time; None for one that is not."""
        place = int(self._index.find(np.array([number], np.uint64))[0])
        if place == ABSENT:
            return None
        form, slot = place >> FORM_AT, place & SLOT_MASK
        return list(FORMS)[form], int(self._pools[form].used["newest_ms"][slot])

    def own_blocks(self, numbers: U64s, as_of_ms: I64s | int | None = None) -> I64s:
        """Attempts of each number that our own enforcement rejected in the 24 h window: i64[n]."""
        out = np.empty(len(numbers), np.int64)
        places = self._index.find(np.ascontiguousarray(numbers, dtype=np.uint64))
        sum_own_blocks(self._memory(), places, _times(as_of_ms, len(numbers)), self._scratch, out)
        return out

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that is remembered, by name. Views: to be written or copied before the next update."""
        marks = np.array([pool.marks for pool in self._pools])
        scalars = np.array([self._utc_offset_minutes, self._most_numbers, *self._clock])
        return {"scalars": scalars, "marks": marks, "line": self._line[self._turn[0] :]} | {
            name: pool.used for name, pool in zip(FORMS, self._pools, strict=True)
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, most_numbers: int | None = None) -> "State":
        """A state that goes on exactly where `arrays` were taken; else raises `SnapshotError`.

        `most_numbers`: the limit from now on, the one that they were taken under if None; another one is
        refused where it would have made another state.
        """
        _check(arrays)
        utc_offset_minutes, limit, *clock = arrays["scalars"].tolist()
        if most_numbers is not None:
            check_limit(arrays, most_numbers)
        state = cls(0, utc_offset_minutes, limit if most_numbers is None else most_numbers)
        state._clock[:] = clock
        state._line = arrays["line"].copy()
        for form, (name, pool) in enumerate(zip(FORMS, state._pools, strict=True)):
            records = arrays[name]
            pool.refill(records, arrays["marks"][form])
            places = np.arange(len(records), dtype=np.int32) | np.int32(place_at(form, 0))
            alive = records["newest_ms"] != FREE
            state._index.put(records["number"][alive], places[alive])
        return state

    def _memory(self) -> Memory:
        table = self._index
        return memory_of(table.keys, table.places, self._pools, self._clock, self._most_numbers, self._line, self._turn)


def check_limit(arrays: Arrays, most_numbers: int) -> None:
    """`arrays` are what they would be if the limit had always been `most_numbers` (0: none).

    Under another limit they are that where neither limit was ever felt. Else raises `SnapshotError`.
    """
    _check(arrays)
    _, limit, *clock = arrays["scalars"].tolist()
    evicted, most_held = clock[EVICTED], clock[MOST_HELD]
    if limit == most_numbers or (evicted == 0 and (most_numbers == 0 or most_held <= most_numbers)):
        return
    raise SnapshotError(
        f"state: wanted {_limited(most_numbers)}, got {_limited(limit)} that has held {most_held} and evicted {evicted}"
    )


def _limited(most_numbers: int) -> str:
    return f"one of at most {most_numbers} numbers" if most_numbers else "one without limit"


def _check(arrays: Arrays) -> None:
    """`arrays` are what a state gave; else raises `SnapshotError`."""
    missing = {"scalars", "marks", "line", *FORMS} - arrays.keys()
    if missing:
        raise SnapshotError(f"state arrays: wanted {sorted(missing)}, got {sorted(arrays)}")
    _check_array(arrays, "scalars", np.dtype(np.int64), (2 + CLOCK,))
    _check_array(arrays, "marks", np.dtype(np.int64), (len(FORMS), MARKS))
    _check_array(arrays, "line", STANDING, (len(arrays["line"]),))
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
