"""Drift: how far what is scored has moved from what the model was made on.

    vectors, margins of scored rows -> draw -> a few of them -> counts by bin -+
                                                                               +-> population stability index
    bundle -> Reference: edges of the bins, share of each ---------------------+

Every feature has ten bins between the deciles of the reference and one for "cannot be known"; so has the score. The
index of two histograms is the sum over bins of (a - e) ln(a / e): 0 where they are equal, the same both ways
(Lewis 1994; 0.1 and 0.25 are the bounds that scorecard builders have used since).

A number-day weighs 1, as in training: else a call centre would count for more than the silent majority. So a row of
a number that began k calls and messages in the last day is drawn with a probability of 1 in `EVERY * k`, by a hash of
its place in the log: the same log draws the same rows, whatever the batches. (Every row counted, 42 of 60 features of
a simulated network in which nothing had changed asked for action; drawn so, none of them was above 0.02.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.features.catalogue import INDEX
from detector.features.index import mix
from detector.jit import kernel
from detector.records import Bools, I64s
from detector.verdict.trees import Margins, Vectors

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.float64]
"""f64[features + 1, BINS + 1]: how many vectors, or how much weight, in each bin; the last row is the score's, the
last column is for what cannot be known."""

BINS: Final = 10
SCORE: Final = "score"
"""What the score is called among the features."""
WATCH: Final = 0.1
ACT: Final = 0.25
"""The index from which a feature is worth a look, and from which the model is no longer to be trusted on it."""
LEAST_SHARE: Final = 1e-4
"""Smaller shares count as this: an empty bin would make the index infinite. A tenth of the numbers that
leaves its bin for good still adds 0.69."""
LEAST_VECTORS: Final = 1_000
"""Vectors below which no index is given: without any drift it is 10 / n in the mean, here a tenth of `WATCH`."""
EVERY: Final = 4
"""One vector of so many number-days is counted. Of 20,000 active numbers, 5,000 a day."""
ROW_BITS: Final = 13
"""A message of the internal topic has at most 8,192 rows."""

_CALLS: Final = INDEX["calls_out_24h"]
_MESSAGES: Final = INDEX["sms_out_24h"]
_UNIT: Final = 2.0**-53
_TOP_53: Final = np.uint64(11)


@dataclass(frozen=True, slots=True)
class Reference:
    """What vectors and margins looked like when the model was made."""

    edges: Floats
    """f64[features + 1, BINS - 1], rising: bin k holds what is above edge k - 1 and at most edge k."""
    shares: Floats
    """f64[features + 1, BINS + 1]. NaN in the last column: the share of the unknown was not kept; a row of NaN: nothing
    was."""

    @staticmethod
    def of(vectors: Vectors, margins: Margins, weights: Floats | None = None) -> "Reference":
        """Of some vectors of honest numbers with their margins; `weights` f64[n], 1 each unless given."""
        weights = np.ones(len(vectors)) if weights is None else weights
        columns = [*vectors.T, margins]
        edges = np.array([_deciles(column, weights) for column in columns])
        counts = Reference(edges, np.empty((len(columns), BINS + 1))).counts(vectors, margins, weights)
        return Reference(edges, counts / weights.sum())

    @staticmethod
    def from_quantiles(quantiles: Floats) -> "Reference":
        """As far as percentiles 0 to 100 of honest numbers, f64[101, features], tell: nothing of unknown and score.

        Between two percentiles lies one hundredth of the numbers, in the bin of the upper one.
        """
        known = np.vstack([quantiles.T, np.full(len(quantiles), np.nan)])
        edges = np.nan_to_num(known[:, 10:100:10])
        shares = np.array(
            [
                np.bincount(np.searchsorted(at, column[1:]), minlength=BINS + 1) / 100
                for at, column in zip(edges, known, strict=True)
            ]
        )
        shares[:, BINS] = np.nan
        shares[np.isnan(known).any(axis=1)] = np.nan
        return Reference(edges, shares)

    def counts(self, vectors: Vectors, margins: Margins, weights: Floats | None = None) -> Counts:
        """How much of `vectors` f64[n, features] and `margins` f64[n] lies in each bin; each weighs 1 unless told."""
        out = np.zeros((len(self.edges), BINS + 1))
        weights = np.ones(len(vectors)) if weights is None else weights
        add_counts(np.ascontiguousarray(vectors, np.float64), margins, weights, self.edges, out)
        return out

    def stability(self, counts: Counts) -> Floats:
        """The index of each feature and of the score, f64[features + 1]; NaN where there is nothing to compare."""
        expected, actual = self.shares.copy(), counts.copy()
        blind = np.isnan(expected[:, BINS]) & ~np.isnan(expected[:, 0])
        expected[blind, BINS] = actual[blind, BINS] = 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            actual /= actual.sum(axis=1, keepdims=True)
        return stability(expected, actual)


def stability(expected: Floats, actual: Floats) -> Floats:
    """The population stability index of shares f64[..., bins] of one sample and of another."""
    e, a = np.maximum(expected, LEAST_SHARE), np.maximum(actual, LEAST_SHARE)
    found: Floats = ((a - e) * np.log(a / e)).sum(axis=-1)
    return found


def draw(vectors: Vectors, scored: I64s, offsets: I64s, indices: I64s, eligible: Bools) -> I64s:
    """Which of `vectors` are counted: those of `eligible` rows that the hash of their place in the log draws.

    `vectors` f64[m, 60] at the rows `scored` i64[m]; of every row: `offsets`, `indices` (its message, and its place
    in it) and `eligible`.
    """
    drawn = np.zeros(len(scored), np.bool_)
    draw_rows(vectors, scored, offsets, indices, eligible, drawn)
    return np.flatnonzero(drawn)


def _deciles(column: Floats, weights: Floats) -> Sequence[float]:
    """The nine values that tenths of the weight of what is known lie at or below; 0 where nothing is."""
    known = np.flatnonzero(~np.isnan(column))
    if not len(known):
        return [0.0] * (BINS - 1)
    order = known[np.argsort(column[known], kind="stable")]
    upto = np.cumsum(weights[order])
    tenths = upto[-1] * np.arange(1, BINS) / BINS
    at = np.searchsorted(upto, tenths * (1 - 1e-12))  # a sum may fall short of its tenth by the last bits
    return [float(value) for value in column[order[np.minimum(at, len(order) - 1)]]]


@kernel
def add_counts(vectors: Vectors, margins: Margins, weights: Floats, edges: Floats, out: Counts) -> None:
    """out[c, k] += weights[i] for each value, k = how many of the c-th edges it lies above; the last k for NaN.

    vectors   f64[n, f]        read, C order
    margins, weights   f64[n]  read
    edges     f64[f + 1, 9]    read; the last row is for the margins
    out       f64[f + 1, 11]   added to
    """
    for i in range(vectors.shape[0]):
        for c in range(edges.shape[0]):
            value = vectors[i, c] if c < vectors.shape[1] else margins[i]
            at = 0
            for k in range(edges.shape[1]):
                at += value > edges[c, k]
            if value != value:
                at = edges.shape[1] + 1
            out[c, at] += weights[i]


@kernel
def draw_rows(vectors: Vectors, scored: I64s, offsets: I64s, indices: I64s, eligible: Bools, out: Bools) -> None:
    """out[i] (written) = whether the i-th scored row is counted: u * EVERY * events < 1, u a hash in [0, 1).

    vectors   f64[m, 60]   read; events = calls and messages begun in 24 h, at least 1
    scored    i64[m]       read: its row
    offsets, indices i64[n], eligible bool[n]   read, of every row
    """
    for i in range(scored.shape[0]):
        row = scored[i]
        if eligible[row]:
            place = np.uint64((offsets[row] << ROW_BITS) | indices[row])
            u = np.float64(mix(place) >> _TOP_53) * _UNIT
            out[i] = u * EVERY * max(vectors[i, _CALLS] + vectors[i, _MESSAGES], 1.0) < 1.0
