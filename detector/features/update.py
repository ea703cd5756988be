"""Update: rows are counted one after the other, and a vector is taken where one is wanted.

row --pack_event--> event --count_event--> the number's past --write_features--> a vector
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from detector.features.counting import count_event
from detector.features.event import pack_event
from detector.features.holding import is_welcomed, sweep, tick
from detector.features.index import ABSENT
from detector.features.memory import Memory, Scratch, fetch_ahead, newest_of
from detector.features.reading import began, write_features
from detector.features.status import Status
from detector.features.steps import is_own_block
from detector.features.tiles import i64
from detector.features.vectors import Vectors
from detector.jit import kernel
from detector.records import Bools, I64s, Rows

FETCH_ROWS: Final = 4
"""Rows that a record is asked for ahead of its turn: about two microseconds, several times what memory takes."""

TAKEN: Final = 0
NEXT_ROW: Final = 1
PROGRESS: Final = 2

_COUNTED: Final = int(Status.COUNTED)
_IGNORED: Final = int(Status.IGNORED)


@kernel
def apply_rows(
    memory: Memory,
    rows: Rows,
    positions: I64s,
    moments: Bools,
    floor: int,
    utc_offset_ms: int,
    scratch: Scratch,
    status: npt.NDArray[np.uint8],
    as_of_ms: I64s,
    scored: I64s,
    vectors: Vectors,
    progress: I64s,
) -> None:
    """Count each row from `progress[NEXT_ROW]` on that has a position, in order; take a vector where it is wanted.

    Mutated: `memory`, `scratch`, `progress` (i64[2]). Written: `status[i]`, `as_of_ms[i]`; `scored[k]` and `vectors[k]`
    for k < `progress[TAKEN]`. Ends before a row for which a line must be formed: to be called again with it.
    """
    for i in range(progress[NEXT_ROW], len(rows)):
        if i + FETCH_ROWS < len(rows):
            fetch_ahead(memory, positions[i + FETCH_ROWS])
        row = rows[i]
        event_ms = i64(row["event_ms"])
        as_of_ms[i] = event_ms
        status[i] = _IGNORED
        at = positions[i]
        if at == ABSENT:
            continue
        if memory.places[at] == ABSENT and not is_welcomed(memory, at, row["number"], scratch):
            progress[NEXT_ROW] = i
            return
        pack_event(row, scratch.words)
        status[i] = count_event(memory, at, event_ms, utc_offset_ms, scratch)
        place = i64(memory.places[at])
        newest_ms = newest_of(memory, place)
        as_of_ms[i] = max(event_ms, newest_ms)
        if status[i] != _COUNTED:
            continue
        wanted = moments[i] and not is_own_block(scratch.words[1])
        if wanted and (floor <= 0 or began(memory, place, newest_ms, scratch.reading) >= floor):
            write_features(memory, place, newest_ms, utc_offset_ms, scratch, vectors[progress[TAKEN]])
            scored[progress[TAKEN]] = i
            progress[TAKEN] += 1
        if tick(memory.clock, event_ms):
            sweep(memory, scratch)
    progress[NEXT_ROW] = len(rows)
