"""The policy file: what is wrong in it stops at start, with file, place, wanted and got."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.config import ROOT
from detector.errors import ConfigError
from detector.verdict.policy import Policy

SHIPPED = ROOT / "configs" / "policy.yaml"

RULE: dict[str, Any] = {
    "id": "loud",
    "when": "calls_out_24h > 100",
    "action": "block",
    "ttl_s": 3600,
    "reason": "It calls a lot.",
    "examples": [
        {"match": True, "facts": {"calls_out_24h": 101}},
        {"match": False, "facts": {"calls_out_24h": 100}},
    ],
}


def write(folder: Path, rule: dict[str, Any] | None = None, **top: Any) -> Path:
    """A policy file of one rule with these changes."""
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump({"name": "test", "rules": [RULE | (rule or {})], **top}))
    return path


def test_the_shipped_policy_does_as_its_examples_say() -> None:
    """Each of its rules has one that matches and one that does not."""
    assert Policy.load(SHIPPED).check_examples() == []


def test_the_shipped_policy_never_blocks_a_suspected_sim_box() -> None:
    """Couriers and test probes look alike: an analyst decides."""
    actions = {rule.id: rule.text.action for rule in Policy.load(SHIPPED).rules}
    assert actions["sim-box"] == "flag"
    assert actions["wangiri"] == actions["irsf"] == actions["smishing"] == "block"


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    """Of the file and of its lists: a decision says which policy decided."""
    (tmp_path / "a.txt").write_text("+9991\n")
    path = write(tmp_path, lists={"a": "a.txt"})
    before = Policy.load(path).version
    assert before == Policy.load(path).version
    assert before.startswith("test-")
    (tmp_path / "a.txt").write_text("+9992\n")
    assert before != Policy.load(path).version


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"ttl_s": -5}, r"policy.yaml: rules\[0\].ttl_s must be positive \(got -5\)"),
        ({"ttl_s": 7_776_001}, r"rules\[0\].ttl_s must be at most 7776000, 90 days \(got 7776001\)"),
        ({"max_ttl_s": 7_776_001}, r"rules\[0\].max_ttl_s must be at most 7776000, 90 days \(got 7776001\)"),
        ({"ttl_s": 60, "max_ttl_s": 5}, r"rules\[0\].max_ttl_s must be at least ttl_s, 60 \(got 5\)"),
        ({"ttl_s": "1h"}, r"policy.yaml: rules\[0\].ttl_s: Expected `int`, got `str` \(got '1h'\)"),
        ({"when": "calls > 1"}, r"policy.yaml: rules\[0\].when: wanted a feature or fact that exists \(got calls\)"),
        ({"action": "kill"}, r"rules\[0\].action: Invalid enum value 'kill'"),
        ({"kinds": []}, r"rules\[0\].kinds must name call, sms or both \(got none\)"),
        ({"reason": " "}, r"rules\[0\].reason must be a text"),
        ({"id": "Loud"}, r"rules\[0\].id: .*\(got 'Loud'\)"),
        ({"id": "operator"}, r"rules\[0\].id must differ from every other and from operator \(got 'operator'\)"),
        ({"on": "to"}, r"rules\[0\].scope must fit on: to \(got originating\)"),
        ({"scope": "terminating"}, r"rules\[0\].scope must fit on: from \(got terminating\)"),
        ({"notice": "Spam"}, r"rules\[0\].notice must go with action: warn \(got block\)"),
        ({"action": "warn", "notice": "From {other}"}, r"rules\[0\].notice: wanted {originator} alone in braces"),
        ({"action": "warn", "notice": "From {"}, r"rules\[0\].notice: wanted a text"),
        (
            {"when": "margin > flag", "basis": "deterministic"},
            r"rules\[0\].basis must be analytics .*got deterministic",
        ),
        ({"colour": "red"}, r"rules\[0\]: Object contains unknown field `colour`"),
        (
            {"examples": [{"match": True, "facts": {"calls": 1}}]},
            r"examples\[0\].facts: wanted a feature .*got 'calls'",
        ),
        (
            {"examples": [{"match": True, "facts": {"own": 3}}]},
            r"examples\[0\].facts.own: wanted yes or no \(got 3.0\)",
        ),
        ({"examples": [{"match": True, "facts": {"margin": True}}]}, r"facts.margin: wanted a number \(got True\)"),
        ({"examples": [{"match": True, "facts": {"kind": "fax"}}]}, r"facts.kind: wanted none or call or sms"),
        ({"examples": [{"match": True, "lists": ["x"]}]}, r"examples\[0\].lists: wanted one of \(none\) \(got 'x'\)"),
    ],
)
def test_a_wrong_rule_is_refused(tmp_path: Path, rule: dict[str, Any], message: str) -> None:
    """By its place in the file."""
    with pytest.raises(ConfigError, match=message):
        Policy.load(write(tmp_path, rule))


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ({"rules": [RULE, RULE]}, r"rules\[1\].id must differ from every other .*got 'loud'"),
        ({"never_block": ["friends"]}, r"never_block\[0\] must be one of lists \(got 'friends'\)"),
        ({"commands": {"block_ttl_s": 7_776_001}}, r"commands.block_ttl_s must be at most 7776000, 90 days"),
        ({"commands": {"release_ttl_s": 0}}, r"commands.release_ttl_s must be positive \(got 0\)"),
        ({"lists": {"a": "none.txt"}}, r"none.txt: wanted a readable text file"),
        ({"jurisdiction": "moon"}, r"jurisdiction: Invalid enum value 'moon'"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path: Path, top: dict[str, Any], message: str) -> None:
    """By the name of what is wrong."""
    with pytest.raises(ConfigError, match=message):
        Policy.load(write(tmp_path, **top))


def test_examples_that_do_not_hold_are_told_one_by_one(tmp_path: Path) -> None:
    """And a rule without an example of each kind is told as well."""
    policy = Policy.load(write(tmp_path, {"examples": [{"match": True, "facts": {"calls_out_24h": 7}}]}))
    first, second = policy.check_examples()
    assert first.endswith("policy.yaml: rules[0].examples[0]: loud: wanted match True (got False)")
    assert second.endswith("rules[0].examples: loud: wanted one that does not match (got none)")


def test_a_source_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A rule would otherwise wait for nothing."""
    with pytest.raises(ConfigError, match=r"rules\[0\].sources\[0\] must be one of switch, smsc \(got 'radius'\)"):
        Policy.load(write(tmp_path, {"sources": ["radius"]})).check_sources(("switch", "smsc"))


