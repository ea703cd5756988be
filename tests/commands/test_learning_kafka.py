"""The learning commands on a real Kafka: its markers, its offsets with holes, its times of publication."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.config import Settings, load
from detector.learning.labelfile import read_labels
from detector.learning.servedtable import served_on
from detector.metrics import Metrics
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from tests.commands.test_features import content
from tests.service.harness import RECORDS, published_decisions, settings_tree, traffic

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SIZE = 12_000
NAME = "learning"
QUIET_S = 3.0


@pytest.fixture
def settings(kafka: LocalKafka, tmp_path: Path) -> Settings:
    """A configuration file with names of its own, read back; one vector of twenty is kept."""
    tree: dict[str, Any] = settings_tree(tmp_path, **{"bootstrap.servers": kafka.address})
    names = ("events", "decisions", "history", "shadow", "commands", "control", "rejects", "labels", "vectors")
    tree["topics"] = {"partitions": 4} | {name: f"{NAME}.{name}" for name in names}
    tree["sources"] = [source | {"topic": f"{NAME}.records"} for source in tree["sources"]]
    tree["detect"] |= {"vectors_every": 20}
    tree["group"] = NAME
    path = tmp_path / "detector.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return load(path, {})


def work(settings: Settings, broker: KafkaBroker, records: list[bytes]) -> None:
    """Both roles work `records` off, and leave: snapshots are written."""
    broker.publish(f"{NAME}.records", [(None, value) for value in records], 0)
    roles = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0")
    worked = time.monotonic()
    while time.monotonic() - worked < QUIET_S:
        if sum(role.step() for role in roles):
            worked = time.monotonic()
    for role in roles:
        role.close()


def test_topic_archive_and_files_teach_the_same(settings: Settings, tmp_path: Path) -> None:
    """Vectors, kept vectors, labels and past decisions, over two lives of the roles."""
    broker = KafkaBroker(settings.kafka)
    broker.create(topic_specs(settings, source_partitions=1))
    records, half = traffic(SIZE), SIZE // 2
    file, config, archive = tmp_path / "r.jsonl", str(tmp_path / "detector.yaml"), str(tmp_path / "archive")
    file.write_bytes(b"".join(record + b"\n" for record in records))
    work(settings, broker, records[:half])
    between_ms = int(time.time() * 1000)
    work(settings, broker, records[half:])
    assert main(["archive", "--config", config, "--dir", archive, "--once"]) == 0

    def features(*arguments: object) -> dict[tuple[str, int], tuple[int, bytes]]:
        out = tmp_path / "v.parquet"
        common = ["--config", config, "--warm-days", "0", "--out", str(out)]
        assert main(["features", *common, *map(str, arguments)]) == 0
        return content(out)

    whole = features("--input", file, "--source", RECORDS)
    second = {place: vector for place, vector in whole.items() if place[1] >= half}
    assert features("--from-topic") == whole
    assert features("--archive", archive) == whole
    assert features("--from-topic", "--from", between_ms) == second
    assert 0 < len(second) < len(whole)

    assert len(served_on(broker, settings.topics.vectors)[0]) > len(whole) / 40
    assert main(["parity", "--config", config, "--from-topic"]) == 0
    assert main(["parity", "--config", config, "--archive", archive]) == 0
    assert main(["parity", "--config", config, "--from-topic", "--vectors", str(tmp_path / "v.parquet")]) == 0

    labels = tmp_path / "labels.jsonl"
    number = next(iter(second))[0]
    line = {"number": number, "label": "fraud", "active_from_ms": 1, "known_at_ms": 2, "source": "analyst", "type": "x"}
    labels.write_text(json.dumps(line) + "\n")
    assert main(["labels", "publish", "--config", config, str(labels)]) == 0
    assert main(["labels", "export", "--config", config, "--out", str(tmp_path / "back.csv")]) == 0
    assert read_labels([tmp_path / "back.csv"]) == read_labels([labels])

    def backtest(*arguments: object) -> dict[str, Any]:
        out = tmp_path / "backtest.json"
        assert main(["backtest", "--config", config, "--json", str(out), *map(str, arguments)]) == 0
        (lane,) = json.loads(out.read_bytes())["lanes"]
        return lane  # type: ignore[no-any-return]

    by_topic = backtest("--from", 0, "--labels", "topic")
    assert by_topic == backtest(file, "--source", RECORDS, "--labels", labels)
    assert by_topic["types"]["x"]["numbers"] == 1
    later = backtest("--from", between_ms)
    made = sum(sum(found.values()) for found in by_topic["rules"].values())
    assert 0 < sum(sum(found.values()) for found in later["rules"].values()) < made
    assert made <= published_decisions(broker, settings).total()
    broker.close()
