"""Columns of raw values -> arrays: words, times, lengths, hashes, each value parsed once.

Every parser here is total: it gives a value or a fault, whatever it is fed. What cannot be
used is marked in `Faults`, so that one bad record costs its neighbours nothing.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote
from zlib import crc32
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from detector.errors import Reason, Rejected
from detector.ingest.codec import Column
from detector.ingest.mapping import WORDS, Span, Time, Value, Word
from detector.records import Bools

V = TypeVar("V")
Floats = npt.NDArray[np.float64]
"""Milliseconds or seconds, one a record; NaN where nothing stands."""

MEMO_MOST: Final = 1 << 18
"""Values remembered by one memo: about 40 MB when full, and then it starts afresh."""
LONGEST: Final = 128
"""Characters of a text that is remembered: longer ones would let bad input fill the memory."""
LARGEST: Final = 10**40
"""So do integers, whose JSON may have 4,300 digits: from here on they are no longer remembered."""

MISSING: Final = -1
UNKNOWN_WORD: Final = -2


class Memo(dict[Any, V], Generic[V]):
    """What `parse` made of each value; `map(memo.__getitem__, column)` parses only what is new."""

    def __init__(self, parse: Callable[[Any], V]):
        super().__init__()
        self._parse = parse

    def __missing__(self, value: Any) -> V:
        parsed = self._parse(value)
        short = len(value) <= LONGEST if isinstance(value, str) else value is None or -LARGEST < value < LARGEST
        if short:
            if len(self) >= MEMO_MOST:
                self.clear()
            self[value] = parsed
        return parsed


class Faults:
    """The first thing wrong with each record of a batch."""

    def __init__(self, count: int):
        self.bad: Bools = np.zeros(count, np.bool_)
        self.found: dict[int, Rejected] = {}

    def mark(self, where: Bools, reason: Reason, wanted: str, got: Column | Floats | None = None) -> None:
        """Reject the records at `where` unless they are already; `got` is the column with what they have."""
        if not where.any():
            return
        for i in np.flatnonzero(where & ~self.bad).tolist():
            self.found[i] = Rejected(reason, f"{wanted} (got {'none' if got is None else shown(got[i])})")
        self.bad |= where


def shown(value: Any) -> str:
    """A value as a rejection shows it: short, whatever it is."""
    text = repr(value) if isinstance(value, str) else text_of(value) or "none"
    return text if len(text) <= 80 else text[:77] + "..."


def text_of(value: Any) -> str | None:
    """A value as text, None where there is none. Equal values give equal texts."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        value = int(value) if value.is_integer() else value
    if isinstance(value, int) and not -LARGEST < value < LARGEST:
        return "9" * 41  # too long for any use, and Python refuses to print really large ones
    return str(value).lower() if isinstance(value, bool) else str(value)


_SIP_USER: Final = re.compile(r"(?:sips?|tel):([^@;>\s]*)", re.IGNORECASE)


def sip_user(text: str) -> str:
    """The user part of a SIP or tel URI, of `user@host`, or the text itself."""
    found = _SIP_USER.search(text)
    return unquote(found.group(1)) if found else text.partition("@")[0].strip()


def raw_column(value: Value, columns: dict[str, Column], count: int) -> Column:
    """The raw values of a field: the first path with one, else the joined texts, else the constant."""
    paths = value.paths()
    if not paths and not value.join:
        return [value.const] * count
    column: Column = columns[paths[0]] if paths else [None] * count
    for path in paths[1:]:
        column = [b if a is None or a == "" else a for a, b in zip(column, columns[path], strict=True)]
    if value.join:
        pieces = [columns[path] for path in value.join]
        joined = ["|".join([text_of(piece) or "" for piece in row]) for row in zip(*pieces, strict=True)]
        if not paths:
            return joined
        column = [b if a is None or a == "" else a for a, b in zip(column, joined, strict=True)]
    if value.const is not None:
        column = [value.const if a is None or a == "" else a for a in column]
    return column


def extractor(value: Value, decode: bool) -> Callable[[Any], str | None]:
    """Raw value -> text: URL-decoding, SIP user and regex as the mapping says."""
    pattern = re.compile(value.regex) if value.regex else None
    user = value.sip_user

    def extract(raw: Any) -> str | None:
        text = text_of(raw)
        if text is None:
            return None
        if decode and "%" in text:
            text = unquote(text)
        if pattern is not None:
            found = pattern.search(text)
            text = (found.group(1) or "") if found else ""
        return sip_user(text) if user else text

    return extract


