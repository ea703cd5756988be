"""Rows: what one record says about one number, in 64 bytes.

This is the word that every room of the pipeline speaks: ingest packs rows, the
internal topic carries them (`np.frombuffer(value, ROW)` is the whole decoder),
features count them, verdict judges them.

A number is a u64: `kind (4 bits) | trunk group or account (10 bits) | body (50 bits)`.
The body holds the digits of an E.164 number (15 digits fit in 50 bits), the digits of a
short code or an extension behind a leading 1 (so that leading zeros survive), or the
hash of an alphanumeric sender id, whose text travels in a message header.
"""

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

ROW: Final = np.dtype(
    [
        ("number", "<u8"),
        ("other", "<u8"),
        ("event_ms", "<i8"),
        ("offset", "<u8"),
        ("partition", "<u2"),
        ("source", "<u2"),
        ("kind", "u1"),
        ("role", "u1"),
        ("flags", "<u2"),
        ("duration_s", "<u4"),
        ("device", "<u4"),
        ("cell", "<u4"),
        ("trunk", "<u2"),
        ("zone", "<u2"),
        ("cause", "<u2"),
        ("ring_ds", "<u2"),
        ("record_id", "<u4"),
    ]
)
"""`offset`, `partition`, `source`: where the record stands in its source topic. `zone` is the
zone of the call's destination, in both roles. `cause`: ITU-T Q.850 below 128, SIP status from
300. `ring_ds`: tenths of a second. `device`, `cell`: hashes, 0 = not given."""

SCHEMA_ID: Final = b"row-1"
"""Value of the `schema` header of every message of the internal topic that carries rows."""
BEAT_ID: Final = b"beat-1"
"""The same of a heartbeat, which carries none: a `beat` header says when it stood in its topic, in UTC milliseconds."""

UNKNOWN_DURATION: Final = 0xFFFF_FFFF
UNKNOWN_RING: Final = 0xFFFF
NO_NUMBER: Final = 0

Rows = npt.NDArray[np.void]
"""A one-dimensional structured array of dtype `ROW`, in log order."""
U64s = npt.NDArray[np.uint64]
I64s = npt.NDArray[np.int64]
I32s = npt.NDArray[np.int32]
U16s = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]
Arrays = Mapping[str, npt.NDArray[Any]]
"""Named arrays; together they are what a snapshot keeps of a partition."""


class Kind(IntEnum):
    """What a row reports."""

    CALL = 1
    SMS = 2
    COMMAND = 3
    HEARTBEAT = 4


class Role(IntEnum):
    """Which party of the record the row is about."""

    FROM = 0
    TO = 1


class Flag(IntFlag):
    """Facts of a row. The first four are the phases that this row sets."""

    BEGAN = 1
    ANSWERED = 2
    ENDED = 4
    INTERIM = 8
    """A partial record: its duration adds up, its shortness says nothing."""
    CANCELLED = 16
    """Unanswered, released by the originator."""
    FAILED = 32
    """The recipient's number is unallocated or invalid."""
    UNATTESTED = 64
    """The network did not vouch for the originator's number."""
    INTERNATIONAL = 128
    """The destination lies outside the home country."""
    OWN_BLOCK = 256
    """Rejected by our own enforcement: counts only in its own counter."""
    EMERGENCY = 512
    RESTRICTED = 1024
    """Presentation of the originator is restricted."""
    INTL_TRUNK = 2048
    """Arrived on a trunk group that carries international traffic."""
    ROAMING = 4096
    """The source says that the originator roams."""
    RISK = 8192
    """The destination's zone is premium, satellite or high-risk."""
    OWN = 16384
    """The subject of the row is one of our own subscribers."""


class NumberKind(IntEnum):
    """The numbering plan of a number: the top 4 bits."""

    NONE = 0
    E164 = 1
    SHORT = 2
    SENDER = 3
    LOCAL = 4
    """An extension or any other number that is known only behind one trunk or account."""


BODY_BITS: Final = 50
TRUNK_BITS: Final = 10
BODY_MASK: Final = (1 << BODY_BITS) - 1
TRUNK_MASK: Final = ((1 << TRUNK_BITS) - 1) << BODY_BITS
MAX_TRUNK: Final = (1 << TRUNK_BITS) - 1
MAX_SHORT_DIGITS: Final = 14


def pack_number(kind: NumberKind, body: int, trunk: int = 0) -> int:
    """The u64 of a number. `trunk` is the trunk group or account it is scoped to, 0 for none."""
    return (int(kind) << (BODY_BITS + TRUNK_BITS)) | (trunk << BODY_BITS) | body


def pack_digits(kind: NumberKind, digits: str, trunk: int = 0) -> int:
    """The u64 of a number given by its digits, without sign or blanks."""
    return pack_number(kind, int(digits) if kind is NumberKind.E164 else int("1" + digits), trunk)


def pack_sender(text: str, account: int = 0) -> int:
    """The u64 of an alphanumeric sender id: case is folded, the account scopes it."""
    digest = blake2b(text.casefold().encode(), digest_size=8).digest()
    return pack_number(NumberKind.SENDER, int.from_bytes(digest, "little") & BODY_MASK, account)


def number_kind(number: int) -> NumberKind:
    """The numbering plan of `number`."""
    return NumberKind(number >> (BODY_BITS + TRUNK_BITS))


