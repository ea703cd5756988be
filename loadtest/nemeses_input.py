"""Faults of the input: what nobody can understand, too much of it at once, the same twice.

`Again` measures the window within which the same is known again.
"""

import time
from typing import Final

from loadtest.dedupe import STATED, TRIED, delivery
from loadtest.history import POISON
from loadtest.nemeses_snapshots import wait_until
from loadtest.nemesis import Nemesis
from loadtest.oracle import RECORDS
from loadtest.scrape import scrape
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


class Again(Nemesis):
    """A record is delivered again after 0 to 20 others of its number; the workers' own counters tell if it counted."""

    name = "a record delivered again later"

    def strike(self, world: World) -> None:
        self.want(world.settle(), "everything is decided before")
        detect = world.fleet.of("detect")
        self.want(wait_until(lambda: all(worker.is_ready() for worker in detect)), "every worker is at work before")
        mark = f"{world.chance.randrange(10_000):04d}"
        known = []
        for between in TRIED:
            before = _counted(world)
            values = delivery(between, mark)
            world.broker.publish(RECORDS, [(None, value) for value in values], 0)
            until = time.monotonic() + 60.0
            while sum(after := _counted(world)) < sum(before) + len(values) and time.monotonic() < until:
                time.sleep(0.02)
            new = (after[0] - before[0], after[1] - before[1])
            self.want(sum(new) == len(values), f"{len(values)} rows are taken (got {sum(new)})")
            known += [between] * (new[0] == 1)
        self.want(
            known == [k for k in TRIED if k < STATED], f"known again after up to {STATED - 1} others (got {known})"
        )
        self.notes.append(
            f"a record delivered again after k other rows of its number (k = 0 to {max(TRIED)}) is known again for "
            f"k = {min(known, default=-1)} to {max(known, default=-1)}, and counted for more"
        )
        world.writer.resume()


def _counted(world: World) -> tuple[int, int]:
    """Rows that detect has found to be there already, and all others."""
    told = [scrape(worker.url) for worker in world.fleet.of("detect")]
    twice = sum(one.total("detector_rows_total", status="duplicate") for one in told)
    return int(twice), int(sum(one.total("detector_rows_total") for one in told) - twice)


INPUT: Final[tuple[type[Nemesis], ...]] = (Poison, Burst, Twice, Again)
