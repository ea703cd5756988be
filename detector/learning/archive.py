"""The archive: rows of the log kept for as long as labels take, in parquet by the UTC day of their event.

    events.by-number --Archiver--> Archive.add --> day files, then progress --> Archive.entries --> features

    DIR/day=2026-11-02/<partition>-<first offset>-<stop offset>.parquet     `logtable` says what is in it
    DIR/progress/<partition>.json       where to read on: not in Kafka, but beside the rows
    DIR/vectors/…                       the same of the topic `vectors`: `servedtable` says what is in it

A file stands under its name when it is whole and on the disk, and progress is written behind the files it speaks of:
files at or beyond it were left by a crash, and are made again from the log. So every row is there once, wherever
the process died.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detector.errors import ConfigError
from detector.learning.durable import LEFT_BEHIND, locked, make_folder, replace
from detector.learning.logtable import entries_of, log_table, withheld
from detector.pipeline import Entry
from detector.records import TRUNK_MASK, NumberKind, number_kind, number_trunk
from detector.units import DAY_MS

ROW_GROUP: Final = 65_536
"""Rows of a row group: 4 MB, so that a reader of one day's numbers skips most of a file."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a partition is archived."""

    format: Literal["archive-1"] = "archive-1"
    identity: str
    """`cluster id/topic id`: the offsets of a topic that was made anew are others."""
    first: int
    """Offset at which the archive of this partition began."""
    next: int
    """Next to read."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Stretches of the log that retention took before they were archived, and that somebody agreed to go without."""
    gone_before_ms: int = 0
    """Rows of events before this moment are gone: `Archive.keep` has removed them. 0 where it has removed nothing."""


class Piece(NamedTuple):
    """The rows of one stretch of a partition's log and of one day."""

    partition: int
    first: int
    stop: int
    path: Path


ToTable = Callable[[Sequence[Entry]], pa.Table]
"""Makes the table of some messages: `event_ms` says to which day a row belongs, `number` whose it is."""


