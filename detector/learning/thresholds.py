"""Thresholds: margins that a stated share of honest number-days reaches, and the scale that people read."""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from detector.errors import ConfigError
from detector.learning.rates import lowest_within
from detector.records import Bools
from detector.verdict.manifest import Calibration, Thresholds
from detector.verdict.trees import Margins

SHARES: Final = {"watch": 1e-3, "flag": 1e-4, "block": 1e-5}
"""Share of honest number-days whose greatest margin reaches each threshold (DESIGN 5)."""
FEWEST: Final = 3
"""Number-days that must reach a threshold for it to be read off; with fewer it is extrapolated."""
LEAST_SLOPE: Final = 1e-6
"""The sigmoid of a model that tells nothing, or the wrong way round: display values never reorder numbers."""


def choose_thresholds(
    honest: Margins, weights: npt.NDArray[np.float64] | None = None, total: float | None = None
) -> Thresholds:
    """Margins that at most the shares of `SHARES` of honest number-days reach; `weights`: how many each stands for.

    `total`: of the weights of all, where `honest` are only the upper tail of them, beyond `watch` at least.

    Number-days of equal margins reach one together or not at all: where the share has no room for those at the top, it
    lies right above them. Where fewer than `FEWEST` number-days would reach one, the tail is too short to read it off:
    it is extended from the 0.1 % on by the exponential that fits best above it (peaks over threshold), and lies above
    everything seen. Raises `ConfigError` for fewer than `FEWEST` number-days.
    """
    if len(honest) < FEWEST:
        raise ConfigError(f"thresholds: wanted at least {FEWEST} honest number-days to set them on (got {len(honest)})")
    if weights is None or (weights == weights[:1]).all():
        total = None if total is None or weights is None else total / weights[0]
        weights = np.ones(len(honest))
    order = np.argsort(-honest, kind="stable")
    ordered, weighs = honest[order], weights[order]
    upto, total = np.cumsum(weighs), weighs.sum() if total is None else total
    room = {name: int(np.searchsorted(upto, share * total, side="right")) for name, share in SHARES.items()}
    above = float(np.nextafter(ordered[0], np.inf))
    base = float(ordered[min(max(FEWEST, room["watch"]), len(ordered)) - 1])
    tail = ordered >= base
    mean_excess = float(np.average(ordered[tail] - base, weights=weighs[tail]))
    # Of few number-days, or of equal ones, more than the 0.1 % reach it.
    reach_base = max(SHARES["watch"], float(weighs[tail].sum() / total))
    within = lowest_within(honest, weights, [share * total for share in SHARES.values()])
    found = {}
    for (name, share), lowest in zip(SHARES.items(), within, strict=True):
        if room[name] >= FEWEST:
            found[name] = above if lowest is None else lowest
        else:
            found[name] = max(above, base + mean_excess * float(np.log(reach_base / share)))
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
