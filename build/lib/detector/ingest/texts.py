"""Spans -> entries: every distinct text of a batch gets a small number, and is parsed once, in Python.

A text's entry indexes whatever arrays its users keep beside the table. What it means is what the
parsers of `columns` and `numbers` say, so that kernels need not know a single rule of theirs.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from detector.ingest.bytewise import PADDING, Octets, hashed, load_part, same
from detector.ingest.spans import FLOAT, LENGTH_BITS, LENGTH_MASK, START_BITS, START_MASK, TEXT
from detector.jit import kernel, load_word
from detector.records import I64s

LONGEST: Final = 64
"""Bytes of a text that gets an entry: longer ones are rare, and would let bad input fill the memory."""
_AVERAGE: Final = 24
"""Bytes of a text for which there is room, times the number of texts."""
_BAR: Final = ord("|")
_HALF: Final = np.uint64(32)
_FACTOR_1: Final = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_2: Final = np.uint64(0xBF58476D1CE4E5B9)
NONE: Final = -1
"""The entry of a text that could not be given one."""


class Texts(NamedTuple):
    """A table of texts. Full, it takes no more until it is cleared."""

    slots: I64s
    """Hash table: 1 + entry, 0 = free; at most half full."""
    shift: int
    entries: I64s
    """Of each entry: its first and last eight bytes (its hash and 0 if there are more between them), group and length,
    and where it starts in `bytes`."""
    bytes: Octets
    """What the texts are, one after the other."""
    used: I64s
    """i64[2]: entries, bytes."""

    @property
    def most(self) -> int:
        """Entries that there is room for."""
        return len(self.entries)

    @property
    def is_filling(self) -> bool:
        """Whether less than a quarter of the room is left."""
        return bool(4 * self.used[0] > 3 * self.most or 4 * self.used[1] > 3 * len(self.bytes))

    def since(self, known: int) -> Iterator[tuple[int, int, str]]:
        """Entry, group and text of those that have come since there were `known`."""
        for entry in range(known, int(self.used[0])):
            group, length, start = (
                int(self.entries[entry, 2]) >> 8,
                int(self.entries[entry, 2]) & 255,
                int(self.entries[entry, 3]),
            )
            yield entry, group, self.bytes[start : start + length].tobytes().decode("ascii")

    def clear(self, keep: int) -> None:
        """Forget all texts; entries below `keep` have none and stay the users' own."""
        self.slots[:] = 0
        self.used[:] = (keep, 0)


def texts(bits: int, keep: int) -> Texts:
    """An empty table for `1 << bits` texts, with `keep` entries that stand for no text."""
    most = 1 << bits
    made = Texts(
        slots=np.zeros(2 * most, np.int64),
        shift=64 - bits - 1,
        entries=np.zeros((most, 4), np.int64),
        bytes=np.empty(_AVERAGE * most, np.uint8),
        used=np.zeros(2, np.int64),
    )
    made.used[0] = keep
    return made


@kernel
def entry_of(
    slots: I64s, shift: int, entries: I64s, texts: Octets, used: I64s, group: int, buffer: Octets, span: int
) -> np.int64:
    """The entry of a span's text in its group, a new one for a new text; `NONE` where there is no room for it.

    The first five are a `Texts`, and mutated.
    """
    start = span & START_MASK
    length = span >> START_BITS & LENGTH_MASK
    if length > LONGEST or span >> (LENGTH_BITS + START_BITS) == FLOAT:
        return np.int64(NONE)
    what = group << 8 | length
    if length <= 16:
        head = np.int64(load_part(buffer, start, length))
        tail = np.int64(load_word(buffer, start + length - 8)) if length > 8 else np.int64(0)
    else:
        head = np.int64(hashed(buffer, start, length, group))
        tail = np.int64(0)
    last = len(slots) - 1
    key = (np.uint64(head) ^ np.uint64(tail) * _FACTOR_2 ^ np.uint64(what)) * _FACTOR_1
    at = np.int64((key ^ key >> _HALF) * _FACTOR_2 >> np.uint64(shift))
    while slots[at] > 0:
        entry: np.int64 = slots[at] - 1
        if (
            entries[entry, 0] == head
            and entries[entry, 1] == tail
            and entries[entry, 2] == what
            and (length <= 16 or same(buffer, start, texts, entries[entry, 3], length))
        ):
            return entry
        at = (at + 1) & last
    entry = used[0]
    begin = used[1]
    if entry >= len(entries) or begin + LONGEST + PADDING > len(texts):
        return np.int64(NONE)
    for i in range(length):
        texts[begin + i] = buffer[start + i]
    entries[entry, 0] = head
    entries[entry, 1] = tail
    entries[entry, 2] = what
    entries[entry, 3] = begin
    slots[at] = entry + 1
    used[0] = entry + 1
    used[1] = begin + length
    return entry


@kernel
def enter(table: Texts, buffer: Octets, spans: I64s, columns: I64s, message: I64s, odd: Octets, out: I64s) -> None:
    """out[r, k] (written) = entry of the text at `spans[r, columns[k]]` in group k, which is also the entry of none.

    `table` is mutated. odd[m] (mutated) = 1 for each message with a text that gets no entry.
    """
    slots, shift, entries, texts, used = table
    for r in range(len(message)):
        for k in range(len(columns)):
            span = spans[r, columns[k]]
            out[r, k] = k
            if span != 0:
                entry = entry_of(slots, shift, entries, texts, used, k, buffer, span)
                if entry == NONE:
                    odd[message[r]] = 1
                else:
                    out[r, k] = entry


@kernel
def choose(
    buffer: Octets,
    spans: I64s,
    first: int,
    choices: I64s,
    pieces: I64s,
    otherwise: I64s,
    room: I64s,
    message: I64s,
    odd: Octets,
) -> None:
    """spans[r, first + x] (written) = the first of the columns `choices[x]` with a text in it, else `pieces[x]` joined.

    Both are ended by -1; where nothing is found, the last choice's span stands, or `otherwise[x]` unless that is 0.
    Joined texts are written to `buffer` (mutated) within `room` (mutated): i64[2], where it begins and ends.
    odd[m] (mutated) = 1 for each message that finds no room, or joins a number with a fraction.
    """
    for r in range(len(message)):
        for x in range(len(choices)):
            chosen = 0
            for column in choices[x]:
                if column < 0 or chosen >> START_BITS & LENGTH_MASK > 0:
                    break
                chosen = spans[r, column]
            if chosen >> START_BITS & LENGTH_MASK == 0 and pieces[x, 0] >= 0:
                begin = room[0]
                at = begin
                for place in range(pieces.shape[1]):
                    column = pieces[x, place]
                    if column < 0:
                        break
                    piece = spans[r, column]
                    start = piece & START_MASK
                    length = piece >> START_BITS & LENGTH_MASK
                    if at + length + 1 > room[1] or piece >> (LENGTH_BITS + START_BITS) == FLOAT:
                        odd[message[r]] = 1
                        break
                    if place > 0:
                        buffer[at] = _BAR
                        at += 1
                    for i in range(length):
                        buffer[at + i] = buffer[start + i]
                    at += length
                room[0] = at
                chosen = TEXT << (LENGTH_BITS + START_BITS) | (at - begin) << START_BITS | begin
            if chosen >> START_BITS & LENGTH_MASK == 0 and otherwise[x] != 0:
                chosen = otherwise[x]
            spans[r, first + x] = chosen
