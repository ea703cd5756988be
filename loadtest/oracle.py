"""Single-pass oracles: what a run must have come to, knowing nothing of processes or transactions.

    source topics    -> rows and rejects that must be there        -> expected_rows
    internal log     -> decisions that one undisturbed pass makes  -> expected_decisions
    our own topics   -> what is there, read committed              -> published_*

The tests compare whole multisets. A long run compares as it goes, with `Oracle`: it reads
every topic once and keeps only what does not balance yet.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from detector.broker import Broker, Message, TopicPartition
from detector.broker.entries import entry_of, read_entries
from detector.config import Mode, Settings
from detector.errors import Fatal, Rejected
from detector.features.state import Status
from detector.ingest.rows import Raw, open_source, unpack_message
from detector.ingest.zones import ZoneTable
from detector.pipeline import Detector, Entry, Part
from detector.records import Rows
from detector.service.rules import Rules
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from detector.verdict.served import unpack_served
from loadtest.versions import InForce, Versions

RECORDS = "records"
"""Topic and name of the one source of tests and load tests."""


class Position(NamedTuple):
    """One record as it stands in the source."""

    partition: int
    offset: int
    timestamp_ms: int
    value: bytes


class Refusal(NamedTuple):
    """A dead letter: where the message stood, and why the first record in it was refused."""

    topic: str
    partition: int
    offset: int
    reason: str


Decided = tuple[int, bytes, bytes]
"""Partition, key and value of a decision."""


def everything(broker: Broker, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    """(partition, key, value) of all committed messages of `topic`."""
    return [(message.partition(), message.key(), message.value()) for message in _messages(broker, topic)]


def source_positions(broker: Broker) -> list[Position]:
    """What stands in the source topic."""
    return [_position(message) for message in _messages(broker, RECORDS)]


def log_entries(broker: Broker, settings: Settings, partition: int) -> list[Entry]:
    """The internal log of `partition`."""
    at = TopicPartition(settings.topics.events, partition)
    return list(read_entries(broker, at, *broker.watermarks(at)))


def published_rows(broker: Broker, settings: Settings) -> Counter[bytes]:
    """The multiset of rows on the internal topic."""
    rows: Counter[bytes] = Counter()
    for partition in range(settings.topics.partitions):
        rows += rows_of(log_entries(broker, settings, partition))
    return rows


def rows_of(entries: Iterable[Entry]) -> Counter[bytes]:
    """The multiset of rows in messages of the internal topic; one that is not rows has none."""
    rows: Counter[bytes] = Counter()
    for entry in entries:
        unpacked = unpack_message(entry.value, entry.headers)
        if isinstance(unpacked, np.ndarray):
            rows.update(_each(unpacked))
    return rows


def expected_rows(settings: Settings, positions: Iterable[Position]) -> Counter[bytes]:
    """The multiset of rows that records of the source must give."""
    return _ingested(settings, positions)[0]


def _ingested(settings: Settings, positions: Iterable[Position]) -> tuple[Counter[bytes], Counter[Refusal]]:
    """Those, and the records that must be refused."""
    if not (positions := list(positions)):
        return Counter(), Counter()
    partitions, offsets, timestamps, values = zip(*positions, strict=True)
    source = settings.sources[0]
    result = open_source(settings, source).read(Raw(values, partitions, offsets, timestamps))
    reasons: dict[int, str] = {}
    for one in result.rejected:
        reasons.setdefault(one.index, one.rejected.reason.value)
    refused = (Refusal(source.topic, partitions[i], offsets[i], reason) for i, reason in reasons.items())
    return Counter(_each(result.rows)), Counter(refused)


def published_rejects(messages: Iterable[Message]) -> Counter[Refusal]:
    """The dead letters among messages of the topic of rejects."""
    found: Counter[Refusal] = Counter()
    for message in messages:
        say = {name: content.decode() for name, content in message.headers() or []}
        found[Refusal(say["topic"], int(say["partition"]), int(say["offset"]), say["reason"])] += 1
    return found


def expected_decisions(broker: Broker, settings: Settings) -> Counter[Decided]:
    """The multiset of decisions that one undisturbed pass over the internal log makes."""
    return expected_outcomes(broker, settings)[0]


def expected_outcomes(broker: Broker, settings: Settings) -> tuple[Counter[Decided], Counter[bytes]]:
    """The decisions of such a pass, and the vectors that it keeps as it scored them."""
    detector = Rules.load(settings).detector
    decided: Counter[Decided] = Counter()
    served: Counter[bytes] = Counter()
    for partition in range(settings.topics.partitions):
        part = detector.fresh(partition, Memory.rebuild([]), Memory.rebuild([]))
        outcome = detector.process(part, log_entries(broker, settings, partition))
        decided.update((partition, d.key().encode(), d.to_json()) for d in outcome.decisions)
        for rows in outcome.served:
            served.update(_each(rows))
    return decided, served


def published_served(broker: Broker, settings: Settings) -> Counter[bytes]:
    """The multiset of vectors on their topic."""
    served: Counter[bytes] = Counter()
    for message in _messages(broker, settings.topics.vectors):
        rows = unpack_served(message.value(), message.headers() or [])
        if isinstance(rows, Rejected):
            raise Fatal(f"{settings.topics.vectors}, offset {message.offset()}: {rows.detail}")
        served.update(_each(rows))
    return served


def published_decisions(broker: Broker, settings: Settings) -> Counter[Decided]:
    """The multiset of decisions in their history."""
    return Counter((q, key or b"", value or b"") for q, key, value in everything(broker, settings.topics.history))


class Oracle:
    """Both passes at once, made as the run goes on: each call of `advance` reads what is new.

    A multiset of what should be there less what is there is all that is kept: empty when all is well.
    Who decides may change: `control` tells from which offset on, and `learn` where that model or policy is.
    """

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._models: dict[str, Model] = {}
        self._policies: dict[str, Policy] = {}
        self._zones = ZoneTable.load(settings.path(settings.home.zones))
        self._rules: dict[InForce, Rules] = {}
        at_first = InForce(
            settings.verdict.mode,
            self.learn_model(settings.path(settings.model.bundle)),
            self.learn_policy(settings.path(settings.verdict.policy)),
        )
        self._versions = Versions(at_first)
        self.parts = {
            q: self._by(at_first).fresh(q, Memory.rebuild([]), Memory.rebuild([]))
            for q in range(settings.topics.partitions)
        }
        """State of an undisturbed run, to compare snapshots with."""
        self.state_at = dict.fromkeys(self.parts, 0)
        """Offset up to which the log has gone into `parts`."""
        self._read_to: dict[TopicPartition, int] = {}
        self.rows: Counter[bytes] = Counter()
        self.rejects: Counter[Refusal] = Counter()
        self.decisions: Counter[Decided] = Counter()
        self.in_force: Counter[Decided] = Counter()
        """The same for the topic that enforcement reads, of which nothing may differ from the history."""
        self.shadow: Counter[Decided] = Counter()
        """The same of what is decided aside."""
        self.records = self.decided = self.refused = 0
        self.decided_by: Counter[InForce] = Counter()
        """Decisions that should be there, by what decides."""
        self.statuses: Counter[str] = Counter()
        """Rows, by what becomes of them."""
        self.reasons: Counter[str] = Counter()
        """Records of the source that must be refused, by why."""

    def learn_model(self, bundle: Path) -> str:
        """The version of a model that `control` may name from now on."""
        model = Model.load(bundle)
        self._models[model.version] = model
        return model.version

    def learn_policy(self, path: Path) -> str:
        """The version of a policy that `control` may name from now on."""
        policy = Policy.load(path)
        self._policies[policy.version] = policy
        return policy.version

    def _by(self, by: InForce) -> Detector:
        """The core as it decides where `control` names these."""
        if by not in self._rules:
            if by.model not in self._models or by.policy not in self._policies:
                known = f"{sorted(self._models)} and {sorted(self._policies)}"
                raise Fatal(f"control: wanted a model and a policy of this run, {known} (got {by.model}, {by.policy})")
            rules = Rules.of(self._models[by.model], None, self._policies[by.policy], self._zones, self._settings)
            self._rules[by] = rules.in_mode(msgspec.convert(by.mode, Mode))
        return self._rules[by].detector

    def advance(self) -> None:
        """Everything published until now has been read once, and booked.

        The sources last: what they hold by then and ingest had not taken yet is missing until the next call.
        Who decided on a row is known once it has been decided on: what detect had not done yet is taken to be
        the last known's.
        """
        topics = self._settings.topics
        self._versions.hear(self._all_new(topics.control))
        for q, part in self.parts.items():
            entries = [entry_of(message) for message in self._new(TopicPartition(topics.events, q))]
            self.rows.subtract(rows_of(entries))
            if entries:
                start, self.state_at[q] = self.state_at[q], entries[-1].offset + 1
                for stretch in self._versions.stretches(q, start, self.state_at[q]):
                    within = [entry for entry in entries if stretch.start <= entry.offset < stretch.stop]
                    self._expect(part, within, stretch.by)
        for balance, topic in (
            (self.decisions, topics.history),
            (self.in_force, topics.decisions),
            (self.shadow, topics.shadow),
        ):
            found = [(m.partition(), m.key() or b"", m.value() or b"") for m in self._all_new(topic)]
            balance.subtract(found)
            self.decided += len(found) if topic != topics.decisions else 0
        refused = published_rejects(self._all_new(topics.rejects))
        self.refused += refused.total()
        self.rejects.subtract(refused)
        positions = [_position(message) for message in self._all_new(self._settings.sources[0].topic)]
        self.records += len(positions)
        rows, refusals = _ingested(self._settings, positions)
        self.rows.update(rows)
        self.rejects.update(refusals)
        for refusal, count in refusals.items():
            self.reasons[refusal.reason] += count
        for settled in self._balances():
            for key in [key for key, count in settled.items() if not count]:
                del settled[key]

    def _expect(self, part: Part, entries: Sequence[Entry], by: InForce) -> None:
        """Book what must come of `entries`."""
        outcome = self._by(by).process(part, entries)
        for decision in outcome.decisions:
            expected = (part.number, decision.key().encode(), decision.to_json())
            for balance in (self.shadow,) if decision.mode == "shadow" else (self.decisions, self.in_force):
                balance[expected] += 1
        self.decided_by[by] += len(outcome.decisions)
        for offset, rejected in outcome.rejected:
            self.rejects[Refusal(self._settings.topics.events, part.number, offset, rejected.reason.value)] += 1
        for status, rows in zip(Status, outcome.statuses, strict=True):
            self.statuses[status.name.lower()] += rows

    def lost(self) -> int:
        """Rows, dead letters and decisions that should be there and are not."""
        return sum(count for balance in self._balances() for count in balance.values() if count > 0)

    def repeated(self) -> int:
        """Rows, dead letters and decisions that are there once too often, or that no undisturbed run makes."""
        return -sum(count for balance in self._balances() for count in balance.values() if count < 0)

    def examples(self) -> list[str]:
        """One of each kind that does not balance."""
        named: dict[str, Counter[Any]] = {
            "row": self.rows,
            "dead letter": self.rejects,
            "decision": self.decisions,
            "in force": self.in_force,
            "decision aside": self.shadow,
        }
        return [f"{kind}: {one[1]:+d} of {one[0]!r}" for kind, left in named.items() for one in [*left.items()][:1]]

    def forget(self) -> None:
        """What does not balance has been reported: the next fault is judged by itself."""
        for balance in self._balances():
            balance.clear()

    def _balances(self) -> Sequence[Counter[Any]]:
        return [self.rows, self.rejects, self.decisions, self.in_force, self.shadow]

    def _all_new(self, topic: str) -> list[Message]:
        partitions = self._broker.partitions()[topic]
        return [message for q in range(partitions) for message in self._new(TopicPartition(topic, q))]

    def _new(self, at: TopicPartition) -> list[Message]:
        low, high = self._broker.watermarks(at)
        start = self._read_to.get(at, 0)
        if low > start:
            raise Fatal(f"{at.topic}[{at.partition}]: the log begins at {low}, and the oracle has read to {start} only")
        self._read_to[at] = high
        return list(self._broker.read(at, start, high))


def _messages(broker: Broker, topic: str) -> Iterable[Message]:
    for partition in range(broker.partitions()[topic]):
        at = TopicPartition(topic, partition)
        yield from broker.read(at, *broker.watermarks(at))


def _position(message: Message) -> Position:
    return Position(message.partition(), message.offset(), message.timestamp()[1], message.value() or b"")


def _each(rows: Rows) -> Sequence[bytes]:
    raw = rows.tobytes()
    size = rows.dtype.itemsize
    return [raw[start : start + size] for start in range(0, len(raw), size)]
