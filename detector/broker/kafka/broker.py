"""The way to Kafka: clients, single partitions read without a group, topics."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from detector.broker import Message, TopicPartition, TopicSpec
from detector.broker.access import Binding
from detector.broker.kafka.answers import (
    ANSWER_S,
    OUTCOME_S,
    STEP_S,
    Health,
    ask_committed,
    asked,
    called,
    error_of,
    meaning_of,
)
from detector.broker.kafka.consumer import KafkaConsumer
from detector.broker.kafka.producer import KafkaProducer, queue
from detector.broker.kafka.refusal import refused
from detector.broker.options import CLIENT, FETCH, READ, SEND, TOLD, TRANSACTIONS, Options, check, member_options
from detector.broker.statistics import Statistics, read_statistics
from detector.config import KafkaOptions
from detector.errors import ConfigError, DetectorError, Recoverable
from detector.logs import Event, said

_LOG: Final = logging.getLogger("detector.broker.kafka")
_LIBRDKAFKA: Final = logging.getLogger("detector.broker.kafka.librdkafka")


def _is_news(record: logging.LogRecord) -> bool:
    """Not so a refused connection, several a second while a broker is away: the error callback says once that it is."""
    record.event = Event.KAFKA
    return not record.getMessage().startswith("FAIL [")


_LIBRDKAFKA.addFilter(_is_news)

_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]

T = TypeVar("T")

SOON_S: Final = 1.0
"""After which a process that no broker has let in yet looks whether one has refused to."""


class KafkaBroker:
    """The way to Kafka; see `detector.broker.Broker`. Raises `ConfigError` for settings that cannot be.

    `told` is given what members and transactional producers say of themselves, within their polls and begins.
    """

    def __init__(self, options: KafkaOptions, told: Callable[[Statistics], None] | None = None) -> None:
        check(options)
        self._options = options
        self._told = told
        self._health = Health()
        self._admin: AdminClient = self._client(AdminClient, {})
        self._plain: ck.Producer | None = None
        self._readers: list[ck.Consumer] = []
        self._observers: dict[str, list[ck.Consumer]] = {}
        """Idle ones by group, as readers: whoever needs one takes it out, so that threads do not meet in it."""

    @property
    def reachable(self) -> bool:
        return self._health.reachable

    def _client(self, kind: Callable[..., T], *layers: Options, at_work: bool = False) -> T:
        """A client of librdkafka with our settings, then the user's, then the last layer's.

        One `at_work`, for as long as its process, tells of itself.
        """
        settings: dict[str, Any] = dict(CLIENT)
        if at_work and (told := self._told) is not None:
            settings |= {**TOLD, "stats_cb": lambda text: told(read_statistics(text))}
        for layer in layers[:-1]:
            settings |= layer
        settings |= self._options
        settings |= layers[-1]
        try:
            return kind(settings | {"error_cb": self._health.on_error}, logger=_LIBRDKAFKA)
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigError(f"kafka: wanted settings that librdkafka takes ({error})") from error

    def consumer(self, group: str, instance: str, *, earliest: bool = False) -> KafkaConsumer:
        identity = {"group.id": group, "group.instance.id": instance}
        return KafkaConsumer(
            self._client(ck.Consumer, FETCH, member_options(self._options), identity, at_work=True),
            self._health,
            earliest,
        )

    def producer(self, transactional_id: str) -> KafkaProducer:
        identity = {"transactional.id": transactional_id}
        producer = self._client(ck.Producer, SEND, TRANSACTIONS, identity, at_work=True)
        return KafkaProducer(producer, self._health)

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        # A consumer asks, though it never joins: the admin client's answer to a coordinator that is
        # still loading is a segmentation fault (librdkafka issue 5040).
        idle = self._observers.setdefault(group, [])
        observer = _spare(idle) or self._client(ck.Consumer, FETCH, {"group.id": group})
        try:
            self._meet()
            return ask_committed(observer, partitions, f"reading committed offsets of {group}")
        finally:
            idle.append(observer)

    def publish(
        self, topic: str, values: Sequence[tuple[bytes | None, bytes | None]], partition: int | None = None
    ) -> None:
        if self._plain is None:
            self._plain = self._client(ck.Producer, SEND, {})
        self._meet()
        producer = self._plain
        where = -1 if partition is None else partition
        failed: list[KafkaError] = []

        def on_delivery(error: KafkaError | None, _: ck.Message) -> None:
            if error is not None:
                failed.append(error)

        doing = f"publish to {topic}"
        for key, value in values:
            called(doing, partial(queue, producer, topic, value, key, where, on_delivery=on_delivery))
        deadline = time.monotonic() + OUTCOME_S
        while called(doing, lambda: producer.flush(STEP_S)) and time.monotonic() < deadline:
            pass
        if failed:
            raise meaning_of(failed[0], f"publish to {topic} ({len(failed)} of {len(values)} failed)")
        if len(producer):
            producer.purge()
            raise Recoverable(f"publish to {topic}: {len(producer)} messages not stored after {OUTCOME_S:.0f} s")

    def read(self, partition: TopicPartition, start: int, stop: int) -> Iterator[Message]:
        stop = min(stop, self.watermarks(partition)[1])
        if start >= stop:
            return
        reader = _spare(self._readers) or self._client(ck.Consumer, FETCH, READ)
        try:
            reader.assign([ck.TopicPartition(*partition, start)])
            yield from _between(reader, partition, start, stop)
        finally:
            reader.unassign()
            self._readers.append(reader)

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        first, stop = self._listed(partition, _EARLIEST, _LATEST)
        return first, stop

    def offset_at(self, partition: TopicPartition, time_ms: int) -> int:
        # The end is asked for first: what is stored meanwhile was perhaps published in time, and lies behind it.
        (stop,) = self._listed(partition, _LATEST)
        # Times below 0 mean the ends to Kafka, and -1 is its answer where nothing was published so late.
        (found,) = self._listed(partition, OffsetSpec.for_timestamp(max(0, time_ms)))
        return stop if found < 0 else found

    def _listed(self, partition: TopicPartition, *wanted: OffsetSpec) -> list[int]:
        """The offset that each describes."""
        # A consumer's question would take its isolation level along, and stop short of an open transaction.
        how = {"isolation_level": ck.IsolationLevel.READ_UNCOMMITTED, "request_timeout": STEP_S}
        at = ck.TopicPartition(*partition)

        def ask() -> list[int]:
            listed = [self._admin.list_offsets({at: spec}, **how)[at] for spec in wanted]
            return [one.result().offset for one in listed]

        return self._asked(f"offsets of {partition.topic}/{partition.partition}", ask)

    def truncate(self, partition: TopicPartition, offset: int) -> None:
        """Drop what lies before `offset`, as retention would."""
        at = ck.TopicPartition(*partition, offset)
        for future in self._admin.delete_records([at], request_timeout=STEP_S).values():
            called(f"truncating {partition.topic}/{partition.partition}", future.result)

    def partitions(self) -> dict[str, int]:
        metadata = self._metadata()
        return {
            name: len(topic.partitions)
            for name, topic in metadata.topics.items()
            if topic.error is None and not name.startswith("__")
        }

    def _asked(self, doing: str, ask: Callable[[], T]) -> T:
        self._meet()
        return asked(self._metadata, doing, ask)

    def _meet(self) -> None:
        """A broker has let us in; `ConfigError` where it refuses to.

        First of all: whatever else is asked of one that refuses is answered by a timeout that does not say so.
        """
        if not self._health.let_in:
            asked(lambda: None, "meeting a broker", self._metadata)

    def _metadata(self) -> Any:
        if not self._health.let_in:
            # A refusal comes at once, and librdkafka waits for its time all the same.
            with suppress(Recoverable):
                return self._metadata_within(SOON_S)
        return self._metadata_within(STEP_S)

    def _metadata_within(self, wait_s: float) -> Any:
        try:
            metadata = self._admin.list_topics(timeout=wait_s)
        except KafkaException as exception:
            self._admin.poll(0)  # only a poll calls back with what else went wrong
            self._health.reachable = False
            if self._health.refusal is not None:
                raise refused(self._options, *self._health.refusal) from exception
            raise meaning_of(error_of(exception), "asking for topics") from exception
        self._health.on_answer()
        return metadata

    def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        known = self.partitions()
        wanted = [
            NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config))
            for spec in specs
            if spec.name not in known
        ]
        if not wanted:
            return []
        made = []
        for name, future in self._admin.create_topics(wanted).items():
            try:
                future.result()
                made.append(name)
            except KafkaException as exception:
                error = error_of(exception)
                if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise meaning_of(error, f"creating topic {name}") from exception
        self._until(lambda topics: all(spec.name in topics for spec in specs), "waiting for the new topics")
        return made

    def delete(self, topics: Sequence[str]) -> None:
        for name, future in self._admin.delete_topics(list(topics)).items():
            called(f"deleting topic {name}", future.result)
        self._until(lambda known: not any(name in known for name in topics), "waiting until the topics are gone")

    def _until(self, done: Callable[[dict[str, int]], bool], doing: str) -> None:
        deadline = time.monotonic() + ANSWER_S
        while not done(self.partitions()):
            if time.monotonic() > deadline:
                raise Recoverable(f"{doing}: not so after {ANSWER_S:.0f} s")
            time.sleep(0.05)

    def allow(self, bindings: Sequence[Binding]) -> None:
        """These are in the broker's access control list; nothing is taken out of it."""
        self._meet()
        wanted = [
            AclBinding(
                ResourceType[binding.grant.kind.replace("-", "_").upper()],
                binding.grant.name,
                ResourcePatternType.PREFIXED if binding.grant.prefixed else ResourcePatternType.LITERAL,
                binding.principal,
                "*",
                AclOperation[binding.operation.upper()],
                AclPermissionType.ALLOW,
            )
            for binding in bindings
        ]
        for binding, future in self._admin.create_acls(wanted, request_timeout=STEP_S).items():
            called(f"allowing {binding.principal} on {binding.name}", future.result)

    def identity(self, topic: str) -> str:
        def ask() -> str:
            described = self._admin.describe_topics(ck.TopicCollection([topic]), request_timeout=STEP_S)[topic]
            return f"{self._metadata().cluster_id}/{described.result().topic_id}"

        return self._asked(f"describing topic {topic}", ask)

    def close(self) -> None:
        for idle in (self._readers, *self._observers.values()):
            while client := _spare(idle):
                client.close()
        if self._plain is not None:
            # Whoever published was told of each message's end; what killed the client may come later, to be heard here.
            with suppress(DetectorError):
                called("closing", partial(self._plain.flush, STEP_S))


