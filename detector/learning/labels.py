"""Labels: which simulated number was a fraudster, from when, and whom it reached.

A label says who a number is, never what a feature shows. What becomes known of it, and when, `reports` says; what
follows for a vector, `known`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from detector.learning.cdr import HONEST, Records
from detector.records import I64s, U64s
from detector.units import DAY_MS

MEMORY_MS: Final = 7 * DAY_MS
"""The longest window: what was done in it still shows."""

HONEST_ROW: Final = 0
FRAUD_ROW: Final = 1
NEITHER: Final = -1


@dataclass(frozen=True, slots=True)
class Label:
    """One number's part in one campaign; active in `[active_from_ms, active_until_ms)`."""

    number: int
    """The subject as the pipeline names it: number@trunk where it arrived unattested."""
    type: str
    stealth: str
    campaign: str
    active_from_ms: int
    """Publication of its first fraudulent event: nobody can know earlier."""
    active_until_ms: int
    events: int
    victim_ms: I64s = field(repr=False)
    """When each distinct recipient was first tried, ascending."""

    def victims_before(self, ms: int) -> int:
        """Distinct recipients tried up to and including `ms`."""
        return int(np.searchsorted(self.victim_ms, ms, side="right"))


def labels_of(records: Records, subjects: U64s, campaigns: Sequence[tuple[str, str, str]]) -> list[Label]:
    """The labels of `records` sorted by end; `campaigns` gives kind, stealth and name by index."""
    marked = np.flatnonzero(records["campaign"] != HONEST)
    fraud, numbers = records[marked], subjects[marked]
    by_subject = np.lexsort((np.arange(len(marked)), numbers, fraud["campaign"]))
    fraud, numbers = fraud[by_subject], numbers[by_subject]
    new = np.ones(len(fraud), dtype=bool)
    new[1:] = (numbers[1:] != numbers[:-1]) | (fraud["campaign"][1:] != fraud["campaign"][:-1])
    first = np.append(np.flatnonzero(new), len(fraud))
    labels = []
    for begin, end in zip(first[:-1].tolist(), first[1:].tolist(), strict=True):
        kind, stealth, name = campaigns[int(fraud["campaign"][begin])]
        times = fraud["end_ms"][begin:end].astype(np.int64)
        _, first_try = np.unique(fraud["recipient"][begin:end], return_index=True)
        labels.append(
            Label(
                number=int(numbers[begin]),
                type=kind,
                stealth=stealth,
                campaign=name,
                active_from_ms=int(times[0]),
                active_until_ms=int(times[-1]) + 1,
                events=end - begin,
                victim_ms=np.sort(times[first_try]),
            )
        )
    return labels
