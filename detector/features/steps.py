"""Steps: what one event adds to the tiles of its number.

A phase counts where it is set, so that a call of many rows counts once; an interim row adds its
talk time only. Talk, sets and rates follow the event's role. A rejection by our own enforcement
adds to its own counter and to nothing else.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.features.event import CALL_AT, FLAGS_AT, FROM_AT, RISK, Words, duration_of, talk_of
from detector.features.past import Past
from detector.features.sketches import is_outgoing
from detector.features.tiles import (
    ANSWERED_O,
    BEGAN_I,
    BEGAN_O,
    CANCELLED_O,
    COLUMNS_24H,
    DAY_ANSWERED_O,
    DAY_BEGAN_I,
    DAY_BEGAN_O,
    DAY_COLUMNS,
    DAY_ROWS,
    DAY_SHORT_O,
    DAY_SMS_I,
    DAY_SMS_O,
    DAY_TALK_I,
    DAY_TALK_O,
    ENDED_O,
    FAILED_O,
    HOP_1H,
    HOP_5M,
    HOP_7D,
    HOP_24H,
    INTL_O,
    NIGHT_O,
    OWN_BLOCKS,
    PHASED_O,
    RISK_O,
    RISK_TALK_O,
    ROWS,
    SHORT_O,
    SMS_I,
    SMS_O,
    TALK_COLUMNS_24H,
    TALK_O,
    TILES_1H,
    TILES_5M,
    TILES_7D,
    TILES_24H,
    UNATTESTED_O,
    add_steps,
    clear_opened,
    i64,
)
from detector.jit import kernel
from detector.records import Flag
from detector.units import HOUR_MS

SHORT_CALL_S: Final = 6
"""An answered call shorter than this is a robocall's hallmark: the called party hung up on a recording."""
NIGHT_ENDS_H: Final = 6
"""Local hours 00 to 06: a PBX is hacked while its office is empty."""

_BEGAN: Final = int(Flag.BEGAN)
_ANSWERED: Final = int(Flag.ANSWERED)
_ENDED: Final = int(Flag.ENDED)
_INTERIM: Final = int(Flag.INTERIM)
_CANCELLED: Final = int(Flag.CANCELLED)
_FAILED: Final = int(Flag.FAILED)
_UNATTESTED: Final = int(Flag.UNATTESTED)
_INTERNATIONAL: Final = int(Flag.INTERNATIONAL)
_OWN_BLOCK: Final = int(Flag.OWN_BLOCK)


class Steps(NamedTuple):
    """Scratch: what one event adds to each column."""

    tiles: npt.NDArray[np.int64]
    talk: npt.NDArray[np.int64]
    days: npt.NDArray[np.int64]


def blank_steps() -> Steps:
    """Scratch for one kernel call."""
    return Steps(*(np.zeros(n, np.int64) for n in (COLUMNS_24H, TALK_COLUMNS_24H, DAY_COLUMNS)))


