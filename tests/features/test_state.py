"""The state equals the naive oracle, and keeps the laws that snapshots and recovery rest on."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import SnapshotError
from detector.features.catalogue import INDEX, NAMES
from detector.features.state import State, Status
from detector.records import ROW, Flag, Kind, Role, Rows
from detector.units import DAY_MS, HOUR_MS
from tests.naive import naive_updates
from tests.strategies import MONDAY_MS, NUMBERS, rows, splits

TRAFFIC = (Kind.CALL, Kind.SMS)
OFFSETS = st.sampled_from([0, 120, 330, -570])


def every(stream: Rows) -> npt.NDArray[np.bool_]:
    """A vector is wanted at each row."""
    return np.ones(len(stream), np.bool_)


def assert_equal_features(expected: npt.ArrayLike, actual: npt.NDArray[np.float64]) -> None:
    """Equal but for the last bits of a logarithm, and NaN at the same places."""
    wanted = np.asarray(expected, np.float64).reshape(-1, len(NAMES))
    assert wanted.shape == actual.shape
    for column, name in enumerate(NAMES):
        np.testing.assert_allclose(actual[:, column], wanted[:, column], rtol=1e-12, atol=1e-12, err_msg=name)


def same_bytes(one: State, other: State) -> bool:
    """Whether two states are the same to the byte."""
    left, right = one.arrays(), other.arrays()
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


def call(event_ms: int, record_id: int, **fields: int) -> Rows:
    """One answered call of 60 s by the first number."""
    row = np.zeros(1, ROW)
    row["number"], row["other"] = NUMBERS[0], NUMBERS[1]
    row["event_ms"], row["record_id"] = event_ms, record_id
    row["kind"], row["role"] = Kind.CALL, Role.FROM
    row["flags"], row["duration_s"] = Flag.BEGAN | Flag.ANSWERED | Flag.ENDED, 60
    for name, value in fields.items():
        row[name] = value
    return row


@given(stream=rows(), utc_offset_minutes=OFFSETS)
def test_every_vector_equals_the_naive_oracle(stream: Rows, utc_offset_minutes: int) -> None:
    """Statuses, the vector after each row, and vectors as of later times are what plain Python says."""
    state = State(2, utc_offset_minutes)
    updated = state.update(stream, every(stream))
    naive, statuses, vectors = naive_updates(stream, utc_offset_minutes)
    assert statuses == updated.status.tolist()
    assert_equal_features(vectors, updated.vectors)
    numbers = np.array(NUMBERS, np.uint64)
    for later_ms in (0, 1, HOUR_MS, 3 * DAY_MS, 30 * DAY_MS):
        as_of_ms = np.array([naive.newest(number) + later_ms for number in NUMBERS])
        expected = [naive.vector(number, int(time)) for number, time in zip(NUMBERS, as_of_ms, strict=True)]
        assert_equal_features(expected, state.vectors(numbers, as_of_ms))
    assert [naive.own_blocks(number) for number in NUMBERS] == state.own_blocks(numbers).tolist()


@given(data=st.data(), stream=rows())
def test_batch_split_is_irrelevant(data: st.DataObject, stream: Rows) -> None:
    """The same rows in other batches give the same bytes, statuses and vectors."""
    whole, parts = State(1, 60), State(50, 60)
    expected = whole.update(stream, every(stream))
    pieces = np.split(stream, data.draw(splits(len(stream))))
    actual = [parts.update(piece, every(piece)) for piece in pieces]
    assert same_bytes(whole, parts)
    assert expected.status.tolist() == [status for piece in actual for status in piece.status.tolist()]
    assert expected.as_of_ms.tolist() == [time for piece in actual for time in piece.as_of_ms.tolist()]
    assert expected.vectors.tobytes() == b"".join(piece.vectors.tobytes() for piece in actual)


@given(data=st.data(), stream=rows(days=7, unique_ids=True, kinds=TRAFFIC))
def test_order_within_the_window_is_irrelevant(data: st.DataObject, stream: Rows) -> None:
    """Rows of one window in another order give the same features at the same as-of time."""
    shuffled = stream[data.draw(st.permutations(range(len(stream))))] if len(stream) else stream
    one, other = State(1, 0), State(1, 0)
    one.update(stream)
    other.update(shuffled)
    numbers = np.array(NUMBERS, np.uint64)
    assert one.vectors(numbers).tobytes() == other.vectors(numbers).tobytes()


@given(stream=rows(), weeks=st.integers(1, 3000))
def test_shifting_time_by_weeks_changes_nothing(stream: Rows, weeks: int) -> None:
    """A stream moved by a multiple of seven days has the same vectors: nothing wraps around."""
    shifted = stream.copy()
    shifted["event_ms"] += weeks * 7 * DAY_MS
    expected, actual = State(1, 330).update(stream, every(stream)), State(1, 330).update(shifted, every(shifted))
    assert expected.status.tolist() == actual.status.tolist()
    assert expected.vectors.tobytes() == actual.vectors.tobytes()


@given(data=st.data(), stream=rows())
def test_a_restored_state_goes_on_byte_for_byte(data: st.DataObject, stream: Rows) -> None:
    """Saving and restoring in mid-stream is invisible."""
    cut = data.draw(st.integers(0, len(stream)))
    straight, before = State(1, -60), State(1, -60)
    straight.update(stream)
    before.update(stream[:cut])
    after = State.from_arrays({name: array.copy() for name, array in before.arrays().items()})
    after.update(stream[cut:])
    assert same_bytes(straight, after)
    numbers = np.array(NUMBERS, np.uint64)
    assert straight.vectors(numbers).tobytes() == after.vectors(numbers).tobytes()


def test_equal_logs_give_equal_bytes_in_a_large_stream() -> None:
    """A thousand numbers, a table that grows many times, other batches: the same bytes."""
    chance = np.random.default_rng(7)
    stream = np.zeros(20_000, ROW)
    stream["number"] = NUMBERS[0] + chance.integers(0, 1000, len(stream))
    stream["other"] = NUMBERS[0] + chance.integers(0, 1000, len(stream))
    stream["event_ms"] = MONDAY_MS + chance.integers(0, 12 * DAY_MS, len(stream))
    stream["kind"], stream["flags"] = Kind.CALL, Flag.BEGAN
    stream["record_id"] = np.arange(len(stream))
    one, other = State(1, 0), State(4096, 0)
    one.update(stream)
    for piece in np.array_split(stream, 37):
        other.update(piece)
    assert len(one) == 1000
    assert same_bytes(one, other)


def test_a_vector_is_taken_where_it_is_wanted_and_worth_it() -> None:
    """Wanted rows only, counted ones only, no own blocks, and from the activity floor on."""
    stream = np.concatenate(
        [
            call(MONDAY_MS, 1),
            call(MONDAY_MS, 1),
            call(MONDAY_MS, 2),
            call(MONDAY_MS, 3, flags=Flag.BEGAN | Flag.OWN_BLOCK),
            call(MONDAY_MS, 4, kind=Kind.COMMAND),
            call(MONDAY_MS, 5),
            call(MONDAY_MS, 6),
        ]
    )
    wanted = every(stream)
    wanted[5] = False
    updated = State(1, 0).update(stream, wanted, floor=2)
    assert [Status(status).name for status in updated.status] == [
        "COUNTED",
        "DUPLICATE",
        "COUNTED",
        "COUNTED",
        "IGNORED",
        "COUNTED",
        "COUNTED",
    ]
    assert updated.scored.tolist() == [2, 6]
    assert updated.vectors.shape == (2, len(NAMES))
    assert len(State(1, 0).update(stream).scored) == 0


def test_a_duplicate_is_known_for_sixteen_rows() -> None:
    """The record id of the sixteenth last row is still known, that of the seventeenth no longer."""
    stream = np.concatenate([call(MONDAY_MS, record_id) for record_id in range(1, 18)])
    state = State(1, 0)
    state.update(stream)
    again = state.update(np.concatenate([call(MONDAY_MS, 2), call(MONDAY_MS, 1)]))
    assert again.status.tolist() == [Status.DUPLICATE, Status.COUNTED]


def test_the_two_rows_of_a_call_to_oneself_both_count() -> None:
    """They share their record id, but not their role."""
    stream = np.concatenate([call(MONDAY_MS, 1, role=role) for role in Role])
    assert State(1, 0).update(stream).status.tolist() == [Status.COUNTED, Status.COUNTED]


def test_a_row_older_than_every_window_is_late_and_changes_nothing() -> None:
    """Eight days are held: the newest day and the seven before it."""
    state = State(1, 0)
    state.update(call(MONDAY_MS + 8 * DAY_MS, 1))
    before = {name: array.tobytes() for name, array in state.arrays().items()}
    updated = state.update(call(MONDAY_MS + DAY_MS - 1, 2))
    assert updated.status.tolist() == [Status.LATE]
    assert updated.as_of_ms.tolist() == [MONDAY_MS + 8 * DAY_MS]
    assert before == {name: array.tobytes() for name, array in state.arrays().items()}
    assert state.update(call(MONDAY_MS + DAY_MS, 3)).status.tolist() == [Status.COUNTED]


def test_own_blocks_count_apart() -> None:
    """What our own enforcement rejected is in no feature."""
    state = State(1, 0)
    state.update(call(MONDAY_MS, 1))
    numbers = np.array(NUMBERS[:1], np.uint64)
    silent = state.vectors(numbers)
    stream = np.concatenate([call(MONDAY_MS, 2 + i, flags=Flag.BEGAN | Flag.OWN_BLOCK) for i in range(5)])
    state.update(stream)
    assert silent.tobytes() == state.vectors(numbers).tobytes()
    assert state.own_blocks(numbers).tolist() == [5]
    assert state.own_blocks(numbers, MONDAY_MS + 26 * HOUR_MS).tolist() == [0]


def test_an_unknown_number_has_been_silent() -> None:
    """No traffic: counts are 0, shares cannot be known, and asking does not make it known."""
    state = State(1, 0)
    state.update(call(MONDAY_MS, 1))
    vector = state.vectors(np.array([NUMBERS[1]], np.uint64), MONDAY_MS)[0]
    assert vector[INDEX["calls_out_7d"]] == 0
    assert vector[INDEX["ramp_24h"]] == 1
    assert np.isnan(vector[INDEX["distinct_share_7d"]])
    assert len(state) == 1


@given(stream=rows())
def test_a_number_is_found_with_its_newest_event(stream: Rows) -> None:
    """In whichever form it is; one of which no event counted is not found."""
    state = State(2, 0)
    state.update(stream)
    naive, _, _ = naive_updates(stream, 0)
    found = {number: state.newest_of(number) for number in NUMBERS}
    assert {number: one[1] for number, one in found.items() if one} == {
        number: naive.newest(number) for number in naive.counted
    }
    assert sum(found[number] is not None for number in NUMBERS) == len(state)
    for form, count in state.forms.items():
        assert sum(one is not None and one[0] == form for one in found.values()) == count


def test_counters_saturate() -> None:
    """A tile that is full stays full: more calls or talk than it can hold never make it small."""
    state = State(1, 0)
    long_talk_s = 2**31
    for i in range(70):
        stream = np.repeat(call(MONDAY_MS, 0, duration_s=long_talk_s), 1000)
        stream["record_id"] = np.arange(1000) + i * 1000 + 1
        state.update(stream)
    vector = state.vectors(np.array(NUMBERS[:1], np.uint64))[0]
    assert vector[INDEX["calls_out_24h"]] == 65_535
    assert vector[INDEX["calls_out_7d"]] == 70_000
    assert vector[INDEX["talk_mean_24h"]] == (2**32 - 1) / 65_535


def test_emergency_calls_leave_no_trace() -> None:
    """Not even the number is held."""
    state = State(1, 0)
    updated = state.update(call(MONDAY_MS, 1, flags=Flag.BEGAN | Flag.EMERGENCY))
    assert updated.status.tolist() == [Status.IGNORED]
    assert updated.as_of_ms.tolist() == [MONDAY_MS]
    assert len(state) == 0


def test_arrays_of_another_shape_are_refused() -> None:
    """The message names the array, what was wanted and what was got."""
    state = State(1, 0)
    state.update(call(MONDAY_MS, 1))
    arrays = state.arrays()
    with pytest.raises(SnapshotError, match=r"state array quiet: wanted \(1,\) of 192 bytes .*, got \(1,\) of 8 bytes"):
        State.from_arrays({**arrays, "quiet": arrays["quiet"]["newest_ms"]})
    with pytest.raises(SnapshotError, match=r"state array wide: wanted \(0,\) of 6336 bytes .*, got \(2,\)"):
        State.from_arrays({**arrays, "wide": np.zeros(2, arrays["wide"].dtype)})
    with pytest.raises(SnapshotError, match=r"state array marks: wanted \(3, 4\) .*, got \(4,\)"):
        State.from_arrays({**arrays, "marks": arrays["marks"][0]})
    with pytest.raises(SnapshotError, match="scalars"):
        State.from_arrays({name: array for name, array in arrays.items() if name != "scalars"})
