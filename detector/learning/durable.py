"""Durable: files that stand whole on the disk whenever the process dies, and locks that die with it."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from detector.errors import ConfigError

LEFT_BEHIND: Final = ".*.part"
"""Names of what a process that died within `replace` leaves in the folder: of no use to anybody."""


def replace(path: Path, fill: Callable[[Path], object]) -> None:
    """What `fill` writes stands under `path`, on the disk: whole, or what was there before."""
    part = path.with_name(f".{path.name}.part")
    fill(part)
    _sync(part)
    os.replace(part, path)
    _sync(path.parent)


def make_folder(folder: Path) -> None:
    """The folder is there, on the disk."""
    if not folder.exists():
        folder.mkdir()
        _sync(folder.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Holds the lock of that name, which the system takes back from a process that dies."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"{path}: wanted a folder to write to (got {error.strerror or error})") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ConfigError(f"{path.parent}: wanted to be the only one that writes it (got another at it)") from error
        yield
    finally:
        os.close(handle)