@kernel
def advance_rings(past: Past, newest_ms: int, event_ms: int) -> None:
    """Drop what leaves the rings (`past` is mutated) when the newest time moves from `newest_ms` to `event_ms`."""
    minute, hop, hour, day = event_ms // HOP_5M, event_ms // HOP_1H, event_ms // HOP_24H, event_ms // HOP_7D
    clear_opened(past["tiles_5m"], minute - newest_ms // HOP_5M, minute % TILES_5M)
    opened_1h, at_1h = hop - newest_ms // HOP_1H, hop % TILES_1H
    clear_opened(past["tiles_1h"], opened_1h, at_1h)
    clear_opened(past["talk_1h"], opened_1h, at_1h)
    opened_24h, at_24h = hour - newest_ms // HOP_24H, hour % TILES_24H
    clear_opened(past["tiles_24h"], opened_24h, at_24h)
    clear_opened(past["talk_24h"], opened_24h, at_24h)
    opened_7d = day - newest_ms // HOP_7D
    clear_opened(past["tiles_7d"], opened_7d, day % TILES_7D)
    for k in range(min(opened_7d, TILES_7D)):
        past["day_hours"][(day - k) % TILES_7D] = 0


@kernel
def write_steps(words: Words, local_hour: int, steps: Steps) -> None:
    """`steps` (written) = what an event adds to each column."""
    steps.tiles[:] = 0
    steps.talk[:] = 0
    steps.days[:] = 0
    steps.tiles[ROWS] = 1
    steps.days[DAY_ROWS] = 1
    word = words[1]
    flags = word >> FLAGS_AT
    if flags & _OWN_BLOCK != 0:
        steps.tiles[OWN_BLOCKS] = 1
        return
    began = i64(flags & _BEGAN != 0)
    talk_s = talk_of(words[0])
    is_call = word >> CALL_AT & 1
    if word >> FROM_AT & 1 == 0:
        if is_call:
            steps.tiles[BEGAN_I] = began
            steps.days[DAY_BEGAN_I] = began
            steps.days[DAY_TALK_I] = talk_s
        else:
            steps.tiles[SMS_I] = began
            steps.days[DAY_SMS_I] = began
        return
    steps.tiles[NIGHT_O] = began if local_hour < NIGHT_ENDS_H else 0
    if not is_call:
        steps.tiles[SMS_O] = began
        steps.days[DAY_SMS_O] = began
        return
    answered = i64(flags & _ANSWERED != 0)
    ended = i64(flags & _ENDED != 0)
    duration_s = duration_of(words[0])
    whole = ended == 1 and flags & _INTERIM == 0 and duration_s < SHORT_CALL_S
    short = i64(whole and (answered == 1 or duration_s > 0))
    risk = i64(flags & RISK != 0)
    steps.tiles[BEGAN_O] = began
    steps.tiles[CANCELLED_O] = i64(flags & _CANCELLED != 0)
    steps.tiles[RISK_O] = began * risk
    steps.tiles[ANSWERED_O] = answered
    steps.tiles[SHORT_O] = short
    steps.tiles[FAILED_O] = i64(flags & _FAILED != 0)
    steps.tiles[INTL_O] = began if flags & _INTERNATIONAL != 0 else 0
    steps.tiles[UNATTESTED_O] = began if flags & _UNATTESTED != 0 else 0
    steps.tiles[ENDED_O] = ended
    steps.tiles[PHASED_O] = began ^ ended
    steps.talk[TALK_O] = talk_s
    steps.talk[RISK_TALK_O] = talk_s * risk
    steps.days[DAY_BEGAN_O] = began
    steps.days[DAY_ANSWERED_O] = answered
    steps.days[DAY_SHORT_O] = short
    steps.days[DAY_TALK_O] = talk_s


@kernel
def is_own_block(word: int) -> bool:
    """Whether our own enforcement rejected the attempt. `word` is word 1."""
    return word >> FLAGS_AT & _OWN_BLOCK != 0


@kernel
def count_tiles(
    past: Past, words: Words, event_ms: int, utc_offset_ms: int, most_rows: int, most_sum: int, steps: Steps
) -> None:
    """Add an event to the number's tiles (`past` is mutated; `steps` is scratch), that saturate at what they can hold.

    The number's newest time is at or after `event_ms`, which is not late. `most_rows`, `most_sum`: what the
    tiles of a day and less hold, and what talk and the tiles of a week do.
    """
    newest_ms = past["newest_ms"]
    local_hour = (event_ms + utc_offset_ms) // HOUR_MS % 24
    write_steps(words, local_hour, steps)
    minute, hop, hour, day = event_ms // HOP_5M, event_ms // HOP_1H, event_ms // HOP_24H, event_ms // HOP_7D
    if minute > newest_ms // HOP_5M - TILES_5M:
        add_steps(past["tiles_5m"][minute % TILES_5M], most_rows, steps.tiles)
    if hop > newest_ms // HOP_1H - TILES_1H:
        add_steps(past["tiles_1h"][hop % TILES_1H], most_rows, steps.tiles)
        add_steps(past["talk_1h"][hop % TILES_1H], most_sum, steps.talk)
    if hour > newest_ms // HOP_24H - TILES_24H:
        add_steps(past["tiles_24h"][hour % TILES_24H], most_rows, steps.tiles)
        add_steps(past["talk_24h"][hour % TILES_24H], most_sum, steps.talk)
    add_steps(past["tiles_7d"][day % TILES_7D], most_sum, steps.days)
    if is_outgoing(words[1]) and not is_own_block(words[1]):
        past["day_hours"][day % TILES_7D] = i64(past["day_hours"][day % TILES_7D]) | (1 << local_hour)
