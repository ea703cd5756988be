"""Tactics: what campaigns of every kind have in common, when they try whom, and from which phones."""

import numpy as np
import numpy.typing as npt

from detector.learning.cdr import Records
from detector.learning.life import moments
from detector.learning.population import draw_devices
from detector.learning.profiles import Rhythm
from detector.learning.stage import Campaign, Stage
from detector.records import I64s, U64s
from detector.units import DAY_MS, HOUR_MS


def spread_out(campaign: Campaign, stage: Stage, rhythm: Rhythm, size: int) -> I64s:
    """Times over the campaign's days by `rhythm`, none before its onset; slow at first, then faster."""
    begin, end = stage.onset(campaign, 6, 13), stage.end(campaign)
    last = max(1, (end - stage.start_ms) // DAY_MS - campaign.day)
    day = np.minimum((last * stage.rng.beta(1.4, 1, size)).astype(np.int64), last - 1)
    times = moments(np.full(size, rhythm, dtype=np.uint8), 0, stage.rng)
    times += stage.start_ms + (campaign.day + day) * DAY_MS
    early = times < begin
    times[early] = begin + (stage.rng.beta(1.4, 1, int(early.sum())) * 8 * HOUR_MS).astype(np.int64)
    return times


def by_owner(stage: Stage, owner: I64s, volumes: I64s, sequential: bool) -> tuple[U64s, npt.NDArray[np.bool_]]:
    """Whom each owner tries, and whether that number is in use."""
    if not len(volumes):
        # In a small network every subscriber is taken before the last campaign begins.
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=bool)
    drawn = [stage.victims(int(volume), sequential) for volume in volumes]
    return np.concatenate([numbers for numbers, _ in drawn]), np.concatenate([used for _, used in drawn])


def as_subscribers(stage: Stage, records: Records, slots: I64s) -> None:
    """The records come from these subscribers' own phones, where they are."""
    people, rng = stage.people, stage.rng
    records["originator"] = people.numbers[slots]
    records["device"] = people.device[slots]
    out = rng.random(len(slots)) < 0.2
    cells = np.where(out, people.work_cell[slots], people.home_cell[slots])
    records["cell"] = np.where(people.device[slots] > 0, cells, 0)


def in_box(stage: Stage, records: Records, owner: I64s, devices: int, cells: int) -> None:
    """The SIMs sit in a box: few devices that they move between, few cells."""
    rng, count = stage.rng, int(owner.max(initial=-1)) + 1
    box = draw_devices(rng, devices)
    seat = rng.integers(0, devices, count)
    moved = (rng.random(len(owner)) < 0.15) * rng.integers(0, devices, len(owner))
    records["device"] = box[(seat[owner] + moved) % devices]
    near = int(rng.integers(1, stage.people.cells + 1))
    records["cell"] = (near + rng.integers(0, cells, len(owner))) % stage.people.cells + 1
