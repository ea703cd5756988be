"""Plans: every campaign has a name, and what the shipped model is fitted on is not what it is judged on."""

import pytest

from detector.errors import ConfigError
from detector.learning.campaigns import ALL_KINDS
from detector.learning.plans import GROUPS, HELD_OUT, LONGEST_DAYS, VARIANTS, named, planned
from detector.learning.simulate import DEMO_CAMPAIGNS
from detector.learning.stage import STEALTHS


def test_every_kind_can_be_named_in_each_degree_of_stealth() -> None:
    """Twelve kinds, three degrees."""
    assert set(named("all")) == {f"{kind}-{stealth}" for kind in ALL_KINDS for stealth in STEALTHS}
    assert len(named("all")) == 36
    assert named("vishing") == ("vishing-overt", "vishing-low", "vishing-mimic")
    assert named("none") == ()
    assert {VARIANTS[name][1] for name in named("mimic")} == {"mimic"}


def test_the_demos_campaigns_are_the_default_in_their_order() -> None:
    """What `simulate` has always hidden, to the byte."""
    assert planned(named("demo"), 8, 1) == DEMO_CAMPAIGNS


def test_held_out_variants_are_of_kinds_that_are_known_otherwise_and_none_is_the_demos() -> None:
    """Fitted and held out are all there are, and share none."""
    assert set(named("fitted")).isdisjoint(HELD_OUT)
    assert set(named("fitted")) | set(HELD_OUT) == set(VARIANTS)
    assert {VARIANTS[name][0] for name in named("fitted")} == set(ALL_KINDS)
    assert set(GROUPS["demo"]).isdisjoint(HELD_OUT)
    assert {f"{kind}-overt" for kind in ALL_KINDS} <= set(named("fitted"))


def test_names_are_taken_once_in_the_order_in_which_they_are_given() -> None:
    """Blanks are let be."""
    assert named("clone-low, irsf-overt,clone-low") == ("clone-low", "irsf-overt")


def test_a_number_behind_a_name_asks_for_so_many_of_it_in_a_turn() -> None:
    """Everybody's turn comes before anybody's second."""
    assert named("clone-low,irsf-overt:3,wangiri-low:2") == (
        *("clone-low", "irsf-overt", "wangiri-low"),
        *("irsf-overt", "wangiri-low", "irsf-overt"),
    )
    assert named("irsf:2,irsf-overt") == ("irsf-overt", "irsf-low", "irsf-mimic") * 2
    assert named("none:3") == ()


@pytest.mark.parametrize("number", ["", "0", "-1", "two"])
def test_no_number_behind_the_colon_is_refused(number: str) -> None:
    """And said whose."""
    with pytest.raises(ConfigError, match=rf"irsf-low: wanted a number of campaigns .*\(got '{number}'\)"):
        named(f"clone,irsf-low:{number}")


def test_a_name_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    """Half a name is no name."""
    with pytest.raises(ConfigError, match=r"--campaigns: wanted demo, all, .*takeover.*\(got 'vishing-loud'\)"):
        named("overt,vishing-loud")


def test_campaigns_come_in_turn_and_begin_on_any_day_from_the_first_on() -> None:
    """Equal seeds, equal plans; every day is some campaign's."""
    names = named("wangiri,clone-overt")
    plan = planned(names, 10, 5, count=200, first_day=6)
    assert plan == planned(names, 10, 5, count=200, first_day=6) != planned(names, 10, 6, count=200, first_day=6)
    assert [campaign.name for campaign in plan[:5]] == [*names, names[0]]
    assert {campaign.day for campaign in plan} == {6, 7, 8, 9}
    assert {campaign.days for campaign in plan} == set(range(1, LONGEST_DAYS + 1))
    assert len(plan) == 200


def test_without_a_first_day_all_is_on_the_last() -> None:
    """A day of fraud after a quiet week."""
    assert {(one.day, one.days) for one in planned(named("all"), 8, 1, count=40)} == {(-1, 1)}


def test_a_first_day_beyond_the_scenario_is_refused() -> None:
    """As it is counted on the command line."""
    with pytest.raises(ConfigError, match=r"--campaigns-from: wanted a day of a scenario of 8 \(got 9\)"):
        planned(named("all"), 8, 1, first_day=8)
    assert planned((), 8, 1, count=4, first_day=2) == ()
