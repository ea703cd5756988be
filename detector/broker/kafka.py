"""The broker that is Apache Kafka: the one file that imports confluent_kafka.

    KafkaConsumer   static member, cooperative-sticky, read_committed; commits only through a transaction
    KafkaProducer   transactional; its transactional id is its identity
    KafkaBroker     makes both, reads single partitions without a group, and looks after topics

What librdkafka reports becomes one of our errors by `_meaning`. The user's settings pass through
to librdkafka; those that the guarantees rest on (DESIGN section 6) are refused.
"""

import atexit
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from detector.broker import Assignment, Message, TopicPartition, TopicSpec
from detector.broker.options import CLIENT, FETCH, READ, SEND, TRANSACTIONS, Options, check, member_options
from detector.config import KafkaOptions
from detector.errors import Abort, ConfigError, DetectorError, Fatal, Fenced, Recoverable

_LOG: Final = logging.getLogger(__name__)
_LIBRDKAFKA: Final = logging.getLogger(f"{__name__}.librdkafka")
# A refused connection, several a second while a broker is away: the error callback says once that it is.
_LIBRDKAFKA.addFilter(lambda record: not record.getMessage().startswith("FAIL ["))

T = TypeVar("T")

ANSWER_S: Final = 25.0
"""Longest wait for one answer (metadata, offsets): above the 20 s within which the coordinator ends a
dead process's transaction, for `committed` waits while one is pending. It times out after 10 s, and a
broker looks for such every 10 s (transaction.abort.timed.out.transaction.cleanup.interval.ms)."""
OUTCOME_S: Final = 60.0
"""Longest wait for the outcome of a transaction. Then it is unknown and the process must end; a
restarting broker is back well within it."""
STEP_S: Final = 5.0
"""One attempt of those: Python's signal handlers run between two attempts."""
LEAVE_S: Final = 1.0
"""Longest wait for a member's last partitions to be let go of, before its session timeout has to do."""
DROWSY_S: Final = 1.0
"""How long librdkafka's broker threads sleep when they have nothing to fetch."""
DROWSY_POLL_S: Final = 0.02
WAKE_S: Final = 0.02
"""The answer is of no interest; that there was a question is."""
PROBE_EVERY_S: Final = 1.0
"""How often an idle consumer asks a broker that went away whether it is back."""

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
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_LEADER_EPOCH,
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
    fenced = error.code() in _FENCED or (error.code() == KafkaError._FATAL and _FENCED_TEXT in error.str())
    if error.fatal() or not error.txn_requires_abort():
        if fenced:
            return Fenced(text)
        if not error.fatal() and (error.retriable() or error.code() in _AWAY):
            return Recoverable(text)
        return Fatal(text)
    # Offsets of a static member may be refused as fenced when it lost its place to nobody but itself, rejoining after
    # its session had timed out. Where it was another process, the next poll is fenced.
    return Abort(text)


def _called(doing: str, call: Callable[[], T]) -> T:
    """What `call` returns; what it raises, as ours."""
    try:
        return call()
    except KafkaException as exception:
        raise _meaning(_error_of(exception), doing) from exception


