"""The judge: which row decides what, what holds it back, and that the cut of the log is irrelevant."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.config import ROOT, ModelChoice, Settings
from detector.errors import ConfigError
from detector.features.state import Status
from detector.ingest.commands import Ends
from detector.ingest.zones import ZoneClass
from detector.records import Flag, Kind, NumberKind, Role, pack_digits, pack_number, pack_sender
from detector.verdict.decisions import Decision
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy, Rule
from tests.verdict import models
from tests.verdict.moments import (
    FIXED,
    HOUR_MS,
    MINUTE_MS,
    MOBILE,
    SETTINGS,
    START_MS,
    ZONES,
    Entry,
    command,
    moment,
    order,
)
from tests.verdict.moments import settings as settings_with

POLICY: dict[str, Any] = {
    "name": "test",
    "lists": {"never": "never.txt"},
    "never_block": ["never"],
    "rules": [
        {
            "id": "spoofed",
            "when": 'intl_trunk and home and own_zone_class == "geographic"',
            "kinds": ["call"],
            "action": "block",
            "scope": "trunk",
            "basis": "deterministic",
            "sources": [],
            "ttl_s": 3600,
            "reason": "A fixed number from abroad.",
        },
        {
            "id": "court",
            "when": "calls_out_7d >= 999",
            "action": "block",
            "basis": "court",
            "ttl_s": 3600,
            "reason": "A court says so.",
        },
        {
            "id": "costly",
            "when": "risk and margin >= flag",
            "action": "block",
            "scope": "zone",
            "ttl_s": 3600,
            "reason": "Costly destinations.",
        },
        {
            "id": "surge",
            "when": "margin >= block",
            "action": "block",
            "ttl_s": 4000,
            "max_ttl_s": 10_000,
            "sources": ["switch"],
            "reason": "Far from honest.",
        },
        {
            "id": "label",
            "when": "margin >= flag and calls_out_24h >= 100",
            "action": "warn",
            "ttl_s": 3600,
            "reason": "Many calls.",
            "notice": "Suspected spam call from {originator}",
        },
        {"id": "odd", "when": "margin >= flag", "action": "flag", "ttl_s": 86_400, "reason": "Unlike honest numbers."},
    ],
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The policy above; its never-block list holds one number and a range."""
    folder = tmp_path_factory.mktemp("policy")
    (folder / "never.txt").write_text("+99971111111\n+999722*\n")
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    return Policy.load(folder / "policy.yaml")


def judge_of(policy: Policy, model: Model | None, settings: Settings = SETTINGS) -> Judge:
    """The judge of these settings."""
    return Judge(policy, model, ZONES, settings)


def brief(decisions: Sequence[Decision]) -> list[tuple[str, str]]:
    """Rule and action of each."""
    return [(decision.rule, decision.action) for decision in decisions]


@pytest.fixture
def judge(policy: Policy, model: Model) -> Judge:
    """The judge of SETTINGS: enforcing, model trained on real traffic."""
    return judge_of(policy, model)


@pytest.fixture
def flag(model: Model) -> float:
    """A margin that reaches flag only."""
    return model.thresholds.flag


@pytest.fixture
def block(model: Model) -> float:
    """A margin that reaches block."""
    return model.thresholds.block


# --- one case, one decision -------------------------------------------------------------------


def test_a_case_is_decided_once_while_its_decision_is_in_force(judge: Judge, flag: float) -> None:
    """
    minutes   0      1      1439   1440
              flag   (same) (same) expired: flag again, version 2
    """
    minutes = (0, 1, 1439, 1440)
    decisions = judge.judge(moment([Entry(at_ms=START_MS + m * MINUTE_MS, margin=flag) for m in minutes]), Memory())
    assert [(d.action, d.version, d.supersedes) for d in decisions] == [("flag", 1, None), ("flag", 2, None)]
    assert [d.decision_id for d in decisions] == ["2-0-0-odd", "2-1-0-odd"]
    assert decisions[0].issued_at == START_MS
    assert decisions[0].expires_at == START_MS + 24 * HOUR_MS


