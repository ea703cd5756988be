"""Packing: what records say becomes rows, checked and packed in one pass.

The kernel says in one loop what `facts`, `moments` and `rows` say column by column. They are its meaning, and
read what it will not: where anything is wrong with a record its message is `odd`, without a reason.
"""

from typing import Final, NamedTuple

import numpy as np

from detector.ingest import moments
from detector.ingest.bytewise import Octets, crc
from detector.ingest.mapping import Outcome, Phase, Side
from detector.ingest.numbers import BAD, WITHHELD, Trait
from detector.ingest.numbers import FIRST as KNOWN
from detector.ingest.said import SKIPS_FIRST, Said
from detector.ingest.sense import Sense
from detector.jit import kernel
from detector.records import (
    BODY_BITS,
    TRUNK_BITS,
    UNKNOWN_DURATION,
    UNKNOWN_RING,
    Flag,
    I64s,
    Kind,
    NumberKind,
    Role,
    U64s,
)

_NUMBER_BITS: Final = np.uint64(BODY_BITS + TRUNK_BITS)
_SCOPE_AT: Final = np.uint64(BODY_BITS)
_HALF: Final = np.uint64(32)
_ZONE_AT: Final = np.uint64(48)
_ZERO: Final = ord("0")
_BAR: Final = ord("|")
_CALL: Final = int(Kind.CALL)
_SMS: Final = int(Kind.SMS)
_E164: Final = int(NumberKind.E164)
_SENDER: Final = int(NumberKind.SENDER)
_LOCAL: Final = int(NumberKind.LOCAL)
_OWN: Final = int(Trait.OWN)
_EMERGENCY: Final = int(Trait.EMERGENCY)
_ABROAD: Final = int(Trait.INTERNATIONAL)
_RISK: Final = int(Trait.RISK)
_COMPLETE: Final = int(Phase.COMPLETE)
_START: Final = int(Phase.START)
_ANSWER: Final = int(Phase.ANSWER)
_CONNECT: Final = int(Phase.CONNECT)
_INTERIM: Final = int(Phase.INTERIM)
_LAST: Final = int(Phase.LAST)
_END: Final = int(Phase.END)
_SUBMIT: Final = int(Phase.SUBMIT)
_DELIVER: Final = int(Phase.DELIVER)
_RECEIPT: Final = int(Phase.RECEIPT)
_ORIGINATING: Final = int(Side.ORIGINATING)
_TERMINATING: Final = int(Side.TERMINATING)
_UNKNOWN: Final = int(Outcome.UNKNOWN)
_ANSWERED: Final = int(Outcome.ANSWERED)
_CANCELLED: Final = int(Outcome.CANCELLED)
_FAILED: Final = int(Outcome.FAILED)
_BLOCKED: Final = int(Outcome.BLOCKED)
_NO_ANSWER: Final = int(Outcome.NO_ANSWER)
_F_BEGAN: Final = int(Flag.BEGAN)
_F_ANSWERED: Final = int(Flag.ANSWERED)
_F_ENDED: Final = int(Flag.ENDED)
_F_CANCELLED: Final = int(Flag.CANCELLED)
_F_FAILED: Final = int(Flag.FAILED)
_F_UNATTESTED: Final = int(Flag.UNATTESTED)
_F_INTERNATIONAL: Final = int(Flag.INTERNATIONAL)
_F_OWN_BLOCK: Final = int(Flag.OWN_BLOCK)
_F_EMERGENCY: Final = int(Flag.EMERGENCY)
_F_RESTRICTED: Final = int(Flag.RESTRICTED)
_F_INTL_TRUNK: Final = int(Flag.INTL_TRUNK)
_F_ROAMING: Final = int(Flag.ROAMING)
_F_RISK: Final = int(Flag.RISK)
_F_OWN: Final = int(Flag.OWN)
_FROM: Final = int(Role.FROM)
_TO: Final = int(Role.TO)
_EARLIEST_MS: Final = moments.EARLIEST_MS
_LATEST_MS: Final = moments.LATEST_MS
_LONGEST_S: Final = moments.LONGEST_S


class Packed(NamedTuple):
    """What comes out."""

    rows: U64s
    """u64[2 * records, 8]: the words of a `ROW`."""
    row_message: I64s
    sender: U64s
    """Numbers of sender ids, in the order they are met: at most two a record; their entries and messages."""
    sender_entry: I64s
    sender_message: I64s
    skipped: I64s
    """Records left out by each skip, and at the end receipts."""
    counts: I64s
    """i64[3]: rows, senders, records."""


@kernel
def _first(one: float, other: float) -> float:
    """The first of two values that is there."""
    return other if np.isnan(one) else one


@kernel
def _whole(value: float, unknown: int) -> np.int64:
    """To whole units, at most one below `unknown`, which stands for NaN."""
    if np.isnan(value):
        return np.int64(unknown)
    return np.int64(np.floor(min(max(value, 0.0), float(unknown - 1)) + 0.5))


