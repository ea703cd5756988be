"""Steps: what one row adds to its number.

A phase counts where it is set, so that a call of many rows counts once; an interim row adds its
talk time only. Talk, sets and rates follow the row's role. A rejection by our own enforcement
adds to its own counter and to nothing else.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.features.past import DEDUPE_WINDOW, Past
from detector.features.sketches import (
    HOURS_A_DAY,
    MINUTES_A_DAY,
    NEWEST_DAY_BIT,
    PEER_SLOTS,
    THING_SLOTS,
    ZONE_SLOTS,
    age_days,
    age_stamps,
    hash_slot,
)
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
    DAY_HOURS,
    DAY_MS,
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
    HOUR_MS,
    INTL_O,
    MINUTE_MS,
    NIGHT_O,
    OWN_BLOCKS,
    PHASED_O,
    RISK_O,
    RISK_TALK_O,
    SHORT_O,
    SMS_I,
    SMS_O,
    TALK_COLUMNS_24H,
    TALK_O,
    TILES_7D,
    U16_MAX,
    U32_MAX,
    UNATTESTED_O,
    add_steps,
    clear_skipped,
    i64,
)
from detector.jit import kernel
from detector.records import UNKNOWN_DURATION, Flag, Kind, Role

SHORT_CALL_S: Final = 6
"""An answered call shorter than this is a robocall's hallmark: the called party hung up on a recording."""
NIGHT_ENDS_H: Final = 6
"""Local hours 00 to 06: a PBX is hacked while its office is empty."""

_CALL: Final = int(Kind.CALL)
_FROM: Final = int(Role.FROM)
_BEGAN: Final = int(Flag.BEGAN)
_ANSWERED: Final = int(Flag.ANSWERED)
_ENDED: Final = int(Flag.ENDED)
_INTERIM: Final = int(Flag.INTERIM)
_CANCELLED: Final = int(Flag.CANCELLED)
_FAILED: Final = int(Flag.FAILED)
_UNATTESTED: Final = int(Flag.UNATTESTED)
_INTERNATIONAL: Final = int(Flag.INTERNATIONAL)
_OWN_BLOCK: Final = int(Flag.OWN_BLOCK)
_RISK: Final = int(Flag.RISK)
_ROLE_SALT: Final = 0x9E37_79B9
"""Makes the two rows of one record about one number (a call to oneself) different."""


class Steps(NamedTuple):
    """Scratch: what one row adds to each column."""

    tiles: npt.NDArray[np.int64]
    talk: npt.NDArray[np.int64]
    days: npt.NDArray[np.int64]


def blank_steps() -> Steps:
    """Scratch for one kernel call."""
    return Steps(*(np.zeros(n, np.int64) for n in (COLUMNS_24H, TALK_COLUMNS_24H, DAY_COLUMNS)))


@kernel
def dedupe_key(record_id: int, role: int) -> int:
    """What a number remembers of a row: u32, never 0."""
    return max(record_id ^ (role * _ROLE_SALT), 1)


@kernel
def is_recent(past: Past, key: int) -> bool:
    """Whether `key` is among the last rows of the number."""
    recent = past["recent"]
    matches = 0
    for i in range(DEDUPE_WINDOW):
        matches += recent[i] == key
    return matches > 0


@kernel
def is_late(past: Past, event_ms: int) -> bool:
    """Whether `event_ms` lies before every tile of the number."""
    oldest_day: int = past["newest_ms"] // DAY_MS - NEWEST_DAY_BIT
    return event_ms // DAY_MS < oldest_day


@kernel
def remember(past: Past, key: int) -> None:
    """Put `key` in the place of the oldest one (`past` is mutated)."""
    at = i64(past["recent_next"])
    past["recent"][at] = key
    past["recent_next"] = (at + 1) % DEDUPE_WINDOW


@kernel
def advance(past: Past, event_ms: int) -> None:
    """Move the number's newest time to `event_ms`, if later, and drop what leaves its rings (`past` is mutated)."""
    newest_ms = past["newest_ms"]
    if event_ms <= newest_ms:
        return
    past["newest_ms"] = event_ms
    clear_skipped(past["tiles_5m"], HOP_5M, newest_ms, event_ms)
    clear_skipped(past["tiles_1h"], HOP_1H, newest_ms, event_ms)
    clear_skipped(past["talk_1h"], HOP_1H, newest_ms, event_ms)
    clear_skipped(past["tiles_24h"], HOP_24H, newest_ms, event_ms)
    clear_skipped(past["talk_24h"], HOP_24H, newest_ms, event_ms)
    clear_skipped(past["tiles_7d"], HOP_7D, newest_ms, event_ms)
    days = event_ms // DAY_MS - newest_ms // DAY_MS
    if days > 0:
        age_stamps(past["peers_out"], days * MINUTES_A_DAY)
        age_stamps(past["peers_in"], days * HOURS_A_DAY)
        age_stamps(past["devices"], days * HOURS_A_DAY)
        age_stamps(past["cells"], days * HOURS_A_DAY)
        age_stamps(past["zones"], days * HOURS_A_DAY)
        age_days(past["peer_days"], days)


