"""Transactions: outputs and offsets together, or neither; and what an unfinished one holds up."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing

import confluent_kafka as ck
import pytest

from detector.broker import Broker, Producer, TopicPartition
from detector.broker.kafka import KafkaProducer
from detector.broker.memory import MemoryBroker, MemoryProducer
from detector.broker.simulated import TRANSACTION_MS, SimulatedBroker
from detector.errors import Abort, Fenced
from tests.broker.contract.logs import commit, everything, numbered, send
from tests.broker.groups import Member, eventually, until


def test_a_transaction_is_visible_after_its_commit_only(
    broker: Broker, make: Callable[..., str], producer: Producer, name: str
) -> None:
    """To members of groups as to readers."""
    topic = make()
    member = Member(broker, name, topic)
    until(lambda: len(member.held) == 1, member)
    send(producer, topic, b"1", b"2")
    assert member.poll(wait_s=0.3) == []
    producer.commit({}, None)
    assert member.until(2) == [b"1", b"2"]
    assert everything(broker, topic) == [b"1", b"2"]
    member.consumer.close()


def test_what_was_aborted_is_never_visible(
    broker: Broker, make: Callable[..., str], producer: Producer, name: str
) -> None:
    """And what comes after it is."""
    topic = make()
    commit(producer, topic, b"1")
    send(producer, topic, b"2", b"3")
    producer.abort()
    commit(producer, topic, b"4")
    member = Member(broker, name, topic)
    assert member.until(2) == [b"1", b"4"]
    assert everything(broker, topic) == [b"1", b"4"]
    member.consumer.close()


def test_nothing_is_seen_past_a_transaction_that_is_open(
    broker: Broker, make: Callable[..., str], producer: Producer, name: str
) -> None:
    """Readers keep the log's order, so that a younger transaction waits for an older one."""
    topic = make()
    send(producer, topic, b"1")
    producer.send(topic, 0, b"2")
    with closing(broker.producer(f"{name}-2")) as younger:
        # Kafka's messages leave when a transaction is committed or a batch is due.
        time.sleep(0.1)
        commit(younger, topic, b"3")
        member = Member(broker, name, topic)
        until(lambda: len(member.held) == 1, member)
        assert member.poll(wait_s=0.3) == []
        producer.commit({}, None)
        assert member.until(3) == [b"1", b"2", b"3"]
        member.consumer.close()


def test_offsets_and_outputs_are_committed_together(
    broker: Broker, make: Callable[..., str], producer: Producer, name: str
) -> None:
    """Neither is there before the commit; after an abort neither ever is."""
    source, sink = make(1, "in"), make(1, "out")
    at = TopicPartition(source, 0)
    broker.publish(source, numbered(0, 10), 0)
    member = Member(broker, name, source)
    member.until(10)
    metadata = member.consumer.group_metadata()
    assert member.consumer.committed([at]) == {at: None}
    send(producer, sink, b"lost")
    producer.abort()
    assert member.consumer.committed([at]) == {at: None}
    send(producer, sink, b"kept")
    producer.commit({at: 10}, metadata)
    assert member.consumer.committed([at]) == {at: 10}
    assert broker.committed(name, [at]) == {at: 10}
    assert everything(broker, sink) == [b"kept"]
    member.consumer.close()


def send_offsets(producer: Producer, offsets: Mapping[TopicPartition, int], metadata: object) -> None:
    """The first half of a commit: as if the process stood still, or died, in the middle of it."""
    if isinstance(producer, KafkaProducer):
        positions = [ck.TopicPartition(*at, offset) for at, offset in offsets.items()]
        producer._producer.send_offsets_to_transaction(positions, metadata, 10)
    elif isinstance(producer, MemoryProducer):
        producer._offer(offsets, metadata)


def wait_out_a_transaction(broker: Broker) -> None:
    """Longer than a transaction may be open; the tests' Kafka looks for such ones every four seconds."""
    if isinstance(broker, SimulatedBroker):
        broker.advance(TRANSACTION_MS)
    else:
        time.sleep(TRANSACTION_MS / 1000 + 6)


def test_a_transaction_that_stays_open_is_aborted_by_the_broker(
    broker: Broker, make: Callable[..., str], producer: Producer, request: pytest.FixtureRequest
) -> None:
    """A dead process holds readers up for so long; one that only stood still is fenced when it wakes."""
    if type(broker) is MemoryBroker:
        request.applymarker(pytest.mark.xfail(strict=True, reason="only a successor ends a transaction: no clock"))
    topic = make()
    send(producer, topic, b"left open")
    eventually(lambda: broker.watermarks(TopicPartition(topic, 0))[1] == 1)
    if type(broker) is not MemoryBroker:
        wait_out_a_transaction(broker)
    broker.publish(topic, [(None, b"after")], 0)
    with pytest.raises((Abort, Fenced)):
        producer.commit({}, None)
    assert everything(broker, topic) == [b"after"]


def test_committed_waits_for_offsets_of_a_transaction_that_is_not_decided(
    broker: Broker, make: Callable[..., str], name: str
) -> None:
    """Whoever takes a partition over learns what became of its last holder's transaction: here a successor ends it."""
    source = make(1, "in")
    at = TopicPartition(source, 0)
    broker.publish(source, numbered(0, 10), 0)
    member = Member(broker, name, source)
    member.until(10)
    metadata = member.consumer.group_metadata()
    first, second = broker.producer(f"{name}-1"), broker.producer(f"{name}-2")
    second.begin()
    second.commit({at: 3}, metadata)
    first.begin()
    send_offsets(first, {at: 7}, metadata)
    broker.producer(f"{name}-1").close()
    assert broker.committed(name, [at]) == {at: 3}
    first.close()
    second.close()
    member.consumer.close()


def test_offsets_that_were_accepted_are_committed_though_the_group_has_changed_since(
    broker: Broker, make: Callable[..., str], producer: Producer, name: str
) -> None:
    """The generation is asked for when offsets are sent, not when the transaction ends: the next holder must wait."""
    source = make(2, "in")
    at = TopicPartition(source, 0)
    for partition in (0, 1):
        broker.publish(source, numbered(0, 5), partition)
    first = Member(broker, name, source, "a-0")
    first.until(10)
    producer.begin()
    send_offsets(producer, {at: 5}, first.consumer.group_metadata())
    second = Member(broker, name, source, "a-1", starts={at: 0, TopicPartition(source, 1): 0})
    until(lambda: len(first.held) == 1 and len(second.held) == 1, first, second)
    producer.commit({}, None)
    assert broker.committed(name, [at]) == {at: 5}
    second.consumer.close()
    first.consumer.close()


def test_a_successor_fences_a_producer_and_ends_its_transaction(
    broker: Broker, make: Callable[..., str], name: str
) -> None:
    """What the predecessor left open is aborted; it can do nothing more."""
    topic = make()
    old = broker.producer(name)
    commit(old, topic, b"old")
    send(old, topic, b"dangling")
    new = broker.producer(name)
    commit(new, topic, b"new")
    with pytest.raises(Fenced):
        old.commit({}, None)
    assert everything(broker, topic) == [b"old", b"new"]
    old.close()
    new.close()
