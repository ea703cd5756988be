"""Reasons: which features moved a score, in words that an analyst can check.

    vector -> what each feature contributed to its margin -> the three to five that raised it most, in words

Contributions are `contributions`': they share out exactly what lies between the margin and a typical honest number's.
Only decisions pay for them.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from detector.features.catalogue import FEATURES
from detector.verdict.decisions import ReasonGiven
from detector.verdict.model import Model

FEWEST: Final = 3
MOST: Final = 5
"""Reasons given: what an analyst reads at a glance."""
DIGITS: Final = 4
"""Decimals of the values written: they are for reading; the margin is written in full."""


def explain(model: Model, vector: npt.NDArray[np.float64], looked_at: tuple[str, ...] = ()) -> tuple[ReasonGiven, ...]:
    """The features that raised the margin most, at most 5; below 3 the rule's own make up for the rest.

    `vector` f64[features]; `looked_at`: features that the rule's condition names.
    """
    added = model.contributions(vector).round(DIGITS) + 0.0  # what is written as 0 is no reason, and never -0
    order = [int(i) for i in np.argsort(-added, kind="stable")]
    chosen = [i for i in order if added[i] > 0][:MOST]
    named = [i for i in order if FEATURES[i].name in looked_at and i not in chosen]
    chosen += named[: max(0, FEWEST - len(chosen))]
    return tuple(_reason(model, i, float(vector[i]), float(added[i])) for i in chosen)


def percentile(quantiles: npt.NDArray[np.float64], value: float) -> float | None:
    """Where `value` lies among rising `quantiles` f64[101], 0 to 100: the middle of its equals. None if unknown."""
    if np.isnan(value) or np.isnan(quantiles).any():
        return None
    below, upto = np.searchsorted(quantiles, value, side="left"), np.searchsorted(quantiles, value, side="right")
    if below == upto:  # between two of them
        return float(np.clip(below - 0.5, 0, 100))
    return float(below + upto - 1) / 2


def _reason(model: Model, index: int, value: float, contribution: float) -> ReasonGiven:
    feature = FEATURES[index]
    at = percentile(model.quantiles[:, index], value)
    return ReasonGiven(
        feature=feature.name,
        value=None if np.isnan(value) else round(value, DIGITS),
        unit=feature.unit,
        percentile=at,
        contribution=contribution,
        sentence=f"{feature.meaning} {_worded(value, feature.unit)}{_placed(at)}",
    )


def _worded(value: float, unit: str) -> str:
    if np.isnan(value):
        return "Cannot be known here"
    if unit == "share":
        return f"{100 * value:.0f} %"
    return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:.0f} {unit}"


def _placed(at: float | None) -> str:
    if at is None:
        return "."
    if 25 <= at <= 75:
        return ", as with most honest numbers."
    return (
        f", more than {min(at, 99):.0f} % of honest numbers."
        if at > 75
        else f", less than {min(100 - at, 99):.0f} % of honest numbers."
    )
