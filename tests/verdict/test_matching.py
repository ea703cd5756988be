"""Matching: gates and shared conditions give what each rule gives on each row by itself."""

from typing import Any

import numpy as np
import pytest
import yaml

from detector.features.state import Status
from detector.records import Flag, Kind, Role
from detector.verdict import matching
from detector.verdict.facts import Moment, MomentFacts, Surroundings
from detector.verdict.lists import NumberList
from detector.verdict.matching import Matcher, Matches
from detector.verdict.model import Model
from detector.verdict.policy import Policy, Rule
from tests.verdict.moments import ZONES, moment
from tests.verdict.test_recorded import LIFE, RULES, log


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The rules of the recorded log."""
    folder = tmp_path_factory.mktemp("policy")
    (folder / "bad.txt").write_text("+99921234568\n+9995*\n")
    text: dict[str, Any] = {"name": "matching", "lists": {"bad": "bad.txt"}, "rules": [LIFE | rule for rule in RULES]}
    (folder / "policy.yaml").write_text(yaml.safe_dump(text))
    return Policy.load(folder / "policy.yaml")


@pytest.fixture(scope="module")
def surroundings(policy: Policy, model: Model) -> Surroundings:
    return Surroundings(model.thresholds, ZONES, NumberList.of(("+999*",)), policy.lists, roaming_source=False)


def plainly(policy: Policy, surroundings: Surroundings, waits: bool, made: Moment) -> Matches:
    """Row by row and rule by rule, as the policy is written."""
    rules: dict[int, list[Rule]] = {}
    attempts, commands = set(), set()
    scored = made.updated.scored.tolist()
    for i, row in enumerate(made.rows):
        kind, flags = Kind(int(row["kind"])), Flag(int(row["flags"]))
        if made.judged[i] and kind is Kind.COMMAND:
            commands.add(i)
        if (
            not made.judged[i]
            or made.updated.status[i] != Status.COUNTED
            or not row["number"]
            or Flag.EMERGENCY in flags
        ):
            continue
        if Flag.OWN_BLOCK in flags:
            attempts.add(i)
            continue
        slots = np.full(len(made.rows), scored.index(i) if i in scored else -1)
        for rule in policy.rules:
            asked = kind.name.lower() in rule.text.kinds and Role(int(row["role"])).name.lower() == rule.text.on
            warm = bool(made.warm[i]) or not waits or rule.text.basis != "analytics"
            lets_in = asked and warm and (i in scored or not rule.needs_vector)
            if lets_in and rule.when.mask(MomentFacts(made, surroundings, slots, np.array([i])))[0]:
                rules.setdefault(i, []).append(rule)
    return Matches(rules, frozenset(attempts), frozenset(commands))


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("first", [0, 2_000])
def test_matches_are_those_of_each_rule_on_each_row(
    policy: Policy, surroundings: Surroundings, model: Model, first: int, waits: bool
) -> None:
    """On a stretch of the recorded log with rows that may not decide, and one without."""
    made = moment(log(model)[first : first + 300], first)
    got = Matcher(policy.rules, surroundings, waits).match(made)
    assert plainly(policy, surroundings, waits, made) == got
    assert got.rules
    assert got.attempts
    assert got.commands


def test_the_plain_kernel_equals_the_compiled_one(
    policy: Policy, surroundings: Surroundings, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same lines, run by Python."""
    made = moment(log(model)[:300])
    compiled = Matcher(policy.rules, surroundings, waits=True).match(made)
    kernel = matching.mark_rows
    monkeypatch.setattr(matching, "mark_rows", getattr(kernel, "py_func", kernel))
    assert compiled == Matcher(policy.rules, surroundings, waits=True).match(made)


def test_rules_that_begin_alike_share_a_branch(policy: Policy, surroundings: Surroundings) -> None:
    """`intl_trunk` of three rules on calls is computed once."""
    gates = Matcher(policy.rules, surroundings, waits=True)._gates
    shared = [
        [policy.rules[i].id for i in _rules_below(then)] for _, branch in gates for _, then in branch.then.values()
    ]
    assert ["listed", "fixed"] in shared
    assert ["rings", "label"] in shared


def _rules_below(branch: Any) -> list[int]:
    return [*branch.rules, *(rule for _, then in branch.then.values() for rule in _rules_below(then))]
