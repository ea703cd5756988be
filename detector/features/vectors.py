"""Vectors: the sixty features of one number at one moment, from its tiles and sketches.

Training and serving call the same two functions, one for each form that has tiles. They read a
past and never change it. The as-of time is at or after the number's newest event, so that tiles
and stamps hold every window.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.features.catalogue import columns
from detector.features.entries import tally_usual
from detector.features.event import PEER_SLOTS
from detector.features.past import Past
from detector.features.sketches import (
    CELLS_SEEN_7D,
    CELLS_SEEN_24H,
    DEVICES_SEEN_7D,
    DEVICES_SEEN_24H,
    EDGES,
    EITHER_7D,
    EITHER_24H,
    IN_7D,
    IN_24H,
    OUT_1H,
    OUT_5M,
    OUT_7D,
    OUT_24H,
    PEERS,
    SPARE_SLOTS,
    TALLIES,
    THINGS,
    ZONES,
    ZONES_SEEN_24H,
    Edges,
    Tallies,
    repeat_share,
    tally_wide,
    write_edges,
)
from detector.features.tiles import (
    ANSWERED_O,
    BEGAN_I,
    BEGAN_O,
    CANCELLED_O,
    DAY_ANSWERED_O,
    DAY_BEGAN_I,
    DAY_BEGAN_O,
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
    PHASED_O,
    RISK_O,
    RISK_TALK_O,
    SHORT_O,
    SMS_I,
    SMS_O,
    SPAN_1H,
    SPAN_5M,
    SPAN_7D,
    SPAN_24H,
    TALK_O,
    TILES_7D,
    TILES_24H,
    UNATTESTED_O,
    i64,
)
from detector.features.windows import Sums, blank_sums, scale, sum_rings, window_start
from detector.jit import kernel
from detector.units import DAY_MS

CALLS_OUT_5M, CALLS_OUT_1H, CALLS_OUT_24H, CALLS_OUT_7D = columns("calls_out", "5m 1h 24h 7d")
CALLS_IN_24H, CALLS_IN_7D = columns("calls_in", "24h 7d")
SMS_OUT_5M, SMS_OUT_1H, SMS_OUT_24H, SMS_OUT_7D = columns("sms_out", "5m 1h 24h 7d")
SMS_IN_24H, SMS_IN_7D = columns("sms_in", "24h 7d")
DISTINCT_OUT_5M, DISTINCT_OUT_1H, DISTINCT_OUT_24H, DISTINCT_OUT_7D = columns("distinct_out", "5m 1h 24h 7d")
DISTINCT_SHARE_5M, DISTINCT_SHARE_1H, DISTINCT_SHARE_24H, DISTINCT_SHARE_7D = columns("distinct_share", "5m 1h 24h 7d")
(DISTINCT_IN_7D,) = columns("distinct_in", "7d")
RECIPROCITY_24H, RECIPROCITY_7D = columns("reciprocity", "24h 7d")
(REPEAT_PEERS_7D,) = columns("repeat_peers", "7d")
OUT_SHARE_24H, OUT_SHARE_7D = columns("out_share", "24h 7d")
SMS_IN_SHARE_24H, SMS_IN_SHARE_7D = columns("sms_in_share", "24h 7d")
(TALK_IN_SHARE_7D,) = columns("talk_in_share", "7d")
ANSWERED_SHARE_1H, ANSWERED_SHARE_24H, ANSWERED_SHARE_7D = columns("answered_share", "1h 24h 7d")
SHORT_SHARE_1H, SHORT_SHARE_24H, SHORT_SHARE_7D = columns("short_share", "1h 24h 7d")
CANCELLED_SHARE_5M, CANCELLED_SHARE_1H, CANCELLED_SHARE_24H = columns("cancelled_share", "5m 1h 24h")
FAILED_SHARE_1H, FAILED_SHARE_24H = columns("failed_share", "1h 24h")
(TALK_MEAN_24H,) = columns("talk_mean", "24h")
RISK_CALLS_5M, RISK_CALLS_1H, RISK_CALLS_24H = columns("risk_calls", "5m 1h 24h")
RISK_TALK_1H, RISK_TALK_24H = columns("risk_talk", "1h 24h")
(INTL_SHARE_24H,) = columns("intl_share", "24h")
(ZONES_24H,) = columns("zones", "24h")
(OPEN_CALLS_24H,) = columns("open_calls", "24h")
DEVICES_24H, DEVICES_7D = columns("devices", "24h 7d")
CELLS_24H, CELLS_7D = columns("cells", "24h 7d")
(ACTIVE_HOURS_24H,) = columns("active_hours", "24h")
(HOURS_OF_DAY_7D,) = columns("hours_of_day", "7d")
(ACTIVE_DAYS_7D,) = columns("active_days", "7d")
(RAMP_24H,) = columns("ramp", "24h")
(PEAK_HOUR_SHARE_24H,) = columns("peak_hour_share", "24h")
(NIGHT_SHARE_24H,) = columns("night_share", "24h")
(UNATTESTED_SHARE_24H,) = columns("unattested_share", "24h")

Vectors = npt.NDArray[np.float64]
"""f64[n, 60] in the order of the catalogue; NaN = cannot be known."""


class Reading(NamedTuple):
    """Scratch: what is read of one number before its features are written."""

    sums: Sums
    edges: Edges
    tallies: Tallies


def blank_reading() -> Reading:
    """Scratch for one kernel call."""
    return Reading(blank_sums(), np.zeros(EDGES, np.int64), np.zeros(TALLIES, np.int64))


_LEAST_SATURATED: Final = PEER_SLOTS - SPARE_SLOTS + 1


@kernel
def share(part: float, whole: float) -> float:
    """part / whole, at most 1 (a call may end in a window that it began before); NaN of nothing."""
    return min(part / whole, 1.0) if whole > 0 else np.nan


@kernel
def write_flows(as_of_ms: int, sums: Sums, out: Vectors) -> None:
    """out (f64[60], mutated): the counts, scaled, and the levels that need only sums."""
    scale_5m = scale(as_of_ms, SPAN_5M, HOP_5M)
    scale_1h = scale(as_of_ms, SPAN_1H, HOP_1H)
    scale_24h = scale(as_of_ms, SPAN_24H, HOP_24H)
    scale_7d = scale(as_of_ms, SPAN_7D, HOP_7D)
    hour, day, week = sums.ring_1h, sums.ring_24h, sums.ring_7d
    out[CALLS_OUT_5M] = sums.ring_5m[BEGAN_O] * scale_5m
    out[CALLS_OUT_1H] = hour[BEGAN_O] * scale_1h
    out[CALLS_OUT_24H] = day[BEGAN_O] * scale_24h
    out[CALLS_OUT_7D] = week[DAY_BEGAN_O] * scale_7d
    out[CALLS_IN_24H] = day[BEGAN_I] * scale_24h
    out[CALLS_IN_7D] = week[DAY_BEGAN_I] * scale_7d
    out[SMS_OUT_5M] = sums.ring_5m[SMS_O] * scale_5m
    out[SMS_OUT_1H] = hour[SMS_O] * scale_1h
    out[SMS_OUT_24H] = day[SMS_O] * scale_24h
    out[SMS_OUT_7D] = week[DAY_SMS_O] * scale_7d
    out[SMS_IN_24H] = day[SMS_I] * scale_24h
    out[SMS_IN_7D] = week[DAY_SMS_I] * scale_7d
    out[RISK_CALLS_5M] = sums.ring_5m[RISK_O] * scale_5m
    out[RISK_CALLS_1H] = hour[RISK_O] * scale_1h
    out[RISK_CALLS_24H] = day[RISK_O] * scale_24h
    out[RISK_TALK_1H] = sums.talk_1h[RISK_TALK_O] * scale_1h
    out[RISK_TALK_24H] = sums.talk_24h[RISK_TALK_O] * scale_24h
    out[OPEN_CALLS_24H] = max(day[BEGAN_O] - day[ENDED_O], 0) if day[PHASED_O] > 0 else np.nan
    # The week before starts where the 24 h window does, so the two never count the same tile.
    rest_ms = window_start(as_of_ms, SPAN_24H, HOP_24H) - window_start(as_of_ms, SPAN_7D, HOP_7D)
    rest = max(week[DAY_BEGAN_O] + week[DAY_SMS_O] - day[BEGAN_O] - day[SMS_O], 0)
    out[RAMP_24H] = ((day[BEGAN_O] + day[SMS_O]) * scale_24h + 1) / (rest * DAY_MS / rest_ms + 1)


@kernel
def write_shares(sums: Sums, out: Vectors) -> None:
    """out (f64[60], mutated): the shares that divide one sum by another of the same window."""
    brief, hour, day, week = sums.ring_5m, sums.ring_1h, sums.ring_24h, sums.ring_7d
    out[OUT_SHARE_24H] = share(day[BEGAN_O], day[BEGAN_O] + day[BEGAN_I])
    out[OUT_SHARE_7D] = share(week[DAY_BEGAN_O], week[DAY_BEGAN_O] + week[DAY_BEGAN_I])
    out[SMS_IN_SHARE_24H] = share(day[SMS_I], day[SMS_I] + day[SMS_O])
    out[SMS_IN_SHARE_7D] = share(week[DAY_SMS_I], week[DAY_SMS_I] + week[DAY_SMS_O])
    out[TALK_IN_SHARE_7D] = share(week[DAY_TALK_I], week[DAY_TALK_I] + week[DAY_TALK_O])
    out[ANSWERED_SHARE_1H] = share(hour[ANSWERED_O], hour[BEGAN_O])
    out[ANSWERED_SHARE_24H] = share(day[ANSWERED_O], day[BEGAN_O])
    out[ANSWERED_SHARE_7D] = share(week[DAY_ANSWERED_O], week[DAY_BEGAN_O])
    out[SHORT_SHARE_1H] = share(hour[SHORT_O], hour[ANSWERED_O])
    out[SHORT_SHARE_24H] = share(day[SHORT_O], day[ANSWERED_O])
    out[SHORT_SHARE_7D] = share(week[DAY_SHORT_O], week[DAY_ANSWERED_O])
    out[CANCELLED_SHARE_5M] = share(brief[CANCELLED_O], brief[BEGAN_O])
    out[CANCELLED_SHARE_1H] = share(hour[CANCELLED_O], hour[BEGAN_O])
    out[CANCELLED_SHARE_24H] = share(day[CANCELLED_O], day[BEGAN_O])
    out[FAILED_SHARE_1H] = share(hour[FAILED_O], hour[BEGAN_O])
    out[FAILED_SHARE_24H] = share(day[FAILED_O], day[BEGAN_O])
    answered = day[ANSWERED_O]
    out[TALK_MEAN_24H] = sums.talk_24h[TALK_O] / answered if answered > 0 else np.nan
    out[INTL_SHARE_24H] = share(day[INTL_O], day[BEGAN_O])
    out[NIGHT_SHARE_24H] = share(day[NIGHT_O], day[BEGAN_O] + day[SMS_O])
    out[UNATTESTED_SHARE_24H] = share(day[UNATTESTED_O], day[BEGAN_O])


@kernel
def write_rhythm(past: Past, as_of_ms: int, out: Vectors) -> None:
    """out (f64[60], mutated): which hours and days of its windows the number originated in."""
    newest_ms = past["newest_ms"]
    hours = past["tiles_24h"]
    newest = newest_ms // HOP_24H
    active, busiest, total = 0, 0, 0
    at = newest % TILES_24H
    for _ in range(max((as_of_ms - SPAN_24H) // HOP_24H, newest - TILES_24H + 1), newest + 1):
        outgoing = i64(hours[at, BEGAN_O]) + i64(hours[at, SMS_O])
        at = at - 1 if at > 0 else TILES_24H - 1
        active += outgoing > 0
        busiest = max(busiest, outgoing)
        total += outgoing
    out[ACTIVE_HOURS_24H] = min(active, SPAN_24H // HOP_24H)
    out[PEAK_HOUR_SHARE_24H] = share(busiest, total)
    days = past["tiles_7d"]
    newest = newest_ms // HOP_7D
    active, hours_seen = 0, 0
    at = newest % TILES_7D
    for _ in range(max((as_of_ms - SPAN_7D) // HOP_7D, newest - TILES_7D + 1), newest + 1):
        active += i64(days[at, DAY_BEGAN_O]) + i64(days[at, DAY_SMS_O]) > 0
        hours_seen |= i64(past["day_hours"][at])
        at = at - 1 if at > 0 else TILES_7D - 1
    out[ACTIVE_DAYS_7D] = min(active, SPAN_7D // HOP_7D)
    hours_of_day = 0
    for hour in range(24):
        hours_of_day += (hours_seen >> hour) & 1
    out[HOURS_OF_DAY_7D] = hours_of_day


@kernel
def distinct_share(seen: int, outgoing: int, shorter: float) -> float:
    """D / O from `seen` slots, `shorter` when they are saturated, NaN without traffic."""
    return shorter if seen >= _LEAST_SATURATED else share(PEERS[seen], outgoing)


@kernel
def known(value: float, otherwise: float) -> float:
    """`value` unless it is NaN."""
    return value if value == value else otherwise


@kernel
def reciprocity(seen_out: int, seen_in: int, seen_either: int) -> float:
    """The share of recipients who are originators too, by inclusion and exclusion; NaN if saturated or none."""
    if seen_out == 0 or seen_either >= _LEAST_SATURATED:
        return np.nan
    both: float = (PEERS[seen_out] + PEERS[seen_in] - PEERS[seen_either]) / PEERS[seen_out]
    return max(min(both, 1.0), 0.0)


@kernel
def write_sets(sums: Sums, tallies: Tallies, out: Vectors) -> None:
    """out (f64[60], mutated): what the sketches tell."""
    seen_5m, seen_1h, seen_24h, seen_7d = tallies[OUT_5M], tallies[OUT_1H], tallies[OUT_24H], tallies[OUT_7D]
    out[DISTINCT_OUT_5M] = PEERS[seen_5m]
    out[DISTINCT_OUT_1H] = PEERS[seen_1h]
    out[DISTINCT_OUT_24H] = PEERS[seen_24h]
    out[DISTINCT_OUT_7D] = PEERS[seen_7d]

    brief, hour, day, week = sums.ring_5m, sums.ring_1h, sums.ring_24h, sums.ring_7d
    share_5m = distinct_share(seen_5m, brief[BEGAN_O] + brief[SMS_O], 1.0)
    shorter = known(share_5m, 1.0)
    share_1h = distinct_share(seen_1h, hour[BEGAN_O] + hour[SMS_O], shorter)
    shorter = known(share_1h, shorter)
    share_24h = distinct_share(seen_24h, day[BEGAN_O] + day[SMS_O], shorter)
    shorter = known(share_24h, shorter)
    out[DISTINCT_SHARE_5M] = share_5m
    out[DISTINCT_SHARE_1H] = share_1h
    out[DISTINCT_SHARE_24H] = share_24h
    out[DISTINCT_SHARE_7D] = distinct_share(seen_7d, week[DAY_BEGAN_O] + week[DAY_SMS_O], shorter)

    out[DISTINCT_IN_7D] = PEERS[tallies[IN_7D]]
    out[RECIPROCITY_24H] = reciprocity(seen_24h, tallies[IN_24H], tallies[EITHER_24H])
    out[RECIPROCITY_7D] = reciprocity(seen_7d, tallies[IN_7D], tallies[EITHER_7D])
    out[REPEAT_PEERS_7D] = repeat_share(tallies)

    out[DEVICES_24H] = THINGS[tallies[DEVICES_SEEN_24H]]
    out[DEVICES_7D] = THINGS[tallies[DEVICES_SEEN_7D]]
    out[CELLS_24H] = THINGS[tallies[CELLS_SEEN_24H]]
    out[CELLS_7D] = THINGS[tallies[CELLS_SEEN_7D]]
    out[ZONES_24H] = ZONES[tallies[ZONES_SEEN_24H]]


@kernel
def write_read(past: Past, as_of_ms: int, reading: Reading, out: Vectors) -> None:
    """out (f64[60], written) = the features of a number whose `reading.tallies` are taken; its sums are scratch."""
    sums = reading.sums
    sum_rings(past, as_of_ms, sums)
    write_flows(as_of_ms, sums, out)
    write_shares(sums, out)
    write_rhythm(past, as_of_ms, out)
    write_sets(sums, reading.tallies, out)


@kernel
def write_usual_vector(past: Past, as_of_ms: int, reading: Reading, out: Vectors) -> None:
    """out (f64[60], written) = the features of a usual number at `as_of_ms`; `reading` is scratch."""
    write_edges(past["newest_ms"], as_of_ms, reading.edges)
    tally_usual(past, reading.edges, reading.tallies)
    write_read(past, as_of_ms, reading, out)


@kernel
def write_wide_vector(past: Past, as_of_ms: int, reading: Reading, out: Vectors) -> None:
    """out (f64[60], written) = the features of a wide number at `as_of_ms`; `reading` is scratch."""
    write_edges(past["newest_ms"], as_of_ms, reading.edges)
    tally_wide(past, reading.edges, reading.tallies)
    write_read(past, as_of_ms, reading, out)
