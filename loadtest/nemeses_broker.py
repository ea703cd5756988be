"""Faults of the broker and of the way to it."""

import time
from contextlib import closing
from typing import Final

from detector.broker.kafka import KafkaBroker
from loadtest.nemesis import Nemesis
from loadtest.proxy import Direction
from loadtest.world import World

SHORTEST_OUTAGE_S: Final = 10.0
LONGEST_OUTAGE_S: Final = 40.0
MINUTE_S: Final = 60.0


class KillBroker(Nemesis):
    """kill -9 of the broker, which is started again at once."""

    name = "kill -9 of the broker"
    strikes = 2

    def strike(self, world: World) -> None:
        time.sleep(world.chance.uniform(0.0, 0.5))
        world.kafka.kill()
        world.kafka.start()


class StopBroker(Nemesis):
    """The broker is shut down for a while."""

    name = "broker stopped for 10-40 s"

    def strike(self, world: World) -> None:
        world.kafka.stop()
        time.sleep(world.chance.uniform(SHORTEST_OUTAGE_S, LONGEST_OUTAGE_S))
        world.kafka.start()


class StopBrokerForAMinute(Nemesis):
    """The broker is shut down for a minute: longer than any session or transaction lasts."""

    name = "broker stopped for a minute"

    def strike(self, world: World) -> None:
        world.kafka.stop()
        time.sleep(MINUTE_S)
        world.kafka.start()


class Cut(Nemesis):
    """All connections are reset, several times at random moments: in mid-transaction, more often than not."""

    name = "connections cut"
    strikes = 3

    def strike(self, world: World) -> None:
        ends = 0
        for _ in range(5):
            ends += world.proxy.cut()
            time.sleep(world.chance.uniform(0.0, 0.4))
        self.want(ends > 0, "there were connections to cut")


class HoldReplies(Nemesis):
    """The broker hears and is not heard, then the connections are reset: commits succeed that nobody is told of."""

    name = "replies lost on their way"
    direction: Direction = "to client"
    strikes = 3

    def strike(self, world: World) -> None:
        world.proxy.hold(self.direction)
        time.sleep(world.chance.uniform(0.2, 5.0))
        world.proxy.release()


class HoldRequests(HoldReplies):
    """The broker is not reached, though its connections stand; then they are reset."""

    name = "requests lost on their way"
    direction: Direction = "to broker"


class LeftOpen(Nemesis):
    """A process dies with a transaction open on the topics that everybody reads; what it wrote never counts."""

    name = "transaction left open"
    strikes = 2

    def strike(self, world: World) -> None:
        topics = world.settings.topics
        with closing(KafkaBroker(world.kafka.options | {"log_level": 0})) as broker:
            ghost = broker.producer(f"ghost-{world.chance.random()}")
            ghost.begin()
            for partition in range(topics.partitions):
                ghost.send(topics.events, partition, b"never committed")
                for topic in (topics.decisions, topics.history):
                    ghost.send(topic, partition, b"{}", b"+999|voice|originating")
            # Longer than it lingers; to the broker, a producer that is let go of now is a dead one.
            time.sleep(0.5)
            ghost.close()


BROKER: Final[tuple[type[Nemesis], ...]] = (
    KillBroker,
    StopBroker,
    StopBrokerForAMinute,
    Cut,
    HoldReplies,
    HoldRequests,
    LeftOpen,
)
