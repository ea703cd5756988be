"""Challenge: what another model would have made of the rows that the model in force has scored, counted.

    vectors -> margins of both -> which reach their own thresholds -> counts by level

A challenger decides nothing. It sees the rows that the champion sees, its own activity floor left aside.
"""

from typing import Final, Literal, get_args

import numpy as np

from detector.records import I64s
from detector.verdict.manifest import LEVELS, Thresholds
from detector.verdict.model import Model
from detector.verdict.trees import Margins, Vectors

Who = Literal["both", "champion", "challenger"]
WHO: Final[tuple[Who, ...]] = get_args(Who)
"""Whose threshold a row reaches; rows that reach neither are not counted."""


class Challenge:
    """A challenger beside the champion."""

    def __init__(self, champion: Thresholds, challenger: Model) -> None:
        self._champion = [getattr(champion, level) for level in LEVELS]
        self._challenger = [getattr(challenger.thresholds, level) for level in LEVELS]
        self.model = challenger

    def compare(self, vectors: Vectors, margins: Margins) -> I64s:
        """i64[levels, `WHO`]: how many rows reach a level with both, and with one alone.

        `vectors` f64[n, features] with the champion's `margins` f64[n].
        """
        theirs = self.model.margins(vectors)
        found = np.zeros((len(LEVELS), len(WHO)), np.int64)
        for i, (old, new) in enumerate(zip(self._champion, self._challenger, strict=True)):
            champion, challenger = margins >= old, theirs >= new
            found[i] = (champion & challenger).sum(), (champion & ~challenger).sum(), (challenger & ~champion).sum()
        return found
