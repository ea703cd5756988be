"""What fraudsters do: campaigns with an onset, a ramp, numbers that rotate, and three degrees of stealth.

    overt   as the textbooks say; a volume rule would see it
    low     the same, slowly: a few dozen attempts a number and day
    mimic   rented or hijacked subscribers who live their ordinary life besides, or SIMs kept like phones

Signatures follow FRAUD.md; volumes are drawn wide, so that they overlap with couriers, desks and new SIMs.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from detector.learning.cdr import ACCOUNTS, CALL, INTERNATIONAL, SENDERS, SMS, Outcome, Records, blank, join, settle
from detector.learning.population import FIXED, FOREIGN, HIGH_RISK, UNALLOCATED
from detector.learning.profiles import Rhythm
from detector.learning.schemes import SCHEMES, intercepted_codes
from detector.learning.stage import Campaign, Stage
from detector.learning.tactics import as_subscribers, by_owner, in_box, spread_out
from detector.records import I64s
from detector.units import DAY_MS, HOUR_MS


def run(campaign: Campaign, index: int, stage: Stage) -> Records:
    """The campaign's records, unsorted: the fraud, marked `index`, and what its SIMs do besides, not marked."""
    records = (_KINDS | SCHEMES)[campaign.kind](campaign, stage)
    records = records[(records["start_ms"] >= stage.start_ms) & (records["start_ms"] < stage.end(campaign))]
    records["campaign"] = index
    besides = _besides(campaign, stage, records)
    return join([records, besides, intercepted_codes(stage, records) if campaign.kind == "takeover" else besides[:0]])


def _wangiri(campaign: Campaign, stage: Stage) -> Records:
    """One ring and gone. Foreign numbers that rotate, or (mimic) rented SIMs of ours."""
    rng = stage.rng
    if campaign.stealth == "mimic":
        slots = stage.subscribers(int(rng.integers(4, 9)))
        numbers, volumes = stage.people.numbers[slots], stage.heavy(len(slots), 70 * campaign.days, 0.5)
    else:
        overt = campaign.stealth == "overt"
        code = int(rng.choice(FOREIGN + HIGH_RISK))
        base = code * 10**9 + 10**8 + int(rng.integers(0, 8 * 10**8))
        numbers = stage.new_numbers(int(rng.integers(12, 40) if overt else rng.integers(15, 40)), base, 2_000)
        volumes = stage.heavy(len(numbers), 160 if overt else 28 * campaign.days, 0.6)
    owner = np.repeat(np.arange(len(numbers)), volumes)
    records = blank(len(owner), CALL)
    records["originator"] = numbers[owner]
    if campaign.stealth == "overt":
        # A number lives an hour or two, then the next takes over.
        begin = stage.onset(campaign)
        shift = rng.uniform(0, max(HOUR_MS, stage.end(campaign) - begin - 3 * HOUR_MS), len(numbers))
        life = rng.uniform(1, 3) * HOUR_MS
        records["start_ms"] = begin + shift[owner] + rng.beta(1.3, 1, len(owner)) * life
    else:
        records["start_ms"] = spread_out(campaign, stage, Rhythm.SOCIAL, len(owner))
    records["recipient"], used = by_owner(stage, owner, volumes, sequential=rng.random() < 0.5)
    if campaign.stealth == "mimic":
        as_subscribers(stage, records, slots[owner])
    else:
        records["trunk"] = rng.choice(INTERNATIONAL)
        records["attested"] = rng.random() < 0.15
    records["outcome"][~used] = Outcome.FAILED
    cancelled = {"overt": 0.9, "low": 0.85, "mimic": 0.7}[campaign.stealth]
    settle(rng, records, answered=0.96 - cancelled, cancelled=cancelled, busy=0.02, talk_s=4, spread=0.6,
           ring_s=2.5 if campaign.stealth != "mimic" else 5)  # fmt: skip
    return records


