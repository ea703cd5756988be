"""Drifting: what one process has drawn of the last 24 hours, held against the model's reference.

    Outcome.drawn -> Drifting -> the index of each feature
                         ^
                         +--> Kept: a file, from which a restart goes on (`driftfile`)

People live by the day, and so do features: of a night alone many would seem to have moved. So nothing is said until a
whole day has been counted.
"""

from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from detector.units import HOUR_MS
from detector.verdict.drift import BINS, LEAST_VECTORS, SCORE, Counts
from detector.verdict.model import Model

HOURS: Final = 24

Count = Annotated[float, Meta(ge=0)]


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was counted, as a file holds it."""

    model: str
    """Version of the model whose bins these are."""
    first: int
    """Hour since 1970 from which on all was counted; the next one is the newest."""
    newest: int
    counts: list[Count]
    """By hour, feature and bin, one after the other."""


class Drifting:
    """Counts by hour of event time. A batch counts for the hour of its partition's newest event."""

    def __init__(self, model: Model) -> None:
        self._model = model.version
        self._reference = model.drift
        self._names = (*model.names, SCORE)
        self._hours = np.zeros((HOURS, len(self._names), BINS + 1))
        self._first = self._newest = 0

    @staticmethod
    def of(model: Model, kept: Kept) -> "Drifting | None":
        """What was kept goes on being counted; None where it was counted in the bins of another model."""
        drifting = Drifting(model)
        if kept.model != model.version or len(kept.counts) != drifting._hours.size or kept.first > kept.newest:
            return None
        drifting._hours[:] = np.array(kept.counts).reshape(drifting._hours.shape)
        drifting._first, drifting._newest = kept.first, kept.newest
        return drifting

    def kept(self) -> Kept:
        """All of it as of now."""
        return Kept(self._model, self._first, self._newest, self._hours.ravel().tolist())

    def add(self, drawn: Counts, newest_ms: int) -> None:
        """`drawn` counts for its hour; what is a day older than the newest hour no longer does."""
        hour = newest_ms // HOUR_MS
        if hour - self._newest >= HOURS:
            self._first = hour  # nothing of before is left
        for passed in range(max(self._newest + 1, hour - HOURS + 1), hour + 1):
            self._hours[passed % HOURS] = 0
        self._newest = max(self._newest, hour)
        if hour > self._newest - HOURS:
            self._first = min(self._first, hour)
            self._hours[hour % HOURS] += drawn

    @property
    def vectors(self) -> int:
        """How many vectors are counted."""
        return int(self._hours[:, -1].sum())

    @property
    def whole(self) -> bool:
        """Whether each hour of the last day has been counted."""
        return self._newest - self._first >= HOURS - 1

    def stability(self) -> dict[str, float]:
        """The index by feature, and of the score; nothing before a whole day and vectors enough are counted."""
        if not self.whole or self.vectors < LEAST_VECTORS:
            return {}
        found = self._reference.stability(self._hours.sum(axis=0))
        return {name: float(index) for name, index in zip(self._names, found, strict=True) if not np.isnan(index)}