def word_parser(name: str, value: Word, decode: bool, absent: int) -> Callable[[Any], int]:
    """Raw value -> number of the word, `absent` where nothing stands, UNKNOWN_WORD for another."""
    extract, words = extractor(value, decode), WORDS[name]
    patterns = [(re.compile(pattern, re.IGNORECASE), words[word]) for pattern, word in value.map.items()]

    def parse(raw: Any) -> int:
        text = extract(raw)
        for pattern, word in patterns:
            if pattern.fullmatch(text or ""):
                return word
        if not text:
            return absent
        return UNKNOWN_WORD if patterns else words.get(text, UNKNOWN_WORD)

    return parse


_TRUE: Final = frozenset({"true", "yes", "1", "t", "y"})


def flag_parser(value: Value, decode: bool) -> Callable[[Any], bool]:
    """Raw value -> yes or no; nothing and every other text is no."""
    extract = extractor(value, decode)
    return lambda raw: (extract(raw) or "").strip().casefold() in _TRUE


def hash_parser(value: Value, decode: bool) -> Callable[[Any], int]:
    """Raw value -> CRC-32 of its text, 0 where nothing stands."""
    extract = extractor(value, decode)

    def parse(raw: Any) -> int:
        text = extract(raw)
        return (crc32(text.encode("utf-8", "replace")) or 1) if text else 0

    return parse


BAD: Final = math.inf
"""A time or length that cannot be read; NaN is one that is not there."""

MS_OF: Final = {"s": 1000.0, "ms": 1.0, "us": 0.001}
S_OF: Final = {"s": 1.0, "ms": 0.001, "us": 0.000001}
_PLAIN: Final = re.compile(r"\s*-?[0-9]{1,18}(\.[0-9]{1,12})?\s*", re.ASCII)


def _number(raw: Any) -> float:
    """A number or its text as a float, `BAD` for anything else, NaN for nothing."""
    if isinstance(raw, str):
        if not raw:
            return math.nan
        return float(raw) if _PLAIN.fullmatch(raw) else BAD
    if raw is None:
        return math.nan
    return float(raw) if isinstance(raw, int | float) and -1e18 < raw < 1e18 else BAD


def _float_column(parse: Callable[[Any], float], memo: Memo[float], column: Column, plain: bool) -> Floats:
    """The column as floats: numbers at once where `plain`, everything else value by value."""
    count = len(column)
    if plain and set(map(type, column)) <= {int, float, type(None)}:
        try:
            return np.array(column, np.float64)
        except OverflowError:
            return np.fromiter(map(parse, column), np.float64, count)
    return np.fromiter(map(memo.__getitem__, column), np.float64, count)


class TimeColumn:
    """Raw values -> UTC milliseconds, `BAD` or NaN."""

    def __init__(self, value: Time, decode: bool, utc_offset_minutes: int):
        self._value = value
        self._extract = extractor(value, decode)
        self._zone: tzinfo = ZoneInfo(value.zone) if value.zone else timezone(timedelta(minutes=utc_offset_minutes))
        self._factor = MS_OF[value.unit]
        self._plain = not (value.format or value.regex or value.sip_user)
        self._memo: Memo[float] = Memo(self._text_ms if value.format else self._number_of)

    def __call__(self, column: Column) -> Floats:
        values = _float_column(_number, self._memo, column, self._plain)
        if self._value.format:
            return values
        if self._value.zero == "is_absent":
            values = np.where(values == 0, np.nan, values)
        # Rounding undoes what the factor 0.001 of microseconds leaves behind the point.
        return np.floor(values * self._factor + 1e-6) + self._value.base_ms

    def _number_of(self, raw: Any) -> float:
        return _number(raw if isinstance(raw, int | float) else self._extract(raw))

    def _text_ms(self, raw: Any) -> float:
        text = (self._extract(raw) or "").strip()
        if not text or (text == "0" and self._value.zero == "is_absent"):
            return math.nan
        try:
            if self._value.format == "iso":
                moment = datetime.fromisoformat(text)
            else:
                moment = datetime.strptime(text, self._value.format)  # noqa: DTZ007  (the zone comes below)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=self._zone)
            elapsed = moment - _EPOCH
        except (ValueError, OverflowError):
            return BAD
        return float(elapsed // timedelta(milliseconds=1)) + self._value.base_ms


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SpanColumn:
    """Raw values -> seconds, `BAD` or NaN."""

    def __init__(self, value: Span, decode: bool):
        self._extract = extractor(value, decode)
        self._factor = S_OF[value.unit]
        self._plain = not (value.regex or value.sip_user)
        self._memo: Memo[float] = Memo(self._number_of)

    def __call__(self, column: Column) -> Floats:
        return _float_column(_number, self._memo, column, self._plain) * self._factor

    def _number_of(self, raw: Any) -> float:
        return _number(raw if isinstance(raw, int | float) else self._extract(raw))


def ints(memo: Memo[int], column: Sequence[Any]) -> npt.NDArray[np.int64]:
    """A column through a memo, as an array."""
    return np.fromiter(map(memo.__getitem__, column), np.int64, len(column))
