"""Operators' commands -> rows of their own kind, so that they have one order with the traffic."""

from typing import Annotated, Final, Literal
from zlib import crc32

import msgspec
import numpy as np
from msgspec import Meta, Struct

from detector.errors import Reason, Rejected
from detector.records import ROW, Kind, Role, Rows, parse_number

Text = Annotated[str, Meta(min_length=1, max_length=500)]
Scope = Annotated[str, Meta(pattern=r"^(originating|terminating|all|zone:[0-9]{1,3}-[a-z_]{1,20}|trunk:[0-9]{1,4})$")]
LONGEST_LIFE_S: Final = 90 * 86_400
"""Of any decision, an operator's or a rule's: the topic `decisions` keeps what is in force for these and a week more,
and what it no longer holds is forgotten when its partition is next taken."""
LARGEST = 64 * 1024
"""Bytes of a command at most: it travels on in a message header."""


class Ends(Struct, frozen=True):
    """The one decision that a release is meant for, as it was when somebody looked."""

    rule: Text
    since: int
    """Renewals keep both; what supersedes it has another rule, or began later."""


class Command(Struct, frozen=True):
    """What an operator wants for one case, who it is, and why."""

    action: Literal["release", "allow", "block"]
    number: Text
    """As `records.number_text` writes it."""
    actor: Text
    reason: Text
    id: Text
    service: Literal["voice", "sms", "all"] = "all"
    scope: Scope | None = None
    """As decisions name it; None = `all` for a release or an allow, which are meant to free the number,
    and `originating` for a block."""
    ttl_s: Annotated[int, Meta(ge=1, le=LONGEST_LIFE_S)] | None = None
    """Seconds that it stays in force; None = the policy's default."""
    ends: Ends | None = None
    """Obeyed only where this is in force: so it may be given twice, and frees nobody whom another rule holds since."""
    batch: Annotated[str, Meta(max_length=500)] = ""
    """What it was given together with: the words of a mass release."""

    @property
    def covers(self) -> str:
        """The scope that is meant."""
        return self.scope or ("originating" if self.action == "block" else "all")


class ModeChange(Struct, frozen=True, kw_only=True):
    """Which mode decides from now on, in every worker, who says so and why.

    It stands in `control`, where workers look for the newest, and in `commands` for the audit.
    """

    action: Literal["mode"]
    mode: Literal["shadow", "flag", "enforce", "configured"]
    """`configured`: that of each worker's own settings again."""
    actor: Text
    reason: Text
    id: Text


_decode = msgspec.json.Decoder(Command).decode
_decode_mode = msgspec.json.Decoder(ModeChange).decode


def read_command(value: bytes | None) -> Command | Rejected:
    """The command that a message holds, its number readable."""
    if not value:
        return Rejected(Reason.EMPTY, "wanted a command (got an empty message)")
    if len(value) > LARGEST:
        return Rejected(Reason.TOO_LARGE, f"wanted at most {LARGEST} bytes (got {len(value)})")
    try:
        command = _decode(value)
        parse_number(command.number)
    except (ValueError, RecursionError) as error:
        return Rejected(Reason.BAD_COMMAND, str(error)[:300])
    return command


def read_mode_change(value: bytes | None) -> ModeChange | None:
    """The change of mode that a message holds; None for anything else."""
    if not value or len(value) > LARGEST:
        return None
    try:
        return _decode_mode(value)
    except (ValueError, RecursionError):
        return None


def command_row(command: Command, timestamp_ms: int, partition: int, offset: int) -> Rows:
    """The one row of a command: it goes to the partition of the number it is about."""
    row = np.zeros(1, ROW)
    row["number"] = parse_number(command.number)
    row["event_ms"] = timestamp_ms
    row["partition"] = partition & 0xFFFF
    row["offset"] = offset
    row["kind"] = Kind.COMMAND
    row["role"] = Role.FROM
    row["record_id"] = crc32(f"{command.id}|command".encode())
    return row
