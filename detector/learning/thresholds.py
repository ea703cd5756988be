"""Thresholds: margins that a stated share of honest number-days reaches, and the scale that people read."""

from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from detector.records import Bools
from detector.verdict.manifest import Calibration, Thresholds
from detector.verdict.trees import Margins

SHARES: Final = {"watch": 1e-3, "flag": 1e-4, "block": 1e-5}
"""Share of honest number-days whose greatest margin reaches each threshold (DESIGN 5)."""
FEWEST: Final = 3
"""Number-days that must reach a threshold for it to be read off; with fewer it is extrapolated."""


def choose_thresholds(honest: Margins) -> Thresholds:
    """Margins that the shares of `SHARES` of honest number-days reach.

    Where fewer than `FEWEST` number-days would reach one, the tail is too short to read it off: it is
    extended from the 0.1 % on by the exponential that fits best above it (peaks over threshold).
    """
    ordered = np.sort(honest)[::-1]
    tail = max(FEWEST, int(SHARES["watch"] * len(ordered)))
    base = float(ordered[tail - 1])
    mean_excess = float(np.mean(ordered[:tail] - base))
    found = {}
    for name, share in SHARES.items():
        reached = int(share * len(ordered))
        if reached >= FEWEST:
            found[name] = float(ordered[reached - 1])
        else:
            found[name] = max(float(ordered[0]), base + mean_excess * float(np.log(SHARES["watch"] / share)))
    return Thresholds(**found)


def calibrate(margins: Margins, fraud: Bools) -> Calibration:
    """The sigmoid from a number-day's greatest margin to a display value."""
    with threadpool_limits(1):
        line = LogisticRegression(C=1e6).fit(margins[:, None], fraud)
    return Calibration(a=float(line.coef_[0, 0]), b=float(line.intercept_[0]))
