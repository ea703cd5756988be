"""Routes: which path is answered by what, and who may ask. One table, from which the OpenAPI document is made too."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson

from detector.admin.access import Access
from detector.admin.api import Api, CommandWanted, ModeWanted
from detector.admin.http import JSON, Refused, Reply, Request
from detector.admin.listing import MOST, MOST_PARTITIONS, PLACE
from detector.admin.openapi import document
from detector.admin.page import Page
from detector.admin.probes import Probe, Probes
from detector.admin.tokens import Caller, Role
from detector.admin.told import Accepted, DecisionsTold, NumberTold, Ordered, WorkerTold
from detector.logs import Event, said

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that is answered. `{number}` in its path stands for one part of a path, without a slash."""

    method: str
    path: str
    role: Role
    summary: str
    answers: Mapping[int, str]
    """What each status means."""
    gives: Any = None
    """Type of the body of a good answer; None: not JSON, or of no fixed shape."""
    takes: Any = None
    """Type of the body of the request."""
    query: Mapping[str, Mapping[str, Any]] | None = None
    """JSON schema of each field of the query."""


_WHY: Final = {400: "not understood", 401: "no token that is known", 403: "the role does not suffice"}
_BUSY: Final = {429: "too many requests", 503: "no answer from the poll loop, or from the broker"}
_HERE: Final = {**_WHY, 404: "this process holds no numbers", **_BUSY}
_ORDER: Final = {
    **_HERE,
    404: "this process takes no orders",
    413: "too large",
    415: "not application/json",
    422: "not as described",
}
_TEXT: Final = {"type": "string", "minLength": 1}

ROUTES: Final = (
    Route("GET", "/metrics", Role.NOBODY, "What is measured, for Prometheus.", {200: "text"}),
    Route("GET", "/health", Role.NOBODY, "Whether the poll loop moves.", {200: "it does", 503: "it hangs: restart"}),
    Route("GET", "/ready", Role.NOBODY, "Whether it works.", {200: "it does", 503: "the body says what is missing"}),
    Route("GET", "/openapi.json", Role.NOBODY, "This document.", {200: "OpenAPI 3.1"}),
    Route("GET", "/", Role.VIEWER, "The status page.", {200: "HTML", **_WHY, **_BUSY}),
    Route(
        "GET",
        "/v1/partitions",
        Role.VIEWER,
        "How each partition held here stands.",
        {200: "of this worker", **_HERE},
        gives=WorkerTold,
    ),
    Route(
        "GET",
        "/v1/decisions",
        Role.ANALYST,
        "Decisions in force in the partitions held here, the newest first. Releases only where asked for by action.",
        {200: "of this worker", **_HERE},
        gives=DecisionsTold,
        query={
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": 100},
            "partition": {"type": "integer", "minimum": 0, "maximum": MOST_PARTITIONS - 1},
            "action": {"enum": ["flag", "warn", "block", "release", "allow"]},
            "service": {"enum": ["voice", "sms"]},
            "rule": _TEXT,
            "after": {"type": "string", "pattern": PLACE},
        },
    ),
    Route(
        "GET",
        "/v1/numbers/{number}",
        Role.ANALYST,
        "What is known of one number. A number is written as decisions write it.",
        {200: "it", **_HERE, 421: "another worker holds it: the body says which"},
        gives=NumberTold,
    ),
    Route(
        "POST",
        "/v1/commands",
        Role.OPERATOR,
        "Order that a number be released, allowed or blocked. It is obeyed in its turn.",
        {202: "stored", **_ORDER},
        gives=Ordered,
        takes=CommandWanted,
    ),
    Route(
        "POST",
        "/v1/mode",
        Role.OPERATOR,
        "Let another mode decide in every worker: `shadow` is the kill switch.",
        {202: "stored", **_ORDER},
        gives=Accepted,
        takes=ModeWanted,
    ),
)


class Routes:
    """Answers requests."""

    def __init__(self, probe: Probe, now_s: Callable[[], float], api: Api, access: Access) -> None:
        self._api, self._access = api, access
        probes = Probes(probe, now_s)
        self._open: Mapping[str, Callable[[], Reply]] = {
            "/metrics": probes.metrics,
            "/health": probes.health,
            "/ready": probes.ready,
            "/openapi.json": lambda: self._document,
        }
        self._closed: Mapping[str, Callable[[Request, Caller], Reply]] = {
            "/": Page(api, probe).show,
            "/v1/partitions": api.partitions,
            "/v1/decisions": api.decisions,
            "/v1/commands": api.command,
            "/v1/mode": api.mode,
        }

    def answer(self, request: Request) -> Reply:
        """The reply to anything; what is wrong with us is logged by its kind, and is a 500."""
        try:
            return self._answer(request)
        except Refused as refused:
            return refused.reply()
        except Exception as error:
            log.error("admin: a request failed: %s", type(error).__name__, extra=said(Event.ADMIN_FAILED))
            return Refused(500, "this failed; the log of the process says how").reply()

    def _answer(self, request: Request) -> Reply:
        found = [route for route in ROUTES if _part(route.path, request.path) is not None]
        if not found:
            raise Refused(404, "nothing is here: see /openapi.json")
        route = next((route for route in found if route.method == request.method), None)
        if route is None:
            allowed = ", ".join(route.method for route in found)
            raise Refused(405, f"wanted {allowed}", {"Allow": allowed})
        if route.role is Role.NOBODY:
            return self._open[route.path]()
        caller = self._access.let_in(request, route.role)
        if route.path in self._closed:
            return self._closed[route.path](request, caller)
        return self._api.number(request, caller, _part(route.path, request.path) or "")

    @cached_property
    def _document(self) -> Reply:
        return Reply(200, orjson.dumps(document(ROUTES)), JSON)


def _part(pattern: str, path: str) -> str | None:
    """What stands for the part in braces, empty where the pattern has none; None where the path is another."""
    before, brace, _ = pattern.partition("{")
    if not brace:
        return "" if pattern == path else None
    part = path.removeprefix(before)
    return part if path.startswith(before) and part and "/" not in part else None
