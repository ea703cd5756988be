"""Audit: a range of the internal log, decided on once more, and compared with what was published.

    snapshot, log -> Detector with the versions in force -> decisions -+
                                     ^                                 +-> missing, extra, different
    control --------------------------      decisions.history --------+

Decisions are a pure function of the log, of the decisions before it, and of model, policy, mode
and settings. The first two are read back; `control` says which model, policy, mode and limit of
numbers it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from detector.broker import Broker, TopicPartition
from detector.broker.entries import read_batches
from detector.config import Mode, Settings
from detector.errors import CannotRebuild, ConfigError, Fatal
from detector.pipeline import Detector
from detector.service.history import Difference, Where, compare, read_history
from detector.service.restore import Restorer
from detector.service.rules import Rules
from detector.snapshot import Store
from detector.verdict.memory import Memory

BATCH: Final = 500
"""Messages taken through the core at once."""


class InForce(msgspec.Struct, frozen=True):
    """What `control` says: from `offset` of `partition` on, these decided."""

    partition: int
    offset: int
    mode: Mode
    model: str
    policy: str
    most_numbers: int | None = None


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


class Auditor:
    """Audits partitions of one deployment with the model and policy that the settings name."""

    def __init__(self, settings: Settings, broker: Broker, store: Store) -> None:
        self._settings = settings
        self._broker = broker
        self._store = store
        # A challenger decides nothing: an audit does without.
        model = msgspec.structs.replace(settings.model, challenger=None)
        self._rules = Rules.load(msgspec.structs.replace(settings, model=model))
        self._in_mode: dict[Mode, Rules] = {}

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
        history = read_history(self._broker, TopicPartition(topics.history, partition), start, stop)  # 3
        detector = self._detector(segments[0][1])
        restorer = Restorer(self._settings, self._broker, detector, self._store)
        taken = restorer.stand(at, low, start, history.memory, Memory())  # 4
        part, decided = taken.part, dict[Where, bytes]()
        for first, mode in ((taken.start, segments[0][1]), *segments[1:]):
            end = next((offset for offset, _ in segments[1:] if offset > first), stop)
            for batch in read_batches(self._broker, at, first, end, BATCH):
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
            differences=(*compare(decided, history.values), *history.strangers),
        )

    def _committed(self, at: TopicPartition) -> int:
        committed = self._broker.committed(f"{self._settings.group}-detect", [at])[at]
        return 0 if committed is None else committed

    def _detector(self, mode: Mode) -> Detector:
        """The core as it was configured then, as far as the present settings say."""
        if mode not in self._in_mode:
            self._in_mode[mode] = self._rules.in_mode(mode)
        return self._in_mode[mode].detector

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
        detect = self._settings.detect
        for version, end in zip(within, ends, strict=True):
            where = f"{name}: offsets {max(start, version.offset)} to {end}"
            for what, wanted, got, setting in (
                ("model", version.model, self._rules.model.version, "model.bundle"),
                ("policy", version.policy, self._rules.policy.version, "verdict.policy"),
                ("a limit of", _limit(version.most_numbers), _limit(detect.most_numbers), "detect.most_numbers"),
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


def _limit(most_numbers: int | None) -> str:
    return "none" if most_numbers is None else f"{most_numbers} numbers"
