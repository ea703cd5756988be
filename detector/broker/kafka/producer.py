"""A transactional producer."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from detector.broker import TopicPartition
from detector.broker.kafka.answers import (
    ANSWER_S,
    OUTCOME_S,
    Health,
    called,
    error_of,
    insist,
    meaning_of,
)
from detector.errors import Abort, Fatal, Recoverable
from detector.logs import Event, said

_LOG: Final = logging.getLogger("detector.broker.kafka")


class KafkaProducer:
    """A transactional producer; see `detector.broker.Producer`.

    A message that cannot be delivered puts its transaction in error, so that `commit` raises `Abort`.
    """

    def __init__(self, producer: ck.Producer, health: Health) -> None:
        self._producer = producer
        self._health = health
        insist(producer.init_transactions, "taking the transactional id", ANSWER_S)

    def begin(self) -> None:
        called("begin", lambda: self._producer.poll(0))
        called("begin", self._producer.begin_transaction)

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
            queue(self._producer, topic, value, key, where, headers=headers)
        except KafkaException as exception:
            error = error_of(exception)
            if error.code() == KafkaError._STATE:
                # An earlier message could not be delivered; librdkafka takes nothing more until the abort.
                raise Abort(f"send to {topic}: {error.str()}") from exception
            raise meaning_of(error, f"send to {topic}") from exception

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
            insist(call, doing, OUTCOME_S)
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
            _LOG.info("closing a producer: %s", exception, extra=said(Event.KAFKA))


def queue(producer: ck.Producer, *message: Any, **more: Any) -> None:
    """`producer.produce`, waiting while the queue is full."""
    while True:
        try:
            producer.produce(*message, **more)
        except BufferError:
            producer.poll(0.1)
        else:
            return
