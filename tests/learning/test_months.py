"""Months: two months of a network whose people come, go, know their neighbours and change their phones."""

import numpy as np
import pytest

from detector.learning.calibration import SHARE, TABLE, TIMELESS, Calibration, compare, mobile_lifetimes
from detector.learning.cdr import CALL, HONEST, Outcome
from detector.learning.ordinary import Ordinary
from detector.learning.population import HIGH_RISK, Span
from detector.learning.profiles import Home
from detector.learning.simulate import Scenario, Traffic, simulate
from detector.records import number_digits
from detector.units import HOUR_MS

TWO_MONTHS = Scenario(1_500, 60, seed=6, campaigns=(), ordinary=Ordinary(SHARE))


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """A thousand honest subscribers and five hundred crooks."""
    return simulate(TWO_MONTHS)


@pytest.fixture(scope="module")
def span(traffic: Traffic) -> Span:
    """What a span of months has."""
    assert traffic.people.span is not None
    return traffic.people.span


@pytest.fixture(scope="module")
def calibration(traffic: Traffic) -> Calibration:
    """Beside the table, of which only the timeless rows may be looked at."""
    return compare(*mobile_lifetimes(traffic))


@pytest.mark.parametrize("measure", sorted(TIMELESS))
def test_what_does_not_grow_with_time_is_as_in_eight_months(calibration: Calibration, measure: str) -> None:
    """The same bounds as for the whole table: 0.10 ranks, and 0.05 of AUC."""
    assert max(row.off for row in calibration.rows if row.measure == measure) <= 0.10
    assert abs(calibration.aucs[measure] - TABLE[measure].auc) <= 0.05


def test_equal_scenarios_give_equal_records(traffic: Traffic) -> None:
    """Nothing but the scenario enters."""
    again = simulate(TWO_MONTHS)
    assert all(np.array_equal(again.records[name], traffic.records[name]) for name in again.records.dtype.names or ())


def test_nobody_calls_or_writes_while_the_number_is_out_of_use(traffic: Traffic) -> None:
    """But for a call that began, or a chat that went on, past the hour."""
    people, records = traffic.people, traffic.records
    slots = people.holders(records["originator"])
    mine = (slots >= 0) & (people.home[slots] == Home.MOBILE)
    since = records["start_ms"][mine] - TWO_MONTHS.start_ms
    day = 24 * HOUR_MS
    assert (since >= people.alive_ms[slots[mine]] - day).all()
    assert (since <= people.gone_ms[slots[mine]] + day).all()


def test_some_numbers_are_never_called_by_anybody(traffic: Traffic, span: Span) -> None:
    """Their calls all go out, as a tenth of the real ones do."""
    calls = traffic.records[traffic.records["kind"] == CALL]
    called = np.isin(traffic.people.numbers[~span.reachable], calls["recipient"])
    assert (~span.reachable).sum() > 100
    assert not called.any()


def test_nobody_talks_to_a_meter(traffic: Traffic) -> None:
    """Meters write, and nobody calls them; everybody else's friends do."""
    people, calls = traffic.people, traffic.records[traffic.records["kind"] == CALL]
    assert len(people.slots_of("meter")) > 5
    assert not np.isin(calls["recipient"], people.numbers[people.slots_of("meter")]).any()
    assert np.isin(calls["recipient"], people.numbers[people.slots_of("quiet")]).any()


def test_whoever_is_on_an_errand_is_seldom_called_back(traffic: Traffic, span: Span) -> None:
    """They withhold the number: of their missed calls to our subscribers fewer are answered by a call."""
    people, records = traffic.people, traffic.records
    calls = records[(records["kind"] == CALL) & (records["campaign"] == HONEST)]
    caller, called = people.holders(calls["originator"]), people.holders(calls["recipient"])
    known = (caller >= 0) & (called >= 0)
    missed = known & np.isin(calls["outcome"], (Outcome.NO_ANSWER, Outcome.CANCELLED, Outcome.BUSY))
    back = np.unique((called[known] << 32) + caller[known])
    seldom = span.returned < 1
    shares = []
    for some in (seldom, ~seldom & span.reachable):
        mine = missed & some[caller]
        shares.append(np.isin((caller[mine] << 32) + called[mine], back).mean())
        assert mine.sum() > 200
    assert shares[0] < 0.5 * shares[1]


def test_calls_are_returned_and_repeated(traffic: Traffic) -> None:
    """Of the pairs of honest subscribers that spoke five times, most spoke in both directions."""
    people, records = traffic.people, traffic.records
    calls = records[
        (records["kind"] == CALL) & (records["outcome"] == Outcome.ANSWERED) & (records["campaign"] == HONEST)
    ]
    one, other = people.holders(calls["originator"]), people.holders(calls["recipient"])
    ours = (people.home[one] == Home.MOBILE) & (people.home[other] == Home.MOBILE) & (one >= 0) & (other >= 0)
    low, high = np.minimum(one, other)[ours], np.maximum(one, other)[ours]
    pairs, inverse, count = np.unique(low * (1 << 32) + high, return_inverse=True, return_counts=True)
    upward = np.bincount(inverse, one[ours] == low)
    often = count >= 5
    assert often.sum() > 300
    assert ((upward > 0) & (upward < count))[often].mean() > 0.5
    assert len(pairs) > 2_000


def test_friends_live_near_each_other_more_often_than_strangers(traffic: Traffic) -> None:
    """Half of the ties are between neighbours."""
    people = traffic.people
    ours = np.flatnonzero(people.home == Home.MOBILE)
    source = np.repeat(ours, people.contacts.first[ours + 1] - people.contacts.first[ours])
    friends = np.concatenate([people.contacts.of(slot) for slot in ours.tolist()])
    inside = people.home[friends] == Home.MOBILE
    apart = np.abs(people.home_cell[source].astype(int) - people.home_cell[friends])[inside]
    rng = np.random.default_rng(1)
    anybody = np.abs(people.home_cell[rng.permutation(ours)].astype(int) - people.home_cell[ours])
    assert (apart <= 2).mean() > 1.5 * (anybody <= 2).mean()


def test_hacked_lines_ring_costly_ranges(traffic: Traffic) -> None:
    """IRSF of the ordinary sort goes abroad as the open one does."""
    index = [i for i, kind in enumerate(_kinds(traffic)) if kind == "irsf"]
    calls = traffic.records[np.isin(traffic.records["campaign"], index) & (traffic.records["kind"] == CALL)]
    called = calls["recipient"][calls["outcome"] != Outcome.FAILED]
    assert len(called) > 20
    assert {int(number_digits(number)[:3]) for number in called.tolist()} <= set(HIGH_RISK)


def _kinds(traffic: Traffic) -> list[str]:
    """The kind of each crew, by its index in the records."""
    named = {label.campaign: label.type for label in traffic.labels}
    return [named.get(name, "") for name in sorted(named, key=lambda name: int(name.split("-")[1]))]


@pytest.mark.parametrize(("numbers", "share"), [(20, 0.5), (300, 0.0)])
def test_a_small_network_and_one_without_crooks_are_networks_too(numbers: int, share: float) -> None:
    """Half of twenty, and none."""
    made = simulate(Scenario(numbers, 5, 2, campaigns=(), ordinary=Ordinary(share)))
    assert len(made.records) > 100
    assert len(made.frauds) <= round(numbers * share)


def test_more_than_half_cannot_be_fraudsters() -> None:
    """The message says what was wanted."""
    with pytest.raises(ValueError, match=r"wanted a share from 0 to 0.5 \(got 0.7\)"):
        Ordinary(0.7)
