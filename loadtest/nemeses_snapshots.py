"""Faults of what recovery rests on: the snapshots, their disk, and a log that is long enough."""

import json
import resource
import shutil
import signal
import time
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loadtest.fleet import Worker
from loadtest.nemesis import Nemesis, any_of
from loadtest.world import World

FAR: Final = 1_000_000_000
"""Offsets that no run reaches."""
FILE_LIMIT: Final = 256 * 1024
"""Bytes a file: room for a log, not for the arrays of a partition."""
NOTICE_S: Final = 45.0
"""A start, with all that it loads, on a machine that is busy with the others'."""


def snapshots_of(world: World) -> dict[int, list[Path]]:
    """The finished snapshots of each partition that are of this run's log, newest first."""
    found: dict[int, list[Path]] = {q: [] for q in range(world.settings.topics.partitions)}
    for folder in world.snapshots.glob("*/*/"):
        if not folder.name.isdecimal():  # what workers have counted for drift
            continue
        done = [entry for entry in folder.iterdir() if entry.name.isdecimal() and int(entry.name) < FAR]
        found[int(folder.name)] = sorted(done, reverse=True)
    return found


def has_whole_log(world: World) -> bool:
    """Whether everything can be rebuilt from the log's start."""
    return all(world.broker.watermarks(at)[0] == 0 for at in world.log_of("detect"))


def are_renewed(world: World) -> bool:
    """Whether every partition gets a newer snapshot in time."""
    before = {q: done[:1] for q, done in snapshots_of(world).items()}
    return wait_until(lambda: all(done[:1] > before[q] for q, done in snapshots_of(world).items()))


def wait_until(condition: Callable[[], bool], limit_s: float = NOTICE_S) -> bool:
    """Whether `condition` came to hold in time."""
    until = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


class Damage(Nemesis):
    """Detect is killed, and finds each partition's newest snapshot damaged, or all of them."""

    strikes = 2

    def strike(self, world: World) -> None:
        self.want(wait_until(lambda: all(snapshots_of(world).values())), "every partition has snapshots to damage")
        workers = world.fleet.of("detect")
        world.fleet.kill(workers, hold=True)
        every = has_whole_log(world) and world.chance.random() < 0.5
        for done in snapshots_of(world).values():
            for snapshot in done if every else done[:1]:
                self.damage(snapshot, world)
        self._workers = workers
        self._marks = [worker.heard() for worker in workers]
        world.fleet.release(*workers)

    def heal(self, world: World) -> None:
        said = sum(
            worker.said("passed over", since=mark) for worker, mark in zip(self._workers, self._marks, strict=True)
        )
        self.want(said > 0, "what was passed over is said")
        # Damaged ones count among the three that are kept. Once retention has cut the log, a second blow would take
        # the last good one, and detect would refuse, as it should: seen after 20 minutes of faults.
        self.want(are_renewed(world) and are_renewed(world), "two newer snapshots stand beside the damaged ones")

    @abstractmethod
    def damage(self, snapshot: Path, world: World) -> None:
        """The snapshot in this folder is no good any more."""


class Truncated(Damage):
    """A file has lost its end."""

    name = "snapshot truncated"

    def damage(self, snapshot: Path, world: World) -> None:
        path = world.chance.choice(sorted(snapshot.iterdir()))
        with path.open("r+b") as file:
            file.truncate(world.chance.randrange(path.stat().st_size))


class BitFlipped(Damage):
    """One bit of an array is another."""

    name = "snapshot with a bit flipped"

    def damage(self, snapshot: Path, world: World) -> None:
        path = world.chance.choice(sorted(snapshot.glob("*.npy")))
        with path.open("r+b") as file:
            at = world.chance.randrange(path.stat().st_size)
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ (1 << world.chance.randrange(8))]))


class HalfWritten(Damage):
    """Half of the files are missing, in a folder with its final name, and in one beside."""

    name = "snapshot half written"

    def damage(self, snapshot: Path, world: World) -> None:
        beside = snapshot.with_name(f"tmp-{int(snapshot.name)}-1")
        shutil.copytree(snapshot, beside, dirs_exist_ok=True)
        for folder in (snapshot, beside):
            for path in sorted(folder.iterdir())[::2]:
                path.unlink()
        (beside / "manifest.json").unlink(missing_ok=True)