def _robocall(campaign: Campaign, stage: Stage) -> Records:
    """Short calls to many: lines of ours or of another network, or (mimic) a few dozen calls from rented SIMs."""
    rng = stage.rng
    if campaign.stealth == "mimic":
        slots = stage.subscribers(int(rng.integers(6, 14)))
        numbers, volumes = stage.people.numbers[slots], stage.heavy(len(slots), 55 * campaign.days, 0.5)
    elif campaign.stealth == "low":
        numbers = stage.new_sims(int(rng.integers(8, 20)))
        volumes = stage.heavy(len(numbers), 70 * campaign.days, 0.5)
    else:
        numbers = stage.new_numbers(int(rng.integers(4, 12)), FIXED, 10**7)
        volumes = stage.heavy(len(numbers), 450 * campaign.days, 0.6)
    owner = np.repeat(np.arange(len(numbers)), volumes)
    records = blank(len(owner), CALL)
    records["originator"] = numbers[owner]
    records["start_ms"] = spread_out(campaign, stage, Rhythm.OFFICE, len(owner))
    records["recipient"], used = by_owner(
        stage, owner, volumes, sequential=campaign.stealth == "overt" and rng.random() < 0.5
    )
    if campaign.stealth == "mimic":
        as_subscribers(stage, records, slots[owner])
    elif campaign.stealth == "low":
        in_box(stage, records, owner, devices=max(1, len(numbers) // 3), cells=2)
    records["outcome"][~used] = Outcome.FAILED
    settle(
        rng,
        records,
        answered={"overt": 0.42, "low": 0.48, "mimic": 0.55}[campaign.stealth],
        cancelled=0.06,
        talk_s={"overt": 8, "low": 14, "mimic": 25}[campaign.stealth],
        spread=1.0,
        ring_s=10,
    )
    return records


def _simbox(campaign: Campaign, stage: Stage) -> Records:
    """Calls from abroad, set down through local SIMs: human in length and hour, strangers all, one way."""
    rng = stage.rng
    overt = campaign.stealth == "overt"
    if campaign.stealth == "mimic":
        slots = stage.subscribers(int(rng.integers(10, 25)))
        numbers, volumes = stage.people.numbers[slots], stage.heavy(len(slots), 26 * campaign.days, 0.5)
    else:
        numbers = stage.new_sims(int(rng.integers(20, 50)))
        volumes = stage.heavy(len(numbers), (70 if overt else 22) * campaign.days, 0.5)
    owner = np.repeat(np.arange(len(numbers)), volumes)
    records = blank(len(owner), CALL)
    records["originator"] = numbers[owner]
    records["start_ms"] = spread_out(campaign, stage, Rhythm.ROUND if overt else Rhythm.SOCIAL, len(owner))
    records["recipient"], used = by_owner(stage, owner, volumes, sequential=False)
    # Whoever is called from abroad is called again, sometimes through the same SIM.
    again = rng.random(len(owner)) < {"overt": 0.08, "low": 0.12, "mimic": 0.2}[campaign.stealth]
    again[1:] &= owner[1:] == owner[:-1]
    again[:1] = False
    earlier = np.maximum.accumulate(np.where(again, 0, np.arange(len(owner))))
    records["recipient"] = records["recipient"][earlier]
    if campaign.stealth == "mimic":
        as_subscribers(stage, records, slots[owner])
    else:
        in_box(stage, records, owner, devices=max(2, len(numbers) // 12), cells=2 if overt else 3)
    records["outcome"][~used[earlier]] = Outcome.FAILED
    settle(rng, records, answered=0.62, cancelled=0.12, talk_s=70, spread=1.1, ring_s=12)
    return records


def _irsf(campaign: Campaign, stage: Stage) -> Records:
    """A hacked exchange or stolen SIM rings costly numbers for as long as they answer, mostly by night."""
    rng = stage.rng
    profile = "office_line" if campaign.stealth != "mimic" else "private"
    slots = stage.subscribers(
        int(rng.integers(*{"overt": (1, 5), "low": (2, 6), "mimic": (3, 8)}[campaign.stealth])), profile
    )
    volumes = stage.heavy(len(slots), {"overt": 220, "low": 30, "mimic": 12}[campaign.stealth], 0.4)
    owner = np.repeat(np.arange(len(slots)), volumes)
    records = blank(len(owner), CALL)
    earliest, latest, hours = {"overt": (0, 3, 4), "low": (0, 6, 10), "mimic": (9, 13, 9)}[campaign.stealth]
    begin = stage.onset(campaign, earliest, latest)
    records["start_ms"] = begin + rng.beta(1.2, 1.2, len(owner)) * hours * HOUR_MS
    code = int(rng.choice(HIGH_RISK))
    base = code * 10**9 + 10**8 + int(rng.integers(0, 8 * 10**8))
    ranges = stage.new_numbers(int(rng.integers(3, 20)), base, 500)
    records["recipient"] = ranges[rng.integers(0, len(ranges), len(owner))]
    as_subscribers(stage, records, slots[owner])
    talk = {"overt": 480, "low": 300, "mimic": 700}[campaign.stealth]
    settle(rng, records, answered=0.88, cancelled=0.03, talk_s=talk, spread=0.35, ring_s=3)
    return records


def _smishing(campaign: Campaign, stage: Stage) -> Records:
    """One message to each of hundreds of strangers: fresh SIMs, or (mimic) infected phones that live on."""
    rng = stage.rng
    if campaign.stealth == "mimic":
        slots = stage.subscribers(int(rng.integers(6, 14)))
        numbers, volumes = stage.people.numbers[slots], stage.heavy(len(slots), 60 * campaign.days, 0.6)
    else:
        overt = campaign.stealth == "overt"
        numbers = stage.new_sims(int(rng.integers(4, 10) if overt else rng.integers(8, 20)))
        volumes = stage.heavy(len(numbers), 420 if overt else 45 * campaign.days, 0.6)
    owner = np.repeat(np.arange(len(numbers)), volumes)
    records = blank(len(owner), SMS)
    records["originator"] = numbers[owner]
    if campaign.stealth == "overt":
        begin = stage.onset(campaign, 8, 18) + rng.uniform(0, 2 * HOUR_MS, len(numbers))
        records["start_ms"] = begin[owner] + rng.random(len(owner)) * rng.uniform(1, 4) * HOUR_MS
    else:
        records["start_ms"] = spread_out(campaign, stage, Rhythm.SOCIAL, len(owner))
    records["recipient"], used = by_owner(
        stage, owner, volumes, sequential=campaign.stealth == "overt" and rng.random() < 0.5
    )
    if campaign.stealth == "mimic":
        as_subscribers(stage, records, slots[owner])
    else:
        in_box(stage, records, owner, devices=max(1, len(numbers) // 3), cells=1)
    records["outcome"] = np.where(used, Outcome.SENT, Outcome.SMS_FAILED)
    records["end_ms"] = records["start_ms"]
    return records


def _spoofing(campaign: Campaign, stage: Stage) -> Records:
    """Calls from abroad under numbers of this country, which never left it: fixed, nobody's, and subscribers'."""
    rng = stage.rng
    lines = stage.new_numbers(int(rng.integers(4, 10)), FIXED, 10**7)
    nobody = stage.new_numbers(int(rng.integers(2, 6)), UNALLOCATED, 10**8)
    private = stage.people.slots_of("private")
    mobiles = stage.people.numbers[rng.choice(private, min(int(rng.integers(4, 10)), len(private)), replace=False)]
    numbers = np.concatenate([lines, nobody, mobiles])
    volumes = stage.heavy(len(numbers), {"overt": 40, "low": 8, "mimic": 8}[campaign.stealth], 0.6)
    owner = np.repeat(np.arange(len(numbers)), volumes)
    records = blank(len(owner), CALL)
    records["originator"] = numbers[owner]
    records["start_ms"] = spread_out(campaign, stage, Rhythm.OFFICE, len(owner))
    records["recipient"], used = by_owner(stage, owner, volumes, sequential=False)
    records["trunk"] = rng.choice(INTERNATIONAL)
    records["attested"] = False
    records["outcome"][~used] = Outcome.FAILED
    settle(rng, records, answered=0.5, cancelled=0.08, talk_s=40, spread=1.3)
    return records


_KINDS: Final[dict[str, Callable[[Campaign, Stage], Records]]] = {
    "wangiri": _wangiri,
    "robocall": _robocall,
    "simbox": _simbox,
    "irsf": _irsf,
    "smishing": _smishing,
    "spoofing": _spoofing,
}
KINDS: Final = tuple(_KINDS)
"""What the demo shows and the shipped model is fitted on."""
ALL_KINDS: Final = KINDS + tuple(SCHEMES)
"""Every kind that a campaign may be of."""


def _besides(campaign: Campaign, stage: Stage, records: Records) -> Records:
    """What the fraudsters' own numbers do and get besides, before and during: codes, tests, calls with their like.

    Real fraud numbers are not silent otherwise: half of them receive most of their messages, and a
    quarter make more than half of their calls to numbers they know (CALIBRATION).
    """
    rng, people = stage.rng, stage.people
    ours = records[records["trunk"] == 0]
    numbers, at, volumes = np.unique(ours["originator"], return_index=True, return_counts=True)
    own = people.holders(numbers) < 0
    numbers, at, volumes = numbers[own], at[own], volumes[own]
    begin = ours["start_ms"][at] - (rng.uniform(0, 6, len(numbers)) * DAY_MS).astype(np.int64)
    begin = np.maximum(begin, stage.start_ms)
    days = (stage.end(campaign) - begin) / DAY_MS

    def times(which: I64s) -> I64s:
        drawn: I64s = begin[which] + (rng.random(len(which)) * days[which] * DAY_MS).astype(np.int64)
        return drawn

    got = np.repeat(
        np.arange(len(numbers)),
        rng.poisson(2.0 * np.exp(rng.standard_normal(len(numbers))) * days * (ours["device"][at] > 0)),
    )
    codes = blank(len(got), SMS)
    sender = rng.integers(0, len(SENDERS), len(got))
    codes["originator"], codes["recipient"] = SENDERS[sender], numbers[got]
    codes["trunk"] = np.array(ACCOUNTS)[sender % len(ACCOUNTS)]
    codes["start_ms"] = codes["end_ms"] = times(got)

    share = np.minimum(0.2 * np.exp(1.2 * rng.standard_normal(len(numbers))), 1.5)
    known = np.repeat(np.arange(len(numbers)), rng.poisson(share * np.minimum(volumes, 150)))
    friends = people.numbers[people.own[rng.integers(0, len(people.own), (len(numbers), 4))]]
    # The first friend gets most of it.
    friend = friends[known, np.minimum(rng.geometric(0.6, len(known)) - 1, 3)]
    company = blank(len(known), CALL)
    incoming = rng.random(len(known)) < rng.uniform(0.1, 0.7)
    company["originator"] = np.where(incoming, friend, numbers[known])
    company["recipient"] = np.where(incoming, numbers[known], friend)
    for name in ("device", "cell"):
        company[name] = np.where(incoming, 0, ours[name][at][known])
    company["start_ms"] = times(known)
    settle(rng, company, answered=0.7, cancelled=0.1, talk_s=35, spread=1.2)
    return join([codes, company])
