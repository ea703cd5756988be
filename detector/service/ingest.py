"""The ingest role: records of any source become rows on the partition of the number they are about."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import pairwise

import msgspec
import numpy as np
import orjson

from detector.broker import Broker, Message, TopicPartition
from detector.config import Settings, Source
from detector.errors import Abort, Fatal, Rejected
from detector.ingest.commands import command_row, read_command, read_mode_change
from detector.ingest.rows import Ingested, Raw, pack_message, scatter
from detector.metrics import Metrics
from detector.records import BEAT_ID, SCHEMA_ID, I64s, NumberKind, Rows
from detector.service.aside import Aside, Executor
from detector.service.intake import ROLE, Intake, Read
from detector.service.outbox import ATTEMPTS, Headers, Outbox, Output, fitting, settling_s
from detector.service.readers import watch_readers
from detector.service.rejects import reject_output
from detector.service.saying import tell_aborted, tell_assigned, tell_revoked

log = logging.getLogger(__name__)

SCHEMA_HEADER = ("schema", SCHEMA_ID)
BEAT_HEADER = ("schema", BEAT_ID)
BEAT_KEY = b"beat"
"""One for all: their topic is compacted."""


class IngestRole:
    """Stateless: a batch that cannot be committed is read and worked through again."""

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        metrics: Metrics,
        instance: str,
        clock: Callable[[], float] = time.time,
        executor: Callable[[int, str], Executor] = Aside,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._clock = clock
        self._sources = {source.topic: source for source in settings.sources}
        identity = f"{settings.group}-{ROLE}-{instance}"
        with ExitStack() as made:  # one that the broker's going away leaves half made is made again, all of it
            # Before this worker fences anybody or joins: until it reads, those that are there keep their partitions.
            self._watch = watch_readers(settings, executor(1, "readers"), metrics)
            made.callback(self._watch.close)
            self._outbox = Outbox(broker.producer(identity), metrics, ROLE)
            made.callback(self._outbox.close)
            self._consumer = broker.consumer(f"{settings.group}-{ROLE}", identity, earliest=True)
            made.pop_all()
        self._readers = self._watch.in_force.by_topic
        self._held: set[TopicPartition] = set()
        self._aborted = 0
        self._rewind: dict[TopicPartition, int] = {}
        """Where to read on after an aborted transaction, until that is done."""
        self._beat_s = settings.ingest.heartbeat_s
        self._beaten_s = 0.0
        """When this worker last sent heartbeats."""
        self._intake = Intake(settings, metrics, clock)
        beats = [settings.topics.heartbeats] if self._beat_s else []
        self._consumer.subscribe([*self._sources, settings.topics.commands, *beats], self)

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Every partition starts at its committed offset."""
        self._held.update(partitions)
        tell_assigned(log, partitions)
        self._intake.moved("assigned", len(self._held))
        return {}

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Each step has committed what it did; where to go back is another worker's business now."""
        self._let_go("revoked", partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """The same, without having been asked."""
        self._let_go("lost", partitions)

    def _let_go(self, how: str, partitions: Sequence[TopicPartition]) -> None:
        self._held.difference_update(partitions)
        tell_revoked(log, partitions)
        for at in partitions:
            self._rewind.pop(at, None)
        self._intake.moved(how, len(self._held))

    def step(self) -> int:
        """One batch of records is rows on the internal topic, or rejects, with its offsets committed."""
        self._take_over()
        if self._rewind:
            self._go_back()
        began = time.perf_counter()
        messages = self._consumer.poll(self._settings.ingest.batch_records, self._settings.ingest.wait_ms / 1000)
        metadata = self._consumer.group_metadata()
        outputs = self._beats_due()
        if not messages and not outputs:
            return 0
        polled = time.perf_counter()
        by_topic = _by_topic(messages)
        starts: dict[TopicPartition, int] = {}
        ends: dict[TopicPartition, int] = {}
        ingested: list[Read] = []
        for topic, batch in by_topic.items():
            partitions = np.fromiter([message.partition() for message in batch], np.int64, len(batch))
            offsets = np.fromiter([message.offset() for message in batch], np.int64, len(batch))
            _span(topic, partitions, offsets, starts, ends)
            if topic in self._readers:
                source = self._sources[topic]
                raw = Raw([message.value() for message in batch], partitions, offsets, _published_ms(source, batch))
                result = self._readers[topic].read(raw)
                ingested.append(Read(source, raw, result))
                outputs += self._dead_letters(source, batch, result)
        outputs += self._packed(
            [read.result.rows for read in ingested], {k: v for read in ingested for k, v in read.result.names.items()}
        )
        ordered, refused = self._commands(by_topic.get(self._settings.topics.commands, []))
        outputs += ordered
        beats = by_topic.get(self._settings.topics.heartbeats, [])
        outputs += self._beats(beats)
        worked = time.perf_counter()
        try:
            self._outbox.publish(outputs, ends, metadata)
        except Abort as error:
            self._aborted += 1
            tell_aborted(log, self._aborted, error)
            if self._aborted >= ATTEMPTS:
                raise Fatal(f"{ATTEMPTS} transactions in a row could not commit: {error}") from error
            self._rewind = {at: offset for at, offset in starts.items() if at in self._held}
            return len(messages)
        self._aborted = 0
        if len(messages) > len(beats):
            self._intake.batch(messages, ingested, refused, (began, polled, worked, time.perf_counter()))
        return len(messages)

    def _take_over(self) -> None:
        """Newer mappings and zones read every record from here on."""
        newer = self._watch.newer()
        if newer is not None:
            self._readers = newer.by_topic

    def _go_back(self) -> None:
        """Poll for a while, so that revocations arrive, then go back in what is still ours.

        Until that is done, nothing is committed: a commit would pass over the aborted batch.
        """
        settled = time.monotonic() + settling_s(self._aborted)
        while time.monotonic() < settled:
            for message in self._consumer.poll(1, self._settings.ingest.wait_ms / 1000):
                at = TopicPartition(message.topic() or "", message.partition())
                self._rewind.setdefault(at, message.offset())
        self._consumer.seek(self._rewind)
        self._rewind = {}

    def _dead_letters(self, source: Source, batch: Sequence[Message], result: Ingested) -> list[Output]:
        """One for each message that holds refused records: the whole message, and why its first one was refused."""
        refused: dict[int, list[Rejected]] = {}
        for record in result.rejected:
            refused.setdefault(record.index, []).append(record.rejected)
        outputs = []
        for index, (first, *others) in refused.items():
            message = batch[index]
            if others:
                first = replace(first, detail=f"{first.detail} (and {len(others)} more records of this message)")
            at = TopicPartition(source.topic, message.partition())
            outputs.append(
                reject_output(
                    self._settings.topics.rejects,
                    first,
                    message.value(),
                    at,
                    message.offset(),
                    source.name,
                    source.mapping,
                )
            )
        return outputs

    def _packed(self, batches: Sequence[Rows], names: Mapping[int, str]) -> list[Output]:
        """The rows of a batch, packed into messages of their partitions, sender ids in the headers."""
        if not any(len(rows) for rows in batches):
            return []
        rows = batches[0] if len(batches) == 1 else np.concatenate(batches)
        most = self._settings.ingest.rows_per_message
        pack = partial(_packed, names=names)
        outputs: list[Output] = []
        for partition, mine in scatter(rows, self._settings.topics.partitions):
            for start in range(0, len(mine), most):
                outputs += fitting(self._settings.topics.events, partition, mine[start : start + most], pack)
        return outputs

    def _commands(self, batch: Sequence[Message]) -> tuple[list[Output], list[Rejected]]:
        """Commands travel as rows of their own, so that they have one order with the traffic. And those refused."""
        topics = self._settings.topics
        outputs: list[Output] = []
        refused: list[Rejected] = []
        for message in batch:
            if read_mode_change(message.value()):
                continue  # here for the audit: detect hears of it from control
            command = read_command(message.value())
            at = TopicPartition(topics.commands, message.partition())
            if isinstance(command, Rejected):
                refused.append(command)
                outputs.append(
                    reject_output(topics.rejects, command, message.value(), at, message.offset(), "commands", "")
                )
                continue
            row = command_row(command, message.timestamp()[1], message.partition(), message.offset())
            for partition, rows in scatter(row, topics.partitions):
                headers = [SCHEMA_HEADER, ("command", msgspec.json.encode(command))]
                outputs.append(Output(topics.events, partition, pack_message(rows), headers=headers))
        return outputs, refused

    def _beats_due(self) -> list[Output]:
        """A heartbeat for each partition of their topic that this worker holds, once their interval has passed.

        Whoever holds a partition of it sends there and reads it back: nobody else has to be agreed with.
        """
        topic, now = self._settings.topics.heartbeats, self._clock()
        if not self._beat_s or 0 <= now - self._beaten_s < self._beat_s:
            return []
        due = [Output(topic, at.partition, b"", BEAT_KEY) for at in self._held if at.topic == topic]
        if due:
            self._beaten_s = now
        return due

    def _beats(self, batch: Sequence[Message]) -> list[Output]:
        """Heartbeats go on to the partition of the internal topic that has their number, with the rows."""
        events = self._settings.topics.events
        return [
            Output(events, message.partition(), b"", headers=[BEAT_HEADER, ("beat", b"%d" % message.timestamp()[1])])
            for message in batch
        ]

    @property
    def reachable(self) -> bool:
        """Whether the broker answers."""
        return self._broker.reachable

    def close(self, *, leave: bool = False) -> None:
        """Stop, or leave the group for good, and let the producer go; each step has committed what it did."""
        self._consumer.close(leave=leave)
        self._watch.close()
        self._outbox.close()


def _by_topic(messages: Sequence[Message]) -> dict[str, Sequence[Message]]:
    """The messages of each topic, in the order they were polled."""
    if not messages:
        return {}
    topics = [message.topic() or "" for message in messages]
    # A backlog comes a topic at a time, and comparing texts costs less than looking each up.
    if topics.count(topics[0]) == len(topics):
        return {topics[0]: messages}
    by_topic: dict[str, list[Message]] = {}
    for topic, message in zip(topics, messages, strict=True):
        by_topic.setdefault(topic, []).append(message)
    return dict(by_topic)


def _published_ms(source: Source, batch: Sequence[Message]) -> I64s:
    """When each message was published; 0 where the source does not ask."""
    if source.max_future_s is None:
        return np.zeros(len(batch), np.int64)
    return np.fromiter([message.timestamp()[1] for message in batch], np.int64, len(batch))


def _span(
    topic: str, partitions: I64s, offsets: I64s, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> None:
    """Of each partition among a topic's messages: the first offset, and the next to read after the last, are added."""
    # Messages come in long runs of one partition: only their ends are looked at.
    breaks = (np.flatnonzero(np.diff(partitions)) + 1).tolist()
    for first, stop in pairwise([0, *breaks, len(partitions)]):
        at = TopicPartition(topic, int(partitions[first]))
        starts.setdefault(at, int(offsets[first]))
        ends[at] = int(offsets[stop - 1]) + 1


def _packed(rows: Rows, names: Mapping[int, str]) -> tuple[bytes, Headers]:
    """Value and headers of an internal message."""
    return pack_message(rows), [SCHEMA_HEADER, *_names_header(rows, names)]


def _names_header(rows: Rows, names: Mapping[int, str]) -> Headers:
    """The texts of the sender ids that `rows` speak of."""
    if not names:
        return []
    numbers = np.concatenate([rows["number"], rows["other"]])
    shift = np.uint64(60)
    senders = np.unique(numbers[(numbers >> shift) == np.uint64(NumberKind.SENDER)]).tolist()
    texts = {str(number): names[number] for number in senders if number in names}
    return [("names", orjson.dumps(texts))] if texts else []
