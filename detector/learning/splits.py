"""Splits: which rows are fitted on, which set thresholds, which are reported on.

with a time      train | thresholds | test, in this order; a number known as fraud in training is in no later part. An
                 honest one is in all, on other days; a fraud that begins in the second span is in the third, too.
                 What is later than somebody can be honest (`followup`) is in neither of the last two. Training
                 hears all labels that there are: it is this bundle that goes to work once they are known
without          folds by number: each number's margin comes from a model that has not seen it (cross-fitted)

A fraud of the second span may be judged in the third, for nothing that is held against it there has come from its
fraud: it was fitted on as honest, if at all, and thresholds are read off honest number-days alone. The days before it
turned are among those, as they were when somebody set thresholds then; to leave them out would take labels of later
days. What its fraud has helped to set is the sigmoid, two parameters for display that reach no threshold, no order and
no recall (`tests/learning/test_fitting.py` holds that). Of delays in the third span it has none (`reported_on`).

Fresh numbers of a campaign that training has met are judged like others: whoever scores meets them too. How campaigns
fare that it has not met is for a table of their own (`--test-on`).
"""

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from detector.errors import ConfigError
from detector.learning.followup import followed, notes_of, part_of
from detector.learning.table import UNSAID, Table, number_day_keys
from detector.records import Bools, I64s

TRAIN: Final = 0.6
THRESHOLDS: Final = 0.2
"""Shares of the number-days; the rest is the test's."""
FOLDS: Final = 5
FEWEST_DAYS: Final = 5
"""Below this many days the cuts lie between moments instead of at midnights."""
FEWEST_FRAUD: Final = 5
"""Fraud numbers that each part needs; with fewer, the split is by number."""


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Rows of the three parts, and the moments (or local days) that the last two begin at."""

    train: Bools
    thresholds: Bools
    test: Bools
    said: dict[str, Any]
    notes: tuple[str, ...] = field(default=())
    """What is in no part, a sentence each."""


def split_by_time(table: Table) -> TimeSplit | None:
    """The split of a table that has a time; None where it has none, or too few fraud numbers for three parts."""
    if table.event_ms is None:
        return None
    kept = followed(table)
    days = len(np.unique(table.day[kept])) >= FEWEST_DAYS
    axis = table.day if days else table.event_ms
    first = _cut(axis[kept], table.number[kept], TRAIN)
    second = _cut(axis[kept], table.number[kept], TRAIN + THRESHOLDS)
    train = axis < first
    known = np.unique(table.number[train & table.fraud])
    fresh = ~np.isin(table.number, known)
    parts = (train, ~train & (axis < second) & fresh & kept, (axis >= second) & fresh & kept)
    for part in parts:
        if fraud_numbers(table, part) < FEWEST_FRAUD or not (part & ~table.fraud).any():
            return None
    said = {
        "by": "time",
        "unit": "local day since 1970" if days else "UTC ms",
        "thresholds_from": int(first),
        "test_from": int(second),
        "rows": dict(zip(("train", "thresholds", "test"), (int(part.sum()) for part in parts), strict=True)),
        "left_out": int((~fresh & ~train & kept).sum()),
        "too_late": int((~train & ~kept).sum()),
    }
    return TimeSplit(*parts, said, notes_of(table, ~train & ~kept))


def reported_on(table: Table, split: TimeSplit) -> Table:
    """The test's rows. A number that the labels call fraud before them, without saying since when, was it at the latest
    from the first row that they do."""
    test = part_of(table, split.test)
    test = replace(test, notes=(*test.notes, *split.notes))
    if table.event_ms is None:
        return test
    early = np.flatnonzero(split.thresholds & table.fraud)
    first = np.full(len(table.numbers), np.iinfo(np.int64).max)
    np.minimum.at(first, table.number[early], table.event_ms[early])
    since = np.full(len(test), UNSAID) if test.active_from_ms is None else test.active_from_ms
    begun = test.fraud & (since == UNSAID) & np.isin(test.number, table.number[early])
    return replace(test, active_from_ms=np.where(begun, first[test.number], since))


def folds_of(table: Table, seed: int, most: int = FOLDS) -> I64s:
    """The fold of each row, all of a number's in one, fraud numbers spread evenly; the order of rows is no matter.

    Raises `ConfigError` when there are not two numbers of each class.
    """
    codes = np.unique(table.number)
    fraud = np.isin(codes, table.number[table.fraud])
    count = min(most, int(fraud.sum()), int((~fraud).sum()))
    if count < 2:
        raise ConfigError(
            f"{', '.join(table.files)}: wanted at least 2 fraud numbers and 2 honest ones "
            f"(got {int(fraud.sum())} and {int((~fraud).sum())})"
        )
    texts = (f"{seed} {table.numbers[code]}".encode() for code in codes)
    drawn = np.array([int.from_bytes(blake2b(text, digest_size=8).digest(), "little") for text in texts], np.uint64)
    order = np.lexsort((drawn, fraud))
    fold = np.empty(len(table.numbers), np.int64)
    fold[codes[order]] = np.arange(len(codes)) % count
    return fold[table.number]


def fraud_numbers(table: Table, rows: Bools) -> int:
    """Distinct numbers with a fraud row among `rows`."""
    return len(np.unique(table.number[rows & table.fraud]))


def _cut(axis: I64s, number: I64s, share: float) -> int:
    """The place on `axis` before which `share` of the number-days lie."""
    _, first = np.unique(number_day_keys(number, axis), return_index=True)
    places = np.sort(axis[first])
    return int(places[min(len(places) - 1, int(share * len(places)))])
