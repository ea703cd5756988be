"""The past: everything that is remembered of one number, as one record of 94 cache lines.

A partition's numbers are one flat array of such records: a row finds all it needs in one place of
the memory. A record of zeros is a number of which nothing has been seen; the one behind the last
number is always such a one.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.errors import SnapshotError
from detector.features import sketches, tiles

DEDUPE_WINDOW: Final = 16
"""Rows of a number whose record ids are remembered: a retry or a replayed segment is among them."""

PAST: Final = np.dtype(
    [
        ("newest_ms", "<i8"),
        ("recent_next", "<i8"),
        ("recent", "<u4", (DEDUPE_WINDOW,)),
        ("talk_1h", "<u4", (tiles.TILES_1H, tiles.TALK_COLUMNS_1H)),
        ("talk_24h", "<u4", (tiles.TILES_24H, tiles.TALK_COLUMNS_24H)),
        ("tiles_7d", "<u4", (tiles.TILES_7D, tiles.DAY_COLUMNS)),
        ("tiles_5m", "<u2", (tiles.TILES_5M, tiles.COLUMNS_5M)),
        ("tiles_1h", "<u2", (tiles.TILES_1H, tiles.COLUMNS_1H)),
        ("tiles_24h", "<u2", (tiles.TILES_24H, tiles.COLUMNS_24H)),
        ("peers_out", "<u2", (sketches.PEER_SLOTS,)),
        ("peers_in", "u1", (sketches.PEER_SLOTS,)),
        ("peer_days", "u1", (sketches.PEER_SLOTS,)),
        ("devices", "u1", (sketches.THING_SLOTS,)),
        ("cells", "u1", (sketches.THING_SLOTS,)),
        ("zones", "u1", (sketches.ZONE_SLOTS,)),
    ]
)
"""`newest_ms`: the newest event time seen, 0 = none; it fixes which epochs the rings and stamps
hold. `recent`: keys of the last rows, 0 = free, the next goes to `recent_next`. `peers_out`: the
minute each slot of recipients was last called or written to; `peers_in`: the hour each slot of
originators last called or wrote; `peer_days`: the days on which recipients were met; `devices`,
`cells`, `zones`: the hour each was last seen."""

Past = Any
"""One record of dtype `PAST`."""
Pasts = npt.NDArray[np.void]
"""One record a number, by slot."""


def blank_pasts(capacity: int) -> Pasts:
    """`capacity` numbers of which nothing has been seen."""
    return np.zeros(capacity, PAST)


def grown_pasts(pasts: Pasts, capacity: int) -> Pasts:
    """The same pasts with room for `capacity` numbers, doubled so that growing costs little a number."""
    if capacity <= len(pasts):
        return pasts
    grown = blank_pasts(max(capacity, 2 * len(pasts)))
    grown[: len(pasts)] = pasts
    return grown


def copied_pasts(array: npt.NDArray[Any], numbers: int) -> Pasts:
    """The pasts of `numbers` numbers out of a snapshot's array; raises `SnapshotError` if it holds something else."""
    if array.dtype != PAST or array.shape != (numbers,):
        raise SnapshotError(
            f"state array past: wanted {numbers} records of {PAST.itemsize} bytes ({PAST}), "
            f"got {array.shape} of {array.dtype.itemsize} bytes ({array.dtype})"
        )
    pasts = blank_pasts(numbers + 1)
    pasts[:numbers] = array
    return pasts
