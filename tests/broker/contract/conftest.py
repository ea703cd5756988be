"""Whom the contract is asked of: the broker in memory, the simulated one that is made of it, and Apache Kafka."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from detector.broker import Broker, Producer, TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.memory import MemoryBroker
from detector.broker.simulated import SimulatedBroker

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
