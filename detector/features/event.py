"""Event: what a row says to the memory of its number, packed in two words.

    row --pack_event--> word 0: duration 32 | key 32
                        word 1: zone 7 | cell 8 | device 8 | peer 11 | from 1 | call 1 | flags 10 | minute 15

A number that is seldom seen is remembered as its last events; of any other the last sixteen are
kept, so that a record that comes twice is known and the way back is open. Times are whole
minutes modulo sixteen days, which no hop can tell from exact ones; values that sketches tell
apart by slot are slots already, 0 = none.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.features.index import mix
from detector.features.tiles import i64
from detector.jit import kernel
from detector.records import UNKNOWN_DURATION, Flag, Kind, Role
from detector.units import DAY_MS, MINUTE_MS

PEER_SLOTS: Final = 1024
"""Standard error 2.3 % at 300 peers, 6 % at 4,200."""
THING_SLOTS: Final = 128
"""Devices and cells: a subscriber has a handful, a SIM box's rotation tens."""
ZONE_SLOTS: Final = 64

CYCLE_MINUTES: Final = 16 * DAY_MS // MINUTE_MS
"""Minutes after which packed times repeat: twice what the rings hold."""

FLAGS_AT: Final = 15
CALL_AT: Final = 25
FROM_AT: Final = 26
PEER_AT: Final = 27
DEVICE_AT: Final = 38
CELL_AT: Final = 46
ZONE_AT: Final = 54

RISK: Final = 1 << 9
"""The risk flag's place among an event's flags; the lower nine are those of the row."""
_LOW_FLAGS: Final = (1 << 9) - 1
_RISK_AT: Final = int(Flag.RISK).bit_length() - 1
_U32: Final = 0xFFFF_FFFF
_CALL: Final = int(Kind.CALL)
_FROM: Final = int(Role.FROM)
_ROLE_SALT: Final = 0x9E37_79B9
"""Makes the two rows of one record about one number (a call to oneself) different."""

Words = npt.NDArray[np.int64]
"""One event: i64[2]. Two zeros are no event, for a key is never 0."""

EVENT: Final = np.dtype("<i8")


@kernel
def hash_slot(value: Any, slots: int) -> int:
    """The slot of `value` in a sketch of `slots`, a power of two."""
    return i64(mix(np.uint64(value)) & np.uint64(slots - 1))


@kernel
def named_slot(value: Any, slots: int) -> int:
    """1 + the slot of `value`, 0 where there is none."""
    return 1 + hash_slot(value, slots) if value != 0 else 0


@kernel
def pack_event(row: Any, words: Words) -> None:
    """`words` (written) = the event of `row`."""
    flags = i64(row["flags"])
    role = i64(row["role"])
    key = max(i64(row["record_id"]) ^ (role * _ROLE_SALT & _U32), 1)
    words[0] = i64(row["duration_s"]) << 32 | key
    words[1] = (
        i64(row["event_ms"]) // MINUTE_MS % CYCLE_MINUTES
        | (flags & _LOW_FLAGS | (flags >> _RISK_AT & 1) << 9) << FLAGS_AT
        | i64(row["kind"] == _CALL) << CALL_AT
        | i64(role == _FROM) << FROM_AT
        | named_slot(row["other"], PEER_SLOTS) << PEER_AT
        | named_slot(row["device"], THING_SLOTS) << DEVICE_AT
        | named_slot(row["cell"], THING_SLOTS) << CELL_AT
        | named_slot(row["zone"], ZONE_SLOTS) << ZONE_AT
    )


@kernel
def key_of(word: int) -> int:
    """What a record that comes twice is known by: u32, never 0. `word` is word 0, 0 = no event."""
    return word & _U32


@kernel
def duration_of(word: int) -> int:
    """Seconds, `UNKNOWN_DURATION` where the record does not say. `word` is word 0."""
    return word >> 32 & _U32


@kernel
def talk_of(word: int) -> int:
    """Seconds of talk that the event adds. `word` is word 0."""
    duration_s = duration_of(word)
    return duration_s if duration_s != UNKNOWN_DURATION else 0


@kernel
def minute_of(word: int, newest_ms: int) -> int:
    """Minutes since 1970 of an event not after `newest_ms`, and not sixteen days before it. `word` is word 1."""
    newest = newest_ms // MINUTE_MS
    return newest - (newest - (word & (1 << FLAGS_AT) - 1)) % CYCLE_MINUTES
