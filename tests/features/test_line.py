"""A limit of numbers: who goes for a newcomer is what the oracle says, and follows from the log alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import SnapshotError
from detector.features import line
from detector.features.pool import FREE
from detector.features.state import State, check_limit
from detector.records import ROW, Flag, Kind, Rows
from detector.units import DAY_MS, HOUR_MS
from tests.features.test_state import assert_equal_features, call, every, same_bytes
from tests.naive import NaiveState, naive_updates, rows_of
from tests.strategies import MONDAY_MS, NUMBERS, rows, splits

LIMITS = st.integers(1, 4)
SHARES = st.sampled_from([1, 2, 32])
"""From a line of everybody to one of a single number."""


@contextmanager
def shares(line_share: int) -> Iterator[None]:
    """The line holds another part of the numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line, "LINE_SHARE", line_share)
        yield


def crowd(count: int, numbers: int, days: int = 5, seed: int = 7) -> Rows:
    """Rows of many numbers, some seen often and some hardly, in about the order of time."""
    chance = np.random.default_rng(seed)
    stream = np.zeros(count, ROW)
    stream["number"] = NUMBERS[0] + (numbers * chance.random(count) ** 2).astype(np.uint64)
    stream["other"] = NUMBERS[0] + chance.integers(0, numbers, count)
    stream["event_ms"] = MONDAY_MS + np.sort(chance.integers(0, days * 24, count)) * HOUR_MS
    stream["event_ms"] -= chance.choice([0, 0, 0, DAY_MS], count)
    stream["kind"], stream["flags"] = Kind.CALL, Flag.BEGAN
    stream["record_id"] = np.arange(count) + 1
    return stream


def copied(state: State) -> State:
    """The state out of a snapshot."""
    return State.from_arrays({name: array.copy() for name, array in state.arrays().items()})


def held_by(state: State) -> set[int]:
    """The numbers that are remembered, all of them quiet."""
    records = state.arrays()["quiet"]
    return set(records["number"][records["newest_ms"] != FREE].tolist())


@given(stream=rows(), most=LIMITS, share=SHARES)
def test_a_limited_state_equals_the_naive_oracle(stream: Rows, most: int, share: int) -> None:
    """Statuses, the vector after each row, who was evicted, and what is known of everybody at the end."""
    with shares(share):
        state = State(2, 60, most)
        updated = state.update(stream, every(stream))
    naive, statuses, vectors = naive_updates(stream, 60, most, share)
    assert statuses == updated.status.tolist()
    assert_equal_features(vectors, updated.vectors)
    assert (naive.evicted, len(naive.counted)) == (updated.evicted, len(state))
    numbers = np.array(NUMBERS, np.uint64)
    assert_equal_features([naive.vector(number) for number in NUMBERS], state.vectors(numbers))


@given(data=st.data(), stream=rows(), most=LIMITS, share=SHARES)
def test_evictions_follow_from_the_log_alone(data: st.DataObject, stream: Rows, most: int, share: int) -> None:
    """Other batches, each after a snapshot and a restore, give the same bytes and count the same."""
    with shares(share):
        whole, parts = State(1, 0, most), State(64, 0, most)
        expected, evicted = whole.update(stream, every(stream)), 0
        vectors = b""
        for piece in np.split(stream, data.draw(splits(len(stream)))):
            parts = copied(parts)
            actual = parts.update(piece, every(piece))
            evicted += actual.evicted
            vectors += actual.vectors.tobytes()
    assert same_bytes(whole, parts)
    assert expected.evicted == evicted
    assert expected.vectors.tobytes() == vectors


@pytest.mark.parametrize("most", [1, 31, 33, 100, 640])
def test_a_crowd_is_held_to_the_limit(most: int) -> None:
    """Row by row never more than the limit; lines of many, of whom some are seen before their turn."""
    stream = crowd(6_000, 1_000)
    state, naive = State(1, 0, most), NaiveState(0, most)
    evicted = 0
    for piece in np.array_split(stream, 50):
        evicted += state.update(piece).evicted
        assert len(state) <= most
    for row in rows_of(stream):
        naive.update(row)
    assert evicted == naive.evicted > 0
    numbers = NUMBERS[0] + np.arange(1_000, dtype=np.uint64)
    assert_equal_features([naive.vector(int(number)) for number in numbers], state.vectors(numbers))
    whole = State(4_096, 0, most)
    whole.update(stream)
    assert same_bytes(whole, state)


