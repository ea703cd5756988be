"""The past: what is remembered of one number, in one of three forms by how much there is to remember.

    quiet     its last eleven events as they came                          192 bytes
    usual     counters of one and two bytes, its sets as one short list   1536 bytes
    wide      counters of two and four bytes, its sets as full sketches   6336 bytes

A number begins quiet, is promoted when a form no longer holds it, and returns when a new day
leaves little enough. All three say the same: no feature tells them apart. A partition's numbers
are three flat arrays of such records, so that a row finds all it needs in one place of the memory.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.features import tiles
from detector.features.event import EVENT, PEER_SLOTS, THING_SLOTS, ZONE_SLOTS

DEDUPE_WINDOW: Final = 16
"""Rows of a number whose record ids are remembered: a retry or a replayed segment is among them."""
QUIET_EVENTS: Final = 11
"""As many as 192 bytes hold: numbers that are seen a few times a week."""
SEEN_MOST: Final = 72
"""Entries of a usual number's sets: recipients, originators, devices, cells and zones of a week together."""

QUIET: Final = np.dtype([("number", "<u8"), ("newest_ms", "<i8"), ("events", EVENT, (QUIET_EVENTS, 2))])


def _form(small: str, middle: str, large: str, sets: list[tuple[Any, ...]], pad: int) -> np.dtype[Any]:
    """A record with counters of these types in its tiles of a day and less, its talk, and its tiles of a week."""
    fields: list[tuple[Any, ...]] = [
        ("number", "<u8"),
        ("newest_ms", "<i8"),
        ("recent", EVENT, (DEDUPE_WINDOW, 2)),
        ("recent_next", "<u4"),
        ("held", "<u4"),
        ("day_hours", "<u4", (tiles.TILES_7D,)),
        ("tiles_7d", large, (tiles.TILES_7D, tiles.DAY_COLUMNS)),
        ("talk_1h", middle, (tiles.TILES_1H, tiles.TALK_COLUMNS_1H)),
        ("talk_24h", middle, (tiles.TILES_24H, tiles.TALK_COLUMNS_24H)),
    ]
    tiles_of = [
        ("tiles_5m", small, (tiles.TILES_5M, tiles.COLUMNS_5M)),
        ("tiles_1h", small, (tiles.TILES_1H, tiles.COLUMNS_1H)),
        ("tiles_24h", small, (tiles.TILES_24H, tiles.COLUMNS_24H)),
    ]
    wide_first = sets + tiles_of if small == "u1" else tiles_of + sets
    return np.dtype([*fields, *wide_first, ("pad", "u1", (pad,))])


USUAL: Final = _form(
    "u1",
    "<u2",
    "<u2",
    [
        ("codes", "<u2", (SEEN_MOST,)),
        ("minutes", "<u2", (SEEN_MOST,)),
        ("hours", "u1", (SEEN_MOST,)),
        ("days", "u1", (SEEN_MOST,)),
    ],
    pad=7,
)
WIDE: Final = _form(
    "<u2",
    "<u4",
    "<u4",
    [
        ("peers_out", "<u2", (PEER_SLOTS,)),
        ("peers_in", "u1", (PEER_SLOTS,)),
        ("peer_days", "u1", (PEER_SLOTS,)),
        ("devices", "u1", (THING_SLOTS,)),
        ("cells", "u1", (THING_SLOTS,)),
        ("zones", "u1", (ZONE_SLOTS,)),
    ],
    pad=38,
)
"""`newest_ms`: the newest event time seen, 0 = none; it fixes which epochs rings and stamps hold.
`recent`: the last events, zeros = none or older than the rings, the next goes to `recent_next`.
`day_hours`: bit h of a day's mask: a call or message was begun in local hour h. Sets of a wide
number: `peers_out`: the minute each slot of recipients was last called or written to; `peers_in`:
the hour each slot of originators last called or wrote; `peer_days`: the days on which recipients
were met; `devices`, `cells`, `zones`: the hour each was last seen. Those of a usual one: the same
by entry, of which `held` are in use; `codes` says which slot of which sketch it is."""

FORMS: Final = {"quiet": QUIET, "usual": USUAL, "wide": WIDE}
"""By size: the place of a number says which one by its rank."""
IS_QUIET: Final = 0
IS_USUAL: Final = 1
IS_WIDE: Final = 2

Past = Any
"""One record of dtype `QUIET`, `USUAL` or `WIDE`."""
Pasts = npt.NDArray[np.void]
"""Records of one form."""


def blank(form: np.dtype[Any]) -> Pasts:
    """One record of a number of which nothing has been seen."""
    return np.zeros(1, form)