def test_a_graver_action_supersedes_and_a_milder_one_does_not(judge: Judge, flag: float, block: float) -> None:
    """flag < warn < block."""
    busy = {"calls_out_24h": 100.0}
    entries = [
        Entry(margin=flag),
        Entry(margin=flag, features=busy),
        Entry(margin=block, features=busy),
        Entry(margin=flag, features=busy),
        Entry(margin=flag),
    ]
    decisions = judge.judge(moment(entries), Memory())
    assert brief(decisions) == [("odd", "flag"), ("label", "warn"), ("surge", "block")]
    assert [d.version for d in decisions] == [1, 2, 3]
    assert [d.supersedes for d in decisions] == [None, "2-0-0-odd", "2-0-1-label"]


def test_the_gravest_matching_rule_decides_a_row(judge: Judge, block: float) -> None:
    """All three match; one decision."""
    entry = Entry(margin=block, features={"calls_out_24h": 500.0})
    assert brief(judge.judge(moment([entry]), Memory())) == [("surge", "block")]


def test_calls_and_messages_are_cases_of_their_own(judge: Judge, flag: float) -> None:
    """A rule without a service decides about that of its row."""
    entries = [Entry(margin=flag), Entry(margin=flag, kind=Kind.SMS), Entry(margin=flag)]
    assert [d.service for d in judge.judge(moment(entries), Memory())] == ["voice", "sms"]


def test_a_zone_is_a_case_of_its_own(judge: Judge, flag: float) -> None:
    """The costly destination is barred, the rest only flagged; a row without a zone bars nothing."""
    satellite = 882 << 4 | ZoneClass.SATELLITE
    flags = int(Flag.OWN | Flag.RISK)
    decisions = judge.judge(moment([Entry(margin=flag, flags=flags, zone=zone) for zone in (satellite, 0)]), Memory())
    assert [(d.action, d.scope) for d in decisions] == [("block", "zone:882-satellite"), ("flag", "originating")]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"judged": False},
        {"status": Status.DUPLICATE},
        {"status": Status.LATE},
        {"status": Status.IGNORED},
        {"flags": int(Flag.EMERGENCY)},
        {"number": 0},
        {"role": Role.TO},
        {"margin": None},
        {"flags": int(Flag.OWN_BLOCK)},
    ],
)
def test_some_rows_decide_nothing(judge: Judge, block: float, spoilt: dict[str, Any]) -> None:
    """Below the committed offset, not counted, an emergency call, nobody's, the other party's, not scored."""
    memory = Memory()
    assert judge.judge(moment([Entry(**{"margin": block} | spoilt)]), memory) == []
    assert len(memory) == 0


# --- a number of this country from abroad -----------------------------------------------------


def from_abroad(**fields: Any) -> Entry:
    """A call that arrives on the international trunk group 7."""
    return Entry(**{"number": FIXED, "flags": int(Flag.BEGAN | Flag.INTL_TRUNK), "trunk": 7} | fields)


def test_a_spoofed_number_is_blocked_on_its_trunk_and_never_by_itself(judge: Judge) -> None:
    """Whether or not the row's subject already is number@trunk."""
    for number in (FIXED, pack_digits(NumberKind.E164, "99921234567", trunk=7)):
        (decision,) = judge.judge(moment([from_abroad(number=number)]), Memory())
        assert (decision.number, decision.scope, decision.action) == ("+99921234567@7", "trunk:7", "block")
        assert (decision.party, decision.point) == ("foreign", "trunk:abroad")
        assert decision.score is None
        assert decision.basis == "deterministic"


