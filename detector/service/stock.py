"""Stock: every snapshot under a store's folder, what is wrong with it, and which ones may go.

    <store>/<cluster>-<topic id>/<partition>/<offset>  ->  Stored  ->  list, verify, prune

Reads whole files: a checksum says nothing of bytes that nobody read. Needs no broker.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from detector.errors import SnapshotError
from detector.snapshot import ABANDONED_S, FORMAT, Manifest, Store, Version, superseded, version_of


@dataclass(frozen=True, slots=True)
class Stored:
    """One snapshot folder, as it was found."""

    path: Path
    topic: str
    """Name of the folder of its topic."""
    partition: int
    offset: int
    bytes: int
    age_s: float
    wrong: str
    """What is wrong with its files; empty: whole."""
    manifest: Manifest | None = None
    version: Version | None = None
    """None: its manifest does not say."""
    half_written: bool = False
    """It has a temporary name: somebody writes it, or died in doing so."""

    @property
    def is_another_programs(self) -> bool:
        """It has another format: whether it is whole cannot be said here."""
        return self.version is not None and self.version.format != FORMAT

    def unusable(self, store: Store) -> str:
        """Why `store` would not load it; empty: it would. Half-written ones are not looked at by any store."""
        if self.wrong or self.manifest is None:
            return self.wrong
        for field, wanted in (("identity", store.identity), ("features", store.features)):
            got = getattr(self.manifest, field)
            if wanted and got != wanted:
                return f"{field}: wanted {wanted} (got {got})"
        return ""


def stock(root: Path, now: float) -> list[Stored]:
    """Every snapshot under `root`, by topic and partition, the newest first; each is read to its end."""
    found: list[Stored] = []
    for folder in sorted(root.glob("*/*/*")):
        if folder.is_dir() and folder.parent.name.isdecimal():
            # A worker may remove an old one, or finish a half-written one, at any moment.
            with suppress(FileNotFoundError):
                found += _looked_at(folder, now)
    return sorted(found, key=lambda one: (one.topic, one.partition, -one.offset))


def _looked_at(folder: Path, now: float) -> Iterator[Stored]:
    topic, partition, name = folder.parts[-3:]
    if name.isdecimal():
        yield _examined(folder, topic, int(partition), int(name), now)
    elif name.startswith("tmp-"):
        offset = name.split("-")[1]
        at = int(offset) if offset.isdecimal() else -1
        yield Stored(
            folder, topic, int(partition), at, _size(folder), _age_s(folder, now), "half written", half_written=True
        )


def _examined(folder: Path, topic: str, partition: int, offset: int, now: float) -> Stored:
    manifest, wrong, version = None, "", version_of(folder)
    if version is not None and version.format != FORMAT:
        wrong = f"manifest.json: format: wanted {FORMAT} (got {version.format})"
        return Stored(folder, topic, partition, offset, _size(folder), _age_s(folder, now), wrong, version=version)
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
        store = Store(folder.parents[2], manifest.identity, manifest.features)
        if store.folder(partition) != folder.parent:
            wrong = f"identity: wanted that of the folder {topic} (got {manifest.identity})"
        else:
            store.load(partition, offset)
    except OSError as error:
        wrong = f"manifest.json: wanted a readable file (got {error.strerror})"
    except msgspec.DecodeError as error:
        wrong = f"manifest.json: wanted a manifest ({error})"
    except SnapshotError as error:
        wrong = str(error).removeprefix(f"{folder}/")
    return Stored(folder, topic, partition, offset, _size(folder), _age_s(folder, now), wrong, manifest, version)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _age_s(folder: Path, now: float) -> float:
    return now - folder.stat().st_mtime


def superfluous(found: Sequence[Stored], keep: int) -> Iterator[tuple[Stored, str]]:
    """Those that may go, and why: what a dead process left, what is damaged, and the whole ones but the newest `keep`.

    The newest are counted as a `Store` that saves counts them. A damaged one is of no use to anybody.
    """
    whole: dict[tuple[str, int], list[tuple[Version, Path]]] = {}
    for one in found:
        if one.version is not None and (one.is_another_programs or not one.wrong):
            whole.setdefault((one.topic, one.partition), []).append((one.version, one.path))
    old = {path for of_partition in whole.values() for path in superseded(of_partition, keep)}
    for one in found:
        if one.half_written:
            if one.age_s > ABANDONED_S:
                yield one, "half written, and older than an hour"
        elif one.wrong and not one.is_another_programs:
            yield one, one.wrong
        elif one.path in old:
            yield one, f"older than the newest {keep} of this version and of the one before"


def remove(one: Stored) -> None:
    """The snapshot is gone. Its name goes first, so that nobody finds it half removed."""
    doomed = one.path.with_name(f"tmp-{one.offset}-{time.time_ns()}")
    with suppress(FileNotFoundError):  # a worker was quicker
        one.path.rename(doomed)
        shutil.rmtree(doomed)
