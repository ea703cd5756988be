"""What only a real Kafka can show: coming and going, and its other group protocol."""

import atexit
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, ClassVar, cast

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Producer

from detector.broker import TopicPartition, TopicSpec
from detector.broker.kafka import KafkaBroker, KafkaConsumer
from detector.broker.kafka.answers import Health, ask_committed, called
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import Home, Settings, Source
from detector.errors import Abort, Fatal, Recoverable
from tests.broker.groups import Member, until


@pytest.fixture
def broker(kafka: LocalKafka) -> Iterator[KafkaBroker]:
    with closing(KafkaBroker(kafka.options)) as made:
        yield made


def test_no_broker_is_recoverable_and_shows(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, not with every refused connection."""
    monkeypatch.setattr("detector.broker.kafka.broker.STEP_S", 0.5)
    caplog.set_level(logging.WARNING)
    with closing(KafkaBroker({"bootstrap.servers": "127.0.0.1:1"})) as broker:
        assert broker.reachable
        for _ in range(2):
            with pytest.raises(Recoverable, match="asking for topics"):
                broker.partitions()
        assert not broker.reachable
    assert len(caplog.records) <= 1


def test_offsets_that_stay_pending_name_the_tool_that_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that the broker never ends: the night shift learns what shows it."""

    class Client:
        def committed(self, partitions: object, timeout: float) -> None:
            raise KafkaException(KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT))

        def list_topics(self, timeout: float) -> None:
            """Leaders are where they were."""

    monkeypatch.setattr("detector.broker.kafka.answers.ANSWER_S", 0.0)
    with pytest.raises(Recoverable, match=r"reading offsets: .*a transaction was left open .*find-hanging"):
        ask_committed(cast(Any, Client()), [TopicPartition("events", 0)], "reading offsets")


def test_a_message_in_hand_is_not_lost_with_an_error_behind_it() -> None:
    """The second half of a poll fails in a way that a retry mends: what the first half gave is given."""

    class Answer:
        def __init__(self, error: KafkaError | None) -> None:
            self._error = error

        def error(self) -> KafkaError | None:
            return self._error

        def topic(self) -> str:
            return "records"

        def partition(self) -> int:
            return 0

    class Client:
        answers: ClassVar[list[list[Answer]]] = [[Answer(None)], [Answer(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))]]

        def consume(self, most: int, wait_s: float) -> list[Answer]:
            return self.answers.pop(0)

    consumer = KafkaConsumer(cast(Any, Client()), Health(), earliest=True)
    try:
        assert len(consumer.poll(10, 0.0)) == 1
    finally:
        atexit.unregister(consumer._abandon)


@pytest.mark.kafka
def test_transactions_and_groups_hold_under_the_new_group_protocol(kafka: LocalKafka) -> None:
    """KIP-848: the broker assigns; everything else is the same."""
    at = TopicPartition("new-protocol", 0)
    with closing(KafkaBroker({**kafka.options, "group.protocol": "consumer"})) as broker:
        broker.create([TopicSpec(at.topic, 2)])
        broker.publish(at.topic, [(None, b"1"), (None, b"2")], 0)
        member = Member(broker, "new-protocol", at.topic, starts={at: 1})
        assert member.until(1) == [b"2"]
        producer = broker.producer("new-protocol")
        producer.begin()
        producer.commit({at: 2}, member.consumer.group_metadata())
        assert member.consumer.committed([at]) == {at: 2}
        member.consumer.close()
        producer.close()


@pytest.mark.kafka
def test_what_waits_behind_an_open_transaction_is_told(kafka: LocalKafka) -> None:
    """No poll gives it, the stable offset stands at the reader's, and yet forty messages have come."""
    at = TopicPartition("waits", 0)
    told: dict[TopicPartition, int] = {}
    with closing(KafkaBroker(kafka.options, lambda said: told.update(said.lags))) as broker:
        broker.create([TopicSpec(at.topic, 1)])
        broker.publish(at.topic, [(None, b"first")], 0)
        member = Member(broker, "waits", at.topic, starts={at: 0})
        assert member.until(1) == [b"first"]
        until(lambda: told.get(at) == 0, member)
        producer = broker.producer("waits")
        producer.begin()
        for _ in range(40):
            producer.send(at.topic, 0, b"open")
        until(lambda: told[at] == 40, member)
        assert member.values() == [b"first"]
        producer.abort()
        # The marker of its end is passed over, and nothing waits any more.
        until(lambda: told[at] == 0, member)
        member.consumer.close()
        producer.close()


@pytest.mark.kafka
def test_a_sources_topic_goes_by_the_brokers_clock(kafka: LocalKafka, broker: KafkaBroker) -> None:
    """A switch whose clock is a day ahead makes nothing look early."""
    home, source = Home(country_code="999"), Source(name="fast", id=1, topic="fast-clock", mapping="plain.yaml")
    *_, spec = topic_specs(Settings(home=home, sources=(source,)), source_partitions=1)
    broker.create([spec])
    producer = Producer({"bootstrap.servers": kafka.address})
    producer.produce(spec.name, b"a record", partition=0, timestamp=int(1000 * time.time()) + 86_400_000)
    assert producer.flush(20) == 0
    (message,) = broker.read(TopicPartition(spec.name, 0), 0, 1)
    kind, at_ms = message.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert abs(at_ms / 1000 - time.time()) < 60


