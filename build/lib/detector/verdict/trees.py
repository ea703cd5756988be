"""Trees: scikit-learn's gradient-boosted trees, evaluated by our own kernels to the same bits.

    Nodes -> survivor masks of every split interval -> margins of many vectors at once

No tree is walked. The thresholds that all trees have for one feature cut its values into intervals;
which leaves a value in an interval can still reach is worked out once, a bit for each leaf of each
tree, where a split that sends the value right strikes out the leaves on its left (QuickScorer, Lucchese
et al. 2015, here with all splits of an interval joined beforehand). A vector's masks, one for each
feature, are ANDed: the leaf that it reaches in a tree is the first that survives. That is a
few hundred wide loads and ANDs for 100 trees of 31 leaves, none of which waits for another, where
the walk is a chain of ten dependent loads in each tree: a fifth of its time a vector.

The sum is taken in scikit-learn's order, baseline first and then tree by tree in float64, so the
margins are equal, not merely close.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.features.tiles import i64
from detector.jit import kernel
from detector.records import I64s, U64s
from detector.verdict.nodes import Nodes

Vectors = npt.NDArray[np.float64]
"""`[n, features]`, in the catalogue's order; NaN = cannot be known."""
Margins = npt.NDArray[np.float64]
"""`[n]` raw scores on the log-odds scale, before any calibration."""
U32s = npt.NDArray[np.uint32]

BLOCK: Final = 64
"""Vectors that take a feature together: their masks (26 KB with 100 trees) stay in the first cache."""
BITS: Final = 32
"""Leaves in one word of a mask: a tree of 31 leaves has one word of its own."""
ALL: Final = 0xFFFF_FFFF
ALIGNED: Final = 8
"""Words of a mask come in multiples of this, a vector register, so that no loop over them has a rest."""
LINE_BYTES: Final = 64
PAIR: Final = 2
"""Features that are ANDed in one pass: it loads and stores the vector's mask half as often."""
DE_BRUIJN: Final = 0x077C_B531
"""Times a power of two below 2 ** 32, bits 27 to 31 are another number for each (Leiserson et al. 1998)."""


@dataclass(frozen=True, slots=True)
class Trees:
    """The splits of all trees by feature, and their leaves."""

    columns: I64s
    """The features that trees split on, ascending; 0 without thresholds may come last, for their number is even."""
    thresholds: npt.NDArray[np.float64]
    """The distinct thresholds of each of `columns`, rising, one column after another."""
    starts: I64s
    """Thresholds of the c-th of `columns`: `[starts[c], starts[c + 1])`."""
    survivors: U64s
    """u64[masks, words / 2], of words of 32 leaves. Of the c-th column's t thresholds come t + 2 masks, from
    `starts[c] + 2 * c` on: at i the leaves that a value above exactly i thresholds can reach, at t + 1 NaN's."""
    leaves: npt.NDArray[np.float64]
    """f64[words * 32]: values of the leaves of each word, its lowest bit's at the place where `DE_BRUIJN` puts that."""
    words: int
    """Words of one tree."""
    baseline: float
    features: int

    def margins(self, vectors: Vectors) -> Margins:
        """`decision_function` of the estimator these trees were taken from, bit for bit."""
        if vectors.ndim != 2 or vectors.shape[1] != self.features:
            raise ValueError(f"wanted vectors of {self.features} features (got shape {vectors.shape})")
        out = np.full(len(vectors), self.baseline)
        masks = _aligned((min(BLOCK, len(vectors)), self.survivors.shape[1]))
        add_leaves(
            np.ascontiguousarray(vectors, dtype=np.float64),
            self.columns,
            self.thresholds,
            self.starts,
            self.survivors,
            self.leaves,
            self.words,
            np.empty(BLOCK),
            np.empty((PAIR, BLOCK), np.int64),
            masks,
            masks.view(np.uint32),
            out,
        )
        return out


@dataclass(frozen=True, slots=True)
class _Split:
    threshold: float
    nan_left: bool
    tree: int
    left: tuple[int, int]
    """Leaves of its left side, `[first, last)`, counted from the left."""


