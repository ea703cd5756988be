"""Thresholds: margins that a stated share of honest number-days reaches, and the scale that people read."""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from detector.records import Bools
from detector.verdict.manifest import Calibration, Thresholds
from detector.verdict.trees import Margins

SHARES: Final = {"watch": 1e-3, "flag": 1e-4, "block": 1e-5}
"""Share of honest number-days whose greatest margin reaches each threshold (DESIGN 5)."""
FEWEST: Final = 3
"""Number-days that must reach a threshold for it to be read off; with fewer it is extrapolated."""
LEAST_SLOPE: Final = 1e-6
"""The sigmoid of a model that tells nothing, or the wrong way round: display values never reorder numbers."""


def choose_thresholds(honest: Margins, weights: npt.NDArray[np.float64] | None = None) -> Thresholds:
    """Margins that the shares of `SHARES` of honest number-days reach; `weights`: how many each stands for.

    Where fewer than `FEWEST` number-days would reach one, the tail is too short to read it off: it is
    extended from the 0.1 % on by the exponential that fits best above it (peaks over threshold).
    """
    if weights is not None and (weights != weights[:1]).any():
        return _weighted(honest, weights)
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


def _weighted(honest: Margins, weights: npt.NDArray[np.float64]) -> Thresholds:
    """The same with number-days that stand for several."""
    order = np.argsort(-honest, kind="stable")
    ordered, weighs = honest[order], weights[order]
    upto = np.cumsum(weighs) / weighs.sum()
    reached = {name: int(np.searchsorted(upto, share, side="right")) for name, share in SHARES.items()}
    tail = max(FEWEST, reached["watch"])
    base = float(ordered[min(tail, len(ordered)) - 1])
    mean_excess = float(np.average(ordered[:tail] - base, weights=weighs[:tail]))
    found = {}
    for name, share in SHARES.items():
        if reached[name] >= FEWEST:
            found[name] = float(ordered[reached[name] - 1])
        else:
            found[name] = max(float(ordered[0]), base + mean_excess * float(np.log(SHARES["watch"] / share)))
    return Thresholds(**found)


def calibrate(margins: Margins, fraud: Bools, weights: npt.NDArray[np.float64] | None = None) -> Calibration:
    """The sigmoid from a number-day's greatest margin to a display value, at the prevalence of these number-days."""
    with threadpool_limits(1):
        line = LogisticRegression(C=1e6).fit(margins[:, None], fraud, sample_weight=weights)
    return Calibration(a=max(float(line.coef_[0, 0]), LEAST_SLOPE), b=float(line.intercept_[0]))


def shifted(calibration: Calibration, training: float, operator: float) -> Calibration:
    """The same sigmoid where `operator` of the number-days are fraud instead of `training`.

    Odds of fraud change by the ratio of the priors' odds, whatever the margin (Saerens et al. 2002): that is the
    intercept alone.
    """
    return Calibration(a=calibration.a, b=calibration.b + logit(operator) - logit(training))


def logit(share: float) -> float:
    """Log-odds of a share in (0, 1)."""
    return float(np.log(share / (1 - share)))