def test_who_is_silent_longest_goes_and_a_tie_goes_to_the_smaller_number() -> None:
    """
    first   x                    x
    second  x              x
    third         x
            tie   first    third goes
                  goes
    """
    first, second, third = NUMBERS[0], NUMBERS[1], NUMBERS[3]
    state = State(1, 0, 2)
    state.update(np.concatenate([call(MONDAY_MS, i, number=number) for i, number in ((1, second), (2, first))]))
    state.update(call(MONDAY_MS + 1, 3, number=third))
    assert held_by(state) == {second, third}
    state.update(call(MONDAY_MS + 2, 4, number=second))
    state.update(call(MONDAY_MS + 3, 5, number=first))
    assert held_by(state) == {first, second}


def test_an_evicted_number_returns_as_a_stranger() -> None:
    """Even in the batch in which it went."""
    first, second = NUMBERS[0], NUMBERS[1]
    stream = np.concatenate(
        [call(MONDAY_MS, i, number=first if i != 3 else second) for i in (1, 2, 3, 4)],
    )
    updated = State(1, 0, 1).update(stream, every(stream))
    alone = State(1, 0).update(stream[-1:], every(stream[-1:]))
    assert updated.evicted == 2
    assert updated.vectors[-1:].tobytes() == alone.vectors.tobytes()


def test_numbers_of_every_form_are_evicted() -> None:
    """A wide and a usual number that fell silent go before those that came after them."""
    busy = np.concatenate([crowd(400, 1, days=1), crowd(40, 1, days=1)])
    busy["number"] = NUMBERS[0]
    busy["number"][400:] = NUMBERS[1]
    state = State(1, 0, 2)
    state.update(busy)
    assert (state.forms["quiet"], len(state)) == (0, 2)
    later = np.concatenate([call(MONDAY_MS + 5 * DAY_MS + i, i, number=NUMBERS[0] + 100 + i) for i in range(1, 3)])
    assert state.update(later).evicted == 2
    assert state.forms == {"quiet": 2, "usual": 0, "wide": 0}
    fresh = State(1, 0)
    fresh.update(later)
    numbers = NUMBERS[0] + np.arange(103, dtype=np.uint64)
    assert fresh.vectors(numbers).tobytes() == state.vectors(numbers).tobytes()


def test_another_limit_is_the_same_where_neither_was_felt() -> None:
    """Set before it is reached, raised or lifted: the state goes on as if it had always been so."""
    stream = crowd(2_000, 300)
    before, after = stream[:1_000], stream[1_000:]
    state = State(1, 0)
    state.update(before)
    held = len(state)
    for most in (held, held + 50, 0):
        changed = State.from_arrays({name: array.copy() for name, array in state.arrays().items()}, most)
        straight = State(1, 0, most)
        changed.update(after)
        for piece in (before, after):
            straight.update(piece)
        assert same_bytes(straight, changed)


def test_another_limit_is_refused_where_one_was_felt() -> None:
    """Too low for what was held once, or other than the one that evicted: the message says both."""
    stream = crowd(2_000, 300)
    free, tight = State(1, 0), State(1, 0, 50)
    for state in (free, tight):
        state.update(stream)
    held = len(free)
    wanted = rf"wanted one of at most 50 numbers, got one without limit that has held {held} and evicted 0"
    with pytest.raises(SnapshotError, match=wanted):
        check_limit(free.arrays(), 50)
    with pytest.raises(SnapshotError, match="wanted one without limit, got one of at most 50 numbers that has held 50"):
        State.from_arrays(tight.arrays(), 0)
    check_limit(tight.arrays(), 50)


def test_a_limit_that_is_never_reached_changes_no_feature() -> None:
    """Nor any record."""
    stream = crowd(2_000, 300)
    free, limited = State(1, 0), State(1, 0, 300)
    expected, actual = free.update(stream, every(stream)), limited.update(stream, every(stream))
    assert expected.vectors.tobytes() == actual.vectors.tobytes()
    assert free.arrays()["quiet"].tobytes() == limited.arrays()["quiet"].tobytes()


def test_the_line_is_no_longer_than_its_share() -> None:
    """One in 32 of the limit, rounded up; it shrinks as they go."""
    state = State(1, 0, 100)
    lengths = []
    for i in range(110):
        state.update(call(MONDAY_MS + i, i + 1, number=NUMBERS[0] + i))
        lengths.append(len(state.arrays()["line"]))
    assert lengths[98:] == [0, 0, 3, 2, 1, 0, 3, 2, 1, 0, 3, 2]
    assert all(after <= before or after == 3 for before, after in pairwise(lengths))
