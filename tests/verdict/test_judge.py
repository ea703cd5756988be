"""The judge: which row decides what, and once only."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.errors import ConfigError
from detector.features.state import Status
from detector.ingest.zones import ZoneClass
from detector.records import Flag, Kind, NumberKind, Role, pack_digits
from detector.units import HOUR_MS, MINUTE_MS
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.verdict.judging import POLICY, blocked_attempt, brief, from_abroad, judge_of
from tests.verdict.moments import FIXED, MOBILE, START_MS, Entry, command, moment, order
from tests.verdict.moments import settings as settings_with


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