@pytest.mark.parametrize("fields", [{"trunk": 0}, {"flags": int(Flag.BEGAN)}, {"number": MOBILE}, {"kind": Kind.SMS}])
def test_another_call_is_not_spoofed(judge: Judge, fields: dict[str, Any]) -> None:
    """No trunk group known, a national trunk, a mobile number, a message."""
    assert judge.judge(moment([from_abroad(**fields)]), Memory()) == []


def test_a_foreign_number_from_abroad_is_as_it_should_be(judge: Judge) -> None:
    """Only numbers of the home country must not come from there."""
    assert judge.judge(moment([from_abroad(number=pack_digits(NumberKind.E164, "442079460000"))]), Memory()) == []


# --- what holds a block back ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "verdict", "expected"),
    [
        ({}, {"mode": "flag"}, ("mode",)),
        ({}, {"mode": "shadow"}, ("mode",)),
        ({"warm": False}, {}, ("warm_up",)),
        ({"silent": 1 << 1}, {}, ("source_silent",)),
        ({"number": pack_digits(NumberKind.E164, "99971111111")}, {}, ("never_block",)),
        ({"number": pack_digits(NumberKind.E164, "99972233333")}, {}, ("never_block",)),
        ({"number": pack_digits(NumberKind.E164, "99920001111")}, {}, ("never_block",)),
        ({"number": pack_digits(NumberKind.SHORT, "112")}, {}, ("never_block",)),
        ({}, {"hold_out_share": 1.0, "hold_out_key": "k"}, ("hold_out",)),
        ({}, {"block_budget_per_hour": 0}, ("budget",)),
        ({"warm": False, "silent": 2}, {"mode": "flag"}, ("mode", "warm_up", "source_silent")),
    ],
)
def test_a_block_that_is_held_back_becomes_a_flag_that_says_by_what(
    policy: Policy,
    model: Model,
    block: float,
    entry: dict[str, Any],
    verdict: dict[str, Any],
    expected: tuple[str, ...],
) -> None:
    """All reasons are named; the redress number and emergency codes are never blocked either."""
    judge = judge_of(policy, model, settings_with(**verdict))
    (decision,) = judge.judge(moment([Entry(**{"margin": block} | entry)]), Memory())
    assert (decision.rule, decision.action, decision.held_back) == ("surge", "flag", expected)
    assert decision.enforcement is None
    assert decision.mode == verdict.get("mode", "enforce")


def test_only_the_sources_that_a_rule_depends_on_hold_it_back(judge: Judge, block: float) -> None:
    """`surge` depends on source 1 alone, `costly` on all, `spoofed` on none."""
    silent = 1 << 2
    (surge,) = judge.judge(moment([Entry(margin=block, silent=silent)]), Memory())
    assert surge.action == "block"
    (spoofed,) = judge.judge(moment([from_abroad(silent=silent | 1 << 1)]), Memory())
    assert spoofed.action == "block"
    zone = 882 << 4 | ZoneClass.SATELLITE
    costly, _ = judge.judge(moment([Entry(margin=block, silent=silent, zone=zone, flags=int(Flag.RISK))]), Memory())
    assert costly.held_back == ("source_silent",)


def test_a_court_order_waits_for_nothing_but_the_mode(policy: Policy, model: Model) -> None:
    """It does not rest on evidence that could be incomplete."""
    entry = Entry(margin=-99.0, features={"calls_out_7d": 999.0}, warm=False, silent=2)
    strict = {"block_budget_per_hour": 0, "hold_out_share": 1.0, "hold_out_key": "k"}
    (decision,) = judge_of(policy, model, settings_with(**strict)).judge(moment([entry]), Memory())
    assert (decision.action, decision.basis) == ("block", "court")
    (decision,) = judge_of(policy, model, settings_with(mode="flag")).judge(moment([entry]), Memory())
    assert decision.held_back == ("mode",)


