"""Number-days: the greatest margin of each, in whatever parts they came."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.learning import numberdays
from detector.learning.numberdays import Gathered
from detector.units import DAY_MS

NUMBER_DAYS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(-3, 3)), max_size=40)


@given(NUMBER_DAYS, st.integers(1, 6), st.integers(1, 50))
def test_parts_merge_to_the_greatest_of_each_number_day(
    rows: list[tuple[int, int, int]], size: int, pending: int
) -> None:
    """However many are held before they are merged; the home's midnight ends a day."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numberdays, "PENDING", pending)
        gathered = Gathered(utc_offset_minutes=120)
        for start in range(0, len(rows), size):
            numbers, days, margins = (np.array(column) for column in zip(*rows[start : start + size], strict=True))
            last_ms = (days + 1) * DAY_MS - 1 - 120 * 60_000
            gathered.add(numbers.astype(np.uint64), last_ms, margins.astype(np.float64))
        found = list(zip(*(column.tolist() for column in gathered.number_days()), strict=True))
    wanted: dict[tuple[int, int], int] = {}
    for number, day, margin in rows:
        wanted[number, day] = max(margin, wanted.get((number, day), margin))
    assert found == [(number, day, margin) for (number, day), margin in sorted(wanted.items())]