@kernel
def write_steps(row: Any, local_hour: int, steps: Steps) -> None:
    """`steps` (written) = what `row`, not an own block, adds to each column."""
    steps.tiles[:] = 0
    steps.talk[:] = 0
    steps.days[:] = 0
    flags = i64(row["flags"])
    began = i64(flags & _BEGAN != 0)
    duration_s = i64(row["duration_s"])
    talk_s = duration_s if duration_s != UNKNOWN_DURATION else 0
    is_call = row["kind"] == _CALL
    if row["role"] != _FROM:
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
    whole = ended == 1 and flags & _INTERIM == 0 and duration_s < SHORT_CALL_S
    short = i64(whole and (answered == 1 or duration_s > 0))
    risk = i64(flags & _RISK != 0)
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
def count_row(past: Past, row: Any, utc_offset_ms: int, steps: Steps) -> None:
    """Add `row` to the number's tiles and sketches (`past` is mutated; `steps` is scratch).

    The number's newest time is at or after the row's, and the row is not late.
    """
    event_ms = i64(row["event_ms"])
    newest_ms = past["newest_ms"]
    if i64(row["flags"]) & _OWN_BLOCK != 0:
        steps.tiles[:] = 0
        steps.tiles[OWN_BLOCKS] = 1
        add_steps(past["tiles_24h"], HOP_24H, newest_ms, event_ms, U16_MAX, steps.tiles)
        return
    local_hour = (event_ms + utc_offset_ms) // HOUR_MS % 24
    write_steps(row, local_hour, steps)
    add_steps(past["tiles_5m"], HOP_5M, newest_ms, event_ms, U16_MAX, steps.tiles)
    add_steps(past["tiles_1h"], HOP_1H, newest_ms, event_ms, U16_MAX, steps.tiles)
    add_steps(past["tiles_24h"], HOP_24H, newest_ms, event_ms, U16_MAX, steps.tiles)
    add_steps(past["talk_1h"], HOP_1H, newest_ms, event_ms, U32_MAX, steps.talk)
    add_steps(past["talk_24h"], HOP_24H, newest_ms, event_ms, U32_MAX, steps.talk)
    add_steps(past["tiles_7d"], HOP_7D, newest_ms, event_ms, U32_MAX, steps.days)
    outgoing = steps.days[DAY_BEGAN_O] + steps.days[DAY_SMS_O]
    if outgoing > 0:
        day = past["tiles_7d"][event_ms // HOP_7D % TILES_7D]
        day[DAY_HOURS] = i64(day[DAY_HOURS]) | (1 << local_hour)
    note_sets(past, row, outgoing > 0)


@kernel
def see(stamps: Any, at: int, stamp: int) -> None:
    """Slot `at` (mutated) was seen at `stamp`, if not later."""
    stamps[at] = max(i64(stamps[at]), stamp)


@kernel
def note_sets(past: Past, row: Any, outgoing: bool) -> None:
    """Put the row's peer, device, cell and zone into the number's sketches (`past` is mutated)."""
    event_ms = i64(row["event_ms"])
    day = event_ms // DAY_MS - past["newest_ms"] // DAY_MS + NEWEST_DAY_BIT
    minute = day * MINUTES_A_DAY + event_ms % DAY_MS // MINUTE_MS + 1
    hour = day * HOURS_A_DAY + event_ms % DAY_MS // HOUR_MS + 1
    peer = hash_slot(row["other"], PEER_SLOTS)
    if row["role"] != _FROM:
        if i64(row["flags"]) & _BEGAN != 0 and row["other"] != 0:
            see(past["peers_in"], peer, hour)
        return
    if outgoing and row["other"] != 0:
        see(past["peers_out"], peer, minute)
        past["peer_days"][peer] = i64(past["peer_days"][peer]) | (1 << day)
    if outgoing and row["zone"] != 0:
        see(past["zones"], hash_slot(row["zone"], ZONE_SLOTS), hour)
    if row["device"] != 0:
        see(past["devices"], hash_slot(row["device"], THING_SLOTS), hour)
    if row["cell"] != 0:
        see(past["cells"], hash_slot(row["cell"], THING_SLOTS), hour)
