"""A running detector behind its admin port: the real roles on the broker in memory, stepped by a thread."""

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from detector.admin import Access, AdminServer, Api, Desk, Probe, Tokens
from detector.admin.seen import Worker
from detector.admin.tokens import new_token
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.config import Settings
from detector.metrics import Metrics
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.orders import Orders
from tests.service.harness import RECORDS, settings_for, traffic

ROLES = ("viewer", "analyst", "operator")


@dataclass
class World:
    """What a test asks of it."""

    settings: Settings
    broker: MemoryBroker
    server: AdminServer
    detect: DetectRole
    metrics: Metrics
    tokens: Mapping[str, str]
    """By role; the caller of each bears the role's name."""
    file: Path
    """That the tokens' hashes stand in."""
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(
        self, path: str, role: str | None = "operator", body: Any = None, method: str | None = None, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, body (JSON where it is) and headers."""
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            sent.setdefault("Authorization", f"Bearer {self.tokens.get(role, role)}")
        content = body if isinstance(body, bytes | None) else orjson.dumps(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method or ("GET" if content is None else "POST"), path, content, sent)
            answer = connection.getresponse()
            raw = answer.read()
            told = orjson.loads(raw) if answer.getheader("Content-Type") == "application/json" else raw.decode()
            return answer.status, told, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def until(self, what: str, is_so: Any) -> Any:
        """Waits for it; what `is_so` found."""
        until = time.monotonic() + 60
        while not (found := is_so()):
            assert time.monotonic() < until, what
            time.sleep(0.05)
        return found


@contextmanager
def world(folder: Path, records: int = 6_000, with_tokens: bool = True, **access: Any) -> Iterator[World]:
    """A detector that has decided on some traffic and goes round; its rate limits are as `access` says."""
    settings = settings_for(folder)
    values = traffic(records)
    last = orjson.loads(values[-1])
    newest_ms = int(last.get("start") or last["time"])
    broker = MemoryBroker(lambda: newest_ms)
    broker.create(topic_specs(settings, source_partitions=1))
    broker.publish(RECORDS, [(None, value) for value in values], 0)
    metrics = Metrics()
    desk: Desk[Worker] = Desk(20)
    roles = IngestRole(settings, broker, metrics, "0"), DetectRole(settings, broker, metrics, "0", desk=desk)
    idle = 0
    while idle < 3:
        idle = 0 if sum(role.step() for role in roles) else idle + 1
    made = {role: new_token() for role in ROLES}
    file = folder / "tokens.yaml"
    file.write_text("".join(f"- {{name: {r}, role: {r}, sha256: {digest}}}\n" for r, (_, digest) in made.items()))
    probe = Probe(metrics.registry, "detect-test-0", time.time, dict)
    api = Api("detect-test-0", desk, Orders(broker, settings.topics), lambda: newest_ms / 1000)
    door = Access(Tokens(file) if with_tokens else None, **access)
    with AdminServer("127.0.0.1", 0, probe, api=api, access=door) as server:
        made_world = World(settings, broker, server, roles[1], metrics, {r: t for r, (t, _) in made.items()}, file)

        def go_round() -> None:
            while not made_world.stop.is_set():
                for role in roles:
                    role.step()

        loop = threading.Thread(target=go_round)
        loop.start()
        try:
            yield made_world
        finally:
            made_world.stop.set()
            loop.join()
