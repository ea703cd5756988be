"""Copies: memory that snapshots are copied into, taken once and used again.

The copy is all that a snapshot stops the stream for, and the first touch of a page costs more than copying
into it does: so room is made aside, and kept.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.records import Arrays

SPARE: Final = 8
"""One part in so many is left free for growth, so that the next snapshot of a growing state fits too."""
ALIGNED: Final = 64
"""Bytes of a cache line: each copy begins at one."""


class Copies:
    """One set of arrays at a time: a copy is good until the next is taken."""

    def __init__(self) -> None:
        self._room: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes of the room."""
        return len(self._room)

    def fit(self, arrays: Arrays) -> bool:
        """Whether there is room for copies of these."""
        return _bytes(arrays) <= len(self._room)

    def wanted_bytes(self, arrays: Arrays) -> int:
        """Room for these and a little more."""
        size = _bytes(arrays)
        return size + size // SPARE

    def make_room(self, size: int) -> None:
        """`size` bytes that have been touched."""
        self._room = np.empty(0, np.uint8)
        room = np.empty(size, np.uint8)
        room.fill(0)
        self._room = room

    def take(self, arrays: Arrays) -> Arrays:
        """The same arrays, standing where nobody changes them."""
        copies: dict[str, npt.NDArray[Any]] = {}
        start = 0
        for name, array in arrays.items():
            room = self._room[start : start + array.nbytes]
            # Bytes for bytes: numpy copies records field by field.
            room[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            copies[name] = room.view(array.dtype).reshape(array.shape)
            start += _aligned(array.nbytes)
        return copies


def _bytes(arrays: Arrays) -> int:
    return sum(_aligned(array.nbytes) for array in arrays.values())


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