class Archive:
    """A folder of rows. One process may write to it; erasing and reading may go on beside that."""

    def __init__(self, root: Path, table: ToTable = log_table) -> None:
        """`table`: of the messages of `events.by-number`, unless it is given."""
        self.root: Final = root
        self._table = table

    @contextmanager
    def writing(self) -> Iterator[Self]:
        """This process alone adds rows. What a crash left half made is gone. `ConfigError` if another one is at it."""
        try:
            (self.root / "progress").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.root}: wanted a folder to write to (got {error.strerror or error})") from error
        with locked(self.root / ".writer", wait=False):
            with self._changing():
                self._tidy()
            yield self

    def progress(self) -> dict[int, Progress]:
        """Of each partition that is archived. `ConfigError` names a file that cannot be read."""
        found = {}
        for path in sorted((self.root / "progress").glob("*.json")):
            try:
                found[int(path.stem)] = msgspec.json.decode(path.read_bytes(), type=Progress)
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                raise ConfigError(f"{path}: wanted the progress of an archive ({error})") from error
        return found

    def progress_of(self, partitions: int) -> dict[int, Progress]:
        """The same of a log of so many partitions; `ConfigError` where none is archived, or one that it has not."""
        found = self.progress()
        if not found or max(found) >= partitions:
            got = f"partition {max(found)}" if found else "none"
            raise ConfigError(
                f"{self.root}: wanted what `detector archive` wrote of {partitions} partitions (got {got})"
            )
        return found

    def move(self, partition: int, progress: Progress) -> None:
        """The partition's progress is this, on the disk."""
        with self._changing():
            self._move(partition, progress)

    def add(self, partition: int, progress: Progress, stop: int, entries: Sequence[Entry]) -> Progress:
        """The rows of the messages of `[progress.next, stop)` are there for good. Returns the new progress.

        1. A file for each day, under its final name when it is whole. 2. The progress, behind all of them.
        """
        table = self._table(entries)
        days = table.column("event_ms").to_numpy() // DAY_MS
        with self._changing():
            for day in np.unique(days).tolist():  # 1
                folder = self.root / f"day={np.datetime64(day, 'D')}"
                make_folder(folder)
                name = f"{partition}-{progress.next}-{stop}.parquet"
                _write(folder / name, table.filter(pa.array(days == day)))
            moved = msgspec.structs.replace(progress, next=stop)
            self._move(partition, moved)  # 2
        return moved

    def keep(self, days: int, until_ms: int) -> int:
        """Days older than the newest day less `days` are gone, whole. Returns how many.

        `until_ms`: the latest moment that an event can have. A day beyond it is a switch's wrong clock, and is not the
        newest: else one such record would take everything else with it.
        1. Progress says so: windows that reach further back are no longer whole. 2. The days go, behind that.
        """
        with self._changing():
            folders = sorted(self.root.glob("day=*"))
            newest = max((_day(folder) for folder in folders if _day(folder) * DAY_MS <= until_ms), default=None)
            if newest is None:
                return 0
            oldest = newest - days
            gone = [folder for folder in folders if _day(folder) < oldest]
            for partition, progress in self.progress().items() if gone else ():  # 1
                before_ms = max(progress.gone_before_ms, oldest * DAY_MS)
                self._move(partition, msgspec.structs.replace(progress, gone_before_ms=before_ms))
            for folder in gone:  # 2
                # Renamed first: a day that is half removed must not look like a day.
                away = folder.with_name(f".gone-{folder.name}")
                os.rename(folder, away)
                shutil.rmtree(away)
        return len(gone)

    def erase(self, number: int) -> tuple[int, int]:
        """No file holds `number` any more. Returns how many rows were removed, and how many files written anew.

        Its own rows are removed; in rows of those whom it had to do with it is as if withheld. An E.164 number
        without a trunk is erased behind every trunk. To be asked for again after a crash: it ends what was begun.
        """
        rows = files = 0
        wide = number_kind(number) is NumberKind.E164 and not number_trunk(number)
        mask = np.uint64(~TRUNK_MASK & 0xFFFF_FFFF_FFFF_FFFF) if wide else np.uint64(0xFFFF_FFFF_FFFF_FFFF)
        with self._changing():
            for path in sorted(self.root.glob("day=*/*.parquet")):
                parties = [name for name in ("number", "other") if name in pq.read_schema(path).names]
                numbers = pq.read_table(path, columns=parties, partitioning=None)
                own, *others = (numbers.column(name).to_numpy() & mask == number for name in parties)
                if not own.any() and not any(other.any() for other in others):
                    continue
                table = pq.read_table(path, partitioning=None)
                for other in others:
                    table = withheld(table, other)
                table = table.filter(pa.array(~own))
                if len(table):
                    _write(path, table)
                else:
                    os.unlink(path)
                rows += int(own.sum())
                files += 1
        return rows, files

    def entries(self, partition: int, stop: int) -> Iterator[Entry]:
        """The messages of the log below the offset `stop`, as far as their rows are kept, in the log's order.

        A stretch of the log that was archived at once is in memory at once.
        """
        pieces = sorted(piece for piece in self._pieces() if piece.partition == partition and piece.stop <= stop)
        start = 0
        while start < len(pieces):
            end = start
            while end < len(pieces) and pieces[end].first == pieces[start].first:
                end += 1
            yield from entries_of([piece.path for piece in pieces[start:end]])
            start = end

    def _pieces(self) -> Iterator[Piece]:
        for path in self.root.glob("day=*/*.parquet"):
            try:
                partition, first, stop = map(int, path.stem.split("-"))
            except ValueError:
                continue  # Somebody else's file.
            yield Piece(partition, first, stop, path)

    def _tidy(self) -> None:
        """1. What has no final name goes. 2. So do the files that no progress speaks of."""
        for path in [*self.root.glob(f"*/{LEFT_BEHIND}")]:  # 1
            os.unlink(path)
        for path in self.root.glob(".gone-*"):
            shutil.rmtree(path)
        progress = self.progress()
        for piece in sorted(self._pieces()):  # 2
            if piece.partition not in progress:
                wanted = self.root / "progress" / f"{piece.partition}.json"
                raise ConfigError(f"{wanted}: wanted the progress of {piece.path.name} (got no such file)")
            if piece.first >= progress[piece.partition].next:
                os.unlink(piece.path)

    def _move(self, partition: int, progress: Progress) -> None:
        path = self.root / "progress" / f"{partition}.json"
        replace(path, lambda part: part.write_bytes(msgspec.json.encode(progress) + b"\n"))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes files meanwhile: an erasure must not bring back what retention removes."""
        with locked(self.root / ".changing", wait=True):
            yield


def _day(folder: Path) -> int:
    return int(np.datetime64(folder.name.removeprefix("day="), "D").astype(np.int64))


def _write(path: Path, table: pa.Table) -> None:
    def fill(part: Path) -> None:
        with part.open("wb") as file:
            pq.write_table(table, file, row_group_size=ROW_GROUP, compression="zstd")

    replace(path, fill)