@pytest.mark.kafka
def test_who_leaves_hands_over_without_waiting_for_its_session_to_end(kafka: LocalKafka) -> None:
    """Its session would outlast the patience of this test."""
    topic = "left"
    with closing(KafkaBroker({**kafka.options, "session.timeout.ms": 60_000})) as broker:
        broker.create([TopicSpec(topic, 4)])
        first, second = (Member(broker, topic, topic, instance) for instance in ("a-0", "a-1"))
        until(lambda: len(first.held) == len(second.held) == 2, first, second)
        first.consumer.close(leave=True)
        assert first.calls[-1] == "revoked"
        until(lambda: len(second.held) == 4, second)
        second.consumer.close(leave=True)


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_partitions_kept_back_come_and_go_under_both_group_protocols(kafka: LocalKafka, protocol: str) -> None:
    """librdkafka is told of each only when it is started: the group has given it all the same, and may take it."""
    topic = f"kept-back-{protocol}"
    every = [TopicPartition(topic, partition) for partition in range(4)]
    with closing(KafkaBroker({**kafka.options, "group.protocol": protocol})) as broker:
        broker.create([TopicSpec(topic, 4)])
        for at in every:
            broker.publish(topic, [(None, b"1"), (None, b"2")], at.partition)
        first = Member(broker, topic, topic, "a-0", starts=dict.fromkeys(every))
        until(lambda: len(first.held) == 4, first)
        first.consumer.start({every[0]: 1})
        assert first.until(1) == [b"2"]
        second = Member(broker, topic, topic, "a-1", starts=dict.fromkeys(every))
        until(lambda: len(first.held) == len(second.held) == 2, first, second)
        first.consumer.start(dict.fromkeys(first.held - {every[0]}, 1))
        second.consumer.start(dict.fromkeys(second.held, 0))
        assert sorted(map(str, second.until(4))) == ["b'1'", "b'1'", "b'2'", "b'2'"]
        assert {m.partition() for m in second.seen} == {at.partition for at in second.held}
        first.until(1 + len(first.held - {every[0]}))
        assert {m.value() for m in first.seen} == {b"2"}
        second.consumer.close()
        first.consumer.close()


@pytest.mark.kafka
def test_everything_goes_on_when_the_broker_was_killed_and_came_back(kafka: LocalKafka, broker: KafkaBroker) -> None:
    """The same consumer and the same producer; what was committed is there, and nothing is there twice."""
    topic = "killed"
    at = TopicPartition(topic, 0)
    broker.create([TopicSpec(topic, 1)])
    producer = broker.producer(topic)
    member = Member(broker, topic, topic)

    def publish(value: bytes, offset: int) -> None:
        """As a role does: after an abort, poll and publish again. A long absence costs the member its place."""
        for _ in range(5):
            try:
                producer.begin()
                producer.send(topic, 0, value)
                producer.commit({at: offset}, member.consumer.group_metadata())
            except Abort:
                producer.abort()
                until(lambda: at in member.held, member)
            else:
                return

    until(lambda: at in member.held, member)
    publish(b"before", 1)
    assert member.until(1) == [b"before"]
    kafka.kill()
    try:
        until(lambda: not broker.reachable, member)
    finally:
        kafka.start()
    until(lambda: broker.reachable, member)
    publish(b"after", 2)
    assert member.until(2) == [b"before", b"after"]
    assert member.consumer.committed([at]) == {at: 2}
    assert [message.value() for message in broker.read(at, *broker.watermarks(at))] == [b"before", b"after"]
    member.consumer.close()
    producer.close()


END_EARLY = """
import sys, time
from detector.broker.kafka import KafkaBroker
from tests.broker.groups import Member

broker = KafkaBroker({"bootstrap.servers": sys.argv[1]})
member = Member(broker, sys.argv[2], "ended-early")
time.sleep(float(sys.argv[3]))
"""


@pytest.mark.kafka
def test_a_process_that_ends_while_it_joins_ends(kafka: LocalKafka, broker: KafkaBroker) -> None:
    """Whenever that is. Closing the consumer hung in librdkafka once in six crashes of a whole role; here not once."""
    broker.create([TopicSpec("ended-early", 4)])
    command = [sys.executable, "-c", END_EARLY, kafka.address]
    running = [
        subprocess.Popen([*command, f"ended-early-{n}", str(n * 0.03)], stderr=subprocess.PIPE, text=True)
        for n in range(12)
    ]
    try:
        assert [process.communicate(timeout=60)[1] for process in running] == [""] * len(running)
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * len(running)


ASK_EARLY = """
import sys
from detector.broker import TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.errors import Recoverable

nothing = TopicPartition("nothing", 0)
broker = KafkaBroker({"bootstrap.servers": sys.argv[1]})
for n in range(200):
    try:
        assert broker.committed(f"nobody-{n % 5}", [nothing]) == {nothing: None}
    except Recoverable:
        pass
broker.close()
"""


@pytest.mark.kafka
def test_asking_for_offsets_while_the_coordinator_loads_does_not_end_the_process(kafka: LocalKafka) -> None:
    """In a process of its own: the admin client of librdkafka 2.16 dies of it (librdkafka issue 5040)."""
    kafka.restart()
    done = subprocess.run([sys.executable, "-c", ASK_EARLY, kafka.address], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[-500:]) == (0, "")


def test_a_fatal_error_among_callbacks_is_what_it_says() -> None:
    """confluent-kafka-python lets those after it run on, and then there is a `SystemError` of Python's around it."""

    def call() -> None:
        try:
            raise KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "not allowed", fatal=True))
        except KafkaException as error:
            raise SystemError("returned a result with an exception set") from error

    with pytest.raises(Fatal, match="publishing: not allowed"):
        called("publishing", call)
    with pytest.raises(SystemError, match="another"):
        called("publishing", lambda: (_ for _ in ()).throw(SystemError("another")))