def test_a_model_of_simulated_traffic_blocks_only_where_that_is_accepted(policy: Policy, tmp_path: Path) -> None:
    """What does not look at the model may block all the same."""
    models.save(tmp_path, models.fitted(), kind="simulated")
    model = Model.load(tmp_path)
    entries = [Entry(margin=model.thresholds.block), from_abroad()]
    held, spoofed = judge_of(policy, model).judge(moment(entries), Memory())
    assert (held.action, held.held_back) == ("flag", ("simulated_model",))
    assert spoofed.action == "block"
    accepting = msgspec.structs.replace(SETTINGS, model=ModelChoice(accept_simulated=True))
    assert brief(judge_of(policy, model, accepting).judge(moment(entries[:1]), Memory())) == [("surge", "block")]


def test_the_hold_out_is_drawn_by_a_keyed_hash_of_the_number(policy: Policy, model: Model, block: float) -> None:
    """The same numbers whatever the trunk group; others under another key; about the share of all."""
    numbers = [pack_digits(NumberKind.E164, f"9997{i:07}") for i in range(400)]

    def held(key: str) -> list[int]:
        judge = judge_of(
            policy, model, settings_with(hold_out_share=0.25, hold_out_key=key, block_budget_per_hour=4_000)
        )
        decisions = judge.judge(moment([Entry(number=n, margin=block) for n in numbers]), Memory())
        return [i for i, decision in enumerate(decisions) if decision.held_back == ("hold_out",)]

    assert held("a") == held("a") != held("b")
    assert 70 <= len(held("a")) <= 130
    assert held("long " * 50)


def test_the_budget_of_an_hour_is_shared_out_exactly(policy: Policy, model: Model, block: float) -> None:
    """6 blocks an hour over 4 partitions: 2, 2, 1, 1; this is partition 2. The next hour has room again.

    hour      0              1
    numbers   1 block, 2     3 block
    """
    judge = judge_of(policy, model, settings_with(block_budget_per_hour=6))
    numbers = [pack_digits(NumberKind.E164, f"9997000000{i}") for i in range(3)]
    memory = Memory()
    times = (START_MS, START_MS + 1, START_MS + HOUR_MS)
    decisions = judge.judge(
        moment([Entry(number=n, at_ms=t, margin=block) for n, t in zip(numbers, times, strict=True)]), memory
    )
    assert [(d.action, d.held_back) for d in decisions] == [("block", ()), ("flag", ("budget",)), ("block", ())]


def test_a_flag_that_was_held_back_becomes_a_block_when_nothing_holds_it_any_more(judge: Judge, block: float) -> None:
    """The log has become long enough."""
    decisions = judge.judge(moment([Entry(margin=block, warm=False), Entry(margin=block)]), Memory())
    assert [d.action for d in decisions] == ["flag", "block"]
    assert decisions[1].supersedes == decisions[0].decision_id


def test_analytics_rules_can_be_told_to_say_nothing_while_windows_fill(
    policy: Policy, model: Model, block: float
) -> None:
    """What a call itself proves is said all the same, and flags."""
    silent = msgspec.structs.replace(policy.text, warm_up="silent")
    judge = judge_of(replace(policy, text=silent), model)
    entries = [Entry(margin=block, warm=False), from_abroad(warm=False), Entry(margin=block)]
    decisions = judge.judge(moment(entries), Memory())
    assert [(d.rule, d.action, d.held_back) for d in decisions] == [
        ("spoofed", "flag", ("warm_up",)),
        ("surge", "block", ()),
    ]


def test_what_is_only_flagged_or_warned_of_is_never_held_back(policy: Policy, model: Model, flag: float) -> None:
    """Nothing is taken from anybody."""
    judge = judge_of(policy, model, settings_with(mode="flag"))
    entry = Entry(margin=flag, features={"calls_out_24h": 100.0}, warm=False)
    (decision,) = judge.judge(moment([entry]), Memory())
    assert (decision.action, decision.held_back) == ("warn", ())


