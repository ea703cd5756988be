"""Mapping -> layout: where the kernels find each field of a record, and what they have to know to read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from detector.ingest.codec import types_by_path
from detector.ingest.columns import MS_OF, S_OF
from detector.ingest.facts import FactReader
from detector.ingest.mapping import FLAGS, NUMBERS, SPANS, TIMES, Mapping, Value
from detector.ingest.said import BY_ENTRY, ISO, NUMBER, VALUES
from detector.ingest.spans import FALSE, FLOAT, INT, LENGTH_BITS, START_BITS, TEXT, TRUE, kinds_of
from detector.records import I64s
from detector.units import MINUTE_MS

HASHED: Final = ("id", "device", "cell")
"""Fields of which a row has the CRC-32."""

Parser = Callable[[Any], float]
"""Raw value -> what it means."""


class Columns:
    """Columns of a chunk's spans: those of the mapping's paths, behind them those that are chosen or joined."""

    def __init__(self, types: dict[str, Any]):
        self._kinds = {path: kinds_of(union) for path, union in types.items()}
        self._place = {path: i for i, path in enumerate(types)}
        self._chosen: list[tuple[list[int], list[int], int]] = []
        self.constants = b""
        """Texts that are put behind each chunk."""

    def of(self, value: Value, fractions: bool = False) -> int:
        """The column of a value; -1 where nothing is ever there. `ValueError` for a constant that it cannot have.

        Unless `fractions` are welcome, records with one there are odd: as a text, 1.50 would not be 1.5.
        """
        for path in (*value.paths(), *value.join):
            if not fractions or value.join:
                self._kinds[path] &= ~(1 << FLOAT)
        choices = [self._place[path] for path in value.paths()]
        pieces = [self._place[path] for path in value.join]
        if not pieces and value.const is None and len(choices) < 2:
            return choices[0] if choices else -1
        self._chosen.append((choices, pieces, 0 if value.const is None else self._constant(value.const)))
        return len(self._place) + len(self._chosen) - 1

    def _constant(self, const: str | int | float | bool) -> int:
        """Its span, starting at its place in `constants`."""
        kind, text = (TRUE if const else FALSE) if isinstance(const, bool) else TEXT, str(const)
        text = text.lower() if isinstance(const, bool) else text
        if isinstance(const, float) or not text.isascii() or (isinstance(const, int) and not 0 <= const < 10**18):
            raise ValueError(f"a constant that only the general way can read: {const!r}")
        if isinstance(const, int) and kind == TEXT:
            kind = INT
        start = len(self.constants)
        self.constants += text.encode()
        return kind << (LENGTH_BITS + START_BITS) | len(text) << START_BITS | start

    def __len__(self) -> int:
        return len(self._place) + len(self._chosen)

    @property
    def first(self) -> int:
        """The first chosen column."""
        return len(self._place)

    @property
    def kinds(self) -> dict[str, int]:
        """Of each path the kinds of value that a scanner may take, as bits."""
        return self._kinds

    def choices(self) -> I64s:
        """Of each chosen column the columns to choose from, ended by -1."""
        return _ragged([choices for choices, _, _ in self._chosen])

    def pieces(self) -> I64s:
        """And those to join."""
        return _ragged([pieces for _, pieces, _ in self._chosen])

    def otherwise(self) -> I64s:
        """And the span of its constant, 0 for none."""
        return np.array([constant for _, _, constant in self._chosen], np.int64)


def _ragged(parts: list[list[int]]) -> I64s:
    widest = 1 + max(map(len, parts), default=0)
    return np.array([part + [-1] * (widest - len(part)) for part in parts], np.int64).reshape(-1, widest)


class Entries:
    """Fields whose texts get entries, each in a group of its own: the group's number is the entry of no text."""

    def __init__(self) -> None:
        self.columns: list[int] = []
        self.parsers: list[Parser] = []

    def add(self, column: int, parser: Parser) -> int:
        """The place of a column among a record's entries."""
        self.columns.append(column)
        self.parsers.append(parser)
        return len(self.columns) - 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a chunk's spans by field; -1 for a field that is never there."""

    columns: Columns
    entries: Entries
    slot: I64s
    """Of each of `VALUES`, `FLAGS` and skips: its place among the entries, -1 where it has its `fixed` value."""
    fixed: I64s
    times: list[tuple[int, tuple[int, float, float, bool, int]]]
    """Of `TIMES`: column (or place among the entries), and the first arguments of `said.read_times`."""
    lengths: list[tuple[int, float]]
    """Of `SPANS`: column, and seconds of its unit."""
    hashed: list[int]
    """Of `HASHED`; -1 also where the hash is a value by entry."""
    numbers: list[int]
    """Of `NUMBERS`."""
    required: I64s


def lay_out(mapping: Mapping, facts: FactReader) -> Layout:
    """The layout of a mapping's fields; `ValueError` where only the general way can read one."""
    columns, entries = Columns(types_by_path(mapping)), Entries()
    value_of: dict[str, Any] = {name: mapping.value(name) for name in msgspec.structs.asdict(mapping.fields)}
    times = [value_of[name] for name in TIMES]
    spans = [value_of[name] for name in SPANS]
    if any(value.regex or value.sip_user for value in (value_of["id"], *times, *spans)):
        raise ValueError("an id, a time or a length that only the general way can read")
    # 1. Words, causes, trunks and the like have values by entry; device and cell where they are not simply hashed.
    direct = {name for name in HASHED if not (value_of[name].regex or value_of[name].sip_user)}
    slot, fixed = [], []
    given: list[tuple[str | int, Value]] = [(name, value_of[name]) for name in (*VALUES, *FLAGS)]
    given += enumerate(Value(path=skip.path) for skip in mapping.skip)
    for name, value in given:
        by_entry = name not in direct and bool(value.paths() or value.join)
        slot.append(entries.add(columns.of(value), facts.parser(name)) if by_entry else -1)
        fixed.append(0 if by_entry or name in direct else int(facts.parser(name)(value.const)))
    # 2. So have times that no kernel reads.
    timed = []
    for name, value in zip(TIMES, times, strict=True):
        way = BY_ENTRY if value.zone or value.format not in ("", "iso") else ISO if value.format else NUMBER
        column = columns.of(value, fractions=way == NUMBER)
        if way == BY_ENTRY and column >= 0:
            column = entries.add(column, facts.parser(name))
        offset_ms = facts.offset_minutes * MINUTE_MS
        how = (way, MS_OF[value.unit], float(value.base_ms), value.zero == "is_absent", offset_ms)
        timed.append((column, how))
    required = [columns.of(value_of[name]) for name in facts.required]
    if -1 in required:
        raise ValueError("a required field that stands nowhere")
    return Layout(
        columns,
        entries,
        slot=np.array(slot, np.int64),
        fixed=np.array(fixed, np.int64),
        times=timed,
        lengths=[(columns.of(value, fractions=True), S_OF[value.unit]) for value in spans],
        hashed=[columns.of(value_of[name]) if name in direct else -1 for name in HASHED],
        numbers=[columns.of(value_of[name]) for name in NUMBERS],
        required=np.array(required, np.int64),
    )
