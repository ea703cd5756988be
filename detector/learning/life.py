"""What honest people do on one day: calls, call-backs, conversations, notices, and one festival.

Each function gives the records of one day of the whole population at once.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from detector.learning.cdr import ACCOUNTS, CALL, SENDERS, SMS, Outcome, Records, blank, join, settle
from detector.learning.population import Floats, Population
from detector.learning.profiles import PROFILES, RHYTHMS, Home
from detector.records import I64s, NumberKind, pack_digits
from detector.units import DAY_MS, HOUR_MS, MINUTE_MS

_HOURS: Final = (
    np.cumsum(RHYTHMS / RHYTHMS.sum(axis=1, keepdims=True), axis=1) + np.arange(len(RHYTHMS))[:, None]
).ravel()
"""The rhythms' running shares, one after the other: rhythm r lies in r to r + 1."""
EMERGENCY: Final = pack_digits(NumberKind.SHORT, "112")

CALL_BACK: Final = 0.3
"""Chance that a person returns a missed call; desks and couriers do not."""
FESTIVAL_SHARE: Final = 0.06
"""Of the people are at the festival."""

_WEEKEND: Final = np.array([profile.weekend for profile in PROFILES])
_WORKING: Final = np.array([profile.working_days for profile in PROFILES])
_STRANGERS: Final = np.array([profile.strangers for profile in PROFILES])
_SERVICE: Final = np.array([profile.service for profile in PROFILES])
_NOTES: Final = np.array([profile.notes for profile in PROFILES])
_NOTICES: Final = np.array([profile.notices for profile in PROFILES])
_LENGTH: Final = np.array([profile.chat_length for profile in PROFILES])
_CELLS: Final = np.array([profile.cells for profile in PROFILES])
_ROAMING: Final = np.array([profile.roaming for profile in PROFILES])


