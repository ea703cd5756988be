"""Records -> rows: what each record says about its originator and about its recipient.

A source that witnesses the originating side gives the originator's row, and the recipient's
only when the recipient is not ours (or nobody would); the terminating side the reverse; a
single observation point gives both. So a call that leaves two records counts once a side.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detector.config import Settings, Source
from detector.errors import ConfigError, Reason, Rejected
from detector.ingest.codec import open_decoder
from detector.ingest.columns import Floats
from detector.ingest.express import Expressed, ExpressReader
from detector.ingest.facts import FactReader, Facts
from detector.ingest.mapping import Mapping, Outcome, Phase, Side, load_mapping
from detector.ingest.moments import EARLIEST_MS, LATEST_MS
from detector.ingest.numbers import NumberTable, Trait
from detector.ingest.scattering import count_rows, place_rows
from detector.ingest.sense import FLAGS_OF_CALL
from detector.ingest.sound import are_sound
from detector.ingest.zones import ZoneClass, ZoneTable
from detector.records import (
    BEAT_ID,
    BODY_BITS,
    MAX_TRUNK,
    ROW,
    SCHEMA_ID,
    UNKNOWN_DURATION,
    UNKNOWN_RING,
    Bools,
    Flag,
    I64s,
    Kind,
    NumberKind,
    Role,
    Rows,
    U64s,
    are_numbers,
)


@dataclass(frozen=True, slots=True)
class Raw:
    """Messages of one source, in the order they were polled."""

    values: Sequence[bytes | None]
    partitions: Sequence[int] | I64s
    offsets: Sequence[int] | I64s
    timestamps_ms: Sequence[int] | I64s


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that gave no row; `index` is its message's place in `Raw.values`."""

    index: int
    rejected: Rejected


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a batch of messages became."""

    rows: Rows
    """In record order, FROM before TO."""
    names: dict[int, str]
    """Texts of the sender ids among the rows' numbers."""
    rejected: list[RejectedRecord]
    records: int
    """All that were met: those that gave rows, those skipped and those rejected."""
    skipped: dict[str, int]
    """Records left out on purpose, by why."""


Names = dict[int, tuple[int, str]]
"""Of each sender id the place of the first message that has it, and its text there."""

_SCOPED: Final = (NumberKind.SENDER, NumberKind.LOCAL)


