"""Sketches: how many distinct values a number has met, in a few hundred bytes.

Linear counting (Whang et al. 1990) with the time last seen in place of a bit: a value falls into
one of m slots by its hash, the slot keeps the newest stamp, so that one array serves every
window. k slots seen within the window mean `-m ln(1 - k/m)` distinct values. Max does not depend
on order, and a new value never lowers k.

Stamps count from the oldest day that the ring of days holds, first minute or hour = 1, 0 = never.
When a new day opens, all stamps shrink by a day: they never wrap, and shifting time changes none.
Peers by day are masks: bit 7 is the newest day, bit 0 the oldest.

A wide number has an array for every sketch; a usual one keeps its few slots in `entries`. Both
are asked for the same `Tallies`.
"""

from collections.abc import Callable
from math import log
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from detector.features.event import (
    CELL_AT,
    DEVICE_AT,
    FLAGS_AT,
    FROM_AT,
    PEER_AT,
    PEER_SLOTS,
    THING_SLOTS,
    ZONE_AT,
    ZONE_SLOTS,
)
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
    TILES_7D,
    U8_MAX,
    U16_MAX,
    i64,
)
from detector.features.windows import window_start
from detector.jit import kernel
from detector.records import Flag
from detector.units import DAY_MS, HOUR_MS, MINUTE_MS

SPARE_SLOTS: Final = 16
"""With fewer free slots than this, one peer more moves the estimate by more than 6 %: saturated."""

MINUTES_A_DAY: Final = DAY_MS // MINUTE_MS
HOURS_A_DAY: Final = DAY_MS // HOUR_MS
NEWEST_DAY_BIT: Final = TILES_7D - 1

BEGAN_BIT: Final = int(Flag.BEGAN) << FLAGS_AT

u8: Final = cast("Callable[[Any], Any]", np.uint8)
u16: Final = cast("Callable[[Any], Any]", np.uint16)
"""Counting in 16 bits, which hold any number of slots, is four times as fast as in 64: narrow lanes."""

Stamps = npt.NDArray[Any]
"""The slots of one number: u16 minutes or u8 hours."""

# The edges of a number's windows, as its stamps count, and the days that its week has kept.
MINUTE_5M: Final = 0
MINUTE_1H: Final = 1
MINUTE_24H: Final = 2
MINUTE_7D: Final = 3
HOUR_24H: Final = 4
HOUR_7D: Final = 5
DAYS_KEPT: Final = 6
EDGES: Final = 7
Edges = npt.NDArray[np.int64]
"""i64[7], by the names above."""

# Slots seen since an edge, and those whose peers were met on kept days: on any, on day d alone.
OUT_5M: Final = 0
OUT_1H: Final = 1
OUT_24H: Final = 2
OUT_7D: Final = 3
IN_24H: Final = 4
IN_7D: Final = 5
EITHER_24H: Final = 6
EITHER_7D: Final = 7
DEVICES_SEEN_24H: Final = 8
DEVICES_SEEN_7D: Final = 9
CELLS_SEEN_24H: Final = 10
CELLS_SEEN_7D: Final = 11
ZONES_SEEN_24H: Final = 12
MET: Final = 13
MET_ALONE: Final = 14
TALLIES: Final = MET_ALONE + TILES_7D
Tallies = npt.NDArray[np.int64]
"""i64[22], by the names above."""


def linear_counts(slots: int) -> npt.NDArray[np.float64]:
    """Distinct values meant by k of `slots` slots, k = 0..slots: whole, rising; all full counts as half a slot free."""
    free = np.maximum(slots - np.arange(slots + 1), 0.5)
    counts: npt.NDArray[np.float64] = np.rint(slots * np.log(slots / free))
    return counts


PEERS: Final = linear_counts(PEER_SLOTS)
THINGS: Final = linear_counts(THING_SLOTS)
ZONES: Final = linear_counts(ZONE_SLOTS)


