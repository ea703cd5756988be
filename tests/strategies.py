"""Hypothesis strategies: streams of rows as unkind as switches can make them.

Few numbers, so that they meet; times that are late, equal, out of order and right at the edges of
hops; record ids that come twice.
"""

import numpy as np
from hypothesis import strategies as st

from detector.records import (
    ROW,
    UNKNOWN_DURATION,
    Flag,
    Kind,
    NumberKind,
    Role,
    Rows,
    pack_digits,
    pack_sender,
)
from detector.units import DAY_MS, HOUR_MS, MINUTE_MS

MONDAY_MS = 1_704_067_200_000
"""2024-01-01 00:00 UTC."""

NUMBERS = [
    pack_digits(NumberKind.E164, "999700000001"),
    pack_digits(NumberKind.E164, "999700000002"),
    pack_digits(NumberKind.E164, "999700000002", 7),
    pack_sender("ACME", 3),
]
OTHERS = [0, *NUMBERS, *(pack_digits(NumberKind.E164, f"99920000000{i}") for i in range(6))]


def edges(step_ms: int, most_ms: int) -> st.SearchStrategy[int]:
    """A multiple of `step_ms`, or the millisecond on either side of it."""
    return st.builds(
        lambda k, side: max(k * step_ms + side, 0), st.integers(0, most_ms // step_ms), st.sampled_from([-1, 0, 1])
    )


def event_times(days: int) -> st.SearchStrategy[int]:
    """A time within `days` of Monday, likely near the edge of some hop or soon after Monday's noon."""
    noon_ms = 12 * HOUR_MS
    return st.one_of(
        st.integers(0, days * DAY_MS - 1),
        st.integers(noon_ms, noon_ms + 10 * MINUTE_MS),
        edges(MINUTE_MS, HOUR_MS),
        edges(5 * MINUTE_MS, 3 * HOUR_MS),
        edges(HOUR_MS, 2 * DAY_MS),
        edges(DAY_MS, (days - 1) * DAY_MS),
    ).map(lambda ms: MONDAY_MS + ms)


FLAGS = st.one_of(
    st.sampled_from(
        [
            Flag.BEGAN | Flag.ANSWERED | Flag.ENDED,
            Flag.BEGAN | Flag.ENDED | Flag.CANCELLED,
            Flag.BEGAN,
            Flag.ENDED | Flag.INTERIM,
            Flag.BEGAN | Flag.OWN_BLOCK,
            Flag.BEGAN | Flag.EMERGENCY,
        ]
    ),
    st.integers(0, 2**15 - 1).map(lambda bits: Flag(bits) & ~Flag.EMERGENCY & ~Flag.OWN_BLOCK),
)


LIKELY_KINDS = (Kind.CALL, Kind.SMS) * 3


def rows(days: int = 10, unique_ids: bool = False, kinds: tuple[Kind, ...] = tuple(Kind)) -> st.SearchStrategy[Rows]:
    """Up to 30 rows in log order."""
    columns = {
        "number": st.sampled_from(NUMBERS),
        "other": st.sampled_from(OTHERS),
        "event_ms": event_times(days),
        "kind": st.sampled_from([*LIKELY_KINDS, *kinds]),
        "role": st.sampled_from(Role),
        "flags": FLAGS,
        "duration_s": st.sampled_from([0, 1, 5, 6, 90, 3600, UNKNOWN_DURATION]),
        "device": st.integers(0, 3),
        "cell": st.integers(0, 3),
        "zone": st.sampled_from([0, 999 << 4 | 2, 882 << 4 | 5]),
        "record_id": st.integers(1, 60),
    }

    def table(drawn: list[tuple[int, ...]]) -> Rows:
        rows = np.zeros(len(drawn), ROW)
        for name, values in zip(columns, zip(*drawn, strict=True), strict=False):
            rows[name] = values
        rows["offset"] = np.arange(len(rows))
        if unique_ids:
            rows["record_id"] = np.arange(len(rows)) + 1
        return rows

    return st.lists(st.tuples(*columns.values()), max_size=30).map(table)


def splits(length: int) -> st.SearchStrategy[list[int]]:
    """Where to cut `length` rows into batches."""
    return st.lists(st.integers(0, length), max_size=5).map(sorted)
