"""Forms: a number is promoted when its form no longer holds it, and returns when little is left.

    quiet --promote--> usual --widen--> wide
    quiet <--retire--- usual <--narrow-- wide      when a new day has begun

Nothing is lost on the way: counters are copied, and sketches are slots and stamps in either form.
What a number comes to be is a function of its rows alone, like all of the state.
"""

from typing import Any, Final

from detector.features.entries import (
    CELLS_FROM,
    DEVICES_FROM,
    ZONES_FROM,
    has_room,
    note_usual,
)
from detector.features.event import PEER_SLOTS, THING_SLOTS, ZONE_SLOTS, Words, minute_of, talk_of
from detector.features.past import DEDUPE_WINDOW, SEEN_MOST, Past
from detector.features.quiet import LONGEST_TALK_S, held_events, is_late
from detector.features.sketches import note_wide
from detector.features.steps import Steps, advance_rings, count_tiles, is_own_block
from detector.features.tiles import (
    DAY_ROWS,
    DAY_TALK_I,
    DAY_TALK_O,
    HOP_7D,
    HOP_24H,
    ROWS,
    TILES_7D,
    TILES_24H,
    U8_MAX,
    U16_MAX,
    U32_MAX,
    i64,
)
from detector.jit import kernel
from detector.units import DAY_MS, MINUTE_MS

RETIRED_EVENTS: Final = 6
"""A number that is left with so few events becomes quiet: about half of what promotes it, so that it does not waver."""
NARROW_ENTRIES: Final = SEEN_MOST // 2
NARROW_ROWS: Final = U8_MAX // 2
NARROW_SUM: Final = U16_MAX // 2
"""A wide number narrows when half of what a usual one holds is enough."""


@kernel
def remember(past: Past, words: Words) -> None:
    """Put an event in the place of the oldest of the last ones (`past`, usual or wide, is mutated)."""
    at = i64(past["recent_next"])
    past["recent"][at, 0], past["recent"][at, 1] = words[0], words[1]
    past["recent_next"] = (at + 1) % DEDUPE_WINDOW


@kernel
def forget_recent(past: Past, newest_ms: int, event_ms: int) -> None:
    """Drop those of the last events (`past` is mutated) that are too old when `event_ms` is the newest time."""
    recent = past["recent"]
    for i in range(DEDUPE_WINDOW):
        if recent[i, 0] != 0 and is_late(event_ms, minute_of(recent[i, 1], newest_ms) * MINUTE_MS):
            recent[i, 0], recent[i, 1] = 0, 0


@kernel
def advance(past: Past, event_ms: int) -> int:
    """Move a usual or wide number's newest time to `event_ms`, if later (`past` is mutated).

    Returns the days that begin: its sets are still to be aged by as many.
    """
    newest_ms = past["newest_ms"]
    if event_ms <= newest_ms:
        return 0
    past["newest_ms"] = event_ms
    advance_rings(past, newest_ms, event_ms)
    days: int = event_ms // DAY_MS - newest_ms // DAY_MS
    if days > 0:
        forget_recent(past, newest_ms, event_ms)
    return days


@kernel
def count_usual(past: Past, words: Words, event_ms: int, utc_offset_ms: int, steps: Steps) -> None:
    """Count an event that fits (`past` is mutated; `steps` is scratch)."""
    remember(past, words)
    count_tiles(past, words, event_ms, utc_offset_ms, U8_MAX, U16_MAX, steps)
    if not is_own_block(words[1]):
        note_usual(past, words[1], event_ms)


@kernel
def count_wide(past: Past, words: Words, event_ms: int, utc_offset_ms: int, steps: Steps) -> None:
    """Count an event (`past` is mutated; `steps` is scratch)."""
    remember(past, words)
    count_tiles(past, words, event_ms, utc_offset_ms, U16_MAX, U32_MAX, steps)
    if not is_own_block(words[1]):
        note_wide(past, words[1], event_ms)


