"""Audit: a range of the internal log, decided on once more, and compared with what was published.

    snapshot, log -> Detector with the versions in force -> decisions -+
                                     ^                                 +-> missing, extra, different
    control --------------------------      decisions.history --------+

Decisions are a pure function of the log, of the decisions before it, and of model, policy, mode
and settings. The first two are read back; `control` says which model, policy and mode it was.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from detector.broker import Broker, Message, TopicPartition
from detector.config import Mode, Settings
from detector.errors import CannotRebuild, ConfigError, Fatal
from detector.ingest.zones import ZoneTable
from detector.metrics import Metrics
from detector.pipeline import Detector, Entry
from detector.service.restore import Restorer
from detector.snapshot import Store
from detector.verdict.decisions import Decision
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy

BATCH: Final = 500
"""Messages taken through the core at once: memory stays bounded, whatever the range."""

Where = tuple[str, bytes]
"""A decision's id, and the key that it is published under."""


class InForce(msgspec.Struct, frozen=True):
    """What `control` says: from `offset` of `partition` on, these decided."""

    partition: int
    offset: int
    mode: Mode
    model: str
    policy: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that the replay and the history do not agree on."""

    what: Literal["missing", "extra", "different"]
    decision_id: str
    key: str
    """The case, as the message key writes it."""
    detail: str


@dataclass(frozen=True, slots=True)
class Audited:
    """What the audit of one partition saw."""

    partition: int
    start: int
    stop: int
    """Offsets of the internal log whose decisions were compared: `[start, stop)`."""
    state_from: int
    """Where the replay began: a snapshot, or the log's start."""
    from_snapshot: bool
    decided: int = 0
    published: int = 0
    differences: tuple[Difference, ...] = ()

    def count(self, what: str) -> int:
        """How many differences are of one kind."""
        return sum(difference.what == what for difference in self.differences)


@dataclass(slots=True)
class _History:
    """What `decisions.history` holds of one partition."""

    memory: Memory
    """As the decisions before the range left it."""
    values: dict[Where, list[bytes]] = field(default_factory=dict)
    """Those of the range, by id and key; more than one where a decision was published more than once."""
    strangers: list[Difference] = field(default_factory=list)
    """Messages that no decision of this partition can be."""


