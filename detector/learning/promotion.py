"""Promotion: whether a challenger takes the champion's place, from nothing but their two evaluations.

    evaluation.json of each -> Evaluation -> promote -> Verdict: yes or no, with reasons

A no needs one reason, a yes none. Figures count as worse when that is no chance: of two equal models half the figures
are lower. Recall is compared where both wrong as many honest number-days of the table: at its own threshold a model may
seem to catch more only because it wrongs more. What both models make of the same frauds is compared fraud by fraud, in
replicates that draw frauds and honest numbers anew for both alike; evaluations of before, which do not tell them one
by one, by the champion's interval. A margin beyond the data is no place to compare at. What thresholds do is asked of
honest numbers; those that reach `block` are counted one by one. And of the fraud that reaches `flag`: a challenger
whose thresholds lie above it decides nothing, however well it ranks.

Few data are no ground for a yes: so many fraud numbers and honest number-days are wanted (`FEWEST_FRAUDS`,
`FEWEST_DAYS`) that a challenger that is much worse would show, and where it may have lost a fifth of all fraud
(`MOST_LOST`), none is given either.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from detector.errors import ConfigError
from detector.learning.rates import UNKNOWN, Floats, Interval, difference_above
from detector.learning.thresholds import FEWEST, SHARES
from detector.units import DAY_MS

DECIDING: Final = "flag"
"""The level at which a number is first acted upon."""
LEAST_SHARE: Final = 0.5
"""Of what the champion catches at the least. Thresholds are set on other number-days than are judged on, so that equal
models differ by a tenth; one that catches less than half has its own thresholds where hardly any fraud is."""
FEWEST_FRAUDS: Final = 30
"""Fraud numbers. Six lost and none gained come of chance in one case of sixty-four (a sign test), five in one of
thirty-two: six is the least loss that shows beyond an interval of 95 %, and of thirty it is a fifth."""
FEWEST_DAYS: Final = round(FEWEST / SHARES["watch"])
"""Honest number-days. At 0.1 % false positives three of them set the margin; of fewer it lies beyond the data."""
MOST_LOST: Final = 0.2
"""Of all fraud, at the end of the interval: what `FEWEST_FRAUDS` are to tell."""
SEED: Final = 1
"""Of the replicates in which frauds are drawn."""
OVERT: Final = ("wangiri", "robocall", "smishing", "irsf")
"""Types that nobody forgives a detector for missing; the others' recall is reported and not held against a model."""


class Level(msgspec.Struct, frozen=True):
    """What reached one of the bundle's thresholds."""

    honest_days: Interval
    """Share of honest number-days."""
    honest_numbers_reached: int
    recall: Interval


class ReadOff(msgspec.Struct, frozen=True):
    """Recall at the margin that a share of the table's honest number-days reach."""

    share: float
    recall: Interval
    margin: float | None = None
    extrapolated: bool = False
    """It lies beyond the data: too few honest number-days could reach it."""


class Frauds(msgspec.Struct, frozen=True):
    """Each fraud number, aligned; of evaluations of one table equal places are one number."""

    place: list[int]
    type: list[str]
    weight: list[float]
    margin: list[float]
    bars: list[list[float | None]]
    """Margins that were read off in each replicate, in the order of `Evaluation.read_off`."""


class FraudType(msgspec.Struct, frozen=True):
    """One type's recall."""

    type: str
    numbers: int
    read_off: list[ReadOff]


class LeftOut(msgspec.Struct, frozen=True):
    """Fraud numbers that were left out because training knew them: how many, and from which files."""

    fraud_numbers: int
    trained_on: dict[str, str]


class Table(msgspec.Struct, frozen=True):
    """What was judged on: files by name, with their digests."""

    files: dict[str, str]
    fraud_numbers: int
    honest_number_days: int
    left_out: LeftOut | None = None


class Bundle(msgspec.Struct, frozen=True):
    """What was judged."""

    version: str
    kind: Literal["simulated", "real"]
    feature_hash: str
    trained_until_ms: int
    seen: tuple[str, ...] = ()
    """Judged files that it was fitted on, or its thresholds set on."""


class Evaluation(msgspec.Struct, frozen=True):
    """Of `evaluation-1`, what a promotion asks."""

    format: Literal["evaluation-1"]
    figures: Literal["simulator", "real"]
    table: Table
    levels: dict[str, Level]
    read_off: list[ReadOff]
    types: list[FraudType]
    bundle: Bundle
    frauds: Frauds | None = None
    """None in evaluations of before."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer and what it rests on."""

    champion: str
    challenger: str
    against: tuple[str, ...]
    favour: tuple[str, ...]
    """What became better beyond the champion's interval."""

    @property
    def promote(self) -> bool:
        """Whether the challenger takes the champion's place."""
        return not self.against


