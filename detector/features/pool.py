"""Pools: the records of one form, by slot, in memory that grows without being copied.

A slot that is let go is the next one to be taken: which slot a number has follows from the log
alone. Records of free slots are zeros but for two fields: `newest_ms` is FREE, and `number` is
1 + the slot that was freed before it.
"""

import mmap
from contextlib import suppress
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.features.past import Pasts
from detector.features.tiles import i64
from detector.jit import kernel

FREE: Final = -1
"""The `newest_ms` of a free record: no event is that old."""

# What a pool's marks say.
USED: Final = 0
"""Slots handed out so far, those that are free again included."""
NEXT_FREE: Final = 1
"""1 + the slot that was freed last, 0 = none is free."""
IN_USE: Final = 2
HAND: Final = 3
"""The slot that the sweep looks at next."""
MARKS: Final = 4

Marks = npt.NDArray[np.int64]
"""i64[4], by the names above."""

_PAGE: Final = 1 << 16
_LARGE_PAGE: Final = 1 << 21
"""Of the processor: with millions of numbers nearly every row lies on a page that its table of addresses has lost, and
in pages of 4 KB that is looked up in memory before the row is."""
_LARGE: Final = 2 * _LARGE_PAGE
"""Bytes from which a mapping is made of them, where the system has them to give."""
_LEAST: Final = 64


@kernel
def take_slot(records: Pasts, marks: Marks) -> int:
    """A slot of `records` (mutated) whose record is blank; there is room for it. `marks` are mutated."""
    marks[IN_USE] += 1
    slot = marks[NEXT_FREE] - 1
    if slot < 0:
        slot = marks[USED]
        marks[USED] += 1
        return i64(slot)
    record = records[slot]
    marks[NEXT_FREE] = i64(record["number"])
    record["number"] = 0
    record["newest_ms"] = 0
    return i64(slot)


@kernel
def free_slot(records: Pasts, marks: Marks, slot: int, blank: Pasts) -> None:
    """Slot `slot` of `records` (mutated) is free; `blank` is a record of zeros. `marks` are mutated."""
    records[slot] = blank[0]
    record = records[slot]
    record["number"] = marks[NEXT_FREE]
    record["newest_ms"] = FREE
    marks[NEXT_FREE] = slot + 1
    marks[IN_USE] -= 1


@kernel
def expired(records: Pasts, marks: Marks, before_ms: int) -> int:
    """The slot under the hand if its number has been silent since before `before_ms`, else -1; the hand moves on."""
    if marks[USED] == 0:
        return -1
    slot = marks[HAND]
    marks[HAND] = slot + 1 if slot + 1 < marks[USED] else 0
    newest_ms = records[slot]["newest_ms"]
    return i64(slot) if FREE < newest_ms < before_ms else -1


class Pool:
    """The records of one form."""

    def __init__(self, form: np.dtype[Any], capacity: int) -> None:
        self.marks: Marks = np.zeros(MARKS, np.int64)
        self._form = form
        self._map: mmap.mmap | None = None
        self.records: Pasts = np.zeros(0, form)
        self.reserve(capacity)

    @property
    def used(self) -> Pasts:
        """All slots handed out so far, as a view."""
        return self.records[: self.marks[USED]]

    @property
    def nbytes(self) -> int:
        """Bytes that have been written to."""
        return int(self.marks[USED]) * self._form.itemsize

    def __len__(self) -> int:
        """How many records are in use."""
        return int(self.marks[IN_USE])

    def reserve(self, more: int) -> None:
        """There is room for `more` slots: pages that are never touched cost nothing, and none is copied.

        Where the system cannot extend a mapping in place, or somebody still looks at the old one, it is copied.
        """
        wanted = int(self.marks[USED]) + more
        if wanted <= len(self.records):
            return
        size = max(2 * wanted, _LEAST) * self._form.itemsize
        page = _LARGE_PAGE if size >= _LARGE else _PAGE
        size = -(-size // page) * page
        used = self.nbytes
        self.records = np.zeros(0, self._form)
        self._map = _extended(self._map, size, used)
        # The view in between keeps the mapping from being moved while anybody looks at it: numpy alone would not.
        self.records = np.frombuffer(memoryview(self._map), self._form, size // self._form.itemsize)

    def refill(self, used: Pasts, marks: Marks) -> None:
        """The pool holds what another one did, whose `used` and `marks` these are."""
        self.reserve(len(used))
        self.records[: len(used)] = used
        self.marks[:] = marks


def _extended(old: mmap.mmap | None, size: int, used: int) -> mmap.mmap:
    """A mapping of `size` bytes that begins with the first `used` of `old`."""
    if old is not None:
        try:
            old.resize(size)
            _advise(old, size)
        except (BufferError, OSError, SystemError):
            pass
        else:
            return old
    new = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _advise(new, size)
    if old is not None:
        new[:used] = old[:used]
    return new


def _advise(memory: mmap.mmap, size: int) -> None:
    if size >= _LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel that was built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