def test_a_warning_supersedes_a_flag_in_whatever_mode(policy: Policy, model: Model, flag: float) -> None:
    """The mode holds back blocks alone."""
    judge = judge_of(policy, model, settings_with(mode="flag"))
    many = Entry(margin=flag, features={"calls_out_24h": 100.0})
    assert brief(judge.judge(moment([Entry(margin=flag), many, many]), Memory())) == [
        ("odd", "flag"),
        ("label", "warn"),
    ]


def test_a_warning_that_wins_over_a_held_back_block_says_what_held_it(
    policy: Policy, model: Model, block: float
) -> None:
    """Otherwise nobody would learn that there would have been a block."""
    judge = judge_of(policy, model, settings_with(mode="flag"))
    (decision,) = judge.judge(moment([Entry(margin=block, features={"calls_out_24h": 100.0})]), Memory())
    assert (decision.rule, decision.action, decision.held_back) == ("label", "warn", ("mode",))


# --- renewal ----------------------------------------------------------------------------------


def blocked_attempt(minute: float, **fields: Any) -> Entry:
    """A call that our own block rejected."""
    flags = int(Flag.OWN_BLOCK | Flag.OWN)
    return Entry(**{"at_ms": START_MS + int(minute * MINUTE_MS), "flags": flags} | fields)


def test_attempts_in_the_last_quarter_renew_a_block_up_to_its_longest_life(judge: Judge, block: float) -> None:
    """
    life 4,000 s, then 8,000, then 10,000, the longest; x: an attempt that comes too early

    minutes   0      30  50        110  150       300
              block  x   renewed   x    renewed   renewed
    """
    attempts = [blocked_attempt(minute) for minute in (30, 50.1, 110, 151, 300)]
    decisions = judge.judge(moment([Entry(margin=block), *attempts]), Memory())
    assert [(d.expires_at - d.issued_at) // 1000 for d in decisions] == [4_000, 8_000, 10_000, 10_000]
    assert [d.renewals for d in decisions] == [0, 1, 2, 3]
    assert [d.version for d in decisions] == [1, 2, 3, 4]
    assert {d.since for d in decisions} == {START_MS}
    assert decisions[1].supersedes == decisions[0].decision_id
    assert decisions[1].reasons == decisions[0].reasons
    assert decisions[1].evidence.records != decisions[0].evidence.records


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"kind": Kind.SMS}, {}),
        ({"number": FIXED}, {}),
        ({"role": Role.TO}, {}),
        ({"at_ms": START_MS + 4_000_000}, {}),
        ({"judged": False}, {}),
        ({"silent": 2}, {}),
        ({"warm": False}, {}),
        ({}, {"mode": "flag"}),
        ({}, {"hold_out_share": 1.0, "hold_out_key": "k"}),
    ],
)
def test_other_attempts_renew_nothing(
    policy: Policy, model: Model, block: float, fields: dict[str, Any], verdict: dict[str, Any]
) -> None:
    """Another service or number, the called party, after expiry, or when the rule may no longer block."""
    memory = Memory()
    judge_of(policy, model).judge(moment([Entry(margin=block)]), memory)
    late = judge_of(policy, model, settings_with(**verdict))
    assert late.judge(moment([blocked_attempt(60, **fields)], first=1), memory) == []


def test_the_block_of_a_number_on_a_trunk_is_renewed_by_its_attempts_there(policy: Policy, model: Model) -> None:
    """Its life is an hour at most: the hour begins anew."""
    judge = judge_of(policy, model)
    attempts = [
        blocked_attempt(50, number=FIXED, trunk=trunk, flags=int(Flag.OWN_BLOCK | Flag.INTL_TRUNK)) for trunk in (8, 7)
    ]
    decisions = judge.judge(moment([from_abroad(), *attempts]), Memory())
    assert [(d.number, d.renewals) for d in decisions] == [("+99921234567@7", 0), ("+99921234567@7", 1)]
    assert decisions[1].expires_at == START_MS + 110 * MINUTE_MS


