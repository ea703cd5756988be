"""CSV -> spans: lines of comma-separated values scanned in one pass, without decoding anything.

one batch, joined -> scan_csv -> spans[record, path], odd[message]
"""

from typing import Final, NamedTuple

import numpy as np

from detector.ingest.bytewise import PADDING, Octets, padded, same, text_end
from detector.ingest.mapping import Codec
from detector.ingest.spans import LENGTH_BITS, START_BITS, TEXT
from detector.jit import kernel
from detector.records import I64s

_QUOTE: Final = 34
_LINE: Final = 10
_RETURN: Final = 13
_ONES: Final = np.uint64(0x0101_0101_0101_0101)
_QUOTES: Final = np.uint64(_QUOTE) * _ONES


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
    odd: Octets,
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
