"""Operators' commands."""

import json
from typing import Any

import pytest

from detector.errors import Reason, Rejected
from detector.ingest.commands import LONGEST_LIFE_S, Command, command_row, read_command
from detector.records import Kind, parse_number

GOOD = {"action": "release", "number": "+999700000001", "actor": "ann", "reason": "a hospital", "id": "r-1"}


def test_command_is_read_with_its_defaults() -> None:
    """All services, originating, for as long as the policy says."""
    command = read_command(json.dumps(GOOD).encode())
    assert command == Command("release", "+999700000001", "ann", "a hospital", "r-1", "all", None, None)
    assert command.covers == "all"


@pytest.mark.parametrize("number", ["+999700000001", "+999700000001@7", "short:611", "local:1001@3", "sender:ACME@3"])
def test_command_is_a_row_on_the_partition_of_its_number(number: str) -> None:
    """So it has one order with the traffic."""
    command = read_command(json.dumps(GOOD | {"number": number}).encode())
    assert isinstance(command, Command)
    (row,) = command_row(command, 17, 2, 9)
    assert (row["number"], row["kind"]) == (parse_number(number), Kind.COMMAND)
    assert (row["event_ms"], row["partition"], row["offset"], row["other"], row["flags"]) == (17, 2, 9, 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "kill"},
        {"number": "9997"},
        {"number": "sender:#x"},
        {"ttl_s": 0},
        {"ttl_s": LONGEST_LIFE_S + 1},
        {"actor": ""},
        {"reason": 1},
    ],
)
def test_bad_command_is_rejected(changes: dict[str, Any]) -> None:
    """It names what was wanted and what was got."""
    got = read_command(json.dumps(GOOD | changes).encode())
    assert isinstance(got, Rejected)
    assert got.reason == Reason.BAD_COMMAND
    assert got.detail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.EMPTY),
        (b"", Reason.EMPTY),
        (b"\x00\xff", Reason.BAD_COMMAND),
        (b"[" * 9_999, Reason.BAD_COMMAND),
        (b" " * 100_000, Reason.TOO_LARGE),
    ],
)
def test_what_is_no_command_is_rejected(value: bytes | None, reason: Reason) -> None:
    """The stream of commands goes on as well."""
    got = read_command(value)
    assert isinstance(got, Rejected)
    assert got.reason == reason


@pytest.mark.parametrize("scope", ["originating", "terminating", "all", "zone:882-satellite", "trunk:7"])
def test_a_scope_is_one_that_decisions_name(scope: str) -> None:
    """What enforcement would not understand is refused."""
    command = read_command(json.dumps(GOOD | {"scope": scope}).encode())
    assert isinstance(command, Command)
    assert command.covers == scope
    misspelt = read_command(json.dumps(GOOD | {"scope": f" {scope}"}).encode())
    assert isinstance(misspelt, Rejected)
    assert misspelt.reason is Reason.BAD_COMMAND
