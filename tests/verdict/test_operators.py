"""Operators: what their commands end, begin and keep away."""

from dataclasses import replace

import pytest
from msgspec import structs

from detector.config import Trunk
from detector.ingest.commands import Ends
from detector.ingest.zones import ZoneClass
from detector.records import Flag, Kind, NumberKind, pack_digits, pack_sender
from detector.units import HOUR_MS, MINUTE_MS
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory, case_of
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.verdict.judging import brief, from_abroad, judge_of
from tests.verdict.moments import FIXED, SETTINGS, START_MS, Entry, command, moment, order
from tests.verdict.moments import settings as settings_with

FOREIGN = pack_digits(NumberKind.E164, "442079460000")


def test_a_release_ends_a_block_and_keeps_analytics_rules_away_until_it_expires(judge: Judge, block: float) -> None:
    """
    minutes   0      1                2         7 days later
              block  release (7 days) (nothing) block
    """
    later = START_MS + 7 * 24 * HOUR_MS + MINUTE_MS
    entries = [
        Entry(margin=block),
        order(command("release", service="voice"), START_MS + MINUTE_MS),
        Entry(margin=block, at_ms=START_MS + 2 * MINUTE_MS),
        Entry(margin=block, at_ms=later - 1),
        Entry(margin=block, at_ms=later),
    ]
    decisions = judge.judge(moment(entries), Memory())
    assert brief(decisions) == [("surge", "block"), ("operator", "release"), ("surge", "block")]
    release = decisions[1]
    assert (release.supersedes, release.version) == (decisions[0].decision_id, 2)
    assert release.protected_until == release.expires_at == later
    assert (release.basis, release.source, release.reason) == ("operator", "operator:ann", "customer called")
    assert release.evidence.records[0].source == "commands"
    assert decisions[2].version == 3


def test_a_release_that_names_a_decision_ends_that_one_and_does_nothing_twice(judge: Judge, block: float) -> None:
    """
    minutes   0      1                     2                     3
              block  release of the block  the same, once more   (released, so nothing to renew)
    """
    (first,) = judge.judge(moment([Entry(margin=block)]), Memory())
    ends = Ends(rule=first.rule, since=first.since)
    release = command("release", service="voice", ends=ends)
    entries = [Entry(margin=block), *(order(release, START_MS + i * MINUTE_MS) for i in (1, 2))]
    assert brief(judge.judge(moment(entries), Memory())) == [("surge", "block"), ("operator", "release")]


@pytest.mark.parametrize("other", ["rule", "since", "nothing", "expired"])
def test_a_release_that_names_another_decision_is_not_obeyed(judge: Judge, block: float, other: str) -> None:
    """Of another rule, begun at another time; where nothing is in force, or nothing any more."""
    ends = Ends(rule="wangiri" if other == "rule" else "surge", since=START_MS + (other == "since"))
    at_ms = START_MS + (400 * 24 * HOUR_MS if other == "expired" else MINUTE_MS)
    before = [] if other == "nothing" else [Entry(margin=block)]
    entries = [*before, order(command("release", service="voice", ends=ends), at_ms)]
    assert brief(judge.judge(moment(entries), Memory())) == [("surge", "block")] * len(before)


def test_a_command_for_all_services_decides_both(judge: Judge) -> None:
    """A decision each, with an id each."""
    decisions = judge.judge(moment([order(command("allow", ttl_s=60))]), Memory())
    assert [d.service for d in decisions] == ["voice", "sms"]
    assert [d.decision_id for d in decisions] == ["2-0-0-operator-voice", "2-0-0-operator-sms"]
    assert {d.expires_at for d in decisions} == {START_MS + 60_000}


def test_a_release_of_all_scopes_ends_each_that_is_in_force(judge: Judge, flag: float) -> None:
    """And protects those that are not there yet."""
    zones = [882 << 4 | ZoneClass.SATELLITE, 881 << 4 | ZoneClass.SATELLITE]
    costly = [Entry(margin=flag, flags=int(Flag.OWN | Flag.RISK), zone=zone) for zone in zones]
    entries = [costly[0], order(command("release", service="voice", scope="all")), costly[0], costly[1]]
    decisions = judge.judge(moment(entries), Memory())
    released = [d.scope for d in decisions if d.action == "release"]
    assert sorted(released) == ["all", "originating", "zone:882-satellite"]
    assert len(decisions) == 5
    assert len({d.decision_id for d in decisions}) == 5


def test_a_deterministic_rule_acts_in_spite_of_a_release_which_outlives_it(judge: Judge, flag: float) -> None:
    """The spoofed number is blocked again on its trunk; the release still keeps the model away after that."""
    on_trunk = "+99921234567@7"
    entries = [
        order(command("release", on_trunk, service="voice", scope="trunk:7")),
        from_abroad(at_ms=START_MS + MINUTE_MS),
    ]
    memory = Memory()
    release, block = judge.judge(moment(entries), memory)
    assert (release.action, block.action) == ("release", "block")
    assert block.protected_until == release.expires_at
    again = judge.judge(moment([from_abroad(at_ms=START_MS + 3 * HOUR_MS)], first=2), memory)
    assert again[0].protected_until == release.expires_at


