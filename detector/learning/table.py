"""Table: vectors with labels, as `fit` and `evaluate` take them.

A row is one vector of one number at one moment. A label is 1 or fraud, 0 or honest; rows whose label is not known
are in no table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detector.records import Bools, I64s
from detector.verdict.trees import Vectors

ROLES: Final[Mapping[str, str]] = {
    "label": "label",
    "number": "number",
    "time": "event_ms",
    "weight": "weight",
    "type": "type",
}
"""The column of each role unless it is named otherwise; only the label has to be there."""
EVERY_EVENT: Final = "every:1"
"""Moments of vectors as serving scores them."""
ACTIVE_FROM: Final = "active_from_ms"
"""The column that says since when a number is what its label says."""
UNSAID: Final = -1
"""In its place where that is not said."""

Texts = npt.NDArray[np.str_]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """Vectors with known labels; arrays are aligned by row."""

    features: tuple[str, ...]
    vectors: Vectors
    fraud: Bools
    number: I64s
    """Code of each row's number: its place in `numbers`."""
    numbers: Texts
    event_ms: I64s | None
    """None where the table has no time."""
    day: I64s
    """Local day since 1970; 0 throughout where there is no time."""
    weight: Weights
    types: Texts
    """Fraud type of a fraud row, profile of an honest one; empty = not named."""
    kind: Literal["simulated", "real"]
    moments: str
    """When vectors were taken, as the table's heading says; empty = not said."""
    floor: int | None
    """Outgoing events in 24 h below which no vector was taken; None = not said."""
    roles: Mapping[str, str]
    """The column of each role that was found."""
    files: Mapping[str, str] = field(repr=False)
    """SHA-256 by file name, `digests.together` for files of one name."""
    notes: tuple[str, ...]
    """What was left out or taken for granted, a sentence each."""
    active_from_ms: I64s | None = None
    """Since when each row's number is what its label says, `UNSAID` where that is not said; None = in no row."""
    late: Bools | None = None
    """Rows later than somebody can be honest (`followup`); None where there is no time."""

    def __len__(self) -> int:
        return len(self.fraud)

    def rows(self, wanted: Bools | I64s) -> "Table":
        """Some rows of it; codes of numbers stay what they are."""
        return replace(
            self,
            vectors=self.vectors[wanted],
            fraud=self.fraud[wanted],
            number=self.number[wanted],
            event_ms=None if self.event_ms is None else self.event_ms[wanted],
            day=self.day[wanted],
            weight=self.weight[wanted],
            types=self.types[wanted],
            active_from_ms=None if self.active_from_ms is None else self.active_from_ms[wanted],
            late=None if self.late is None else self.late[wanted],
        )

    @property
    def sparse(self) -> bool:
        """Whether there are events without a vector though serving scores them; false where nothing is said."""
        return self.moments not in ("", EVERY_EVENT)

    def column(self, name: str) -> Weights:
        """The values of one feature; `KeyError` where there is none of that name."""
        if name not in self.features:
            raise KeyError(name)
        return self.vectors[:, self.features.index(name)]


def day_weights(number: I64s, day: I64s, fraud: Bools) -> Weights:
    """1 over the vectors of each row's number-day, what it was before its fraud and what it is since apart."""
    keys = 2 * number_day_keys(number, day) + fraud
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    weights: Weights = 1.0 / counts[inverse]
    return weights


def number_day_keys(number: I64s, day: I64s) -> I64s:
    """One value for each pair of a number's code and a day (or another place in time)."""
    first = int(day.min())
    return number * (int(day.max()) - first + 1) + (day - first)
