"""A request as routes see it, and what they answer. No sockets here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import orjson

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, after the server has looked at sizes and shape."""

    method: str
    path: str
    """As sent, still percent-coded, without the query."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = ""
    authorization: str = ""
    host: str = ""
    """The Host header."""
    address: str = ""
    """Where the connection comes from."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that is answered with an error. `why` never repeats what was sent."""

    def __init__(self, status: int, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, headers or {}

    def reply(self) -> Reply:
        """As it is sent."""
        return json_reply(self.status, {"error": self.why}, self.headers)


def json_reply(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """`body` as JSON; structs and numbers that JSON does not know become what it does."""
    # msgspec writes NaN as null, and structs by their fields.
    value = orjson.loads(msgspec.json.encode(body))
    return Reply(status, orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), JSON, headers or {})
