"""Tiles: a number's counters over one hop of time; a window is a run of tiles, its ring.

    ring 1h, hop 5 min                             newest
    epoch   e-12  e-11  e-10  ...   e-2   e-1    e |
           |-----|-----|-----|-...-|-----|-----|---|
           ^ floor(as_of - 1 h, 5 min)             ^ as_of

A window reaches from `floor(as_of - span, hop)` to `as_of`: its newest edge is exact, its oldest
lies on a hop, so that it covers between `span` and `span + hop`. Epoch `e` lives in tile
`e mod tiles`; which epochs a ring holds follows from the number's newest event time alone.
Counters saturate: adding is then still independent of order.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from detector.jit import inlined
from detector.units import DAY_MS, HOUR_MS, MINUTE_MS

SPAN_5M: Final = 5 * MINUTE_MS
SPAN_1H: Final = HOUR_MS
SPAN_24H: Final = DAY_MS
SPAN_7D: Final = 7 * DAY_MS
HOP_5M: Final = MINUTE_MS
HOP_1H: Final = 5 * MINUTE_MS
HOP_24H: Final = HOUR_MS
HOP_7D: Final = DAY_MS
TILES_5M: Final = SPAN_5M // HOP_5M + 1
TILES_1H: Final = SPAN_1H // HOP_1H + 1
TILES_24H: Final = SPAN_24H // HOP_24H + 1
TILES_7D: Final = SPAN_7D // HOP_7D + 1
"""One tile more than the span has hops: the oldest is whole while the newest is still filling."""

# Columns of the tiles. The rings of the shorter windows hold the first ones only, so that one
# list of steps per row serves all three. `_O`: the number originates, `_I`: it receives.
BEGAN_O: Final = 0
SMS_O: Final = 1
CANCELLED_O: Final = 2
RISK_O: Final = 3
COLUMNS_5M: Final = 4
ANSWERED_O: Final = 4
SHORT_O: Final = 5
FAILED_O: Final = 6
COLUMNS_1H: Final = 7
BEGAN_I: Final = 7
SMS_I: Final = 8
INTL_O: Final = 9
UNATTESTED_O: Final = 10
ENDED_O: Final = 11
PHASED_O: Final = 12
"""Rows that begin or end a call but not both: only a source with phases writes them."""
NIGHT_O: Final = 13
"""Calls and messages begun between 00 and 06 local time."""
OWN_BLOCKS: Final = 14
"""Attempts that our own enforcement rejected. In no feature."""
ROWS: Final = 15
"""Rows counted: no other column of the tile is more. In no feature; it says when narrow counters run out."""
COLUMNS_24H: Final = 16

# Columns of the talk tiles, seconds. The ring of 1 h holds the first one only.
RISK_TALK_O: Final = 0
TALK_O: Final = 1
TALK_COLUMNS_1H: Final = 1
TALK_COLUMNS_24H: Final = 2

# Columns of the day tiles.
DAY_BEGAN_O: Final = 0
DAY_SMS_O: Final = 1
DAY_ANSWERED_O: Final = 2
DAY_SHORT_O: Final = 3
DAY_BEGAN_I: Final = 4
DAY_SMS_I: Final = 5
DAY_TALK_O: Final = 6
DAY_TALK_I: Final = 7
DAY_ROWS: Final = 8
"""Rows counted. In no feature; it says when the last events are all there is."""
DAY_COLUMNS: Final = 9

U8_MAX: Final = 0xFF
U16_MAX: Final = 0xFFFF
U32_MAX: Final = 0xFFFF_FFFF

i64: Final = cast("Callable[[Any], int]", np.int64)
"""In a kernel, `int` of an unsigned value stays unsigned, and with a signed one would make a float."""

Tiles = npt.NDArray[Any]
"""The ring of one number: u8, u16 or u32[tiles, columns]."""


@inlined
def clear_opened(tiles: Tiles, opened: int, newest: int) -> None:
    """Empty the last `opened` tiles (mutated) of the ring up to tile `newest`, all at most.

    Of these kernels none divides: how often is known to the compiler only where hop and ring are constants.
    """
    at = newest
    for _ in range(min(opened, len(tiles))):
        for c in range(tiles.shape[1]):
            tiles[at, c] = 0
        at = at - 1 if at > 0 else len(tiles) - 1


@inlined
def add_steps(tile: Tiles, most: int, steps: Tiles) -> None:
    """Add i64 `steps` to the first columns of the tile (mutated), saturating at `most`."""
    for c in range(len(tile)):
        tile[c] = min(i64(tile[c]) + steps[c], most)


@inlined
def sum_window(tiles: Tiles, newest: int, at: int, first: int, out: Tiles) -> None:
    """out[c] (i64, written) = sum of column c over the tiles of the epochs from `first` to `newest`, tile `at`.

    No more epochs than the ring has tiles.
    """
    if first == newest - len(tiles) + 1:
        # As of the newest hop, as in serving, every tile is in the window: a sum by column runs in wide lanes.
        for c in range(tiles.shape[1]):
            total = 0
            for tile in range(len(tiles)):
                total += i64(tiles[tile, c])
            out[c] = total
        return
    out[:] = 0
    for _ in range(first, newest + 1):
        for c in range(tiles.shape[1]):
            out[c] += tiles[at, c]
        at = at - 1 if at > 0 else len(tiles) - 1