@kernel
def _event_ms(
    phase: int, call: bool, answered: bool, start: float, answer: float, end: float, time: float, duration: float
) -> float:
    """`moments.event_ms` of one record."""
    if call and (phase in (_COMPLETE, _END, _LAST)):
        ended = _first(end, answer + duration * 1000 if answered else np.nan)
        return _first(_first(_first(ended, time), start + duration * 1000), start)
    if call and (phase in (_ANSWER, _CONNECT)):
        return _first(_first(time, answer), start)
    if call and phase == _START:
        return _first(_first(time, start), end)
    return _first(_first(time, end), start)


@kernel
def _talk_s(phase: int, call: bool, answered: bool, answer: float, end: float, time: float, duration: float) -> float:
    """`moments.talk_s` of one record."""
    if not call or phase in (_START, _ANSWER, _CONNECT) or (phase == _COMPLETE and not answered):
        return 0.0
    if phase in (_COMPLETE, _END):
        return _first(duration, (_first(end, time) - answer) / 1000)
    return duration


@kernel
def _in_order(outcome: int, start: float, answer: float, end: float) -> bool:
    """`moments.check_order` of one record."""
    picked_up = np.nan if _NO_ANSWER <= outcome <= _BLOCKED else answer
    return not (end < start or picked_up < start or end < picked_up or end - start > _LONGEST_S * 1000)


@kernel
def _with_time(tables: I64s, before: int, event_ms: np.int64, digits: Octets) -> int:
    """The CRC-32 of `before` and `|event_ms`. `digits` (mutated): u8[32], to write in."""
    at = len(digits) - 1
    while event_ms > 0:
        digits[at] = _ZERO + event_ms % 10
        event_ms //= 10
        at -= 1
    digits[at] = _BAR
    return crc(tables, digits, at, len(digits) - at, before)