class Auditor:
    """Audits partitions of one deployment with the model and policy that the settings name."""

    def __init__(self, settings: Settings, broker: Broker, store: Store) -> None:
        self._settings = settings
        self._broker = broker
        self._store = store
        self._model = Model.load(settings.path(settings.model.bundle))
        self._policy = Policy.load(settings.path(settings.verdict.policy))
        self._zones = ZoneTable.load(settings.path(settings.home.zones))
        self._detectors: dict[Mode, Detector] = {}

    def audit(self, partition: int, start: int | None, stop: int | None) -> Audited:
        """The decisions of the offsets `[start, stop)`, compared; None is the log's start, and what is committed.

        1. The range ends at the committed offset: what lies beyond may not have been decided on.
        2. Which versions decided where in it; others than the given ones are refused.
        3. The history: what came before the range is memory, the rest is what to compare with.
        4. State from the newest snapshot at or before `start`, replayed; then every row is decided on.
        """
        topics = self._settings.topics
        at = TopicPartition(topics.events, partition)
        low, _ = self._broker.watermarks(at)
        start = low if start is None else start
        stop = min(self._committed(at), stop if stop is not None else 1 << 62)  # 1
        if start >= stop:
            return Audited(partition, start, start, start, from_snapshot=False)
        if start < low:
            raise CannotRebuild(
                f"{at.topic}[{partition}]: the log starts at offset {low}: wanted a range from there on (got {start})"
            )
        segments = self._segments(partition, start, stop)  # 2
        history = self._history(partition, start, stop)  # 3
        detector = self._detector(segments[0][1])
        restorer = Restorer(self._settings, self._broker, detector, self._store, Metrics())
        taken = restorer.stand(at, low, start, history.memory, Memory())  # 4
        if start == taken.start > 0 and not taken.from_snapshot:
            raise CannotRebuild(
                f"{at.topic}[{partition}]: nothing is known of the numbers before offset {start}: no usable snapshot "
                f"in {self._store.folder(partition)} is that old, and the log starts there. Choose a later --from."
            )
        part, decided = taken.part, dict[Where, bytes]()
        for first, mode in ((taken.start, segments[0][1]), *segments[1:]):
            end = next((offset for offset, _ in segments[1:] if offset > first), stop)
            for batch in _batches(self._broker.read(at, first, end)):
                outcome = self._detector(mode).process(part, batch)
                decided |= {(made.decision_id, made.key().encode()): made.to_json() for made in outcome.decisions}
        return Audited(
            partition=partition,
            start=start,
            stop=stop,
            state_from=taken.start,
            from_snapshot=taken.from_snapshot,
            decided=len(decided),
            published=sum(map(len, history.values.values())) + len(history.strangers),
            differences=(*_compared(decided, history.values), *history.strangers),
        )

    def offset_at(self, partition: int, time_ms: int) -> int:
        """An offset such that what was published at `time_ms` or later stands there or behind, and all else before it.

        Publication times of a partition do not fall, so that halving finds it.
        """
        at = TopicPartition(self._settings.topics.events, partition)
        low, high = self._broker.watermarks(at)
        while low < high:
            middle = (low + high) // 2
            message = self._first(at, middle, high)
            if message is None or message.timestamp()[1] >= time_ms:
                high = middle
            else:
                low = message.offset() + 1
        return low

    def _first(self, at: TopicPartition, start: int, stop: int) -> Message | None:
        """The first message of `[start, stop)`; None where there are only markers."""
        messages = self._broker.read(at, start, stop)
        try:
            return next(messages, None)
        finally:
            close = getattr(messages, "close", None)
            if close is not None:
                close()

    def _committed(self, at: TopicPartition) -> int:
        committed = self._broker.committed(f"{self._settings.group}-detect", [at])[at]
        return 0 if committed is None else committed

    def _detector(self, mode: Mode) -> Detector:
        """The core as it was configured then, as far as the present settings say."""
        if mode not in self._detectors:
            verdict = msgspec.structs.replace(self._settings.verdict, mode=mode)
            settings = msgspec.structs.replace(self._settings, verdict=verdict)
            judge = Judge(self._policy, self._model, self._zones, settings)
            self._detectors[mode] = Detector(settings, judge, self._model)
        return self._detectors[mode]

    def _segments(self, partition: int, start: int, stop: int) -> list[tuple[int, Mode]]:
        """From which offset on which mode decided, the first at or before `start`; `ConfigError` for other versions."""
        mine = (version for version in self._versions() if version.partition == partition and version.offset < stop)
        by_offset = {version.offset: version for version in mine}  # the last that was said of an offset holds
        known = [by_offset[offset] for offset in sorted(by_offset)]
        before = [version for version in known if version.offset <= start]
        name = f"{self._settings.topics.events}[{partition}]"
        if not before:
            raise ConfigError(
                f"{name}: wanted a range whose versions stand in {self._settings.topics.control} "
                f"(got {start}; the first that is known decided from {known[0].offset} on)"
                if known
                else f"{name}: {self._settings.topics.control} does not say which versions decided on this partition"
            )
        within = [before[-1], *(version for version in known if version.offset > start)]
        ends = [version.offset for version in within[1:]] + [stop]
        for version, end in zip(within, ends, strict=True):
            where = f"{name}: offsets {max(start, version.offset)} to {end}"
            for what, wanted, got, setting in (
                ("model", version.model, self._model.version, "model.bundle"),
                ("policy", version.policy, self._policy.version, "verdict.policy"),
            ):
                if wanted != got:
                    raise ConfigError(
                        f"{where} were decided with {what} {wanted} (got {got} from {setting}): "
                        "audit with a configuration that names the one of that time, or another range"
                    )
            if version.mode == "shadow":
                raise ConfigError(
                    f"{where} were decided in shadow mode: of its decisions {self._settings.topics.shadow} keeps only "
                    "the last of each case, and the history none, so there is nothing to compare with"
                )
        return [(version.offset, version.mode) for version in within]

    def _versions(self) -> Iterator[InForce]:
        """Every record of versions in `control`; what else stands there has other keys."""
        control = TopicPartition(self._settings.topics.control, 0)
        for message in self._broker.read(control, *self._broker.watermarks(control)):
            partition, _, offset = (message.key() or b"").partition(b"@")
            if not (partition.isdigit() and offset.isdigit()) or message.value() is None:
                continue
            try:
                yield msgspec.json.decode(message.value() or b"", type=InForce)
            except msgspec.DecodeError as error:
                raise Fatal(
                    f"{control.topic}, offset {message.offset()}: wanted versions in force ({error})"
                ) from error

    def _history(self, partition: int, start: int, stop: int) -> _History:
        """The decisions of `[start, stop)`, and the memory that those before it left."""
        at = TopicPartition(self._settings.topics.history, partition)
        history = _History(Memory())
        for message in self._broker.read(at, *self._broker.watermarks(at)):
            key, value = message.key() or b"", message.value() or b""
            try:
                decision = Decision.from_json(value)
                origin, offset = _position(decision.decision_id)
            except (msgspec.DecodeError, ValueError) as error:
                history.strangers.append(_stranger(message, f"not a decision: {error}"))
                continue
            if origin != partition:
                history.strangers.append(_stranger(message, f"{decision.decision_id} is of partition {origin}"))
            elif offset < start:
                history.memory.apply(decision)
            elif offset < stop:
                history.values.setdefault((decision.decision_id, key), []).append(value)
        return history


