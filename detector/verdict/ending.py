"""Ending: what a release of one number would end, so that whoever gives it hears of a slip.

command, decisions -> ended -> those of its number, services and scope that are in force
"""

from collections.abc import Iterable
from typing import Final

from detector.ingest.commands import Command
from detector.records import parse_number
from detector.verdict.decisions import Decision

FREED: Final = frozenset({"release", "allow"})
"""Actions that hold against nobody: there is nothing in them to end."""


def is_in_force(decision: Decision, now_ms: int) -> bool:
    """Whether it holds against its number."""
    return decision.expires_at > now_ms and decision.action not in FREED


def ended(command: Command, decisions: Iterable[Decision], now_ms: int) -> list[Decision]:
    """Those of `decisions`, the last of their cases, that hold and that a release as `command` says would end."""
    number = parse_number(command.number)
    return [
        one
        for one in decisions
        if is_in_force(one, now_ms)
        and parse_number(one.number) == number
        and command.service in ("all", one.service)
        and command.covers in ("all", one.scope)
    ]
