"""The broker that is Apache Kafka: the one file that imports confluent_kafka.

    KafkaConsumer   static member, cooperative-sticky, read_committed; commits only through a transaction
    KafkaProducer   transactional; its transactional id is its identity
    KafkaBroker     makes both, reads single partitions without a group, and looks after topics

What librdkafka reports becomes one of our errors by `_meaning`. The user's settings pass through
to librdkafka; those that the guarantees rest on (DESIGN section 6) are refused.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from detector.broker import Assignment, Message, TopicPartition, TopicSpec
from detector.config import KafkaOptions
from detector.errors import Abort, ConfigError, DetectorError, Fatal, Fenced, Recoverable

_LOG: Final = logging.getLogger(__name__)

T = TypeVar("T")
Client = TypeVar("Client")

ANSWER_S: Final = 15.0
"""Longest wait for one answer (metadata, offsets): above the 10 s after which the coordinator ends
a dead process's transaction, for `committed` waits while one is pending."""
OUTCOME_S: Final = 60.0
"""Longest wait for the outcome of a transaction. Then it is unknown and the process must end; a
restarting broker is back well within it."""
STEP_S: Final = 5.0
"""One attempt of those: Python's signal handlers run between two attempts."""
PROBE_EVERY_S: Final = 1.0
"""How often an idle consumer asks a broker that went away whether it is back."""

_ALWAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "isolation.level": ("read_committed",),
    "enable.auto.commit": ("false",),
    "auto.offset.reset": ("error",),
    "enable.partition.eof": ("false",),
    "partition.assignment.strategy": ("cooperative-sticky",),
    "enable.idempotence": ("true",),
    "acks": ("all", "-1"),
    "request.required.acks": ("all", "-1"),
}
"""Settings that may only be given the value we give them: exactly once rests on each."""
_OURS: Final = ("group.id", "group.instance.id", "transactional.id")
"""Settings that name a process; made of `instance`, so that a restart takes its own place again."""

_CLIENT: Final[Mapping[str, str | int | bool]] = {
    # A broker that comes back is found within a second (librdkafka's own limit is 10).
    "reconnect.backoff.max.ms": 1_000,
    "log.connection.close": False,
}
_FETCH: Final[Mapping[str, str | int | bool]] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    # Read ahead by about one ingest batch of small records; internal messages (up to 256 KiB each) meet the byte
    # limit first. At that limit librdkafka pauses fetching for fetch.queue.backoff.ms, 1 s unless told.
    "queued.min.messages": 40_000,
    "queued.max.messages.kbytes": 65_536,
    "fetch.queue.backoff.ms": 2,
    # 4 MiB a partition and request: fewer requests over a backlog, and room for several packed messages.
    "fetch.message.max.bytes": 4 << 20,
    # Checking a CRC costs less than a wrong row does.
    "check.crcs": True,
}
_MEMBER: Final[Mapping[str, str | int | bool]] = {
    # An offset that is missing or out of range must stop us: starting elsewhere loses or doubles records.
    "auto.offset.reset": "error",
    "partition.assignment.strategy": "cooperative-sticky",
    # kill -9 to publishing again within 10 s: 6 s are the least that brokers allow by default.
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 1_500,
}
_SEND: Final[Mapping[str, str | int | bool]] = {
    "enable.idempotence": True,
    "acks": "all",
    # Commit flushes at once, so that lingering fills batches and never delays a transaction.
    "linger.ms": 20,
    "batch.size": 1 << 20,
    "queue.buffering.max.kbytes": 262_144,
    # Rows and JSON shrink to less than half at about 0.1 us a row, and stay so on the broker's disk for days.
    "compression.type": "lz4",
}
_TRANSACTION_TIMEOUT_MS: Final = 10_000

_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
_FENCED_TEXT: Final = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()
"""A consumer's fatal error carries its cause in words only."""
_AWAY: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._SSL,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._WAIT_COORD,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
"""What time or an administrator mends while we wait. Anything unknown is fatal."""


def _error_of(exception: KafkaException) -> KafkaError:
    return cast(KafkaError, exception.args[0])


