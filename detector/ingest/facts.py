"""Columns -> facts: what each record of a batch says, checked, as arrays; and what is wrong with it.

Facts are the source's own words made uniform. Which rows follow from them is `rows`' business.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from detector.config import Settings, Source
from detector.errors import Reason
from detector.ingest import moments
from detector.ingest.codec import Column, Decoded
from detector.ingest.columns import (
    MISSING,
    Faults,
    Floats,
    Memo,
    SpanColumn,
    TimeColumn,
    extractor,
    flag_parser,
    hash_parser,
    ints,
    raw_column,
    text_of,
    word_parser,
)
from detector.ingest.mapping import FLAGS, NUMBERS, SPANS, TIMES, WORDS, Outcome, Phase, Side, Value
from detector.ingest.mapping import Mapping as SourceMapping
from detector.ingest.numbers import ABSENT, BAD, WITHHELD, NumberPlan, NumberTable, NumberView, Parsed
from detector.ingest.zones import ZoneTable
from detector.records import Bools, I64s, Kind

UNDECLARED: Final = 512
"""Trunk groups that the settings do not name hash to 512..1023."""

_CALL_PHASES: Final = np.isin(np.arange(len(Phase)), (Phase.SUBMIT, Phase.DELIVER, Phase.RECEIPT), invert=True)
_SMS_PHASES: Final = np.isin(np.arange(len(Phase)), (Phase.COMPLETE, Phase.SUBMIT, Phase.DELIVER, Phase.RECEIPT))


@dataclass(slots=True)
class Facts:
    """One array element a record. Numbers are entries of the reader's tables."""

    kind: I64s
    phase: I64s
    side: I64s
    outcome: I64s
    answered: Bools
    originator: I64s
    """Entry of the originator: the diverting number where there is one."""
    recipient: I64s
    event_ms: Floats
    talk_s: Floats
    """NaN = unknown."""
    ring_s: Floats
    cause: I64s
    device: I64s
    cell: I64s
    trunk: I64s
    account: I64s
    attested: Bools
    roaming: Bools
    restricted: Bools
    emergency: Bools
    record_id: npt.NDArray[np.uint32]


