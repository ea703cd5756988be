"""Windows: the sums of a number's rings, and what makes them comparable.

A window covers `span` and up to a hop more; `scale` brings its flows back to `span`, so that a
rate does not swing with the sawtooth.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.features import tiles
from detector.features.past import Past
from detector.features.tiles import (
    HOP_1H,
    HOP_5M,
    HOP_7D,
    HOP_24H,
    SPAN_1H,
    SPAN_5M,
    SPAN_7D,
    SPAN_24H,
    TILES_1H,
    TILES_5M,
    TILES_7D,
    TILES_24H,
    sum_window,
)
from detector.jit import kernel


class Sums(NamedTuple):
    """Scratch: the sums of each ring over its window, i64[columns]."""

    ring_5m: npt.NDArray[np.int64]
    ring_1h: npt.NDArray[np.int64]
    ring_24h: npt.NDArray[np.int64]
    ring_7d: npt.NDArray[np.int64]
    talk_1h: npt.NDArray[np.int64]
    talk_24h: npt.NDArray[np.int64]


def blank_sums() -> Sums:
    """Scratch for one kernel call."""
    columns_of = (
        tiles.COLUMNS_5M,
        tiles.COLUMNS_1H,
        tiles.COLUMNS_24H,
        tiles.DAY_COLUMNS,
        tiles.TALK_COLUMNS_1H,
        tiles.TALK_COLUMNS_24H,
    )
    return Sums(*(np.zeros(n, np.int64) for n in columns_of))


@kernel
def window_start(as_of_ms: int, span_ms: int, hop_ms: int) -> int:
    """The oldest edge of the window that ends at `as_of_ms`."""
    return (as_of_ms - span_ms) // hop_ms * hop_ms


@kernel
def scale(as_of_ms: int, span_ms: int, hop_ms: int) -> float:
    """What a sum over the covered span is multiplied by to stand for `span_ms`: at most 1."""
    return span_ms / (as_of_ms - window_start(as_of_ms, span_ms, hop_ms))


@kernel
def sum_rings(past: Past, as_of_ms: int, sums: Sums) -> None:
    """Write the sums (mutated) of the windows that end at `as_of_ms`."""
    newest_ms = past["newest_ms"]
    minute, hop, hour, day = newest_ms // HOP_5M, newest_ms // HOP_1H, newest_ms // HOP_24H, newest_ms // HOP_7D
    sum_window(past["tiles_5m"], minute, minute % TILES_5M, (as_of_ms - SPAN_5M) // HOP_5M, sums.ring_5m)
    first_1h, at_1h = (as_of_ms - SPAN_1H) // HOP_1H, hop % TILES_1H
    sum_window(past["tiles_1h"], hop, at_1h, first_1h, sums.ring_1h)
    sum_window(past["talk_1h"], hop, at_1h, first_1h, sums.talk_1h)
    first_24h, at_24h = (as_of_ms - SPAN_24H) // HOP_24H, hour % TILES_24H
    sum_window(past["tiles_24h"], hour, at_24h, first_24h, sums.ring_24h)
    sum_window(past["talk_24h"], hour, at_24h, first_24h, sums.talk_24h)
    sum_window(past["tiles_7d"], day, day % TILES_7D, (as_of_ms - SPAN_7D) // HOP_7D, sums.ring_7d)


@kernel
def sum_day(past: Past, as_of_ms: int, sums: Sums) -> None:
    """Write the sums of the 24 h window that ends at `as_of_ms` (`sums.ring_24h` is mutated)."""
    hour = past["newest_ms"] // HOP_24H
    first = (as_of_ms - SPAN_24H) // HOP_24H
    sum_window(past["tiles_24h"], hour, hour % TILES_24H, first, sums.ring_24h)
