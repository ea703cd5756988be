"""Decisions and traffic for the demo's tests, written by hand."""

from typing import Any, Final

from detector.learning.simulate import Scenario, simulate
from detector.verdict.decisions import Decision, Evidence

TRAFFIC: Final = simulate(Scenario(numbers=400, seed=11))


def decision(number: str, at_ms: int, action: str = "flag", **more: Any) -> Decision:
    """A decision against `number`."""
    fields: dict[str, Any] = {
        "decision_id": f"0-{at_ms}-0-r1",
        "number": number,
        "service": "voice",
        "action": action,
        "scope": "originating",
        "since": at_ms,
        "party": "own",
        "point": "subscriber",
        "basis": "analytics",
        "issued_at": at_ms,
        "expires_at": at_ms + 3_600_000,
        "version": 1,
        "reason": "calls strangers all day",
        "rule": "r1",
        "mode": "enforce",
        "model_version": "m-1",
        "policy_version": "p-1",
        "evidence": Evidence(event_ms=at_ms),
    }
    return Decision(**(fields | more))
