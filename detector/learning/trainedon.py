"""Trained on: numbers that were known as fraud in training are left out of what a model is judged on.

    training tables --known_frauds--> numbers --without--> the judged table, fraud and honest days of them gone

Whose fraud goes on from one week into the next is caught because its own habits were learnt: that says nothing of
fraud to come, and makes a newer model look better than one that did not see it. Honest numbers stay, on other days.
The tables must be of one network: another one's numbers may be called alike.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from detector.errors import ConfigError
from detector.learning.table import Table


def known_frauds(tables: Iterable[Table]) -> frozenset[str]:
    """Numbers with a row of fraud in any of them; `ConfigError` names a table that has no numbers."""
    found: set[str] = set()
    for table in tables:
        _named(table)
        found.update(table.numbers[np.unique(table.number[table.fraud])].tolist())
    return frozenset(found)


def without(table: Table, known: Collection[str], where: str) -> tuple[Table, int]:
    """`table` without the numbers `known` as fraud, with a note of it, and how many of its frauds that were.

    `where`: from which files they are known. Raises `ConfigError` where no fraud is left.
    """
    _named(table)
    fraud = np.unique(table.number[table.fraud])
    gone = np.isin(table.numbers, np.array(sorted(known), np.str_))
    count = int(gone[fraud].sum())
    if count == len(fraud):
        raise ConfigError(
            f"{', '.join(table.files)}: wanted fraud numbers that training did not know (got {count:,}, all known as "
            f"fraud in {where})"
        )
    note = f"Numbers known as fraud in training ({where}): {count:,} of {len(fraud):,} fraud numbers, left out."
    return replace(table.rows(~gone[table.number]), notes=(*table.notes, note)), count


def _named(table: Table) -> None:
    if "number" not in table.roles:
        raise ConfigError(f"{', '.join(table.files)}: wanted a column of numbers, for --trained-on (got none)")