def test_an_operators_block_is_not_renewed(judge: Judge) -> None:
    """It lasts as long as its operator said."""
    attempt = blocked_attempt(55)
    (decision,) = judge.judge(moment([order(command("block", service="voice", ttl_s=3600)), attempt]), Memory())
    assert decision.rule == "operator"


# --- operators --------------------------------------------------------------------------------


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


# --- what a decision says ---------------------------------------------------------------------


def test_a_decision_tells_its_reasons_evidence_and_answer(judge: Judge, model: Model) -> None:
    """With the vector of the very row that decided."""
    vector, fraud = models.samples(300)
    margins = model.margins(vector)
    worst = int(np.argmax(margins))
    assert fraud[worst]
    features = {name: float(v) for name, v in zip(model.names, vector[worst], strict=True) if not np.isnan(v)}
    (decision,) = judge.judge(moment([Entry(margin=float(margins[worst]), features=features)]), Memory())
    assert decision.score is not None
    assert decision.score.margin == margins[worst]
    assert 0 < decision.score.display <= 1
    assert decision.reasons[0].contribution > 0
    assert decision.evidence.counts["calls_out_24h"] == pytest.approx(features["calls_out_24h"], abs=1e-4)
    assert "talk_mean_24h" not in decision.evidence.counts
    assert [(p.source, p.partition, p.offset) for p in decision.evidence.records] == [("switch", 5, 1_000)]
    assert decision.except_ == ("short:112", "+99920001111")
    assert decision.redress["url"] == "https://example.net/blocked"
    assert decision.model_version == model.version


@pytest.mark.parametrize(
    ("entry", "number", "party", "point"),
    [
        ({}, "+99971234567", "own", "subscriber"),
        ({"flags": 1, "trunk": 7}, "+99971234567", "foreign", "trunk:abroad"),
        ({"flags": 1}, "+99971234567", "foreign", "gateway"),
        (
            {"number": pack_number(NumberKind.E164, 442079460000, 7), "flags": 1},
            "+442079460000@7",
            "foreign",
            "trunk:abroad",
        ),
        (
            {"number": pack_sender("ACME", 11), "flags": 1, "kind": Kind.SMS},
            "sender:ACME@11",
            "foreign",
            "account:aggregator",
        ),
        ({"number": pack_sender("Other", 600), "flags": 1, "kind": Kind.SMS}, None, "foreign", "account:600"),
    ],
)
def test_a_decision_says_whose_number_it_is_and_where_it_can_be_enforced(
    judge: Judge, block: float, entry: dict[str, Any], number: str | None, party: str, point: str
) -> None:
    """By the names that the settings give trunk groups and accounts."""
    names = {pack_sender("ACME", 11): "ACME"}
    (decision,) = judge.judge(moment([Entry(**{"margin": block} | entry)], names=names), Memory())
    assert number is None or decision.number == number
    assert (decision.party, decision.point) == (party, point)


def test_a_sender_id_keeps_its_key_when_its_text_changes(judge: Judge, flag: float, block: float) -> None:
    """A later message may write it in other case, or not bring its text at all."""
    number, memory = pack_sender("ACME", 11), Memory()
    entry: dict[str, Any] = {"number": number, "kind": Kind.SMS, "flags": 1}
    first = judge.judge(moment([Entry(margin=flag, **entry)], names={number: "Acme"}), memory)
    second = judge.judge(moment([Entry(margin=block, **entry)], first=1), memory)
    assert first[0].key() == second[0].key() == "sender:Acme@11|sms|originating"


def test_the_called_party_never_reads_a_number_that_is_withheld(judge: Judge, flag: float) -> None:
    """Otherwise the notice names it."""
    busy = {"calls_out_24h": 100.0}
    shown, withheld = (
        judge.judge(moment([Entry(margin=flag, features=busy, flags=flags)]), Memory())[0].notice
        for flags in (int(Flag.OWN), int(Flag.OWN | Flag.RESTRICTED))
    )
    assert shown == "Suspected spam call from +99971234567"
    assert withheld == "Suspected spam call from a withheld number"


