"""A member of a consumer group, and what librdkafka must be told for it to be quick."""

import atexit
import ctypes
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, cast

import confluent_kafka as ck
from confluent_kafka import KafkaException

from detector.broker import Assignment, Message, TopicPartition
from detector.broker.kafka.answers import (
    Health,
    ask_committed,
    called,
    error_of,
    meaning_of,
    names_of,
)
from detector.errors import DetectorError, Fatal, Recoverable
from detector.logs import Event, said

_LOG: Final = logging.getLogger("detector.broker.kafka")

LEAVE_S: Final = 1.0
"""Longest wait for a member's last partitions to be let go of, before its session timeout has to do."""
DROWSY_S: Final = 1.0
"""How long librdkafka's broker threads sleep when they have nothing to fetch."""
DROWSY_POLL_S: Final = 0.02
WAKE_S: Final = 0.02
"""The answer is of no interest; that there was a question is."""
PROBE_EVERY_S: Final = 1.0
"""How often an idle consumer asks a broker that went away whether it is back."""


class KafkaConsumer:
    """A member of a consumer group; see `detector.broker.Consumer`."""

    def __init__(self, consumer: ck.Consumer, health: Health, earliest: bool) -> None:
        self._consumer = consumer
        self._health = health
        self._earliest = earliest
        self._failure: DetectorError | None = None
        # librdkafka may hang for ever in destroying a consumer that was not closed, and in closing one that joins.
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
        names = names_of(partitions)
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
        names = names_of(partitions)
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
            self._failure = self._failure or meaning_of(error_of(exception), doing)

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
                _LOG.warning("%s", error, extra=said(Event.KAFKA))
                more = []
            # A rebalance between the two calls takes back what the first one gave.
            if self._taken_away:
                messages = [m for m in messages if TopicPartition(m.topic(), m.partition()) not in self._taken_away]
            messages += more
        return messages

    def _consume(self, most: int, wait_s: float) -> list[Message]:
        batch = called("poll", lambda: self._consumer.consume(most, wait_s))
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
            meaning = meaning_of(error, f"poll of {message.topic()}/{message.partition()}")
            if alone or isinstance(meaning, Fatal):
                raise meaning
            _LOG.warning("%s", meaning, extra=said(Event.KAFKA))

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
        return ask_committed(self._consumer, partitions, "reading committed offsets")

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        for where, offset in offsets.items():
            target = ck.TopicPartition(*where, offset)
            called(f"seek to {where.topic}/{where.partition}@{offset}", partial(self._consumer.seek, target))

    def start(self, offsets: Mapping[TopicPartition, int]) -> None:
        # A seek in a paused partition would do the same, were it not undone by the answer to a question for a first
        # offset that was still under way (seen with librdkafka 2.16.0: read on from the beginning again).
        for at, offset in offsets.items():
            if at not in self._kept_back:
                raise Fatal(f"start of {at.topic}/{at.partition}@{offset}: the partition is not kept back")
        self._kept_back.difference_update(offsets)
        started = [ck.TopicPartition(*at, offset) for at, offset in offsets.items()]
        called("start of partitions", lambda: self._consumer.incremental_assign(started))
        self._drowse()

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        running = [at for at in partitions if at not in self._kept_back]
        self._paused.update(running)
        known = [ck.TopicPartition(*at) for at in running]
        called("pause of partitions", lambda: self._consumer.pause(known))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        known = [ck.TopicPartition(*at) for at in self._paused.intersection(partitions)]
        self._paused.difference_update(partitions)
        called("resuming partitions", lambda: self._consumer.resume(known))
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
        """At the end of a process that did not close: nobody is told any more, and nothing is destroyed.

        The group keeps a static member's place whether it is closed or not. A reference that nobody gives back keeps
        the interpreter from destroying the client, whose threads end with the process.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._consumer))
