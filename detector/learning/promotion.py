"""Promotion: whether a challenger takes the champion's place, from nothing but their two evaluations.

    evaluation.json of each -> Evaluation -> promote -> Verdict: yes or no, with reasons

A no needs one reason, a yes none. Figures count as worse when they leave the champion's interval on the bad side: of
two equal models half the figures are lower, by chance. Recall is compared where both wrong as many honest number-days
of the table: at its own threshold a model may seem to catch more only because it wrongs more. What thresholds do is
asked of honest numbers; those that reach `block` are counted one by one. And of the fraud that reaches `flag`: a
challenger whose thresholds lie above it decides nothing, however well it ranks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from detector.errors import ConfigError
from detector.learning.rates import UNKNOWN, Interval
from detector.units import DAY_MS

DECIDING: Final = "flag"
"""The level at which a number is first acted upon."""
LEAST_SHARE: Final = 0.5
"""Of what the champion catches at the least. Thresholds are set on other number-days than are judged on, so that equal
models differ by a tenth; one that catches less than half has its own thresholds where hardly any fraud is."""
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


def _older(champion: Evaluation, challenger: Evaluation) -> Iterator[str]:
    if challenger.bundle.trained_until_ms < champion.bundle.trained_until_ms:
        days = (champion.bundle.trained_until_ms - challenger.bundle.trained_until_ms) / DAY_MS
        yield f"the challenger's training data end {days:.1f} days before the champion's"


def _worse(champion: Evaluation, challenger: Evaluation) -> Iterator[str]:
    for what, old, new in _recalls(champion, challenger):
        if new.value is None:
            if old.value is not None:
                yield f"{what} is not known of the challenger"
        elif old.low is not None and new.value < old.low:
            yield f"{what} is {_told(new)}, below the champion's {_told(old)}"
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
    for what, old, new in _recalls(champion, challenger):
        if _above(new, old):
            yield f"{what} is {_told(new)}, above the champion's {_told(old)}"


def _recalls(champion: Evaluation, challenger: Evaluation) -> Iterator[tuple[str, Interval, Interval]]:
    """Name, champion's and challenger's: of all frauds at both false-positive levels, then of each overt type."""
    yield from _pairs("recall", champion.read_off, challenger.read_off)
    theirs = {kind.type: kind.read_off for kind in challenger.types}
    for kind in champion.types:
        if kind.type.removesuffix("-overt") in OVERT:
            yield from _pairs(f"recall of {kind.type}", kind.read_off, theirs.get(kind.type, []))


def _pairs(what: str, old: list[ReadOff], new: list[ReadOff]) -> Iterator[tuple[str, Interval, Interval]]:
    theirs = {one.share: one.recall for one in new}
    for one in old:
        yield f"{what} at {100 * one.share:g} % false positives", one.recall, theirs.get(one.share, UNKNOWN)


def _above(new: Interval, old: Interval) -> bool:
    """Whether `new` lies above all that `old` may be."""
    return new.value is not None and old.high is not None and new.value > old.high


def _told(figure: Interval) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "unknown"
    return f"{_share(figure.value)} ({_share(figure.low)} to {_share(figure.high)})"


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.01 else f"{value:.3%}"