# --- rows that need a vector, and start -------------------------------------------------------


def test_originators_are_scored_and_recipients_only_for_rules_about_them(
    judge: Judge, policy: Policy, model: Model, tmp_path: Path
) -> None:
    """Commands, blocked attempts and emergency calls are never scored."""
    entries = [
        Entry(),
        Entry(role=Role.TO),
        Entry(kind=Kind.SMS),
        blocked_attempt(0),
        Entry(flags=int(Flag.EMERGENCY)),
        order(command("block")),
        Entry(kind=Kind.HEARTBEAT),
    ]
    rows = moment(entries).rows
    assert judge.moments_wanted(rows).tolist() == [True, False, True, False, False, False, False]
    victims = {
        "id": "victim",
        "when": "sms_in_24h >= 20",
        "on": "to",
        "scope": "terminating",
        "action": "flag",
        "ttl_s": 60,
        "reason": "Many codes.",
    }
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"name": "victims", "rules": [victims]}))
    other = judge_of(Policy.load(tmp_path / "policy.yaml"), None)
    assert other.needs_to_vectors
    assert not judge.needs_to_vectors
    assert other.moments_wanted(rows).tolist() == [True, True, True, False, False, False, False]
    received = Entry(role=Role.TO, kind=Kind.SMS, margin=float("nan"), features={"sms_in_24h": 20.0}, flags=0)
    (decision,) = other.judge(moment([received]), Memory())
    assert (decision.scope, decision.score, decision.model_version) == ("terminating", None, None)
    assert decision.evidence.counts == {"sms_in_24h": 20.0}


def test_without_model_and_features_nothing_is_scored(tmp_path: Path) -> None:
    """Rules about the call itself need no vectors; rules about the margin never match."""
    rules = [POLICY["rules"][0], POLICY["rules"][3]]
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"name": "plain", "rules": rules}))
    judge = judge_of(Policy.load(tmp_path / "policy.yaml"), None)
    whole = moment([from_abroad(), Entry()])
    assert not judge.moments_wanted(whole.rows).any()
    assert brief(judge.judge(whole, Memory())) == [("spoofed", "block")]


def test_a_policy_that_does_not_fit_the_settings_stops_at_start(tmp_path: Path, model: Model) -> None:
    """A source that is not there, a contact that is missing."""
    rules = [POLICY["rules"][3] | {"sources": ["radius"]}]
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"name": "p", "rules": rules}))
    with pytest.raises(ConfigError, match=r"rules\[0\].sources\[0\] must be one of switch, smsc"):
        judge_of(Policy.load(tmp_path / "policy.yaml"), model)
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"name": "p", "jurisdiction": "us", "rules": []}))
    with pytest.raises(ConfigError, match=r"jurisdiction us must come with a redress contact"):
        judge_of(Policy.load(tmp_path / "policy.yaml"), model, settings_with(redress={}))


# --- laws -------------------------------------------------------------------------------------

entries_of_a_log = st.lists(
    st.one_of(
        st.builds(
            Entry,
            number=st.sampled_from(
                [MOBILE, FIXED, pack_digits(NumberKind.E164, "99971111111"), pack_sender("ACME", 11)]
            ),
            margin=st.sampled_from([None, -5.0, 3.0, 1e6]),
            features=st.sampled_from([{}, {"calls_out_24h": 100.0}, {"calls_out_7d": 999.0}]),
            kind=st.sampled_from([Kind.CALL, Kind.SMS]),
            flags=st.sampled_from(
                [int(Flag.OWN), int(Flag.OWN_BLOCK), int(Flag.INTL_TRUNK), int(Flag.RISK), int(Flag.RESTRICTED)]
            ),
            trunk=st.sampled_from([0, 7]),
            zone=st.sampled_from([0, 882 << 4 | ZoneClass.SATELLITE]),
            warm=st.sampled_from([True, True, False]),
            silent=st.sampled_from([0, 0, 2]),
            judged=st.sampled_from([True, True, True, False]),
        ),
        st.builds(
            lambda action, service, scope: order(command(action, service=service, scope=scope)),
            st.sampled_from(["release", "allow", "block"]),
            st.sampled_from(["voice", "sms", "all"]),
            st.sampled_from(["originating", "all", "trunk:7"]),
        ),
    ),
    max_size=40,
)


