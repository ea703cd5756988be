"""Connections: however slow, many or broken they are, the probes are answered."""

import socket
import threading
import time
import urllib.request
from contextlib import ExitStack

import pytest

from detector.admin import AdminServer, Probe, server
from detector.metrics import Metrics


def opened() -> AdminServer:
    return AdminServer("127.0.0.1", 0, Probe(Metrics().registry, "detect-a-0", time.time, dict))


def said(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    got = b""
    try:
        while more := connection.recv(65_536):
            got += more
    except ConnectionError:
        pass
    return got


def test_a_client_that_drips_is_cut_and_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place is taken by one that says a byte now and then; later the probe is answered all the same."""
    monkeypatch.setattr(server, "LONGEST_S", 0.3)
    monkeypatch.setattr(server, "CONNECTIONS", 2)
    with opened() as admin, ExitStack() as stack:
        stop = threading.Event()
        drips = [stack.enter_context(socket.create_connection((admin.host, admin.port), 30)) for _ in range(2)]

        def drip() -> None:
            while not stop.wait(0.05):
                for one in drips:
                    try:
                        one.sendall(b"G")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        for one in drips:
            assert said(one) == b""
        stop.set()
        dripping.join()
        with urllib.request.urlopen(f"{admin.url}/health", timeout=30) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /health HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST /v1/mode HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET /health HTTP/9.9\r\n\r\n", b"505"),
        (b"<script> HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /?" + b"&".join(b"x%d=1" % i for i in range(50)) + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: <script>\r\n" % i for i in range(300)) + b"\r\n", b"431"),
    ],
)
def test_what_is_no_request_is_refused_without_repeating_it(sent: bytes, status: bytes) -> None:
    """In JSON of our own, with the headers that every answer has."""
    with opened() as admin, socket.create_connection((admin.host, admin.port), 30) as connection:
        connection.sendall(sent)
        got = said(connection)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == status
    assert b"script" not in got
    assert b"nosniff" in head
    assert body.startswith(b'{"error":')
