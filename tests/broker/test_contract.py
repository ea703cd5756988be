"""What every broker does, asked of each: the one in memory, the simulated one that is made of it, and Apache Kafka."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

import confluent_kafka as ck
import pytest

from detector.broker import Broker, Message, Producer, TopicPartition, TopicSpec
from detector.broker.kafka import KafkaBroker, KafkaProducer
from detector.broker.memory import MemoryBroker, MemoryProducer
from detector.broker.simulated import TRANSACTION_MS, SimulatedBroker
from detector.errors import Abort, Fatal, Fenced
from tests.broker.groups import Member, eventually, until

UNLIKE: dict[str, str] = {
    "test_an_idle_poll_waits_and_gives_nothing": "a simulated wait takes no real time",
    "test_a_reader_waits_while_a_transaction_is_open": "while a simulated call waits, no other thread gets to commit",
}
"""What the simulated broker does otherwise, and why."""


@pytest.fixture(params=["memory", "simulated", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Each broker in turn."""
    if request.param == "memory":
        yield MemoryBroker()
    elif request.param == "simulated":
        test = request.node.originalname
        if test in UNLIKE:
            # A thread that commits would outlive its test.
            run = "thread" not in UNLIKE[test]
            request.applymarker(pytest.mark.xfail(run=run, strict=True, reason=UNLIKE[test]))
        yield SimulatedBroker(time.time_ns() // 1_000_000)
    else:
        with closing(KafkaBroker(request.getfixturevalue("kafka").options)) as real:
            yield real


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses: of topics, groups and transactional ids."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[-80:] + hex(time.monotonic_ns())[-6:]


@pytest.fixture
def make(broker: Broker, name: str) -> Callable[..., str]:
    """Makes a topic of the test's own."""

    def make(partitions: int = 1, suffix: str = "in") -> str:
        topic = f"{name}-{suffix}"
        broker.create([TopicSpec(topic, partitions)])
        return topic

    return make


@pytest.fixture
def producer(broker: Broker, name: str) -> Iterator[Producer]:
    with closing(broker.producer(name)) as made:
        yield made


def numbered(start: int, stop: int) -> list[tuple[bytes | None, bytes | None]]:
    """(key, value) pairs whose values count."""
    return [(None, b"%d" % i) for i in range(start, stop)]


def values(messages: Iterator[Message] | Sequence[Message]) -> list[bytes | None]:
    return [message.value() for message in messages]


def send(producer: Producer, topic: str, *sent: bytes, partition: int = 0) -> None:
    """A transaction is open and holds these values."""
    producer.begin()
    for value in sent:
        producer.send(topic, partition, value)


def commit(producer: Producer, topic: str, *sent: bytes, partition: int = 0) -> None:
    """The values are published by one transaction."""
    send(producer, topic, *sent, partition=partition)
    producer.commit({}, None)


def everything(broker: Broker, topic: str, partition: int = 0) -> list[bytes | None]:
    """All committed values of a partition."""
    at = TopicPartition(topic, partition)
    return values(broker.read(at, *broker.watermarks(at)))


def test_messages_of_a_partition_come_in_order(broker: Broker, make: Callable[..., str], name: str) -> None:
    """However many polls it takes, and whatever comes from other partitions between."""
    topic = make(2)
    for start in range(0, 1_000, 100):
        broker.publish(topic, numbered(start, start + 100), start // 100 % 2)
    member = Member(broker, name, topic)
    until(lambda: len(member.seen) == 1_000, member)
    for partition in (0, 1):
        mine = [message for message in member.seen if message.partition() == partition]
        assert [message.offset() for message in mine] == list(range(500))
        assert sorted(int(message.value() or b"") for message in mine) == [int(m.value() or b"") for m in mine]
    member.consumer.close()


def test_a_poll_gives_no_more_than_it_is_asked_for(broker: Broker, make: Callable[..., str], name: str) -> None:
    """And everything comes in the end."""
    topic = make(2)
    broker.publish(topic, numbered(0, 10), 0)
    broker.publish(topic, numbered(0, 10), 1)
    member = Member(broker, name, topic)
    sizes = []
    while len(member.seen) < 20:
        sizes.append(len(member.poll(most=3)))
    assert max(sizes) <= 3
    member.consumer.close()


def test_an_idle_poll_waits_and_gives_nothing(broker: Broker, make: Callable[..., str], name: str) -> None:
    """It does not spin."""
    member = Member(broker, name, make())
    until(lambda: len(member.held) == 1, member)
    began = time.monotonic()
    assert member.poll(wait_s=0.2) == []
    assert 0.15 < time.monotonic() - began < 2
    member.consumer.close()


def test_a_message_keeps_key_value_headers_and_has_a_time(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """A value of None is a tombstone and not an empty value."""
    topic = make()
    before_ms = time.time_ns() // 1_000_000 - 1_000
    producer.begin()
    producer.send(topic, 0, b"\x00\xff", key=b"k", headers=[("schema", b"row-1"), ("names", b"{}")])
    producer.send(topic, 0, None, key=b"k")
    producer.send(topic, 0, b"")
    producer.commit({}, None)
    at = TopicPartition(topic, 0)
    full, tombstone, empty = broker.read(at, *broker.watermarks(at))
    assert (full.key(), full.value()) == (b"k", b"\x00\xff")
    assert full.headers() == [("schema", b"row-1"), ("names", b"{}")]
    assert (full.topic(), full.partition(), full.offset()) == (topic, 0, 0)
    assert before_ms < full.timestamp()[1] < before_ms + 60_000
    assert (tombstone.key(), tombstone.value(), tombstone.headers()) == (b"k", None, None)
    assert (empty.key(), empty.value()) == (None, b"")


def test_messages_of_a_key_stay_together(broker: Broker, make: Callable[..., str]) -> None:
    """Where no partition is given, the key decides."""
    topic = make(4)
    broker.publish(topic, [(b"key", b"1"), (b"other", b"x"), (b"key", b"2")])
    broker.publish(topic, [(b"key", b"3")])
    found = [[value for value in everything(broker, topic, partition) if value != b"x"] for partition in range(4)]
    assert sorted(found) == [[], [], [], [b"1", b"2", b"3"]]


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


def test_a_second_member_takes_its_share(broker: Broker, make: Callable[..., str], name: str) -> None:
    """The first gives up what moves and keeps the rest; each partition has one holder."""
    topic = make(4)
    every = {TopicPartition(topic, partition) for partition in range(4)}
    first = Member(broker, name, topic, "a-0")
    until(lambda: first.held == every, first)
    second = Member(broker, name, topic, "a-1")
    until(lambda: len(first.held) == 2 and len(second.held) == 2, first, second)
    assert first.held | second.held == every
    assert first.calls == ["assigned", "revoked"]
    second.consumer.close()
    first.consumer.close()


def test_a_commit_of_an_earlier_generation_is_aborted_and_can_be_made_again(
    broker: Broker, make: Callable[..., str], producer: Producer, name: str
) -> None:
    """With the metadata of a later poll, for what is still held."""
    source, sink = make(2, "in"), make(1, "out")
    for partition in (0, 1):
        broker.publish(source, numbered(0, 5), partition)
    first = Member(broker, name, source, "a-0")
    first.until(10)
    stale = first.consumer.group_metadata()
    second = Member(broker, name, source, "a-1")
    until(lambda: len(first.held) == 1 and len(second.held) == 1, first, second)
    (kept,) = first.held
    send(producer, sink, b"twice?")
    with pytest.raises(Abort):
        producer.commit({kept: 5}, stale)
    producer.abort()
    send(producer, sink, b"once")
    producer.commit({kept: 5}, first.consumer.group_metadata())
    assert everything(broker, sink) == [b"once"]
    assert first.consumer.committed([kept]) == {kept: 5}
    second.consumer.close()
    first.consumer.close()


def test_a_member_starts_where_its_assignment_says(broker: Broker, make: Callable[..., str], name: str) -> None:
    """Whatever is committed."""
    topic = make(2)
    for partition in (0, 1):
        broker.publish(topic, numbered(0, 5), partition)
    starts = {TopicPartition(topic, 0): 3, TopicPartition(topic, 1): 5}
    member = Member(broker, name, topic, starts=starts, earliest=False)
    assert member.until(2) == [b"3", b"4"]
    member.consumer.close()


def test_a_member_starts_at_the_committed_offset_otherwise(
    broker: Broker, make: Callable[..., str], producer: Producer, name: str
) -> None:
    """And where there is none, at the first message, if it asked for that."""
    topic = make(2)
    for partition in (0, 1):
        broker.publish(topic, numbered(0, 5), partition)
    before = Member(broker, name, topic)
    before.until(10)
    producer.begin()
    producer.commit({TopicPartition(topic, 0): 4}, before.consumer.group_metadata())
    before.consumer.close()
    after = Member(broker, name, topic)
    assert sorted(after.until(6), key=str) == [b"0", b"1", b"2", b"3", b"4", b"4"]
    after.consumer.close()


def test_an_offset_that_nobody_knows_is_fatal(broker: Broker, make: Callable[..., str], name: str) -> None:
    """Nothing is ever skipped in silence."""
    member = Member(broker, name, make(), earliest=False)
    with pytest.raises(Fatal, match="offset"):
        until(lambda: bool(member.seen), member)
    member.consumer.close()


@pytest.mark.parametrize("earliest", [True, False])
def test_an_offset_that_the_log_does_not_hold_is_fatal(
    broker: Broker, make: Callable[..., str], name: str, earliest: bool
) -> None:
    """Even where a partition without one would start at its first message."""
    topic = make()
    broker.publish(topic, numbered(0, 5), 0)
    member = Member(broker, name, topic, starts={TopicPartition(topic, 0): 99}, earliest=earliest)
    with pytest.raises(Fatal):
        until(lambda: bool(member.seen), member)
    member.consumer.close()


def test_what_was_polled_is_polled_again_after_a_seek(broker: Broker, make: Callable[..., str], name: str) -> None:
    """From the offset sought, to the end."""
    topic = make()
    broker.publish(topic, numbered(0, 6), 0)
    member = Member(broker, name, topic)
    member.until(6)
    member.consumer.seek({TopicPartition(topic, 0): 2})
    assert member.until(10)[6:] == [b"2", b"3", b"4", b"5"]
    member.consumer.close()


def test_a_partition_that_is_kept_back_is_not_read_until_it_is_started(
    broker: Broker, make: Callable[..., str], name: str
) -> None:
    """Others are read meanwhile; then it is read from where the start says, whatever is committed."""
    topic = make(2)
    for partition in (0, 1):
        broker.publish(topic, numbered(0, 5), partition)
    late, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    member = Member(broker, name, topic, starts={late: None, other: 0}, earliest=False)
    assert member.until(5) == [b"0", b"1", b"2", b"3", b"4"]
    assert {message.partition() for message in member.seen} == {1}
    assert member.poll(wait_s=0.3) == []
    member.consumer.start({late: 2})
    assert member.until(8)[5:] == [b"2", b"3", b"4"]
    for started in (late, TopicPartition("another", 0)):
        with pytest.raises(Fatal, match="not kept back"):
            member.consumer.start({started: 0})
    member.consumer.close()


def test_a_partition_that_is_kept_back_can_be_taken_away_and_come_back(
    broker: Broker, make: Callable[..., str], name: str
) -> None:
    """The group does not care whether it is read: its holder is told, and the next one reads it."""
    topic = make(2)
    every = [TopicPartition(topic, partition) for partition in (0, 1)]
    for partition in (0, 1):
        broker.publish(topic, numbered(0, 5), partition)
    first = Member(broker, name, topic, "a-0", starts=dict.fromkeys(every))
    until(lambda: len(first.held) == 2, first)
    second = Member(broker, name, topic, "a-1", starts=dict.fromkeys(every, 3))
    until(lambda: len(second.seen) == 2, first, second)
    assert first.seen == []
    second.consumer.close(leave=True)
    until(lambda: len(first.held) == 2, first)
    first.consumer.start(dict.fromkeys(every, 4))
    assert first.until(2) == [b"4", b"4"]
    first.consumer.close()
    assert first.calls.count("assigned") == 2
    assert first.calls[-1] == "revoked"


def test_a_member_may_stop_while_a_partition_is_kept_back(broker: Broker, make: Callable[..., str], name: str) -> None:
    """It is told what it gives back, and the next one takes it."""
    topic = make()
    at = TopicPartition(topic, 0)
    broker.publish(topic, numbered(0, 3), 0)
    first = Member(broker, name, topic, starts={at: None})
    until(lambda: first.held == {at}, first)
    first.consumer.close()
    assert first.calls == ["assigned", "revoked"]
    second = Member(broker, name, topic)
    assert second.until(3) == [b"0", b"1", b"2"]
    second.consumer.close()


def test_a_paused_partition_goes_on_where_it_stood(broker: Broker, make: Callable[..., str], name: str) -> None:
    """Behind the last message that was given, though more had been fetched; others are read meanwhile."""
    topic = make(2)
    at, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    broker.publish(topic, numbered(0, 6), 0)
    member = Member(broker, name, topic)
    while len(member.seen) < 2:
        member.poll(most=1)
    member.consumer.pause([at])
    broker.publish(topic, numbered(6, 8), 0)
    broker.publish(topic, [(None, b"other")], 1)
    assert member.until(3)[2:] == [b"other"]
    assert member.poll(wait_s=0.3) == []
    member.consumer.resume([at])
    assert member.until(9)[3:] == [b"2", b"3", b"4", b"5", b"6", b"7"]
    member.consumer.close()
    assert other in {TopicPartition(topic, message.partition()) for message in member.seen}


def test_a_partition_that_was_paused_when_it_was_taken_away_is_read_when_it_comes_back(
    broker: Broker, make: Callable[..., str], name: str
) -> None:
    """A pause ends with the assignment."""
    topic = make(2)
    every = [TopicPartition(topic, partition) for partition in (0, 1)]
    first = Member(broker, name, topic, "a-0")
    until(lambda: len(first.held) == 2, first)
    first.consumer.pause(every)
    second = Member(broker, name, topic, "a-1")
    until(lambda: len(first.held) == len(second.held) == 1, first, second)
    second.consumer.close(leave=True)
    until(lambda: len(first.held) == 2, first)
    first.consumer.resume(every)
    for partition in (0, 1):
        broker.publish(topic, numbered(0, 2), partition)
    assert sorted(map(str, first.until(4))) == ["b'0'", "b'0'", "b'1'", "b'1'"]
    first.consumer.close()


def test_a_member_that_stops_leaves_its_place_to_its_successor(
    broker: Broker, make: Callable[..., str], name: str, request: pytest.FixtureRequest
) -> None:
    """A rolling restart: under its name the next one has the same partitions, and the others notice nothing."""
    if type(broker) is MemoryBroker:
        request.applymarker(
            pytest.mark.xfail(strict=True, reason="no clock would end the session of a member that stopped")
        )
    topic = make(4)
    first, second = (Member(broker, name, topic, instance) for instance in ("a-0", "a-1"))
    until(lambda: len(first.held) == len(second.held) == 2, first, second)
    had, told = set(first.held), list(second.calls)
    first.consumer.close()
    second.poll(wait_s=0.3)
    again = Member(broker, name, topic, "a-0")
    until(lambda: len(again.held) == 2, again, second)
    assert again.held == had
    assert [call for call in second.calls[len(told) :] if call != "assigned"] == []
    assert len(second.held) == 2
    again.consumer.close()
    second.consumer.close()


def test_an_assignment_that_fails_ends_the_member(broker: Broker, make: Callable[..., str], name: str) -> None:
    """A partition whose state could not be restored must not be read: the process has to start again."""

    class Failing(Member):
        def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
            raise ValueError("no state")

    topic = make()
    broker.publish(topic, numbered(0, 5), 0)
    member = Failing(broker, name, topic)
    with pytest.raises(Fatal, match="no state"):
        until(lambda: bool(member.seen), member)
    assert member.seen == []
    member.consumer.close()


def test_a_member_that_leaves_is_told_what_it_gives_back(broker: Broker, make: Callable[..., str], name: str) -> None:
    """While it still holds it: a last commit is possible."""
    member = Member(broker, name, make(2))
    until(lambda: len(member.held) == 2, member)
    member.consumer.close()
    assert member.calls == ["assigned", "revoked"]
    assert member.held == set()


def test_a_second_process_of_one_name_fences_the_first(
    broker: Broker, make: Callable[..., str], producer: Producer, name: str
) -> None:
    """A restarted process takes its own place again, and a left-over one can commit nothing."""
    topic = make()
    broker.publish(topic, numbered(0, 3), 0)
    old = Member(broker, name, topic, "a-0")
    old.until(3)
    stale = old.consumer.group_metadata()
    new = Member(broker, name, topic, "a-0")
    assert new.until(3) == [b"0", b"1", b"2"]
    producer.begin()
    with pytest.raises(Abort):
        producer.commit({TopicPartition(topic, 0): 3}, stale)
    producer.abort()
    with pytest.raises(Fenced):
        until(lambda: False, old)
    old.consumer.close()
    assert new.poll(wait_s=0.2) == []
    assert new.calls == ["assigned"]
    new.consumer.close()


def test_a_range_is_read_to_its_end(broker: Broker, make: Callable[..., str]) -> None:
    """Half open, and no further than the log goes; again and again."""
    topic = make()
    at = TopicPartition(topic, 0)
    broker.publish(topic, numbered(0, 10), 0)
    assert values(broker.read(at, 3, 7)) == [b"3", b"4", b"5", b"6"]
    assert values(broker.read(at, 0, 2)) == [b"0", b"1"]
    assert values(broker.read(at, 8, 1_000)) == [b"8", b"9"]
    assert values(broker.read(at, 4, 4)) == []
    assert next(broker.read(at, 5, 9)).value() == b"5"
    assert values(broker.read(at, 9, 10)) == [b"9"]


def test_a_range_that_ends_in_markers_is_read_to_its_end(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """Markers and aborted messages take offsets and give no message: here 0 1 marker, 3 marker."""
    topic = make()
    at = TopicPartition(topic, 0)
    commit(producer, topic, b"0", b"1")
    send(producer, topic, b"gone")
    producer.abort()
    low, high = broker.watermarks(at)
    assert low == 0
    assert values(broker.read(at, 0, high)) == [b"0", b"1"]
    assert values(broker.read(at, 2, high)) == []


def test_a_reader_waits_while_a_transaction_is_open(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """What was begun before the end asked for belongs to the answer, once it is known."""
    topic = make()
    at = TopicPartition(topic, 0)
    send(producer, topic, b"late")
    eventually(lambda: broker.watermarks(at)[1] == 1)
    later = threading.Timer(0.5, producer.commit, ({}, None))
    later.start()
    assert values(broker.read(at, 0, broker.watermarks(at)[1])) == [b"late"]
    later.join()


def test_watermarks_are_the_first_offset_and_the_next(
    broker: Broker, make: Callable[..., str], producer: Producer
) -> None:
    """A transaction's marker takes an offset, a little after the commit."""
    topic = make()
    at = TopicPartition(topic, 0)
    assert broker.watermarks(at) == (0, 0)
    broker.publish(topic, numbered(0, 3), 0)
    assert broker.watermarks(at) == (0, 3)
    commit(producer, topic, b"3")
    eventually(lambda: broker.watermarks(at) == (0, 5))


def test_topics_are_made_once(broker: Broker, name: str) -> None:
    """A second time changes nothing and names nothing."""
    specs = [TopicSpec(f"{name}-1", 3), TopicSpec(f"{name}-2", 1, config={"cleanup.policy": "compact"})]
    assert sorted(broker.create(specs)) == [f"{name}-1", f"{name}-2"]
    assert broker.create([TopicSpec(f"{name}-1", 7)]) == []
    found = broker.partitions()
    assert (found[f"{name}-1"], found[f"{name}-2"]) == (3, 1)
    assert broker.reachable


def test_a_topic_made_again_is_another(broker: Broker, make: Callable[..., str]) -> None:
    """So that a snapshot of the old one is not taken for one of the new."""
    topic, other = make(1, "in"), make(1, "out")
    before, cluster = broker.identity(topic), broker.identity(other).split("/")[0]
    assert broker.identity(topic) == before
    assert before.split("/")[0] == cluster
    broker.delete([topic])
    assert topic not in broker.partitions()
    make(1, "in")
    assert broker.identity(topic) != before
    assert broker.watermarks(TopicPartition(topic, 0)) == (0, 0)