@kernel
def fits_usual(past: Past, words: Words, event_ms: int) -> bool:
    """Whether a usual number holds one more event without loss: no counter of its is above these."""
    hour = past["tiles_24h"][event_ms // HOP_24H % TILES_24H]
    day = past["tiles_7d"][event_ms // HOP_7D % TILES_7D]
    talk_s = max(i64(day[DAY_TALK_O]), i64(day[DAY_TALK_I])) + talk_of(words[0])
    return i64(hour[ROWS]) < U8_MAX and i64(day[DAY_ROWS]) < U16_MAX and talk_s <= U16_MAX and has_room(past)


@kernel
def promote(quiet: Past, usual: Past, utc_offset_ms: int, words: Words, steps: Steps) -> None:
    """`usual` (blank, mutated) holds what `quiet` does. `words`, `steps`: scratch."""
    usual["number"] = quiet["number"]
    newest_ms = quiet["newest_ms"]
    usual["newest_ms"] = newest_ms
    events = quiet["events"]
    for i in range(held_events(quiet)):
        words[0], words[1] = events[i, 0], events[i, 1]
        count_usual(usual, words, minute_of(words[1], newest_ms) * MINUTE_MS, utc_offset_ms, steps)


@kernel
def is_retired(usual: Past) -> bool:
    """Whether the last events of a usual number are all that it holds, and few enough to be quiet."""
    rows = 0
    for day in range(TILES_7D):
        rows += i64(usual["tiles_7d"][day, DAY_ROWS])
    if rows > RETIRED_EVENTS:
        return False
    recent = usual["recent"]
    known = 0
    for i in range(DEDUPE_WINDOW):
        known += recent[i, 0] != 0
        if talk_of(recent[i, 0]) > LONGEST_TALK_S:
            return False
    return known == rows


@kernel
def retire(usual: Past, quiet: Past) -> None:
    """`quiet` (blank, mutated) holds what `usual`, which is retired, does."""
    quiet["number"] = usual["number"]
    quiet["newest_ms"] = usual["newest_ms"]
    recent, events = usual["recent"], quiet["events"]
    oldest = i64(usual["recent_next"])
    held = 0
    for i in range(DEDUPE_WINDOW):
        at = (oldest + i) % DEDUPE_WINDOW
        if recent[at, 0] != 0:
            events[held, 0], events[held, 1] = recent[at, 0], recent[at, 1]
            held += 1


@kernel
def copy_ring(source: Any, target: Any) -> None:
    """`target` (mutated) holds the counters of `source`, in another width."""
    for tile in range(source.shape[0]):
        for column in range(source.shape[1]):
            target[tile, column] = source[tile, column]


@kernel
def copy_counters(source: Past, target: Past) -> None:
    """`target` (mutated) holds all of `source` but its sets."""
    target["number"] = source["number"]
    target["newest_ms"] = source["newest_ms"]
    target["recent_next"] = source["recent_next"]
    copy_ring(source["recent"], target["recent"])
    for day in range(TILES_7D):
        target["day_hours"][day] = source["day_hours"][day]
    copy_ring(source["tiles_5m"], target["tiles_5m"])
    copy_ring(source["tiles_1h"], target["tiles_1h"])
    copy_ring(source["tiles_24h"], target["tiles_24h"])
    copy_ring(source["talk_1h"], target["talk_1h"])
    copy_ring(source["talk_24h"], target["talk_24h"])
    copy_ring(source["tiles_7d"], target["tiles_7d"])


@kernel
def widen(usual: Past, wide: Past) -> None:
    """`wide` (blank, mutated) holds what `usual` does."""
    copy_counters(usual, wide)
    for i in range(i64(usual["held"])):
        slot = i64(usual["codes"][i]) - 1
        hour = usual["hours"][i]
        if slot < DEVICES_FROM:
            wide["peers_out"][slot] = usual["minutes"][i]
            wide["peers_in"][slot] = hour
            wide["peer_days"][slot] = usual["days"][i]
        elif slot < CELLS_FROM:
            wide["devices"][slot - DEVICES_FROM] = hour
        elif slot < ZONES_FROM:
            wide["cells"][slot - CELLS_FROM] = hour
        else:
            wide["zones"][slot - ZONES_FROM] = hour


@kernel
def is_narrow(wide: Past) -> bool:
    """Whether half of what a usual number holds is enough."""
    for day in range(TILES_7D):
        tile = wide["tiles_7d"][day]
        if max(i64(tile[DAY_ROWS]), i64(tile[DAY_TALK_O]), i64(tile[DAY_TALK_I])) > NARROW_SUM:
            return False
    for hour in range(TILES_24H):
        if wide["tiles_24h"][hour, ROWS] > NARROW_ROWS:
            return False
    held = 0
    for i in range(PEER_SLOTS):
        held += (i64(wide["peers_out"][i]) | i64(wide["peers_in"][i]) | i64(wide["peer_days"][i])) != 0
    for i in range(THING_SLOTS):
        held += wide["devices"][i] != 0
        held += wide["cells"][i] != 0
    for i in range(ZONE_SLOTS):
        held += wide["zones"][i] != 0
    return held <= NARROW_ENTRIES


@kernel
def add_things(stamps: Any, first: int, usual: Past) -> None:
    """The slots in use of a sketch of devices, cells or zones become entries (`usual` is mutated)."""
    for i in range(len(stamps)):
        if stamps[i] != 0:
            held = i64(usual["held"])
            usual["codes"][held] = 1 + first + i
            usual["hours"][held] = stamps[i]
            usual["held"] = held + 1


@kernel
def narrow(wide: Past, usual: Past) -> None:
    """`usual` (blank, mutated) holds what `wide`, which is narrow, does."""
    copy_counters(wide, usual)
    held = 0
    for i in range(PEER_SLOTS):
        minute, hour, mask = i64(wide["peers_out"][i]), i64(wide["peers_in"][i]), i64(wide["peer_days"][i])
        if minute | hour | mask:
            usual["codes"][held] = 1 + i
            usual["minutes"][held], usual["hours"][held], usual["days"][held] = minute, hour, mask
            held += 1
    usual["held"] = held
    add_things(wide["devices"], DEVICES_FROM, usual)
    add_things(wide["cells"], CELLS_FROM, usual)
    add_things(wide["zones"], ZONES_FROM, usual)
