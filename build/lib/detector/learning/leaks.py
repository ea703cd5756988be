"""Leaks: columns that know the label, and so cannot be features.

A model that has seen one scores everything right, and nothing of it holds on traffic whose label nobody knows yet.
"""

from typing import Final

import numpy as np

from detector.errors import ConfigError
from detector.learning.rates import area
from detector.learning.table import Table, Weights
from detector.records import Bools

FEWEST: Final = 10
"""Rows of each class below which two columns may agree by chance."""
SUSPECT: Final = 0.995
"""Area under the curve of a single feature above which it is named: real ones reach 0.875 (distinct share)."""


def check_leaks(table: Table) -> tuple[str, ...]:
    """Raises `ConfigError` for a feature that is the label by another name; returns what is merely suspect, in words.

    Refused: a column of two values (or of one and nothing) that say fraud and honest, and one that is known of one
    class and of nobody else.
    """
    fraud = table.fraud
    if min(np.count_nonzero(fraud), np.count_nonzero(~fraud)) < FEWEST:
        return ()
    notes = []
    for i, name in enumerate(table.features):
        values = table.vectors[:, i]
        known = ~np.isnan(values)
        if (known == fraud).all() or (known == ~fraud).all():
            raise ConfigError(f"{name}: wanted a feature (got a column that is known of one class only: a label)")
        if known.all() and _says(values, fraud):
            raise ConfigError(f"{name}: wanted a feature (got the label by another name: one value for each class)")
        alone = area(np.nan_to_num(values, nan=-np.inf), fraud)
        if max(alone, 1 - alone) > SUSPECT:
            notes.append(f"{name} alone tells the classes apart (area {alone:.4f}): is it known when it is scored?")
    return tuple(notes)


def _says(values: Weights, fraud: Bools) -> bool:
    return len(np.unique(values)) == 2 and len(np.unique(values[fraud])) == 1 and len(np.unique(values[~fraud])) == 1