def test_the_cut_of_the_log_into_moments_is_irrelevant(policy: Policy, model: Model) -> None:
    """Any cut between two messages, memory rebuilt from the topic at each: equal decisions, byte for byte.

    Each decision fits the schema, and no id occurs twice.
    """
    judge = judge_of(policy, model, settings_with(block_budget_per_hour=6))
    validator = jsonschema.Draft202012Validator(json.loads((ROOT / "configs" / "decision.schema.json").read_bytes()))
    seen: set[str] = set()

    @settings(max_examples=80, deadline=None)
    @given(entries_of_a_log, st.integers(1, 7), st.data())
    def law(entries: list[Entry], message: int, data: st.DataObject) -> None:
        entries = [replace(entry, at_ms=START_MS + i * 20 * MINUTE_MS) for i, entry in enumerate(entries)]
        # A command is a message of its own.
        message = 1 if any(entry.command for entry in entries) else message
        whole = [d.to_json() for d in judge.judge(moment(entries, message=message), Memory())]
        topic: list[tuple[bytes, bytes]] = []
        start = 0
        while start < len(entries):
            stop = start + message * data.draw(st.integers(1, 5))
            part = moment(entries[start:stop], first=start, message=message)
            topic += [(d.key().encode(), d.to_json()) for d in judge.judge(part, Memory.rebuild(topic))]
            start = stop
        assert whole == [value for _, value in topic]
        decisions = [Decision.from_json(value) for value in whole]
        assert len({d.decision_id for d in decisions}) == len(decisions)
        seen.update(d.action for d in decisions)
        for value in whole:
            validator.validate(json.loads(value))

    law()
    assert seen == {"flag", "warn", "block", "release", "allow"}


@pytest.mark.parametrize("mode", ["shadow", "flag", "enforce"])
def test_what_is_passed_over_as_settled_would_have_changed_nothing(policy: Policy, model: Model, mode: str) -> None:
    """Weighed in full, every row comes to the same decisions; some rows are passed over, and some are not."""
    passed_over: set[bool] = set()

    class Thorough(Judge):
        def _is_settled(self, rules: list[Rule], subject: Any, memory: Memory) -> bool:
            passed_over.add(super()._is_settled(rules, subject, memory))
            return False

    quick, thorough = (each(policy, model, ZONES, settings_with(mode=mode)) for each in (Judge, Thorough))

    # One number that is judged again and again: among many, a second decision on the same case is rare.
    of_one = st.builds(
        Entry,
        margin=st.sampled_from([model.thresholds.flag, model.thresholds.block]),
        features=st.sampled_from([{}, {"calls_out_24h": 100.0}, {"calls_out_7d": 999.0}]),
        warm=st.booleans(),
    )

    @settings(max_examples=80, deadline=None)
    @given(st.one_of(entries_of_a_log, st.lists(of_one, min_size=2, max_size=20)))
    def law(entries: list[Entry]) -> None:
        entries = [replace(entry, at_ms=START_MS + i * 20 * MINUTE_MS) for i, entry in enumerate(entries)]
        whole = moment(entries, message=1)
        assert quick.judge(whole, Memory(), Memory()) == thorough.judge(whole, Memory(), Memory())

    law()
    assert passed_over == {True, False}
