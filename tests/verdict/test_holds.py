"""What holds a block back: the flag in its place says by what."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config import ModelChoice
from detector.ingest.zones import ZoneClass
from detector.records import Flag, NumberKind, pack_digits
from detector.units import HOUR_MS
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.verdict import models
from tests.verdict.judging import brief, from_abroad, judge_of
from tests.verdict.moments import SETTINGS, START_MS, Entry, moment
from tests.verdict.moments import settings as settings_with


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


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ({"mode": "flag"}, ("mode",)),
        ({"mode": "shadow"}, ("mode",)),
        ({"hold_out_share": 1.0, "hold_out_key": "k"}, ("hold_out",)),
        ({"block_budget_per_hour": 0}, ("budget",)),
    ],
)
def test_a_flag_in_force_does_not_hide_that_a_block_was_held_back_afterwards(
    policy: Policy, model: Model, block: float, verdict: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """It is said once, by the rule that would have blocked: a trial is to tell what enforcement would do."""
    judge = judge_of(policy, model, settings_with(**verdict))
    entries = [Entry(margin=model.thresholds.flag), *[Entry(margin=block, at_ms=START_MS + 1 + i) for i in range(5)]]
    odd, surge = judge.judge(moment(entries), Memory())
    assert brief([odd, surge]) == [("odd", "flag"), ("surge", "flag")]
    assert (odd.held_back, surge.held_back) == ((), expected)
    assert (surge.supersedes, surge.since) == (odd.decision_id, odd.since)
    assert surge.expires_at == surge.issued_at + 4_000_000


def test_a_warning_in_force_goes_on_where_a_block_is_held_back(policy: Policy, model: Model, block: float) -> None:
    """Its text, too: less must not be done than before."""
    judge = judge_of(policy, model, settings_with(hold_out_share=1.0, hold_out_key="k"))
    busy = {"calls_out_24h": 100.0}
    flag = model.thresholds.flag
    decisions = judge.judge(moment([Entry(margin=flag, features=busy), *[Entry(margin=block)] * 3]), Memory())
    assert brief(decisions) == [("label", "warn"), ("surge", "warn")]
    assert decisions[1].held_back == ("hold_out",)
    assert decisions[1].notice == decisions[0].notice is not None


def test_what_the_hold_out_alone_holds_back_is_said_after_what_other_things_held_back(
    policy: Policy, model: Model, block: float
) -> None:
    """Who is outside it would be blocked as soon as the log is long enough: from then on chance alone decides."""
    judge = judge_of(policy, model, settings_with(hold_out_share=1.0, hold_out_key="k"))
    entries = [Entry(margin=block, warm=False), *[Entry(margin=block)] * 3, Entry(margin=block, warm=False)]
    decisions = judge.judge(moment(entries), Memory())
    assert [decision.held_back for decision in decisions] == [("hold_out", "warm_up"), ("hold_out",)]


MARGINS = st.sampled_from(("nothing", "flag", "block"))


@given(steps=st.lists(st.tuples(MARGINS, st.integers(0, 3_000), st.booleans()), max_size=40))
def test_the_hold_out_stands_for_all_that_would_be_blocked(
    policy: Policy, model: Model, steps: list[tuple[str, int, bool]]
) -> None:
    """Law: a number in it is said to be held back at the very rows at which it would be blocked outside it."""
    limits = model.thresholds
    margins = {"nothing": limits.watch - 1, "flag": limits.flag, "block": limits.block}
    entries, now_ms = [], START_MS
    for margin, wait_s, warm in steps:
        now_ms += 1000 * wait_s
        entries.append(Entry(at_ms=now_ms, margin=margins[margin], warm=warm))
    inside = judge_of(policy, model, settings_with(hold_out_share=1.0, hold_out_key="k"))
    held = [d for d in inside.judge(moment(entries), Memory()) if d.held_back == ("hold_out",)]
    blocks = [d for d in judge_of(policy, model).judge(moment(entries), Memory()) if d.action == "block"]
    assert [d.decision_id for d in held] == [d.decision_id for d in blocks]


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
