"""Greatest: what a number was judged by on a day, or at all, the greatest margin of its vectors.

A day's fraudulent and honest vectors are kept apart. A number-day counts once; its weight is that of its vectors
together: 1, or as many as its label stands for (`labelling.stands_for`). A number counts once too, however many days it
has: its weight is the greatest of its number-days', 1 for whoever a victim told of and 1/p for one that was drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from detector.learning.table import Table, Weights, number_day_keys
from detector.records import Bools, I64s
from detector.verdict.trees import Margins

DUST: Final = 9
"""Decimals that a number's weight is rounded to: ten tenths of a number-day are 1, not a little less."""


@dataclass(frozen=True, slots=True)
class Greatest:
    """One entry a number, day and truth; arrays are aligned."""

    number: I64s
    day: I64s
    fraud: Bools
    margin: Margins
    weight: Weights
    row: I64s
    """A row of it in its own table, the first."""


def number_days_of_table(table: Table, margins: Margins) -> Greatest:
    """The number-days of `table`, whose rows have these `margins`."""
    return _greatest(table, table.day, margins)


def numbers_of_table(table: Table, margins: Margins) -> Greatest:
    """The numbers of `table`, each once: as fraud, by its fraudulent vectors alone, if it has any; else as honest."""
    counted = _counted(table)
    numbers = _greatest(table.rows(counted), np.zeros(int(counted.sum()), np.int64), margins[counted])
    return replace(numbers, weight=number_weights(table)[numbers.number])


def number_weights(table: Table) -> Weights:
    """How many each number of `table` stands for, f64[len(table.numbers)]: as much as the heaviest of its number-days;
    of a fraud number, of those that it was fraud on."""
    part = table.rows(_counted(table))
    keys = number_day_keys(part.number, part.day)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    weights = np.zeros(len(table.numbers))
    np.maximum.at(weights, part.number[first], np.round(np.bincount(inverse, part.weight), DUST))
    return weights


def _counted(table: Table) -> Bools:
    """The rows that a number is judged by: if it has fraudulent ones, these."""
    return table.fraud | ~np.isin(table.number, table.number[table.fraud])


def joined(parts: Sequence[Greatest]) -> Greatest:
    """Those of several tables; a number of one is nobody of another."""
    behind, numbers = 0, []
    for part in parts:
        numbers.append(part.number + behind)
        behind += int(part.number.max(initial=-1)) + 1
    rest = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Greatest.__slots__}
    return Greatest(**{**rest, "number": np.concatenate(numbers)})


def _greatest(table: Table, day: I64s, margins: Margins) -> Greatest:
    keys = 2 * number_day_keys(table.number, day) + table.fraud
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    greatest = np.full(len(first), -np.inf)
    np.maximum.at(greatest, inverse, margins)
    return Greatest(
        number=table.number[first],
        day=day[first],
        fraud=table.fraud[first],
        margin=greatest,
        weight=np.bincount(inverse, weights=table.weight, minlength=len(first)).astype(np.float64),
        row=first.astype(np.int64),
    )
