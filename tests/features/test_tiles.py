"""Windows: the newest edge exact, the oldest on a hop."""

import numpy as np
import pytest

from detector.features.catalogue import INDEX
from detector.features.state import State, Status
from detector.records import ROW, Flag, Kind, NumberKind, Role, Rows, pack_digits
from detector.units import DAY_MS, HOUR_MS, MINUTE_MS
from tests.strategies import MONDAY_MS

SUBJECT = pack_digits(NumberKind.E164, "999700000001")
NOON_MS = MONDAY_MS + 3 * DAY_MS + 12 * HOUR_MS


def calls(times: list[int], first_id: int = 1) -> Rows:
    """One call at each time."""
    rows = np.zeros(len(times), ROW)
    rows["number"], rows["event_ms"] = SUBJECT, times
    rows["kind"], rows["role"] = Kind.CALL, Role.FROM
    rows["flags"] = Flag.BEGAN | Flag.ENDED
    rows["record_id"] = np.arange(len(times)) + first_id
    return rows


def feature(state: State, name: str, as_of_ms: int) -> float:
    """One feature of the subject."""
    return float(state.vectors(np.array([SUBJECT], np.uint64), as_of_ms)[0, INDEX[name]])


@pytest.mark.parametrize(
    ("window", "span_ms", "hop_ms"),
    [
        ("5m", 5 * MINUTE_MS, MINUTE_MS),
        ("1h", HOUR_MS, 5 * MINUTE_MS),
        ("24h", DAY_MS, HOUR_MS),
        ("7d", 7 * DAY_MS, DAY_MS),
    ],
)
def test_a_call_leaves_its_window_on_a_hop(window: str, span_ms: int, hop_ms: int) -> None:
    """
    The last millisecond in which a call counts:

        edge          call                                      as of
        |--.-----------.----| ... |--------------------|----------.|
        ^ call's hop                                    span + hop - 1 ms after the edge
    """
    edge_ms = NOON_MS // hop_ms * hop_ms
    state = State(1, 0)
    state.update(calls([edge_ms + hop_ms // 3]))
    name = f"calls_out_{window}"
    last_ms = edge_ms + span_ms + hop_ms - 1
    assert feature(state, name, last_ms) == pytest.approx(span_ms / (last_ms - edge_ms))
    assert feature(state, name, last_ms + 1) == 0


def test_a_steady_stream_has_one_rate_wherever_the_hop_stands() -> None:
    """Two calls a second for six minutes: the rate does not swing with the sawtooth."""
    state = State(1, 0)
    rows = calls(list(range(NOON_MS, NOON_MS + 12 * MINUTE_MS, 500)))
    rates = state.update(rows, np.arange(len(rows)) >= 800).vectors[:, INDEX["calls_out_5m"]]
    assert rates.min() >= 599
    assert rates.max() <= 603


def test_a_late_row_goes_to_its_tile() -> None:
    """
    A row two hours late is in the windows of a day and of a week, not in those of minutes:

        |... late row ...|... newest - 1 h ...|... newest |
    """
    state = State(1, 0)
    updated = state.update(calls([NOON_MS, NOON_MS - 2 * HOUR_MS]))
    assert updated.status.tolist() == [Status.COUNTED, Status.COUNTED]
    assert updated.as_of_ms.tolist() == [NOON_MS, NOON_MS]
    assert feature(state, "calls_out_1h", NOON_MS) == 1
    assert feature(state, "calls_out_24h", NOON_MS) == 2
    assert feature(state, "active_hours_24h", NOON_MS) == 2


def test_an_as_of_time_before_the_newest_event_is_that_event() -> None:
    """What has been seen cannot be unseen."""
    state = State(1, 0)
    state.update(calls([NOON_MS]))
    assert feature(state, "calls_out_24h", NOON_MS - DAY_MS) == feature(state, "calls_out_24h", NOON_MS) == 1


def test_the_ramp_compares_a_day_with_the_week_before_it() -> None:
    """Ten calls a day for six days, then forty: about four times as many; a new number's first day counts in full."""
    steady = [MONDAY_MS + day * DAY_MS + k * HOUR_MS for day in range(6) for k in range(10)]
    burst = [MONDAY_MS + 7 * DAY_MS - 20 * HOUR_MS + k * 20 * MINUTE_MS for k in range(40)]
    state, newcomer = State(1, 0), State(1, 0)
    state.update(calls(steady + burst))
    newcomer.update(calls(burst))
    as_of_ms = MONDAY_MS + 7 * DAY_MS - 1
    assert feature(state, "ramp_24h", as_of_ms) == pytest.approx(41 / 11, rel=0.15)
    assert feature(newcomer, "ramp_24h", as_of_ms) == pytest.approx(41, rel=0.05)


def test_local_time_has_half_hours_too() -> None:
    """20:15 UTC is 01:45 at night in India, though its UTC hour is shared with 01:15 of the day before."""
    evening_ms = MONDAY_MS + 20 * HOUR_MS + 15 * MINUTE_MS
    india, utc = State(1, 330), State(1, 0)
    for state in (india, utc):
        state.update(calls([evening_ms, evening_ms + 20 * MINUTE_MS]))
    assert feature(india, "night_share_24h", evening_ms) == 1.0
    assert feature(india, "hours_of_day_7d", evening_ms) == 2
    assert feature(utc, "night_share_24h", evening_ms) == 0.0
    assert feature(utc, "hours_of_day_7d", evening_ms) == 1


def test_calls_in_progress_are_known_only_from_phases() -> None:
    """Complete records say nothing of calls in progress; an end may come before its start."""
    state = State(1, 0)
    state.update(calls([NOON_MS]))
    assert np.isnan(feature(state, "open_calls_24h", NOON_MS))
    phases = calls([NOON_MS + 1, NOON_MS + 2, NOON_MS + 3, NOON_MS + 4], first_id=10)
    phases["flags"] = [Flag.ENDED, Flag.BEGAN, Flag.BEGAN, Flag.BEGAN]
    state.update(phases[:1])
    assert feature(state, "open_calls_24h", NOON_MS) == 0
    state.update(phases[1:])
    assert feature(state, "open_calls_24h", NOON_MS) == 2