def read_evaluation(path: Path) -> Evaluation:
    """What `detector evaluate` wrote; `ConfigError` names file, field, wanted and got."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except OSError as error:
        raise ConfigError(f"{path}: wanted a readable file (got {error.strerror or error})") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: wanted an evaluation that `detector evaluate` wrote ({error})") from error


def promote(champion: Evaluation, challenger: Evaluation) -> Verdict:
    """Whether `challenger` may decide in place of `champion`."""
    return Verdict(
        champion.bundle.version,
        challenger.bundle.version,
        against=(
            *_incomparable(champion, challenger),
            *_too_few(challenger),
            *_older(champion, challenger),
            *_worse(champion, challenger),
            *_idle(champion, challenger),
        ),
        favour=tuple(_better(champion, challenger)),
    )


def _incomparable(champion: Evaluation, challenger: Evaluation) -> Iterator[str]:
    """Figures that must not be set side by side."""
    if champion.figures != challenger.figures:
        yield (
            f"figures of the challenger are {challenger.figures}, of the champion {champion.figures}: "
            "judge both on one table"
        )
    elif champion.table.files != challenger.table.files:
        yield "the two were judged on different tables: judge both on one"
    elif _left_out(champion) != _left_out(challenger):
        yield "the two were judged on different numbers of one table: give --trained-on the same files for both"
    elif champion.frauds and challenger.frauds and champion.frauds.place != challenger.frauds.place:
        yield "the two were judged on different fraud numbers of the table: leave out the same of both"
    for who, bundle in (("challenger", challenger.bundle), ("champion", champion.bundle)):
        if bundle.seen:
            yield (
                f"the {who} has seen {', '.join(bundle.seen)}, in its fit or for its thresholds: "
                "judge both on a table that neither has"
            )
    if champion.bundle.feature_hash != challenger.bundle.feature_hash:
        yield (
            f"feature_hash is {challenger.bundle.feature_hash[:12]} (champion {champion.bundle.feature_hash[:12]}): "
            "another service computes other features under it"
        )
    if (champion.bundle.kind, challenger.bundle.kind) == ("real", "simulated"):
        yield "the challenger was trained on simulated traffic, the champion on real"


def _left_out(evaluation: Evaluation) -> set[str]:
    """By the tables that training knew them from."""
    found = evaluation.table.left_out
    return set(found.trained_on.values()) if found else set()


def _too_few(evaluation: Evaluation) -> Iterator[str]:
    """What a comparison would be worth nothing on."""
    table = evaluation.table
    if table.fraud_numbers < FEWEST_FRAUDS:
        yield (
            f"{table.fraud_numbers:,} fraud numbers were judged, {FEWEST_FRAUDS} are wanted: of fewer a challenger "
            "that misses every fifth may look as good by chance"
        )
    if table.honest_number_days < FEWEST_DAYS:
        yield (
            f"{table.honest_number_days:,} honest number-days were judged, {FEWEST_DAYS:,} are wanted: of fewer nobody "
            f"knows which margin {SHARES['watch']:.1%} of them reach, where recall is compared"
        )


def _older(champion: Evaluation, challenger: Evaluation) -> Iterator[str]:
    if challenger.bundle.trained_until_ms < champion.bundle.trained_until_ms:
        days = (champion.bundle.trained_until_ms - challenger.bundle.trained_until_ms) / DAY_MS
        yield f"the challenger's training data end {days:.1f} days before the champion's"


def _worse(champion: Evaluation, challenger: Evaluation) -> Iterator[str]:
    for one in _compared(champion, challenger):
        if one.new.value is None:
            if one.old.value is not None:
                yield f"{one.what} is not known of the challenger"
        elif one.worse:
            yield f"{one.told}, below the champion's {_told(one.old)}{one.apart}"
        elif one.of_all and one.more is not None and one.more.low is not None and one.more.low < -MOST_LOST:
            yield f"{one.told}, and may be lower by a fifth of all fraud or more{one.apart}: judge both on more"
    for name, level in challenger.levels.items():
        before = champion.levels.get(name, level)
        more = level.honest_numbers_reached - before.honest_numbers_reached
        if more > 0 and (name == "block" or _above(level.honest_days, before.honest_days)):
            yield (
                f"{level.honest_numbers_reached:,} honest numbers reach {name}, of the champion "
                f"{before.honest_numbers_reached:,} ({_told(before.honest_days)} of their days)"
            )


def _idle(champion: Evaluation, challenger: Evaluation) -> Iterator[str]:
    """It would catch far less by its own thresholds, and does not wrong fewer for it."""
    old, new = champion.levels.get(DECIDING), challenger.levels.get(DECIDING)
    if old is None or new is None or new.recall.value is None or old.recall.low is None:
        return
    if new.recall.value < LEAST_SHARE * old.recall.low and not _above(old.honest_days, new.honest_days):
        yield (
            f"recall at its own {DECIDING} is {_told(new.recall)}, less than half of the champion's "
            f"{_told(old.recall)}: its thresholds lie too high, set them on more honest numbers"
        )


def _better(champion: Evaluation, challenger: Evaluation) -> Iterator[str]:
    for one in _compared(champion, challenger):
        if one.better:
            yield f"{one.told}, above the champion's {_told(one.old)}{one.apart}"


@dataclass(frozen=True)
class Compared:
    """Recall of some frauds, of the champion (`old`) and of the challenger."""

    what: str
    old: Interval
    new: Interval
    more: Interval | None
    """What the challenger catches more of the very same frauds; None where they are not told one by one."""
    of_all: bool
    """Not of one type."""

    @cached_property
    def told(self) -> str:
        """The challenger's figure."""
        return f"{self.what} is {_told(self.new)}"

    @property
    def worse(self) -> bool:
        """By more than chance."""
        if self.more is not None:
            return self.more.high is not None and self.more.high < 0
        return self.new.value is not None and self.old.low is not None and self.new.value < self.old.low

    @property
    def better(self) -> bool:
        """In the same way."""
        if self.more is not None:
            return self.more.low is not None and self.more.low > 0
        return _above(self.new, self.old)

    @property
    def apart(self) -> str:
        """The difference, where it is known."""
        more = self.more
        if more is None or more.value is None or more.low is None or more.high is None:
            return ""
        value, low, high = (f"{100 * part:+.1f}" for part in (more.value, more.low, more.high))
        return f" (on the same frauds {value} points, {low} to {high})"


