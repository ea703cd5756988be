"""What one simulated call or message is, before it is written as JSON.

`Records` is a structured array of dtype `CDR`. It says who did what when, as the network saw
it, and, in `campaign` alone, whether a fraudster did it: that column is never encoded.
"""

from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.config import Trunk
from detector.records import BODY_BITS, Bools, I64s, U64s, pack_sender

CDR: Final = np.dtype(
    [
        ("originator", "<u8"),
        ("recipient", "<u8"),
        ("start_ms", "<i8"),
        ("end_ms", "<i8"),
        ("device", "<u8"),
        ("duration_s", "<u4"),
        ("cell", "<u4"),
        ("ring_ds", "<u2"),
        ("campaign", "<i2"),
        ("kind", "u1"),
        ("outcome", "u1"),
        ("trunk", "u1"),
        ("attested", "?"),
        ("roaming", "?"),
        ("restricted", "?"),
    ],
    align=True,
)
"""`originator`, `recipient`: packed numbers, bare (not scoped to a trunk). `start_ms` to `end_ms`
spans ringing and talk; a message has both equal. `device`: IMEI, `cell`, `trunk`: 0 = none.
`campaign`: index into the scenario's campaigns, -1 for an honest record."""

Records = npt.NDArray[np.void]
"""A one-dimensional structured array of dtype `CDR`."""

CALL: Final = 1
SMS: Final = 2
HONEST: Final = -1


class Outcome(IntEnum):
    """How a call or message ended."""

    ANSWERED = 0
    NO_ANSWER = 1
    CANCELLED = 2
    BUSY = 3
    FAILED = 4
    """The recipient's number is not in use."""
    SENT = 5
    SMS_FAILED = 6


TRUNKS: Final[dict[str, Trunk]] = {
    "national-1": Trunk(id=1, interconnect=True),
    "national-2": Trunk(id=2, interconnect=True),
    "international-1": Trunk(id=3, interconnect=True, international=True),
    "international-2": Trunk(id=4, interconnect=True, international=True),
    "aggregator-1": Trunk(id=11),
    "aggregator-2": Trunk(id=12),
    "aggregator-3": Trunk(id=13),
}
"""Trunk groups and accounts of the simulated network; a configuration that reads its records declares the same."""

NATIONAL: Final = (1, 2)
INTERNATIONAL: Final = (3, 4)
ACCOUNTS: Final = (11, 12, 13)

SENDER_NAMES: Final = tuple(
    f"{stem}{number}"
    for stem in ("BANK", "PAY", "SHOP", "PARCEL", "CLINIC", "LOGIN", "RIDE", "SCHOOL", "POWER", "NEWS")
    for number in range(1, 9)
)
"""Sender ids of applications: one-time codes, banks, shops, notices."""

SENDERS: Final[U64s] = np.array(
    [pack_sender(name, ACCOUNTS[i % len(ACCOUNTS)]) for i, name in enumerate(SENDER_NAMES)], dtype=np.uint64
)
"""The number of each sender id, scoped to the account it sends through."""

_INTERCONNECT: Final = np.zeros(256, dtype=bool)
_INTERCONNECT[list(NATIONAL + INTERNATIONAL)] = True


def blank(size: int, kind: int) -> Records:
    """`size` honest records of `kind` with nothing else in them."""
    records = np.zeros(size, dtype=CDR)
    records["kind"] = kind
    records["campaign"] = HONEST
    records["attested"] = True
    if kind == SMS:
        records["outcome"] = Outcome.SENT
    return records


def subjects(records: Records) -> U64s:
    """The number that each record's FROM row is about: number@trunk where nobody vouches for the originator."""
    scoped = _INTERCONNECT[records["trunk"]] & ~records["attested"]
    return np.where(
        scoped,
        records["originator"] | (records["trunk"].astype(np.uint64) << np.uint64(BODY_BITS)),
        records["originator"],
    )


def settle(
    rng: np.random.Generator,
    records: Records,
    *,
    answered: npt.ArrayLike,
    cancelled: npt.ArrayLike,
    busy: npt.ArrayLike = 0.04,
    talk_s: npt.ArrayLike,
    spread: npt.ArrayLike,
    ring_s: npt.ArrayLike = 8.0,
) -> None:
    """How each call of `records` ends, in place; those already `FAILED` stay so. Sets ring, duration and end.

    `answered`, `cancelled`, `busy` are shares (no answer takes the rest); talk is lognormal around the
    median `talk_s` with `spread` in log units, and ringing around the median `ring_s`.
    """
    size = len(records)
    failed = records["outcome"] == Outcome.FAILED
    u = rng.random(size, dtype=np.float32)
    edge = np.asarray(answered, dtype=np.float32)
    outcome = np.full(size, int(Outcome.NO_ANSWER), dtype=np.uint8)
    above: Bools = u >= edge
    outcome[~above] = Outcome.ANSWERED
    for share, name in ((cancelled, Outcome.CANCELLED), (busy, Outcome.BUSY)):
        edge = edge + np.asarray(share, dtype=np.float32)
        outcome[above & (u < edge)] = name
        above &= u >= edge
    outcome[failed] = Outcome.FAILED
    ring = np.asarray(ring_s) * np.exp(0.5 * rng.standard_normal(size, dtype=np.float32))
    ring = np.where(outcome == Outcome.NO_ANSWER, 18 + 3 * ring, ring)
    ring = np.where(outcome >= Outcome.BUSY, 0.5, np.minimum(ring, 60))
    talk = np.asarray(talk_s) * np.exp(np.asarray(spread) * rng.standard_normal(size, dtype=np.float32))
    records["outcome"] = outcome
    records["ring_ds"] = ring * 10
    records["duration_s"] = np.where(outcome == Outcome.ANSWERED, np.clip(talk, 1, 6 * 3600), 0)
    records["end_ms"] = records["start_ms"] + records["ring_ds"].astype(np.int64) * 100 + _whole_s(records)


def _whole_s(records: Records) -> I64s:
    return records["duration_s"].astype(np.int64) * 1000


def order(records: Records) -> Records:
    """The records in the order in which a switch publishes them: when they end."""
    by_end = np.argsort(records["end_ms"], kind="stable")
    return _of_words(np.take(_words(records), by_end, axis=0))


def join(parts: list[Any]) -> Records:
    """One array of all `parts`."""
    return _of_words(np.concatenate([_words(part) for part in parts])) if parts else blank(0, CALL)


def _words(records: Records) -> U64s:
    """The records as rows of eight words: numpy moves those at three times the speed at which it moves fields."""
    words: U64s = np.ascontiguousarray(records).view(np.uint64).reshape(-1, CDR.itemsize // 8)
    return words


def _of_words(words: U64s) -> Records:
    return words.view(CDR).reshape(-1)