class OtherVersion(Damage):
    """Of other features than those that this version has."""

    name = "snapshot of another version"

    def damage(self, snapshot: Path, world: World) -> None:
        rewrite(snapshot, features="0" * 64)


class FromTheFuture(Damage):
    """Three snapshots beyond the committed offset, as after offsets were set back."""

    name = "snapshots from the future"

    def damage(self, snapshot: Path, world: World) -> None:
        for number in range(3):
            offset = FAR + number
            ahead = snapshot.with_name(f"{offset:020d}")
            if not ahead.exists():
                shutil.copytree(snapshot, ahead)
                rewrite(ahead, offset=offset)

    def heal(self, world: World) -> None:
        super().heal(world)
        for folder in world.snapshots.glob("*/*/*/"):
            if folder.name.isdecimal() and int(folder.name) >= FAR:
                shutil.rmtree(folder)


def rewrite(snapshot: Path, **fields: object) -> None:
    """The manifest says something else."""
    path = snapshot / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


class DiskFull(Nemesis):
    """Snapshots cannot be written: detect says so and goes on; one is killed meanwhile; then there is room again."""

    name = "disk full on snapshot"

    def strike(self, world: World) -> None:
        self._workers = world.fleet.of("detect")
        marks = [worker.heard() for worker in self._workers]
        for worker in self._workers:
            limit(worker, FILE_LIMIT)

        def all_said() -> bool:
            return all(one.said("snapshot failed", since=mark) for one, mark in zip(self._workers, marks, strict=True))

        self.want(wait_until(all_said), "every worker says that a snapshot failed")
        world.fleet.kill([any_of(world, "detect")])

    def heal(self, world: World) -> None:
        for worker in self._workers:
            limit(worker, resource.RLIM_INFINITY)
        self.want(are_renewed(world), "snapshots are written again once there is room")


def limit(worker: Worker, most_bytes: int) -> None:
    """No file may grow beyond, in the process that runs now."""
    if pid := worker.pid:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))


class ShortRetention(Nemesis):
    """The log begins after every snapshot that is left: detect stops and says what to do, then goes on."""

    name = "retention below the snapshots"

    def strike(self, world: World) -> None:
        self.want(world.settle(), "everything is decided before")
        workers = world.fleet.of("detect")
        for worker in workers:
            world.fleet.strike(worker, signal.SIGTERM, hold=True)
        for worker in workers:
            world.fleet.gone(worker)
        world.writer.resume()
        aside = world.folder / "aside"
        for at, committed in world.committed("detect").items():
            # Once short of the committed offset by a message, once exactly there.
            first = max(1, committed - at.partition % 2)
            world.broker.truncate(at, first)
            for snapshot in snapshots_of(world)[at.partition]:
                if int(snapshot.name) >= first:
                    kept = aside / str(at.partition) / snapshot.name
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    snapshot.rename(kept)
        marks = [(worker, worker.heard(), len(worker.codes)) for worker in workers]
        world.fleet.release(*workers)

        def all_refuse() -> bool:
            return all(
                worker.said("snapshot store of the others", since=heard) and 1 in worker.codes[ends:]
                for worker, heard, ends in marks
            )

        self.want(wait_until(all_refuse), "every worker stops and says what to do")
        world.fleet.kill(workers, hold=True)
        for q in snapshots_of(world):
            for kept in (aside / str(q)).glob("*"):
                kept.rename(next(world.snapshots.glob("*")) / str(q) / kept.name)
        world.fleet.release(*workers)


class WithoutStore(Nemesis):
    """A new worker with an empty store of its own rebuilds from the log, or refuses where the log is too short."""

    name = "new worker without its store"

    def strike(self, world: World) -> None:
        whole = has_whole_log(world)
        guest = world.fleet.join("detect", {"DETECTOR__DETECT__SNAPSHOTS": str(world.folder / "another store")})
        words = "state from the log's start" if whole else "snapshot store of the others"
        self.want(wait_until(lambda: guest.said(words) > 0), f"it says: {words}")
        world.fleet.leave(guest, signal.SIGTERM)
        world.fleet.workers.remove(guest)


SNAPSHOTS: Final[tuple[type[Nemesis], ...]] = (
    Truncated,
    BitFlipped,
    HalfWritten,
    OtherVersion,
    FromTheFuture,
    DiskFull,
    ShortRetention,
    WithoutStore,
)
