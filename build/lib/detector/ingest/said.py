"""Spans and entries -> what the records of a chunk say, field by field."""

from typing import Final, NamedTuple

import numpy as np

from detector.ingest import moments
from detector.ingest.bytewise import Octets, crc
from detector.ingest.columns import Floats
from detector.ingest.spans import FLOAT, LENGTH_BITS, LENGTH_MASK, START_BITS, START_MASK
from detector.ingest.written import read_iso, read_real
from detector.jit import kernel
from detector.records import (
    I64s,
    U64s,
)

VALUES: Final = ("type", "phase", "side", "outcome", "cause", "trunk", "account", "device", "cell")
"""Fields whose values are whole numbers by entry; device and cell only where they are not plain texts."""
SKIPS_FIRST: Final = 13
"""Behind them and the four of `mapping.FLAGS`, the skips of the mapping."""

NUMBER: Final = 0
ISO: Final = 1
BY_ENTRY: Final = 2
"""How a time is read: as a number, as ISO 8601, or once for each text that it is written as."""

_PERCENT: Final = ord("%")
_EARLIEST_MS: Final = moments.EARLIEST_MS
_LATEST_MS: Final = moments.LATEST_MS
_LONGEST_S: Final = moments.LONGEST_S


class Said(NamedTuple):
    """What the records of a chunk say, in arrays of a record an element."""

    values: I64s
    """i64[records, 13 + skips]: `VALUES`, `FLAGS`, and whether each skip leaves the record out."""
    times: Floats
    """f64[4, records]: `mapping.TIMES`, milliseconds; NaN for none, infinite for one that cannot be, as in `spans`."""
    lengths: Floats
    """f64[2, records]: `mapping.SPANS`, seconds."""
    hashes: I64s
    """i64[3, records]: CRC-32 of id, device and cell, 0 for none."""
    number: U64s
    """u64[3, records]: from, to, diverting, as the next two."""
    facts: I64s
    """As `digits.number_facts` puts them together."""
    entry: I64s
    """`PLAIN`, or the entry of the number's text."""
    forwarded: I64s
    """i64[records]: not 0 where a diverting number is given."""


@kernel
def gather(value: I64s, entries: I64s, slot: I64s, fixed: I64s, out: I64s) -> None:
    """out[r, f] (written) = value of entry `entries[r, slot[f]]`, or `fixed[f]` where the slot is below zero."""
    for r in range(len(entries)):
        for f in range(len(slot)):
            at = slot[f]
            out[r, f] = fixed[f] if at < 0 else value[entries[r, at]]


@kernel
def read_times(
    way: int,
    factor: float,
    base_ms: float,
    zero_absent: bool,
    offset_ms: int,
    buffer: Octets,
    spans: I64s,
    column: int,
    real: Floats,
    entries: I64s,
    count: int,
    out: Floats,
) -> None:
    """out[:count] (written) = times at `spans[:, column]` in milliseconds, or `real` of the entries in that column."""
    for r in range(count):
        if way == BY_ENTRY:
            value = real[entries[r, column]]
        elif way == ISO:
            value = read_iso(buffer, spans[r, column], offset_ms) + base_ms
        else:
            value = read_real(buffer, spans[r, column])
            if zero_absent and value == 0:
                value = np.nan
            # As in `columns`: what the factor 0.001 leaves behind the point is rounded away.
            value = np.floor(value * factor + 1e-6) + base_ms
        out[r] = np.inf if value < _EARLIEST_MS or value >= _LATEST_MS else value


@kernel
def read_lengths(factor: float, buffer: Octets, spans: I64s, column: int, count: int, out: Floats) -> None:
    """out[:count] (written) = lengths of time at `spans[:, column]` in seconds."""
    for r in range(count):
        value = read_real(buffer, spans[r, column]) * factor
        out[r] = np.inf if value < 0 or value > _LONGEST_S else value


@kernel
def hash_texts(
    tables: I64s, coded: bool, buffer: Octets, spans: I64s, column: int, message: I64s, odd: Octets, out: I64s
) -> None:
    """out[r] (written) = CRC-32 of the text at `spans[r, column]`, 0 for none.

    odd[m] (mutated) = 1 for each message with a number that has a fraction, or, if texts may be URL-encoded
    (`coded`), with a %.
    """
    for r in range(len(message)):
        span = spans[r, column]
        start = span & START_MASK
        length = span >> START_BITS & LENGTH_MASK
        if span >> (LENGTH_BITS + START_BITS) == FLOAT:
            odd[message[r]] = 1
        if coded:
            for i in range(start, start + length):
                if buffer[i] == _PERCENT:
                    odd[message[r]] = 1
        out[r] = max(crc(tables, buffer, start, length, 0), 1) if length > 0 else 0


@kernel
def mark_missing(spans: I64s, required: I64s, message: I64s, odd: Octets) -> None:
    """odd[m] (mutated) = 1 for each message with a record where nothing is in one of the `required` columns."""
    for r in range(len(message)):
        for k in range(len(required)):
            if spans[r, required[k]] == 0:
                odd[message[r]] = 1