def _meaning(error: KafkaError, doing: str) -> DetectorError:
    """The error of ours that a KafkaError is."""
    text = f"{doing}: {error.str()} ({error.name()})"
    if error.code() in _FENCED or (error.code() == KafkaError._FATAL and _FENCED_TEXT in error.str()):
        return Fenced(text)
    if error.fatal():
        return Fatal(text)
    if error.txn_requires_abort():
        return Abort(text)
    return Recoverable(text) if error.retriable() or error.code() in _AWAY else Fatal(text)


def _called(doing: str, call: Callable[[], T]) -> T:
    """What `call` returns; what it raises, as ours."""
    try:
        return call()
    except KafkaException as exception:
        raise _meaning(_error_of(exception), doing) from exception


def _insist(call: Callable[[float], object], doing: str, limit_s: float) -> None:
    """`call(timeout)` until it is done: an attempt that can be made again is made again for `limit_s` at most."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            call(STEP_S)
        except KafkaException as exception:
            meaning = _meaning(_error_of(exception), doing)
            if type(meaning) is not Recoverable or time.monotonic() > deadline:
                raise meaning from exception
        else:
            return


class _Health:
    """Whether the broker answers, as far as the clients of this process know."""

    def __init__(self) -> None:
        self.reachable = True

    def on_error(self, error: KafkaError) -> None:
        """librdkafka's error callback: news and no exception, for it goes on trying by itself."""
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION):
            self.reachable = False
        _LOG.warning("broker: %s (%s)", error.str(), error.name())


