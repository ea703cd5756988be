"""Which scenario is used for what. No seed serves two purposes, and none is the demo's."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.learning.campaigns import KINDS
from detector.learning.simulate import Scenario
from detector.learning.stage import Campaign, Stealth

FIRST_DAY: Final = 7
"""Vectors are taken from this day on: the longest window is full, as it is where a model may block."""

BASE: Final = 7_000_000
"""Seeds of learning start here, out of the way of anybody who tries small ones."""

_STEALTH: Final[tuple[Stealth, ...]] = ("overt", "low", "mimic")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much traffic a fit takes. The defaults fit and evaluate on one core within ten minutes."""

    numbers: int = 20_000
    days: int = 12
    training: int = 3
    """Scenarios to fit trees on."""
    validation: int = 4
    """Scenarios to set thresholds and calibrate on."""
    test: int = 1
    """Scenarios held out, to report on."""
    training_campaigns: int = 70
    other_campaigns: int = 24
    """Campaigns in a scenario that is not for training: fewer, for honest numbers are what counts there."""


def scenarios(seed: int, sizes: Sizes) -> dict[str, list[Scenario]]:
    """The scenarios of a fit by purpose: `training`, `validation`, `test`."""
    found: dict[str, list[Scenario]] = {}
    for offset, (purpose, count, campaigns, earliest) in enumerate(
        (
            ("training", sizes.training, sizes.training_campaigns, FIRST_DAY - 3),
            ("validation", sizes.validation, sizes.other_campaigns, FIRST_DAY - 3),
            # A delay is known only of what begins while it is watched.
            ("test", sizes.test, sizes.other_campaigns, FIRST_DAY),
        )
    ):
        first = BASE + 1_000 * seed + 100 * offset
        found[purpose] = [_scenario(first + i, sizes, campaigns, earliest) for i in range(count)]
    return found


def _scenario(seed: int, sizes: Sizes, campaigns: int, earliest: int) -> Scenario:
    """Campaigns of every kind in turn, begun on any day from `earliest` on, of one to three days."""
    rng = np.random.default_rng(seed)
    planned = []
    for i in range(campaigns):
        day = int(rng.integers(earliest, sizes.days))
        planned.append(Campaign(KINDS[i % len(KINDS)], _STEALTH[i // len(KINDS) % 3], day, int(rng.integers(1, 4))))
    festival = int(rng.integers(FIRST_DAY, sizes.days))
    return Scenario(sizes.numbers, sizes.days, seed, campaigns=tuple(planned), festival_day=festival)