def test_an_operators_block_holds_whatever_the_mode_or_the_model(policy: Policy, model: Model, flag: float) -> None:
    """And no rule supersedes it; another command does."""
    judge = judge_of(policy, model, settings_with(mode="flag", block_budget_per_hour=0))
    entries = [
        order(command("block", service="voice")),
        Entry(margin=flag),
        order(command("release", service="voice")),
    ]
    blocked, released = judge.judge(moment(entries, message=1), Memory())
    assert (blocked.action, blocked.mode, blocked.held_back) == ("block", "enforce", ())
    assert blocked.expires_at == START_MS + 24 * HOUR_MS
    assert blocked.enforcement is not None
    assert blocked.enforcement.sip_phrase == "Decline"
    assert (blocked.party, blocked.point) == ("own", "subscriber")
    assert released.action == "release"


def test_a_never_block_list_wins_over_an_operator(judge: Judge) -> None:
    """A slip of the hand must not cut off an emergency code; the flag says what held it back."""
    (decision,) = judge.judge(moment([order(command("block", "+99971111111", service="voice"))]), Memory())
    assert (decision.action, decision.held_back) == ("flag", ("never_block",))


def test_in_shadow_mode_operators_decide_for_real(policy: Policy, model: Model, block: float) -> None:
    """Their decisions go to the memory of what is in force, and shield the case in the shadow as well."""
    judge = judge_of(policy, model, settings_with(mode="shadow"))
    shadow, live = Memory(), Memory()
    entries = [Entry(margin=block), order(command("release", service="voice")), Entry(margin=block, number=FIXED)]
    first, release, other = judge.judge(moment(entries), shadow, live)
    assert [d.mode for d in (first, release, other)] == ["shadow", "enforce", "shadow"]
    assert (len(shadow), len(live)) == (2, 1)
    again = Entry(margin=block, at_ms=START_MS + 48 * HOUR_MS)
    assert judge.judge(moment([again], first=9), shadow, live) == []


def test_a_command_below_the_committed_offset_was_obeyed_before(judge: Judge) -> None:
    """It changes nothing, nor does a command row whose text did not come with it."""
    entry = order(command("block"))
    assert judge.judge(moment([replace(entry, judged=False)]), Memory()) == []
    assert judge.judge(replace(moment([entry]), commands={}), Memory()) == []


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("sender:ACME@11", "sender:ACME@11"),
        ("sender:A%40B@11", "sender:A%40B@11"),
        ("sender:%41CME@11", "sender:ACME@11"),
        ("sender:#3f@11", "sender:#3f@11"),
        ("+99971234567@07", "+99971234567@7"),
    ],
)
def test_a_command_names_its_number_itself(judge: Judge, given: str, written: str) -> None:
    """No message of a record has to have brought the text of a sender id before; it is written as decisions do."""
    (decision,) = judge.judge(moment([order(command("block", given, service="sms"))]), Memory())
    assert decision.number == written


def test_a_release_holds_where_the_block_was_enforced(judge: Judge, block: float) -> None:
    """At the trunk group or account by its name: a gateway takes off what it was told to put on."""
    on_account = Entry(number=pack_sender("ACME", 11), margin=block, kind=Kind.SMS, flags=int(Flag.BEGAN))
    releases = [
        order(command("release", "+99921234567@7", service="voice", scope="trunk:7")),
        order(command("release", "sender:ACME@11", service="sms")),
    ]
    blocks = [from_abroad(), on_account]
    decisions = judge.judge(moment([*blocks, *releases]), Memory())
    assert [d.action for d in decisions] == ["block", "block", "release", "release"]
    assert [d.point for d in decisions] == ["trunk:abroad", "account:aggregator"] * 2


@pytest.mark.parametrize(("twice", "point"), [(False, "trunk:abroad"), (True, "trunk:7")])
def test_an_order_out_of_the_blue_names_a_trunk_that_one_source_alone_has(
    policy: Policy, model: Model, twice: bool, point: str
) -> None:
    """Where another numbers its own the same, the number says all that is known."""
    first, second = SETTINGS.sources
    other = structs.replace(second, trunks={"transit": Trunk(id=7)} if twice else {})
    judge = judge_of(policy, model, structs.replace(SETTINGS, sources=(first, other)))
    (decision,) = judge.judge(moment([order(command("block", "+99921234567@7", service="voice"))]), Memory())
    assert decision.point == point


def test_a_long_release_outlives_what_a_deterministic_rule_decides_on_its_case_meanwhile(judge: Judge) -> None:
    """
    days  0                  1 minute later       10 days         59 days: protected still
          release (60 days)  block (an hour)      block again
    """
    entries = [
        order(command("release", "+99921234567@7", service="voice", scope="trunk:7", ttl_s=60 * 24 * 3_600)),
        from_abroad(at_ms=START_MS + MINUTE_MS),
        from_abroad(at_ms=START_MS + 10 * 24 * HOUR_MS),
    ]
    memory = Memory()
    release, *blocks = judge.judge(moment(entries), memory)
    assert [(block.action, block.version, block.protected_until) for block in blocks] == [
        ("block", 2, release.expires_at),
        ("block", 3, release.expires_at),
    ]
    assert memory.protected(case_of(release), START_MS + 59 * 24 * HOUR_MS)


def test_a_block_is_not_narrowed_down_to_where_its_number_was_seen(judge: Judge, flag: float) -> None:
    """A rule flagged it on one trunk group; an operator blocks it wherever it comes from."""
    foreign = Entry(number=FOREIGN, margin=flag, flags=int(Flag.BEGAN), trunk=7)
    blocks = order(command("block", "+442079460000", service="voice"))
    flagged, blocked = judge.judge(moment([foreign, blocks]), Memory())
    assert [flagged.point, blocked.point] == ["trunk:abroad", "gateway"]
