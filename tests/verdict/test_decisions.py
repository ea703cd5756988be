"""Decisions as JSON: what is written comes back, and fits the schema that others read by."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from detector.config import ROOT
from detector.verdict.decisions import Decision, Enforcement, Evidence, Position, ReasonGiven, Score, decision_schema

SCHEMA = ROOT / "configs" / "decision.schema.json"

FULL = Decision(
    decision_id="2-10-3-wangiri",
    number="+99971234567",
    service="voice",
    action="block",
    scope="originating",
    party="own",
    point="subscriber",
    except_=("short:112", "short:611"),
    basis="analytics",
    severity="high",
    issued_at=1_767_600_000_000,
    since=1_767_600_000_000,
    expires_at=1_767_607_200_000,
    supersedes="2-9-0-model-flag",
    version=2,
    score=Score(margin=2.25, display=0.9),
    reason="It rings many different numbers.",
    reasons=(ReasonGiven("calls_out_1h", 60.0, "calls", 99.5, 1.25, "Calls it began in the last hour. 60 calls."),),
    rule="wangiri",
    mode="enforce",
    model_version="default-0123abcd",
    policy_version="default-89abcdef",
    evidence=Evidence(1_767_600_000_000, {"calls_out_1h": 60.0}, (Position("switch", 5, 1000),)),
    enforcement=Enforcement(sip_code=603, sip_phrase="Decline", isup_cause=21),
    redress={"url": "https://example.net/blocked"},
)


def change(**fields: Any) -> Decision:
    """The decision above with other fields."""
    return msgspec.structs.replace(FULL, **fields)


def test_a_decision_comes_back_from_its_json() -> None:
    """Equal, and with equal bytes."""
    again = Decision.from_json(FULL.to_json())
    assert again == FULL
    assert again.to_json() == FULL.to_json()


def test_the_key_is_the_case() -> None:
    """Number, service and scope: the slot that the decision fills."""
    assert FULL.key() == "+99971234567|voice|originating"


def test_the_exceptions_are_written_under_the_word_itself() -> None:
    """`except` is a word of Python, not of its readers."""
    assert json.loads(FULL.to_json())["except"] == ["short:112", "short:611"]


def test_the_schema_in_configs_is_that_of_the_class() -> None:
    """Write `decision_schema()` there again after a change of fields."""
    assert decision_schema() == SCHEMA.read_bytes()


@pytest.mark.parametrize(
    "decision",
    [
        FULL,
        change(score=None, reasons=(), enforcement=None, supersedes=None, model_version=None),
        change(action="flag", held_back=("mode", "budget"), notice=None),
        change(action="warn", notice="Suspected spam call from a withheld number"),
        change(reasons=(ReasonGiven("talk_mean_24h", None, "s", None, 0.5, "Cannot be known here."),)),
    ],
)
def test_decisions_fit_the_schema(decision: Decision) -> None:
    """Every optional part left out or given."""
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(json.loads(decision.to_json()))


@pytest.mark.parametrize(
    ("field", "value"),
    [("action", "kill"), ("version", 0), ("issued_at", "now"), ("held_back", ["mood"]), ("evidence", None)],
)
def test_the_schema_and_the_reader_refuse_the_same(field: str, value: Any) -> None:
    """Whoever checks against the schema refuses what we would refuse."""
    content = json.loads(FULL.to_json()) | {field: value}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(content)
    with pytest.raises(msgspec.ValidationError, match=field):
        Decision.from_json(json.dumps(content).encode())


def test_a_reader_ignores_fields_of_later_versions() -> None:
    """New fields are additions with a default."""
    assert Decision.from_json(json.dumps(json.loads(FULL.to_json()) | {"later": 1}).encode()) == FULL
