"""Parity: equal is equal bit for bit, and whatever differs is named."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.features.catalogue import INDEX, NAMES
from detector.learning.features import Taken
from detector.learning.parity import EXAMPLES, compare, differ, of_originators
from detector.records import Role
from detector.verdict.served import SERVED, Served
from tests.strategies import NUMBERS

COUNT = 12


def served(count: int = COUNT) -> Served:
    """Vectors of records 100, 101, … with a value that cannot be known in each."""
    rows = np.zeros(count, SERVED)
    rows["number"] = np.array(NUMBERS, np.uint64)[np.arange(count) % len(NUMBERS)]
    rows["source"], rows["partition"], rows["offset"] = 1, 2, 100 + np.arange(count)
    rows["event_ms"] = 1_000 + np.arange(count)
    rows["vector"] = np.random.default_rng(5).gamma(1.0, 5.0, (count, len(NAMES)))
    rows["vector"][:, 3] = np.nan
    return rows


def taken(rows: Served) -> Taken:
    """What training computes at the same records."""
    return Taken(
        places=np.zeros(len(rows), np.int64),
        numbers=rows["number"].copy(),
        event_ms=rows["event_ms"].copy(),
        sources=rows["source"].astype(np.int64),
        partitions=rows["partition"].astype(np.int64),
        offsets=rows["offset"].astype(np.int64),
        vectors=rows["vector"].copy(),
    )


@given(st.permutations(range(COUNT)), st.lists(st.integers(0, COUNT), max_size=3).map(sorted))
def test_equal_vectors_are_equal_in_any_order_and_in_any_parts(order: list[int], cuts: list[int]) -> None:
    """Among others that serving has not kept."""
    rows = served()
    parts = np.split(rows[order], cuts)
    strangers = served(3)
    strangers["partition"] = 7
    found = compare(rows, [taken(part) for part in [*parts, strangers]])
    assert (found.served, found.compared, found.missing, found.differing) == (COUNT, COUNT, 0, 0)
    assert not found.features


def test_a_feature_that_differs_is_named_with_values() -> None:
    """By one bit, or by what can be known of it; how many vectors, and some of them."""
    rows = served()
    other = taken(rows)
    other.vectors[2, 5] = np.nextafter(other.vectors[2, 5], np.inf)
    other.vectors[:, 7] = np.nan
    found = compare(rows, [other])
    assert found.features == {NAMES[5]: 1, NAMES[7]: COUNT}
    assert found.differing == COUNT
    (one,) = found.examples[NAMES[5]]
    assert (one.offset, one.served, one.computed) == (102, rows["vector"][2, 5], other.vectors[2, 5])
    assert len(found.examples[NAMES[7]]) == EXAMPLES


def test_vectors_of_another_number_or_record_are_not_compared() -> None:
    """One of each part of the key; what serving kept and nobody computed is missing."""
    rows = served(4)
    other = rows.copy()
    other["number"][0] += 1
    other["source"][1] += 1
    other["partition"][2] += 1
    other["offset"][3] += 1
    found = compare(rows, [taken(other)])
    assert (found.compared, found.missing) == (0, 4)


def test_recipients_are_left_out() -> None:
    """Training computes none."""
    rows = served(4)
    rows["role"][1:3] = Role.TO
    assert of_originators(rows)["offset"].tolist() == [100, 103]


def test_bits_are_compared_and_what_cannot_be_known_is_the_same() -> None:
    """0 and -0 differ: something computed them otherwise. Not a number has many patterns, and one meaning."""
    odd_nan = np.array([0x7FF8_0000_0000_0001], np.uint64).view(np.float64)[0]
    mine = np.array([[0.0, np.nan, 1.0, np.nan, 2.0]])
    theirs = np.array([[-0.0, odd_nan, 1.0, 3.0, np.nan]])
    assert differ(mine, theirs).tolist() == [[True, False, False, True, True]]
    assert INDEX[NAMES[5]] == 5