def _position(decision_id: str) -> tuple[int, int]:
    """Partition and offset of the deciding row; `ValueError` for what is no id."""
    parts = decision_id.split("-")
    if len(parts) < 4 or not all(part.isascii() and part.isdecimal() for part in parts[:3]):
        raise ValueError(f"decision_id: wanted partition-offset-row-rule (got {decision_id!r})")
    return int(parts[0]), int(parts[1])


def _stranger(message: Message, why: str) -> Difference:
    key = (message.key() or b"").decode("utf-8", "replace")
    return Difference("extra", "-", key, f"history offset {message.offset()}: {why}"[:300])


def _batches(messages: Iterator[Message]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    for message in messages:
        batch.append(Entry(message.offset(), message.value(), message.headers() or []))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _compared(decided: dict[Where, bytes], published: dict[Where, list[bytes]]) -> Iterator[Difference]:
    """The differences in order of the log: what is not there, what should not be, and what says something else."""
    for where in sorted(decided.keys() | published.keys(), key=_in_log_order):
        decision_id, key = where[0], where[1].decode("utf-8", "replace")
        wanted, got = decided.get(where), Counter(published.get(where, []))
        if wanted is None:
            for value, count in got.items():
                yield Difference("extra", decision_id, key, _told(value) + (f", {count} times" if count > 1 else ""))
        elif not got:
            yield Difference("missing", decision_id, key, _told(wanted))
        else:
            for value in got.keys() - {wanted}:
                yield Difference("different", decision_id, key, _unlike(wanted, value))
            if got[wanted] > 1:
                yield Difference("extra", decision_id, key, f"published {got[wanted]} times")


def _in_log_order(where: Where) -> tuple[tuple[int, int], Where]:
    return _position(where[0]), where


def _told(value: bytes) -> str:
    decision = Decision.from_json(value)
    return f"{decision.action} by {decision.rule}"


def _unlike(wanted: bytes, got: bytes) -> str:
    """The fields that differ, each with both values."""
    left, right = msgspec.json.decode(wanted), msgspec.json.decode(got)
    unlike: Sequence[str] = [
        f"{name}: wanted {_short(left.get(name))} (got {_short(right.get(name))})"
        for name in left.keys() | right.keys()
        if left.get(name) != right.get(name)
    ]
    return "; ".join(sorted(unlike)) or "the same fields, written otherwise"


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
