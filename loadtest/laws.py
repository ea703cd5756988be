"""Laws of what comes in: whatever the bytes were, these hold of what ingest and detect make of them.

Each function says what is broken, or nothing.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from detector.errors import Reason, Rejected
from detector.ingest.moments import EARLIEST_MS, LATEST_MS, LONGEST_S
from detector.ingest.rows import Ingested, Raw, pack_message, unpack_message
from detector.records import (
    BODY_BITS,
    MAX_TRUNK,
    ROW,
    SCHEMA_ID,
    TRUNK_BITS,
    UNKNOWN_DURATION,
    Flag,
    Kind,
    NumberKind,
    Role,
    Rows,
    number_kind,
    number_text,
    parse_number,
)

HEADERS = [("schema", SCHEMA_ID)]
LONGEST_DETAIL = 1_000
"""Characters of a rejection's text: it travels in a message header."""
_MOST_FLAGS = sum(Flag)


def broken_by(ingested: object, raw: Raw, one_each: bool) -> Iterator[str]:
    """What is wrong with `ingested`, which a reader made of `raw`. `one_each`: a message is one record."""
    if not isinstance(ingested, Ingested):
        yield f"wanted an Ingested (got {type(ingested).__name__})"
        return
    rejected, rows, messages = ingested.rejected, ingested.rows, len(raw.values)
    for record in rejected:
        if not 0 <= record.index < messages:
            yield f"a rejection of message {record.index} (of {messages})"
        yield from broken_rejection(record.rejected)
    offsets = rows["offset"].astype(np.int64)
    if not np.isin(offsets, np.fromiter(raw.offsets, np.int64, messages)).all():
        yield "rows of offsets that no message had"
    with_rows = len(np.unique(offsets))
    taken = ingested.records - len(rejected) - sum(ingested.skipped.values())
    if not with_rows <= taken <= len(rows) <= 2 * taken:
        yield f"{taken} records gave rows, but there are {len(rows)} rows of {with_rows} messages"
    if one_each and not (ingested.records == messages and with_rows == taken):
        yield f"{messages} messages gave {ingested.records} records, {with_rows} of them {taken} times rows"
    both = {record.index for record in rejected} & set((offsets - raw.offsets[0]).tolist()) if messages else set()
    if one_each and both:
        yield f"messages {sorted(both)[:5]} gave rows and were rejected"
    yield from broken_rows(rows)
    for number, name in ingested.names.items():
        if number_kind(number) is not NumberKind.SENDER or not name:
            yield f"a name {name!r} of the number {number:#x}"
    back = unpack_message(pack_message(rows), HEADERS) if len(rows) else rows
    if isinstance(back, Rejected) or back.tobytes() != rows.tobytes():
        yield f"packed and read again, the rows are {back if isinstance(back, Rejected) else 'others'}"


def broken_rejection(rejected: Rejected) -> Iterator[str]:
    """A rejection has a reason out of the list and a short text that fits a header."""
    if not isinstance(rejected.reason, Reason):
        yield f"wanted a reason out of the list (got {rejected.reason!r})"
    if not rejected.detail or len(rejected.detail) > LONGEST_DETAIL:
        yield f"a rejection of {len(rejected.detail)} characters"
    rejected.detail.encode("utf-8", "replace")


def broken_rows(rows: Rows, kinds: Sequence[Kind] = (Kind.CALL, Kind.SMS)) -> Iterator[str]:
    """Every field of every row is one that `records` describes."""
    numbers, others = rows["number"], rows["other"]
    checks = (
        ("dtype", np.full(len(rows), rows.dtype == ROW)),
        ("event_ms", (rows["event_ms"] >= EARLIEST_MS) & (rows["event_ms"] < LATEST_MS)),
        ("kind", np.isin(rows["kind"], kinds)),
        ("role", np.isin(rows["role"], list(Role))),
        ("flags", rows["flags"] <= _MOST_FLAGS),
        ("duration_s", (rows["duration_s"] <= LONGEST_S + 1) | (rows["duration_s"] == UNKNOWN_DURATION)),
        ("trunk", rows["trunk"] <= MAX_TRUNK),
        ("source", (rows["source"] >= 1) & (rows["source"] < 64)),
        ("number", numbers > 0),
        ("kind of number", numbers >> np.uint64(BODY_BITS + TRUNK_BITS) <= max(NumberKind)),
        ("kind of other", others >> np.uint64(BODY_BITS + TRUNK_BITS) <= max(NumberKind)),
    )
    for what, good in checks:
        if not good.all():
            yield f"{what} of the row {rows[int(np.argmin(good))]}"
            return
    for number in np.unique(np.concatenate([numbers, others])).tolist():
        if number and parse_number(number_text(number)) != number:
            yield f"the number {number:#x}, which is written {number_text(number)}"
