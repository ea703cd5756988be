"""JSON -> spans: objects scanned in one pass, without decoding anything.

    one batch, joined -> scan_json -> spans[record, path], odd[message]

The records of a switch have the same keys in much the same order. So those of one record are remembered, and the next
one's are compared with them before they are looked up: a key that is where it was expected costs the comparison alone.
"""

from typing import Final

import numpy as np

from detector.ingest.bytewise import Octets, load_part, same, text_end
from detector.ingest.spans import FALSE, FLOAT, INT, LENGTH_BITS, START_BITS, TEXT, TRUE
from detector.ingest.tree import ALLOWED, CHILD, ITEMS, LIST, MOST_ITEMS, PATH, SHARED, Tree, find_key
from detector.jit import kernel
from detector.records import I64s

DEEPEST: Final = 32
"""Containers in containers at most."""
MOST_MET: Final = 512
"""Keys of a record that are remembered: an answered call of FreeSWITCH, as posted, has 335."""
_AHEAD: Final = 4
"""How many of the keys that may come next are tried: a record may lack some of those of the one before."""
_MET_START: Final = 0
"""Of a key that was met: where its opening quote stands."""
_MET_SIZE: Final = 1
"""Its bytes, both quotes among them."""
_MET_NODE: Final = 2
"""The node that it was met in, -1 where nothing is wanted."""
_MET_KEY: Final = 3
"""What it is there: as `find_key` says."""
_KNOWN: Final = 0
"""Of what is known: how many keys have been met, in their order."""
_MISSED: Final = 1
"""Keys of the last record that were none of them."""

_QUOTE: Final = 34
_COMMA: Final = 44
_MINUS: Final = 45
_POINT: Final = 46
_ZERO: Final = 48
_NINE: Final = 57
_COLON: Final = 58
_OPEN_LIST: Final = 91
_BACKSLASH: Final = 92
_CLOSE_LIST: Final = 93
_OPEN: Final = 123
_CLOSE: Final = 125
_LINE: Final = 10
_RETURN: Final = 13

_NULL: Final = np.uint64(int.from_bytes(b"null", "little"))
_TRUE: Final = np.uint64(int.from_bytes(b"true", "little"))
_FALSE: Final = np.uint64(int.from_bytes(b"false", "little"))

_BACKSLASHES: Final = np.uint64(_BACKSLASH) * np.uint64(0x0101_0101_0101_0101)

_ESCAPED: Final = np.zeros(256, np.uint8)
"""What may follow a backslash in a text that nobody wants; unicode escapes may be wrong and are odd."""
_ESCAPED[list(b'"\\/bfnrt')] = 1


@kernel
def _blank(buffer: Octets, at: int, end: int) -> int:
    """The first place from `at` on that is no white space of JSON."""
    if buffer[at] > 32:
        return at
    while at < end and (buffer[at] == 32 or buffer[at] == 10 or buffer[at] == 13 or buffer[at] == 9):
        at += 1
    return at


@kernel
def _number(buffer: Octets, at: int, end: int) -> int:
    """`end of the number << 2 | kind`, kind 0 for one below zero; -1 for one that is wrong, long or has an exponent."""
    below_zero = buffer[at] == _MINUS
    if below_zero:
        at += 1
    first = at
    while at < end and _ZERO <= buffer[at] <= _NINE:
        at += 1
    whole = at - first
    if whole == 0 or whole > 18 or (whole > 1 and buffer[first] == _ZERO):
        return -1
    kind = INT
    if at < end and buffer[at] == _POINT:
        kind = FLOAT
        at += 1
        point = at
        while at < end and _ZERO <= buffer[at] <= _NINE:
            at += 1
        if at == point or whole + at - point > 15:
            return -1
    if at < end and (buffer[at] == 101 or buffer[at] == 69):
        return -1
    return at << 2 | (0 if below_zero else kind)


