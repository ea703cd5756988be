"""Tree: the paths of a mapping as a tree of keys, in arrays that a kernel can walk."""

from typing import Any, Final, NamedTuple

import numpy as np

from detector.ingest.bytewise import Octets, load_part, padded, same
from detector.jit import kernel, load_word
from detector.records import I64s

MOST_ITEMS: Final = 8
"""Elements of a list that paths may name: 0 to 7."""
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


class Tree(NamedTuple):
    """The paths of a mapping as a tree of keys: what a kernel needs to walk it."""

    slots: I64s
    """Hash table of keys: 1 + their index, 0 = free."""
    shift: int
    """64 - its bits."""
    keys: I64s
    """A row for each key, its columns as named below."""
    nodes: I64s
    """A row for each node, likewise."""
    texts: Octets
    """What the keys are, one after the other."""
    must: int
    """The node that has to be there: the record in its envelope. The root always is."""


_NODE: Final = 0
"""Of a key: the node that it is a key of."""
_LENGTH: Final = 1
_HEAD: Final = 2
"""Its first eight bytes."""
_TAIL: Final = 3
"""Its last eight bytes, 0 where it has no more than eight."""
_START: Final = 4
"""Where it stands in `texts`."""
CHILD: Final = 5
"""The node that it leads to, -1 for a value."""
PATH: Final = 6
"""The path whose value it is, -1 for one that is only checked."""
ALLOWED: Final = 7
"""Bits of the kinds that the value may have."""

LIST: Final = 0
"""Of a node: whether it is a list."""
SHARED: Final = 1
"""Whether it stands for several elements of a list, none of them named."""
ITEMS: Final = 2
"""Of a list: the node of the elements that are not named; behind it those of 0 to 7."""


class _Planter:
    """Grows the arrays of a `Tree`."""

    def __init__(self) -> None:
        self.keys: list[tuple[int, bytes, int, int, int]] = []
        self.lists: list[int] = []
        self.shared: list[int] = []
        self.items: list[list[int]] = []

    def node(self, tree: dict[str, Any], shared: bool) -> int:
        """The number of a node with all that lies below it; leaves are (path, kinds)."""
        number = len(self.lists)
        named = bool(tree) and all(key.isdecimal() for key in tree)
        self.lists.append(int(named))
        self.shared.append(int(shared))
        self.items.append([-1] * (MOST_ITEMS + 1))
        if named:
            # As in the decoder, what one element is asked for has its type in all of them.
            merged = {key: below for element in tree.values() for key, below in element.items()}
            self.items[number] = [self.node(_unnamed(merged), True)] * (MOST_ITEMS + 1)
            for key, element in tree.items():
                self.items[number][1 + int(key)] = self.node(_unnamed(merged) | element, shared)
            return number
        for key, below in tree.items():
            path, kinds = (-1, 0) if isinstance(below, dict) else below
            child = self.node(below, shared) if isinstance(below, dict) else -1
            self.keys.append((number, key.encode(), child, path, kinds))
        return number


def _unnamed(tree: dict[str, Any]) -> dict[str, Any]:
    """The same tree, its values only to be checked."""
    return {key: _unnamed(below) if isinstance(below, dict) else (-1, below[1]) for key, below in tree.items()}


def plant(kinds: dict[str, int], envelope: list[str]) -> Tree | None:
    """The tree of all paths and the kinds of their values, in this order; None where no scanner walks it."""
    root: dict[str, Any] = {}
    inner = root
    for key in envelope:
        inner = inner.setdefault(key, {})
    for path, (name, allowed) in enumerate(kinds.items()):
        place = inner
        *above, last = name.split(".")
        for key in above:
            place = place.setdefault(key, {})
        place[last] = (path, allowed)
    if any(key.isdecimal() and int(key) >= MOST_ITEMS for name in kinds for key in name.split(".")):
        return None
    planter = _Planter()
    planter.node(root, False)
    # Each key of an envelope leads to the next node, as nodes are numbered on the way down.
    return _tree(planter, must=len(envelope))


def _tree(planter: _Planter, must: int) -> Tree:
    bits = max(4, (4 * len(planter.keys)).bit_length())
    texts = padded(b"".join(text for _, text, *_ in planter.keys))
    keys = np.zeros((len(planter.keys), ALLOWED + 1), np.int64)
    slots = np.zeros(1 << bits, np.int64)
    start = 0
    for k, (node, text, child, path, kinds) in enumerate(planter.keys):
        length = len(text)
        head = load_part(texts, start, length)
        tail = load_part(texts, start + length - 8, 8) if length > 8 else np.uint64(0)
        keys[k] = (node, length, 0, 0, start, child, path, kinds)
        keys[k, _HEAD : _TAIL + 1] = np.array([head, tail], np.uint64).view(np.int64)
        with np.errstate(over="ignore"):
            at = int(_place(head, tail, length, node, 64 - bits))
        while slots[at]:
            at = (at + 1) & (len(slots) - 1)
        slots[at] = k + 1
        start += length
    nodes = np.column_stack([planter.lists, planter.shared, planter.items]).astype(np.int64)
    return Tree(slots, 64 - bits, keys, nodes, texts, must)


@kernel
def _place(head: np.uint64, tail: np.uint64, length: int, node: int, shift: int) -> np.int64:
    """Where the search for a key begins."""
    mixed = (head ^ (tail * _FACTOR)) + np.uint64(node * 64 + length)
    return np.int64(mixed * _FACTOR >> np.uint64(shift))


@kernel
def find_key(
    slots: I64s, shift: int, keys: I64s, texts: Octets, node: int, buffer: Octets, start: int, length: int
) -> np.int64:
    """The index of a node's key, -1 where it has no such key."""
    head = load_part(buffer, start, length)
    tail = load_word(buffer, start + length - 8) if length > 8 else np.uint64(0)
    at = _place(head, tail, length, node, shift)
    while slots[at] > 0:
        k: np.int64 = slots[at] - 1
        if (
            keys[k, _HEAD] == np.int64(head)
            and keys[k, _TAIL] == np.int64(tail)
            and keys[k, _LENGTH] == length
            and keys[k, _NODE] == node
            and (length <= 16 or same(buffer, start, texts, keys[k, _START], length))
        ):
            return k
        at = (at + 1) & (len(slots) - 1)
    return np.int64(-1)
