"""Decision: what to do in a case, until when, and why. What enforcement and analysts read.

`configs/decision.schema.json` is `decision_schema()` of this class; a test holds them equal.
Fields keep their names and meanings; what is new is a new field with a default.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

Action = Literal["flag", "warn", "block", "release", "allow"]
Service = Literal["voice", "sms"]
Basis = Literal["analytics", "deterministic", "operator", "court"]
Hold = Literal[
    "mode", "never_block", "hold_out", "warm_up", "source_silent", "simulated_model", "budget"
]  # in the order in which they are listed
"""What keeps a rule from blocking: it flags instead."""

SEVERITY: Final[dict[str, int]] = {"release": 0, "allow": 0, "flag": 1, "warn": 2, "block": 3}
"""A decision in force is superseded only by one that is higher here or in `block_rank`, or by an operator."""


def block_rank(action: Action, held_back: tuple[Hold, ...]) -> int:
    """How near a decision comes to a block: 3 is one, 2 one that only the hold-out kept back, 1 one that more did.

    What is held back is said in a decision of its own though a milder one is in force: a trial then tells what
    enforcement would do, and the hold-out stands for everybody who would be blocked.
    """
    if action == "block":
        return 3
    return 0 if not held_back else 2 if held_back == ("hold_out",) else 1


def _help(text: str) -> Any:
    return Meta(description=text)


class Score(Struct, frozen=True):
    """What the model made of the number at the deciding row."""

    margin: Annotated[float, _help("raw score, which the thresholds apply to")]
    display: Annotated[float, Meta(ge=0, le=1, description="calibrated value for people")]


class ReasonGiven(Struct, frozen=True):
    """One feature that moved the score."""

    feature: str
    value: Annotated[float | None, _help("null: cannot be known")]
    unit: str
    percentile: Annotated[
        float | None, _help("where the value lies among honest numbers, 0 to 100; null where they have none")
    ]
    contribution: Annotated[
        float, _help("this feature's share (Shapley value) of the margin less that of the typical honest number")
    ]
    sentence: str


class Position(Struct, frozen=True):
    """Where a record stands in the topic it came from."""

    source: str
    partition: int
    offset: int


class Evidence(Struct, frozen=True):
    """What the decision rests on."""

    event_ms: Annotated[int, _help("event time of the deciding record")]
    counts: Annotated[dict[str, float], _help("counts of the number's windows at that moment, by feature name")] = {}
    records: Annotated[tuple[Position, ...], _help("sample records")] = ()


class Enforcement(Struct, frozen=True, omit_defaults=True):
    """What the switch or SMSC answers where it rejects."""

    sip_code: int | None = None
    sip_phrase: str | None = None
    sip_reason: Annotated[str | None, _help("value of the SIP Reason header")] = None
    isup_cause: Annotated[int | None, _help("ITU-T Q.850 cause")] = None
    smpp_status: Annotated[int | None, _help("command_status of the SMPP response")] = None


class Decision(Struct, frozen=True, kw_only=True):
    """One decision. Of the decisions of a case, the one with the highest version holds."""

    decision_id: Annotated[str, _help("partition-offset-row-rule of the internal log: equal logs give equal ids")]
    number: Annotated[str, _help("+E164, +E164@trunk, short:…, local:…@trunk or sender:…@account")]
    service: Service
    action: Action
    scope: Annotated[
        str,
        _help(
            "originating, terminating, zone:<country>-<class>, trunk:<id>; all, for every scope, from operators only"
        ),
    ]
    party: Annotated[Literal["own", "foreign"], _help("whose subscriber the number is")]
    point: Annotated[str, _help("where it can be enforced: subscriber, trunk:<name>, account:<name> or gateway")]
    except_: Annotated[
        tuple[str, ...], _help("destinations that stay reachable: emergency, operator care, redress")
    ] = msgspec.field(name="except", default=())
    basis: Basis
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    issued_at: Annotated[int, _help("event time, UTC ms")]
    since: Annotated[int, _help("when the case's present action began, UTC ms: renewals keep it")]
    expires_at: Annotated[int, _help("UTC ms; enforcement ends the decision by itself")]
    supersedes: Annotated[str | None, _help("decision_id of the one in force until now")] = None
    version: Annotated[int, Meta(ge=1, description="rises per case; starts anew 7 days after the last one expired")]
    renewals: Annotated[int, Meta(ge=0, description="how often its life was renewed")] = 0
    protected_until: Annotated[
        int | None, _help("until then no analytics rule acts on the case: an operator released or allowed it")
    ] = None
    score: Score | None = None
    reason: Annotated[str, _help("the rule's text, or the operator's")]
    reasons: tuple[ReasonGiven, ...] = ()
    rule: str
    held_back: Annotated[tuple[Hold, ...], _help("what kept a block from being decided")] = ()
    mode: Annotated[
        Literal["shadow", "flag", "enforce"],
        _help("shadow: nobody acts on it; an operator's decision is always enforce"),
    ]
    model_version: str | None
    policy_version: str
    evidence: Evidence
    enforcement: Enforcement | None = None
    notice: Annotated[
        str | None, _help("text for the called party; never names an originator whose presentation is restricted")
    ] = None
    redress: Annotated[dict[str, str], _help("url, tel or email that a blocked originator can turn to")] = {}
    source: Annotated[str, _help("detector, or operator:<who>")] = "detector"

    def key(self) -> str:
        """The case as a message key: `number|service|scope`."""
        return f"{self.number}|{self.service}|{self.scope}"

    def to_json(self) -> bytes:
        """Equal decisions give equal bytes."""
        return _ENCODER.encode(self)

    @staticmethod
    def from_json(value: bytes) -> "Decision":
        """Raises `msgspec.ValidationError` or `DecodeError` with the path of what is wrong."""
        return _DECODER.decode(value)


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Decision)


def decision_schema() -> bytes:
    """JSON Schema (2020-12) of a decision, as `configs/decision.schema.json` holds it."""
    schema = msgspec.json.schema(Decision)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Decision", **schema}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"
