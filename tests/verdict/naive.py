"""What contributions mean, in plain lines: slow, and with no cleverness in it to be wrong about."""

from collections.abc import Callable
from math import factorial

import numpy as np

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
