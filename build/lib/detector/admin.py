"""The admin port: what a process measures, whether it lives and whether it works, over HTTP.

    GET /metrics   the registry in Prometheus' text format
    GET /health    200 while the poll loop comes round, 503 when it hangs: restart the process
    GET /ready     200 while nothing is missing, 503 with what is: send no traffic, do not restart

A broker that is away makes a process unready, never unhealthy: a restart would not mend it.
"""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from detector.errors import Fatal

HUNG_AFTER_S: Final = 30.0
"""Three times the broker's transaction timeout of 10 s: a loop that is only slow, or that waits
for a pending transaction, comes round before."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the admin thread may ask of a process. The callables must not block.

    `last_step_s`: unix time at which the poll loop last came round, 0 before its first time.
    `missing`: what stands between the process and its work, by name, with a sentence each.
    """

    registry: CollectorRegistry
    name: str
    last_step_s: Callable[[], float]
    missing: Callable[[], Mapping[str, str]]


class AdminServer:
    """A server thread on `host:port` (port 0: a free one, see `port`), until it is closed."""

    def __init__(self, host: str, port: int, probe: Probe, now_s: Callable[[], float] = time.time) -> None:
        self._probe, self._now_s, self._started_s = probe, now_s, now_s()
        try:
            self._server = _Server((host, port), self._answer)
        except OSError as error:
            raise Fatal(f"admin: wanted a free port at {host}:{port} (got {error.strerror or error})") from error
        self.host: Final = host
        self.port: Final = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="admin", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    def close(self) -> None:
        """Nothing answers any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._probe.registry)
        if path == "/health":
            idle_s = self._now_s() - max(self._probe.last_step_s(), self._started_s)
            body = {"live": idle_s < HUNG_AFTER_S, "name": self._probe.name, "last_step_s_ago": round(idle_s, 1)}
            return _json(200 if body["live"] else 503, body)
        if path == "/ready":
            missing = dict(self._probe.missing())
            return _json(503 if missing else 200, {"ready": not missing, "name": self._probe.name, "missing": missing})
        return _json(404, {"error": f"wanted /metrics, /health or /ready (got {path})"})


def _json(status: int, body: object) -> tuple[int, str, bytes]:
    return status, "application/json", orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


class _Server(ThreadingHTTPServer):
    """Carries the answers to the handlers; a client that goes away mid-answer is no event."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], answer: Callable[[str], tuple[int, str, bytes]]) -> None:
        self.answer = answer
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A broken connection concerns the client only; anything else is ours and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0
    """Seconds that a client may take to say what it wants: a silent one holds no thread for long."""

    def do_GET(self) -> None:
        status, kind, body = self.server.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Probes come every few seconds; none of them is worth a line."""
