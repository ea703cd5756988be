"""The operator's tools on a real Kafka: the audit agrees with what was published, and sees what was tampered with."""

import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import yaml

from detector.broker import TopicPartition, TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.config import Settings, load
from detector.metrics import Metrics
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from tests.service.harness import everything, settings_tree, traffic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SIZE = 20_000
SOURCE = "audit.records"
QUIET_S = 3.0
"""Without a message for this long, both roles have done what there was."""


@pytest.fixture
def settings(kafka: LocalKafka, tmp_path: Path) -> Settings:
    """A configuration file with names of its own, read back."""
    tree = settings_tree(tmp_path, **{"bootstrap.servers": kafka.address})
    names = ("events", "decisions", "history", "shadow", "commands", "control", "rejects")
    tree["topics"] = {"partitions": 4} | {name: f"audit.{name}" for name in names}
    tree["sources"] = [dict(source) | {"topic": SOURCE} for source in tree["sources"]]  # type: ignore[attr-defined]
    tree["group"] = "audit"
    path = tmp_path / "detector.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return load(path, {})


def work(settings: Settings, broker: KafkaBroker, records: list[bytes]) -> None:
    """Both roles work `records` off, and leave: snapshots are written."""
    broker.publish(SOURCE, [(None, value) for value in records], 0)
    roles = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0")
    worked = time.monotonic()
    while time.monotonic() - worked < QUIET_S:
        if sum(role.step() for role in roles):
            worked = time.monotonic()
    for role in roles:
        role.close()


def test_the_tools_agree_with_an_honest_run_and_see_a_tampered_one(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole log, from a snapshot, by time; then a copy of the history with a decision gone, one changed, one twice."""

    def run(*argv: str) -> tuple[int, list[str]]:
        code = main([*argv, "--config", str(tmp_path / "detector.yaml")])
        return code, capsys.readouterr().out.splitlines()

    broker = KafkaBroker(settings.kafka)
    broker.create(topic_specs(settings, source_partitions=2))
    records = traffic(SIZE)
    work(settings, broker, records[: SIZE // 2])
    between_ms = int(time.time() * 1000)
    work(settings, broker, records[SIZE // 2 :])
    history = everything(broker, settings.topics.history)
    assert len(history) > 4

    code, lines = run("snapshots", "verify")
    assert (code, lines[-1].partition(", ")[2]) == (0, "0 not, 0 half written")
    assert run("audit")[1][-1] == f"{len(history)} decisions, equal"
    code, lines = run("audit", "--from", str(between_ms))
    assert (code, lines[-1].split()[-1]) == (0, "equal")
    rows = [line.split() for line in lines[1:5]]
    assert {row[3] for row in rows} == {"snapshot"}
    assert all(int(row[1]) < int(row[2]) for row in rows)
    before = run("audit", "--to", str(between_ms))[1][-1].split()[0]
    assert int(before) + int(lines[-1].split()[0]) == len(history)

    copy = tampered(broker, settings, history, change=lambda tree: tree | {"reason": "for a friend"})
    monkeypatch.setenv("DETECTOR__TOPICS__HISTORY", copy)
    code, lines = run("audit")
    assert code == 1
    found = {line.split()[0]: line.split()[1] for line in lines[5:-1]}
    gone, changed, twice = (orjson.loads(value or b"")["decision_id"] for _, _, value in history[:3])
    assert found == {"missing": gone, "different": changed, "extra": twice}
    assert lines[-1] == f"{len(history)} decisions, 3 differences"

    (store,) = (tmp_path / "snapshots").iterdir()
    newest = max((store / "0").iterdir())
    (newest / "manifest.json").write_text("{")
    assert run("snapshots", "verify")[0] == 1
    assert run("snapshots", "prune", "--keep", "1")[0] == 0
    assert run("snapshots", "verify")[0] == 0
    broker.close()


def tampered(
    broker: KafkaBroker,
    settings: Settings,
    history: list[tuple[int, bytes | None, bytes | None]],
    change: Callable[[dict[str, object]], dict[str, object]],
) -> str:
    """A copy of the history: its first decision is gone, the second says something else, the third is there twice."""
    name = f"{settings.topics.history}.copy"
    broker.create([TopicSpec(name, settings.topics.partitions)])
    for i, (partition, key, value) in enumerate(history):
        if i == 1:
            value = orjson.dumps(change(orjson.loads(value or b"")))
        for _ in range((0, 1, 2)[i] if i < 3 else 1):
            broker.publish(name, [(key, value)], partition)
    assert broker.watermarks(TopicPartition(name, history[-1][0]))[1] > 0
    return name
