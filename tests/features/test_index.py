"""The index finds every number's place, whatever the table does meanwhile."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.features.index import ABSENT, Index, mix
from detector.records import mix64

NUMBERS = st.lists(st.integers(1, 40), max_size=60)


@given(wanted=NUMBERS, admitted=st.sets(st.integers(1, 40)))
def test_places_are_those_of_a_dictionary(wanted: list[int], admitted: set[int]) -> None:
    """A number keeps its place while the table grows; one that is not admitted has none."""
    index, expected = Index(0), dict[int, int]()
    for number in wanted:
        index.reserve(1)
        (position,) = index.locate(np.array([number], np.uint64), np.array([number in admitted]))
        if number in admitted:
            expected.setdefault(number, len(expected))
            index.places[position] = expected[number]
        else:
            assert position == ABSENT
    asked = np.arange(41, dtype=np.uint64)
    assert index.find(asked).tolist() == [expected.get(int(number), ABSENT) for number in asked]


@given(held=st.sets(st.integers(1, 40)), forgotten=st.sets(st.integers(1, 40)))
def test_numbers_that_were_forgotten_leave_when_the_table_grows(held: set[int], forgotten: set[int]) -> None:
    """Their positions stay good until then; afterwards there is room for others."""
    index = Index(0)
    numbers = np.array(sorted(held), np.uint64)
    index.put(numbers, numbers.astype(np.int32))
    for position in index.locate(np.array(sorted(held & forgotten), np.uint64), np.zeros(40, np.bool_)):
        index.places[position] = ABSENT
    expected = [number if number in held - forgotten else ABSENT for number in range(41)]
    asked = np.arange(41, dtype=np.uint64)
    assert index.find(asked).tolist() == expected
    index.reserve(1000)
    assert index.find(asked).tolist() == expected
    assert np.count_nonzero(index.keys) == len(held - forgotten)


def test_the_kernels_hash_is_the_one_of_records() -> None:
    """So that an oracle, or another language, can find a value's slot."""
    values = np.array([0, 1, 2**50, 2**64 - 1], np.uint64)
    assert [int(mix(value)) for value in values] == mix64(values).tolist()
