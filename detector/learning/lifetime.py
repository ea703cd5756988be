"""Lifetimes: what a number did over all of the traffic, in the thirteen measures of CALIBRATION's table.

records -> per number: volumes, strangers, repeats, hours, days, devices, messages

The table is of bills, so a call counts when it was answered and a message when it was sent; calls
count both ways, for whoever of the two is asked about. A device is known only where the number calls.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.learning.cdr import CALL, SMS, Outcome, Records
from detector.records import Bools, I64s, U64s
from detector.units import DAY_MS, HOUR_MS

Floats = npt.NDArray[np.float64]

MEASURES: Final = (
    "calls",
    "counterparties",
    "distinct_share",
    "outgoing_share",
    "devices",
    "mean_contacts",
    "most_contacts",
    "mean_duration_s",
    "median_duration_s",
    "hours",
    "days_of_month",
    "sms",
    "sms_received_share",
)
"""The columns, in the order of CALIBRATION's table; `mean_contacts`, `most_contacts`: calls with one counterparty."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """One row a number that had an answered call, ascending by number."""

    numbers: U64s
    values: Floats = field(repr=False)
    """A column for each of `MEASURES`; NaN where nothing is known (the share of no message)."""

    def of(self, measure: str) -> Floats:
        """One column."""
        column: Floats = self.values[:, MEASURES.index(measure)]
        return column


def lifetimes(records: Records, numbers: U64s) -> Lifetimes:
    """What each of `numbers` did in all of `records`; hours and days of the month are UTC."""
    asked = np.unique(numbers)
    size = len(asked)
    calls = records[(records["kind"] == CALL) & (records["outcome"] == Outcome.ANSWERED)]
    sender, recipient = _index(asked, calls["originator"]), _index(asked, calls["recipient"])
    out, received = np.flatnonzero(sender >= 0), np.flatnonzero(recipient >= 0)
    who = np.concatenate([sender[out], recipient[received]])
    other = np.concatenate([calls["recipient"][out], calls["originator"][received]])
    at = np.concatenate([out, received])
    total = np.bincount(who, minlength=size)
    alive = np.maximum(total, 1)
    pairs, contacts = np.unique(who * (1 << 32) + _code(other), return_counts=True)
    holder = pairs >> 32
    distinct = np.bincount(holder, minlength=size)
    most = np.zeros(size, dtype=np.int64)
    np.maximum.at(most, holder, contacts)
    start_ms, talk_s = calls["start_ms"][at], calls["duration_s"][at].astype(np.int64)
    hour = (start_ms // HOUR_MS) % 24
    values = np.full((size, len(MEASURES)), np.nan)
    columns: dict[str, Floats] = {
        "calls": total.astype(np.float64),
        "counterparties": distinct.astype(np.float64),
        "distinct_share": distinct / alive,
        "outgoing_share": np.bincount(sender[out], minlength=size) / alive,
        "devices": _devices(sender[out], calls["device"][out], size),
        "mean_contacts": total / np.maximum(distinct, 1),
        "most_contacts": most.astype(np.float64),
        "mean_duration_s": np.bincount(who, talk_s, minlength=size) / alive,
        "median_duration_s": _medians(who, talk_s, total),
        "hours": _distinct(who, hour, size),
        "days_of_month": _distinct(who, _day_of_month(start_ms), size),
    }
    messages = records[(records["kind"] == SMS) & (records["outcome"] == Outcome.SENT)]
    sent = _count(_index(asked, messages["originator"]), size)
    got = _count(_index(asked, messages["recipient"]), size)
    columns["sms"] = (sent + got).astype(np.float64)
    columns["sms_received_share"] = np.where(sent + got > 0, got / np.maximum(sent + got, 1), np.nan)
    for column, measure in enumerate(MEASURES):
        values[:, column] = columns[measure]
    return Lifetimes(asked[total > 0], values[total > 0])


def _index(asked: U64s, numbers: U64s) -> I64s:
    """The place of each number in `asked` (ascending), -1 where nobody asked."""
    at = np.minimum(np.searchsorted(asked, numbers), len(asked) - 1)
    return np.where(asked[at] == numbers, at, -1)


def _code(numbers: U64s) -> I64s:
    """Small integers that stand for numbers, equal for equal numbers."""
    _, inverse = np.unique(numbers, return_inverse=True)
    return inverse.astype(np.int64)


def _count(index: I64s, size: int) -> I64s:
    return np.bincount(index[index >= 0], minlength=size)


def _distinct(who: I64s, value: I64s, size: int) -> Floats:
    """How many different values (0 to 63) each has."""
    seen = np.zeros((size, 64), dtype=bool)
    seen[who, value] = True
    counted: Floats = seen.sum(axis=1).astype(np.float64)
    return counted


def _devices(who: I64s, devices: U64s, size: int) -> Floats:
    known = devices > 0
    pairs = np.unique(who[known] * (1 << 32) + _code(devices[known]))
    counted = np.bincount(pairs >> 32, minlength=size).astype(np.float64)
    return np.where(counted > 0, counted, np.nan)


def _medians(who: I64s, values: I64s, total: I64s) -> Floats:
    """The lower and upper median's mean of each; NaN of nothing."""
    ordered = np.sort(who * (1 << 32) + values) & ((1 << 32) - 1)
    first = np.cumsum(total) - total
    last = max(len(ordered) - 1, 0)
    low = ordered[np.minimum(first + (total - 1).clip(0) // 2, last)] if len(ordered) else np.zeros(len(total))
    high = ordered[np.minimum(first + total // 2, last)] if len(ordered) else np.zeros(len(total))
    return np.where(total > 0, (low + high) / 2, np.nan)


def _day_of_month(ms: I64s) -> I64s:
    days = (ms // DAY_MS).astype("datetime64[D]")
    days_before: I64s = (days - days.astype("datetime64[M]")).astype(np.int64)
    return days_before


def auc(positive: Bools, values: Floats) -> float:
    """Chance that a positive's value is above another's, half of it where both are equal."""
    _, rank, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count - 1) / 2
    ones = int(positive.sum())
    above = float(middle[rank][positive].sum()) - ones * (ones + 1) / 2
    return above / (ones * (len(positive) - ones))
