"""A TCP proxy between clients and a broker, whose connections can be cut: in one direction or both.

    client -> port -> Proxy -> upstream -> broker

A client of Kafka goes on to the address that the broker names: the broker must name this one's.
"""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal

Direction = Literal["to broker", "to client"]

RESET: Final = struct.pack("ii", 1, 0)
"""Linger for no time: a closed connection is reset, as when a machine has gone."""
READ_BYTES: Final = 1 << 18


class Proxy:
    """Carries bytes while in its `with` block: a thread takes connections, and two carry each."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.upstream = 0
        """Port of the broker; to be set before clients come."""
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._open: dict[Direction, threading.Event] = {"to broker": threading.Event(), "to client": threading.Event()}
        for gate in self._open.values():
            gate.set()

    def cut(self) -> int:
        """Every connection is reset, on both sides; new ones are taken at once. Returns how many there were."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._close(pair)
        return len(pairs)

    def hold(self, direction: Direction) -> None:
        """Nothing more goes in this direction."""
        self._open[direction].clear()

    def release(self) -> None:
        """Every connection is reset, and new ones carry both ways again: what was held is never delivered."""
        self.cut()
        for gate in self._open.values():
            gate.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self.upstream), 1.0)
            except OSError:
                client.close()
                continue
            pair = (client, broker)
            for end in pair:
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.add(pair)
            threading.Thread(target=self._carry, args=(pair, client, broker, "to broker"), daemon=True).start()
            threading.Thread(target=self._carry, args=(pair, broker, client, "to client"), daemon=True).start()

    def _carry(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        sink: socket.socket,
        direction: Direction,
    ) -> None:
        with suppress(OSError):
            while content := source.recv(READ_BYTES):
                self._open[direction].wait()
                sink.sendall(content)
        self._close(pair)

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            if pair not in self._pairs:
                return
            self._pairs.discard(pair)
        for end in pair:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            # Wakes the thread that waits for it.
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
