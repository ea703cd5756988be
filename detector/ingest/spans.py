"""Bytes -> spans: where in a batch's bytes the value of each path stands, found without decoding anything.

    one batch, joined -> scan_json or scan_csv -> spans[record, path], odd[message]

The scanners know the plain part of each format only: ASCII, no escapes in what is taken out, each key
once, whole numbers of at most 18 digits. A message that has anything else, or anything wrong, is `odd`:
the decoders of `codec` read it, and say what is wrong with it. So a scanner never has to explain itself,
and may refuse whatever it likes; what it accepts it must understand just as they do.

A span is an i64: `kind (8 bits) | length (24 bits) | start (32 bits)`, 0 where nothing (or null) stands.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.ingest.bytewise import PADDING, Octets, load, load_part, padded, same, text_end
from detector.ingest.mapping import Codec
from detector.jit import kernel
from detector.records import I64s

Octet = npt.NDArray[np.uint8]

TEXT: Final = 1
INT: Final = 2
FLOAT: Final = 3
TRUE: Final = 4
FALSE: Final = 5

LENGTH_BITS: Final = 24
START_BITS: Final = 32
LENGTH_MASK: Final = (1 << LENGTH_BITS) - 1
START_MASK: Final = (1 << START_BITS) - 1

_KINDS: Final[dict[type, int]] = {str: 1 << TEXT, int: 1 << INT, float: 1 << FLOAT, bool: 1 << TRUE | 1 << FALSE}

DEEPEST: Final = 32
"""Containers in containers at most."""
_MOST_ITEMS: Final = 8
"""Elements of a list that paths may name: 0 to 7."""

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
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)

_ONES: Final = np.uint64(0x0101_0101_0101_0101)
_QUOTES: Final = np.uint64(_QUOTE) * _ONES
_BACKSLASHES: Final = np.uint64(_BACKSLASH) * _ONES

_ESCAPED: Final = np.zeros(256, np.uint8)
"""What may follow a backslash in a text that nobody wants; unicode escapes may be wrong and are odd."""
_ESCAPED[list(b'"\\/bfnrt')] = 1


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
_CHILD: Final = 5
"""The node that it leads to, -1 for a value."""
_PATH: Final = 6
"""The path whose value it is, -1 for one that is only checked."""
_ALLOWED: Final = 7
"""Bits of the kinds that the value may have."""

_LIST: Final = 0
"""Of a node: whether it is a list."""
_SHARED: Final = 1
"""Whether it stands for several elements of a list, none of them named."""
_ITEMS: Final = 2
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
        self.items.append([-1] * (_MOST_ITEMS + 1))
        if named:
            # As in the decoder, what one element is asked for has its type in all of them.
            merged = {key: below for element in tree.values() for key, below in element.items()}
            self.items[number] = [self.node(_unnamed(merged), True)] * (_MOST_ITEMS + 1)
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


def kinds_of(union: Any) -> int:
    """The bits of the kinds that a type such as `str | int | None` allows."""
    return sum(bit for kind, bit in _KINDS.items() if kind in union.__args__)


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
    if any(key.isdecimal() and int(key) >= _MOST_ITEMS for name in kinds for key in name.split(".")):
        return None
    planter = _Planter()
    planter.node(root, False)
    # Each key of an envelope leads to the next node, as nodes are numbered on the way down.
    return _tree(planter, must=len(envelope))


def _tree(planter: _Planter, must: int) -> Tree:
    bits = max(4, (4 * len(planter.keys)).bit_length())
    texts = padded(b"".join(text for _, text, *_ in planter.keys))
    keys = np.zeros((len(planter.keys), _ALLOWED + 1), np.int64)
    slots = np.zeros(1 << bits, np.int64)
    start = 0
    for k, (node, text, child, path, kinds) in enumerate(planter.keys):
        length = len(text)
        head = load_part(texts, start, length)
        tail = load(texts, start + length - 8) if length > 8 else np.uint64(0)
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
def _key(
    slots: I64s, shift: int, keys: I64s, texts: Octets, node: int, buffer: Octets, start: int, length: int
) -> np.int64:
    """The index of a node's key, -1 where it has no such key."""
    head = load_part(buffer, start, length)
    tail = load(buffer, start + length - 8) if length > 8 else np.uint64(0)
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


