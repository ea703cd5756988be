"""Spans -> times and lengths: the plain ways of writing them, in kernels.

A value that is not there is NaN; one that only `columns` can read, or nobody, is infinite.
"""

from typing import Final

import numpy as np

from detector.ingest.bytewise import Octets
from detector.ingest.spans import LENGTH_MASK, START_BITS, START_MASK
from detector.jit import kernel
from detector.units import DAY_MS, MINUTE_MS

_POWERS: Final = 10.0 ** np.arange(16)
_MONTHS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


@kernel
def read_real(buffer: Octets, span: int) -> float:
    """The number that a span writes: at most 18 digits, or 15 with a point among them."""
    if span == 0:
        return np.nan
    at = span & START_MASK
    end = at + (span >> START_BITS & LENGTH_MASK)
    if at == end:
        return np.nan
    begin = at
    value = np.int64(0)
    point = end
    while at < end:
        mark = np.int64(buffer[at]) - 48
        if 0 <= mark <= 9:
            if at - begin >= 18:
                return np.inf
            value = value * 10 + mark
        elif mark == -2 and at > begin and point == end:
            point = at
        else:
            return np.inf
        at += 1
    if point == end:
        return float(value)
    behind = end - point - 1
    # Up to 15 digits and the power are exact, and division rounds just once, as reading the text does.
    if behind < 1 or behind > 12 or end - begin > 16:
        return np.inf
    scaled: float = value / _POWERS[behind]
    return scaled


@kernel
def _digits(buffer: Octets, at: int, count: int) -> np.int64:
    """The number of `count` digits, below zero where there are others."""
    value = np.int64(0)
    for i in range(at, at + count):
        digit = np.int64(buffer[i]) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1_000_000)
        value = value * 10 + digit
    return value


@kernel
def read_iso(buffer: Octets, span: int, offset_ms: int) -> float:
    """UTC milliseconds of `YYYY-MM-DD hh:mm:ss`, with T and a fraction of 3 or 6 digits and a zone where they stand.

    `offset_ms`: what a text without a zone is ahead of UTC.
    """
    if span == 0:
        return np.nan
    at = span & START_MASK
    length = span >> START_BITS & LENGTH_MASK
    if length == 0:
        return np.nan
    if (
        length < 19
        or buffer[at + 4] != 45
        or buffer[at + 7] != 45
        or (buffer[at + 10] != 32 and buffer[at + 10] != 84)
        or buffer[at + 13] != 58
        or buffer[at + 16] != 58
    ):
        return np.inf
    year = _digits(buffer, at, 4)
    month = _digits(buffer, at + 5, 2)
    day = _digits(buffer, at + 8, 2)
    hour = _digits(buffer, at + 11, 2)
    minute = _digits(buffer, at + 14, 2)
    second = _digits(buffer, at + 17, 2)
    if year < 1600 or month < 1 or month > 12 or day < 1 or hour < 0 or minute < 0 or second < 0:
        return np.inf
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if day > _MONTHS[month] + (1 if leap and month == 2 else 0) or hour > 23 or minute > 59 or second > 59:
        return np.inf
    end = at + length
    at += 19
    part = np.int64(0)
    if at < end and buffer[at] == 46:
        digits = 3
        if at + 7 <= end and 48 <= buffer[at + 4] <= 57:
            digits = 6
        if at + 1 + digits > end:
            return np.inf
        part = _digits(buffer, at + 1, digits)
        if part < 0:
            return np.inf
        if digits == 6:
            part //= 1000
        at += 1 + digits
    if at < end:
        if buffer[at] == 90:
            offset_ms = 0
            at += 1
        elif (buffer[at] == 43 or buffer[at] == 45) and at + 6 == end and buffer[at + 3] == 58:
            hours = _digits(buffer, at + 1, 2)
            minutes = _digits(buffer, at + 4, 2)
            if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
                return np.inf
            ahead_ms = (hours * 60 + minutes) * MINUTE_MS
            part += ahead_ms if buffer[at] == 45 else -ahead_ms
            offset_ms = 0
            at += 6
        if at != end:
            return np.inf
    # Days since 1970 of the proleptic Gregorian calendar, years beginning in March.
    shifted = year - 1 if month <= 2 else year
    days = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400
    days += (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719_468
    return float(days * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000 + part - offset_ms)
