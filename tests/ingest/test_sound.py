"""Sound rows: the quick look agrees with the thorough one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import Rejected
from detector.ingest import rows as module
from detector.ingest import sound
from detector.ingest.moments import EARLIEST_MS, LATEST_MS
from detector.ingest.rows import unpack_message
from detector.records import ROW, SCHEMA_ID, Kind, NumberKind, Rows, pack_digits, pack_number, pack_sender

FINE = (pack_digits(NumberKind.E164, "99971234567"), pack_digits(NumberKind.SHORT, "112"), pack_sender("ACME", 3), 0)
EDGES = {
    "number": [
        *FINE,
        *(pack_number(NumberKind.E164, body) for body in (1, 10**15 - 1, 10**15)),
        *(pack_number(NumberKind.LOCAL, body, 7) for body in (0, 1, 9, 10, 19, 20, 10**14, 2 * 10**14 - 1, 2 * 10**14)),
        *(kind << 60 | 5 for kind in range(16)),
    ],
    "event_ms": [edge + by for edge in (int(EARLIEST_MS), int(LATEST_MS)) for by in (-1, 0)],
    "kind": range(7),
    "role": range(4),
    "zone": range(999 << 4, (999 << 4) + 16),
    "trunk": (0, 1_023, 1_024, 65_535),
}
EDGES["other"] = EDGES["number"]


def row() -> Rows:
    """One that ingest could have packed."""
    made = np.zeros(1, ROW)
    made["number"], made["other"], made["event_ms"], made["kind"] = FINE[0], FINE[1], 1_790_000_000_000, Kind.CALL
    return made


@given(st.lists(st.sampled_from([(field, value) for field, values in EDGES.items() for value in values]), max_size=3))
def test_what_is_sound_is_not_rejected(changes: list[tuple[str, int]]) -> None:
    """Each field at its edges, alone and together, compiled and plain."""
    rows = np.concatenate([row(), row()])
    for field, value in changes:
        rows[field][1] = value
    rows.flags.writeable = False
    plain = np.ones(1, np.bool_)
    getattr(sound.check_rows, "py_func", sound.check_rows)(rows, plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "are_sound", lambda rows: False)
        thorough = not isinstance(unpack_message(rows.tobytes(), [("schema", SCHEMA_ID)]), Rejected)
    assert thorough == sound.are_sound(rows) == bool(plain[0])
