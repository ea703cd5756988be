"""The express way from messages to rows: kernels over a batch's bytes, for whatever is written plainly.

    messages, joined -> spans -> entries, numbers, times, hashes -> rows
                          |                  |                       |
                          +------------------+-----------------------+--> odd messages, which `rows` reads generally

Nothing is decided here: each distinct text is parsed by the functions that the general way uses, and a message
that the kernels are not sure of is odd. So both ways give the same rows, and only the general way rejects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.config import Settings, Source
from detector.ingest.bytewise import CRC_TABLES, PADDING, Octets
from detector.ingest.codec import LARGEST
from detector.ingest.csvscan import scan_csv, sheet
from detector.ingest.digits import look_up, number_facts, ranges, read_numbers, writing
from detector.ingest.facts import FactReader
from detector.ingest.jsonscan import DEEPEST, MOST_MET, scan_json
from detector.ingest.layout import HASHED, lay_out
from detector.ingest.mapping import NUMBERS, SPANS, TIMES, Mapping
from detector.ingest.numbers import FIRST, Parsed
from detector.ingest.packing import Packed, pack
from detector.ingest.said import VALUES, Said, gather, hash_texts, mark_missing, read_lengths, read_times
from detector.ingest.sense import sense_of
from detector.ingest.spans import LENGTH_MASK, START_BITS
from detector.ingest.texts import choose, enter, texts
from detector.ingest.tree import plant
from detector.ingest.zones import ZoneTable
from detector.records import MAX_TRUNK, ROW, I64s, NumberKind, Rows, pack_digits

CHUNK_RECORDS: Final = 4_096
"""Records worked through at a time: their spans and facts, about 2 MB, stay in the second-level cache."""
CHUNK_BYTES: Final = 1 << 20
"""Bytes of a chunk, unless one message has more. With four times as many, records of 1 KB took 1.5 times as long: the
bytes left the second-level cache, and every chunk's were pages that the kernel had to give anew."""
WORDS_BITS: Final = 14
"""16,384 words, trunks, causes and written times: 1.4 MB."""
NUMBERS_BITS: Final = 17
"""131,072 numbers that are not plain E.164, such as extensions and sender ids: 11 MB when full."""
LONGEST_CSV: Final = 1 << 17
"""Bytes that `csv` takes a field to have at most."""
JOINED_BYTES: Final = 128
"""Room for each joined text of a record, on the average of its chunk."""
MOST_RECORDS: Final = 32_768
"""Records of a chunk at most: messages may be all line breaks."""


@dataclass(frozen=True, slots=True)
class Expressed:
    """What the kernels made of a batch of messages."""

    rows: Rows
    row_message: I64s
    """Of each row: the place of its message in the batch."""
    names: dict[int, tuple[int, str]]
    """Of each sender id: the first message that has it, and its text there."""
    odd: I64s
    """Places of the messages that are left to the general way."""
    records: int
    skipped: dict[str, int]


