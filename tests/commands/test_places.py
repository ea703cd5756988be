"""Places: how the ends of a range are written."""

import argparse

import pytest

from detector.commands.places import Place, place

NOON_MS = 1_793_620_800_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Place(offset=0)),
        ("946684799999", Place(offset=946_684_799_999)),
        ("946684800000", Place(time_ms=946_684_800_000)),
        (str(NOON_MS), Place(time_ms=NOON_MS)),
        ("2026-11-02T12:00:00Z", Place(time_ms=NOON_MS)),
        ("2026-11-02 12:00", Place(time_ms=NOON_MS)),
        ("2026-11-02T14:00:00.250+02:00", Place(time_ms=NOON_MS + 250)),
        ("2026-11-02", Place(time_ms=NOON_MS - 12 * 3_600_000)),
    ],
)
def test_a_place_is_an_offset_or_a_time(text: str, expected: Place) -> None:
    """Offsets are small; times are UTC unless they say otherwise."""
    assert place(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "noon", "1.5", "٣", "2026-02-30"])
def test_any_other_place_is_refused(text: str) -> None:
    """An audit of a range that nobody meant would be trusted all the same."""
    with pytest.raises(argparse.ArgumentTypeError, match="wanted an offset, UTC milliseconds or an ISO time"):
        place(text)
