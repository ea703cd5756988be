"""Schemes: the kinds of FRAUD.md that the demo does not show, each in the three degrees of stealth of `campaigns`.

vishing       many short calls to strangers, a few very long ones, office hours, shared phones
sim_farm      messages for others, steadily below every limit
sms_pumping   an application's form filled in by robots: its codes go to one costly range
takeover      a subscriber's SIM in somebody else's phone: the holder falls silent, codes arrive, money leaves
flash_call    rings of two seconds whose caller's number is the message; legal, and not Wangiri
clone         one number at two places that nobody could travel between
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from detector.learning.cdr import (
    ACCOUNTS,
    CALL,
    INTERNATIONAL,
    NATIONAL,
    SENDERS,
    SMS,
    Outcome,
    Records,
    blank,
    join,
    settle,
)
from detector.learning.population import FOREIGN, HIGH_RISK, OTHER_NETWORK, draw_devices
from detector.learning.profiles import Rhythm
from detector.learning.stage import Campaign, Stage
from detector.learning.tactics import as_subscribers, by_owner, in_box, spread_out
from detector.units import HOUR_MS


def _vishing(campaign: Campaign, stage: Stage) -> Records:
    """A call centre of swindlers: one in twenty who answer is talked to for a quarter of an hour."""
    rng = stage.rng
    if campaign.stealth == "mimic":
        slots = stage.subscribers(int(rng.integers(5, 12)))
        numbers, volumes = stage.people.numbers[slots], stage.heavy(len(slots), 14 * campaign.days, 0.5)
    else:
        numbers = stage.new_sims(int(rng.integers(4, 12)))
        volumes = stage.heavy(len(numbers), (95 if campaign.stealth == "overt" else 32) * campaign.days, 0.5)
    owner = np.repeat(np.arange(len(numbers)), volumes)
    records = blank(len(owner), CALL)
    records["originator"] = numbers[owner]
    records["start_ms"] = spread_out(campaign, stage, Rhythm.OFFICE, len(owner))
    records["recipient"], used = by_owner(stage, owner, volumes, sequential=False)
    if campaign.stealth == "mimic":
        as_subscribers(stage, records, slots[owner])
    else:
        in_box(stage, records, owner, devices=max(2, len(numbers) // 2), cells=1)
    records["outcome"][~used] = Outcome.FAILED
    talk_s = np.where(rng.random(len(owner)) < 0.05, 900, 24)
    settle(rng, records, answered=0.55, cancelled=0.08, talk_s=talk_s, spread=0.8, ring_s=11)
    return records


def _sim_farm(campaign: Campaign, stage: Stage) -> Records:
    """Somebody else's messages through racks of SIMs; the mimics write to each other as well, as friends would."""
    rng = stage.rng
    numbers = stage.new_sims(int(rng.integers(10, 40)))
    a_day = {"overt": 220, "low": 60, "mimic": 18}[campaign.stealth]
    volumes = stage.heavy(len(numbers), a_day * campaign.days, 0.25)
    owner = np.repeat(np.arange(len(numbers)), volumes)
    records = blank(len(owner), SMS)
    records["originator"] = numbers[owner]
    rhythm = Rhythm.SOCIAL if campaign.stealth == "mimic" else Rhythm.ROUND
    records["start_ms"] = spread_out(campaign, stage, rhythm, len(owner))
    records["recipient"], used = by_owner(stage, owner, volumes, sequential=False)
    if campaign.stealth == "mimic":
        friendly = rng.random(len(owner)) < 0.4
        friend = numbers[(owner + rng.integers(1, 4, len(owner))) % len(numbers)]
        records["recipient"] = np.where(friendly, friend, records["recipient"])
        used |= friendly
    in_box(stage, records, owner, devices=max(2, len(numbers) // 8), cells=1)
    records["outcome"] = np.where(used, Outcome.SENT, Outcome.SMS_FAILED)
    records["end_ms"] = records["start_ms"]
    return records


def _sms_pumping(campaign: Campaign, stage: Stage) -> Records:
    """Codes that nobody waits for: the abused application is the originator, and honest towards everybody else."""
    rng = stage.rng
    sender = int(rng.integers(len(SENDERS)))
    volume = int(stage.heavy(1, {"overt": 900, "low": 150, "mimic": 40}[campaign.stealth] * campaign.days, 0.4)[0])
    records = blank(volume, SMS)
    records["originator"], records["trunk"] = SENDERS[sender], ACCOUNTS[sender % len(ACCOUNTS)]
    records["start_ms"] = spread_out(campaign, stage, Rhythm.ROUND, volume)
    code = int(rng.choice(HIGH_RISK if campaign.stealth != "mimic" else FOREIGN))
    base = code * 10**9 + 10**8 + int(rng.integers(0, 8 * 10**8))
    tails = np.arange(volume) if campaign.stealth == "overt" else rng.integers(0, 10_000, volume)
    records["recipient"] = stage.new_numbers(1, base, 1_000)[0] + tails.astype(np.uint64)
    records["end_ms"] = records["start_ms"]
    return records


def _takeover(campaign: Campaign, stage: Stage) -> Records:
    """The SIM is swapped, banks send their codes to the thief, who calls and writes a little and is gone."""
    rng, people = stage.rng, stage.people
    slots = stage.subscribers(int(rng.integers(3, 9)))
    begin = stage.onset(campaign, 8, 14) + (rng.uniform(0, 4, len(slots)) * HOUR_MS).astype(np.int64)
    lasts = {"overt": 3, "low": 8, "mimic": 8}[campaign.stealth] * HOUR_MS
    device, cell = draw_devices(rng, len(slots)), rng.integers(1, people.cells + 1, len(slots))
    parts = []
    for kind, each in ((CALL, {"overt": 14, "low": 6, "mimic": 4}), (SMS, {"overt": 10, "low": 4, "mimic": 2})):
        owner = np.repeat(np.arange(len(slots)), 1 + rng.poisson(each[campaign.stealth], len(slots)))
        records = blank(len(owner), kind)
        records["originator"] = people.numbers[slots[owner]]
        records["start_ms"] = begin[owner] + (rng.beta(1, 2, len(owner)) * lasts).astype(np.int64)
        strangers = people.numbers[people.own[rng.integers(0, len(people.own), len(owner))]]
        friends = people.contacts.draw(slots[owner], rng.random(len(owner)))
        # The mimic asks the holder's own friends for money.
        known = (rng.random(len(owner)) < (0.7 if campaign.stealth == "mimic" else 0.1)) & (friends >= 0)
        records["recipient"] = np.where(known, people.numbers[np.maximum(friends, 0)], strangers)
        records["device"], records["cell"] = device[owner], cell[owner]
        records["end_ms"] = records["start_ms"]
        if kind == CALL:
            settle(rng, records, answered=0.7, cancelled=0.08, talk_s=80, spread=1.0)
        parts.append(records)
    stage.silenced.update(zip(people.numbers[slots].tolist(), begin.tolist(), strict=True))
    return join(parts)


def intercepted_codes(stage: Stage, records: Records) -> Records:
    """What the thief of a taken-over number gets: codes of banks and shops within an hour of the first move."""
    rng = stage.rng
    numbers, first = np.unique(records["originator"], return_index=True)
    which = np.repeat(np.arange(len(numbers)), rng.integers(4, 16, len(numbers)))
    sender = rng.integers(0, len(SENDERS), len(which))
    codes = blank(len(which), SMS)
    codes["originator"], codes["recipient"] = SENDERS[sender], numbers[which]
    codes["trunk"] = np.array(ACCOUNTS)[sender % len(ACCOUNTS)]
    delay_ms = (rng.exponential(0.3, len(which)) * HOUR_MS).astype(np.int64)
    codes["start_ms"] = codes["end_ms"] = records["start_ms"][first][which] + delay_ms
    return codes


def _flash_call(campaign: Campaign, stage: Stage) -> Records:
    """One ring to each of many who wait for it, from ranges whose last digits change with every call."""
    rng = stage.rng
    overt, mimic = campaign.stealth == "overt", campaign.stealth == "mimic"
    base = OTHER_NETWORK if mimic else int(rng.choice(FOREIGN)) * 10**9 + 10**8
    base += int(rng.integers(0, 10**8 - 10_000))
    numbers = stage.new_numbers(int(rng.integers(60, 120) if overt else rng.integers(15, 40)), base, 10_000)
    a_day = {"overt": 12, "low": 6, "mimic": 3}[campaign.stealth]
    volumes = stage.heavy(len(numbers), a_day * campaign.days, 0.4)
    owner = np.repeat(np.arange(len(numbers)), volumes)
    records = blank(len(owner), CALL)
    records["originator"] = numbers[owner]
    records["start_ms"] = spread_out(campaign, stage, Rhythm.SOCIAL, len(owner))
    records["recipient"], used = by_owner(stage, owner, volumes, sequential=False)
    records["trunk"] = rng.choice(NATIONAL if mimic else INTERNATIONAL)
    records["attested"] = mimic
    records["outcome"][~used] = Outcome.FAILED
    settle(rng, records, answered=0.01, cancelled=0.98, busy=0.005, talk_s=2, spread=0.3, ring_s=2)
    return records


def _clone(campaign: Campaign, stage: Stage) -> Records:
    """A copied SIM calls from far away while its holder goes on calling at home."""
    rng, people = stage.rng, stage.people
    slots = stage.subscribers(int(rng.integers(2, 7)))
    volumes = stage.heavy(len(slots), {"overt": 60, "low": 15, "mimic": 8}[campaign.stealth] * campaign.days, 0.5)
    owner = np.repeat(np.arange(len(slots)), volumes)
    records = blank(len(owner), CALL)
    records["originator"] = people.numbers[slots[owner]]
    records["start_ms"] = spread_out(campaign, stage, Rhythm.SOCIAL, len(owner))
    records["recipient"], used = by_owner(stage, owner, volumes, sequential=False)
    far = (people.home_cell[slots].astype(np.int64) + people.cells // 2) % people.cells + 1
    records["cell"] = far[owner]
    # The mimic copies the phone's identity too: only the place gives it away.
    records["device"] = (people.device[slots] if campaign.stealth == "mimic" else draw_devices(rng, len(slots)))[owner]
    records["outcome"][~used] = Outcome.FAILED
    settle(rng, records, answered=0.65, cancelled=0.1, talk_s=60, spread=1.0)
    return records


SCHEMES: Final[dict[str, Callable[[Campaign, Stage], Records]]] = {
    "vishing": _vishing,
    "sim_farm": _sim_farm,
    "sms_pumping": _sms_pumping,
    "takeover": _takeover,
    "flash_call": _flash_call,
    "clone": _clone,
}
"""By kind."""
