"""Records become our plain JSON form (`configs/sources/plain.yaml`), as a switch would publish them.

One f-string a record: what repeats (numbers, devices, cells, outcomes) is rendered once and looked up.
"""

from typing import Any, Final

import numpy as np

from detector.learning.cdr import ACCOUNTS, CALL, SENDER_NAMES, SENDERS, TRUNKS, Outcome, Records
from detector.records import NumberKind, U64s, number_digits, number_kind

CHUNK: Final = 65_536
"""Records rendered at a time: the lists of one chunk stay in the cache, those of a day would not."""

_SENDER_TEXT: Final = dict(zip(SENDERS.tolist(), SENDER_NAMES, strict=True))
_TRUNK_NAME: Final = {trunk.id: name for name, trunk in TRUNKS.items()}
_OUTCOME: Final = {
    Outcome.ANSWERED: '"answered","cause":16',
    Outcome.NO_ANSWER: '"no_answer","cause":19',
    Outcome.CANCELLED: '"cancelled","cause":16',
    Outcome.BUSY: '"busy","cause":17',
    Outcome.FAILED: '"failed","cause":1',
    Outcome.SENT: '"sent"',
    Outcome.SMS_FAILED: '"failed"',
}


def encode(records: Records, first_id: int = 0) -> list[bytes]:
    """One JSON object a record, in the same order. Ids count from `first_id`: keep them unique in a stream."""
    values: list[bytes] = []
    for start in range(0, len(records), CHUNK):
        values += _encode_chunk(records[start : start + CHUNK], first_id + start)
    return values


def _encode_chunk(records: Records, first_id: int) -> list[bytes]:
    originators = _looked_up(records["originator"], number_of)
    recipients = _looked_up(records["recipient"], number_of)
    outcomes = [_OUTCOME[Outcome(code)] for code in range(len(Outcome))]
    tails = _tails(records)
    values: list[bytes] = []
    append = values.append
    columns = zip(
        records["kind"].tolist(),
        originators,
        recipients,
        records["start_ms"].tolist(),
        records["end_ms"].tolist(),
        records["duration_s"].tolist(),
        records["ring_ds"].tolist(),
        records["outcome"].tolist(),
        tails,
        strict=True,
    )
    for i, (kind, sender, to, start, end, talk, ring, outcome, tail) in enumerate(columns, first_id):
        if kind == CALL:
            text = (
                f'{{"id":"c-{i}","type":"call","from":"{sender}","to":"{to}","start":{start},"end":{end},'
                f'"duration":{talk},"ring":{ring / 10},"outcome":{outcomes[outcome]}{tail}'
            )
        else:
            text = (
                f'{{"id":"m-{i}","type":"sms","phase":"submit","from":"{sender}","to":"{to}","time":{end},'
                f'"outcome":{outcomes[outcome]}{tail}'
            )
        append(text.encode())
    return values


def _looked_up(numbers: U64s, text: Any) -> list[str]:
    """`text(number)` of each number, rendered once per distinct number."""
    distinct, inverse = np.unique(numbers, return_inverse=True)
    rendered = [text(number) for number in distinct.tolist()]
    return [rendered[i] for i in inverse.tolist()]


def number_of(number: int) -> str:
    """A packed number as a switch writes it: with its plus, as a short code, or as a sender id."""
    kind = number_kind(number)
    if kind is NumberKind.E164:
        return f"+{number_digits(number)}"
    return number_digits(number) if kind is NumberKind.SHORT else _SENDER_TEXT[number]


def _tails(records: Records) -> list[str]:
    """The rest of each object: device, cell, trunk group or account, and what the network says of the originator."""
    keys = np.empty(len(records), dtype=[("device", "<u8"), ("rest", "<u8")])
    keys["device"] = records["device"]
    keys["rest"] = (
        records["cell"].astype(np.uint64) << np.uint64(16)
        | records["trunk"].astype(np.uint64) << np.uint64(8)
        | records["attested"].astype(np.uint64) << np.uint64(2)
        | records["roaming"].astype(np.uint64) << np.uint64(1)
        | records["restricted"].astype(np.uint64)
    )
    rendered: dict[tuple[int, int], str] = {}
    tails: list[str] = []
    for key in keys.tolist():
        text = rendered.get(key)
        if text is None:
            text = rendered[key] = _tail(*key)
        tails.append(text)
    return tails


def _tail(device: int, rest: int) -> str:
    cell, trunk = rest >> 16, (rest >> 8) & 255
    parts = [f'"imei":"{device:015d}"'] if device else []
    if cell:
        parts.append(f'"cell":"999-01-{cell}"')
    if trunk:
        parts.append(f'"{"account" if trunk in ACCOUNTS else "trunk"}":"{_TRUNK_NAME[trunk]}"')
        if trunk not in ACCOUNTS:
            parts.append('"attested":true' if rest & 4 else '"attested":false')
    if rest & 2:
        parts.append('"roaming":true')
    if rest & 1:
        parts.append('"restricted":true')
    return "," + ",".join(parts) + "}" if parts else "}"
