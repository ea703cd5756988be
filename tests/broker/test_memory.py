"""What only the broker in memory does: forgetting on request, and missing a member on request."""

import threading

import pytest

from detector.broker import TopicPartition, TopicSpec
from detector.broker.memory import MemoryBroker
from detector.errors import Abort, ConfigError, Fatal, Recoverable
from tests.broker.groups import Member

TOPIC = "in"
AT = TopicPartition(TOPIC, 0)


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(iter(range(1_000, 2_000)).__next__)
    made.create([TopicSpec(TOPIC, 2)])
    return made


def publish(broker: MemoryBroker, count: int, partition: int = 0) -> None:
    broker.publish(TOPIC, [(None, b"%d" % i) for i in range(count)], partition)


def commit(broker: MemoryBroker, member: Member, offset: int) -> None:
    """The member's group has committed this offset of the first partition."""
    producer = broker.producer("committer")
    producer.begin()
    producer.commit({AT: offset}, member.consumer.group_metadata())


def test_a_message_has_the_clocks_time(broker: MemoryBroker) -> None:
    """So that a replay's records have their own day's times."""
    publish(broker, 1)
    publish(broker, 1)
    assert [message.timestamp() for message in broker.read(AT, 0, 2)] == [(2, 1_000), (2, 1_001)]


def test_trimming_keeps_what_a_group_has_not_committed(broker: MemoryBroker) -> None:
    """The slowest group counts, and a topic that nobody has committed is left alone."""
    publish(broker, 10)
    broker.trim(TOPIC)
    assert broker.watermarks(AT) == (0, 10)
    fast, slow = Member(broker, "fast", TOPIC), Member(broker, "slow", TOPIC)
    for member, offset in ((fast, 10), (slow, 4)):
        member.until(10)
        commit(broker, member, offset)
    broker.trim(TOPIC)
    assert broker.watermarks(AT) == (4, 10)
    assert [message.value() for message in broker.read(AT, 0, 10)] == [b"4", b"5", b"6", b"7", b"8", b"9"]


def test_messages_go_on_after_trimming(broker: MemoryBroker) -> None:
    """Offsets never start again."""
    publish(broker, 3)
    member = Member(broker, "g", TOPIC)
    member.until(3)
    commit(broker, member, 3)
    broker.trim(TOPIC)
    publish(broker, 2)
    member.until(5)
    assert [message.offset() for message in member.seen] == [0, 1, 2, 3, 4]


def test_an_offset_that_retention_has_passed_is_fatal(broker: MemoryBroker) -> None:
    """As in Kafka: what was dropped unread is not skipped in silence."""
    publish(broker, 10)
    member = Member(broker, "g", TOPIC, starts={AT: 2, TopicPartition(TOPIC, 1): 0})
    broker.truncate(AT, 5)
    with pytest.raises(Fatal, match=r"in/0: wanted an offset of 5 to 10 \(got 2\)"):
        member.poll()


def test_a_member_that_expired_loses_its_partitions_and_joins_again(broker: MemoryBroker) -> None:
    """What it did meanwhile cannot be committed; it hears `lost`, never `revoked`."""
    publish(broker, 3)
    member = Member(broker, "g", TOPIC)
    member.until(3)
    broker.expire("g", "a-0")
    with pytest.raises(Abort):
        commit(broker, member, 3)
    assert len(member.until(6)) == 6
    assert member.calls == ["assigned", "lost", "assigned"]


def test_the_partitions_of_a_member_that_expired_go_to_the_others(broker: MemoryBroker) -> None:
    """At once, for nobody waits for a member that is not there."""
    first, second = Member(broker, "g", TOPIC, "a-0"), Member(broker, "g", TOPIC, "a-1")
    first.poll(wait_s=0)
    second.poll(wait_s=0)
    broker.expire("g", "a-0")
    second.poll(wait_s=0)
    assert second.held == {AT, TopicPartition(TOPIC, 1)}


def test_few_partitions_move_when_a_third_member_joins(broker: MemoryBroker) -> None:
    """Each gives up as little as an even share asks for."""
    broker.create([TopicSpec("wide", 12)])
    members = [Member(broker, "g", "wide", f"a-{i}") for i in range(2)]
    for member in members * 2:
        member.poll(wait_s=0)
    before = [set(member.held) for member in members]
    members.append(Member(broker, "g", "wide", "a-2"))
    for member in members * 2:
        member.poll(wait_s=0)
    assert [len(member.held) for member in members] == [4, 4, 4]
    assert [member.held <= held for member, held in zip(members, before, strict=False)] == [True, True]


def test_a_poll_wakes_when_something_is_published(broker: MemoryBroker) -> None:
    """Roles may run in threads: nobody sleeps through a message."""
    member = Member(broker, "g", TOPIC)
    member.poll(wait_s=0)
    later = threading.Timer(0.05, publish, (broker, 1))
    later.start()
    assert [message.value() for message in member.poll(wait_s=10)] == [b"0"]
    later.join()


def test_equal_calls_give_equal_batches() -> None:
    """Everything but the cluster's identity is a function of the calls."""

    def run() -> list[tuple[int | None, int | None]]:
        broker = MemoryBroker(lambda: 0)
        broker.create([TopicSpec(TOPIC, 3)])
        broker.publish(TOPIC, [(b"%d" % (i % 7), b"") for i in range(200)])
        member = Member(broker, "g", TOPIC)
        while len(member.seen) < 200:
            member.poll(most=9, wait_s=0)
        return [(message.partition(), message.offset()) for message in member.seen]

    assert run() == run()


def test_a_topic_that_does_not_exist_is_named(broker: MemoryBroker) -> None:
    """Kafka waits for it to appear, and so may the caller."""
    with pytest.raises(Recoverable, match="other/0"):
        broker.publish("other", [(None, b"")])
    with pytest.raises(ConfigError, match="other"):
        broker.delete(["other"])


def test_a_producer_does_one_transaction_at_a_time(broker: MemoryBroker) -> None:
    """Calls out of order are mistakes of ours, not of the world."""
    producer = broker.producer("p")
    with pytest.raises(Fatal, match="begun"):
        producer.send(TOPIC, 0, b"")
    producer.begin()
    with pytest.raises(Fatal, match="not ended"):
        producer.begin()
