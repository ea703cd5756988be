"""Forms: quiet, usual and wide numbers say the same, and a number goes up and down without a trace."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detector.features.catalogue import INDEX
from detector.features.holding import SILENT_MS
from detector.features.past import FORMS, QUIET_EVENTS, SEEN_MOST
from detector.features.state import State, Status
from detector.records import ROW, UNKNOWN_DURATION, Flag, Kind, NumberKind, Role, Rows, pack_digits
from detector.units import DAY_MS, HOUR_MS
from tests.features.test_state import assert_equal_features, every, same_bytes
from tests.naive import NaiveState, rows_of
from tests.strategies import FLAGS, MONDAY_MS

SUBJECT = pack_digits(NumberKind.E164, "999700000001")
PEER = pack_digits(NumberKind.E164, "999720000000")

Spell = tuple[int, int, int, int, int]
"""Days of silence before it, calls, different peers, different cells, and a seed."""


def spells() -> st.SearchStrategy[list[Spell]]:
    """Lives of a number: silence and bursts of any size, so that it comes through every form."""
    return st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 1, 3, 8, 9, 17]),
            st.sampled_from([1, 2, 5, 12, 40, 90, 300]),
            st.sampled_from([1, 3, 30, 90, 400]),
            st.sampled_from([0, 1, 20]),
            st.integers(0, 3),
        ),
        max_size=5,
    )


def life(lived: list[Spell], flags: int = Flag.BEGAN | Flag.ANSWERED | Flag.ENDED) -> Rows:
    """The rows of a life, most of them in order of time, both roles, some of them long calls or messages."""
    parts, start_ms = [], MONDAY_MS
    for silent_days, count, peers, cells, seed in lived:
        start_ms += silent_days * DAY_MS
        chance = np.random.default_rng([seed, count, peers])
        rows = np.zeros(count, ROW)
        rows["number"], rows["other"] = SUBJECT, PEER + chance.integers(0, peers, count).astype(np.uint64)
        rows["event_ms"] = start_ms + np.sort(chance.integers(0, 12 * HOUR_MS, count))
        rows["event_ms"] -= chance.choice([0, 0, 0, 0, 2 * HOUR_MS, 3 * DAY_MS], count)
        rows["kind"] = chance.choice([Kind.CALL, Kind.CALL, Kind.SMS], count)
        rows["role"] = chance.choice([Role.FROM, Role.FROM, Role.TO], count)
        rows["flags"] = np.where(chance.random(count) < 0.1, Flag.BEGAN | Flag.OWN_BLOCK, flags)
        rows["duration_s"] = chance.choice(
            [0, 5, 60, 7_000, 40_000, UNKNOWN_DURATION], count, p=[0.2, 0.2, 0.57, 0.01, 0.01, 0.01]
        )
        rows["cell"] = chance.integers(0, cells + 1, count)
        rows["device"] = chance.integers(0, 3, count)
        rows["zone"] = chance.choice([0, 999 << 4 | 2], count)
        parts.append(rows)
        start_ms += 12 * HOUR_MS
    stream = np.concatenate([*parts, np.zeros(0, ROW)])
    stream["record_id"] = np.arange(len(stream)) + 1
    again = len(stream) // 3
    if again:
        stream["record_id"][again] = stream["record_id"][again - 1]
    return stream


def forms_lived(stream: Rows) -> list[str]:
    """The forms of the one number, from row to row, without repeats."""
    state, forms = State(1, 0), list[str]()
    for i in range(len(stream)):
        state.update(stream[i : i + 1])
        (form,) = [name for name, count in state.forms.items() if count]
        if forms[-1:] != [form]:
            forms.append(form)
    return forms


BACK_AND_FORTH: list[Spell] = [
    (0, 5, 3, 1, 0),
    (0, 40, 30, 1, 0),
    (1, 300, 400, 20, 0),
    (9, 2, 1, 1, 1),
    (8, 1, 1, 0, 0),
    (17, 2, 1, 0, 1),
]


@given(lived=spells(), flags=FLAGS)
@example(lived=BACK_AND_FORTH, flags=Flag.BEGAN | Flag.ANSWERED | Flag.ENDED)
def test_features_do_not_tell_the_form(lived: list[Spell], flags: int) -> None:
    """After each of some rows, and at later times, what the oracle says, who knows of no forms."""
    stream = life(lived, flags)
    looked_at = np.zeros(len(stream), np.bool_)
    looked_at[:: max(1, len(stream) // 12)] = True
    updated = State(1, 90).update(stream, looked_at)
    naive = NaiveState(90)
    expected, statuses = [], []
    for wanted, row in zip(looked_at, rows_of(stream), strict=True):
        statuses.append(naive.update(row))
        if wanted and statuses[-1] is Status.COUNTED and not row["flags"] & Flag.OWN_BLOCK:
            expected.append(naive.vector(SUBJECT))
    assert statuses == updated.status.tolist()
    assert_equal_features(expected, updated.vectors)


@given(lived=spells(), cut=st.floats(0, 1))
@example(lived=BACK_AND_FORTH, cut=0.5)
def test_forms_follow_from_the_log_alone(lived: list[Spell], cut: float) -> None:
    """Other batches, and a snapshot between them, give the same bytes."""
    stream = life(lived)
    whole, first = State(1, 0), State(64, 0)
    whole.update(stream)
    at = int(cut * len(stream))
    first.update(stream[:at])
    second = State.from_arrays({name: array.copy() for name, array in first.arrays().items()})
    for piece in np.array_split(stream[at:], 5):
        second.update(piece)
    assert same_bytes(whole, second)


def test_a_number_goes_up_and_comes_back() -> None:
    """
    Silence brings it back as far as what is left allows, on the day on which it is seen again:

        5 | 40 | 300 rows |   nine days   | 2 | eight days | 1
        quiet usual wide                  usual -> quiet
    """
    assert forms_lived(life(BACK_AND_FORTH)) == ["quiet", "usual", "wide", "usual", "quiet"]


def test_a_number_seen_a_few_times_a_week_stays_quiet() -> None:
    """For months, at nine rows a week: at ten, some eight days that a week's window can touch hold twelve."""
    stream = life([(0, 1, 5, 2, day % 4) for day in range(180)])
    stream["duration_s"] = 60
    stream["event_ms"] = MONDAY_MS + np.arange(len(stream)) * (7 * DAY_MS // 9)
    assert forms_lived(stream) == ["quiet"]
    assert FORMS["quiet"].itemsize <= 192


@pytest.mark.parametrize("talk_s", [5_400, 5_401, 65_535, 65_536, 2**32 - 2])
@pytest.mark.parametrize("calls", [1, 2, QUIET_EVENTS, 13])
def test_talk_is_exact_in_every_form(talk_s: int, calls: int) -> None:
    """Narrow counters are left before they would run out."""
    stream = np.repeat(life([(0, 1, 1, 0, 0)]), calls)
    stream["kind"], stream["role"], stream["flags"] = Kind.CALL, Role.FROM, Flag.BEGAN | Flag.ANSWERED | Flag.ENDED
    stream["duration_s"], stream["record_id"] = talk_s, np.arange(calls) + 1
    naive = NaiveState()
    for row in rows_of(stream):
        naive.update(row)
    if talk_s * calls < 2**32:
        assert_equal_features(naive.vector(SUBJECT), State(1, 0).update(stream, every(stream)).vectors[-1:])
    else:
        vector = State(1, 0).update(stream, every(stream)).vectors[-1]
        assert vector[INDEX["talk_mean_24h"]] == (2**32 - 1) / calls


@pytest.mark.parametrize("rows", [254, 255, 256, 600])
def test_an_hour_holds_any_number_of_rows(rows: int) -> None:
    """With one peer and one cell it is the counters of one byte that run out."""
    stream = np.repeat(life([(0, 1, 1, 0, 0)]), rows)
    stream["kind"], stream["role"], stream["flags"] = Kind.SMS, Role.FROM, Flag.BEGAN
    stream["record_id"] = np.arange(rows) + 1
    state = State(1, 0)
    state.update(stream)
    assert state.forms == {"quiet": 0, "usual": int(rows <= 255), "wide": int(rows > 255)}
    naive = NaiveState()
    for row in rows_of(stream):
        naive.update(row)
    assert_equal_features(naive.vector(SUBJECT), state.vectors(np.array([SUBJECT], np.uint64)))


def strangers(numbers: int, start_ms: int, first: int = 0) -> Rows:
    """One call of each of so many numbers, a second apart."""
    rows = np.zeros(numbers, ROW)
    rows["number"] = SUBJECT + first + np.arange(numbers, dtype=np.uint64)
    rows["other"], rows["kind"], rows["flags"] = PEER, Kind.CALL, Flag.BEGAN | Flag.ENDED
    rows["event_ms"] = start_ms + np.arange(numbers) * 1000
    rows["record_id"] = np.arange(numbers) + 1
    return rows


def test_numbers_that_are_silent_for_long_are_forgotten() -> None:
    """A sweep that follows the log lets them go, and their room is used again."""
    state = State(1, 0)
    silent_days, days = SILENT_MS // DAY_MS, 90
    for day in range(days):
        # Each day other numbers.
        state.update(strangers(10_000, MONDAY_MS + day * DAY_MS, first=10_000 * day))
    assert 10_000 * silent_days <= len(state) <= 2 * 10_000 * (silent_days + 1)
    assert len(state.arrays()["quiet"]) <= 2 * 10_000 * (silent_days + 1)
    one = State.from_arrays({name: array.copy() for name, array in state.arrays().items()})
    asked = SUBJECT + np.array([0, 10_000 * days - 1], np.uint64)
    assert np.isnan(one.vectors(asked)[0]).any()
    assert state.vectors(asked).tobytes() == one.vectors(asked).tobytes()


def test_forgetting_follows_the_log_alone() -> None:
    """Batches and a snapshot leave no trace in what is forgotten when."""
    streams = [strangers(9_000, MONDAY_MS + day * DAY_MS, first=9_000 * day) for day in range(40)]
    whole, parts = State(1, 0), State(1, 0)
    whole.update(np.concatenate(streams))
    for stream in streams:
        parts = State.from_arrays({name: array.copy() for name, array in parts.arrays().items()})
        for piece in np.array_split(stream, 3):
            parts.update(piece)
    assert same_bytes(whole, parts)
    assert len(whole) < 40 * 9_000


def test_a_clock_that_is_years_ahead_makes_nobody_forgotten() -> None:
    """One record of another year moves the clock of forgetting by seconds."""
    state = State(1, 0)
    state.update(strangers(1_000, MONDAY_MS))
    state.update(strangers(1, MONDAY_MS + 3_000 * DAY_MS, first=5_000))
    state.update(strangers(1_000, MONDAY_MS + HOUR_MS))
    assert len(state) == 1_001


def test_entries_have_room_for_every_event() -> None:
    """A number that meets ever more others is widened before its entries run out."""
    stream = life([(0, 300, 1_000, 20, 1)])
    state = State(1, 0)
    for before, after in pairwise(range(len(stream) + 1)):
        state.update(stream[before:after])
        usual = state.arrays()["usual"]
        assert all(held <= SEEN_MOST for held in usual["held"].tolist())
    assert state.forms["wide"] == 1


def test_a_free_record_keeps_nothing_of_its_last_number() -> None:
    """What takes the room of a number that went wide starts blank."""
    busy = life([(0, 300, 400, 20, 0)])
    other = life([(0, 40, 10, 1, 1)])
    other["number"] = SUBJECT + 1
    shared, alone = State(1, 0), State(1, 0)
    shared.update(busy)
    shared.update(other)
    alone.update(other)
    asked = np.array([SUBJECT + 1], np.uint64)
    assert shared.forms == {"quiet": 0, "usual": 1, "wide": 1}
    assert shared.vectors(asked).tobytes() == alone.vectors(asked).tobytes()