class SourceReader:
    """Reads the records of one source. Whatever they hold, they become rows or rejections."""

    def __init__(self, settings: Settings, source: Source, mapping: Mapping, zones: ZoneTable):
        self.mapping = mapping
        self._source = source
        self.decoder = open_decoder(mapping, f"{settings.path(source.mapping)}: fields")
        self._facts = FactReader(settings, source, mapping, zones)
        self._end_answers = mapping.end_answers
        self._international = [trunk.id for trunk in source.trunks.values() if trunk.international]
        self._interconnect = [trunk.id for trunk in source.trunks.values() if trunk.interconnect]

        self.express: ExpressReader | None = None
        with suppress(ValueError):
            self.express = ExpressReader(settings, source, mapping, zones, self._facts)

    def read(self, raw: Raw) -> Ingested:
        """The rows of a batch. The same records give the same rows however they are batched."""
        if self.express is None or not raw.values:
            return self.read_generally(raw)
        partitions, offsets = np.asarray(raw.partitions, np.int64), np.asarray(raw.offsets, np.int64)
        published_ms = np.asarray(raw.timestamps_ms, np.int64)
        plain = self.express.read(raw.values, partitions, offsets, published_ms)
        if not len(plain.odd):
            names = {number: name for number, (_, name) in plain.names.items()}
            return Ingested(plain.rows, names, [], plain.records, plain.skipped)
        odd = plain.odd.tolist()
        rest = Raw([raw.values[i] for i in odd], partitions[odd], offsets[odd], published_ms[odd])
        return _together(plain, *self._read_generally(rest))

    @property
    def undeclared(self) -> dict[int, str]:
        """What the records called those trunk groups and accounts that the source does not declare, by identity."""
        return self._facts.undeclared

    def warm_up(self) -> None:
        """Kernels are there before a record waits for them: ten seconds where they are compiled, else a tenth."""
        self.read(Raw([b"{}"], [0], [0], [0]))
        scatter(np.zeros(1, ROW), 1)

    def read_generally(self, raw: Raw) -> Ingested:
        """The same without kernels, a column at a time: what they must equal, and what reads all they will not."""
        ingested, _, names = self._read_generally(raw)
        return replace(ingested, names={number: name for number, (_, name) in names.items()})

    def _read_generally(self, raw: Raw) -> tuple[Ingested, I64s, Names]:
        """What a batch becomes but its names, the place of each row's message, and names with the first such place."""
        decoded = self.decoder.decode(raw.values)
        index = np.array(decoded.index, np.int64)
        published_ms = np.array(raw.timestamps_ms, np.int64)[index]
        with np.errstate(invalid="ignore", over="ignore"):
            facts, faults = self._facts.read(decoded, published_ms, self._source.max_future_s)
        table = self._facts.table
        subjects = self._subjects(facts, table)
        keep = self._kept(facts, subjects, table)
        keep[faults.bad] = False
        given = keep[:, Role.FROM] | keep[:, Role.TO]
        faults.mark(~given, Reason.NO_SUBJECT, "wanted a known originator, or a recipient whom this side speaks for")
        rows = self._rows(facts, subjects, table)
        rows["offset"] = np.array(raw.offsets, np.uint64)[index][:, None]
        rows["partition"] = (np.array(raw.partitions, np.int64)[index] & 0xFFFF)[:, None]
        names = self._names(facts, subjects, keep, table, index)
        rejected = [RejectedRecord(i, why) for i, why in decoded.rejected]
        rejected += [RejectedRecord(int(index[i]), why) for i, why in faults.found.items()]
        rejected.sort(key=lambda record: record.index)
        ingested = Ingested(
            rows=rows.reshape(-1)[keep.reshape(-1)],
            names={},
            rejected=rejected,
            records=len(index) + len(decoded.rejected) + decoded.skipped["header"],
            skipped=dict(decoded.skipped),
        )
        return ingested, np.repeat(index, 2)[keep.reshape(-1)], names

    def _subjects(self, facts: Facts, table: NumberTable) -> U64s:
        """Numbers of originator and recipient, shape (records, 2), with the scope they have."""
        numbers = np.stack([table.number[facts.originator], table.number[facts.recipient]], axis=1)
        kinds = numbers >> np.uint64(BODY_BITS + 10)
        behind = np.where(facts.account > 0, facts.account, facts.trunk)
        scope = np.where(np.isin(kinds, _SCOPED), behind[:, None], 0)
        spoofable = self._unattested(facts) & (kinds[:, Role.FROM] == NumberKind.E164)
        scope[:, Role.FROM] = np.where(spoofable, facts.trunk, scope[:, Role.FROM])
        return numbers | scope.astype(np.uint64) << np.uint64(BODY_BITS)

    def _unattested(self, facts: Facts) -> Bools:
        """Another network's traffic whose originator nobody vouched for."""
        unattested: Bools = np.isin(facts.trunk, self._interconnect) & ~facts.attested
        return unattested

    @staticmethod
    def _own(subjects: U64s, traits: I64s) -> Bools:
        """Whether each subject is ours. An unattested number is nobody's until proven."""
        scoped = (subjects >> np.uint64(BODY_BITS) & np.uint64(1023)) > 0
        local = subjects >> np.uint64(BODY_BITS + 10) == NumberKind.LOCAL
        own: Bools = (traits & int(Trait.OWN) > 0) & (local | ~scoped)
        return own

    def _traits(self, facts: Facts, table: NumberTable) -> I64s:
        return np.stack([table.traits[facts.originator], table.traits[facts.recipient]], axis=1).astype(np.int64)

    def _kept(self, facts: Facts, subjects: U64s, table: NumberTable) -> Bools:
        """Which of the two rows each record gives."""
        traits = self._traits(facts, table)
        foreign = ~self._own(subjects, traits)
        # Whatever an account of ours sends, its submit is on record: the delivery must not say it again.
        submitted = (facts.account > 0) & ~np.isin(facts.account, self._interconnect)
        foreign[:, Role.FROM] &= ~submitted
        keep = np.ones(subjects.shape, np.bool_)
        keep[:, Role.FROM] = (facts.side != Side.TERMINATING) | foreign[:, Role.FROM]
        keep[:, Role.TO] = (facts.side != Side.ORIGINATING) | foreign[:, Role.TO]
        # Emergency numbers are never subjects, and whoever answers for one is not either.
        keep[:, Role.TO] &= ~facts.emergency
        kept: Bools = keep & (subjects > 0) & (traits & int(Trait.EMERGENCY) == 0)
        return kept

    def _rows(self, facts: Facts, subjects: U64s, table: NumberTable) -> Rows:
        """Both rows of every record, shape (records, 2)."""
        traits = self._traits(facts, table)
        rows = np.zeros(subjects.shape, ROW)
        both = rows[:, 0]
        both["event_ms"] = facts.event_ms
        both["source"] = self._source.id
        both["kind"] = facts.kind
        both["flags"] = self._flags(facts, traits)
        both["duration_s"] = _rounded(facts.talk_s, UNKNOWN_DURATION)
        both["ring_ds"] = _rounded(facts.ring_s * 10, UNKNOWN_RING)
        both["device"] = facts.device
        both["cell"] = facts.cell
        both["trunk"] = np.where(facts.trunk > 0, facts.trunk, facts.account)
        both["zone"] = table.zone[facts.recipient]
        both["cause"] = facts.cause
        both["record_id"] = facts.record_id
        rows[:, 1] = both
        rows["number"] = subjects
        rows["other"] = subjects[:, ::-1]
        rows["role"] = (Role.FROM, Role.TO)
        rows["flags"] |= np.where(self._own(subjects, traits), int(Flag.OWN), 0).astype(np.uint16)
        # A switch sees the device and cell of the party it serves: the other must not be taken for it.
        witnessed = facts.side == Side.TERMINATING
        for field in ("device", "cell"):
            rows[field][witnessed, Role.FROM] = 0
            rows[field][~witnessed, Role.TO] = 0
        return rows

    def _flags(self, facts: Facts, traits: I64s) -> I64s:
        """The facts that stand in both rows."""
        call = facts.kind == Kind.CALL
        flags = np.where(call, FLAGS_OF_CALL[facts.phase], int(Flag.BEGAN)).astype(np.int64)
        tells = facts.phase == Phase.COMPLETE
        if self._end_answers:
            tells |= facts.phase == Phase.END
        ended = call & (flags & Flag.ENDED > 0)
        to = traits[:, Role.TO]
        for flag, where in (
            (Flag.ANSWERED, facts.answered & tells),
            (Flag.CANCELLED, ended & (facts.outcome == Outcome.CANCELLED)),
            (Flag.FAILED, ended & (facts.outcome == Outcome.FAILED)),
            (Flag.UNATTESTED, self._unattested(facts)),
            (Flag.INTERNATIONAL, to & Trait.INTERNATIONAL > 0),
            (Flag.OWN_BLOCK, facts.outcome == Outcome.BLOCKED),
            (Flag.EMERGENCY, facts.emergency | (traits & Trait.EMERGENCY > 0).any(axis=1)),
            (Flag.RESTRICTED, facts.restricted),
            (Flag.INTL_TRUNK, np.isin(facts.trunk, self._international)),
            (Flag.ROAMING, facts.roaming),
            (Flag.RISK, to & Trait.RISK > 0),
        ):
            flags |= np.where(where, int(flag), 0)
        return flags

    @staticmethod
    def _names(facts: Facts, subjects: U64s, keep: Bools, table: NumberTable, index: I64s) -> Names:
        given = keep[:, Role.FROM] | keep[:, Role.TO]
        used = given[:, None] & (subjects >> np.uint64(BODY_BITS + 10) == NumberKind.SENDER)
        if not used.any():
            return {}
        entries = np.stack([facts.originator, facts.recipient], axis=1)
        places = np.broadcast_to(index[:, None], entries.shape)
        # The first spelling that the batch has stands for all.
        found = zip(*(column[used].tolist()[::-1] for column in (subjects, entries, places)), strict=True)
        return {number: (place, table.name(entry)) for number, entry, place in found}


