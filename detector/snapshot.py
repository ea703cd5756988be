"""Snapshots: a partition's state on disk, usable by whichever worker takes it next.

    <store>/<cluster>-<topic id>/<partition>/<offset, 20 digits>/
        manifest.json   format, feature hash, identity, partition, offset, checksums
        <name>.npy      one array each
    <store>/<cluster>-<topic id>/drift/     no snapshots: what workers have counted for drift

A snapshot at offset s holds the state of exactly the rows before s, which is a pure function
of the log: so any snapshot with s at or below the committed offset is as good as any other,
and the ordinary loop replays the rest. It is written beside, fsynced and renamed: a folder
with its final name is whole, and its checksums say if it stays so.
"""

import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128

from detector.config import Settings
from detector.errors import SnapshotError
from detector.features.catalogue import feature_hash
from detector.records import Arrays

FORMAT = 5
PIECE_BYTES = 1 << 20
"""Hashed and written, or read and hashed, at once: it is still in the cache when it is looked at again."""
HEADER_BYTES = 1 << 16
"""More than the header of a `.npy` file of version 1 can take."""
ABANDONED_S = 3600
"""A folder under a temporary name and this old was left behind by a process that died."""
VERSIONS: Final = 2
"""Of a program, whose snapshots are kept. More would fill the disk: nothing else ever removes them."""

T = TypeVar("T")


class Version(msgspec.Struct, frozen=True):
    """Who can load a snapshot: what manifests of every format say."""

    format: int
    features: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot is of, and how to know it whole."""

    format: int
    features: str
    identity: str
    partition: int
    offset: int
    xxh3_128: dict[str, str]
    """Of each array's file. It is there to find damage, not forgery, and costs a seventh of what SHA-256 does."""


@dataclass(frozen=True, slots=True)
class Store:
    """The snapshots of one internal topic, in a folder that every detect worker reaches."""

    root: Path
    identity: str
    """`cluster id/topic id`: a topic that was made anew has no snapshots."""
    features: str
    """Hash of the feature catalogue and the settings that state depends on."""
    kept: int = 3

    def folder(self, partition: int) -> Path:
        """Where the snapshots of `partition` are."""
        return self.root / self.identity.replace("/", "-") / str(partition)

    def drift(self, worker: str) -> Path:
        """Where `worker` keeps what it has counted for drift, which is no snapshot."""
        return self.root / self.identity.replace("/", "-") / "drift" / f"{worker.replace('/', '-')}.json"

    def offsets(self, partition: int) -> list[int]:
        """Offsets of the finished snapshots of `partition`, newest first."""
        folder = self.folder(partition)
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def save(self, partition: int, offset: int, arrays: Arrays) -> Path:
        """A snapshot at `offset` is on disk, and the oldest beyond those kept are gone.

        1. Write every array and the manifest into a folder with a temporary name, fsync each.
        2. Rename the folder to its final name, fsync the folder above.
        3. Remove what is `superseded` up to `offset`, and what a dead process left half written there. What lies
           beyond `offset` is let be: another worker's newer ones, or of no use before the log is there again, and
           then as good as any.
        """
        folder = self.folder(partition)
        final = folder / f"{offset:020d}"
        if final.exists():
            try:
                self.load(partition, offset)
            except SnapshotError:
                shutil.rmtree(final, ignore_errors=True)
            else:
                return final
        folder.mkdir(parents=True, exist_ok=True)
        # In two containers two processes may have one number, and write the same snapshot: after a hand-over.
        beside = folder / f"tmp-{offset}-{os.getpid()}-{uuid.uuid4().hex[:8]}"  # 1
        beside.mkdir()
        try:
            sums = {name: _write(beside / f"{name}.npy", *_npy(array)) for name, array in arrays.items()}
            manifest = Manifest(FORMAT, self.features, self.identity, partition, offset, sums)
            _write(beside / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))
            _sync(beside)
            beside.rename(final)  # 2
        except OSError:
            # The partition's next holder may have written the same one, or a newer one and cleared this away.
            newer = [one for one in self.offsets(partition) if one >= offset]
            if not final.exists() and (beside.exists() or not newer):
                raise
            return folder / f"{newer[-1]:020d}"
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        _sync(folder)
        there = [folder / f"{one:020d}" for one in self.offsets(partition) if one <= offset]
        ours = Version(FORMAT, self.features)  # as which one that does not say counts, so that it goes in its turn
        for old in superseded([(version_of(one) or ours, one) for one in there], self.kept):  # 3
            shutil.rmtree(old, ignore_errors=True)
        for left in folder.glob("tmp-*"):
            number = left.name.split("-")[1]
            if number.isdecimal() and int(number) <= offset:
                shutil.rmtree(left, ignore_errors=True)
        return final

    def load(self, partition: int, offset: int) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the snapshot at `offset`; `SnapshotError` names what differs."""
        folder = self.folder(partition) / f"{offset:020d}"
        try:
            manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
        except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
            raise SnapshotError(f"{folder}/manifest.json: wanted a manifest ({error})") from error
        for field, wanted in (
            ("format", FORMAT),
            ("features", self.features),
            ("identity", self.identity),
            ("partition", partition),
            ("offset", offset),
        ):
            got = getattr(manifest, field)
            if got != wanted:
                raise SnapshotError(f"{folder}/manifest.json: {field}: wanted {wanted!r} (got {got!r})")
        return {name: _read(folder / f"{name}.npy", digest) for name, digest in manifest.xxh3_128.items()}

    def newest(self, partition: int, committed: int, check: Callable[[Arrays], object] = len) -> "Found":
        """The newest snapshot at or below `committed` that is whole, and why newer ones were passed over.

        One whose arrays `check` raises a `SnapshotError` about is passed over too.
        """
        passed: list[str] = []
        for offset in self.offsets(partition):
            if offset > committed:
                passed.append(f"{offset}: beyond the committed offset {committed}")
                continue
            try:
                arrays = self.load(partition, offset)
                check(arrays)
                return Found(offset, arrays, tuple(passed))
            except SnapshotError as error:
                passed.append(str(error))
        return Found(None, {}, tuple(passed))


def version_of(folder: Path) -> Version | None:
    """Of the snapshot in `folder`, which this program may be unable to load; None where it does not say."""
    try:
        return msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Version)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return None


def superseded(found: Iterable[tuple[Version, T]], keep: int) -> Iterator[T]:
    """Of a partition's snapshots, of each its version and what it is, the newest first: those that may go.

    Kept are the newest `keep` of each of the two newest versions: that at work, and the one before, for a worker that
    is rolled back.
    """
    counts: dict[Version, int] = {}
    for version, one in found:
        counts[version] = counts.get(version, 0) + 1
        if counts[version] > keep or version not in list(counts)[:VERSIONS]:
            yield one


def open_store(settings: Settings, identity: str) -> Store:
    """The store of the configured folder, for the internal topic of that identity."""
    features = f"{feature_hash()}+{settings.home.utc_offset_minutes}"
    return Store(settings.path(settings.detect.snapshots), identity, features, settings.detect.snapshots_kept)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search for a usable snapshot gave."""

    offset: int | None
    arrays: dict[str, npt.NDArray[Any]]
    passed_over: tuple[str, ...]


