"""What only the simulated broker does: move time, keep markers back, miss members, and be struck."""

import pytest

from detector.broker import TopicPartition, TopicSpec
from detector.broker.simulated import SESSION_MS, TRANSACTION_MS, Point, SimulatedBroker
from detector.errors import Fatal, Fenced, Recoverable
from tests.broker.groups import Member

TOPIC, SINK = "in", "out"
AT, OUT = TopicPartition(TOPIC, 0), TopicPartition(SINK, 0)


@pytest.fixture
def broker() -> SimulatedBroker:
    made = SimulatedBroker(1_000)
    made.create([TopicSpec(TOPIC, 1), TopicSpec(SINK, 1)])
    made.publish(TOPIC, [(None, b"%d" % i) for i in range(10)], 0)
    return made


@pytest.fixture
def member(broker: SimulatedBroker) -> Member:
    """It has read the topic to its end."""
    made = Member(broker, "g", TOPIC)
    made.until(10)
    return made


def commit(broker: SimulatedBroker, member: Member, offset: int, name: str = "p") -> None:
    """A message and an offset are committed together."""
    producer = broker.producer(name)
    producer.begin()
    producer.send(SINK, 0, b"%d" % offset)
    producer.commit({AT: offset}, member.consumer.group_metadata())


def test_waiting_takes_simulated_time_only(broker: SimulatedBroker, member: Member) -> None:
    """An idle poll ends when its time is over."""
    assert member.poll(wait_s=3_600) == []
    assert broker.now_ms == 1_000 + 3_600_000


def test_things_happen_in_the_order_in_which_they_are_due(broker: SimulatedBroker) -> None:
    """Each at its own time."""
    seen: list[tuple[str, int]] = []
    for name, ms in (("late", 50), ("early", 10), ("never", 1_000)):
        broker.after_ms(ms, lambda name=name: seen.append((name, broker.now_ms)))  # type: ignore[misc]
    broker.advance(100)
    assert seen == [("early", 1_010), ("late", 1_050)]


def test_markers_of_one_topic_may_come_after_the_offsets(broker: SimulatedBroker, member: Member) -> None:
    """The offsets are there at once; a reader up to the high watermark waits for the messages."""
    broker.delay_markers(SINK, 4_000)
    commit(broker, member, 7)
    assert broker.committed("g", [AT]) == {AT: 7}
    assert broker.now_ms == 1_000
    assert broker.watermarks(OUT) == (0, 1)
    assert [message.value() for message in broker.read(OUT, 0, 1)] == [b"7"]
    assert broker.now_ms == 5_000


def test_offsets_may_come_after_the_messages(broker: SimulatedBroker, member: Member) -> None:
    """Whoever asks for them waits."""
    broker.delay_markers("g", 4_000)
    commit(broker, member, 7)
    assert [message.value() for message in broker.read(OUT, 0, 1)] == [b"7"]
    assert broker.now_ms == 1_000
    assert broker.committed("g", [AT]) == {AT: 7}
    assert broker.now_ms == 5_000


def test_released_markers_are_there_at_once_and_once(broker: SimulatedBroker, member: Member) -> None:
    """What was under way does not come again."""
    broker.delay_markers(SINK, 4_000)
    commit(broker, member, 7)
    broker.release_markers()
    broker.advance(10_000)
    assert broker.watermarks(OUT) == (0, 2)


def test_a_producer_has_one_transaction_at_a_time(broker: SimulatedBroker, member: Member) -> None:
    """The next one, its own or a successor's, waits until every marker of the last one is written; not for ever."""
    broker.delay_markers(SINK, 4_000)
    commit(broker, member, 7)
    broker.producer("p")
    assert broker.now_ms == 5_000
    broker.delay_markers(SINK, 100_000)
    commit(broker, member, 8)
    with pytest.raises(Recoverable, match="not complete after 10 s"):
        broker.producer("p")
    producer = broker.producer("other")
    producer.begin()
    producer.send(SINK, 0, b"")
    producer.abort()
    with pytest.raises(Fatal, match="not complete after 60 s"):
        producer.begin()


def test_a_reader_does_not_wait_for_ever(broker: SimulatedBroker, member: Member) -> None:
    """Neither for messages nor for offsets."""
    broker.delay_markers(SINK, 100_000)
    broker.delay_markers("g", 100_000)
    commit(broker, member, 7)
    with pytest.raises(Recoverable, match="left open"):
        list(broker.read(OUT, 0, 1))
    with pytest.raises(Recoverable, match="left open"):
        broker.committed("g", [AT])


def test_a_transaction_times_out_and_its_offsets_are_forgotten(broker: SimulatedBroker, member: Member) -> None:
    """Whoever asked for them waited so long."""
    producer = broker.producer("p")
    producer.begin()
    producer._offer({AT: 7}, member.consumer.group_metadata())
    assert broker.committed("g", [AT]) == {AT: None}
    assert broker.now_ms == 1_000 + TRANSACTION_MS
    with pytest.raises(Fenced):
        producer.commit({}, None)


def test_a_process_that_died_is_missed_after_its_session_timeout(broker: SimulatedBroker, member: Member) -> None:
    """Then its partitions are another's; one that took its name before is left alone."""
    other = Member(broker, "g", TOPIC, "a-1")
    broker.vanish("g", "a-0")
    broker.advance(SESSION_MS - 1)
    other.poll(wait_s=0)
    assert other.held == set()
    broker.advance(1)
    other.poll(wait_s=0)
    assert other.held == {AT}
    broker.vanish("g", "a-1")
    again = Member(broker, "g", TOPIC, "a-1")
    broker.advance(SESSION_MS)
    again.poll(wait_s=0)
    assert again.held == {AT}


@pytest.mark.parametrize(("leave", "missed_ms"), [(True, 0), (False, SESSION_MS)])
def test_who_stops_keeps_its_place_until_its_session_ends_and_who_leaves_does_not(
    broker: SimulatedBroker, member: Member, leave: bool, missed_ms: int
) -> None:
    """Then its partitions are another's."""
    other = Member(broker, "g", TOPIC, "a-1")
    member.consumer.close(leave=leave)
    broker.advance(max(0, missed_ms - 1))
    other.poll(wait_s=0)
    assert (other.held == {AT}) is leave
    broker.advance(1)
    other.poll(wait_s=0)
    assert other.held == {AT}


def test_a_strike_comes_once_at_its_point(broker: SimulatedBroker, member: Member) -> None:
    """After as many calls as it lets pass; what is spared never comes."""
    seen: list[str] = []
    broker.strike(Point.POLL, lambda: seen.append("struck"), after=1)
    member.poll(wait_s=0)
    assert seen == []
    member.poll(wait_s=0)
    member.poll(wait_s=0)
    assert seen == ["struck"]
    broker.strike(Point.POLL, lambda: seen.append("spared"))
    broker.spare()
    member.poll(wait_s=0)
    assert seen == ["struck"]
