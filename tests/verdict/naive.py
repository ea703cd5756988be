"""What contributions and drift mean, in plain lines: slow, and with no cleverness in it to be wrong about."""

from collections.abc import Callable, Sequence
from math import factorial, isnan, log

import numpy as np

from detector.verdict.drift import BINS, LEAST_SHARE
from detector.verdict.trees import Margins, Vectors


def shapley(margins: Callable[[Vectors], Margins], vector: np.ndarray, reference: np.ndarray) -> list[float]:
    """Of each feature: what its joining adds, weighted over every coalition of the others. 2 ** features margins."""
    n = len(vector)
    coalitions = [[bool(code >> i & 1) for i in range(n)] for code in range(1 << n)]
    worth = margins(np.where(coalitions, vector, reference))
    weights = [factorial(size) * factorial(n - size - 1) / factorial(n) for size in range(n)]
    return [
        sum(
            weights[sum(members)] * float(worth[code | 1 << i] - worth[code])
            for code, members in enumerate(coalitions)
            if not members[i]
        )
        for i in range(n)
    ]


def bin_of(value: float, edges: Sequence[float]) -> int:
    """Which of the bins a value lies in: the first whose edge it does not pass; the last is for the unknown."""
    if isnan(value):
        return BINS
    return sum(value > edge for edge in edges)


def stability(expected: Sequence[float], actual: Sequence[float]) -> float:
    """The population stability index of two lists of shares."""
    pairs = [(max(e, LEAST_SHARE), max(a, LEAST_SHARE)) for e, a in zip(expected, actual, strict=True)]
    return sum((a - e) * log(a / e) for e, a in pairs)
