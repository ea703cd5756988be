"""What the sketches promise of sizes that are known."""

import numpy as np
import numpy.typing as npt
import pytest

from detector.features.catalogue import INDEX
from detector.features.sketches import linear_counts
from detector.features.state import State
from detector.records import ROW, Flag, Kind, NumberKind, Role, Rows, pack_digits
from detector.units import DAY_MS, HOUR_MS
from tests.strategies import MONDAY_MS

SUBJECT = pack_digits(NumberKind.E164, "999700000001")
FIRST_PEER = pack_digits(NumberKind.E164, "999720000000")
WINDOW_ENDS_MS = MONDAY_MS + 3 * DAY_MS


def traffic(peers: npt.ArrayLike, event_ms: npt.ArrayLike, role: Role = Role.FROM) -> Rows:
    """One call for each peer."""
    others = np.asarray(peers, np.uint64)
    rows = np.zeros(len(others), ROW)
    rows["number"], rows["other"], rows["event_ms"] = SUBJECT, others, event_ms
    rows["kind"], rows["role"] = Kind.CALL, role
    rows["flags"] = Flag.BEGAN | Flag.ENDED
    seed = [len(others), int(role), int(rows["event_ms"][0])]
    rows["record_id"] = np.random.default_rng(seed).integers(1, 2**32, len(others))
    return rows


def vector(state: State) -> npt.NDArray[np.float64]:
    """The subject's features."""
    vectors = state.vectors(np.array([SUBJECT], np.uint64))
    return vectors.reshape(-1)


def strangers(count: int, seed: int) -> npt.NDArray[np.uint64]:
    """Different peers: neighbours in the numbering plan, as a dialler takes them, or scattered ones."""
    if seed % 2:
        return np.uint64(FIRST_PEER + seed * 10_000_000) + np.arange(count, dtype=np.uint64)
    chosen = np.random.default_rng(seed).choice(10**9, count, replace=False)
    return np.uint64(FIRST_PEER) + chosen.astype(np.uint64)


@pytest.mark.parametrize("window", ["5m", "1h", "24h", "7d"])
@pytest.mark.parametrize("seed", range(10))
def test_distinct_recipients_are_within_ten_percent_up_to_three_hundred(window: str, seed: int) -> None:
    """In every window, after each call, whether recipients are dialled in sequence or scattered."""
    span_ms = {"5m": HOUR_MS // 12, "1h": HOUR_MS, "24h": DAY_MS, "7d": 3 * DAY_MS}[window]
    rows = traffic(strangers(300, seed), WINDOW_ENDS_MS - span_ms + np.arange(300) * (span_ms // 300))
    estimates = State(1, 0).update(rows, np.ones(300, np.bool_)).vectors[:, INDEX[f"distinct_out_{window}"]]
    true = np.arange(1, 301)
    assert np.all(np.abs(estimates - true) <= np.maximum(0.1 * true, 2))


@pytest.mark.parametrize("seed", range(2))
def test_distinct_recipients_never_fall_when_new_ones_are_added(seed: int) -> None:
    """To 100,000 within five minutes: a big robocaller does not come to look like a family phone."""
    rows = traffic(strangers(100_000, seed), WINDOW_ENDS_MS + np.arange(100_000) * 2)
    state = State(1, 0)
    steps = np.array_split(rows, 400)
    found = np.array([state.update(step, np.arange(len(step)) == len(step) - 1).vectors[0] for step in steps])
    for window in ("5m", "1h", "24h", "7d"):
        estimates = found[:, INDEX[f"distinct_out_{window}"]]
        assert np.all(np.diff(estimates) >= 0)
        assert estimates[-1] > 5_000
    assert found[-1, INDEX["distinct_share_5m"]] == 1.0
    assert found[-1, INDEX["distinct_share_7d"]] == 1.0


def test_a_saturated_window_takes_the_share_of_the_longest_shorter_one() -> None:
    """A robocaller of a week with a calm last hour: that hour says how many are strangers."""
    state = State(1, 0)
    state.update(traffic(strangers(20_000, 1), WINDOW_ENDS_MS - DAY_MS // 2 + np.arange(20_000) * 100))
    calm = np.repeat(strangers(10, 3), 2)
    state.update(traffic(calm, WINDOW_ENDS_MS + np.arange(20) * 1000))
    found = vector(state)
    assert found[INDEX["distinct_share_1h"]] == 0.5
    assert found[INDEX["distinct_share_24h"]] == found[INDEX["distinct_share_7d"]] == 0.5
    assert np.isnan(found[INDEX["reciprocity_7d"]])
    assert np.isnan(found[INDEX["repeat_peers_7d"]])


@pytest.mark.parametrize(("peers", "mutual"), [(10, 5), (200, 0), (200, 100), (200, 200)])
def test_reciprocity_is_the_share_of_recipients_who_call_too(peers: int, mutual: int) -> None:
    """Whatever the number of originators who were never called."""
    called = strangers(peers, 4)
    callers = np.concatenate([called[:mutual], strangers(peers, 5)])
    state = State(1, 0)
    state.update(traffic(called, WINDOW_ENDS_MS))
    state.update(traffic(callers, WINDOW_ENDS_MS, Role.TO))
    assert vector(state)[INDEX["reciprocity_24h"]] == pytest.approx(mutual / peers, abs=0.12)
    assert vector(state)[INDEX["distinct_in_7d"]] == pytest.approx(len(callers), rel=0.1)


@pytest.mark.parametrize("a_day", [5, 50, 150])
def test_a_stream_of_strangers_has_no_repeated_peers(a_day: int) -> None:
    """Though some share a slot: chance is taken out."""
    state = State(1, 0)
    for day in range(6):
        state.update(traffic(strangers(a_day, 10 + day), MONDAY_MS + day * DAY_MS))
    assert vector(state)[INDEX["repeat_peers_7d"]] == pytest.approx(0.0, abs=0.06)


@pytest.mark.parametrize("loyal", [3, 40, 120])
def test_repeated_peers_are_told_from_strangers(loyal: int) -> None:
    """The same peers every day beside as many strangers on one day: half of all."""
    state = State(1, 0)
    for day in range(6):
        state.update(traffic(strangers(loyal, 1), MONDAY_MS + day * DAY_MS))
    state.update(traffic(strangers(loyal, 20), MONDAY_MS + 5 * DAY_MS + HOUR_MS))
    assert vector(state)[INDEX["repeat_peers_7d"]] == pytest.approx(0.5, abs=0.06)


def test_devices_and_cells_are_exact_for_a_handful() -> None:
    """One phone counts as one; a SIM that went through forty counts as about forty."""
    for count in (1, 2, 40):
        state = State(1, 0)
        rows = traffic(np.full(count, FIRST_PEER), WINDOW_ENDS_MS + np.arange(count))
        rows["device"] = np.random.default_rng(count).integers(1, 2**32, count)
        rows["cell"] = rows["device"] ^ 0xFFFF
        state.update(rows)
        for name in ("devices_24h", "devices_7d", "cells_24h", "cells_7d"):
            assert vector(state)[INDEX[name]] == pytest.approx(count, abs=count // 10)


def test_estimates_are_whole_and_rise_with_every_slot() -> None:
    """Up to all slots but one; when the last one fills there is nothing left to tell, but it does not fall."""
    for slots in (64, 128, 1024):
        counts = linear_counts(slots)
        assert counts[0] == 0
        assert counts[1] == 1
        assert np.all(counts == np.rint(counts))
        assert np.all(np.diff(counts) >= 1)