class ExpressReader:
    """Reads what the kernels can read of one source. `ValueError` where a mapping leaves them nothing."""

    def __init__(self, settings: Settings, source: Source, mapping: Mapping, zones: ZoneTable, facts: FactReader):
        codec, home = mapping.codec, settings.home
        self._layout = layout = lay_out(mapping, facts)
        self._columns = layout.columns
        # 1. The scanner.
        self._tree, self._sheet = None, None
        if codec.format == "csv":
            self._sheet = sheet(list(self._columns.kinds), codec)
        elif not codec.many:
            self._tree = plant(self._columns.kinds, codec.envelope.split(".") if codec.envelope else [])
        if self._tree is None and self._sheet is None:
            raise ValueError("a codec that only the general way can read")
        self._lines = codec.format == "ndjson"
        self._several = self._lines or codec.many
        self._coded = codec.url_encoded
        self._choices, self._pieces = self._columns.choices(), self._columns.pieces()
        self._otherwise = self._columns.otherwise()
        self._joins = int((self._pieces[:, 0] >= 0).sum())
        # 2. Texts and what is known of them.
        self._entered = np.array(layout.entries.columns, np.int64)
        self._words = texts(WORDS_BITS, len(self._entered))
        self._value, self._real = np.zeros(self._words.most, np.int64), np.zeros(self._words.most)
        for group, parser in enumerate(layout.entries.parsers):
            self._value[group], self._real[group] = _both(parser(None))
        self._numbers = texts(NUMBERS_BITS, len(NUMBERS) * len(facts.regions))
        self._number = np.zeros(self._numbers.most, np.uint64)
        self._number_facts = np.zeros(self._numbers.most, np.int64)
        self._names: dict[int, str] = {}
        # 3. Numbers.
        self._facts_of = facts.table.facts
        ways = [(mapping.value(name).regex, mapping.value(name).sip_user) for name in NUMBERS]
        self._number_groups = [ways.index(way) for way in ways]
        self._writing = [writing(home, mapping.numbers, codec.url_encoded, regex) for regex, _ in ways]
        # What other texts mean may depend on the trunk group: each region has groups of its own.
        self._number_parsers = [facts.number_parser(name, region) for region in facts.regions for name in NUMBERS]
        self._region = np.array(
            [facts.regions.index(facts.region_of(trunk)) for trunk in range(MAX_TRUNK + 1)], np.int64
        )
        self._ranges = ranges(
            home,
            [*zones.prefixes, *home.own_prefixes],
            lambda digits: self._facts_of(pack_digits(NumberKind.E164, digits)),
        )
        # 4. Rows.
        self._sense = sense_of(source, mapping)
        self._skips = [*(skip.why for skip in mapping.skip), "receipt"]
        self._stamps = np.zeros(len(self._tree.nodes) if self._tree else 0, np.int64)
        self._work = _Work(0, len(self._columns), len(self._entered), len(layout.slot))

    def read(self, values: Sequence[bytes | None], partitions: I64s, offsets: I64s, published_ms: I64s) -> Expressed:
        """The rows of all messages but the odd ones, which it names."""
        whole = [value or b"" for value in values] if None in values else values
        lengths = np.fromiter(map(len, whole), np.int64, len(whole))  # type: ignore[arg-type]
        ends = np.cumsum(lengths)
        odd = np.zeros(len(values), np.uint8)
        out = _Gathered(len(values), len(self._skips))
        first = 0
        while first < len(values):
            before = int(ends[first] - lengths[first])
            fitting = int(np.searchsorted(ends, before + CHUNK_BYTES, side="right"))
            last = max(first + 1, min(first + CHUNK_RECORDS, fitting, len(values)))
            bounds = np.concatenate([[0], ends[first:last] - before])
            chunk = slice(first, last)
            self._read(whole[chunk], bounds, partitions[chunk], offsets[chunk], published_ms[chunk], odd[chunk], out)
            out.close(first, self._names)
            first = last
        return Expressed(
            rows=out.rows[: out.made].view(ROW).reshape(-1),
            row_message=out.row_message[: out.made],
            names=out.names,
            odd=np.flatnonzero(odd),
            records=out.records,
            skipped={why: count for why, count in zip(self._skips, out.skipped.tolist(), strict=True) if count},
        )

    def _read(
        self,
        values: Sequence[bytes | None],
        bounds: I64s,
        partitions: I64s,
        offsets: I64s,
        published_ms: I64s,
        odd: Octets,
        out: "_Gathered",
    ) -> None:
        """One chunk."""
        self._trim()
        length = int(bounds[-1])
        most = len(values)
        content = bytearray().join(values)  # type: ignore[arg-type]
        if self._several:
            most = min(MOST_RECORDS, most + content.count(b"\n"))
        room = length + len(self._columns.constants)
        content += self._columns.constants + bytes(self._joins * JOINED_BYTES * most + PADDING)
        buffer = np.frombuffer(content, np.uint8)
        work = self._work = self._work.for_records(most)
        # 1. Where everything stands.
        work.spans[:most] = 0
        if self._tree is not None:
            self._stamps[:] = 0
            scan_json(
                self._tree,
                self._lines,
                buffer,
                bounds,
                LARGEST,
                self._stamps,
                work.stack,
                work.met,
                work.known,
                work.spans[:most],
                work.message[:most],
                odd,
                work.count,
            )
        else:
            assert self._sheet is not None
            scan_csv(self._sheet, buffer, bounds, LONGEST_CSV, work.spans[:most], work.message[:most], odd, work.count)
        count = int(work.count[0])
        spans, message, entries = work.spans[:count], work.message[:count], work.entries[:count]
        if len(self._choices):
            work.room[:] = (room, len(content) - PADDING)
            otherwise = self._otherwise + np.where(self._otherwise > 0, length, 0)
            choose(buffer, spans, self._columns.first, self._choices, self._pieces, otherwise, work.room, message, odd)
        # 2. What each text is.
        known = int(self._words.used[0])
        enter(self._words, buffer, spans, self._entered, message, odd, entries)
        for entry, group, text in self._words.since(known):
            self._value[entry], self._real[entry] = _both(self._layout.entries.parsers[group](text))
        said = work.said
        gather(self._value, entries, self._layout.slot, self._layout.fixed, said.values[:count])
        self._read_numbers(buffer, spans, message, odd, said)
        # 3. When, how long, and which record it is.
        for (column, how), times in zip(self._layout.times, said.times, strict=True):
            if column >= 0:
                read_times(*how, buffer, spans, column, self._real, entries, count, times)
        for (column, factor), lengths in zip(self._layout.lengths, said.lengths, strict=True):
            if column >= 0:
                read_lengths(factor, buffer, spans, column, count, lengths)
        for field, column, hashes in zip(HASHED, self._layout.hashed, said.hashes, strict=True):
            if column >= 0:
                hash_texts(CRC_TABLES, self._coded, buffer, spans, column, message, odd, hashes)
            elif field in VALUES:
                hashes[:count] = said.values[:count, VALUES.index(field)]
        mark_missing(spans, self._layout.required, message, odd)
        # 4. The rows.
        pack(
            self._sense, said, message, odd, partitions, offsets, published_ms, work.digits, work.before, out.open(most)
        )

    def _read_numbers(self, buffer: Octets, spans: I64s, message: I64s, odd: Octets, said: Said) -> None:
        """`said` gets the numbers of all parties."""
        known, count = int(self._numbers.used[0]), len(message)
        regions = self._region[said.values[:count, VALUES.index("trunk")]] * len(NUMBERS)
        for j, column in enumerate(self._layout.numbers):
            groups = regions + self._number_groups[j]
            if column < 0:
                said.entry[j, :count] = groups
                continue
            read_numbers(
                self._ranges,
                self._writing[j],
                self._numbers,
                groups,
                buffer,
                spans,
                column,
                message,
                odd,
                said.number[j],
                said.facts[j],
                said.entry[j],
            )
        for entry, group, text in self._numbers.since(known):
            self._learn(entry, self._number_parsers[group](text))
        look_up(self._number, self._number_facts, said.entry, count, said.number, said.facts)
        diverting = self._layout.numbers[NUMBERS.index("diverting")]
        said.forwarded[:count] = spans[:, diverting] >> START_BITS & LENGTH_MASK if diverting >= 0 else 0

    def _trim(self) -> None:
        """Forget the texts where there is little room for more."""
        if self._words.is_filling:
            self._words.clear(len(self._entered))
        if self._numbers.is_filling:
            self._numbers.clear(len(self._number_parsers))
            self._names.clear()

    def _learn(self, entry: int, parsed: Parsed) -> None:
        zone, traits = self._facts_of(parsed.number) if parsed.state >= FIRST else (0, 0)
        self._number[entry] = parsed.number
        self._number_facts[entry] = number_facts(parsed.state, zone, traits)
        if parsed.name:
            self._names[entry] = parsed.name


