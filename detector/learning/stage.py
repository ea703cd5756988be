"""What a campaign acts on: the people around it, their numbers, and the days it has."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from detector.learning.population import MOBILE, Population
from detector.records import I64s, NumberKind, U64s, pack_number
from detector.units import DAY_MS, HOUR_MS

Stealth = Literal["overt", "low", "mimic"]
STEALTHS: Final[tuple[Stealth, ...]] = get_args(Stealth)
E164: Final = np.uint64(pack_number(NumberKind.E164, 0))


@dataclass(frozen=True, slots=True)
class Campaign:
    """One fraud, planned: what, how openly, the day on which it begins and the days it runs."""

    kind: str
    stealth: Stealth = "overt"
    day: int = -1
    """0 = the scenario's first day; negative from its end: -1 = the last."""
    days: int = 1

    @property
    def name(self) -> str:
        """Kind and stealth, as tables print them."""
        return f"{self.kind}-{self.stealth}"


@dataclass(slots=True)
class Stage:
    """What a campaign acts on: everybody, the scenario's start, and the subscribers already taken."""

    people: Population
    start_ms: int
    days: int
    rng: np.random.Generator
    taken: set[int]
    silenced: dict[int, int] = field(default_factory=dict)
    """Numbers whose holders cannot call or write any more, and from when: somebody else has their SIM."""

    def subscribers(self, count: int, profile: str = "private") -> I64s:
        """`count` honest subscribers of `profile` who will be rented or hijacked; never the same twice."""
        slots = self.people.slots_of(profile)
        slots = slots[(self.people.alive_ms[slots] == 0) & ~np.isin(slots, list(self.taken))]
        chosen = self.rng.permutation(slots)[:count]
        self.taken.update(chosen.tolist())
        return chosen

    def new_numbers(self, count: int, base: int, width: int) -> U64s:
        """`count` numbers in `[base, base + width)` that nobody honest has."""
        drawn = np.unique(base + self.rng.integers(0, width, 4 * count + 64)).astype(np.uint64) | E164
        free = drawn[self.people.holders(drawn) < 0]
        return self.rng.permutation(free)[:count]

    def new_sims(self, count: int) -> U64s:
        """`count` mobile numbers of ours, just bought."""
        return self.new_numbers(count, MOBILE, 10**8)

    def victims(self, count: int, sequential: bool) -> tuple[U64s, npt.NDArray[np.bool_]]:
        """Numbers to try and whether each is in use: a run through our block, or a bought list."""
        rng, people = self.rng, self.people
        if sequential:
            digits = people.mobile_block + (rng.integers(0, people.block_size) + np.arange(count)) % people.block_size
            numbers = digits.astype(np.uint64) | E164
            return numbers, people.holders(numbers) >= 0
        numbers = people.numbers[people.own[rng.integers(0, len(people.own), count)]]
        stale = rng.random(count) < rng.uniform(0.0, 0.06)
        wrong = (people.mobile_block + rng.integers(0, people.block_size, count)).astype(np.uint64) | E164
        numbers = np.where(stale, wrong, numbers)
        return numbers, people.holders(numbers) >= 0

    def onset(self, campaign: Campaign, earliest: float = 8, latest: float = 15) -> int:
        """When the campaign starts on its first day."""
        return self.start_ms + campaign.day * DAY_MS + int(self.rng.uniform(earliest, latest) * HOUR_MS)

    def end(self, campaign: Campaign) -> int:
        """The midnight after the campaign's last day, or the scenario's end."""
        return self.start_ms + min(campaign.day + campaign.days, self.days) * DAY_MS

    def heavy(self, count: int, median: float, spread: float) -> I64s:
        """`count` volumes around `median`, at least 4."""
        volumes = median * np.exp(spread * self.rng.standard_normal(count))
        return np.maximum(4, volumes).astype(np.int64)