@kernel
def _unwanted_end(buffer: Octets, at: int) -> int:
    """Where the plain text or simple escapes from `at` on end."""
    while True:
        at = text_end(buffer, at, _BACKSLASHES)
        if buffer[at] != _BACKSLASH or _ESCAPED[buffer[at + 1]] == 0:
            return at
        at += 2


@kernel
def _expected(met: I64s, known: I64s, next_met: int, node: int, buffer: Octets, at: int, end: int) -> int:
    """Which of the keys from `next_met` on stands at `at`, by all its bytes; -1 where it is none of the nearest."""
    for e in range(next_met, min(next_met + _AHEAD, known[_KNOWN])):
        size = met[e, _MET_SIZE]
        if met[e, _MET_NODE] == node and at + size < end and same(buffer, at, buffer, met[e, _MET_START], size):
            return e
    return -1


@kernel
def _record(
    slots: I64s,
    shift: int,
    keys: I64s,
    nodes: I64s,
    texts: Octets,
    buffer: Octets,
    at: int,
    end: int,
    stamp: int,
    stamps: I64s,
    stack: I64s,
    met: I64s,
    known: I64s,
    spans: I64s,
    r: int,
) -> bool:
    """spans[r] (mutated, zeros before) = where each path's value stands in the object that `[at, end)` is, if it is.

    `stamps` (mutated): of each node the last record that had it, by its `stamp`. `stack` (mutated): i64[DEEPEST, 3],
    of each container that is open: its node or -1, whether it is a list, how many elements have been met. `met`
    (mutated): i64[MOST_MET, 4], the keys of an earlier record in their order, and `known` (mutated): i64[2], how many
    they are and how many keys of the last record were not among them; most of them, and this one's take their place.
    """
    at = _blank(buffer, at, end)
    if at >= end or buffer[at] != _OPEN:
        return False
    stamps[0] = stamp
    if 2 * known[_MISSED] > known[_KNOWN]:
        known[_KNOWN] = 0
    learns = known[_KNOWN] == 0
    known[_MISSED] = 0
    next_met = 0
    depth = 0
    stack[0, 0] = 0
    stack[0, 1] = 0
    at += 1
    fresh = True
    while True:
        at = _blank(buffer, at, end)
        if at >= end:
            return False
        mark = buffer[at]
        listed = stack[depth, 1]
        if mark == (_CLOSE_LIST if listed else _CLOSE):
            at += 1
            depth -= 1
            fresh = False
            if depth < 0:
                break
            continue
        if not fresh:
            if mark != _COMMA:
                return False
            at = _blank(buffer, at + 1, end)
            if at >= end:
                return False
        fresh = False
        # 1. What is asked for here: a value (kinds > 0), a container (child >= 0), or nothing.
        node = stack[depth, 0]
        child = -1
        path = -1
        kinds = 0
        if listed:
            if node >= 0:
                before = stack[depth, 2]
                child = nodes[node, ITEMS + (before + 1 if before < MOST_ITEMS else 0)]
            stack[depth, 2] += 1
        else:
            start = at
            expected = _expected(met, known, next_met, node, buffer, at, end)
            if expected >= 0:
                next_met = expected + 1
                at += met[expected, _MET_SIZE]
                k = met[expected, _MET_KEY]
            else:
                if buffer[at] != _QUOTE:
                    return False
                at = text_end(buffer, at + 1, _BACKSLASHES)
                if node < 0:
                    at = _unwanted_end(buffer, at)
                if buffer[at] != _QUOTE or at >= end:
                    return False
                k = -1
                if node >= 0:
                    k = find_key(slots, shift, keys, texts, node, buffer, start + 1, at - start - 1)
                at += 1
                known[_MISSED] += 1
                if learns and known[_KNOWN] < MOST_MET:
                    met[known[_KNOWN], _MET_START] = start
                    met[known[_KNOWN], _MET_SIZE] = at - start
                    met[known[_KNOWN], _MET_NODE] = node
                    met[known[_KNOWN], _MET_KEY] = k
                    known[_KNOWN] += 1
                    known[_MISSED] = 0
                    next_met = known[_KNOWN]
            if k >= 0:
                child = keys[k, CHILD]
                path = keys[k, PATH]
                kinds = keys[k, ALLOWED]
            at = _blank(buffer, at, end)
            if at >= end or buffer[at] != _COLON:
                return False
            at = _blank(buffer, at + 1, end)
            if at >= end:
                return False
        # 2. What stands here.
        mark = buffer[at]
        start = at
        kind = 0
        if mark == _QUOTE:
            start += 1
            at = start
            at = text_end(buffer, at, _BACKSLASHES)
            if kinds == 0:
                at = _unwanted_end(buffer, at)
            if buffer[at] != _QUOTE or at >= end:
                return False
            kind = TEXT
            length = at - start
            at += 1
        elif mark in (_OPEN, _OPEN_LIST):
            if kinds > 0 or depth + 1 >= DEEPEST:
                return False
            opened = np.int64(mark == _OPEN_LIST)
            if child >= 0:
                if nodes[child, LIST] != opened or (stamps[child] == stamp and nodes[child, SHARED] == 0):
                    return False
                stamps[child] = stamp
            depth += 1
            stack[depth, 0] = child
            stack[depth, 1] = opened
            stack[depth, 2] = 0
            at += 1
            fresh = True
            continue
        elif mark == _MINUS or _ZERO <= mark <= _NINE:
            found = _number(buffer, at, end)
            if found < 0:
                return False
            at = found >> 2
            kind = found & 3
            if kind == 0 and kinds > 0:
                return False
            length = at - start
        else:
            head = load_part(buffer, at, 4)
            length = 4
            if head == _TRUE:
                kind = TRUE
            elif load_part(buffer, at, 5) == _FALSE:
                kind = FALSE
                length = 5
            elif head == _NULL:
                kind = 0
            else:
                return False
            at += length
            if at > end:
                return False
            if kind == 0:
                if child >= 0 or (path >= 0 and spans[r, path] != 0):
                    return False
                continue
        if child >= 0:
            return False
        if kinds > 0:
            if kinds >> kind & 1 == 0:
                return False
            if path >= 0:
                if spans[r, path] != 0:
                    return False
                spans[r, path] = kind << (LENGTH_BITS + START_BITS) | length << START_BITS | start
    return _blank(buffer, at, end) == end


