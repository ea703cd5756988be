"""Traffic: reproducible, in order, of the shape that was asked for, with a truth that fits it."""

import numpy as np
import pytest

from detector.learning.campaigns import KINDS
from detector.learning.cdr import CALL, HONEST, INTERNATIONAL, Outcome, subjects
from detector.learning.simulate import DEMO_CAMPAIGNS, Scenario, Traffic, simulate
from detector.records import number_digits, number_trunk

SMALL = Scenario(numbers=2_000, days=8, seed=7)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Eight days of a small network, with the demo's campaigns on the last."""
    return simulate(SMALL)


def test_equal_scenarios_give_equal_records_and_another_seed_another_network(traffic: Traffic) -> None:
    """Nothing but the scenario enters."""
    again = simulate(SMALL)
    assert np.array_equal(again.records, traffic.records)
    assert [label.number for label in again.labels] == [label.number for label in traffic.labels]
    other = simulate(Scenario(numbers=2_000, days=2, seed=8))
    assert not np.array_equal(other.records[:1000], traffic.records[:1000])


def test_records_come_in_order_of_publication_and_never_end_before_they_start(traffic: Traffic) -> None:
    """A switch publishes a record when the call ends."""
    assert (np.diff(traffic.records["end_ms"]) >= 0).all()
    assert (traffic.records["end_ms"] >= traffic.records["start_ms"]).all()


def test_a_day_has_about_eleven_events_a_subscriber(traffic: Traffic) -> None:
    """CALIBRATION: 2.5 bn calls and 1.5 bn messages a day for 360 M subscribers."""
    a_day = len(traffic.records) / SMALL.days / SMALL.numbers
    assert 8 < a_day < 15


def test_honest_talk_has_the_median_and_the_tail_of_real_talk(traffic: Traffic) -> None:
    """CALIBRATION: median 37 s, mean 77 s."""
    records = traffic.records
    talk = records["duration_s"][(records["campaign"] == HONEST) & (records["outcome"] == Outcome.ANSWERED)]
    assert 30 < np.median(talk) < 42
    assert 60 < talk.mean() < 95


def test_most_calls_of_a_private_subscriber_go_to_five_numbers(traffic: Traffic) -> None:
    """FRAUD: real users give about 80 % of their calls to five numbers or fewer."""
    records = traffic.records[(traffic.records["kind"] == CALL) & (traffic.records["campaign"] == HONEST)]
    shares = []
    for slot in traffic.people.slots_of("private")[:200].tolist():
        _, counts = np.unique(
            records["recipient"][records["originator"] == traffic.people.numbers[slot]], return_counts=True
        )
        if counts.sum() >= 20:
            shares.append(np.sort(counts)[-5:].sum() / counts.sum())
    assert 0.6 < np.median(shares) < 0.9


def test_every_planned_campaign_happens_after_its_onset_and_on_its_own_day(traffic: Traffic) -> None:
    """Labels name each campaign, and the warm-up week has none."""
    assert len({label.campaign for label in traffic.labels}) == len(DEMO_CAMPAIGNS)
    assert {label.type for label in traffic.labels} == set(KINDS)
    eighth = SMALL.start_ms + 7 * 86_400_000
    assert min(label.active_from_ms for label in traffic.labels) > eighth


def test_a_label_says_who_was_reached_and_when(traffic: Traffic) -> None:
    """Victims are distinct recipients; their first moments ascend within the active span."""
    numbers = subjects(traffic.records)
    for label in traffic.labels[:20]:
        mine = traffic.records[(numbers == label.number) & (traffic.records["campaign"] != HONEST)]
        assert len(label.victim_ms) == len(np.unique(mine["recipient"]))
        assert label.active_from_ms == label.victim_ms[0] == mine["end_ms"][0]
        assert (np.diff(label.victim_ms) >= 0).all()
        assert label.active_until_ms > label.victim_ms[-1]
        assert label.victims_before(label.active_until_ms) == len(label.victim_ms)


def test_unattested_originators_on_an_interconnect_are_labelled_by_trunk(traffic: Traffic) -> None:
    """A spoofed subscriber is not the subscriber: the label is number@trunk."""
    spoofed = [label for label in traffic.labels if label.type == "spoofing"]
    assert spoofed
    assert all(number_trunk(label.number) in INTERNATIONAL for label in spoofed)
    assert all(number_digits(label.number).startswith("999") for label in spoofed)


def test_profiles_tell_honest_lives_from_frauds(traffic: Traffic) -> None:
    """A report can name how an honest number lives; a hijacked subscriber still is who it was."""
    courier = int(traffic.people.numbers[traffic.people.slots_of("courier")[0]])
    assert traffic.profile_of(courier) == "courier"
    box = next(label for label in traffic.labels if label.campaign.endswith("simbox-overt"))
    assert traffic.profile_of(box.number) == "simbox"
    hijacked = next(label for label in traffic.labels if label.campaign.endswith("smishing-mimic"))
    assert traffic.profile_of(hijacked.number) == "private"
    assert traffic.profile_of(int(traffic.records["originator"][0]) + 1) in {"unknown", "private", "application"}


def test_honest_and_fraudulent_volumes_overlap(traffic: Traffic) -> None:
    """No count of calls tells them apart: the busiest honest number out-calls most frauds."""
    last = traffic.records[traffic.records["start_ms"] >= SMALL.start_ms + 7 * 86_400_000]
    honest = np.unique(last["originator"][last["campaign"] == HONEST], return_counts=True)[1]
    volumes = np.array([label.events for label in traffic.labels])
    assert np.sort(honest)[-5] > np.median(volumes)
    assert np.median(volumes) < 100


@pytest.mark.parametrize("numbers", [1, 20, 60])
def test_a_handful_of_subscribers_is_a_network_too(numbers: int) -> None:
    """Campaigns that find no subscriber left to hijack do not happen; the others do."""
    made = simulate(Scenario(numbers=numbers, days=2, seed=3))
    assert len(made.records) > 100
    assert {"wangiri", "smishing"} <= {label.type for label in made.labels}
