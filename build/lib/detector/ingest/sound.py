"""Sound: whether rows can be ours, in one pass.

Rows of a message -> yes, or `unpack_message` looks for what is wrong and where

A message of the internal topic holds a few rows when the stream is calm: a look at each field by numpy
took 0.1 ms a message then, more than counting its rows.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np

from detector.ingest.moments import EARLIEST_MS, LATEST_MS
from detector.ingest.zones import ZoneClass
from detector.jit import kernel
from detector.records import (
    BODY_BITS,
    BODY_MASK,
    MAX_SHORT_DIGITS,
    MAX_TRUNK,
    NO_NUMBER,
    TRUNK_BITS,
    Bools,
    Kind,
    NumberKind,
    Role,
    Rows,
)

i64: Final = cast("Callable[[Any], int]", np.int64)
"""numpy's own constructor, which numba compiles, to be called with what a record's field gives."""
_KIND_SHIFT: Final = BODY_BITS + TRUNK_BITS
_NOBODY: Final = int(NO_NUMBER)
_E164, _SHORT, _SENDER, _LOCAL = (int(kind) for kind in list(NumberKind)[1:])
_FIRST_MS, _LAST_MS = int(EARLIEST_MS), int(LATEST_MS)
_FIRST_KIND, _LAST_KIND = int(min(Kind)), int(max(Kind))
_LAST_ROLE: Final = int(max(Role))
_LAST_CLASS: Final = int(max(ZoneClass))


def are_sound(rows: Rows) -> bool:
    """Whether every row is one that ingest may have packed."""
    sound = np.ones(1, np.bool_)
    check_rows(rows, sound)
    return bool(sound[0])


@kernel
def is_number(number: int) -> bool:
    """`detector.records.are_numbers` of one, as i64: the top bit is that of no kind."""
    kind, body = number >> _KIND_SHIFT, number & BODY_MASK
    if kind == _E164:
        return 0 < body < 10**15
    if kind in (_SHORT, _LOCAL):
        one = 10
        for _ in range(MAX_SHORT_DIGITS):
            if one <= body < 2 * one:
                return True
            one *= 10
        return False
    return kind == _SENDER or number == _NOBODY


@kernel
def check_rows(rows: Rows, sound: Bools) -> None:
    """sound[0] (bool[1], mutated) = False if any of `rows` cannot be ours."""
    for i in range(len(rows)):
        row = rows[i]
        sound[0] &= (
            is_number(i64(row["number"]))
            and is_number(i64(row["other"]))
            and _FIRST_MS <= row["event_ms"] < _LAST_MS
            and _FIRST_KIND <= row["kind"] <= _LAST_KIND
            and row["role"] <= _LAST_ROLE
            and row["zone"] & 15 <= _LAST_CLASS
            and row["trunk"] <= MAX_TRUNK
        )
