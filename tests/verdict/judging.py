"""A policy with a rule of each kind, its judge, and the rows that judges are tried with."""

from collections.abc import Sequence
from typing import Any

from detector.config import Settings
from detector.records import Flag
from detector.units import MINUTE_MS
from detector.verdict.decisions import Decision
from detector.verdict.judge import Judge
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.verdict.moments import FIXED, SETTINGS, START_MS, ZONES, Entry

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


def judge_of(policy: Policy, model: Model | None, settings: Settings = SETTINGS) -> Judge:
    """The judge of these settings."""
    return Judge(policy, model, ZONES, settings)


def brief(decisions: Sequence[Decision]) -> list[tuple[str, str]]:
    """Rule and action of each."""
    return [(decision.rule, decision.action) for decision in decisions]


def from_abroad(**fields: Any) -> Entry:
    """A call that arrives on the international trunk group 7."""
    return Entry(**{"number": FIXED, "flags": int(Flag.BEGAN | Flag.INTL_TRUNK), "trunk": 7} | fields)


def blocked_attempt(minute: float, **fields: Any) -> Entry:
    """A call that our own block rejected."""
    flags = int(Flag.OWN_BLOCK | Flag.OWN)
    return Entry(**{"at_ms": START_MS + int(minute * MINUTE_MS), "flags": flags} | fields)