@kernel
def _blank(buffer: Octets, at: int, end: int) -> int:
    """The first place from `at` on that is no white space of JSON."""
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
    spans: I64s,
    r: int,
) -> bool:
    """spans[r] (mutated, zeros before) = where each path's value stands in the object that `[at, end)` is, if it is.

    `stamps` (mutated): of each node the last record that had it, by its `stamp`. `stack` (mutated): i64[DEEPEST, 3],
    of each container that is open: its node or -1, whether it is a list, how many elements have been met.
    """
    at = _blank(buffer, at, end)
    if at >= end or buffer[at] != _OPEN:
        return False
    stamps[0] = stamp
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
                met = stack[depth, 2]
                child = nodes[node, _ITEMS + (met + 1 if met < _MOST_ITEMS else 0)]
            stack[depth, 2] += 1
        else:
            if buffer[at] != _QUOTE:
                return False
            start = at + 1
            at = start
            at = text_end(buffer, at, _BACKSLASHES)
            if node >= 0:
                if buffer[at] != _QUOTE or at >= end:
                    return False
                k = _key(slots, shift, keys, texts, node, buffer, start, at - start)
                if k >= 0:
                    child = keys[k, _CHILD]
                    path = keys[k, _PATH]
                    kinds = keys[k, _ALLOWED]
            else:
                at = _unwanted_end(buffer, at)
                if buffer[at] != _QUOTE or at >= end:
                    return False
            at = _blank(buffer, at + 1, end)
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
                if nodes[child, _LIST] != opened or (stamps[child] == stamp and nodes[child, _SHARED] == 0):
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
    spans: I64s,
    message: I64s,
    odd: Octet,
    count: I64s,
) -> None:
    """spans[count] (written, zeros before), message (written) = each record's spans, and which message it came in.

    Message m is `buffer[bounds[m]:bounds[m + 1]]`; with `lines` it has a record on each line. odd[m] (written) = 1
    where the scanner cannot tell; count (written): i64[1]. `stamps` (zeros before) and `stack`: see `_record`.
    """
    slots, shift, keys, nodes, texts, must = tree
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
                fine = _record(slots, shift, keys, nodes, texts, buffer, at, stop, stamp, stamps, stack, spans, made)
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


class Sheet(NamedTuple):
    """How lines of comma-separated values are laid out: what a kernel needs to read one."""

    path: I64s
    """Of each column: the path whose value it is, -1 for none."""
    least: int
    delimiter: int
    skip_blanks: bool
    many: bool
    title: Octets
    """The name of the first column, where a line of names may come; else nothing."""


def sheet(paths: list[str], codec: Codec) -> Sheet | None:
    """The sheet of a CSV codec; None where no scanner reads it."""
    columns = codec.columns
    if not codec.delimiter.isascii() or codec.delimiter in '"\r\n ' or len(set(columns)) < len(columns):
        return None
    order = {name: i for i, name in enumerate(paths)}
    return Sheet(
        path=np.array([order.get(name, -1) for name in columns], np.int64),
        least=codec.least_columns or len(columns),
        delimiter=ord(codec.delimiter),
        skip_blanks=codec.skip_blanks,
        many=codec.many,
        title=padded(columns[0].encode() if codec.header else b""),
    )


@kernel
def _line(
    column_path: I64s,
    least: int,
    delimiter: int,
    skip_blanks: bool,
    buffer: Octets,
    at: int,
    end: int,
    spans: I64s,
    r: int,
) -> int:
    """spans[r] (mutated) = where each path's value stands in the line from `at` on; where the next begins, or -1."""
    column = 0
    width = len(column_path)
    delimiters = np.uint64(delimiter) * _ONES
    while True:
        if column >= width:
            return -1
        if skip_blanks:
            while at < end and buffer[at] == 32:
                at += 1
        start = at
        path = column_path[column]
        if at < end and buffer[at] == _QUOTE:
            start += 1
            at = start
            while True:
                at = text_end(buffer, at, _QUOTES)
                if at >= end or buffer[at] != _QUOTE:
                    return -1
                if buffer[at + 1] != _QUOTE or at + 1 >= end:
                    break
                if path >= 0:
                    return -1
                at += 2
            stop = at
            at += 1
        else:
            at = text_end(buffer, at, delimiters)
            if at > end:
                at = end
            stop = at
        if path >= 0:
            spans[r, path] = TEXT << (LENGTH_BITS + START_BITS) | (stop - start) << START_BITS | start
        column += 1
        if at >= end:
            break
        if buffer[at] == delimiter:
            at += 1
            continue
        if buffer[at] == _RETURN and at + 1 < end and buffer[at + 1] == _LINE:
            at += 1
        if buffer[at] != _LINE:
            return -1
        at += 1
        break
    if column < least:
        return -1
    while column < width:
        if column_path[column] >= 0:
            spans[r, column_path[column]] = TEXT << (LENGTH_BITS + START_BITS) | end
        column += 1
    return at


@kernel
def scan_csv(
    sheet: Sheet,
    buffer: Octets,
    bounds: I64s,
    longest: int,
    spans: I64s,
    message: I64s,
    odd: Octet,
    count: I64s,
) -> None:
    """As `scan_json`, of messages that are a line, or several where the sheet says `many`."""
    column_path, least, delimiter, skip_blanks, many, names = sheet
    made = 0
    paths = spans.shape[1]
    title = len(names) - PADDING
    for m in range(len(bounds) - 1):
        at = bounds[m]
        end = bounds[m + 1]
        before = made
        fine = end - at <= longest and at < end
        while fine and at < end:
            if made >= len(message) or (made > before and not many):
                fine = False
                break
            following = _line(column_path, least, delimiter, skip_blanks, buffer, at, end, spans, made)
            message[made] = m
            made += 1
            blank = at
            while blank < end and (buffer[blank] == 32 or buffer[blank] == _RETURN or buffer[blank] == _LINE):
                blank += 1
            # Empty lines, and one that may hold the names of the columns, are left to the decoder.
            fine = following > 0 and blank < following and blank < end
            if title > 0 and fine:
                quoted = np.int64(buffer[blank] == _QUOTE)
                fine = not same(buffer, blank + quoted, names, 0, title)
            at = following
        if not fine:
            odd[m] = 1
            for r in range(before, made):
                for p in range(paths):
                    spans[r, p] = 0
            made = before
    count[0] = made