@kernel
def pack(
    sense: Sense,
    said: Said,
    message: I64s,
    odd: Octets,
    partitions: I64s,
    offsets: I64s,
    published_ms: I64s,
    digits: Octets,
    before: I64s,
    out: Packed,
) -> None:
    """out (written, counts zero before) = the rows of all records whose messages are not odd.

    odd[m] (mutated) = 1 where one of its records cannot be packed: then none of them is. `before` (mutated): counts
    and skips as they were before the message at hand. `digits` (mutated): u8[32].
    """
    (
        source,
        end_answers,
        max_future_ms,
        interconnect,
        international,
        flags_of_call,
        told,
        tails,
        tail_start,
        tail_length,
        tables,
    ) = sense
    values, times, lengths, hashes, number, facts, entry, forwarded = said
    rows, row_message, sender, sender_entry, sender_message, skipped, count = out
    ahead = -1
    receipts = len(skipped) - 1
    for r in range(len(message)):
        m = message[r]
        if m != ahead:
            ahead = m
            for i in range(3):
                before[i] = count[i]
            for i in range(len(skipped)):
                before[3 + i] = skipped[i]
        if odd[m] != 0:
            continue
        # 1. What it is, and whether it is left out.
        kind = values[r, 0]
        phase = values[r, 1]
        side = values[r, 2]
        outcome = values[r, 3]
        wrong = kind < 0 or phase < 0 or side < 0 or outcome < 0
        skip = receipts if phase == _RECEIPT and not wrong else -1
        for i in range(receipts - 1, -1, -1):
            if values[r, SKIPS_FIRST + i] != 0:
                skip = i
        if skip >= 0:
            skipped[skip] += 1
            count[2] += 1
            continue
        call = kind == _CALL
        wrong |= call == (phase in (_SUBMIT, _DELIVER)) and phase != _COMPLETE
        # 2. Who: a forwarded leg's originator is who forwarded it.
        caller = 2 if forwarded[r] != 0 else 0
        for j in range(3):
            wrong |= facts[j, r] & 255 == BAD
        wrong |= facts[1, r] & 255 < KNOWN
        originator = number[caller, r]
        recipient = number[1, r]
        from_traits = facts[caller, r] >> 8 & 255
        to_traits = facts[1, r] >> 8 & 255
        # 3. When, how long, how it went.
        start = times[0, r]
        answer = times[1, r]
        end = times[2, r]
        time = times[3, r]
        duration = lengths[0, r]
        cause = values[r, 4]
        wrong |= np.isinf(start) or np.isinf(answer) or np.isinf(end) or np.isinf(time)
        wrong |= np.isinf(duration) or np.isinf(lengths[1, r]) or cause < 0
        answered = call and (outcome == _ANSWERED or (outcome == _UNKNOWN and (not np.isnan(answer) or duration > 0)))
        if outcome == _UNKNOWN and not answered and 0 < cause < len(told):
            outcome = told[cause]
        event_ms = _event_ms(phase, call, answered, start, answer, end, time, duration)
        talk_s = _talk_s(phase, call, answered, answer, end, time, duration)
        until = answer if answered else end if phase == _COMPLETE else np.nan
        ring_s = _first(lengths[1, r], (until - start) / 1000)
        wrong |= not _in_order(outcome, start, answer, end) or talk_s > _LONGEST_S
        # (Not the other way round: a time that is not there compares false.)
        wrong |= not (_EARLIEST_MS <= event_ms < _LATEST_MS)
        wrong |= max_future_ms >= 0 and event_ms > float(published_ms[m]) + max_future_ms
        # 4. Which of the two it speaks for.
        trunk = values[r, 5]
        account = values[r, 6]
        emergency = values[r, 12] != 0
        from_kind = np.int64(originator >> _NUMBER_BITS)
        to_kind = np.int64(recipient >> _NUMBER_BITS)
        unattested = interconnect[trunk] != 0 and values[r, 9] == 0
        behind = account if account > 0 else trunk
        from_scope = behind if from_kind in (_SENDER, _LOCAL) else 0
        if unattested and from_kind == _E164:
            from_scope = trunk
        to_scope = behind if to_kind in (_SENDER, _LOCAL) else 0
        originator |= np.uint64(from_scope) << _SCOPE_AT
        recipient |= np.uint64(to_scope) << _SCOPE_AT
        from_own = from_traits & _OWN > 0 and (from_kind == _LOCAL or from_scope == 0)
        to_own = to_traits & _OWN > 0 and (to_kind == _LOCAL or to_scope == 0)
        submitted = account > 0 and interconnect[account] == 0
        speaks_for_from = side != _TERMINATING or (not from_own and not submitted)
        keep_from = speaks_for_from and from_kind > 0 and from_traits & _EMERGENCY == 0
        speaks_for_to = (side != _ORIGINATING or not to_own) and not emergency
        keep_to = speaks_for_to and to_kind > 0 and to_traits & _EMERGENCY == 0
        if wrong or hashes[0, r] == 0 or not (keep_from or keep_to):
            odd[m] = 1
            for i in range(3):
                count[i] = before[i]
            for i in range(len(skipped)):
                skipped[i] = before[3 + i]
            continue
        # 5. The facts that stand in both rows.
        flags = flags_of_call[phase] if call else _F_BEGAN
        ended = call and flags & _F_ENDED > 0
        flags |= _F_ANSWERED if answered and (phase == _COMPLETE or (end_answers and phase == _END)) else 0
        flags |= _F_CANCELLED if ended and outcome == _CANCELLED else 0
        flags |= _F_FAILED if ended and outcome == _FAILED else 0
        flags |= _F_UNATTESTED if unattested else 0
        flags |= _F_INTERNATIONAL if to_traits & _ABROAD > 0 else 0
        flags |= _F_OWN_BLOCK if outcome == _BLOCKED else 0
        flags |= _F_EMERGENCY if emergency or (from_traits | to_traits) & _EMERGENCY > 0 else 0
        flags |= _F_RESTRICTED if values[r, 11] != 0 or facts[caller, r] & 255 == WITHHELD else 0
        flags |= _F_INTL_TRUNK if international[trunk] != 0 else 0
        flags |= _F_ROAMING if values[r, 10] != 0 else 0
        flags |= _F_RISK if to_traits & _RISK > 0 else 0
        happened_ms = np.int64(event_ms)
        tail = phase if call else _COMPLETE
        record_id = crc(tables, tails, tail_start[tail], tail_length[tail], hashes[0, r])
        if phase == _INTERIM:
            record_id = _with_time(tables, record_id, happened_ms, digits)
        # 6. The rows, as the eight words that a `ROW` is.
        place = partitions[m] | source << 16 | kind << 32
        routes = np.uint64(trunk if trunk > 0 else account) << _HALF | np.uint64(facts[1, r] >> 16) << _ZONE_AT
        last = np.uint64(cause | _whole(ring_s * 10, UNKNOWN_RING) << 16) | np.uint64(record_id) << _HALF
        for role in range(2):
            if not (keep_to if role == _TO else keep_from):
                continue
            n = count[0]
            own = to_own if role == _TO else from_own
            # A switch sees the device and cell of the party it serves.
            seen = (side == _TERMINATING) == (role == _TO)
            rows[n, 0] = recipient if role == _TO else originator
            rows[n, 1] = originator if role == _TO else recipient
            rows[n, 2] = np.uint64(happened_ms)
            rows[n, 3] = np.uint64(offsets[m])
            rows[n, 4] = np.uint64(place | role << 40 | (flags | (_F_OWN if own else 0)) << 48)
            rows[n, 5] = np.uint64(_whole(talk_s, UNKNOWN_DURATION)) | np.uint64(hashes[1, r] if seen else 0) << _HALF
            rows[n, 6] = np.uint64(hashes[2, r] if seen else 0) | routes
            rows[n, 7] = last
            row_message[n] = m
            count[0] = n + 1
        for role in range(2):
            if (to_kind if role == _TO else from_kind) == _SENDER:
                n = count[1]
                sender[n] = recipient if role == _TO else originator
                sender_entry[n] = entry[1 if role == _TO else caller, r]
                sender_message[n] = m
                count[1] = n + 1
        count[2] += 1
