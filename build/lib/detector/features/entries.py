"""Entries: the sets of a usual number, as one short list of the slots of its sketches that are in use.

Most numbers meet a few dozen others a week: a list of 72 entries is a tenth of the sketches and
quicker to go through. An entry is the slot that the sketch would have, and its stamps; so that
what a list tells is what the sketches would tell.
"""

from typing import Final

from detector.features.event import CELL_AT, DEVICE_AT, FROM_AT, PEER_AT, PEER_SLOTS, THING_SLOTS, ZONE_AT, ZONE_SLOTS
from detector.features.past import SEEN_MOST, Past
from detector.features.sketches import (
    BEGAN_BIT,
    CELLS_SEEN_7D,
    CELLS_SEEN_24H,
    DAYS_KEPT,
    DEVICES_SEEN_7D,
    DEVICES_SEEN_24H,
    EITHER_7D,
    EITHER_24H,
    HOUR_7D,
    HOUR_24H,
    HOURS_A_DAY,
    IN_7D,
    IN_24H,
    MINUTE_1H,
    MINUTE_5M,
    MINUTE_7D,
    MINUTE_24H,
    MINUTES_A_DAY,
    OUT_1H,
    OUT_5M,
    OUT_7D,
    OUT_24H,
    ZONES_SEEN_24H,
    Edges,
    Stamps,
    Tallies,
    count_since,
    day_bit,
    hour_stamp,
    is_outgoing,
    minute_stamp,
    part_of,
    see,
    tally_days,
    u8,
    u16,
)
from detector.features.tiles import TILES_7D, i64
from detector.jit import kernel

# Codes: 1 + slot for peers, and behind them devices, cells and zones; 0 = free.
DEVICES_FROM: Final = PEER_SLOTS
CELLS_FROM: Final = DEVICES_FROM + THING_SLOTS
ZONES_FROM: Final = CELLS_FROM + THING_SLOTS
CODES: Final = ZONES_FROM + ZONE_SLOTS
EVENT_ENTRIES: Final = 4
"""An event adds a peer, a device, a cell and a zone at most."""


@kernel
def entry_of(past: Past, code: int) -> int:
    """The place of `code` among a usual number's entries, a new one if it has none; there is room for it."""
    codes, held = past["codes"], i64(past["held"])
    wanted = u16(code)
    found = u16(0)
    # All of them, in wide lanes: quicker than to stop at the right one.
    for i in range(len(codes)):
        found = u16(found | u16(i + 1) * u16(codes[i] == wanted))
    if found > 0:
        return i64(found) - 1
    codes[held] = code
    past["held"] = held + 1
    return held


@kernel
def has_room(past: Past) -> bool:
    """Whether any event's entries still fit."""
    return i64(past["held"]) <= SEEN_MOST - EVENT_ENTRIES


@kernel
def note_usual(past: Past, word: int, event_ms: int) -> None:
    """Put the peer, device, cell and zone of an event into a usual number's entries (`past` is mutated)."""
    newest_ms = past["newest_ms"]
    hour = hour_stamp(event_ms, newest_ms)
    hours = past["hours"]
    peer = part_of(word, PEER_AT, PEER_SLOTS)
    if word >> FROM_AT & 1 == 0:
        if word & BEGAN_BIT != 0 and peer:
            see(hours, entry_of(past, peer), hour)
        return
    device = part_of(word, DEVICE_AT, THING_SLOTS)
    cell = part_of(word, CELL_AT, THING_SLOTS)
    zone = part_of(word, ZONE_AT, ZONE_SLOTS)
    if is_outgoing(word):
        if peer:
            at = entry_of(past, peer)
            see(past["minutes"], at, minute_stamp(event_ms, newest_ms))
            past["days"][at] = i64(past["days"][at]) | (1 << day_bit(event_ms, newest_ms))
        if zone:
            see(hours, entry_of(past, ZONES_FROM + zone), hour)
    if device:
        see(hours, entry_of(past, DEVICES_FROM + device), hour)
    if cell:
        see(hours, entry_of(past, CELLS_FROM + cell), hour)


