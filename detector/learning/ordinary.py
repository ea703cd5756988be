"""Ordinary fraudsters: those of CALIBRATION's table, who are mostly neither loud nor fast.

crooks of a `months` population -> their trades -> their calls and messages to strangers

Strangers, one way, few repeats, a short life, several devices: that is what the real ones have in common, and a
quarter of them lives an honest life besides, on a phone that was lent, bought or taken over. Each trade below is
a kind of FRAUD.md; its constants were fitted to the table together with those of `months`.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from detector.learning.cdr import CALL, SMS, Outcome, Records, join, settle
from detector.learning.life import originated
from detector.learning.months import Lives, days_ms
from detector.learning.population import (
    HIGH_RISK,
    NEVER_MS,
    UNALLOCATED,
    Floats,
    Population,
    Span,
    draw_devices,
    renewed,
)
from detector.learning.profiles import Home
from detector.learning.stage import E164
from detector.records import Bools, I64s, U64s
from detector.units import DAY_MS, HOUR_MS


@dataclass(frozen=True, slots=True)
class Ordinary:
    """The wish for a population of lifetimes as in CALIBRATION, instead of the demo's."""

    frauds: float = 0.01
    """Share of the scenario's `numbers` that are fraudulent; the table's own is 0.32."""

    def __post_init__(self) -> None:
        if not 0 <= self.frauds <= 0.5:
            raise ValueError(f"ordinary.frauds: wanted a share from 0 to 0.5 (got {self.frauds})")

    @property
    def burden(self) -> float:
        """Share of the victims who are ours."""
        return min(OURS, BURDEN / max(self.frauds, 1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A way of fraud. Medians with spreads in log units, and spans between which a number's own value lies."""

    kind: str
    share: float
    """Of the ordinary fraudsters."""
    days: tuple[float, float]
    """Days on which it works."""
    calls: tuple[float, float]
    """Attempts on such a day."""
    texts: tuple[float, float] = (1.5, 1.05)
    """Messages to strangers on such a day."""
    fresh: tuple[float, float]
    """Share of its attempts that go to somebody not tried before."""
    returned: tuple[float, float] = (0.0, 0.05)
    """Share of its calls that the victims make."""
    answered: float
    cancelled: float = 0.08
    talk_s: tuple[float, float]
    talk_spread: tuple[float, float] = (0.9, 1.55)
    hours: tuple[float, float] = (2.0, 10.0)
    """Length of its working day."""
    devices: float = 1.5
    """Mean number of devices besides the first."""
    kept: tuple[float, float] = (17.0, 1.15)
    """Days for which the number exists, worked or not: it is bought ahead, and gets messages meanwhile."""
    codes: tuple[float, float] = (0.8, 0.3)
    """Messages of applications, as a share of what the subscriber would get."""
    own: tuple[float, float] = (0.005, 2.2)
    """Own calls to people it knows, as a share of an honest life's."""
    slack: tuple[float, float] = (1.0, 1.3)
    """Working days are spread over so many times their number."""

    @property
    def lent(self) -> bool:
        """Whether an honest life goes on besides, for as long as anybody's."""
        return self.own[0] >= 0.5


TRADES: Final = (
    Trade(kind="robocall", share=0.12, days=(1.8, 0.8), calls=(330, 1.3), fresh=(0.85, 1.0), returned=(0.0, 0.35),
          answered=0.45, talk_s=(28, 0.5), devices=1.2),
    Trade(kind="vishing", share=0.30, days=(2.2, 0.9), calls=(160, 1.25), fresh=(0.55, 1.0), returned=(0.0, 0.7),
          answered=0.6, talk_s=(52, 0.5), devices=2.2),
    Trade(kind="simbox", share=0.18, days=(5.0, 1.2), calls=(240, 1.25), fresh=(0.25, 0.95), returned=(0.0, 0.4),
          answered=0.65, talk_s=(50, 0.45), hours=(8.0, 20.0), devices=6.0),
    Trade(kind="smishing", share=0.05, days=(3.0, 0.8), calls=(25, 0.9), texts=(22, 1.0), fresh=(0.7, 1.0),
          returned=(0.0, 0.5), answered=0.6, talk_s=(32, 0.5), devices=2.5),
    Trade(kind="wangiri", share=0.05, days=(1.5, 0.6), calls=(500, 0.8), fresh=(0.95, 1.0), returned=(0.05, 0.4),
          answered=0.1, cancelled=0.8, talk_s=(14, 0.5), talk_spread=(0.7, 1.1)),
    Trade(kind="irsf", share=0.02, days=(2.0, 0.6), calls=(50, 0.7), fresh=(0.05, 0.3), returned=(0.0, 0.0),
          answered=0.85, talk_s=(200, 0.4), talk_spread=(0.4, 0.6)),
    Trade(kind="vishing", share=0.165, days=(12.0, 0.9), calls=(5, 1.3), texts=(0.2, 1.4), fresh=(0.6, 1.0),
          returned=(0.0, 0.4), answered=0.6, talk_s=(48, 0.5), own=(0.75, 0.3), slack=(1.0, 4.0), kept=(1500, 1.0),
          devices=1.5, codes=(1.1, 0.4)),
    Trade(kind="simbox", share=0.09, days=(20.0, 0.9), calls=(8, 1.3), texts=(0.2, 1.4), fresh=(0.4, 0.95),
          returned=(0.0, 0.3), answered=0.65, talk_s=(48, 0.5), own=(0.75, 0.3), slack=(1.0, 3.0), kept=(1500, 1.0),
          hours=(6.0, 14.0), devices=3.0, codes=(1.1, 0.4)),
    Trade(kind="smishing", share=0.035, days=(6.0, 0.8), calls=(2.5, 0.8), texts=(2, 1.3), fresh=(0.8, 1.0),
          answered=0.6, talk_s=(32, 0.4), own=(0.75, 0.3), slack=(1.0, 4.0), kept=(1500, 1.0),
          devices=1.5, codes=(1.1, 0.4)),
)  # fmt: skip
"""The last three are lent or taken over: low and slow, among an honest life."""

REPEATS: Final = 2.0
"""How much repeated attempts lean to the first names of a crook's list: the power of a uniform number."""
CREW: Final = 8
"""Numbers of one trade that share devices and places, and follow each other."""
BURDEN: Final = 0.002
"""Victims among our subscribers are so few where frauds abound that honest lives stay as they are: with more of them
people who hardly call would seem to know many."""
OURS: Final = 0.35
"""Share of victims who are ours, where frauds are rare: the rest of the country has other networks."""


SHIFT_MS: Final = 12 * HOUR_MS
"""For which a number stays in one device of its crew."""


@dataclass(frozen=True, slots=True)
class Crooks:
    """The ordinary fraudsters, in the order of the population's `span.crooks`."""

    trade: I64s
    crew: I64s
    lives: Lives
    first_day: Floats
    """When it begins to work, in days after the scenario's start."""
    days: Floats
    slack: Floats
    devices: I64s
    lent: Bools = field(repr=False)


def recruit(size: int, days: int, rng: np.random.Generator) -> Crooks:
    """`size` crooks with their trades, for a span of `days`."""
    trade = np.sort(rng.choice(len(TRADES), size, p=_each("share") / _each("share").sum()))
    place = np.arange(size) - np.searchsorted(trade, trade)
    leads = place % CREW == 0
    crew = np.cumsum(leads) - 1
    leader = np.flatnonzero(leads)[crew]
    worked = np.maximum(1.0, np.rint(_around(rng, "days", trade)))
    slack = _between(rng, "slack", trade)
    length = worked * slack
    # One number of a crew follows the other; a span that begins late sees the end of what began before it.
    before = np.cumsum(length) - length
    turn = before - before[leader] + (rng.random(size) * days)[crew]
    first = 0.5 - length + turn % (days + length - 1.0)
    kept = np.maximum(_around(rng, "kept", trade), length + 1.0)
    begin = first - rng.random(size) * (kept - length)
    return Crooks(
        trade=trade,
        crew=crew,
        lives=Lives(
            calls=np.minimum(_around(rng, "own", trade), 1.5),
            app_messages=_around(rng, "codes", trade),
            alive_ms=days_ms(np.maximum(begin, 0)),
            gone_ms=days_ms(begin + kept),
        ),
        first_day=first,
        days=worked,
        slack=slack,
        devices=1 + rng.poisson(rng.exponential(_each("devices")[trade])),
        lent=np.array([one.lent for one in TRADES])[trade],
    )


def crews(crooks: Crooks) -> list[tuple[str, str, str]]:
    """Kind, stealth and name of each crew, in order."""
    leaders = np.unique(crooks.crew, return_index=True)[1]
    kinds = [TRADES[trade].kind for trade in crooks.trade[leaders].tolist()]
    return [(kind, "ordinary", f"ordinary-{number + 1}-{kind}") for number, kind in enumerate(kinds)]


@dataclass(frozen=True, slots=True)
class Kit:
    """What each crew works with, for calls and messages alike."""

    phone: U64s
    """The first device; the others follow from it."""
    place: I64s
    """The cell beside which it works."""


@dataclass(frozen=True, slots=True)
class Practice:
    """Where and when the trades are practised."""

    people: Population
    span: Span
    crooks: Crooks
    start_ms: int
    days: int
    first_index: int
    """Index of the first crew's records; the others follow."""
    burden: float
    """Share of the victims who are ours."""

    def records(self, rng: np.random.Generator) -> Records:
        """All of it, unsorted; what a crook does is marked with its crew, what victims do is not."""
        crews = int(self.crooks.crew.max(initial=0)) + 1
        kit = Kit(draw_devices(rng, crews), rng.integers(1, self.people.cells + 1, crews))
        return join([*self._calls(kit, rng), self._texts(kit, rng)])

    def _calls(self, kit: "Kit", rng: np.random.Generator) -> list[Records]:
        crooks = self.crooks
        trade = crooks.trade
        volume = np.maximum(3, np.rint(_around(rng, "calls", trade) * crooks.days)).astype(np.int64)
        owner, times = self._attempts(volume, rng)
        to, used = self._victims(volume, _between(rng, "fresh", trade), rng)
        back = rng.random(len(owner)) < _between(rng, "returned", trade)[owner]
        talk_s, spread = _around(rng, "talk_s", trade), _between(rng, "talk_spread", trade)
        seen = self._seen(owner, times)
        used &= self.people.used(times - self.start_ms, times - self.start_ms + 1, to)
        mine, theirs = np.flatnonzero(seen & ~back), np.flatnonzero(seen & back & used & self._answering(owner, to))
        made = self._made(CALL, kit, owner[mine], to[mine], times[mine], rng)
        costly = np.array([one.kind == "irsf" for one in TRADES])[trade[owner[mine]]]
        made["recipient"][costly] = _costly(crooks.crew[owner[mine]][costly], to[mine][costly])
        _miss(made, ~used[mine], Outcome.FAILED, rng)
        received = originated(
            self.people, CALL, to[theirs], self._numbers(owner[theirs]), times[theirs], self.start_ms, rng
        )
        for records, which in ((made, mine), (received, theirs)):
            kind = trade[owner[which]]
            returned = records is received
            settle(
                rng,
                records,
                answered=0.75 if returned else _each("answered")[kind],
                cancelled=0.1 if returned else _each("cancelled")[kind],
                talk_s=talk_s[owner[which]],
                spread=spread[owner[which]],
            )
        return [made, received]

    def _texts(self, kit: "Kit", rng: np.random.Generator) -> Records:
        volume = np.rint(_around(rng, "texts", self.crooks.trade) * self.crooks.days).astype(np.int64)
        owner, times = self._attempts(volume, rng)
        to, used = self._victims(volume, np.ones(len(volume)), rng)
        seen = self._seen(owner, times)
        records = self._made(SMS, kit, owner[seen], to[seen], times[seen], rng)
        _miss(records, ~used[seen], Outcome.SMS_FAILED, rng)
        return records

    def _attempts(self, volume: I64s, rng: np.random.Generator) -> tuple[I64s, I64s]:
        """Whose each attempt is, and when: on its working days, more of them as time goes by, in its working hours."""
        crooks = self.crooks
        owner = np.repeat(np.arange(len(volume)), volume)
        nth = np.floor(crooks.days[owner] * rng.beta(1.3, 1, len(owner)))
        day = np.floor(crooks.first_day[owner] + nth * crooks.slack[owner])
        hours = _between(rng, "hours", crooks.trade)
        begins = rng.uniform(7, 13, len(volume))
        hour = begins[owner] + hours[owner] * rng.beta(1.3, 1.3, len(owner))
        return owner, self.start_ms + (day * DAY_MS).astype(np.int64) + ((hour % 24) * HOUR_MS).astype(np.int64)

    def _victims(self, volume: I64s, fresh: Floats, rng: np.random.Generator) -> tuple[I64s, Bools]:
        """The slot that each attempt is for, and whether the list was right about its number.

        A crook has a list of so many people as its share of fresh attempts asks for. Everybody on it is tried once;
        what is left goes to those on it again, to a few of them most.
        """
        listed = np.maximum(1, np.rint(volume * fresh)).astype(np.int64)
        first = np.cumsum(listed) - listed
        people, total = self.people, int(listed.sum())
        outsiders = np.flatnonzero((people.home == Home.OTHER) | (people.home == Home.FOREIGN))
        ours = people.own[rng.integers(0, len(people.own), total)]
        reached = (rng.random(total) < self.burden) & self.span.reachable[ours]
        book = np.where(reached, ours, outsiders[rng.integers(0, len(outsiders), total)])
        right = rng.random(total) > 0.03
        owner = np.repeat(np.arange(len(volume)), volume)
        nth = np.arange(len(owner)) - np.repeat(np.cumsum(volume) - volume, volume)
        again = np.floor(listed[owner] * rng.random(len(owner)) ** REPEATS).astype(np.int64)
        entry = first[owner] + np.where(nth < listed[owner], nth, again)
        return book[entry], right[entry]

    def _seen(self, owner: I64s, times: I64s) -> Bools:
        """Whether the crook's number is in use then, and the span not over."""
        since = times - self.start_ms
        in_use = self.people.used(since, since + 1, self.span.crooks[owner])
        return in_use & (since >= 0) & (since < self.days * DAY_MS)

    def _answering(self, owner: I64s, to: I64s) -> Bools:
        """Whether a victim calls the crook: some of their numbers nobody calls, and some victims never call anybody."""
        answering: Bools = self.span.reachable[self.span.crooks[owner]] & (self.people.gone_ms[to] == NEVER_MS)
        return answering

    def _numbers(self, owner: I64s) -> U64s:
        return self.people.numbers[self.span.crooks[owner]]

    def _made(self, kind: int, kit: "Kit", owner: I64s, to: I64s, times: I64s, rng: np.random.Generator) -> Records:
        """The crooks' records: from a phone of the crew, at the crew's place, or from where the subscriber is."""
        people, crooks = self.people, self.crooks
        slots = self.span.crooks[owner]
        records = originated(people, kind, slots, people.numbers[to], times, self.start_ms, rng)
        records["campaign"] = self.first_index + crooks.crew[owner]
        # Half of the lent SIMs are put into a phone of the crew.
        ours = ~crooks.lent[owner] | (owner % 2 == 0)
        # The crew's next number gets the devices that the last one had.
        nth = (times - self.start_ms) // SHIFT_MS % crooks.devices[owner]
        device = renewed(kit.phone[crooks.crew[owner]], owner % CREW // 2 + nth)
        near = (kit.place[crooks.crew[owner]] + rng.integers(0, 2, len(owner))) % people.cells + 1
        records["device"] = np.where(ours, device, records["device"])
        records["cell"] = np.where(~crooks.lent[owner], near, records["cell"])
        records["roaming"] = False
        return records


def _costly(crew: I64s, to: I64s) -> U64s:
    """The number in a crew's costly range that stands for each victim of its list."""
    code = np.array(HIGH_RISK, dtype=np.int64)[crew % len(HIGH_RISK)]
    digits = code * 10**9 + 10**8 + crew * 1_000 % 10**8 + to % 1_000
    return digits.astype(np.uint64) | E164


def _miss(records: Records, wrong: Bools, outcome: Outcome, rng: np.random.Generator) -> None:
    """Where the list was wrong, the record goes to a number that nobody has."""
    digits = UNALLOCATED + rng.integers(0, 10**8, int(wrong.sum()))
    records["recipient"][wrong] = digits.astype(np.uint64) | E164
    records["outcome"][wrong] = outcome


def _each(name: str) -> Floats:
    """One field of every trade."""
    return np.array([getattr(trade, name) for trade in TRADES], dtype=np.float64)


def _around(rng: np.random.Generator, name: str, trade: I64s) -> Floats:
    """A value for each number by its trade's median and spread."""
    median, spread = _each(name).T
    values: Floats = median[trade] * np.exp(spread[trade] * rng.standard_normal(len(trade)))
    return values


def _between(rng: np.random.Generator, name: str, trade: I64s) -> Floats:
    """A value for each number between its trade's bounds."""
    low, high = _each(name).T
    values: Floats = low[trade] + (high - low)[trade] * rng.random(len(trade))
    return values
