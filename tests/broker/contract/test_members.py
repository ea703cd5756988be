"""Members of a group: who holds what, who is told, and who may no longer commit."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from detector.broker import Broker, Producer, TopicPartition
from detector.broker.memory import MemoryBroker
from detector.errors import Abort, Fatal, Fenced
from tests.broker.contract.logs import everything, numbered, send
from tests.broker.groups import Member, until


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