def _npy(array: npt.NDArray[Any]) -> tuple[bytes, memoryview]:
    """The array as `numpy.save` writes it: header and bytes, of which no copy is made."""
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue(), array.reshape(-1).view(np.uint8).data


def _write(path: Path, *contents: bytes | memoryview) -> str:
    """`contents` are on disk at `path`; returns their XXH3."""
    digest = xxh3_128()
    with path.open("wb", buffering=0) as file:
        for content in contents:
            for start in range(0, len(content), PIECE_BYTES):
                piece = memoryview(content)[start : start + PIECE_BYTES]
                digest.update(piece)
                while piece:
                    piece = piece[file.write(piece) :]
        os.fsync(file.fileno())
    return digest.hexdigest()


def _read(path: Path, digest: str) -> npt.NDArray[Any]:
    """The array at `path`, read into its own memory; `SnapshotError` if its bytes are not those that were written."""
    try:
        with path.open("rb", buffering=0) as file:
            content: npt.NDArray[np.uint8] = np.empty(os.fstat(file.fileno()).st_size, np.uint8)
            got = _read_into(file, content.data)
    except OSError as error:
        raise SnapshotError(f"{path}: wanted a readable file (got {error.strerror})") from error
    if got != digest:
        raise SnapshotError(f"{path}: wanted XXH3 {digest} (got {got})")
    header = io.BytesIO(content[:HEADER_BYTES].tobytes())
    np.lib.format.read_magic(header)
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    if dtype.hasobject:
        raise SnapshotError(f"{path}: wanted an array of plain values (got {dtype})")
    array: npt.NDArray[Any] = content[header.tell() :].view(dtype).reshape(shape)
    return array


def _read_into(file: io.FileIO, room: memoryview) -> str:
    """The file's bytes stand in `room`; returns their XXH3. A file that ended sooner has another one."""
    digest = xxh3_128()
    start = 0
    while start < len(room):
        count = file.readinto(room[start : start + PIECE_BYTES])
        if not count:
            break
        digest.update(room[start : start + count])
        start += count
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