def honest_day(people: Population, day_ms: int, start_ms: int, rng: np.random.Generator) -> Records:
    """All honest records that begin on the day from `day_ms`, unsorted; of a festival's evening those that any evening
    has. `start_ms` is the scenario's start."""
    weekday = int((day_ms // DAY_MS + 3) % 7)
    factor = np.where(weekday >= 5, _WEEKEND, 1.0)[people.profile]
    factor *= rng.random(len(people)) < _WORKING[people.profile]
    factor *= people.used(day_ms - start_ms, day_ms - start_ms + DAY_MS)
    calls, recipients = _calls(people, day_ms, start_ms, factor, rng)
    parts = [calls, call_backs(people, calls, recipients, start_ms, rng)]
    parts.append(_chats(people, day_ms, start_ms, factor, rng))
    parts.append(_notes(people, day_ms, start_ms, factor, rng))
    parts.append(_app_messages(people, day_ms, start_ms, rng))
    if weekday < 5:
        parts += _notices(people, day_ms, start_ms, rng)
    return join(parts)


def moments(rhythm: npt.NDArray[np.uint8], day_ms: int, rng: np.random.Generator) -> I64s:
    """A time of the day for each event of somebody who lives by `rhythm`."""
    hours = np.searchsorted(_HOURS, rhythm + rng.random(len(rhythm))) - 24 * rhythm.astype(np.int64)
    times: I64s = day_ms + ((np.clip(hours, 0, 23) + rng.random(len(rhythm))) * HOUR_MS).astype(np.int64)
    return times


def _begun(people: Population, rate: Floats, evenness: float, rng: np.random.Generator) -> I64s:
    """The slots that begin something today, once for each time. `evenness`: how little rates vary from day to day."""
    if people.span is None:
        return np.repeat(
            np.arange(len(people)), rng.poisson(rate * rng.standard_gamma(evenness, len(people)) / evenness)
        )
    # Most slots of a long span are outsiders, who begin nothing.
    some = np.flatnonzero(rate > 0)
    return np.repeat(some, rng.poisson(rate[some] * rng.standard_gamma(evenness, len(some)) / evenness))


def _calls(
    people: Population, day_ms: int, start_ms: int, factor: Floats, rng: np.random.Generator
) -> tuple[Records, I64s]:
    """The day's calls, and the slot of each one's recipient (-1 for an emergency code)."""
    slots = _begun(people, people.calls * factor, 3, rng)
    profile = people.profile[slots]
    recipients = people.contacts.draw(slots, rng.random(len(slots)))
    u = rng.random(len(slots))
    strange = (u < people.strangers[slots]) | (recipients < 0)
    anybody = np.where(
        rng.random(len(slots)) < (people.span.ours if people.span else 0.75),
        people.own[rng.integers(0, len(people.own), len(slots))],
        rng.integers(0, len(people), len(slots)),
    )
    recipients = np.where(strange, anybody, recipients)
    service = ~strange & (u < people.strangers[slots] + _SERVICE[profile])
    wanted = rng.random(len(slots)) * people.hub_weight[-1]
    hubs = people.hubs[np.minimum(np.searchsorted(people.hub_weight, wanted), len(people.hubs) - 1)]
    recipients = np.where(service, hubs, recipients)
    # What we see of two outsiders' calls is nothing.
    outside = np.isin(people.home, (Home.OTHER, Home.FOREIGN))
    seen = (recipients != slots) & ~(outside[slots] & outside[recipients])
    if people.span:
        seen &= people.span.reachable[recipients]
    slots, recipients, strange = slots[seen], recipients[seen], strange[seen]
    times = moments(people.rhythm[slots], day_ms, rng)
    talk_s, spread = people.talk_s[slots], np.full(len(slots), 1.2)
    if people.span:
        spread = people.span.talk_spread[slots]
        back = outside[recipients] & (rng.random(len(slots)) < people.span.incoming[slots])
        slots, recipients = np.where(back, recipients, slots), np.where(back, slots, recipients)
    records = _between(people, CALL, slots, recipients, times, start_ms, rng)
    settle(
        rng,
        records,
        answered=people.answered[slots] - 0.06 * strange,
        cancelled=people.cancelled[slots],
        talk_s=talk_s * np.where(strange, 0.8, 1.0),
        spread=spread,
    )
    emergency = rng.random(len(records)) < 1e-4
    records["recipient"][emergency] = EMERGENCY
    return records, np.where(emergency, -1, recipients)


def call_backs(
    people: Population,
    calls: Records,
    recipients: I64s,
    start_ms: int,
    rng: np.random.Generator,
    share: float = CALL_BACK,
) -> Records:
    """Calls that answer a missed one: whom somebody tried, calls back within minutes to hours.

    `recipients` are the slots called, -1 where nobody could call back.
    """
    missed = np.isin(calls["outcome"], (Outcome.NO_ANSWER, Outcome.CANCELLED, Outcome.BUSY)) & (recipients >= 0)
    person = _STRANGERS[people.profile[np.maximum(recipients, 0)]] < 0.3
    chosen = missed & person & ~calls["restricted"] & (rng.random(len(calls)) < share)
    if people.span:
        callers = people.holders(calls["originator"])
        # A foreign number that nobody has, as a Wangiri's, is called back like any other.
        returned = people.span.returned * people.span.reachable
        chosen &= (callers < 0) | (rng.random(len(calls)) < returned[callers])
    slots = recipients[chosen]
    start = calls["end_ms"][chosen] + (rng.exponential(1500, len(slots)) * 1000).astype(np.int64) + 5_000
    back = originated(people, CALL, slots, calls["originator"][chosen], start, start_ms, rng)
    settle(
        rng,
        back,
        answered=0.72,
        cancelled=people.cancelled[slots],
        talk_s=people.talk_s[slots] * 0.8,
        spread=1.2,
    )
    return back


def _chats(people: Population, day_ms: int, start_ms: int, factor: Floats, rng: np.random.Generator) -> Records:
    """Conversations: several messages between two people, mostly in turn, a minute or so apart."""
    slots = _begun(people, people.chats * factor, 2, rng)
    partners = people.contacts.draw(slots, rng.random(len(slots)))
    outside = np.isin(people.home, (Home.OTHER, Home.FOREIGN))
    real = (partners >= 0) & ~(outside[slots] & outside[partners])
    slots, partners = slots[real], partners[real]
    mean = _LENGTH[people.profile[slots]]
    length = np.minimum(1 + (mean - 1) * rng.standard_gamma(0.6, len(slots)) / 0.6, 80).astype(np.int64)
    begin = moments(people.rhythm[slots], day_ms, rng)
    which = np.repeat(np.arange(len(slots)), length)
    gaps = MINUTE_MS * np.exp(1.1 * rng.standard_normal(len(which)))
    elapsed = np.cumsum(gaps)
    elapsed -= np.repeat(elapsed[np.cumsum(length) - length], length)
    alone = length[which] == 1
    reply = (rng.random(len(which)) < 0.5) & (elapsed > 0) & ~alone
    sender = np.where(reply, partners[which], slots[which])
    to = np.where(reply, slots[which], partners[which])
    return _between(people, SMS, sender, to, begin[which] + elapsed.astype(np.int64), start_ms, rng)


def _notes(people: Population, day_ms: int, start_ms: int, factor: Floats, rng: np.random.Generator) -> Records:
    """Single messages to people one does not know: a courier at the door."""
    slots = np.repeat(np.arange(len(people)), rng.poisson(_NOTES[people.profile] * factor))
    to = people.own[rng.integers(0, len(people.own), len(slots))]
    return _between(people, SMS, slots, to, moments(people.rhythm[slots], day_ms, rng), start_ms, rng)


def _app_messages(people: Population, day_ms: int, start_ms: int, rng: np.random.Generator) -> Records:
    """One-time codes, banks and shops: what most messages are."""
    alive = people.used(day_ms - start_ms, day_ms - start_ms + DAY_MS)
    first_day = alive & (start_ms + people.alive_ms >= day_ms) & (people.alive_ms > 0)
    rate = people.app_messages * alive * np.where(first_day, 3, 1) * np.isin(people.home, (Home.MOBILE, Home.ROAMER))
    to = np.repeat(np.arange(len(people)), rng.poisson(rate))
    sender = np.searchsorted(people.sender_weight, rng.random(len(to)) * people.sender_weight[-1])
    records = blank(len(to), SMS)
    records["originator"] = SENDERS[sender]
    records["trunk"] = np.array(ACCOUNTS, dtype=np.uint8)[sender % len(ACCOUNTS)]
    records["recipient"] = people.numbers[to]
    records["start_ms"] = records["end_ms"] = moments(people.rhythm[to], day_ms, rng)
    return records


def _notices(people: Population, day_ms: int, start_ms: int, rng: np.random.Generator) -> list[Records]:
    """A school or club writes to everybody on its list within minutes; a few answer."""
    parts = []
    alive = people.used(day_ms - start_ms + DAY_MS, day_ms - start_ms)
    for slot in np.flatnonzero(alive & (rng.random(len(people)) < _NOTICES[people.profile])).tolist():
        to = rng.permutation(people.contacts.of(slot))
        begin = day_ms + int(rng.integers(8, 20)) * HOUR_MS
        times = begin + np.cumsum(rng.exponential(4_000, len(to))).astype(np.int64)
        source = np.full(len(to), slot)
        parts.append(_between(people, SMS, source, to, times, start_ms, rng))
        inner = ~np.isin(people.home[to], (Home.OTHER, Home.FOREIGN))
        replies = inner & (rng.random(len(to)) < 0.12)
        late = times[replies] + (rng.exponential(2400, int(replies.sum())) * 1000).astype(np.int64)
        parts.append(_between(people, SMS, to[replies], source[replies], late, start_ms, rng))
    return parts


def festival(people: Population, day_ms: int, start_ms: int, rng: np.random.Generator) -> tuple[Records, I64s]:
    """One evening everybody at the same place calls and greets at once; many calls find no free line.

    Also the slots of those who are there.
    """
    there = np.flatnonzero((people.home == Home.MOBILE) & (people.calls > 0.5) & (people.alive_ms == 0))
    there = there[people.gone_ms[there] > day_ms - start_ms + DAY_MS]
    there = there[rng.random(len(there)) < FESTIVAL_SHARE]
    cell = int(rng.integers(1, people.cells + 1))
    parts = []
    for kind, each in ((CALL, 6.0), (SMS, 9.0)):
        slots = np.repeat(there, rng.poisson(each * rng.standard_gamma(2, len(there)) / 2))
        u = rng.random(len(slots))
        to = people.contacts.draw(slots, u)
        if kind == SMS:
            # A greeting goes to everybody one knows, near or not.
            span = people.contacts.first[slots + 1] - people.contacts.first[slots]
            to = people.contacts.others[people.contacts.first[slots] + (u * span).astype(np.int64)]
        times = day_ms + ((19 + 5 * rng.beta(3, 2, len(slots))) * HOUR_MS).astype(np.int64)
        records = _between(people, kind, slots, to, times, start_ms, rng)
        records["cell"] = cell
        if kind == CALL:
            settle(rng, records, answered=0.35, cancelled=0.35, busy=0.15, talk_s=20, spread=1.0)
        parts.append(records)
    return join(parts), there


def _between(
    people: Population, kind: int, slots: I64s, to: I64s, times: I64s, start_ms: int, rng: np.random.Generator
) -> Records:
    """Records from slot to slot; one to a number that is not in use yet fails."""
    records = originated(people, kind, slots, people.numbers[to], times, start_ms, rng)
    since = times - start_ms
    dead = ~people.used(since, since + 1, to)
    records["outcome"][dead] = Outcome.FAILED if kind == CALL else Outcome.SMS_FAILED
    alive: Records = records[people.used(since, since + 1, slots)] if kind == SMS else records
    return alive


def originated(
    people: Population,
    kind: int,
    slots: I64s,
    numbers: npt.NDArray[np.uint64],
    times: I64s,
    start_ms: int,
    rng: np.random.Generator,
) -> Records:
    """Records of `slots` to `numbers` at `times`, with the device, cell and trunk that the originator uses then."""
    records = blank(len(slots), kind)
    records["originator"] = people.numbers[slots]
    records["recipient"] = numbers
    records["start_ms"] = records["end_ms"] = times
    since = times - start_ms
    records["device"] = people.devices_at(slots, since)
    records["cell"] = _cells(people, slots, times, rng)
    roaming = _ROAMING[people.profile[slots]] & ((since // DAY_MS + slots) % 8 < 5)
    records["trunk"] = np.where(roaming, 3, people.trunk[slots])
    records["attested"] = people.attested[slots]
    records["roaming"] = roaming
    records["restricted"] = people.restricted[slots] & (kind == CALL)
    return records


def _cells(people: Population, slots: I64s, times: I64s, rng: np.random.Generator) -> npt.NDArray[np.uint32]:
    """Work by day, home by night, and somewhere between now and then."""
    hour = (times // HOUR_MS) % 24
    weekday = (times // DAY_MS + 3) % 7
    at_work = (hour >= 9) & (hour < 17) & (weekday < 5)
    usual = np.where(at_work, people.work_cell[slots], people.home_cell[slots])
    reach = _CELLS[people.profile[slots]]
    away = rng.random(len(slots)) < reach / (reach + 10)
    near = (people.home_cell[slots] + (rng.random(len(slots)) * (reach + 1)).astype(np.int64)) % people.cells + 1
    cells = np.where(away, near, usual)
    fixed = reach == 0
    cells = np.where(fixed, people.home_cell[slots], cells)
    with_cell = (people.home[slots] == Home.MOBILE) | (people.home[slots] == Home.ROAMER)
    return np.where(with_cell, cells, 0).astype(np.uint32)