def _spare(idle: list[ck.Consumer]) -> ck.Consumer | None:
    """One of the idle ones, which is the caller's now; another thread may have taken the last."""
    try:
        return idle.pop()
    except IndexError:
        return None


def _between(reader: ck.Consumer, partition: TopicPartition, start: int, stop: int) -> Iterator[Message]:
    """The messages of `[start, stop)` that `reader`, assigned at `start`, is given."""
    doing = f"reading {partition.topic}/{partition.partition} from {start} to {stop}"
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < OUTCOME_S:
        batch = reader.consume(1_000, 0.05)
        for message in batch:
            error, offset = message.error(), cast(int, message.offset())
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                meaning = meaning_of(error, doing)
                # Of a topic that may not be read nothing will come; whoever needs it may try again.
                if type(meaning) is not Recoverable or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise meaning
                _LOG.warning("%s", meaning, extra=said(Event.KAFKA))
                continue
            if error is None and start <= offset < stop:
                yield cast(Message, message)
            # An end of partition carries the next offset to read, past all markers; a message its own.
            if offset >= (stop if error is not None else stop - 1):
                return
        if batch:
            quiet_since = time.monotonic()
    raise Recoverable(f"{doing}: nothing more for {OUTCOME_S:.0f} s: is a transaction left open?")