class FactReader:
    """Reads the facts of one source; keeps what it has parsed."""

    def __init__(self, settings: Settings, source: Source, mapping: SourceMapping, zones: ZoneTable):
        self._decode = mapping.codec.url_encoded
        self._values: dict[str, Value] = {name: mapping.value(name) for name in (*NUMBERS, *TIMES, *SPANS, *FLAGS)}
        for name in (*WORDS, "id", "device", "cell", "trunk", "account", "cause"):
            self._values[name] = mapping.value(name)
        home = settings.home
        self.offset_minutes = (
            home.utc_offset_minutes if source.utc_offset_minutes is None else source.utc_offset_minutes
        )
        """Of times that are written without a zone."""
        self._times = {name: TimeColumn(mapping.value(name), self._decode, self.offset_minutes) for name in TIMES}
        self._spans = {name: SpanColumn(mapping.value(name), self._decode) for name in SPANS}
        absent = {"type": MISSING, "phase": Phase.COMPLETE, "side": Side.BOTH, "outcome": Outcome.UNKNOWN}
        self._words = {
            name: Memo(word_parser(name, mapping.value(name), self._decode, int(absent[name]))) for name in WORDS
        }
        self._flags = {name: Memo(flag_parser(self._values[name], self._decode)) for name in FLAGS}
        self._hashes = {name: Memo(hash_parser(self._values[name], self._decode)) for name in ("device", "cell")}
        self._ids = extractor(self._values["id"], self._decode)
        self._plain_ids = not (self._decode or self._values["id"].regex or self._values["id"].sip_user)
        self.undeclared: dict[int, str] = {}
        """Of each identity that a trunk group or account got without being declared: the first such text, cut short."""
        self._trunks = Memo(self._trunk_parser(source, self._values["trunk"]))
        self._accounts = Memo(self._trunk_parser(source, self._values["account"]))
        self._causes = Memo(self._cause_parser())
        self._skips = [
            (skip.why, Value(path=skip.path), Memo(_skip_parser(skip.among, skip.unless, self._decode)))
            for skip in mapping.skip
        ]
        self.table = NumberTable(settings.home, zones)
        region = source.region or settings.home.region
        # A trunk group of another country writes national numbers of its own.
        self._regions = {trunk.id: trunk.region for trunk in source.trunks.values() if trunk.region}
        self._plans = {
            other: NumberPlan(settings.home, mapping.numbers, other) for other in (region, *self._regions.values())
        }
        made: dict[tuple[str, bool, str], NumberView] = {}
        self._views: dict[tuple[str, str], NumberView] = {}
        for name in NUMBERS:
            value = self._values[name]
            for other, plan in self._plans.items():
                # Fields that are written alike share what was parsed.
                way = (value.regex, value.sip_user, other)
                if way not in made:
                    made[way] = self.table.view(plan, extractor(value, self._decode))
                self._views[name, other] = made[way]
        self._region = region

    @property
    def regions(self) -> list[str]:
        """All regions that the numbers of some trunk group are written in."""
        return list(self._plans)

    def region_of(self, trunk: int) -> str:
        """The region that the numbers of a trunk group are written in."""
        return self._regions.get(trunk, self._region)

    @property
    def required(self) -> list[str]:
        """Fields that must hold something."""
        return [name for name, value in self._values.items() if value.required]

    def parser(self, field: str | int) -> Callable[[Any], float]:
        """Raw value -> what it means, of a field that is no number of a party nor an id, or of a skip by its place."""
        if isinstance(field, int):
            return self._skips[field][2].__getitem__
        if field in self._times:
            time = self._times[field]
            return lambda raw: float(time([raw])[0])
        others = {"trunk": self._trunks, "account": self._accounts, "cause": self._causes}
        memo: Memo[Any] = (self._words | self._flags | self._hashes | others)[field]
        return memo.__getitem__

    def number_parser(self, field: str, region: str) -> Callable[[str], Parsed]:
        """Text -> number, of a field with numbers that are written in a region."""
        extract, plan = extractor(self._values[field], self._decode), self._plans[region]
        return lambda text: plan.parse(extract(text) or "")

    @staticmethod
    def _trunk_identity(source: Source, name: str) -> int:
        declared = source.trunks.get(name)
        return declared.id if declared else UNDECLARED + crc32(name.encode("utf-8", "replace")) % UNDECLARED

    def _trunk_parser(self, source: Source, value: Value) -> Callable[[Any], int]:
        extract = extractor(value, self._decode)

        def parse(raw: Any) -> int:
            text = extract(raw)
            if not text:
                return 0
            identity = self._trunk_identity(source, text)
            if identity >= UNDECLARED:
                self.undeclared.setdefault(identity, text[:80])
            return identity

        return parse

    def _cause_parser(self) -> Callable[[Any], int]:
        extract = extractor(self._values["cause"], self._decode)

        def parse(raw: Any) -> int:
            text = extract(raw)
            if not text:
                return 0
            value = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else -1
            # SIP 1xx and 2xx report no failure and would read as Q.850 values that do not exist.
            return -1 if value > 0xFFFF else 0 if 128 <= value < 300 else value

        return parse

    def _raw(self, name: str, columns: dict[str, Column], count: int) -> Column:
        return raw_column(self._values[name], columns, count)

    def read(self, decoded: Decoded, published_ms: I64s, max_future_s: int | None) -> tuple[Facts, Faults]:
        """Facts of a batch, and which records are faulty; those to be skipped are so without a reason.

        Arrays hold something for every record; where it is faulty it means nothing.
        Records that are skipped are counted in `decoded.skipped`.
        """
        self.table.trim()
        count = len(decoded.index)
        faults = Faults(count)
        raw = {name: self._raw(name, decoded.columns, count) for name in self._values}
        faults.bad |= self._skipped(decoded, count)
        words = {name: self._word(name, raw[name], faults) for name in WORDS}
        kind, phase, side, outcome = words["type"], words["phase"], words["side"], words["outcome"]
        receipts = (phase == Phase.RECEIPT) & ~faults.bad
        if receipts.any():
            decoded.skipped["receipt"] += int(receipts.sum())
            faults.bad |= receipts
        legal = np.where(kind == Kind.CALL, _CALL_PHASES[phase], _SMS_PHASES[phase])
        faults.mark(
            ~legal,
            Reason.UNKNOWN_VALUE,
            "phase: wanted a phase of this type",
            raw["phase"],
        )
        for name in self.required:
            blank = np.fromiter((v is None for v in raw[name]), np.bool_, count)
            faults.mark(blank, Reason.MISSING_FIELD, f"{name.rstrip('_')}: wanted a value")
        record_id, blank = self._record_ids(raw["id"], kind, phase)
        faults.mark(blank, Reason.MISSING_FIELD, "id: wanted the id of the call or message")

        trunk, account = ints(self._trunks, raw["trunk"]), ints(self._accounts, raw["account"])
        originator, recipient = self._parties(raw, trunk, faults)
        times = {name: self._time(name, raw[name], faults) for name in TIMES}
        spans = {name: self._span(name, raw[name], faults) for name in SPANS}
        cause = ints(self._causes, raw["cause"])
        faults.mark(cause < 0, Reason.WRONG_TYPE, "cause: wanted 0 to 65535", raw["cause"])
        answered = moments.was_answered(outcome, times["answer"], spans["duration"], kind)
        outcome = moments.told_by_cause(outcome, cause, answered)
        facts = Facts(
            kind=kind,
            phase=phase,
            side=side,
            outcome=outcome,
            answered=answered,
            originator=originator,
            recipient=recipient,
            event_ms=moments.event_ms(phase, kind, answered, times, spans),
            talk_s=moments.talk_s(phase, kind, answered, times, spans["duration"]),
            ring_s=moments.ring_s(phase, answered, times, spans["ring"]),
            cause=np.maximum(cause, 0),
            device=ints(self._hashes["device"], raw["device"]),
            cell=ints(self._hashes["cell"], raw["cell"]),
            trunk=trunk,
            account=account,
            record_id=record_id,
            **{name: self._flag(name, raw[name]) for name in FLAGS},
        )
        moments.check_order(facts.outcome, times, raw, faults)
        faults.mark(
            facts.talk_s > moments.LONGEST_S, Reason.BAD_DURATION, "duration: wanted at most 30 days", facts.talk_s
        )
        moments.check_event(facts.event_ms, published_ms, max_future_s, faults)
        # What a faulty record has for a time may not even be a number.
        facts.event_ms = np.where(faults.bad, 0.0, facts.event_ms)
        interim = phase == Phase.INTERIM
        if interim.any():
            # Partial records of one call share its id: their time tells them from each other.
            happened = facts.event_ms.astype(np.int64)
            for i in np.flatnonzero(interim & ~faults.bad).tolist():
                record_id[i] = crc32(b"|%d" % happened[i], int(record_id[i]))
        facts.restricted |= originator == WITHHELD
        return facts, faults

    def _skipped(self, decoded: Decoded, count: int) -> Bools:
        skipped = np.zeros(count, np.bool_)
        for why, value, memo in self._skips:
            hits = ints(memo, raw_column(value, decoded.columns, count)).astype(np.bool_) & ~skipped
            if hits.any():
                decoded.skipped[why] += int(hits.sum())
                skipped |= hits
        return skipped

    def _word(self, name: str, column: Column, faults: Faults) -> I64s:
        """The words of a column; 0 (or a call) stands where there is a fault."""
        found = ints(self._words[name], column)
        if (found < 0).any():
            wanted = ", ".join(self._values[name].map or WORDS[name])  # type: ignore[attr-defined]
            wanted = f"{name}: wanted one of {wanted}"
            faults.mark(found == MISSING, Reason.MISSING_FIELD, wanted)
            faults.mark(found < MISSING, Reason.UNKNOWN_VALUE, wanted, column)
            found = np.where(found < 0, int(Kind.CALL) if name == "type" else 0, found)
        return found

    def _record_ids(self, column: Column, kind: I64s, phase: I64s) -> tuple[npt.NDArray[np.uint32], Bools]:
        """CRC-32 of `id|phase`, and where there is no id.

        All phases of a message share one id: its submit and its deliver say the same, once a side.
        """
        texts = list(map(text_of if self._plain_ids else self._ids, column))
        tails = [f"|{word}".encode() for word in WORDS["phase"]]
        suffixes = np.where(kind == Kind.SMS, int(Phase.COMPLETE), phase).tolist()
        hashes = [
            crc32(tails[at], crc32(text.encode("utf-8", "replace"))) if text else 0
            for text, at in zip(texts, suffixes, strict=True)
        ]
        blank = np.fromiter((not text for text in texts), np.bool_, len(texts))
        return np.array(hashes, np.uint32), blank

    def _entries(self, name: str, column: Column, trunk: I64s) -> I64s:
        if not self._regions:
            return self._views[name, self._region].entries(column)
        regions = [self.region_of(at) for at in trunk.tolist()]
        memos = {region: self._views[name, region] for region in set(regions)}
        one_by_one = (memos[region][value] for region, value in zip(regions, column, strict=True))
        return np.fromiter(one_by_one, np.int64, len(column))

    def _parties(self, raw: dict[str, Column], trunk: I64s, faults: Faults) -> tuple[I64s, I64s]:
        """Entries of originator and recipient. A forwarded leg's originator is who forwarded it."""
        entries = {name: self._entries(name, raw[name], trunk) for name in NUMBERS}
        for name, found in entries.items():
            faults.mark(
                found == BAD,
                Reason.BAD_NUMBER,
                f"{name.rstrip('_')}: wanted a number of 4 to 15 digits",
                raw[name],
            )
        recipient = entries["to"]
        faults.mark(recipient == ABSENT, Reason.MISSING_FIELD, "to: wanted the recipient's number")
        faults.mark(
            (recipient > ABSENT) & (recipient < BAD),
            Reason.BAD_NUMBER,
            "to: wanted a number or a name",
            raw["to"],
        )
        if any(v is not None and v != "" for v in raw["diverting"]):
            given = np.fromiter((v is not None and v != "" for v in raw["diverting"]), np.bool_, len(trunk))
            return np.where(given, entries["diverting"], entries["from_"]), recipient
        return entries["from_"], recipient

    def _time(self, name: str, column: Column, faults: Faults) -> Floats:
        found = self._times[name](column)
        # NaN compares false: a time that is not there is neither too early nor too late.
        faults.mark(
            (found < moments.EARLIEST_MS) | (found >= moments.LATEST_MS),
            Reason.BAD_TIME,
            f"{name}: wanted a time from 2000 to 2099, written as the mapping says",
            column,
        )
        return found

    def _span(self, name: str, column: Column, faults: Faults) -> Floats:
        found = self._spans[name](column)
        faults.mark(
            (found < 0) | (found > moments.LONGEST_S),
            Reason.BAD_DURATION,
            f"{name}: wanted 0 s to 30 days",
            column,
        )
        return found

    def _flag(self, name: str, column: Column) -> Bools:
        return np.fromiter(map(self._flags[name].__getitem__, column), np.bool_, len(column))


def _skip_parser(among: tuple[str, ...], unless: tuple[str, ...], decode: bool) -> Callable[[Any], int]:
    extract = extractor(Value(), decode)

    def parse(raw: Any) -> int:
        text = extract(raw) or ""
        return int(text in among) if among else int(text not in unless)

    return parse
