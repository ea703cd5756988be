"""Faults of clocks: those of workers, and those of the switches that write records."""

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.fleet import ROLES, Worker
from loadtest.nemeses_snapshots import are_renewed, wait_until
from loadtest.nemesis import Nemesis, any_of
from loadtest.world import World

HOUR_S: Final = 3_600
DAY_S: Final = 24 * HOUR_S
TIMES: Final = ("start", "answer", "end", "time")
"""Fields of a plain record that hold a time."""
REDATED: Final = 300
"""Records of one strike."""


class WorkersClocks(Nemesis):
    """The wall clock of a worker of each role jumps ahead by six hours, back by twelve, and to the right time again.

    Nothing that they do may hang on it: snapshots come as often as before.
    """

    name = "clocks of workers jump by hours"
    strikes = 3
    jumps_s = (6 * HOUR_S, -6 * HOUR_S, 0)

    def __init__(self) -> None:
        super().__init__()
        self._left = list(self.jumps_s)
        self._workers: list[Worker] = []
        self._starts: list[int] = []

    def strike(self, world: World) -> None:
        if not self._workers:
            self._workers = [any_of(world, role) for role in ROLES]
            for worker in self._workers:
                _restart(world, worker, ("-m", "loadtest.skewed", str(self._file(world))))
            self.want(wait_until(lambda: all(one.is_ready() for one in self._workers)), "they run with a clock of ours")
            self._starts = [len(worker.codes) for worker in self._workers]
        self._file(world).write_text(str(self._left.pop(0)), encoding="utf-8")

    def heal(self, world: World) -> None:
        self.want(are_renewed(world), "snapshots are written whatever the time")
        if self._left:
            return
        self.want([len(one.codes) for one in self._workers] == self._starts, "nobody dies of it")
        for worker in self._workers:
            _restart(world, worker, Worker.entry)

    @staticmethod
    def _file(world: World) -> Path:
        return world.folder.resolve() / "skew"


def _restart(world: World, worker: Worker, entry: Sequence[str]) -> None:
    worker.entry = entry
    world.fleet.strike(worker, signal.SIGTERM)
    world.fleet.gone(worker)


class SourcesClocks(Nemesis):
    """A switch's clock jumps: ahead of the present (refused), ahead and behind within windows, behind all windows."""

    name = "clocks of sources jump"
    strikes = 4

    def __init__(self) -> None:
        super().__init__()
        self._left = ["future", "ahead", "behind", "late"]
        self._before = (0, 0)

    def strike(self, world: World) -> None:
        if len(self._left) == self.strikes:
            self._before = (world.oracle.reasons["future"], world.oracle.statuses["late"])
        how, written = self._left.pop(0), world.writer.written(REDATED)
        by_s = {"ahead": 5 * HOUR_S, "behind": -3 * HOUR_S, "late": -20 * DAY_S}.get(how)
        if by_s is None:
            newest_ms = max(_newest_ms(value) for value in written)
            by_s = int(time.time()) + HOUR_S - newest_ms // 1000 + 40 * DAY_S
        world.writer.add([redated(value, by_s, f"-{how}-{world.oracle.records}") for value in written])
        time.sleep(2.0)

    def see(self, world: World) -> None:
        refused, late = world.oracle.reasons["future"], world.oracle.statuses["late"]
        self.want(refused - self._before[0] == REDATED, f"{REDATED} records are refused as of the future")
        self.want(late > self._before[1], "rows of three weeks ago are late")
        self.notes.append(f"refused as future: {refused - self._before[0]}; late rows: {late - self._before[1]}")


def redated(value: bytes, by_s: int, mark: str) -> bytes:
    """A record of our plain form as a clock that is off by so much would write it, with an id of its own."""
    record = json.loads(value)
    for field in TIMES:
        if field in record:
            record[field] += 1_000 * by_s
    record["id"] += mark
    return json.dumps(record, separators=(",", ":")).encode()


def _newest_ms(value: bytes) -> int:
    record = json.loads(value)
    return max(int(record[field]) for field in TIMES if field in record)


CLOCKS: Final[tuple[type[Nemesis], ...]] = (WorkersClocks, SourcesClocks)
