"""What analysts of `detector weekly` fill in: fraud is who was one on the day that was drawn, not who ever was."""

import csv
from pathlib import Path

import pytest

from detector.commands.weekly import _fill_in
from detector.learning.labelfile import NumberLabel, read_labels
from detector.records import number_text
from detector.units import DAY_MS
from tests.strategies import NUMBERS

DRAWN = 20_000 * DAY_MS


@pytest.mark.parametrize(
    ("from_days", "until_days", "wanted"),
    [
        (-3, -1, "honest"),
        (-3, 0, "honest"),
        (-3, 0.5, "fraud"),
        (0.5, 0.6, "fraud"),
        (0.5, None, "fraud"),
        (-3, None, "fraud"),
        (1, 2, "honest"),
    ],
)
def test_a_number_day_is_fraud_where_the_fraud_was_under_way(
    tmp_path: Path, from_days: float, until_days: float | None, wanted: str
) -> None:
    """
    drawn             |=== day ===|
    had ended  |FFF|                  honest
    until is exclusive |FF|           honest, where it ends with the midnight
    """
    fraud = NumberLabel(
        number=NUMBERS[0],
        fraud=True,
        active_from_ms=DRAWN + int(from_days * DAY_MS),
        active_until_ms=None if until_days is None else DRAWN + int(until_days * DAY_MS),
        known_at_ms=DRAWN + 5 * DAY_MS,
        source="complaint",
        type="simbox",
    )
    sheet = tmp_path / "sheet.csv"
    with sheet.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "label", "type", "active_from_ms", "active_until_ms", "source", "probability"])
        writer.writerow([number_text(NUMBERS[0]), "", "", DRAWN, DRAWN + DAY_MS, "random_audit", 0.01])
    assert _fill_in(sheet, [fraud]) == (wanted == "fraud")
    (label,) = read_labels([sheet], known_at_ms=0)
    assert label.fraud == (wanted == "fraud")
    if wanted == "honest":
        assert (label.active_from_ms, label.active_until_ms) == (DRAWN, DRAWN + DAY_MS)
