"""The proxy: it carries, and it cuts."""

import socket
from collections.abc import Iterator

import pytest

from loadtest.proxy import Direction, Proxy


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10.0)
        yield listening


@pytest.fixture
def proxy(server: socket.socket) -> Iterator[Proxy]:
    with Proxy() as running:
        running.upstream = server.getsockname()[1]
        yield running


def ends(proxy: Proxy, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a new connection through the proxy, each having heard the other."""
    client = socket.create_connection(("127.0.0.1", proxy.port), 10.0)
    far, _ = server.accept()
    far.settimeout(10.0)
    client.sendall(b"question")
    assert far.recv(100) == b"question"
    far.sendall(b"answer")
    assert client.recv(100) == b"answer"
    return client, far


def is_cut(end: socket.socket) -> bool:
    try:
        return end.recv(100) == b""
    except ConnectionResetError:
        return True


def test_a_cut_ends_what_stands_and_nothing_that_comes_after(proxy: Proxy, server: socket.socket) -> None:
    """Both sides notice; a new connection carries both ways."""
    client, far = ends(proxy, server)
    with client, far:
        assert proxy.cut() == 1
        assert is_cut(client)
        assert is_cut(far)
    for end in ends(proxy, server):
        end.close()


@pytest.mark.parametrize("direction", ["to broker", "to client"])
def test_what_is_held_is_never_delivered_and_the_other_direction_goes_on(
    proxy: Proxy, server: socket.socket, direction: Direction
) -> None:
    """So a broker can hear what it cannot answer."""
    client, far = ends(proxy, server)
    with client, far:
        proxy.hold(direction)
        speaker, listener = (far, client) if direction == "to broker" else (client, far)
        held, deaf = (client, far) if direction == "to broker" else (far, client)
        held.sendall(b"held")
        speaker.sendall(b"heard")
        assert listener.recv(100) == b"heard"
        proxy.release()
        assert is_cut(deaf)