@kernel
def age_usual(past: Past, elapsed: int) -> None:
    """Let `elapsed` new days begin in a usual number's entries (`past` is mutated); those that hold nothing go."""
    codes, minutes, hours, days = past["codes"], past["minutes"], past["hours"], past["days"]
    held = i64(past["held"])
    elapsed = min(elapsed, TILES_7D)
    kept = 0
    for i in range(held):
        minute = max(i64(minutes[i]) - elapsed * MINUTES_A_DAY, 0)
        hour = max(i64(hours[i]) - elapsed * HOURS_A_DAY, 0)
        mask = i64(days[i]) >> elapsed
        if minute | hour | mask:
            codes[kept], minutes[kept], hours[kept], days[kept] = codes[i], minute, hour, mask
            kept += 1
    for i in range(kept, held):
        codes[i], minutes[i], hours[i], days[i] = 0, 0, 0, 0
    past["held"] = kept


@kernel
def count_among(codes: Stamps, first: int, last: int, hours: Stamps, edge: int) -> int:
    """Entries with codes of `(first, last]` whose hour is `edge` or later."""
    low, span, since = u16(first + 1), u16(last - first), u8(edge)
    seen = u16(0)
    for i in range(len(codes)):
        seen = u16(seen + ((u16(codes[i] - low) < span) & (hours[i] >= since)))
    return i64(seen)


@kernel
def count_either_among(past: Past, minute_edge: int, hour_edge: int) -> int:
    """Peers called since `minute_edge`, or that called since `hour_edge`."""
    codes, minutes, hours = past["codes"], past["minutes"], past["hours"]
    low, span = u16(1), u16(PEER_SLOTS)
    minute, hour = u16(minute_edge), u8(hour_edge)
    seen = u16(0)
    for i in range(len(codes)):
        is_peer = u16(codes[i] - low) < span
        seen = u16(seen + (is_peer & ((minutes[i] >= minute) | (hours[i] >= hour))))
    return i64(seen)


@kernel
def tally_usual(past: Past, edges: Edges, tallies: Tallies) -> None:
    """`tallies` (written) of a usual number since `edges`; of entries only peers have minutes and days."""
    codes, minutes, hours = past["codes"], past["minutes"], past["hours"]
    tallies[OUT_5M] = i64(count_since(minutes, u16(edges[MINUTE_5M])))
    tallies[OUT_1H] = i64(count_since(minutes, u16(edges[MINUTE_1H])))
    tallies[OUT_24H] = i64(count_since(minutes, u16(edges[MINUTE_24H])))
    tallies[OUT_7D] = i64(count_since(minutes, u16(edges[MINUTE_7D])))
    tallies[IN_24H] = count_among(codes, 0, PEER_SLOTS, hours, edges[HOUR_24H])
    tallies[IN_7D] = count_among(codes, 0, PEER_SLOTS, hours, edges[HOUR_7D])
    tallies[EITHER_24H] = count_either_among(past, edges[MINUTE_24H], edges[HOUR_24H])
    tallies[EITHER_7D] = count_either_among(past, edges[MINUTE_7D], edges[HOUR_7D])
    tallies[DEVICES_SEEN_24H] = count_among(codes, DEVICES_FROM, CELLS_FROM, hours, edges[HOUR_24H])
    tallies[DEVICES_SEEN_7D] = count_among(codes, DEVICES_FROM, CELLS_FROM, hours, edges[HOUR_7D])
    tallies[CELLS_SEEN_24H] = count_among(codes, CELLS_FROM, ZONES_FROM, hours, edges[HOUR_24H])
    tallies[CELLS_SEEN_7D] = count_among(codes, CELLS_FROM, ZONES_FROM, hours, edges[HOUR_7D])
    tallies[ZONES_SEEN_24H] = count_among(codes, ZONES_FROM, CODES, hours, edges[HOUR_24H])
    tally_days(past["days"], u8(edges[DAYS_KEPT]), tallies)
