"""Lifetimes: thirteen measures of a number, against counting by hand."""

from collections import Counter
from datetime import UTC, datetime
from statistics import mean, median

import numpy as np
import pytest
from numpy.testing import assert_allclose

from detector.learning.cdr import CALL, Outcome
from detector.learning.lifetime import MEASURES, auc, lifetimes
from detector.learning.simulate import Scenario, Traffic, simulate


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Three days of a few hundred people."""
    return simulate(Scenario(numbers=300, days=3, seed=5, festival_day=1))


def test_each_measure_is_what_counting_by_hand_gives(traffic: Traffic) -> None:
    """The plain meaning of every column, for thirty numbers of all sorts."""
    asked = traffic.people.numbers[::20][:30]
    found = lifetimes(traffic.records, asked)
    for number, row in zip(found.numbers.tolist(), found.values, strict=True):
        assert_allclose(row, [_by_hand(traffic, number)[measure] for measure in MEASURES])
    silent = set(asked.tolist()) - set(found.numbers.tolist())
    assert all(_by_hand(traffic, number)["calls"] == 0 for number in silent)


def _by_hand(traffic: Traffic, number: int) -> dict[str, float]:
    records = traffic.records
    mine = records[(records["originator"] == number) | (records["recipient"] == number)]
    calls = mine[(mine["kind"] == CALL) & (mine["outcome"] == Outcome.ANSWERED)]
    out = calls["originator"] == number
    if not len(calls):
        return {"calls": 0}
    others = Counter(np.where(out, calls["recipient"], calls["originator"]).tolist())
    moments = [datetime.fromtimestamp(ms / 1000, UTC) for ms in calls["start_ms"].tolist()]
    devices = set(calls["device"][out].tolist()) - {0}
    messages = mine[mine["outcome"] == Outcome.SENT]
    received = int((messages["recipient"] == number).sum())
    return {
        "calls": len(calls),
        "counterparties": len(others),
        "distinct_share": len(others) / len(calls),
        "outgoing_share": out.mean(),
        "devices": len(devices) or np.nan,
        "mean_contacts": mean(others.values()),
        "most_contacts": max(others.values()),
        "mean_duration_s": calls["duration_s"].mean(),
        "median_duration_s": median(calls["duration_s"].tolist()),
        "hours": len({moment.hour for moment in moments}),
        "days_of_month": len({moment.day for moment in moments}),
        "sms": len(messages),
        "sms_received_share": received / len(messages) if len(messages) else np.nan,
    }


def test_auc_is_the_chance_that_a_positive_lies_above() -> None:
    """All pairs, ties counted half."""
    rng = np.random.default_rng(1)
    positive, values = rng.random(60) < 0.4, rng.integers(0, 9, 60).astype(np.float64)
    pairs = [(p > n) + 0.5 * (p == n) for p in values[positive] for n in values[~positive]]
    assert auc(positive, values) == pytest.approx(mean(pairs))
