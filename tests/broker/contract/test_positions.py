"""Positions: where a member begins on a partition, and when it does not read one that it holds."""

from collections.abc import Callable

import pytest

from detector.broker import Broker, Producer, TopicPartition
from detector.errors import Fatal
from tests.broker.contract.logs import numbered
from tests.broker.groups import Member, until


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
