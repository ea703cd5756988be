"""Renewal: a block that calls still run into lives on, up to its longest life."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.records import Flag, Kind, Role
from detector.units import MINUTE_MS
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.verdict.judging import POLICY, blocked_attempt, from_abroad, judge_of
from tests.verdict.moments import FIXED, START_MS, Entry, command, moment, order
from tests.verdict.moments import settings as settings_with


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


def test_a_block_of_a_rule_that_no_longer_blocks_is_not_renewed(
    policy: Policy, model: Model, block: float, tmp_path: Path
) -> None:
    """A carrier that softens a rule wants its blocks to run out."""
    memory = Memory()
    judge_of(policy, model).judge(moment([Entry(margin=block)]), memory)
    rules = [rule | {"action": "flag"} if rule["id"] == "surge" else rule for rule in POLICY["rules"]]
    (tmp_path / "never.txt").write_text("")
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(POLICY | {"rules": rules}))
    softer = judge_of(Policy.load(tmp_path / "policy.yaml"), model)
    assert softer.judge(moment([blocked_attempt(60)], first=1), memory) == []
    assert judge_of(policy, model).judge(moment([blocked_attempt(60)], first=1), memory) != []
