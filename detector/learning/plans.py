"""Plans: which campaigns a simulated network hides, by name.

`KIND-STEALTH` is a variant; a kind alone stands for its three, and the names of `GROUPS` for whole lists. `NAME:N` asks
for N campaigns of each in every turn.
"""

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Final

import numpy as np

from detector.errors import ConfigError
from detector.learning.campaigns import ALL_KINDS
from detector.learning.simulate import DEMO_CAMPAIGNS
from detector.learning.stage import STEALTHS, Campaign, Stealth

VARIANTS: Final[dict[str, tuple[str, Stealth]]] = {
    f"{kind}-{stealth}": (kind, stealth) for stealth in STEALTHS for kind in ALL_KINDS
}
"""Kind and stealth of each: all in the open first."""

HELD_OUT: Final = (
    "spoofing-low",
    "vishing-low",
    "sim_farm-low",
    "sms_pumping-low",
    "takeover-low",
    "flash_call-low",
    "clone-low",
    "wangiri-mimic",
    "irsf-mimic",
)
"""Variants that the shipped model is never fitted on: a fraudster does what no label has named. Each kind is known to
it in another degree of stealth. None is among the demo's, whose figures are of variants that were fitted on."""

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "demo": tuple(dict.fromkeys(campaign.name for campaign in DEMO_CAMPAIGNS)),
    "all": tuple(VARIANTS),
    **{stealth: tuple(name for name, (_, how) in VARIANTS.items() if how == stealth) for stealth in STEALTHS},
    "fitted": tuple(name for name in VARIANTS if name not in HELD_OUT),
    "held-out": HELD_OUT,
    "none": (),
}
"""Names that stand for several variants."""

LONGEST_DAYS: Final = 3
STREAM: Final = 0xCA3
"""Keeps the draws of days apart from those of the traffic, which has the same seed."""


def named(text: str) -> tuple[str, ...]:
    """One turn of the variants that `text` names, separated by commas: all of them once, in the order of the text, and
    then again those that are asked for more often. `ConfigError` for a name or number that there is not."""
    times: dict[str, int] = {}
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        if colon and not (number.isdecimal() and int(number)):
            raise ConfigError(f"--campaigns: {name}: wanted a number of campaigns behind the colon (got {number!r})")
        for variant in _variants(name):
            times[variant] = max(times.get(variant, 1), int(number) if colon else 1)
    turn = range(max(times.values(), default=0))
    return tuple(variant for nth in turn for variant, most in times.items() if nth < most)


def _variants(name: str) -> tuple[str, ...]:
    if name in GROUPS:
        return GROUPS[name]
    if name in ALL_KINDS:
        return tuple(f"{name}-{stealth}" for stealth in STEALTHS)
    if name in VARIANTS:
        return (name,)
    raise ConfigError(
        f"--campaigns: wanted {', '.join(GROUPS)}, a kind ({', '.join(ALL_KINDS)}) "
        f"or a kind with {', '.join(f'-{stealth}' for stealth in STEALTHS)} (got {name!r})"
    )


def planned(
    variants: Sequence[str], days: int, seed: int, count: int | None = None, first_day: int | None = None
) -> tuple[Campaign, ...]:
    """`count` campaigns, the `variants` in turn (None = each once), in a scenario of so many `days`.

    They run on the last day; or, from `first_day` on (0 = the scenario's first), each begins on a day of its own and
    runs for one to three. Raises `ConfigError` for a first day that the scenario does not have.
    """
    if first_day is None:
        return tuple(Campaign(*VARIANTS[name]) for name in _in_turn(variants, count))
    if not 0 <= first_day < days:
        raise ConfigError(f"--campaigns-from: wanted a day of a scenario of {days} (got {first_day + 1})")
    rng = np.random.default_rng([seed, STREAM])
    names = _in_turn(variants, count)
    begins = rng.integers(first_day, days, len(names)).tolist()
    lasts = rng.integers(1, LONGEST_DAYS + 1, len(names)).tolist()
    return tuple(Campaign(*VARIANTS[name], day, last) for name, day, last in zip(names, begins, lasts, strict=True))


def _in_turn(variants: Sequence[str], count: int | None) -> list[str]:
    return list(variants) if count is None or not variants else list(islice(cycle(variants), count))
