"""Served: vectors as they were scored, kept to be compared with what training computes of the same rows.

    Moment, decisions --keep--> Served --pack_served--> topic `vectors` --unpack_served--> archive, parity

One scored row of so many is kept, by a hash of its place in the log, and the row of every decision that has a vector.
So what is kept depends on the log alone: a replay of it keeps the same.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from detector.errors import Reason, Rejected
from detector.features.catalogue import NAMES, feature_hash
from detector.records import I64s, mix64
from detector.verdict.decisions import Decision
from detector.verdict.drift import ROW_BITS
from detector.verdict.facts import Moment

SERVED: Final = np.dtype(
    [
        ("number", "<u8"),
        ("event_ms", "<i8"),
        ("log_offset", "<i8"),
        ("offset", "<u8"),
        ("margin", "<f8"),
        ("log_index", "<u4"),
        ("log_partition", "<u2"),
        ("partition", "<u2"),
        ("source", "<u2"),
        ("role", "u1"),
        ("why", "u1"),
        ("vector", "<f8", (len(NAMES),)),
    ]
)
"""A scored row: its number, the as-of time of its vector, its place in the internal log, its record's place in the
source, what the model made of it (NaN without a model), why it is kept, and the vector."""

Served: TypeAlias = npt.NDArray[np.void]
"""An array of `SERVED`."""

SAMPLED: Final = 1
DECIDED: Final = 2
"""Bits of `why`: it was drawn, or something was decided at it."""

SCHEMA: Final = "served-1"

_STREAM: Final = np.uint64(0x5E2E_D0C7_0B5E_2BED)
"""Keeps these draws apart from those for drift, which hash the same places."""
_MOST: Final = (1 << 64) - 1


def keep(moment: Moment, decisions: Iterable[Decision], every: int) -> Served:
    """What is to be kept of a moment: about one of `every` judged rows that have a vector, and all of `decisions`."""
    scored = moment.updated.scored
    offsets, indices = moment.offsets[scored], moment.indices[scored]
    places = ((offsets << ROW_BITS) | indices).view(np.uint64)
    drawn = (mix64(places ^ _STREAM) <= np.uint64(_MOST // every)) & moment.judged[scored]
    why = drawn.astype(np.uint8) * np.uint8(SAMPLED)
    if wanted := [_place(decision) for decision in decisions]:
        decided = np.array(wanted, np.uint64)
        slots = np.minimum(np.searchsorted(places, decided), max(len(places) - 1, 0))
        there = slots[places[slots] == decided] if len(places) else slots[:0]
        why[there] |= DECIDED
    return _at(moment, np.flatnonzero(why), why)


def _place(decision: Decision) -> int:
    _, offset, index, _ = decision.decision_id.split("-", 3)
    return (int(offset) << ROW_BITS) | int(index)


def _at(moment: Moment, slots: I64s, why: npt.NDArray[np.uint8]) -> Served:
    at = moment.updated.scored[slots]
    found = np.zeros(len(slots), SERVED)
    for name in ("number", "offset", "partition", "source", "role"):
        found[name] = moment.rows[name][at]
    found["event_ms"] = moment.updated.as_of_ms[at]
    found["log_partition"] = moment.partition
    found["log_offset"], found["log_index"] = moment.offsets[at], moment.indices[at]
    found["margin"], found["vector"] = moment.margins[slots], moment.updated.vectors[slots]
    found["why"] = why[slots]
    return found


def pack_served(served: Served, model: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Value and headers of the message; `model`: the version that gave the margins."""
    headers = {"schema": SCHEMA, "features": feature_hash(), "model": model}
    return served.tobytes(), [(name, text.encode()) for name, text in headers.items()]


def unpack_served(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Served | Rejected:
    """The rows of a message; those of another schema, or of other features than this program's, are refused."""
    said = dict(headers)
    for name, wanted in (("schema", SCHEMA), ("features", feature_hash())):
        got = said.get(name, b"").decode("utf-8", "replace")
        if got != wanted:
            return Rejected(Reason.WRONG_SHAPE, f"{name}: wanted {wanted} (got {got or 'none'})")
    if not value or len(value) % SERVED.itemsize:
        size = SERVED.itemsize
        return Rejected(Reason.WRONG_SHAPE, f"wanted rows of {size} bytes (got {len(value or b'')})")
    rows: npt.NDArray[Any] = np.frombuffer(value, SERVED)
    return rows