def test_a_jurisdiction_that_asks_for_a_contact_is_refused_without_one(tmp_path: Path) -> None:
    """A blocked caller must be able to turn to somebody."""
    policy = Policy.load(write(tmp_path, jurisdiction="us"))
    with pytest.raises(ConfigError, match=r"policy.yaml: jurisdiction us must come with a redress contact"):
        policy.check_redress({"tel": "+9992000111"})
    policy.check_redress({"url": "https://example.net/blocked"})


def test_an_analytics_block_of_a_call_answers_as_that_jurisdiction_asks(tmp_path: Path) -> None:
    """603 "Network Blocked", ISUP 21, who to turn to; other blocks answer as the policy says."""
    redress = {"url": "https://example.net/blocked"}
    policy = Policy.load(write(tmp_path, jurisdiction="us"))
    answer = policy.enforcement(policy.rules[0], "voice", redress)
    assert (answer.sip_code, answer.sip_phrase, answer.isup_cause) == (603, "Network Blocked", 21)
    assert answer.sip_reason == 'SIP;cause=603;text="v=analytics1;url=https://example.net/blocked;location=LN"'
    assert policy.enforcement(policy.rules[0], "sms", redress).smpp_status == 0x45
    assert policy.enforcement(None, "voice", redress).sip_phrase == "Decline"


def test_a_rule_may_bring_its_own_answer(tmp_path: Path) -> None:
    """Instead of the policy's."""
    policy = Policy.load(write(tmp_path, {"enforcement": {"sip_code": 608, "isup_cause": 21}}))
    assert policy.enforcement(policy.rules[0], "voice", {}).sip_code == 608
