"""Faults of the input: what nobody can understand, too much of it at once, the same twice."""

import time
from typing import Final

from loadtest.history import POISON
from loadtest.nemesis import Nemesis
from loadtest.world import World


class Poison(Nemesis):
    """Records that nobody can understand, in the source and on the internal topic: all to rejects, once each."""

    name = "poison records"
    strikes = 3

    def strike(self, world: World) -> None:
        world.writer.add(POISON)
        topics = world.settings.topics
        for partition in range(topics.partitions):
            world.broker.publish(topics.events, [(None, b"not rows"), (None, None), (None, b"\0" * 64)], partition)


class Burst(Nemesis):
    """Twenty times the load for some seconds."""

    name = "burst of 20 times the load"

    def strike(self, world: World) -> None:
        world.writer.burst(20, 3.0)


class Twice(Nemesis):
    """A file that was delivered is delivered again."""

    name = "a file delivered twice"

    def strike(self, world: World) -> None:
        world.writer.add(world.writer.written(2_000))
        time.sleep(1.0)


INPUT: Final[tuple[type[Nemesis], ...]] = (Poison, Burst, Twice)
