"""What librdkafka answers: how long it is waited for, and which of our errors it is."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from detector.broker import TopicPartition
from detector.broker.kafka.refusal import is_refusal
from detector.errors import Abort, DetectorError, Fatal, Fenced, Recoverable
from detector.logs import Event, said

_LOG: Final = logging.getLogger("detector.broker.kafka")

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


def error_of(exception: KafkaException) -> KafkaError:
    """What librdkafka says of it."""
    return cast(KafkaError, exception.args[0])


def meaning_of(error: KafkaError, doing: str) -> DetectorError:
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


def called(doing: str, call: Callable[[], T]) -> T:
    """What `call` returns; what it raises, as ours."""
    try:
        return call()
    except KafkaException as exception:
        raise meaning_of(error_of(exception), doing) from exception
    except SystemError as exception:
        # A fatal error is raised among callbacks, and those that follow run on with it (confluent-kafka-python #865).
        if not isinstance(exception.__cause__, KafkaException):
            raise
        raise meaning_of(error_of(exception.__cause__), doing) from exception


def asked(look: Callable[[], object], doing: str, ask: Callable[[], T]) -> T:
    """The answer to a question, which is asked again and again for `ANSWER_S` while leaders change.

    `look` asks the same client for topics: else it would ask with the leader epoch that it knows, for ever.
    """
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            return called(doing, ask)
        except Recoverable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
            with suppress(KafkaException, Recoverable):
                look()


def insist(call: Callable[[float], object], doing: str, limit_s: float) -> None:
    """`call(timeout)` until it is done: an attempt that can be made again is made again for `limit_s` at most."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            called(doing, lambda: call(STEP_S))
        except Recoverable as error:
            if type(error) is not Recoverable or time.monotonic() > deadline:
                raise
        else:
            return


class Health:
    """Whether the broker answers, as far as the clients of this process know."""

    def __init__(self) -> None:
        self.reachable = True
        self.refusal: tuple[int, str] | None = None
        """librdkafka's code and words, where a broker has let us in never yet."""
        self.let_in = False
        """Whether a broker has answered: what it refuses afterwards is news."""

    def on_error(self, error: KafkaError) -> None:
        """librdkafka's error callback: news and no exception, for it goes on trying by itself."""
        if not self.let_in and is_refusal(error.code(), error.str()):
            self.refusal = error.code(), error.str()
            return  # it ends the process, and is said then
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION):
            if self.reachable:
                _LOG.warning("no broker answers: %s (%s)", error.str(), error.name(), extra=said(Event.BROKER_AWAY))
            self.reachable = False
        elif error.code() != KafkaError._TRANSPORT:
            _LOG.warning("%s (%s)", error.str(), error.name(), extra=said(Event.KAFKA))

    def on_answer(self) -> None:
        """A call has succeeded."""
        if not self.reachable:
            _LOG.info("the broker answers again", extra=said(Event.BROKER_BACK))
        self.let_in, self.refusal = True, None
        self.reachable = True


def names_of(partitions: list[ck.TopicPartition]) -> list[TopicPartition]:
    """The partitions, without offsets."""
    return [TopicPartition(partition.topic, partition.partition) for partition in partitions]


def _offsets_of(answers: list[ck.TopicPartition]) -> dict[TopicPartition, int | None]:
    """Committed offsets by partition, None where there is none; raises the first error among them."""
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    names = names_of(answers)
    return {name: answer.offset if answer.offset >= 0 else None for name, answer in zip(names, answers, strict=True)}


def ask_committed(
    consumer: ck.Consumer, partitions: Sequence[TopicPartition], doing: str
) -> dict[TopicPartition, int | None]:
    """Committed offsets, None where there is none; waits while a transaction with offsets is pending on them."""
    wanted = [ck.TopicPartition(*where) for where in partitions]
    try:
        return asked(
            lambda: consumer.list_topics(timeout=STEP_S), doing, lambda: _offsets_of(consumer.committed(wanted, STEP_S))
        )
    except Recoverable as error:
        if type(error) is not Recoverable:
            raise
        raise Recoverable(
            f"{error}; asked for {ANSWER_S:.0f} s. Is the broker well, then a transaction was left open on them, which "
            "ends by itself in 20 s at most; should it not, `kafka-transactions.sh find-hanging` shows it and `abort` "
            "ends it"
        ) from error
