"""Reports: fraud becomes known late, by people, the same way for the same seed."""

import numpy as np

from detector.learning.cdr import SENDERS
from detector.learning.labels import Label
from detector.learning.profiles import PROFILES
from detector.learning.reports import FESTIVAL, TOLD, USUAL, reported, told
from detector.learning.simulate import APPLICATION, Scenario, simulate
from detector.units import DAY_MS, HOUR_MS


def labels(kind: str, count: int) -> list[Label]:
    """Numbers of one kind of fraud, a day each."""
    day = 24 * HOUR_MS
    return [Label(i, kind, "low", f"01-{kind}", i * day, (i + 1) * day, 5, np.array([i * day])) for i in range(count)]


def test_equal_seeds_give_equal_reports_and_another_seed_others() -> None:
    """What was done is kept; when and by whom it is known is drawn."""
    fraud = labels("robocall", 50)
    one = reported(fraud, 7)
    assert one == reported(fraud, 7)
    assert one != reported(fraud, 8)
    for label, report in zip(fraud, one, strict=True):
        assert (report.number, report.fraud, report.type) == (label.number, True, "robocall")
        assert (report.active_from_ms, report.active_until_ms) == (label.active_from_ms, label.active_until_ms)
        assert (report.campaign, report.probability) == ("01-robocall", 1.0)


def test_complaints_come_about_a_day_later_with_a_long_tail() -> None:
    """Never before the first fraudulent event; a tenth within a third of the median, a tenth after three times it."""
    for kind, source, median_h in (("robocall", "complaint", 24), ("simbox", "analyst", 60)):
        reports = reported(labels(kind, 4_000), 1)
        delays_h = np.array(
            [(one.known_at_ms - one.active_from_ms) / HOUR_MS for one in reports if one.source == source]
        )
        assert delays_h.min() > 0
        np.testing.assert_allclose(
            np.quantile(delays_h, [0.1, 0.5, 0.9]), [median_h / 3.17, median_h, median_h * 3.17], rtol=0.12
        )


def test_victims_complain_of_what_reaches_them_and_analysts_find_the_rest() -> None:
    """Nobody is rung up by a SIM box; everybody is by a robocaller."""
    shares = {
        kind: np.mean([one.source == "complaint" for one in reported(labels(kind, 4_000), 1)])
        for kind in ("robocall", "smishing", "irsf", "simbox")
    }
    np.testing.assert_allclose(list(shares.values()), [0.8, 0.8, 0.2, 0.1], atol=0.02)


def test_the_truth_names_variants_and_how_unusual_honest_numbers_live() -> None:
    """What is reported, when and by whom stays; each number of ours that is not private has its profile, once."""
    traffic = simulate(Scenario(numbers=400, days=2, seed=3))
    labels = told(traffic)
    fraud, honest = [one for one in labels if one.fraud], [one for one in labels if not one.fraud]
    plain = reported(traffic.labels, 3)
    assert [one.known_at_ms for one in fraud] == [one.known_at_ms for one in plain]
    assert {one.type for one in fraud} >= {"wangiri-overt", "robocall-mimic", "spoofing-overt"}
    assert {one.source for one in honest} == {TOLD}
    profiles = {one.name for one in PROFILES} - {USUAL}
    assert {one.type for one in honest} <= profiles | {APPLICATION}
    assert {"courier", "chatty", "small_business"} <= {one.type for one in honest}
    assert len({one.number for one in honest}) == len(honest)
    assert not {one.number for one in honest} & set(traffic.frauds)
    assert all(traffic.profile_of(one.number) == one.type for one in honest)


def test_the_truth_names_senders_and_who_was_at_the_festival() -> None:
    """Hard negatives both: huge one-way messaging, and an evening on which everybody greets everybody.

    festival      |<-- its day, and the next: windows hold the evening -->|
    """
    traffic = simulate(Scenario(numbers=2_000, days=4, seed=3, festival_day=1))
    honest = [one for one in told(traffic) if not one.fraud]
    assert {one.number for one in honest if one.type == APPLICATION} == set(SENDERS.tolist())
    guests = [one for one in honest if one.type == FESTIVAL]
    begins_ms = traffic.scenario.start_ms + DAY_MS
    assert {(one.active_from_ms, one.active_until_ms) for one in guests} == {(begins_ms, begins_ms + 2 * DAY_MS)}
    assert len({one.number for one in honest}) == len(honest)
    assert {traffic.profile_of(one.number) for one in guests} == {USUAL}
    # They begin far more on that evening than others of their kind do.
    records = traffic.records
    evening = records[(records["start_ms"] >= begins_ms + 19 * HOUR_MS) & (records["start_ms"] < begins_ms + DAY_MS)]
    mine = np.isin(evening["originator"], np.array([one.number for one in guests], np.uint64)).sum()
    assert 40 < len(guests) < 200
    assert mine / len(guests) > 10
    assert mine / len(evening) > 2 * len(guests) / 2_000
    assert not [one for one in told(simulate(Scenario(numbers=300, days=1, seed=3))) if one.type == FESTIVAL]