def _compared(champion: Evaluation, challenger: Evaluation) -> Iterator[Compared]:
    """Of all frauds at both false-positive levels, then of each overt type; not at margins beyond the data."""
    both = _Both(champion, challenger)
    yield from both.compared(champion.read_off, challenger.read_off)
    theirs = {kind.type: kind.read_off for kind in challenger.types}
    for kind in champion.types:
        if kind.type.removesuffix("-overt") in OVERT:
            yield from both.compared(kind.read_off, theirs.get(kind.type, []), kind.type)


class _Both:
    """What two evaluations say of the same frauds."""

    def __init__(self, champion: Evaluation, challenger: Evaluation) -> None:
        self._bars = tuple({one.share: one.margin for one in each.read_off} for each in (champion, challenger))
        self._shares = [one.share for one in champion.read_off]
        self._frauds = None
        if champion.frauds and challenger.frauds and champion.frauds.place == challenger.frauds.place:
            self._frauds = champion.frauds, challenger.frauds

    def compared(self, old: list[ReadOff], new: list[ReadOff], kind: str | None = None) -> Iterator[Compared]:
        """At each false-positive level; `kind`: of frauds of one type."""
        theirs = {one.share: one for one in new}
        for one in old:
            other = theirs.get(one.share)
            if one.extrapolated or (other is not None and other.extrapolated):
                continue
            yield Compared(
                f"recall{f' of {kind}' if kind else ''} at {100 * one.share:g} % false positives",
                one.recall,
                UNKNOWN if other is None else other.recall,
                None if other is None else self._more(one.share, kind),
                kind is None,
            )

    def _more(self, share: float, kind: str | None) -> Interval | None:
        bars = [each.get(share) for each in self._bars]
        if self._frauds is None or bars[0] is None or bars[1] is None:
            return None
        old, new = self._frauds
        place = self._shares.index(share)
        mine = np.ones(len(old.type), np.bool_) if kind is None else np.array(old.type) == kind
        return difference_above(
            (np.array(old.margin)[mine], np.array(new.margin)[mine]),
            np.array(old.weight)[mine],
            (bars[0], bars[1]),
            (_floats(old.bars[place]), _floats(new.bars[place])),
            SEED,
        )


def _floats(values: list[float | None]) -> Floats:
    """NaN where there is none."""
    return np.array(values, np.float64)


def _above(new: Interval, old: Interval) -> bool:
    """Whether `new` lies above all that `old` may be."""
    return new.value is not None and old.high is not None and new.value > old.high


def _told(figure: Interval) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "unknown"
    return f"{_share(figure.value)} ({_share(figure.low)} to {_share(figure.high)})"


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.01 else f"{value:.3%}"