def _both(parsed: float) -> tuple[int, float]:
    """A value as a whole number and as it is: it is used as one or the other."""
    return int(parsed) if np.isfinite(parsed) else 0, float(parsed)


class _Work:
    """Arrays that a chunk is worked through in, kept from one to the next."""

    def __init__(self, most: int, columns: int, entries: int, fields: int):
        self._most, self._widths = most, (columns, entries, fields)
        self.spans = np.zeros((most, columns), np.int64)
        self.message = np.zeros(most, np.int64)
        self.entries = np.zeros((most, entries), np.int64)
        self.said = Said(
            values=np.zeros((most, fields), np.int64),
            times=np.full((len(TIMES), most), np.nan),
            lengths=np.full((len(SPANS), most), np.nan),
            hashes=np.zeros((len(HASHED), most), np.int64),
            number=np.zeros((len(NUMBERS), most), np.uint64),
            facts=np.zeros((len(NUMBERS), most), np.int64),
            entry=np.zeros((len(NUMBERS), most), np.int64),
            forwarded=np.zeros(most, np.int64),
        )
        self.stack = np.zeros((DEEPEST, 3), np.int64)
        self.met = np.zeros((MOST_MET, 4), np.int64)
        self.known = np.zeros(2, np.int64)
        self.count = np.zeros(1, np.int64)
        self.room = np.zeros(2, np.int64)
        self.digits = np.zeros(32, np.uint8)
        self.before = np.zeros(3 + fields, np.int64)

    def for_records(self, most: int) -> "_Work":
        """The same, or larger ones where `most` records need them."""
        return self if most <= self._most else _Work(max(most, CHUNK_RECORDS), *self._widths)