class KafkaConsumer:
    """A member of a consumer group; see `detector.broker.Consumer`."""

    def __init__(self, consumer: ck.Consumer, health: _Health, earliest: bool) -> None:
        self._consumer = consumer
        self._health = health
        self._earliest = earliest
        self._failure: DetectorError | None = None
        self._taken_away: set[TopicPartition] = set()
        self._probed_at = 0.0

    def subscribe(self, topics: Sequence[str], assignment: Assignment) -> None:
        def on_assign(_: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            if partitions:
                self._guard("taking", partitions, lambda: self._take(partitions, assignment))

        def on_revoke(_: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            self._taken_away.update(_plain(partitions))
            self._guard("giving back", partitions, lambda: assignment.revoked(_plain(partitions)))

        def on_lost(_: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            self._taken_away.update(_plain(partitions))
            self._guard("losing", partitions, lambda: assignment.lost(_plain(partitions)))

        self._consumer.subscribe(list(topics), on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)

    def _take(self, partitions: list[ck.TopicPartition], assignment: Assignment) -> None:
        names = _plain(partitions)
        offsets = dict(assignment.assigned(names))
        if self._earliest:
            committed = self.committed([name for name in names if name not in offsets])
            offsets.update({name: ck.OFFSET_BEGINNING for name, offset in committed.items() if offset is None})
        for name, partition in zip(names, partitions, strict=True):
            if name in offsets:
                partition.offset = offsets[name]
        self._consumer.incremental_assign(partitions)

    def _guard(self, doing: str, partitions: list[ck.TopicPartition], call: Callable[[], None]) -> None:
        """Keep what goes wrong in a callback for `poll` to raise.

        librdkafka completes the change of assignment in any case, so that the consumer no longer
        knows where it stands: whatever went wrong, this member cannot go on.
        """
        try:
            call()
        except Fatal as error:
            self._failure = error
        except Exception as error:
            names = ", ".join(f"{p.topic}/{p.partition}" for p in partitions)
            self._failure = Fatal(f"{doing} {names}: {error}")
            self._failure.__cause__ = error

    def poll(self, most: int, wait_s: float) -> list[Message]:
        messages = self._consume(1, wait_s)
        if not messages:
            self._probe()
            return []
        self._health.reachable = True
        self._taken_away.clear()
        if most > 1:
            more = self._consume(most - 1, 0)
            # A rebalance between the two calls takes back what the first one gave.
            if self._taken_away:
                messages = [m for m in messages if TopicPartition(m.topic(), m.partition()) not in self._taken_away]
            messages += more
        return messages

    def _consume(self, most: int, wait_s: float) -> list[Message]:
        batch = _called("poll", lambda: self._consumer.consume(most, wait_s))
        if self._failure is not None:
            raise self._failure
        good = [message for message in batch if message.error() is None]
        if len(good) < len(batch):
            self._complain(batch, alone=not good)
        return cast(list[Message], good)

    def _complain(self, batch: list[ck.Message], alone: bool) -> None:
        """Raise what stands in place of messages; beside messages, what is recoverable is only logged."""
        for message in batch:
            error = message.error()
            if error is None:
                continue
            meaning = _meaning(error, f"poll of {message.topic()}/{message.partition()}")
            if alone or isinstance(meaning, Fatal):
                raise meaning
            _LOG.warning("%s", meaning)

    def _probe(self) -> None:
        """Notice that a broker is back although there is nothing to read."""
        now = time.monotonic()
        if not self._health.reachable and now - self._probed_at >= PROBE_EVERY_S:
            self._probed_at = now
            try:
                self._consumer.list_topics(timeout=PROBE_EVERY_S)
            except KafkaException as exception:
                _LOG.debug("broker: still away: %s", exception)
            else:
                self._health.reachable = True

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        if not partitions:
            return {}
        asked = [ck.TopicPartition(*where) for where in partitions]
        return _called("reading committed offsets", lambda: _offsets(self._consumer.committed(asked, ANSWER_S)))

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        for where, offset in offsets.items():
            target = ck.TopicPartition(*where, offset)
            _called(f"seek to {where.topic}/{where.partition}@{offset}", partial(self._consumer.seek, target))

    def group_metadata(self) -> object:
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        self._consumer.close()
        if self._failure is not None:
            raise self._failure


class KafkaProducer:
    """A transactional producer; see `detector.broker.Producer`.

    A message that cannot be delivered puts its transaction in error, so that `commit` raises `Abort`.
    """

    def __init__(self, producer: ck.Producer, health: _Health) -> None:
        self._producer = producer
        self._health = health
        _insist(producer.init_transactions, "taking the transactional id", ANSWER_S)

    def begin(self) -> None:
        _called("begin", lambda: self._producer.poll(0))
        _called("begin", self._producer.begin_transaction)

    def send(
        self,
        topic: str,
        partition: int | None,
        value: bytes | None,
        key: bytes | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        where = -1 if partition is None else partition
        try:
            _queue(self._producer, topic, value, key, where, headers=headers)
        except KafkaException as exception:
            error = _error_of(exception)
            if error.code() == KafkaError._STATE:
                # An earlier message could not be delivered; librdkafka takes nothing more until the abort.
                raise Abort(f"send to {topic}: {error.str()}") from exception
            raise _meaning(error, f"send to {topic}") from exception

    def commit(self, offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        positions = [ck.TopicPartition(*partition, offset) for partition, offset in offsets.items()]
        if positions:
            self._settle(
                "committing offsets",
                lambda timeout: self._producer.send_offsets_to_transaction(positions, group_metadata, timeout),
            )
        self._settle("commit", self._producer.commit_transaction)
        self._health.reachable = True

    def abort(self) -> None:
        self._settle("abort", self._producer.abort_transaction)

    def _settle(self, doing: str, call: Callable[[float], object]) -> None:
        """`call` until its outcome is known; an unknown outcome is fatal."""
        try:
            _insist(call, doing, OUTCOME_S)
        except (Abort, Fatal):
            raise
        except Recoverable as error:
            raise Fatal(f"{error}: the outcome is not known after {OUTCOME_S:.0f} s") from error

    def close(self) -> None:
        """Let go without waiting: what is not committed is aborted by the successor or by its timeout."""
        try:
            self._producer.purge()
            self._producer.flush(0)
        except KafkaException as exception:
            # It was fenced or is dead, which the call that met it has raised.
            _LOG.info("closing a producer: %s", exception)


class KafkaBroker:
    """The way to Kafka; see `detector.broker.Broker`. Raises `ConfigError` for settings that cannot be."""

    def __init__(self, options: KafkaOptions) -> None:
        if "bootstrap.servers" not in options and "metadata.broker.list" not in options:
            raise ConfigError("kafka: bootstrap.servers: wanted host:port of a broker (got nothing)")
        for name, value in options.items():
            if name in _OURS:
                raise ConfigError(f"kafka: {name}: is made from the instance's name and cannot be set (got {value!r})")
            if name in _ALWAYS and str(value).lower() not in _ALWAYS[name]:
                raise ConfigError(
                    f"kafka: {name}: must be {_ALWAYS[name][0]}, exactly once rests on it (got {value!r})"
                )
        self._options = options
        self._health = _Health()
        self._admin: AdminClient = self._client(AdminClient, {})
        self._plain: ck.Producer | None = None
        self._readers: list[ck.Consumer] = []

    @property
    def reachable(self) -> bool:
        return self._health.reachable

    def _client(self, kind: Callable[..., Client], *layers: Mapping[str, str | int | bool]) -> Client:
        """A client of librdkafka with our settings, then the user's, then the last layer's."""
        settings: dict[str, Any] = dict(_CLIENT)
        for layer in layers[:-1]:
            settings |= layer
        settings |= self._options
        settings |= layers[-1]
        try:
            return kind(settings | {"error_cb": self._health.on_error}, logger=_LOG)
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigError(f"kafka: wanted settings that librdkafka takes ({error})") from error

    def consumer(self, group: str, instance: str, *, earliest: bool = False) -> KafkaConsumer:
        member = dict(_MEMBER)
        if self._options.get("group.protocol") == "consumer":
            # Under KIP-848 the broker holds these three and librdkafka refuses them.
            for name in ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"):
                del member[name]
        identity = {"group.id": group, "group.instance.id": instance}
        return KafkaConsumer(self._client(ck.Consumer, _FETCH, member, identity), self._health, earliest)

    def producer(self, transactional_id: str) -> KafkaProducer:
        transactions = {"transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS}
        identity = {"transactional.id": transactional_id}
        producer = self._client(ck.Producer, _SEND, transactions, identity)
        return KafkaProducer(producer, self._health)

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        asked = ck.ConsumerGroupTopicPartitions(group, [ck.TopicPartition(*where) for where in partitions])
        futures = self._admin.list_consumer_group_offsets([asked], require_stable=True, request_timeout=ANSWER_S)
        doing = f"reading committed offsets of {group}"
        return _called(doing, lambda: _offsets(futures[group].result().topic_partitions))

    def publish(
        self, topic: str, values: Sequence[tuple[bytes | None, bytes | None]], partition: int | None = None
    ) -> None:
        if self._plain is None:
            self._plain = self._client(ck.Producer, _SEND, {})
        producer = self._plain
        where = -1 if partition is None else partition
        failed: list[KafkaError] = []

        def on_delivery(error: KafkaError | None, _: ck.Message) -> None:
            if error is not None:
                failed.append(error)

        doing = f"publish to {topic}"
        for key, value in values:
            _called(doing, partial(_queue, producer, topic, value, key, where, on_delivery=on_delivery))
        deadline = time.monotonic() + OUTCOME_S
        while _called(doing, lambda: producer.flush(STEP_S)) and time.monotonic() < deadline:
            pass
        if failed:
            raise _meaning(failed[0], f"publish to {topic} ({len(failed)} of {len(values)} failed)")
        if len(producer):
            producer.purge()
            raise Recoverable(f"publish to {topic}: {len(producer)} messages not stored after {OUTCOME_S:.0f} s")

    def read(self, partition: TopicPartition, start: int, stop: int) -> Iterator[Message]:
        stop = min(stop, self.watermarks(partition)[1])
        if start >= stop:
            return
        reader = self._readers.pop() if self._readers else self._reader()
        try:
            reader.assign([ck.TopicPartition(*partition, start)])
            yield from _between(reader, partition, start, stop)
        finally:
            reader.unassign()
            self._readers.append(reader)

    def _reader(self) -> ck.Consumer:
        """A consumer that never joins the group it must name."""
        reading: dict[str, str | int | bool] = {
            "group.id": "detector-reader",
            # The end of the committed log is announced: behind the last message only markers may stand.
            "enable.partition.eof": True,
            # A start that retention has passed moves to the first message kept.
            "auto.offset.reset": "earliest",
            # At the log's end the broker waits this long for more before it answers.
            "fetch.wait.max.ms": 10,
        }
        return self._client(ck.Consumer, _FETCH, reading)

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        # A consumer's question would take its isolation level along, and stop short of an open transaction.
        at = ck.TopicPartition(*partition)
        doing = f"watermarks of {partition.topic}/{partition.partition}"
        how = {"isolation_level": ck.IsolationLevel.READ_UNCOMMITTED, "request_timeout": ANSWER_S}
        first = self._admin.list_offsets({at: OffsetSpec.earliest()}, **how)[at]  # type: ignore[no-untyped-call]
        last = self._admin.list_offsets({at: OffsetSpec.latest()}, **how)[at]  # type: ignore[no-untyped-call]
        return _called(doing, lambda: (first.result().offset, last.result().offset))

    def partitions(self) -> dict[str, int]:
        metadata = self._metadata()
        return {
            name: len(topic.partitions)
            for name, topic in metadata.topics.items()
            if topic.error is None and not name.startswith("__")
        }

    def _metadata(self) -> Any:
        try:
            metadata = self._admin.list_topics(timeout=STEP_S)
        except KafkaException as exception:
            self._health.reachable = False
            raise _meaning(_error_of(exception), "asking for topics") from exception
        self._health.reachable = True
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
                error = _error_of(exception)
                if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise _meaning(error, f"creating topic {name}") from exception
        self._until(lambda topics: all(spec.name in topics for spec in specs), "waiting for the new topics")
        return made

    def delete(self, topics: Sequence[str]) -> None:
        for name, future in self._admin.delete_topics(list(topics)).items():
            _called(f"deleting topic {name}", future.result)
        self._until(lambda known: not any(name in known for name in topics), "waiting until the topics are gone")

    def _until(self, done: Callable[[dict[str, int]], bool], doing: str) -> None:
        deadline = time.monotonic() + ANSWER_S
        while not done(self.partitions()):
            if time.monotonic() > deadline:
                raise Recoverable(f"{doing}: not so after {ANSWER_S:.0f} s")
            time.sleep(0.05)

    def identity(self, topic: str) -> str:
        cluster = self._metadata().cluster_id
        futures = self._admin.describe_topics(ck.TopicCollection([topic]))
        return f"{cluster}/{_called(f'describing topic {topic}', futures[topic].result).topic_id}"

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        if self._plain is not None:
            self._plain.flush(STEP_S)


def _queue(producer: ck.Producer, *message: Any, **more: Any) -> None:
    """`producer.produce`, waiting while the queue is full."""
    while True:
        try:
            producer.produce(*message, **more)
        except BufferError:
            producer.poll(0.1)
        else:
            return


def _plain(partitions: list[ck.TopicPartition]) -> list[TopicPartition]:
    return [TopicPartition(partition.topic, partition.partition) for partition in partitions]


def _offsets(answers: list[ck.TopicPartition]) -> dict[TopicPartition, int | None]:
    """Committed offsets by partition, None where there is none; raises the first error among them."""
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    names = _plain(answers)
    return {name: answer.offset if answer.offset >= 0 else None for name, answer in zip(names, answers, strict=True)}


def _between(reader: ck.Consumer, partition: TopicPartition, start: int, stop: int) -> Iterator[Message]:
    """The messages of `[start, stop)` that `reader`, assigned at `start`, is given."""
    doing = f"reading {partition.topic}/{partition.partition} from {start} to {stop}"
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < OUTCOME_S:
        batch = reader.consume(1_000, 0.05)
        for message in batch:
            error, offset = message.error(), cast(int, message.offset())
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                meaning = _meaning(error, doing)
                if type(meaning) is not Recoverable:
                    raise meaning
                _LOG.warning("%s", meaning)
                continue
            if error is None and start <= offset < stop:
                yield cast(Message, message)
            # An end of partition carries the next offset to read, past all markers; a message its own.
            if offset >= (stop if error is not None else stop - 1):
                return
        if batch:
            quiet_since = time.monotonic()
    raise Recoverable(f"{doing}: nothing more for {OUTCOME_S:.0f} s: is a transaction left open?")
