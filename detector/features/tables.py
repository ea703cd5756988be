"""Tables: everything that is remembered of the numbers of one partition, as flat arrays.

Row `slot` of each array belongs to the number that the index gives that slot. A row of zeros is
a number of which nothing has been seen; the row behind the last number is always such a one.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.errors import SnapshotError
from detector.features import sketches, tiles

DEDUPE_WINDOW: Final = 16
"""Rows of a number whose record ids are remembered: a retry or a replayed segment is among them."""


Table = npt.NDArray[Any]
"""[numbers, ...], of the dtype and shape that `_SHAPES` gives it."""


class Tables(NamedTuple):
    """The arrays; each is [numbers, ...]."""

    newest_ms: Table
    """Newest event time seen; 0 = none. It fixes which epochs the rings and stamps hold."""
    recent: Table
    """Keys of the last `DEDUPE_WINDOW` rows; 0 = free."""
    recent_next: Table
    tiles_5m: Table
    tiles_1h: Table
    tiles_24h: Table
    talk_1h: Table
    talk_24h: Table
    tiles_7d: Table
    peers_out: Table
    """Minute each slot of recipients was last called or written to."""
    peers_in: Table
    """Hour each slot of originators last called or wrote."""
    peer_days: Table
    """Days on which each slot of recipients was met."""
    devices: Table
    cells: Table
    zones: Table


_SHAPES: Final[dict[str, tuple[npt.DTypeLike, tuple[int, ...]]]] = {
    "newest_ms": (np.int64, ()),
    "recent": (np.uint32, (DEDUPE_WINDOW,)),
    "recent_next": (np.uint8, ()),
    "tiles_5m": (np.uint16, (tiles.TILES_5M, tiles.COLUMNS_5M)),
    "tiles_1h": (np.uint16, (tiles.TILES_1H, tiles.COLUMNS_1H)),
    "tiles_24h": (np.uint16, (tiles.TILES_24H, tiles.COLUMNS_24H)),
    "talk_1h": (np.uint32, (tiles.TILES_1H, tiles.TALK_COLUMNS_1H)),
    "talk_24h": (np.uint32, (tiles.TILES_24H, tiles.TALK_COLUMNS_24H)),
    "tiles_7d": (np.uint32, (tiles.TILES_7D, tiles.DAY_COLUMNS)),
    "peers_out": (np.uint16, (sketches.PEER_SLOTS,)),
    "peers_in": (np.uint8, (sketches.PEER_SLOTS,)),
    "peer_days": (np.uint8, (sketches.PEER_SLOTS,)),
    "devices": (np.uint8, (sketches.THING_SLOTS,)),
    "cells": (np.uint8, (sketches.THING_SLOTS,)),
    "zones": (np.uint8, (sketches.ZONE_SLOTS,)),
}

BYTES_PER_NUMBER: Final = sum(
    np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)) for dtype, shape in _SHAPES.values()
)


def blank_tables(capacity: int) -> Tables:
    """Tables of `capacity` numbers of which nothing has been seen."""
    return Tables(**{name: np.zeros((capacity, *shape), dtype) for name, (dtype, shape) in _SHAPES.items()})


def grown_tables(tables: Tables, capacity: int) -> Tables:
    """The same tables with room for `capacity` numbers, doubled so that growing costs little a number."""
    if capacity <= len(tables.newest_ms):
        return tables
    grown = blank_tables(max(capacity, 2 * len(tables.newest_ms)))
    for new, old in zip(grown, tables, strict=True):
        new[: len(old)] = old
    return grown


def tables_of(arrays: dict[str, npt.NDArray[Any]], numbers: int) -> Tables:
    """Tables that hold a copy of `arrays`, by field; raises `SnapshotError` for any other shape or dtype."""
    tables = blank_tables(numbers + 1)
    for name, table in zip(Tables._fields, tables, strict=True):
        array = arrays.get(name)
        wanted = (numbers, *table.shape[1:])
        if array is None:
            raise SnapshotError(f"state array {name}: wanted {table.dtype}{list(wanted)}, got none")
        if array.dtype != table.dtype or array.shape != wanted:
            raise SnapshotError(
                f"state array {name}: wanted {table.dtype}{list(wanted)}, got {array.dtype}{list(array.shape)}"
            )
        table[:numbers] = array
    return tables
