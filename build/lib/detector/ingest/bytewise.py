"""Bytes in kernels: eight at a time, their hash, their CRC-32.

Every buffer that is read here has `PADDING` zeros behind its last byte, so that no load leaves it.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from detector.jit import kernel, load_word
from detector.records import I64s

Octets = npt.NDArray[np.uint8]
"""Bytes, with `PADDING` zeros behind them."""

PADDING: Final = 16

_U8: Final = np.uint64(8)
_SEVEN: Final = np.uint64(7)
_TOP: Final = np.uint64(56)
_NOTHING: Final = np.uint64(0)
_ONES: Final = np.uint64(0x0101_0101_0101_0101)
_HIGHS: Final = np.uint64(0x8080_8080_8080_8080)
_BLANKS: Final = np.uint64(0x2020_2020_2020_2020)
_QUOTES: Final = np.uint64(0x2222_2222_2222_2222)
_PLACES: Final = np.uint64(0x0001_0203_0405_0607)
"""The one bit of byte k, times this, has k in its highest byte."""
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
_ALL: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def padded(content: bytes) -> Octets:
    """`content` as a buffer."""
    return np.frombuffer(content + bytes(PADDING), np.uint8)


@kernel
def load_part(buffer: Octets, at: int, length: int) -> np.uint64:
    """The first `length` of the eight bytes from `at` on (all of them from 8 up), zeros above."""
    if length >= 8:
        return load_word(buffer, at)
    if length <= 0:
        return np.uint64(0)
    return load_word(buffer, at) & (_ALL >> np.uint64(64 - 8 * length))


@kernel
def text_end(buffer: Octets, at: int, mark: np.uint64) -> int:
    """The first place from `at` on of a quote, of a byte that `mark` is eight times, or of one that is not plain ASCII.

    Eight at a time: `(x - 1) & ~x` has its high bit where x is 0, `(x - 32) & ~x` where x is below 32; a borrow can
    only mislead above the first such byte, and only the first one counts (Warren, Hacker's Delight, 6-1).
    """
    while True:
        word = load_word(buffer, at)
        quotes = word ^ _QUOTES
        marks = word ^ mark
        found = ((quotes - _ONES) & ~quotes) | ((marks - _ONES) & ~marks) | ((word - _BLANKS) & ~word) | word
        found &= _HIGHS
        if found != _NOTHING:
            first = found & (_NOTHING - found)
            return at + int(np.int64((first >> _SEVEN) * _PLACES >> _TOP))
        at += 8


@kernel
def hashed(buffer: Octets, at: int, length: int, seed: int) -> np.uint64:
    """A hash of the bytes and the seed: multiplied and folded, eight bytes at a time."""
    state = (np.uint64(seed) + np.uint64(length)) * _FACTOR
    done = 0
    while done < length:
        state = (state ^ load_part(buffer, at + done, length - done)) * _FACTOR
        state ^= state >> _HALF
        done += 8
    return state


@kernel
def same(one: Octets, at: int, other: Octets, where: int, length: int) -> bool:
    """Whether `length` bytes of `one` from `at` on are those of `other` from `where` on."""
    done = 0
    while done < length:
        if load_part(one, at + done, length - done) != load_part(other, where + done, length - done):
            return False
        done += 8
    return True


def _crc_tables() -> I64s:
    """Table 0 takes one byte on, table k that byte and k zeros behind it (slicing by 8, Kounavis and Berry 2005)."""
    tables = np.zeros((8, 256), np.int64)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
        tables[0, byte] = crc
    for k in range(1, 8):
        tables[k] = tables[k - 1] >> 8 ^ tables[0, tables[k - 1] & 255]
    return tables


CRC_TABLES: Final = _crc_tables()


@kernel
def crc(tables: I64s, buffer: Octets, at: int, length: int, before: int) -> int:
    """`zlib.crc32` of `length` bytes from `at` on, `before` being that of what stands before them."""
    state = before ^ 0xFFFF_FFFF
    done = 0
    while done + 8 <= length:
        word = np.int64(load_word(buffer, at + done))
        low = state ^ word & 0xFFFF_FFFF
        state = (
            tables[7, low & 255]
            ^ tables[6, low >> 8 & 255]
            ^ tables[5, low >> 16 & 255]
            ^ tables[4, low >> 24]
            ^ tables[3, word >> 32 & 255]
            ^ tables[2, word >> 40 & 255]
            ^ tables[1, word >> 48 & 255]
            ^ tables[0, word >> 56 & 255]
        )
        done += 8
    while done < length:
        state = state >> 8 ^ tables[0, (state ^ np.int64(buffer[at + done])) & 255]
        done += 1
    return state ^ 0xFFFF_FFFF