class _Gathered:
    """Rows of a batch, chunk by chunk."""

    def __init__(self, messages: int, skips: int):
        self.rows = np.empty((2 * messages, ROW.itemsize // 8), np.uint64)
        self.row_message = np.empty(2 * messages, np.int64)
        self.made = self.records = 0
        self.skipped = np.zeros(skips, np.int64)
        self.names: dict[int, tuple[int, str]] = {}
        self._chunk: Packed | None = None

    def open(self, records: int) -> Packed:
        """Where the next chunk's rows go."""
        wanted = self.made + 2 * records
        if wanted > len(self.rows):
            more = np.empty((max(wanted, 2 * len(self.rows)) - self.made, self.rows.shape[1]), np.uint64)
            self.rows = np.concatenate([self.rows[: self.made], more])
            self.row_message = np.concatenate([self.row_message[: self.made], np.empty(len(more), np.int64)])
        self._chunk = Packed(
            rows=self.rows[self.made :],
            row_message=self.row_message[self.made :],
            sender=np.empty(2 * records, np.uint64),
            sender_entry=np.empty(2 * records, np.int64),
            sender_message=np.empty(2 * records, np.int64),
            skipped=np.zeros(len(self.skipped), np.int64),
            counts=np.zeros(3, np.int64),
        )
        return self._chunk

    def close(self, first: int, names: dict[int, str]) -> None:
        """Take over what the chunk whose messages begin with `first` has come to."""
        chunk = self._chunk
        if chunk is None:
            return
        rows, senders, records = chunk.counts.tolist()
        self.row_message[self.made : self.made + rows] += first
        self.made += rows
        self.records += records
        self.skipped += chunk.skipped
        numbers, earliest = np.unique(chunk.sender[:senders], return_index=True)
        for number, i in zip(numbers.tolist(), earliest.tolist(), strict=True):
            name = names[int(chunk.sender_entry[i])]
            self.names.setdefault(number, (first + int(chunk.sender_message[i]), name))
        self._chunk = None
