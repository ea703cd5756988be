"""Faults of processes: killed, told to end, stopped and woken, joining and leaving."""

import signal
import subprocess
import time
from typing import Final

from loadtest.fleet import ROLES, Worker
from loadtest.nemesis import SESSION_S, TRANSACTION_S, Nemesis, any_of
from loadtest.world import World

FENCED_S: Final = 90.0
"""A zombie has at most the 60 s that an unknown outcome is waited for to find out that it is one."""


class KillIngest(Nemesis):
    """kill -9 of an ingest worker at a random moment."""

    name = "kill -9 of ingest"
    role = "ingest"
    strikes = 8

    def strike(self, world: World) -> None:
        time.sleep(world.chance.uniform(0.0, 0.5))
        world.fleet.kill([any_of(world, self.role)])


class KillDetect(KillIngest):
    """kill -9 of a detect worker at a random moment."""

    name = "kill -9 of detect"
    role = "detect"


class KillBurst(Nemesis):
    """Five kills within seconds, of either role, of workers that have just been started too."""

    name = "kill -9, five in a burst"
    strikes = 2

    def strike(self, world: World) -> None:
        for _ in range(5):
            running = [worker for role in ROLES for worker in world.fleet.of(role)]
            if running:
                world.fleet.kill([world.chance.choice(running)])
            time.sleep(world.chance.uniform(0.1, 1.5))


class KillAll(Nemesis):
    """Every worker of both roles at once."""

    name = "kill -9 of all"

    def strike(self, world: World) -> None:
        world.fleet.kill([worker for role in ROLES for worker in world.fleet.of(role)])


class Terminate(Nemesis):
    """SIGTERM in mid-batch: it finishes, commits, snapshots and exits with 0."""

    name = "SIGTERM in mid-batch"
    strikes = 4

    def strike(self, world: World) -> None:
        worker = any_of(world, world.chance.choice(ROLES))
        time.sleep(world.chance.uniform(0.0, 0.5))
        world.fleet.strike(worker, signal.SIGTERM)
        world.fleet.gone(worker)
        self.want(worker.codes[-1:] == [0], f"{worker.name} exits with 0 (got {worker.codes[-1:]})")


class RollingRestart(Nemesis):
    """Every worker in turn is told to end and started again, as a rollout does it."""

    name = "rolling restart"

    def strike(self, world: World) -> None:
        for worker in list(world.fleet.workers):
            world.fleet.strike(worker, signal.SIGTERM)
            world.fleet.gone(worker)
            self.want(worker.codes[-1:] == [0], f"{worker.name} exits with 0 (got {worker.codes[-1:]})")
            world.reach("ingest", world.ends("ingest"))


class JoinAndLeave(Nemesis):
    """A third worker of each role joins, and leaves: once in order, once killed for good."""

    name = "workers join and leave"
    strikes = 2

    def __init__(self) -> None:
        super().__init__()
        self._how = signal.SIGUSR1

    def strike(self, world: World) -> None:
        guests = [world.fleet.join(role) for role in ROLES]
        until = time.monotonic() + 30.0
        while not all(guest.is_ready() for guest in guests) and time.monotonic() < until:
            time.sleep(0.1)
        self.want(all(guest.is_ready() for guest in guests), "those who join are given partitions")
        time.sleep(world.chance.uniform(2.0, 4.0))
        for guest in guests:
            world.fleet.leave(guest, self._how)
            world.fleet.workers.remove(guest)
        self._how = signal.SIGKILL


class Zombie(Nemesis):
    """SIGSTOP for longer than the session timeout: others take over, and what it does on waking counts for nothing."""

    name = "SIGSTOP past the session"
    strikes = 2

    def __init__(self) -> None:
        super().__init__()
        self._stopped: list[Worker] = []
        self._since = 0.0

    def strike(self, world: World) -> None:
        self._stopped = self.choose(world)
        for worker in self._stopped:
            world.fleet.strike(worker, signal.SIGSTOP)
        self._since = time.monotonic()

    def choose(self, world: World) -> list[Worker]:
        """Who sleeps."""
        return [any_of(world, role) for role in ROLES]

    def heal(self, world: World) -> None:
        least = SESSION_S + world.chance.uniform(1.0, TRANSACTION_S - SESSION_S + 3.0)
        time.sleep(max(0.0, self._since + least - time.monotonic()))
        for worker in self._stopped:
            world.fleet.strike(worker, signal.SIGCONT)


class AllZombies(Zombie):
    """Every worker sleeps past its session: all leases are lost at once."""

    name = "SIGSTOP of all at once"
    strikes = 1

    def choose(self, world: World) -> list[Worker]:
        return [worker for role in ROLES for worker in world.fleet.of(role)]

    def strike(self, world: World) -> None:
        super().strike(world)
        super().heal(world)

    def heal(self, world: World) -> None:
        """Nobody was left to take over: they were woken by the strike itself."""


class ReplacedZombie(Nemesis):
    """A worker sleeps while another is started under its name; on waking it is fenced and ends."""

    name = "zombie with a successor"

    def __init__(self) -> None:
        super().__init__()
        self._zombies: list[subprocess.Popen[bytes]] = []

    def strike(self, world: World) -> None:
        for role in ROLES:
            worker = any_of(world, role)
            world.fleet.strike(worker, signal.SIGSTOP)
            self._zombies.append(world.fleet.orphan(worker))

    def heal(self, world: World) -> None:
        time.sleep(world.chance.uniform(0.0, TRANSACTION_S))
        for zombie in self._zombies:
            zombie.send_signal(signal.SIGCONT)
        for zombie in self._zombies:
            try:
                code = zombie.wait(FENCED_S)
                self.want(code > 0, f"a zombie that wakes ends in failure (got {code})")
            except subprocess.TimeoutExpired:
                zombie.kill()
                zombie.wait()
                self.want(False, f"a zombie that wakes is fenced within {FENCED_S:.0f} s")
        self._zombies.clear()


PROCESSES: Final[tuple[type[Nemesis], ...]] = (
    KillIngest,
    KillDetect,
    KillBurst,
    KillAll,
    Terminate,
    RollingRestart,
    JoinAndLeave,
    Zombie,
    AllZombies,
    ReplacedZombie,
)
