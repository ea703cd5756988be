"""The naive oracle: what state and features mean, in plain Python over a list of rows.

Nothing is kept but the rows that counted; every feature is computed anew from all of them. It is
slow, and there is no cleverness in it to be wrong about: the fast path must equal it.
"""

from collections.abc import Iterable, Iterator
from math import ceil, exp, log, nan
from typing import Any

import numpy as np

from detector.features.catalogue import NAMES
from detector.features.state import Status
from detector.records import UNKNOWN_DURATION, Flag, Kind, Role, Rows, mix64

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SPANS = {"5m": 5 * MINUTE, "1h": HOUR, "24h": DAY, "7d": 7 * DAY}
HOPS = {"5m": MINUTE, "1h": 5 * MINUTE, "24h": HOUR, "7d": DAY}
SLOTS = {"other": 1024, "device": 128, "cell": 128, "zone": 64}

Row = dict[str, int]


class NaiveState:
    """The rows that counted, of each number."""

    def __init__(self, utc_offset_minutes: int = 0, most_numbers: int = 0, line_share: int = 32) -> None:
        self.utc_offset_ms = utc_offset_minutes * MINUTE
        self.most_numbers = most_numbers
        self.line_share = line_share
        self.line: list[tuple[int, int]] = []
        self.evicted = 0
        self.counted: dict[int, list[Row]] = {}
        self.known: dict[int, list[tuple[int, int, int]]] = {}

    def newest(self, number: int) -> int:
        """The newest event time seen of `number`, 0 if none."""
        return max((row["event_ms"] for row in self.counted.get(number, [])), default=0)

    def update(self, row: Row) -> Status:
        """Take one row, in log order."""
        if row["kind"] not in (Kind.CALL, Kind.SMS) or row["flags"] & Flag.EMERGENCY or not row["number"]:
            return Status.IGNORED
        number, key = row["number"], (row["record_id"], row["role"])
        if number not in self.counted and len(self.counted) == self.most_numbers > 0:
            self.evict()
        oldest_day = self.newest(number) // DAY - 7
        if row["event_ms"] // DAY < oldest_day:
            return Status.LATE
        if key in {(record, role) for record, role, day in self.known.get(number, [])[-16:] if day >= oldest_day}:
            return Status.DUPLICATE
        self.known.setdefault(number, []).append((*key, row["event_ms"] // DAY))
        self.counted.setdefault(number, []).append(row)
        return Status.COUNTED

    def evict(self) -> None:
        """The first in line that was not seen since goes; nobody left in it: those silent longest stand in line."""
        while True:
            while self.line:
                number, newest_ms = self.line.pop(0)
                if number in self.counted and self.newest(number) == newest_ms:
                    del self.counted[number], self.known[number]
                    self.evicted += 1
                    return
            silent = sorted((self.newest(number), number) for number in self.counted)
            length = ceil(self.most_numbers / self.line_share)
            self.line = [(number, newest_ms) for newest_ms, number in silent[:length]]

    def vector(self, number: int, as_of_ms: int | None = None) -> list[float]:
        """The features of `number` in the catalogue's order."""
        as_of_ms = max(self.newest(number), as_of_ms or 0)
        features = naive_features(self.counted.get(number, []), as_of_ms, self.utc_offset_ms)
        assert features.keys() == set(NAMES)
        return [features[name] for name in NAMES]

    def own_blocks(self, number: int) -> int:
        """Attempts of the 24 h window that our own enforcement rejected."""
        since = oldest_edge(self.newest(number), "24h")
        rows = self.counted.get(number, [])
        return sum(1 for row in rows if row["flags"] & Flag.OWN_BLOCK and row["event_ms"] >= since)


def rows_of(rows: Rows) -> Iterator[Row]:
    """Each row as a dictionary of plain integers."""
    names = rows.dtype.names or ()
    for row in rows.tolist():
        yield dict(zip(names, row, strict=True))


def oldest_edge(as_of_ms: int, window: str) -> int:
    """Where the window that ends at `as_of_ms` begins."""
    return (as_of_ms - SPANS[window]) // HOPS[window] * HOPS[window]


def share(part: float, whole: float) -> float:
    """part / whole, at most 1, NaN of nothing."""
    return min(part / whole, 1.0) if whole else nan


def slots_of(rows: Iterable[Row], field: str) -> set[int]:
    """The slots that the values of `field` fall into; 0 is no value."""
    values = np.array([row[field] for row in rows if row[field]], np.uint64)
    return {int(slot) % SLOTS[field] for slot in mix64(values)}


def estimate(slots: set[int], field: str) -> float:
    """The number of distinct values that filled `slots`."""
    free = max(SLOTS[field] - len(slots), 0.5)
    return float(round(-SLOTS[field] * log(free / SLOTS[field])))


def saturated(slots: set[int]) -> bool:
    """Whether so few slots are free that counting has lost its grip."""
    return 1024 - len(slots) < 16


def is_short(row: Row) -> bool:
    """An answered call that ended within six seconds, told by the row that ended it."""
    flags, talk_s = row["flags"], row["duration_s"]
    whole = bool(flags & Flag.ENDED) and not flags & Flag.INTERIM and talk_s < 6
    return whole and (bool(flags & Flag.ANSWERED) or talk_s > 0)


def repeat_peers(by_day: dict[int, set[int]]) -> float:
    """Peers met on two days or more, given the slots met on each day: all peers less those of a single day.

    Of the slots not met on other days, those met on day d are a sketch of their own, in which
    as many slots are free as in the whole; it counts the peers of that day alone.
    """
    met = set().union(*by_day.values())
    if not met or saturated(met):
        return nan
    free = 1024 - len(met)
    singles = 0.0
    for day, slots in by_day.items():
        alone = slots - set().union(*(other for d, other in by_day.items() if d != day))
        singles += 1024 * log((len(alone) + free) / free)
    peers = 1024 * log(1024 / free)
    assert abs(1024 * exp(-peers / 1024) - free) < 1e-6
    return min(max(1 - singles / peers, 0.0), 1.0)


def naive_features(rows: list[Row], as_of_ms: int, utc_offset_ms: int) -> dict[str, float]:
    """Every feature of one number by name, from the rows that counted."""
    traffic = [row for row in rows if not row["flags"] & Flag.OWN_BLOCK]
    out: dict[str, float] = {}
    shorter_share = 1.0
    outgoing: dict[str, list[Row]] = {}
    for window, span in SPANS.items():
        since = oldest_edge(as_of_ms, window)
        rate = span / (as_of_ms - since)
        recent = [row for row in traffic if row["event_ms"] >= since]
        sent = [row for row in recent if row["role"] == Role.FROM]
        got = [row for row in recent if row["role"] == Role.TO]
        calls = [row for row in sent if row["kind"] == Kind.CALL]

        def having(among: list[Row], flag: Flag) -> int:
            return sum(1 for row in among if row["flags"] & flag)

        def began(among: list[Row]) -> list[Row]:
            return [row for row in among if row["flags"] & Flag.BEGAN]

        def talk(among: list[Row]) -> int:
            spoken = [row["duration_s"] for row in among if row["kind"] == Kind.CALL]
            return sum(duration for duration in spoken if duration != UNKNOWN_DURATION)

        began_o = having(calls, Flag.BEGAN)
        sms_o = len(began([row for row in sent if row["kind"] == Kind.SMS]))
        began_i = len(began([row for row in got if row["kind"] == Kind.CALL]))
        sms_i = len(began([row for row in got if row["kind"] == Kind.SMS]))
        answered = having(calls, Flag.ANSWERED)
        outgoing[window] = began(sent)
        risky = [row for row in calls if row["flags"] & Flag.RISK]
        recipients = slots_of(began(sent), "other")
        originators = slots_of(began(got), "other")

        of_window: dict[str, float] = {
            "calls_out": began_o * rate,
            "calls_in": began_i * rate,
            "sms_out": sms_o * rate,
            "sms_in": sms_i * rate,
            "distinct_out": estimate(recipients, "other"),
            "distinct_in": estimate(originators, "other"),
            "out_share": share(began_o, began_o + began_i),
            "sms_in_share": share(sms_i, sms_i + sms_o),
            "talk_in_share": share(talk(got), talk(got) + talk(sent)),
            "answered_share": share(answered, began_o),
            "short_share": share(sum(map(is_short, calls)), answered),
            "cancelled_share": share(having(calls, Flag.CANCELLED), began_o),
            "failed_share": share(having(calls, Flag.FAILED), began_o),
            "talk_mean": talk(calls) / answered if answered else nan,
            "risk_calls": len(began(risky)) * rate,
            "risk_talk": talk(risky) * rate,
            "intl_share": share(having(began(calls), Flag.INTERNATIONAL), began_o),
            "zones": estimate(slots_of(began(sent), "zone"), "zone"),
            "devices": estimate(slots_of(sent, "device"), "device"),
            "cells": estimate(slots_of(sent, "cell"), "cell"),
            "unattested_share": share(having(began(calls), Flag.UNATTESTED), began_o),
        }
        if saturated(recipients):
            of_window["distinct_share"] = shorter_share
        else:
            of_window["distinct_share"] = share(of_window["distinct_out"], began_o + sms_o)
            if began_o + sms_o:
                shorter_share = of_window["distinct_share"]
        of_window["reciprocity"] = nan
        if recipients and not saturated(recipients | originators):
            both = estimate(recipients, "other") + estimate(originators, "other")
            both -= estimate(recipients | originators, "other")
            of_window["reciprocity"] = min(max(both / estimate(recipients, "other"), 0.0), 1.0)
        phased = [row for row in calls if bool(row["flags"] & Flag.BEGAN) != bool(row["flags"] & Flag.ENDED)]
        of_window["open_calls"] = max(0, began_o - having(calls, Flag.ENDED)) if phased else nan
        out |= {f"{measure}_{window}": value for measure, value in of_window.items()}

    def epochs(among: list[Row], step_ms: int, offset_ms: int = 0) -> list[int]:
        return [(row["event_ms"] + offset_ms) // step_ms for row in among]

    day, week = outgoing["24h"], outgoing["7d"]
    hours = epochs(day, HOUR)
    local_hours = [hour % 24 for hour in epochs(week, HOUR, utc_offset_ms)]
    night = [hour % 24 < 6 for hour in epochs(day, HOUR, utc_offset_ms)]
    by_day: dict[int, set[int]] = {}
    for row in week:
        by_day.setdefault(row["event_ms"] // DAY, set()).update(slots_of([row], "other"))
    rest_days = (oldest_edge(as_of_ms, "24h") - oldest_edge(as_of_ms, "7d")) / DAY
    out["repeat_peers_7d"] = repeat_peers(by_day) if by_day else nan
    out["active_hours_24h"] = min(len(set(hours)), 24)
    out["hours_of_day_7d"] = len(set(local_hours))
    out["active_days_7d"] = min(len(set(epochs(week, DAY))), 7)
    rate = DAY / (as_of_ms - oldest_edge(as_of_ms, "24h"))
    out["ramp_24h"] = (len(day) * rate + 1) / ((len(week) - len(day)) / rest_days + 1)
    out["peak_hour_share_24h"] = share(max((hours.count(hour) for hour in hours), default=0), len(day))
    out["night_share_24h"] = share(sum(night), len(day))
    return {name: out[name] for name in NAMES}


def naive_updates(
    rows: Rows, utc_offset_minutes: int = 0, most_numbers: int = 0, line_share: int = 32
) -> tuple[NaiveState, list[Status], list[list[float]]]:
    """The state after `rows`, the status of each, and the vector right after each that counted."""
    state = NaiveState(utc_offset_minutes, most_numbers, line_share)
    statuses, vectors = [], []
    row: Any
    for row in rows_of(rows):
        statuses.append(state.update(row))
        if statuses[-1] is Status.COUNTED and not row["flags"] & Flag.OWN_BLOCK:
            vectors.append(state.vector(row["number"]))
    return state, statuses, vectors
