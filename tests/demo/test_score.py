"""The score says who was caught, how late, and who was touched wrongly."""

from detector.demo.score import WARM_UP_MS, score
from detector.records import number_text
from tests.demo.stories import TRAFFIC, decision

LABEL = next(label for label in TRAFFIC.labels if label.events > 20 and label.type == "robocall")
FRAUDSTER = number_text(LABEL.number)
HONEST = next(int(n) for n in TRAFFIC.people.numbers if int(n) not in TRAFFIC.frauds)


def test_nothing_decided_is_everything_missed() -> None:
    """Every number of every campaign is listed, and none is caught."""
    result = score(TRAFFIC, [])
    assert sum(len(campaign.catches) for campaign in result.campaigns) == len(TRAFFIC.labels)
    assert all(campaign.missed == len(campaign.catches) for campaign in result.campaigns)
    assert all(campaign.median_delay_s is None and campaign.median_victims is None for campaign in result.campaigns)
    assert result.touched == ()


def test_delay_and_victims_count_up_to_the_first_decision() -> None:
    """A flag after a minute, a block after an hour: caught after a minute, and blocked."""
    start_ms = LABEL.active_from_ms
    early, late = decision(FRAUDSTER, start_ms + 60_000), decision(FRAUDSTER, start_ms + 3_600_000, "block")
    (catch,) = (
        c for campaign in score(TRAFFIC, [early, late]).campaigns for c in campaign.catches if c.number == FRAUDSTER
    )
    assert (catch.action, catch.delay_s, catch.victims) == ("block", 60.0, LABEL.victims_before(start_ms + 60_000))
    assert catch.victims >= 1


def test_a_release_is_not_held_against_anybody() -> None:
    """Only what is decided against a number counts."""
    result = score(TRAFFIC, [decision(number_text(HONEST), LABEL.active_from_ms, "release")])
    assert result.touched == ()


def test_an_honest_number_is_touched_once_by_the_gravest() -> None:
    """Its profile, the gravest action and the rule that took it."""
    number = number_text(HONEST)
    at_ms = LABEL.active_from_ms
    result = score(TRAFFIC, [decision(number, at_ms), decision(number, at_ms + 1, "block", rule="r2")])
    (touched,) = result.touched
    assert (touched.number, touched.action, touched.rule, touched.at_ms) == (number, "block", "r2", at_ms + 1)
    assert touched.profile == TRAFFIC.profile_of(HONEST)
    assert all(campaign.missed == len(campaign.catches) for campaign in result.campaigns)


def test_the_warm_up_week_is_counted_apart() -> None:
    """Half open: what is decided at the end of the seventh day already counts."""
    warm_ms = TRAFFIC.scenario.start_ms + WARM_UP_MS
    number = number_text(HONEST)
    result = score(TRAFFIC, [decision(number, warm_ms - 1), decision(number, warm_ms, "warn")])
    assert ([one.action for one in result.touched_in_warm_up], [one.action for one in result.touched]) == (
        ["flag"],
        ["warn"],
    )


def test_a_hijacked_subscriber_is_honest_before_the_hijacking() -> None:
    """A flag in the days before touches an honest number and catches nobody; one after it catches."""
    people = set(TRAFFIC.people.numbers.tolist())
    label = next(label for label in TRAFFIC.labels if label.number in people)
    number = number_text(label.number)
    before = score(TRAFFIC, [decision(number, label.active_from_ms - 1)])
    after = score(TRAFFIC, [decision(number, label.active_from_ms)])
    assert ([one.number for one in before.touched], [one.number for one in after.touched]) == ([number], [])
    assert sum(campaign.flagged for campaign in before.campaigns) == 0
    assert sum(campaign.flagged for campaign in after.campaigns) == 1


def test_a_number_bought_for_fraud_is_never_honest() -> None:
    """A flag before its first fraud is neither a catch nor a wrong."""
    people = set(TRAFFIC.people.numbers.tolist())
    label = next(label for label in TRAFFIC.labels if label.number not in people)
    result = score(TRAFFIC, [decision(number_text(label.number), label.active_from_ms - 1)])
    assert result.touched == ()
    assert sum(campaign.flagged for campaign in result.campaigns) == 0
