"""The admin port of real processes on a real Kafka: what is ordered there is obeyed, and outlives them."""

import http.client
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import pytest
import yaml

from detector.admin.api import NOTHING_ENDED, WHERE_TO_LOOK
from detector.admin.tokens import new_token
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import load
from loadtest.fleet import Fleet, Worker
from tests.service.harness import settings_tree, traffic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NUMBER = "+999712345678"
LIMIT_S = 180.0


def ask(worker: Worker, token: str, path: str, body: dict[str, str] | None = None) -> tuple[int, Any]:
    """Status and body; 0 where nobody answers."""
    try:
        connection = http.client.HTTPConnection(urlsplit(worker.url).netloc, timeout=20)
        content = None if body is None else orjson.dumps(body)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, content, headers)
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read())
    except (OSError, ValueError):
        return 0, {}


def until(what: str, is_so: Any) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def test_an_order_given_to_one_process_is_obeyed_by_another(kafka: LocalKafka, tmp_path: Path) -> None:
    """Of two detect workers one holds the number, and the other says which; shadow mode outlives a kill -9 of both."""
    token, digest = new_token()
    tree = settings_tree(tmp_path, **{"bootstrap.servers": kafka.address})
    names = ("events", "decisions", "history", "shadow", "commands", "control", "rejects", "labels", "vectors")
    tree["topics"] = {"partitions": 4} | {name: f"admin.{name}" for name in names}
    sources: Any = tree["sources"]
    tree["sources"] = [source | {"topic": "admin.records"} for source in sources]
    tree |= {"group": "admin", "admin": {"port": 0, "tokens": "tokens.yaml"}}
    (tmp_path / "tokens.yaml").write_text(f"- {{name: ana, role: operator, sha256: {digest}}}\n")
    config = tmp_path / "detector.yaml"
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    settings = load(config, {})
    broker = KafkaBroker(settings.kafka)
    broker.create(topic_specs(settings, source_partitions=2))
    with Fleet(config, {"ingest": 1, "detect": 2}) as fleet:
        ingest, *workers = fleet.workers
        until("everybody is at work", lambda: all(one.is_ready() for one in fleet.workers))
        broker.publish("admin.records", [(None, value) for value in traffic(2_000)], 0)
        order = {"action": "block", "number": NUMBER, "service": "voice", "reason": "fraud, on paper"}
        assert ask(ingest, token, "/v1/commands", order)[0] == 202
        path = f"/v1/numbers/{quote(NUMBER)}"

        def answers() -> dict[int, tuple[Worker, Any]]:
            found = {}
            for worker in workers:
                status, told = ask(worker, token, path)
                found[status] = worker, told
            return found

        def is_blocked() -> bool:
            found = answers()
            return found.keys() == {200, 421} and [one["action"] for one in found[200][1]["decisions"]] == ["block"]

        until("it is blocked by one, and the other knows by whom", is_blocked)
        found = answers()
        holder, told = found[200]
        assert told["decisions"][0]["source"] == "operator:ana"
        until("who holds it is told", lambda: answers()[421][1]["held_by"] == f"detect-test-{holder.ordinal}")
        assert ask(ingest, token, path)[0] == 404
        (other,) = (worker for worker in workers if worker is not holder)
        nothing = {"action": "release", "number": NUMBER, "scope": "trunk:7", "reason": "a rehearsal"}
        notes = [ask(one, token, "/v1/commands", nothing)[1]["note"] for one in (ingest, other, holder)]
        assert notes == [
            f"not known here: {WHERE_TO_LOOK}",
            f"another worker holds this number: {WHERE_TO_LOOK}",
            NOTHING_ENDED,
        ]
        assert ask(holder, token, "/v1/commands", nothing | {"scope": "originating"})[1]["note"] is None
        assert ask(ingest, token, "/v1/mode", {"mode": "shadow", "reason": "a rehearsal"})[0] == 202

        def modes() -> set[str]:
            return {ask(worker, token, "/v1/partitions")[1].get("mode", "") for worker in workers}

        until("both decide in shadow mode", lambda: modes() == {"shadow"})
        before = [len(worker.codes) for worker in workers]
        for worker in workers:
            fleet.strike(worker, signal.SIGKILL)
        until("others run in their place", lambda: all(len(w.codes) > n for w, n in zip(workers, before, strict=True)))
        until("everybody is at work again", lambda: all(one.is_ready() for one in fleet.workers))
        until("both decide in shadow mode still", lambda: modes() == {"shadow"})
        assert not any(fleet.stop().values())
    assert NUMBER[1:] not in "".join(worker.log.read_text() for worker in fleet.workers)
    broker.close()
