"""Laws of the judge: the cut of the log is irrelevant, and so is what it passes over."""

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.config import ROOT
from detector.ingest.zones import ZoneClass
from detector.records import Flag, Kind, NumberKind, pack_digits, pack_sender
from detector.units import MINUTE_MS
from detector.verdict.decisions import Decision
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy, Rule
from tests.verdict.judging import judge_of
from tests.verdict.moments import FIXED, MOBILE, START_MS, ZONES, Entry, command, moment, order
from tests.verdict.moments import settings as settings_with

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
