"""A decision as a person reads it: a line of facts, and beneath it why."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detector.verdict.decisions import Decision

MOST_REASONS = 3
"""The features that moved the score most; the JSON has all of them."""


def decision_lines(decision: "Decision") -> Iterator[str]:
    """The line, and indented below it the reasons and what held a block back."""
    score = f"{decision.score.display:.3f}" if decision.score else "-"
    yield (
        f"{moment(decision.issued_at)}  {decision.action:<7}  {decision.number:<20}  {decision.service:<5}  "
        f"{decision.scope:<12}  {decision.rule:<24}  {score:>6}  until {moment(decision.expires_at)}"
    )
    yield f"    {decision.reason}"
    for reason in decision.reasons[:MOST_REASONS]:
        yield f"    - {reason.sentence}"
    if decision.held_back:
        yield f"    a block, but held back by {', '.join(decision.held_back)}"
    if decision.source != "detector":
        yield f"    by {decision.source}"


def moment(ms: int) -> str:
    """UTC to the second."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
