"""The index gives every number one slot, in order of first sight."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.features.index import ABSENT, Index, mix
from detector.records import mix64

NUMBERS = st.lists(st.integers(1, 40), max_size=60)


@given(wanted=NUMBERS, admitted=st.sets(st.integers(1, 40)))
def test_slots_are_those_of_a_dictionary(wanted: list[int], admitted: set[int]) -> None:
    """A number keeps its slot while the table grows; one that is not admitted has none."""
    index, expected = Index(0), dict[int, int]()
    for number in wanted:
        if number in admitted:
            expected.setdefault(number, len(expected))
        slots = index.place(np.array([number], np.uint64), np.array([number in admitted]))
        assert slots.tolist() == [expected.get(number, ABSENT)]
    assert index.numbers.tolist() == list(expected)
    asked = np.arange(41, dtype=np.uint64)
    assert index.find(asked).tolist() == [expected.get(int(number), ABSENT) for number in asked]


def test_the_kernels_hash_is_the_one_of_records() -> None:
    """So that an oracle, or another language, can find a value's slot."""
    values = np.array([0, 1, 2**50, 2**64 - 1], np.uint64)
    assert [int(mix(value)) for value in values] == mix64(values).tolist()