def number_trunk(number: int) -> int:
    """The trunk group or account that `number` is scoped to, 0 for none."""
    return (number & TRUNK_MASK) >> BODY_BITS


def without_trunk(number: int) -> int:
    """An E.164 number as it is on every trunk: who means it without one means it behind each. Others as they are."""
    return number & ~TRUNK_MASK if number_kind(number) is NumberKind.E164 else number


def number_digits(number: int) -> str:
    """The digits of an E.164 number, a short code or an extension; empty for a sender id."""
    body = number & BODY_MASK
    kind = number_kind(number)
    if kind is NumberKind.E164:
        return str(body)
    return str(body)[1:] if kind in (NumberKind.SHORT, NumberKind.LOCAL) else ""


_ESCAPES: Final = str.maketrans({mark: f"%{ord(mark):02X}" for mark in "%#@|"})
"""Marks that mean something in a number's text or in a decision's key, percent-coded in sender ids."""
_PREFIX: Final = {NumberKind.SHORT: "short:", NumberKind.LOCAL: "local:"}


def number_text(number: int, sender: str | None = None) -> str:
    """`number` as decisions and commands write it; `parse_number` reads it back.

    `+4479…`, `+4479…@7` (arrived unattested on trunk group 7), `short:611`, `local:1001@3`,
    `sender:ACME@3`. A sender id whose text is not known is written `sender:#<hash>@3`; in one that
    is, the marks % # @ | are percent-coded.
    """
    kind = number_kind(number)
    if kind is NumberKind.NONE:
        return ""
    if kind is NumberKind.E164:
        text = f"+{number & BODY_MASK}"
    elif kind is NumberKind.SENDER:
        text = f"sender:{sender.translate(_ESCAPES)}" if sender else f"sender:#{number & BODY_MASK:x}"
    else:
        text = _PREFIX[kind] + number_digits(number)
    trunk = number_trunk(number)
    return f"{text}@{trunk}" if trunk else text


def sender_text(text: str) -> str | None:
    """The sender id that a number is written with; None for any other number, and where only its hash is known."""
    name = _scoped(text)[0]
    return unquote(name[7:]) if name.startswith("sender:") and name[7:8] not in ("", "#") else None


def _scoped(text: str) -> tuple[str, str]:
    """What stands before `@trunk`, and the trunk."""
    name, at, scope = text.rpartition("@")
    return (name, scope) if at and scope.isdecimal() else (text, "0")


def parse_number(text: str) -> int:
    """The number that `number_text` wrote; raises `ValueError` saying what was wanted."""
    name, scope = _scoped(text)
    trunk = int(scope)
    if trunk > MAX_TRUNK:
        raise ValueError(f"a trunk group or account is at most {MAX_TRUNK} (got {trunk} in {text!r})")
    if name.startswith("+") and name[1:].isdecimal() and name.isascii() and name[1] != "0" and len(name) <= 16:
        return pack_digits(NumberKind.E164, name[1:], trunk)
    for kind, prefix in _PREFIX.items():
        digits = name.removeprefix(prefix)
        if name.startswith(prefix) and digits.isdecimal() and digits.isascii() and len(digits) <= MAX_SHORT_DIGITS:
            return pack_digits(kind, digits, trunk)
    if name.startswith("sender:#"):
        return pack_number(NumberKind.SENDER, int(name[8:], 16) & BODY_MASK, trunk)
    if sender := sender_text(text):
        return pack_sender(sender, trunk)
    raise ValueError(f"wanted +E164, short:…, local:… or sender:…, with @trunk where it has one (got {text!r})")


_BEHIND_ONE: Final = np.array([low * 10**k for k in range(1, MAX_SHORT_DIGITS + 1) for low in (1, 2)], np.uint64)
"""Bounds between which a body is a 1 and one to fourteen digits: [10, 20), [100, 200), …"""


def are_numbers(numbers: npt.NDArray[Any]) -> Bools:
    """Which u64s are numbers that `number_text` writes and `parse_number` reads back, or 0 for none."""
    kinds = numbers >> np.uint64(BODY_BITS + TRUNK_BITS)
    bodies = numbers & np.uint64(BODY_MASK)
    fine: Bools = (kinds == NumberKind.E164) & (bodies - np.uint64(1) < np.uint64(10**15 - 1))
    if fine.all():
        return fine
    behind_one = np.searchsorted(_BEHIND_ONE, bodies, side="right") % 2 == 1
    fine |= ((kinds == NumberKind.SHORT) | (kinds == NumberKind.LOCAL)) & behind_one
    fine |= (kinds == NumberKind.SENDER) | (numbers == NO_NUMBER)
    return fine


def mix64(values: npt.NDArray[Any]) -> U64s:
    """splitmix64's finaliser over each value (Steele et al. 2014): u64 in, u64 out."""
    x = values.astype(np.uint64)
    with np.errstate(over="ignore"):
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return x


def partition_of(numbers: npt.NDArray[Any], partitions: int) -> I64s:
    """The partition of each number: its plan and digits decide, its trunk group does not."""
    plain = np.asarray(numbers, dtype=np.uint64) & np.uint64(~TRUNK_MASK & 0xFFFF_FFFF_FFFF_FFFF)
    return (mix64(plain) % np.uint64(partitions)).astype(np.int64)
