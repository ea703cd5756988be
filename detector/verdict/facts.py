"""Facts: what rules may look at, of rows of a moment or of an example in a policy file.

Moment -> MomentFacts -> columns for `expression`
example -> GivenFacts -> the same columns, one row long
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from detector.features.catalogue import INDEX
from detector.features.state import Updated
from detector.ingest.zones import CLASS_BITS, ZoneClass, ZoneTable
from detector.records import (
    BODY_BITS,
    TRUNK_BITS,
    TRUNK_MASK,
    UNKNOWN_DURATION,
    UNKNOWN_RING,
    Bools,
    Flag,
    I64s,
    Kind,
    NumberKind,
    Rows,
    U64s,
    number_digits,
)
from detector.verdict import expression
from detector.verdict.expression import NUMBER, YES_NO, Column
from detector.verdict.lists import NO_TRUNK, NumberList
from detector.verdict.manifest import LEVELS, Thresholds
from detector.verdict.trees import Margins

Positions = npt.NDArray[np.intp]

_NUMBERS: Final = ("margin", *LEVELS, "duration_s", "ring_s", "cause", "trunk")
_FLAGS: Final = {
    name.lower(): int(flag)
    for name, flag in Flag.__members__.items()
    if flag not in (Flag.OWN_BLOCK, Flag.EMERGENCY)  # such rows are never judged
}
_CLASSES: Final = tuple(kind.name.lower() for kind in ZoneClass)

FACTS: Final[dict[str, expression.Kind]] = {
    **dict.fromkeys(INDEX, NUMBER),
    **dict.fromkeys(_NUMBERS, NUMBER),
    **dict.fromkeys(_FLAGS, YES_NO),
    "home": YES_NO,
    "on_trunk": YES_NO,
    "roaming_source": YES_NO,
    "kind": ("none", "call", "sms"),
    "number_kind": tuple(kind.name.lower() for kind in NumberKind),
    "zone_class": _CLASSES,
    "own_zone_class": _CLASSES,
}
"""Every name that an expression may use. The features of the catalogue, `margin` and the model's
thresholds; the row's `duration_s`, `ring_s`, `cause`, `trunk` and flags; `home`: the subject is a
number of the home country; `on_trunk`: the subject is number@trunk; `roaming_source`: the policy's
switch; the row's `kind`; the subject's `number_kind` and `own_zone_class`; the destination's `zone_class`."""

SCORED: Final = frozenset(INDEX) | {"margin"}
"""Facts that only a row with a vector has."""
MODELLED: Final = frozenset({"margin", *LEVELS})
"""Facts that come from the model."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One chunk of one partition: everything that the judge may look at."""

    partition: int
    rows: Rows
    offsets: I64s
    indices: I64s
    """Place of each row in the internal log: message offset, and row in the message."""
    updated: Updated
    margins: Margins
    """Aligned with `updated.scored`; NaN without a model."""
    warm: Bools
    """Per row: the log covers the longest window."""
    silent: U64s
    """Per row: bit s is set while source s is silent or refilling."""
    names: Mapping[int, Mapping[int, str]]
    """Texts of sender ids by number, as each message that brings some writes them, by its offset."""
    commands: Mapping[int, Any]
    """Operators' commands by message offset."""
    judged: Bools
    """Rows at or past the committed offset: only these may decide."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stays the same from moment to moment."""

    thresholds: Thresholds | None
    zones: ZoneTable
    home: NumberList
    lists: Mapping[str, NumberList]
    roaming_source: bool


@dataclass(frozen=True, slots=True)
class MomentFacts:
    """Some rows of a moment. The facts in `SCORED` may be asked for only where every row has a vector."""

    moment: Moment
    surroundings: Surroundings
    slots: Positions
    """Where the vector of each row of the moment is, for rows that have one."""
    at: Positions
    """Which rows."""
    _columns: dict[str, Column] = field(default_factory=dict)
    """What was asked for before: rules share facts."""

    def __len__(self) -> int:
        return len(self.at)

    def take(self, mask: Bools) -> Self:
        """The rows where `mask` holds."""
        return type(self)(self.moment, self.surroundings, self.slots, self.at[mask])

    def in_list(self, name: str) -> Bools:
        """Whether each row's subject is listed."""
        return self.surroundings.lists[name].contains(self._row("number"))

    def column(self, name: str) -> Column:
        """A fact of every row; f64 with NaN for what is not known, bool, or positions in the fact's texts."""
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = self._found(name)
        return column

    def _found(self, name: str) -> Column:
        if name in INDEX:
            vectors: Column = self.moment.updated.vectors
            column: Column = vectors[self.slots[self.at], INDEX[name]]
            return column
        if name == "margin":
            return self.moment.margins[self.slots[self.at]]
        if name in LEVELS:
            thresholds = self.surroundings.thresholds
            return np.array(getattr(thresholds, name) if thresholds else np.nan, np.float64)
        if name in _FLAGS:
            return _is_set(self._row("flags") & _FLAGS[name])
        return self._derived(name)

    def _derived(self, name: str) -> Column:
        match name:
            case "duration_s":
                return _known(self._row("duration_s"), UNKNOWN_DURATION)
            case "ring_s":
                return _known(self._row("ring_ds"), UNKNOWN_RING) / 10
            case "cause" | "trunk":
                return self._row(name).astype(np.float64)
            case "kind":
                codes = self._row("kind").astype(np.int64)
                return np.where(codes <= int(Kind.SMS), codes, 0)
            case "zone_class":
                return (self._row("zone") & ((1 << CLASS_BITS) - 1)).astype(np.int64)
            case "number_kind":
                return (self._row("number") >> np.uint64(BODY_BITS + TRUNK_BITS)).astype(np.int64)
            case "on_trunk":
                return _is_set(self._row("number") & np.uint64(TRUNK_MASK))
            case "home":
                return self.surroundings.home.contains(self._row("number"))
            case "roaming_source":
                return np.full(len(self), self.surroundings.roaming_source)
            case "own_zone_class":
                numbers, back = np.unique(self._row("number") & NO_TRUNK, return_inverse=True)
                return np.array([self._class_of(int(number)) for number in numbers], np.int64)[back]
        raise KeyError(name)

    def _row(self, field: str) -> Column:
        values: Column = self.moment.rows[field]
        return values[self.at]

    def _class_of(self, number: int) -> int:
        if number >> (BODY_BITS + TRUNK_BITS) != NumberKind.E164:
            return ZoneClass.UNKNOWN
        return self.surroundings.zones.class_of(number_digits(number))


@dataclass(frozen=True, slots=True)
class GivenFacts:
    """One row that an example describes: what it does not name is unknown, no, or of no kind."""

    facts: Mapping[str, Any]
    lists: frozenset[str]
    here: bool = True

    def __len__(self) -> int:
        return int(self.here)

    def take(self, mask: Bools) -> Self:
        """The row, if `mask` holds."""
        return type(self)(self.facts, self.lists, bool(mask[0]))

    def in_list(self, name: str) -> Bools:
        """Whether the example says so."""
        return np.full(len(self), name in self.lists)

    def column(self, name: str) -> Column:
        """A fact as the example gives it."""
        kind = FACTS[name]
        if isinstance(kind, tuple):
            return np.full(len(self), kind.index(self.facts.get(name, kind[0])))
        return np.full(len(self), self.facts.get(name, np.nan if kind == NUMBER else False))


def _known(values: Column, unknown: int) -> Column:
    return np.where(values == unknown, np.nan, values.astype(np.float64))


def _is_set(bits: Column) -> Bools:
    is_set: Bools = bits != 0
    return is_set
