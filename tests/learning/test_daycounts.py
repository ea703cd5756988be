"""Number-days are counted on disk as they would be in one pass over everything."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.learning.daycounts import DayCounts
from detector.records import I64s, U64s
from tests.strategies import NUMBERS

CHUNKS = st.lists(
    st.lists(st.tuples(st.sampled_from(NUMBERS), st.integers(-3, 12)), min_size=1, max_size=12), min_size=1, max_size=6
)


@given(CHUNKS)
def test_counts_equal_those_of_one_pass(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[list[tuple[int, int]]]
) -> None:
    """Whatever the chunks, and whatever days are asked for after each other: more than are held."""
    days = DayCounts(tmp_path_factory.mktemp("days"))
    for chunk in chunks:
        days.add(*arrays(chunk))
    counted = Counter(each for chunk in chunks for each in chunk)
    for chunk in reversed(chunks):
        assert days.counts(*arrays(chunk)).tolist() == [counted[each] for each in chunk]


def arrays(chunk: list[tuple[int, int]]) -> tuple[U64s, I64s]:
    """Numbers and days."""
    return np.array([number for number, _ in chunk], np.uint64), np.array([day for _, day in chunk], np.int64)


def test_what_is_added_after_a_question_counts_too(tmp_path: Path) -> None:
    """A day that was looked up is not taken for finished."""
    days, number, day = DayCounts(tmp_path), np.array(NUMBERS[:1], np.uint64), np.array([5], np.int64)
    days.add(number, day)
    assert days.counts(number, day).tolist() == [1]
    days.add(number, day)
    assert days.counts(number, day).tolist() == [2]