def flatten(nodes: Nodes) -> Trees:
    """The trees of an estimator as masks."""
    leaf = nodes.nodes["leaf"]
    words = max(-(-int(leaf[first:last].sum()) // BITS) for first, last in pairwise(nodes.roots))
    leaves = np.zeros(((len(nodes.roots) - 1) * words, BITS))
    splits: dict[int, list[_Split]] = {}
    rows = nodes.nodes.tolist()
    for tree, (first, last) in enumerate(pairwise(nodes.roots.tolist())):
        for place, value in enumerate(_spread(rows[first:last], 0, 0, tree, splits)):
            word, bit = divmod(place, BITS)
            leaves[tree * words + word, _place(1 << bit)] = value
    columns = sorted(splits.items())
    columns += [(0, [])] * (-len(columns) % PAIR or 2 * (not columns))
    thresholds = [sorted({split.threshold for split in mine}) for _, mine in columns]
    masks = [_survivors(mine, t, len(leaves), words) for (_, mine), t in zip(columns, thresholds, strict=True)]
    survivors = _aligned((sum(map(len, masks)), masks[0].shape[1] // 2))
    np.concatenate(masks, out=survivors.view(np.uint32))
    return Trees(
        columns=np.array([column for column, _ in columns], np.int64),
        thresholds=np.array([threshold for each in thresholds for threshold in each], np.float64),
        starts=np.cumsum([0, *map(len, thresholds)]).astype(np.int64),
        survivors=survivors,
        leaves=leaves.reshape(-1),
        words=words,
        baseline=nodes.baseline,
        features=nodes.features,
    )


def _spread(
    rows: list[tuple[Any, ...]], at: int, first: int, tree: int, splits: dict[int, list[_Split]]
) -> list[float]:
    """Values of the leaves below `rows[at]`, from the left, the first of them `first`; its splits go to `splits`."""
    value, threshold, feature, left_at, right_at, nan_left, leaf = rows[at]
    if leaf:
        return [value]
    left = _spread(rows, left_at, first, tree, splits)
    splits.setdefault(feature, []).append(_Split(threshold, nan_left, tree, (first, first + len(left))))
    return left + _spread(rows, right_at, first + len(left), tree, splits)


def _survivors(splits: list[_Split], thresholds: list[float], words: int, words_a_tree: int) -> U32s:
    """The masks of one feature: u32[thresholds + 2, words], rounded up to `ALIGNED`."""
    masks = np.full((len(thresholds) + 2, -(-words // ALIGNED) * ALIGNED), ALL, np.uint32)
    place = {threshold: i for i, threshold in enumerate(thresholds)}
    for split in splits:
        first, last = split.left
        for word in range(first // BITS, (last - 1) // BITS + 1):
            low, high = max(first - word * BITS, 0), min(last - word * BITS, BITS)
            kept = np.uint32(ALL ^ ((1 << high) - (1 << low)))
            at = split.tree * words_a_tree + word
            masks[place[split.threshold] + 1 : -1, at] &= kept
            if not split.nan_left:
                masks[-1, at] &= kept
    return masks


def _aligned(shape: tuple[int, int]) -> U64s:
    """An empty array that begins where a cache line does: else every other load of a mask touches two lines,
    which took a sixth of the time."""
    size = 8 * shape[0] * shape[1]
    room = np.empty(size + LINE_BYTES, np.uint8)
    start = -room.ctypes.data % LINE_BYTES
    return room[start : start + size].view(np.uint64).reshape(shape)


@kernel
def _place(bit: int) -> int:
    """Where a word's leaf with this bit, a power of two below 2 ** 32, stands among the 32."""
    return ((bit * DE_BRUIJN) & ALL) >> 27


@kernel
def add_leaves(
    vectors: Vectors,
    columns: I64s,
    thresholds: npt.NDArray[np.float64],
    starts: I64s,
    survivors: U64s,
    leaves: npt.NDArray[np.float64],
    words: int,
    values: npt.NDArray[np.float64],
    at: I64s,
    masks: U64s,
    masks_32: U32s,
    out: Margins,
) -> None:
    """out[i] += value of the leaf that vector i reaches, for each tree in order.

    vectors   f64[n, f]   read, C order
    columns, thresholds, starts, survivors, leaves, words   read, as in `Trees`
    values f64[BLOCK], at i64[PAIR, BLOCK], masks u64[BLOCK or n, words / 2]   scratch; masks_32 is masks
    out       f64[n]      holds the baseline on entry; added to
    """
    for start in range(0, vectors.shape[0], BLOCK):
        size = min(BLOCK, vectors.shape[0] - start)
        for i in range(size):
            for word in range(masks.shape[1]):
                masks[i, word] = ~np.uint64(0)
        for c in range(0, columns.shape[0], PAIR):
            for k in range(PAIR):
                find_masks(vectors, start, size, columns, thresholds, starts, c + k, values, at[k])
            for i in range(size):
                one, other = at[0, i], at[1, i]
                for word in range(masks.shape[1]):
                    masks[i, word] &= survivors[one, word] & survivors[other, word]
        for i in range(size):
            margin = out[start + i]
            for tree in range(leaves.shape[0] // (words * BITS)):
                word = tree * words
                while masks_32[i, word] == 0:
                    word += 1
                mask = i64(masks_32[i, word])
                margin += leaves[word * BITS + _place(mask & -mask)]
            out[start + i] = margin


@kernel
def find_masks(
    vectors: Vectors,
    start: int,
    size: int,
    columns: I64s,
    thresholds: npt.NDArray[np.float64],
    starts: I64s,
    c: int,
    values: npt.NDArray[np.float64],
    at: I64s,
) -> None:
    """at[i] (written) = which of `survivors` the c-th column of vector i selects; `values` is scratch.

    Counts the thresholds below, all of them, several vectors in one instruction: a search that stops
    early takes branches that nothing can predict, and twice the time.
    """
    first, last = starts[c], starts[c + 1]
    for i in range(size):
        values[i] = vectors[start + i, columns[c]]
        at[i] = first + 2 * c
    for k in range(first, last):
        threshold = thresholds[k]
        for i in range(size):
            at[i] += values[i] > threshold
    for i in range(size):
        if values[i] != values[i]:
            at[i] = last + 2 * c + 1