@kernel
def scan_json(
    tree: Tree,
    lines: bool,
    buffer: Octets,
    bounds: I64s,
    longest: int,
    stamps: I64s,
    stack: I64s,
    met: I64s,
    known: I64s,
    spans: I64s,
    message: I64s,
    odd: Octets,
    count: I64s,
) -> None:
    """spans[count] (written, zeros before), message (written) = each record's spans, and which message it came in.

    Message m is `buffer[bounds[m]:bounds[m + 1]]`; with `lines` it has a record on each line. odd[m] (written) = 1
    where the scanner cannot tell; count (written): i64[1].
    `stamps` (zeros before), `stack`, `met`, `known`: see `_record`.
    """
    slots, shift, keys, nodes, texts, must = tree
    known[_KNOWN] = 0
    known[_MISSED] = 0
    made = 0
    stamp = 0
    paths = spans.shape[1]
    for m in range(len(bounds) - 1):
        at = bounds[m]
        end = bounds[m + 1]
        before = made
        fine = end - at <= longest
        while fine and at < end:
            stop = end
            if lines:
                stop = at
                while stop < end and buffer[stop] != _LINE:
                    stop += 1
                if _blank(buffer, at, stop) == stop:
                    at = stop + 1
                    continue
            stamp += 1
            if made < len(message):
                fine = _record(
                    slots, shift, keys, nodes, texts, buffer, at, stop, stamp, stamps, stack, met, known, spans, made
                )
                fine = fine and stamps[must] == stamp
                message[made] = m
                made += 1
            else:
                fine = False
            at = stop + 1
        if not fine or made == before:
            odd[m] = 1
            for r in range(before, made):
                for p in range(paths):
                    spans[r, p] = 0
            made = before
    count[0] = made
