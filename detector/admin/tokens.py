"""Tokens: who may ask for what. A file of names, roles and hashes; the tokens themselves stand nowhere.

    Authorization header -> Tokens.caller -> name and role

A line of the file, as `detector token NAME ROLE` prints it: `- {name: ana, role: operator, sha256: "…"}`. A token is
256 random bits, so that a plain hash cannot be searched. The file is read again when it changes; while it cannot be
read, nobody is let in: who was struck off it must not come back because somebody made a slip.
"""

import hmac
import logging
import secrets
import time
from base64 import b64decode
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Annotated, Final, Literal

from msgspec import Meta

from detector.config import Part, convert, read_yaml
from detector.errors import ConfigError
from detector.logs import Event, said

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
LONGEST: Final = 512
"""Characters of a token that are looked at, at most."""


class Role(IntEnum):
    """What one may do: each role may do what those before it may."""

    NOBODY = 0
    VIEWER = 1
    """See how the service does; numbers are masked."""
    ANALYST = 2
    """Look at numbers and decisions."""
    OPERATOR = 3
    """Give orders."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    role: Role


class Entry(Part, frozen=True):
    """A line of the file."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._@-]+$")]
    role: Literal["viewer", "analyst", "operator"]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


def new_token() -> tuple[str, str]:
    """A fresh token, and its hash for the file."""
    token = secrets.token_urlsafe(32)
    return token, sha256(token.encode()).hexdigest()


class Tokens:
    """The callers of a file."""

    def __init__(self, path: Path) -> None:
        """`ConfigError` for a file that cannot be read."""
        self._path = path
        self._lock = Lock()
        self._look_at_s = time.monotonic() + LOOK_S
        self._seen = _look(path)
        self._entries = _read(path)

    def caller(self, authorization: str, *, basic: bool) -> Caller | None:
        """Whose token the header carries: as Bearer, or as the password of Basic where that is allowed."""
        scheme, _, rest = authorization.strip().partition(" ")
        token = rest.strip()
        if scheme.lower() == "basic" and basic:
            try:
                token = b64decode(token[: 2 * LONGEST], validate=True).decode().partition(":")[2]
            except ValueError:
                return None
        elif scheme.lower() != "bearer":
            return None
        presented = sha256(token[:LONGEST].encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        # Every entry is compared, and each in constant time: how long it takes says nothing of what was right.
        for entry in self._current():
            if hmac.compare_digest(entry.sha256, presented):
                found = Caller(entry.name, Role[entry.role.upper()])
        return found

    def _current(self) -> tuple[Entry, ...]:
        with self._lock:
            if time.monotonic() >= self._look_at_s:
                self._look_at_s = time.monotonic() + LOOK_S
                seen = _look(self._path)
                if seen != self._seen:
                    self._seen = seen
                    try:
                        self._entries = _read(self._path)
                        count = len(self._entries)
                        log.info("admin: %d tokens from now on", count, extra=said(Event.TOKENS, count=count))
                    except ConfigError as error:
                        self._entries = ()
                        log.error("admin: nobody is let in: %s", error, extra=said(Event.TOKENS, count=0))
            return self._entries


def _read(path: Path) -> tuple[Entry, ...]:
    entries = convert(read_yaml(path), tuple[Entry, ...], str(path))
    names = [entry.name for entry in entries]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"{path}: name must differ from every other (got {min(twice)!r} twice)")
    return entries


def _look(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