def _asked(client: ck.Consumer | AdminClient, doing: str, ask: Callable[[], T]) -> T:
    """The answer to a question that `client` asks, again and again for `ANSWER_S` while leaders change."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            return _called(doing, ask)
        except Recoverable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
            # Or the admin client would ask with the leader epoch it knows, for ever.
            with suppress(KafkaException):
                client.list_topics(timeout=STEP_S)


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
            if self.reachable:
                _LOG.warning("no broker answers: %s (%s)", error.str(), error.name())
            self.reachable = False
        elif error.code() != KafkaError._TRANSPORT:
            _LOG.warning("%s (%s)", error.str(), error.name())

    def on_answer(self) -> None:
        if not self.reachable:
            _LOG.info("the broker answers again")
        self.reachable = True


class KafkaConsumer:
    """A member of a consumer group; see `detector.broker.Consumer`."""

    def __init__(self, consumer: ck.Consumer, health: _Health, earliest: bool) -> None:
        self._consumer = consumer
        self._health = health
        self._earliest = earliest
        self._failure: DetectorError | None = None
        self._abandoned = False
        # librdkafka may hang for ever in destroying a consumer that was not closed.
        atexit.register(self._abandon)
        self._taken_away: set[TopicPartition] = set()
        self._kept_back: set[TopicPartition] = set()
        """The group's gift to us, of which librdkafka does not know that we accept it: so it fetches nothing."""
        self._paused: set[TopicPartition] = set()
        self._drowsy_until = 0.0
        self._probed_at = 0.0

    def subscribe(self, topics: Sequence[str], assignment: Assignment) -> None:
        def on_assign(_: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            if partitions:
                self._guard("taking", partitions, lambda: self._take(partitions, assignment))

        def on_revoke(_: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            self._drop("giving back", partitions, assignment.revoked)

        def on_lost(_: ck.Consumer, partitions: list[ck.TopicPartition]) -> None:
            self._drop("losing", partitions, assignment.lost)

        self._consumer.subscribe(list(topics), on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)

    def _take(self, partitions: list[ck.TopicPartition], assignment: Assignment) -> None:
        names = _plain(partitions)
        offsets = dict(assignment.assigned(names))
        if self._earliest:
            committed = self.committed([name for name in names if name not in offsets])
            offsets.update({name: ck.OFFSET_BEGINNING for name, offset in committed.items() if offset is None})
        started = []
        for name, partition in zip(names, partitions, strict=True):
            offset = offsets.get(name, ck.OFFSET_INVALID)
            if offset is None:
                self._kept_back.add(name)
            else:
                partition.offset = offset
                started.append(partition)
        self._consumer.incremental_assign(started)
        self._drowse()

    def _drop(
        self,
        doing: str,
        partitions: list[ck.TopicPartition],
        tell: Callable[[Sequence[TopicPartition]], None],
    ) -> None:
        """These are no longer ours: librdkafka is told to forget those that it was told of."""
        names = _plain(partitions)
        self._taken_away.update(names)
        self._guard(doing, partitions, lambda: tell(names))
        known = [p for name, p in zip(names, partitions, strict=True) if name not in self._kept_back]
        self._kept_back.difference_update(names)
        paused = [p for name, p in zip(names, partitions, strict=True) if name in self._paused]
        self._paused.difference_update(names)
        try:
            # A pause would outlive the assignment, and the next one never be read.
            self._consumer.resume(paused)
            # Even at the end of the process: else confluent-kafka does it, with those that librdkafka does not know.
            self._consumer.incremental_unassign(known)
            self._drowse()
        except KafkaException as exception:
            self._failure = self._failure or _meaning(_error_of(exception), doing)

    def _guard(self, doing: str, partitions: list[ck.TopicPartition], call: Callable[[], None]) -> None:
        """Keep what goes wrong in a callback for `poll` to raise.

        librdkafka completes the change of assignment in any case, so that the consumer no longer
        knows where it stands: whatever went wrong, this member cannot go on.
        """
        if self._abandoned:
            return
        try:
            call()
        except Fatal as error:
            self._failure = error
        except Exception as error:
            names = ", ".join(f"{p.topic}/{p.partition}" for p in partitions)
            self._failure = Fatal(f"{doing} {names}: {error}")
            self._failure.__cause__ = error

    def poll(self, most: int, wait_s: float) -> list[Message]:
        until = time.monotonic() + wait_s
        messages = self._consume(1, min(wait_s, DROWSY_POLL_S))
        while not messages and (left_s := until - time.monotonic()) > 0:
            if time.monotonic() < self._drowsy_until:
                self._wake()
                left_s = min(left_s, DROWSY_POLL_S)
            messages = self._consume(1, left_s)
        if not messages:
            self._probe()
            return []
        self._health.on_answer()
        self._taken_away.clear()
        if most > 1:
            try:
                more = self._consume(most - 1, 0)
            except Recoverable as error:  # what the first call gave would be lost with it
                _LOG.warning("%s", error)
                more = []
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
                self._health.on_answer()

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        if not partitions:
            return {}
        asked = [ck.TopicPartition(*where) for where in partitions]
        return _asked(
            self._consumer, "reading committed offsets", lambda: _offsets(self._consumer.committed(asked, STEP_S))
        )

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        for where, offset in offsets.items():
            target = ck.TopicPartition(*where, offset)
            _called(f"seek to {where.topic}/{where.partition}@{offset}", partial(self._consumer.seek, target))

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        # A seek in a paused partition would do the same, were it not undone by the answer to a question for a first
        # offset that was still under way (seen with librdkafka 2.16.0: read on from the beginning again).
        for at, offset in offsets.items():
            if at not in self._kept_back:
                raise Fatal(f"start of {at.topic}/{at.partition}@{offset}: the partition is not kept back")
        self._kept_back.difference_update(offsets)
        started = [ck.TopicPartition(*at, offset) for at, offset in offsets.items()]
        _called("start of partitions", lambda: self._consumer.incremental_assign(started))
        self._drowse()

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        running = [at for at in partitions if at not in self._kept_back]
        self._paused.update(running)
        known = [ck.TopicPartition(*at) for at in running]
        _called("pause of partitions", lambda: self._consumer.pause(known))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        known = [ck.TopicPartition(*at) for at in self._paused.intersection(partitions)]
        self._paused.difference_update(partitions)
        _called("resuming partitions", lambda: self._consumer.resume(known))
        self._drowse()
        self._wake()

    def _drowse(self) -> None:
        """Whatever stood still a moment ago, in librdkafka too, may be waited for up to a second from now on.

        It lets all partitions stand still while some come or go, and a broker thread that has nothing to fetch
        sleeps for a second and is not told when it has again (0.87 s from a resume to the next message, 0.003 s
        with a question asked of that broker; librdkafka 2.16.0).
        """
        self._drowsy_until = time.monotonic() + DROWSY_S

    def _wake(self) -> None:
        """Every broker that we read from is asked something: that wakes the thread that reads from it."""
        try:
            for at in self._consumer.assignment():
                self._consumer.get_watermark_offsets(at, timeout=WAKE_S)
        except KafkaException as exception:
            _LOG.debug("broker: not woken: %s", exception)

    def group_metadata(self) -> object:
        return self._consumer.consumer_group_metadata()

    def close(self, *, leave: bool = False) -> None:
        atexit.unregister(self._abandon)
        failed_before = self._failure
        if leave:
            self._leave()
        self._consumer.close()
        if self._failure is not None and self._failure is not failed_before:
            raise self._failure

    def _leave(self) -> None:
        """The group is told that this member is gone for good; in vain under KIP-848, whose static members all return.

        A static member's `close` never says so, `unsubscribe` does. The member's id is gone when it has.
        """
        self._consumer.unsubscribe()
        deadline = time.monotonic() + LEAVE_S
        while self._consumer.memberid() and time.monotonic() < deadline:
            self._consumer.consume(1, 0.01)

    def _abandon(self) -> None:
        """At the end of a process that did not close: nobody is told any more."""
        self._abandoned = True
        self._consumer.close()


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
        self._health.on_answer()

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
        check(options)
        self._options = options
        self._health = _Health()
        self._admin: AdminClient = self._client(AdminClient, {})
        self._plain: ck.Producer | None = None
        self._readers: list[ck.Consumer] = []
        self._observers: dict[str, list[ck.Consumer]] = {}
        """Idle ones by group, as readers: whoever needs one takes it out, so that threads do not meet in it."""

    @property
    def reachable(self) -> bool:
        return self._health.reachable

    def _client(self, kind: Callable[..., T], *layers: Options) -> T:
        """A client of librdkafka with our settings, then the user's, then the last layer's."""
        settings: dict[str, Any] = dict(CLIENT)
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
            self._client(ck.Consumer, FETCH, member_options(self._options), identity), self._health, earliest
        )

    def producer(self, transactional_id: str) -> KafkaProducer:
        identity = {"transactional.id": transactional_id}
        producer = self._client(ck.Producer, SEND, TRANSACTIONS, identity)
        return KafkaProducer(producer, self._health)

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int | None]:
        # A consumer asks, though it never joins: the admin client's answer to a coordinator that is
        # still loading is a segmentation fault (librdkafka issue 5040).
        idle = self._observers.setdefault(group, [])
        observer = _spare(idle) or self._client(ck.Consumer, FETCH, {"group.id": group})
        asked = [ck.TopicPartition(*where) for where in partitions]
        doing = f"reading committed offsets of {group}"
        try:
            return _asked(observer, doing, lambda: _offsets(observer.committed(asked, STEP_S)))
        finally:
            idle.append(observer)

    def publish(
        self, topic: str, values: Sequence[tuple[bytes | None, bytes | None]], partition: int | None = None
    ) -> None:
        if self._plain is None:
            self._plain = self._client(ck.Producer, SEND, {})
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
        reader = _spare(self._readers) or self._client(ck.Consumer, FETCH, READ)
        try:
            reader.assign([ck.TopicPartition(*partition, start)])
            yield from _between(reader, partition, start, stop)
        finally:
            reader.unassign()
            self._readers.append(reader)

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        # A consumer's question would take its isolation level along, and stop short of an open transaction.
        how = {"isolation_level": ck.IsolationLevel.READ_UNCOMMITTED, "request_timeout": STEP_S}
        at = ck.TopicPartition(*partition)

        def ask() -> tuple[int, int]:
            first = self._admin.list_offsets({at: OffsetSpec.earliest()}, **how)[at]  # type: ignore[no-untyped-call]
            last = self._admin.list_offsets({at: OffsetSpec.latest()}, **how)[at]  # type: ignore[no-untyped-call]
            return first.result().offset, last.result().offset

        return _asked(self._admin, f"watermarks of {partition.topic}/{partition.partition}", ask)

    def truncate(self, partition: TopicPartition, offset: int) -> None:
        """Drop what lies before `offset`, as retention would."""
        at = ck.TopicPartition(*partition, offset)
        for future in self._admin.delete_records([at], request_timeout=STEP_S).values():
            _called(f"truncating {partition.topic}/{partition.partition}", future.result)

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
        def ask() -> str:
            described = self._admin.describe_topics(ck.TopicCollection([topic]), request_timeout=STEP_S)[topic]
            return f"{self._metadata().cluster_id}/{described.result().topic_id}"

        return _asked(self._admin, f"describing topic {topic}", ask)

    def close(self) -> None:
        for idle in (self._readers, *self._observers.values()):
            while client := _spare(idle):
                client.close()
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


def _spare(idle: list[ck.Consumer]) -> ck.Consumer | None:
    """One of the idle ones, which is the caller's now; another thread may have taken the last."""
    try:
        return idle.pop()
    except IndexError:
        return None


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