def _together(plain: Expressed, general: Ingested, row_place: I64s, general_names: Names) -> Ingested:
    """What both ways made of one batch, as if there had been one; `general` knows the odd messages only."""
    odd = plain.odd
    row_message = np.concatenate([plain.row_message, odd[row_place]])
    names = dict(plain.names)
    for number, (place, name) in general_names.items():
        found = (int(odd[place]), name)
        names[number] = min(names.get(number, found), found)
    return Ingested(
        rows=np.concatenate([plain.rows, general.rows])[np.argsort(row_message, kind="stable")],
        names={number: name for number, (_, name) in names.items()},
        rejected=[replace(record, index=int(odd[record.index])) for record in general.rejected],
        records=plain.records + general.records,
        skipped=dict(Counter(plain.skipped) + Counter(general.skipped)),
    )


def _rounded(values: Floats, unknown: int) -> I64s:
    """To whole units, at most one below `unknown`, which stands for NaN."""
    capped = np.clip(np.nan_to_num(values, nan=0, posinf=0, neginf=0), 0, unknown - 1)
    return np.where(np.isnan(values), unknown, np.floor(capped + 0.5)).astype(np.int64)


def open_source(settings: Settings, source: Source) -> SourceReader:
    """The reader of a source, its mapping and zones loaded; `ConfigError` says what is wrong where."""
    for number in settings.home.emergency:
        if not (number.isascii() and number.isdecimal() and len(number) <= 14):
            raise ConfigError(f"home.emergency: wanted numbers of at most 14 digits (got {number!r})")
    zones = ZoneTable.load(settings.path(settings.home.zones))
    return SourceReader(settings, source, load_mapping(settings.path(source.mapping)), zones)