@kernel
def edge(start_ms: int, oldest_ms: int, step_ms: int, most: int) -> int:
    """The first stamp of a window that starts at `start_ms`; stamps count steps from `oldest_ms`, first = 1."""
    return min(max((start_ms - oldest_ms) // step_ms + 1, 1), most)


@kernel
def write_edges(newest_ms: int, as_of_ms: int, edges: Edges) -> None:
    """`edges` (written) of the windows that end at `as_of_ms`, for a number whose newest event is at `newest_ms`."""
    newest_day = newest_ms // DAY_MS
    oldest_ms = (newest_day - TILES_7D + 1) * DAY_MS
    start_24h = window_start(as_of_ms, SPAN_24H, HOP_24H)
    start_7d = window_start(as_of_ms, SPAN_7D, HOP_7D)
    edges[MINUTE_5M] = edge(window_start(as_of_ms, SPAN_5M, HOP_5M), oldest_ms, MINUTE_MS, U16_MAX)
    edges[MINUTE_1H] = edge(window_start(as_of_ms, SPAN_1H, HOP_1H), oldest_ms, MINUTE_MS, U16_MAX)
    edges[MINUTE_24H] = edge(start_24h, oldest_ms, MINUTE_MS, U16_MAX)
    edges[MINUTE_7D] = edge(start_7d, oldest_ms, MINUTE_MS, U16_MAX)
    edges[HOUR_24H] = edge(start_24h, oldest_ms, HOUR_MS, U8_MAX)
    edges[HOUR_7D] = edge(start_7d, oldest_ms, HOUR_MS, U8_MAX)
    # Days that have left the window by now stand in the lowest bits.
    edges[DAYS_KEPT] = U8_MAX << min(as_of_ms // DAY_MS - newest_day, TILES_7D) & U8_MAX


@kernel
def day_bit(event_ms: int, newest_ms: int) -> int:
    """Which bit of a day mask the event's day has, 7 = the newest."""
    return event_ms // DAY_MS - newest_ms // DAY_MS + NEWEST_DAY_BIT


@kernel
def minute_stamp(event_ms: int, newest_ms: int) -> int:
    """The stamp of an event among minutes."""
    return day_bit(event_ms, newest_ms) * MINUTES_A_DAY + event_ms % DAY_MS // MINUTE_MS + 1


@kernel
def hour_stamp(event_ms: int, newest_ms: int) -> int:
    """The stamp of an event among hours."""
    return day_bit(event_ms, newest_ms) * HOURS_A_DAY + event_ms % DAY_MS // HOUR_MS + 1


@kernel
def part_of(word: int, at: int, slots: int) -> int:
    """1 + the slot that word 1 of an event carries at bit `at`, 0 = none."""
    return word >> at & (2 * slots - 1)


@kernel
def is_outgoing(word: int) -> bool:
    """Whether the event began a call or message of the number's own. `word` is word 1."""
    return word >> FROM_AT & 1 == 1 and word & BEGAN_BIT != 0


@kernel
def see(stamps: Any, at: int, stamp: int) -> None:
    """Slot `at` (mutated) was seen at `stamp`, if not later."""
    stamps[at] = max(i64(stamps[at]), stamp)


@kernel
def note_wide(past: Past, word: int, event_ms: int) -> None:
    """Put the peer, device, cell and zone of an event into a wide number's sketches (`past` is mutated)."""
    newest_ms = past["newest_ms"]
    hour = hour_stamp(event_ms, newest_ms)
    peer = part_of(word, PEER_AT, PEER_SLOTS)
    if word >> FROM_AT & 1 == 0:
        if word & BEGAN_BIT != 0 and peer:
            see(past["peers_in"], peer - 1, hour)
        return
    device = part_of(word, DEVICE_AT, THING_SLOTS)
    cell = part_of(word, CELL_AT, THING_SLOTS)
    zone = part_of(word, ZONE_AT, ZONE_SLOTS)
    if is_outgoing(word):
        if peer:
            see(past["peers_out"], peer - 1, minute_stamp(event_ms, newest_ms))
            past["peer_days"][peer - 1] = i64(past["peer_days"][peer - 1]) | (1 << day_bit(event_ms, newest_ms))
        if zone:
            see(past["zones"], zone - 1, hour)
    if device:
        see(past["devices"], device - 1, hour)
    if cell:
        see(past["cells"], cell - 1, hour)


@kernel
def age_stamps(stamps: Stamps, elapsed: int) -> None:
    """Make `elapsed` minutes or hours the new zero of all stamps (mutated); what lies before is forgotten."""
    for i in range(len(stamps)):
        stamps[i] = max(i64(stamps[i]) - elapsed, 0)


@kernel
def age_days(days: Stamps, elapsed: int) -> None:
    """Let `elapsed` new days begin in all masks (u8, mutated)."""
    elapsed = min(elapsed, TILES_7D)
    for i in range(len(days)):
        days[i] = i64(days[i]) >> elapsed


@kernel
def age_wide(past: Past, days: int) -> None:
    """Let `days` new days begin in a wide number's sketches (`past` is mutated)."""
    age_stamps(past["peers_out"], days * MINUTES_A_DAY)
    age_stamps(past["peers_in"], days * HOURS_A_DAY)
    age_stamps(past["devices"], days * HOURS_A_DAY)
    age_stamps(past["cells"], days * HOURS_A_DAY)
    age_stamps(past["zones"], days * HOURS_A_DAY)
    age_days(past["peer_days"], days)


@kernel
def count_since(stamps: Stamps, edge: Any) -> Any:
    """Slots seen at `edge` or later; `edge` has the dtype of `stamps`."""
    seen = u16(0)
    for i in range(len(stamps)):
        seen = u16(seen + (stamps[i] >= edge))
    return seen


@kernel
def count_either(minutes: Stamps, minute_edge: Any, hours: Stamps, hour_edge: Any) -> Any:
    """Slots seen since its edge in one of two arrays of the same hash."""
    seen = u16(0)
    for i in range(len(minutes)):
        seen = u16(seen + ((minutes[i] >= minute_edge) | (hours[i] >= hour_edge)))
    return seen


@kernel
def count_days(days: Stamps, kept: Any, mask: Any) -> Any:
    """Slots whose mask, of the bits that are `kept`, is `mask`; all three are u8."""
    seen = u16(0)
    for i in range(len(days)):
        seen = u16(seen + ((days[i] & kept) == mask))
    return seen


@kernel
def tally_days(days: Stamps, kept: Any, tallies: Tallies) -> None:
    """`tallies` (mutated): slots met on days that are `kept`, and on each of these alone."""
    tallies[MET] = len(days) - i64(count_days(days, kept, u8(0)))
    for day in range(TILES_7D):
        tallies[MET_ALONE + day] = i64(count_days(days, kept, u8(1 << day))) if kept >> day & 1 else 0


@kernel
def tally_wide(past: Past, edges: Edges, tallies: Tallies) -> None:
    """`tallies` (written) of a wide number since `edges`."""
    minute_24h, minute_7d = u16(edges[MINUTE_24H]), u16(edges[MINUTE_7D])
    hour_24h, hour_7d = u8(edges[HOUR_24H]), u8(edges[HOUR_7D])
    peers_out, peers_in = past["peers_out"], past["peers_in"]
    tallies[OUT_5M] = count_since(peers_out, u16(edges[MINUTE_5M]))
    tallies[OUT_1H] = count_since(peers_out, u16(edges[MINUTE_1H]))
    tallies[OUT_24H] = count_since(peers_out, minute_24h)
    tallies[OUT_7D] = count_since(peers_out, minute_7d)
    tallies[IN_24H] = count_since(peers_in, hour_24h)
    tallies[IN_7D] = count_since(peers_in, hour_7d)
    tallies[EITHER_24H] = count_either(peers_out, minute_24h, peers_in, hour_24h)
    tallies[EITHER_7D] = count_either(peers_out, minute_7d, peers_in, hour_7d)
    tallies[DEVICES_SEEN_24H] = count_since(past["devices"], hour_24h)
    tallies[DEVICES_SEEN_7D] = count_since(past["devices"], hour_7d)
    tallies[CELLS_SEEN_24H] = count_since(past["cells"], hour_24h)
    tallies[CELLS_SEEN_7D] = count_since(past["cells"], hour_7d)
    tallies[ZONES_SEEN_24H] = count_since(past["zones"], hour_24h)
    tally_days(past["peer_days"], u8(edges[DAYS_KEPT]), tallies)


@kernel
def repeat_share(tallies: Tallies) -> float:
    """The share of peers seen on two or more of the kept days.

    Two strangers of different days may share a slot, so that slots with two bits overstate the
    repeats. But a slot that shows day d alone holds peers of that day only: with E free slots,
    s_d such peers leave `k_d = E (exp(s_d / m) - 1)` of those, hence `sum s_d = m ln prod(1 + k_d / E)`
    peers of a single day among all `m ln(m / E)`. NaN without peers, or when saturated.
    """
    free = PEER_SLOTS - tallies[MET]
    if free < SPARE_SLOTS or free == PEER_SLOTS:
        return np.nan
    growth = 1.0
    for day in range(TILES_7D):
        if tallies[MET_ALONE + day] > 0:
            growth *= 1.0 + tallies[MET_ALONE + day] / free
    return min(max(1.0 - log(growth) / log(PEER_SLOTS / free), 0.0), 1.0)
