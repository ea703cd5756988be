"""Who there is: subscribers, lines, roamers and the outside world, and whom they know."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.learning.cdr import INTERNATIONAL, NATIONAL, SENDERS
from detector.learning.profiles import PROFILES, Home
from detector.records import I64s, NumberKind, U64s, pack_number
from detector.units import DAY_MS

Floats = npt.NDArray[np.float64]


MOBILE: Final = 999_700_000_000
FIXED: Final = 999_200_000_000
OTHER_NETWORK: Final = 999_600_000_000
UNALLOCATED: Final = 999_500_000_000
"""Ranges of the simulated country: our mobiles and lines, another network's mobiles, and nobody's."""
FOREIGN: Final = (830, 831, 832, 833, 834)
HIGH_RISK: Final = (890, 891, 892)
"""Calling codes that no country has, standing for neighbours and for costly destinations."""

IN_USE: Final = 0.8
"""Share of a number block that is in use: dialling in sequence meets the rest."""
CELL_PEOPLE: Final = 150
NEVER_MS: Final = 1 << 60
_EVERYBODY: Final = slice(None)


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody, one slot a person or line; arrays are aligned. Honest all of them."""

    numbers: U64s
    ascending: U64s = field(repr=False)
    """The same numbers in order, and by `by_number` whose each is."""
    by_number: I64s = field(repr=False)
    profile: npt.NDArray[np.uint8]
    home: npt.NDArray[np.uint8]
    calls: Floats
    talk_s: Floats
    answered: Floats
    cancelled: Floats
    strangers: Floats
    """Share of its calls that go to people it does not know."""
    chats: Floats
    app_messages: Floats
    rhythm: npt.NDArray[np.uint8]
    alive_ms: I64s
    """From when the number is in use, after the start of the scenario."""
    gone_ms: I64s
    """From when it is out of use."""
    device: U64s
    second_device: U64s
    """The device from `changes_ms` on."""
    changes_ms: I64s
    home_cell: npt.NDArray[np.uint32]
    work_cell: npt.NDArray[np.uint32]
    cells: int
    trunk: npt.NDArray[np.uint8]
    attested: npt.NDArray[np.bool_]
    restricted: npt.NDArray[np.bool_]
    contacts: "Contacts"
    own: I64s = field(repr=False)
    """Slots of our own subscribers and lines."""
    hubs: I64s = field(repr=False)
    hub_weight: Floats = field(repr=False)
    """Cumulative popularity of `hubs`."""
    sender_weight: Floats = field(repr=False)
    """Cumulative share of messages of each application: a few send most, many send a little."""
    mobile_block: int
    """First number of our mobile block; `IN_USE` of it is allocated."""
    block_size: int
    span: "Span | None" = None
    """What only lives of months have; none = a week or two, in which nobody leaves."""

    def __len__(self) -> int:
        return len(self.numbers)

    def slots_of(self, name: str) -> I64s:
        """The slots that live by the named profile."""
        wanted = [profile.name for profile in PROFILES].index(name)
        return np.flatnonzero(self.profile == wanted)

    def holders(self, numbers: U64s) -> I64s:
        """The slot of each number, -1 where nobody has it."""
        at = np.minimum(np.searchsorted(self.ascending, numbers), len(self) - 1)
        return np.where(self.ascending[at] == numbers, self.by_number[at], -1)

    def used(
        self, since_ms: int | I64s, until_ms: int | I64s, slots: I64s | slice = _EVERYBODY
    ) -> npt.NDArray[np.bool_]:
        """Whether each slot's number is in use at some moment of `[since_ms, until_ms)` after the scenario's start."""
        in_use: npt.NDArray[np.bool_] = (self.alive_ms[slots] < until_ms) & (self.gone_ms[slots] > since_ms)
        return in_use

    def devices_at(self, slots: I64s, since_ms: I64s) -> U64s:
        """The device of each slot so long after the scenario's start; 0 = none."""
        devices = np.where(since_ms >= self.changes_ms[slots], self.second_device[slots], self.device[slots])
        if self.span is None:
            return devices
        return renewed(devices, (since_ms - self.alive_ms[slots]) // self.span.renews_ms[slots])


@dataclass(frozen=True, slots=True)
class Span:
    """What months show and a week does not, for every slot."""

    renews_ms: I64s
    """Time between two devices."""
    incoming: Floats
    """Share of its calls with outsiders that they begin. Outsiders have no life of their own in a long span:
    what we see of them is their part in ours, and there are enough of them to be strangers for months."""
    talk_spread: Floats
    """Spread of its talks around their median, in log units."""
    reachable: npt.NDArray[np.bool_]
    """Whether anybody ever calls the number: a tenth of real numbers show outgoing calls only."""
    returned: Floats
    """Chance that a missed call of the number is called back, against anybody's."""
    ours: float
    """Share of strangers who are our own subscribers."""
    crooks: I64s = field(repr=False)
    """Slots of subscribers who are ordinary fraudsters; besides, they live as others do, more or less."""


@dataclass(frozen=True, slots=True)
class Contacts:
    """Who knows whom, symmetric: neighbours of slot i are `others[first[i]:first[i + 1]]`."""

    first: I64s
    others: I64s
    cumulative: Floats
    """Running sum of the ties' strengths over all of `others`."""

    def draw(self, slots: I64s, u: Floats) -> I64s:
        """A contact of each slot by strength of tie, for `u` in [0, 1); -1 where it has none."""
        low = np.where(self.first[slots] > 0, self.cumulative[self.first[slots] - 1], 0.0)
        high = np.where(self.first[slots + 1] > 0, self.cumulative[self.first[slots + 1] - 1], 0.0)
        at = np.searchsorted(self.cumulative, low + u * (high - low), side="right")
        at = np.clip(at, self.first[slots], np.maximum(self.first[slots + 1] - 1, 0))
        return np.where(
            self.first[slots + 1] > self.first[slots], self.others[np.minimum(at, len(self.others) - 1)], -1
        )

    def of(self, slot: int) -> I64s:
        """Everybody whom `slot` knows."""
        return self.others[self.first[slot] : self.first[slot + 1]]


Knit = Callable[[np.random.Generator, npt.NDArray[np.uint8], npt.NDArray[np.uint8], I64s], Contacts]
"""Draws the contacts of everybody, from profiles, homes and our own slots."""


def draw_population(
    rng: np.random.Generator,
    numbers: int,
    days: int,
    shares: Mapping[str, float] | None = None,
    knit: Knit | None = None,
) -> Population:
    """A population of `numbers` own subscribers, the lines and the outside world that go with them.

    `shares` stand for those of the profiles they name; `knit` for the way in which people come to know each other.
    """
    wanted = shares or {}
    counts = [max(1, round(wanted.get(profile.name, profile.share) * numbers)) for profile in PROFILES]
    profile = rng.permutation(np.repeat(np.arange(len(PROFILES), dtype=np.uint8), counts))
    size = len(profile)

    def each(name: str) -> Floats:
        values: Floats = np.array([getattr(one, name) for one in PROFILES], dtype=np.float64)[profile]
        return values

    def varied(name: str, spread: npt.ArrayLike) -> Floats:
        varying: Floats = each(name) * np.exp(np.asarray(spread) * rng.standard_normal(size))
        return varying

    home = each("home").astype(np.uint8)
    own = np.flatnonzero(home <= Home.FIXED)
    lives = np.array([one.lives for one in PROFILES])[profile]
    cells = max(20, numbers // CELL_PEOPLE)
    popularity = varied("popularity", 0.5)
    hubs = np.flatnonzero(popularity > 0)
    block, block_size, packed = _numbers(rng, home)
    by_number = np.argsort(packed)
    answered = np.clip(varied("answered", 0.12), 0.05, 0.97)
    return Population(
        numbers=packed,
        ascending=packed[by_number],
        by_number=by_number,
        profile=profile,
        home=home,
        calls=varied("calls", each("calls_spread")),
        talk_s=varied("talk_s", 0.45),
        answered=answered,
        cancelled=np.clip(varied("cancelled", 0.6), 0, 0.95 - answered),
        strangers=np.minimum(varied("strangers", np.where(each("strangers") < 0.5, 0.9, 0.05)), 0.97),
        chats=varied("chats", 0.9),
        app_messages=varied("app_messages", 0.8),
        rhythm=each("rhythm").astype(np.uint8),
        alive_ms=((lives[:, 0] + rng.random(size) * (lives[:, 1] - lives[:, 0])) * days * DAY_MS).astype(np.int64),
        gone_ms=np.full(size, NEVER_MS),
        device=_devices(rng, home),
        second_device=_devices(rng, home),
        changes_ms=np.where(rng.random(size) < 0.004 * days, rng.random(size) * days * DAY_MS, NEVER_MS).astype(
            np.int64
        ),
        home_cell=rng.integers(1, cells + 1, size, dtype=np.uint32),
        work_cell=rng.integers(1, cells + 1, size, dtype=np.uint32),
        cells=cells,
        trunk=_trunks(rng, home),
        attested=(home <= Home.FIXED)
        | (home == Home.ROAMER)
        | (rng.random(size) < np.where(home == Home.OTHER, 0.8, 0.3)),
        restricted=rng.random(size) < 0.01,
        contacts=(knit or _contacts)(rng, profile, home, own),
        own=own,
        hubs=hubs,
        hub_weight=np.cumsum(popularity[hubs]),
        sender_weight=np.cumsum(rng.permutation(1.0 / np.arange(1, len(SENDERS) + 1) ** 1.1)),
        mobile_block=block,
        block_size=block_size,
    )


def _numbers(rng: np.random.Generator, home: npt.NDArray[np.uint8]) -> tuple[int, int, U64s]:
    """First number and size of our mobile block, and a number for everybody."""
    digits = np.zeros(len(home), dtype=np.int64)
    mobile = np.flatnonzero(home == Home.MOBILE)
    size = int(len(mobile) / IN_USE) + 1
    block = MOBILE + int(rng.integers(0, 10**8 - size))
    digits[mobile] = block + rng.permutation(size)[: len(mobile)]
    for kind, base, width in ((Home.FIXED, FIXED, 10**7), (Home.OTHER, OTHER_NETWORK, 10**8)):
        slots = np.flatnonzero(home == kind)
        digits[slots] = base + _distinct(rng, width, len(slots))
    abroad = np.flatnonzero((home == Home.FOREIGN) | (home == Home.ROAMER))
    codes = np.array(FOREIGN, dtype=np.int64)[rng.integers(0, len(FOREIGN), len(abroad))]
    digits[abroad] = codes * 10**9 + 10**8 + _distinct(rng, 10**8, len(abroad))
    return block, size, digits.astype(np.uint64) | np.uint64(pack_number(NumberKind.E164, 0))


def _distinct(rng: np.random.Generator, width: int, size: int) -> I64s:
    """`size` different integers below `width`."""
    # Sorting a million numbers takes a fifth of the time that numpy's `unique` takes.
    drawn = np.sort(rng.integers(0, width, size + size // 8 + 16))
    return rng.permutation(drawn[np.append(True, drawn[1:] != drawn[:-1])])[:size]


def draw_devices(rng: np.random.Generator, size: int) -> U64s:
    """IMEIs in the block reserved for test equipment (they start with 00)."""
    return rng.integers(10**12, 10**13, size).astype(np.uint64)


def renewed(devices: U64s, times: I64s) -> U64s:
    """The device that follows each one after so many purchases, in the same block; none stays none."""
    # A prime step far above the number of devices keeps one person's from being another's.
    following = (devices - np.uint64(10**12) + times.astype(np.uint64) * np.uint64(7_368_787_000_007)) % np.uint64(
        9 * 10**12
    )
    return np.where(devices > 0, following + np.uint64(10**12), devices)


def _devices(rng: np.random.Generator, home: npt.NDArray[np.uint8]) -> U64s:
    devices = draw_devices(rng, len(home))
    return np.where((home == Home.MOBILE) | (home == Home.ROAMER), devices, np.uint64(0))


def _trunks(rng: np.random.Generator, home: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    national = rng.choice(NATIONAL, len(home))
    international = rng.choice(INTERNATIONAL, len(home))
    outside = np.where(home == Home.OTHER, national, np.where(home == Home.FOREIGN, international, 0))
    return outside.astype(np.uint8)


def _contacts(
    rng: np.random.Generator, profile: npt.NDArray[np.uint8], home: npt.NDArray[np.uint8], own: I64s
) -> Contacts:
    """Ties between people: near in slot more often than not, strong to a few, known to both sides."""
    size = len(profile)
    median = np.array([one.contacts for one in PROFILES])[profile]
    flat = np.array([one.flat for one in PROFILES])[profile]
    degree = np.maximum(1, median * np.exp(np.where(flat, 0.2, 0.8) * rng.standard_normal(size))).astype(np.int64)
    # Some are called by everybody, some by nobody: a tenth of real numbers show outgoing calls only.
    drawn_to = np.exp(0.8 * rng.standard_normal(size)) * np.where(rng.random(size) < 0.08, 0.02, 1.0)
    source = np.repeat(np.arange(size), degree)
    rank = np.arange(len(source)) - np.repeat(np.cumsum(degree) - degree, degree)
    near = (source + np.rint(20 * rng.standard_normal(len(source))).astype(np.int64)) % size
    anybody = own[rng.integers(0, len(own), len(source))]
    outside = rng.random(len(source)) < 0.25
    target = np.where(outside, rng.integers(0, size, len(source)), anybody)
    target = np.where((rng.random(len(source)) < 0.5) & (home[source] == home[near]), near, target)
    inner = np.isin(home, (Home.MOBILE, Home.FIXED, Home.ROAMER))
    target = np.where(inner[source], target, anybody)
    strength = np.where(flat[source], 0.05, 1.0 / (1.0 + rank) ** 1.8)
    known = source != target
    pairs_from = np.concatenate([source[known], target[known]])
    pairs_to = np.concatenate([target[known], source[known]])
    by_source = np.argsort(pairs_from, kind="stable")
    first = np.searchsorted(pairs_from[by_source], np.arange(size + 1))
    ties = np.tile(strength[known], 2) * drawn_to[pairs_to]
    return Contacts(first, pairs_to[by_source], np.cumsum(ties[by_source]))
