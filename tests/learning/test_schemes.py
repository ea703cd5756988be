"""Schemes: every kind of fraud that calls and messages can show, with the signature that FRAUD.md gives it."""

import numpy as np
import pytest

from detector.learning.campaigns import ALL_KINDS, KINDS
from detector.learning.cdr import CALL, HONEST, SENDERS, SMS, Outcome, Records
from detector.learning.ordinary import Ordinary
from detector.learning.simulate import Scenario, Traffic, simulate
from detector.learning.stage import Campaign
from detector.units import DAY_MS

STEALTH = ("overt", "low", "mimic")
PLANNED = tuple(Campaign(kind, stealth, day=2, days=2) for kind in ALL_KINDS for stealth in STEALTH)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Every kind in every degree of stealth, on the third and fourth of four days."""
    return simulate(Scenario(numbers=3_000, days=4, seed=12, campaigns=PLANNED, festival_day=None))


def _of(traffic: Traffic, kind: str, stealth: str) -> Records:
    index = next(i for i, one in enumerate(PLANNED) if (one.kind, one.stealth) == (kind, stealth))
    found: Records = traffic.records[traffic.records["campaign"] == index]
    return found


@pytest.mark.parametrize("campaign", PLANNED, ids=lambda campaign: campaign.name)
def test_every_campaign_begins_after_its_onset_and_is_labelled(traffic: Traffic, campaign: Campaign) -> None:
    """None is empty, none is early."""
    records = _of(traffic, campaign.kind, campaign.stealth)
    assert len(records) >= 10
    assert records["start_ms"].min() >= traffic.scenario.start_ms + 2 * DAY_MS
    assert campaign.kind in {label.type for label in traffic.labels if label.stealth == campaign.stealth}


@pytest.mark.parametrize("kind", sorted(set(ALL_KINDS) - set(KINDS) - {"takeover"}))
def test_the_overt_are_busier_than_the_low_and_those_than_the_mimics(traffic: Traffic, kind: str) -> None:
    """Records a number: the degrees of stealth are degrees."""
    a_number = []
    for stealth in STEALTH:
        records = _of(traffic, kind, stealth)
        a_number.append(len(records) / len(np.unique(records["originator"])))
    assert a_number == sorted(a_number, reverse=True)


def test_vishing_is_many_short_talks_and_a_few_very_long(traffic: Traffic) -> None:
    """Of those that are talked to, one in twenty for minutes."""
    records = _of(traffic, "vishing", "overt")
    talk = records["duration_s"][records["outcome"] == Outcome.ANSWERED]
    assert np.median(talk) < 45
    assert 0.01 < (talk > 300).mean() < 0.12


def test_pumped_codes_come_from_an_application_and_fill_one_range(traffic: Traffic) -> None:
    """The abused sender is the originator, and honest before."""
    records = _of(traffic, "sms_pumping", "overt")
    assert np.isin(records["originator"], SENDERS).all()
    assert (records["kind"] == SMS).all()
    assert np.ptp(records["recipient"].astype(np.int64)) < 20_000
    assert traffic.profile_of(int(records["originator"][0])) == "application"


def test_whoever_lost_the_sim_falls_silent_and_the_thief_has_another_phone(traffic: Traffic) -> None:
    """From the takeover on, nothing comes from the holder's device."""
    for stealth in STEALTH:
        records = _of(traffic, "takeover", stealth)
        for number in np.unique(records["originator"]).tolist():
            since = records["start_ms"][records["originator"] == number].min()
            mine = traffic.records[traffic.records["originator"] == number]
            before = set(mine["device"][mine["start_ms"] < since].tolist())
            after = mine[mine["start_ms"] >= since]
            assert (after["campaign"] != HONEST).all()
            assert not before & set(after["device"].tolist())
            got = traffic.records[
                (traffic.records["recipient"] == number) & np.isin(traffic.records["originator"], SENDERS)
            ]
            assert ((got["start_ms"] >= since) & (got["start_ms"] < since + DAY_MS)).sum() >= 4


def test_flash_calls_ring_for_moments_and_are_never_answered_twice(traffic: Traffic) -> None:
    """Two seconds of ringing, cut by the caller."""
    records = _of(traffic, "flash_call", "overt")
    reached = records[records["outcome"] != Outcome.FAILED]
    assert (reached["outcome"] == Outcome.CANCELLED).mean() > 0.95
    assert np.median(reached["ring_ds"]) < 40


def test_a_clone_calls_from_where_its_holder_is_not(traffic: Traffic) -> None:
    """The same number, another cell, while the holder lives on."""
    records = _of(traffic, "clone", "mimic")
    people = traffic.people
    homes = {int(number): int(cell) for number, cell in zip(people.numbers, people.home_cell, strict=True)}
    assert all(homes[int(one["originator"])] != int(one["cell"]) for one in records)
    assert (records["kind"] == CALL).all()


def test_ordinary_crews_have_rotating_numbers_and_shared_devices() -> None:
    """A crew's bought numbers share phones, and do not all work at once."""
    made = simulate(Scenario(1_500, 30, 9, campaigns=(), ordinary=Ordinary(0.2)))
    marked = made.records[np.isin(made.records["originator"], made.bought) & (made.records["campaign"] != HONEST)]
    shared = [
        (len(np.unique(crew["originator"])), len(np.unique(crew["device"])), np.ptp(crew["start_ms"]) / DAY_MS)
        for crew in (marked[marked["campaign"] == index] for index in np.unique(marked["campaign"]).tolist())
    ]
    assert np.mean([numbers > 1 for numbers, _, _ in shared]) > 0.8
    devices = {
        device: len(np.unique(marked["originator"][marked["device"] == device]))
        for device in np.unique(marked["device"]).tolist()
    }
    assert max(devices.values()) >= 2
    assert np.median([span for _, _, span in shared]) > 3
