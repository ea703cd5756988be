"""Drifting: what one process has drawn of the last 24 hours, held against the model's reference.

Outcome.drawn -> Drifting -> the index of each feature
"""

from typing import Final

import numpy as np

from detector.verdict.drift import BINS, LEAST_VECTORS, SCORE, Counts
from detector.verdict.model import Model

HOUR_MS: Final = 3_600_000
HOURS: Final = 24
"""A whole day: people live by it, and so do features. Of a night alone everything would seem to have moved."""


class Drifting:
    """Counts by hour of event time. A batch counts for the hour of its partition's newest event."""

    def __init__(self, model: Model) -> None:
        self._reference = model.drift
        self._names = (*model.names, SCORE)
        self._hours = np.zeros((HOURS, len(self._names), BINS + 1))
        self._newest = 0

    def add(self, drawn: Counts, newest_ms: int) -> None:
        """`drawn` counts for its hour; what is a day older than the newest hour no longer does."""
        hour = newest_ms // HOUR_MS
        for passed in range(max(self._newest + 1, hour - HOURS + 1), hour + 1):
            self._hours[passed % HOURS] = 0
        self._newest = max(self._newest, hour)
        if hour > self._newest - HOURS:
            self._hours[hour % HOURS] += drawn

    @property
    def vectors(self) -> int:
        """How many vectors are counted."""
        return int(self._hours[:, -1].sum())

    def stability(self) -> dict[str, float]:
        """The index by feature, and of the score; nothing while too few vectors are counted."""
        if self.vectors < LEAST_VECTORS:
            return {}
        found = self._reference.stability(self._hours.sum(axis=0))
        return {name: float(index) for name, index in zip(self._names, found, strict=True) if not np.isnan(index)}
