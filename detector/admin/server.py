"""The server: bytes of a connection become a request that is of bounded size and time, and a reply becomes bytes.

    connection -> Request -> answer -> Reply -> connection

What a request holds is never sent back, not even in an error.
"""

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl

from detector.admin.access import Access
from detector.admin.api import Api
from detector.admin.http import Refused, Reply, Request
from detector.admin.probes import Probe
from detector.admin.routes import Routes
from detector.errors import Fatal
from detector.logs import Event, said

log = logging.getLogger(__name__)

CONNECTIONS: Final = 64
"""At once: a scraper, an orchestrator and a few people need far fewer."""
LONGEST_S: Final = 15.0
"""Of a connection, question and answer: a client that says a byte now and then would keep its place, and enough of them
would keep the orchestrator out, which then restarts a healthy process."""
LONGEST_PATH: Final = 2_048
LARGEST_BODY: Final = 16 * 1024
MOST_FIELDS: Final = 20
"""Of a query."""

ALWAYS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class AdminServer:
    """A server thread on `host:port` (port 0: a free one, see `port`), until it is closed."""

    def __init__(
        self,
        host: str,
        port: int,
        probe: Probe,
        now_s: Callable[[], float] = time.time,
        api: Api | None = None,
        access: Access | None = None,
    ) -> None:
        """Without an `api` only measures are told; without `access`, whoever is on this machine may look."""
        routes = Routes(probe, now_s, api or Api(probe.name, None, None), access or Access(None))
        try:
            self._server = _Server((host, port), routes.answer)
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


class _Server(ThreadingHTTPServer):
    """Carries the answers to the handlers; a client that goes away mid-answer is no event."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], answer: Callable[[Request], Reply]) -> None:
        self.answer = answer
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self._since: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Each connection has a thread, as long as there are few."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Its place is free again afterwards."""
        self._since[request] = time.monotonic()
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._since[request]
            self._room.release()

    def service_actions(self) -> None:
        """Several times a second: connections that take too long are cut."""
        for request, since_s in list(self._since.items()):
            if time.monotonic() - since_s > LONGEST_S:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A broken connection concerns the client only; of anything else the kind is said, but not the request."""
        error = sys.exception()
        if not isinstance(error, OSError):
            failed = type(error).__name__
            log.error("admin: a request could not be answered: %s", failed, extra=said(Event.ADMIN_FAILED))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0
    """Seconds that a client may take to say what it wants: a silent one holds no thread for long."""

    def do_GET(self) -> None:
        self._handle()

    def _handle(self) -> None:
        try:
            reply = self.server.answer(self._request())
        except Refused as error:
            reply = error.reply()
        self._send(reply)

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        if len(self.path) > LONGEST_PATH:
            raise Refused(414, f"wanted a path and query of at most {LONGEST_PATH} characters")
        try:
            fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError:
            raise Refused(400, f"wanted at most {MOST_FIELDS} fields in the query") from None
        if len({name for name, _ in fields}) < len(fields):
            raise Refused(400, "wanted each field of the query once")
        return Request(
            method=self.command,
            path=path,
            query=dict(fields),
            body=self._body(),
            content_type=self.headers.get("Content-Type", ""),
            authorization=self.headers.get("Authorization", ""),
            host=self.headers.get("Host", ""),
            address=str(self.client_address[0]),
        )

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise Refused(411, "wanted a Content-Length")
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdecimal()) or len(self.headers.get_all("Content-Length", [])) > 1:
            raise Refused(400, "wanted one Content-Length, a number")
        if len(length) > 9 or int(length) > LARGEST_BODY:
            raise Refused(413, f"wanted a body of at most {LARGEST_BODY} bytes")
        return self.rfile.read(int(length))

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in {**ALWAYS, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What cannot be read as a request at all: the library's own answer would repeat it."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "GET"
        self.request_version = self.protocol_version  # what was not read counts as HTTP/0.9, which has no headers
        self._send(Refused(code, "wanted a request as the document at /openapi.json describes").reply())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Probes come every few seconds, and paths hold numbers: none of it is written."""


for _method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"):
    # Which method a path knows is the routes' business: the library would answer 501.
    setattr(_Handler, f"do_{_method}", _Handler.do_GET)
