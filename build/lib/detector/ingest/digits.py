"""Spans -> numbers: plain E.164 digits in a kernel, every other way of writing a number through `texts`.

    +447700900123, %2B447700900123 (where texts are URL-encoded), 00447700900123, 447700900123

What zone and traits a number has follows from its first digits alone. So the table of zones, our own
prefixes and the calling codes together cut all numbers into ranges, each of which is asked about once.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from detector.config import Home
from detector.ingest.bytewise import Octets
from detector.ingest.mapping import Numbers
from detector.ingest.numbers import FIRST as KNOWN
from detector.ingest.spans import LENGTH_MASK, START_BITS, START_MASK
from detector.ingest.texts import NONE, Texts, entry_of
from detector.jit import kernel
from detector.records import BODY_BITS, TRUNK_BITS, I64s, NumberKind, U64s

MOST_DIGITS: Final = 15
_PLUS: Final = ord("+")
_PERCENT: Final = ord("%")
_ZERO: Final = ord("0")
_LEAD: Final = 3
"""Digits by which a range is looked up; calling codes have no more."""
_POWERS: Final = 10 ** np.arange(MOST_DIGITS + 1, dtype=np.int64)
_E164: Final = np.uint64(NumberKind.E164 << (BODY_BITS + TRUNK_BITS))

PLAIN: Final = -2
"""In place of an entry: the number was read by the kernel, which has written all there is to know of it."""


class Ranges(NamedTuple):
    """What every E.164 number of at least `least` digits is, by ranges of numbers padded to fifteen digits."""

    first: I64s
    """The first range of each three leading digits, and of 1000."""
    start: I64s
    facts: I64s
    """Of each range, as `number_facts` puts them together."""
    least: int
    """Digits: shorter ones may be short of a prefix, or be an emergency number behind the home's calling code."""


def number_facts(state: int, zone: int, traits: int) -> int:
    """`zone (16 bits) | traits (8 bits) | state (8 bits)`."""
    return zone << 16 | traits << 8 | state


def ranges(home: Home, prefixes: list[str], facts: Callable[[str], tuple[int, int]]) -> Ranges:
    """The ranges that `prefixes` cut; `facts` gives zone and traits of a number's digits."""
    used = [text for text in (*prefixes, home.country_code) if text.isdecimal() and len(text) <= MOST_DIGITS]
    cuts = {lead * 10 ** (MOST_DIGITS - _LEAD) for lead in range(100, 1000)}
    for prefix in used:
        unit = 10 ** (MOST_DIGITS - len(prefix))
        cuts |= {int(prefix) * unit, (int(prefix) + 1) * unit}
    starts = sorted(cut for cut in cuts if 10 ** (MOST_DIGITS - 1) <= cut < 10**MOST_DIGITS)
    known = [facts(str(start)) for start in starts]
    bounds = np.arange(1001, dtype=np.int64) * 10 ** (MOST_DIGITS - _LEAD)
    emergency = max((len(home.country_code) + len(digits) for digits in home.emergency), default=0)
    return Ranges(
        first=np.searchsorted(np.array(starts, np.int64), bounds).astype(np.int64),
        start=np.array([*starts, 10**MOST_DIGITS], np.int64),
        facts=np.array([number_facts(KNOWN, *fact) for fact in known], np.int64),
        least=max(4, *(len(prefix) for prefix in used), emergency + 1),
    )


class Writing(NamedTuple):
    """How a source writes numbers, as far as a kernel has to know."""

    plus: bool
    """+ and digits are E.164."""
    coded: bool
    """So are %2B and digits."""
    idd: bool
    """00 and digits are."""
    bare: bool
    """Digits alone are, from `least` of them."""
    least: int
    """More than a short code has, and than an emergency number."""


def writing(home: Home, numbers: Numbers, url_encoded: bool, regex: str) -> Writing:
    """What of the plain forms means the same to `NumberPlan` under these settings."""
    plain = not (numbers.prefix or regex) and not any(
        text and set(text) <= set("+0123456789") for text in numbers.withheld
    )
    # An international prefix that looks like a number's own first digits needs the longest-first search.
    zeros = all(idd.startswith("0") for idd in numbers.idd)
    return Writing(
        plus=plain,
        coded=plain and url_encoded,
        idd=plain and numbers.idd == ("00",),
        bare=plain and zeros and numbers.bare == "international",
        least=max(numbers.short_max, *(len(digits) for digits in home.emergency), 0) + 1,
    )


@kernel
def _range(first: I64s, start: I64s, padded: np.int64) -> np.int64:
    """The range that a number of fifteen digits lies in."""
    lead = padded // 1_000_000_000_000
    low: np.int64 = first[lead]
    high = first[lead + 1]
    while high - low > 1:
        middle = (low + high) >> 1
        if start[middle] <= padded:
            low = middle
        else:
            high = middle
    return low


@kernel
def read_numbers(
    ranges: Ranges,
    writing: Writing,
    table: Texts,
    groups: I64s,
    buffer: Octets,
    spans: I64s,
    column: int,
    message: I64s,
    odd: Octets,
    number: U64s,
    facts: I64s,
    entry: I64s,
) -> None:
    """number, facts (written) of each record whose entry (written) is `PLAIN`; else they are those of the entry.

    A text's group says how it is read; where no span is, it is the entry. `table` is mutated; odd[m] (mutated) = 1
    for each message with a text that gets no entry.
    """
    first, range_start, range_facts, shortest = ranges
    plus, coded, idd, bare, least = writing
    slots, shift, entries, texts, used = table
    for r in range(len(message)):
        span = spans[r, column]
        if span == 0:
            entry[r] = groups[r]
            continue
        at = span & START_MASK
        length = span >> START_BITS & LENGTH_MASK
        end = at + length
        fine = False
        if length > 0:
            mark = buffer[at]
            if mark == _PLUS:
                at += 1
                fine = plus
            elif mark == _PERCENT:
                fine = coded and length > 3 and buffer[at + 1] == 50 and buffer[at + 2] | 32 == 98
                at += 3
            elif length < least:
                fine = False
            elif mark == _ZERO:
                fine = idd and length > 2 and buffer[at + 1] == _ZERO
                at += 2
            else:
                fine = bare
        digits = end - at
        if fine and shortest <= digits <= MOST_DIGITS and buffer[at] != _ZERO:
            value = np.int64(0)
            while at < end:
                digit = np.int64(buffer[at]) - _ZERO
                if digit < 0 or digit > 9:
                    break
                value = value * 10 + digit
                at += 1
            if at == end:
                number[r] = _E164 | np.uint64(value)
                facts[r] = range_facts[_range(first, range_start, value * _POWERS[MOST_DIGITS - digits])]
                entry[r] = PLAIN
                continue
        found = entry_of(slots, shift, entries, texts, used, groups[r], buffer, span)
        if found == NONE:
            odd[message[r]] = 1
            found = groups[r]
        entry[r] = found


@kernel
def look_up(known: U64s, known_facts: I64s, entry: I64s, count: int, number: U64s, facts: I64s) -> None:
    """number, facts [parties, records] (mutated) = those that are known of the entries, where they are not `PLAIN`."""
    for j in range(len(entry)):
        for r in range(count):
            at = entry[j, r]
            if at != PLAIN:
                number[j, r] = known[at]
                facts[j, r] = known_facts[at]