def scatter(rows: Rows, partitions: int) -> list[tuple[int, Rows]]:
    """The rows of each partition that has any, in the order they had."""
    if not len(rows):
        return []
    words = np.ascontiguousarray(rows).view(np.uint64).reshape(len(rows), -1)
    at, counts = np.empty(len(rows), np.int64), np.zeros(partitions, np.int64)
    count_rows(words, at, counts)
    ends = np.cumsum(counts)
    out = np.empty_like(words)
    place_rows(words, at, ends - counts, out)
    ordered = out.view(ROW).reshape(-1)
    return [(p, ordered[ends[p] - counts[p] : ends[p]]) for p in np.flatnonzero(counts).tolist()]


def pack_message(rows: Rows) -> bytes:
    """The value of an internal message."""
    return rows.tobytes()


def unpack_message(value: bytes | None, headers: Sequence[tuple[str, bytes]] | None) -> Rows | Rejected:
    """The rows of an internal message, read-only: none of a heartbeat; `Rejected` when it, or a row, cannot be ours.

    Ingest writes no others, but what does must not stop detect, nor put its clocks forward for good.
    """
    schema = dict(headers or ()).get("schema")
    if schema == BEAT_ID and not value:
        return np.zeros(0, ROW)
    if schema != SCHEMA_ID:
        got = schema[:40] if schema else schema
        return Rejected(Reason.WRONG_SHAPE, f"header schema: wanted {SCHEMA_ID!r} (got {got!r})")
    if not value:
        return Rejected(Reason.EMPTY, "wanted rows (got an empty message)")
    if len(value) % ROW.itemsize:
        return Rejected(Reason.WRONG_SHAPE, f"wanted a multiple of {ROW.itemsize} bytes (got {len(value)})")
    rows = np.frombuffer(value, ROW)
    if are_sound(rows):
        return rows
    for field, wanted, reason, fine in (
        ("number", "a number", Reason.BAD_NUMBER, are_numbers(rows["number"])),
        ("other", "a number or 0", Reason.BAD_NUMBER, are_numbers(rows["other"])),
        ("event_ms", "2000 to 2099", Reason.BAD_TIME, _between(rows["event_ms"], int(EARLIEST_MS), int(LATEST_MS))),
        ("kind", "1 to 4", Reason.UNKNOWN_VALUE, _between(rows["kind"], min(Kind), max(Kind) + 1)),
        ("role", "0 or 1", Reason.UNKNOWN_VALUE, rows["role"] <= max(Role)),
        ("zone", "a class of zone", Reason.UNKNOWN_VALUE, rows["zone"] & 15 <= max(ZoneClass)),
        ("trunk", f"at most {MAX_TRUNK}", Reason.UNKNOWN_VALUE, rows["trunk"] <= MAX_TRUNK),
    ):
        if not fine.all():
            at = int(np.argmin(fine))
            return Rejected(reason, f"row {at}: {field}: wanted {wanted} (got {rows[field][at]})")
    return rows


def _between(values: npt.NDArray[Any], low: int, high: int) -> Bools:
    between: Bools = (values >= low) & (values < high)
    return between
