"""`detector labels`: files to the topic and back, and tables that are made of either are the same."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.config import load
from detector.learning.labelfile import read_labels
from tests.service.harness import RECORDS, settings_tree, traffic

LINES = """number,label,active_from_ms,active_until_ms,known_at_ms,source,ticket
+999700000001,fraud,1793577600000,,1793577700000,complaint,17
+999700000002,honest,1793577600000,1793664000000,,random_audit,18
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration whose commands find a broker in memory with the topics on it."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(settings_tree(tmp_path)))
    broker = MemoryBroker()
    broker.create(topic_specs(load(path, environ={})))
    monkeypatch.setattr("detector.commands.labels.open_kafka", lambda settings: nullcontext(broker))
    (tmp_path / "labels.csv").write_text(LINES)
    return str(path)


def test_a_file_goes_to_the_topic_and_back(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In any format; what was published twice is there once; a line without a time is known when it is published."""
    file, known = str(tmp_path / "labels.csv"), ["--known-at", "1793577800000"]
    for _ in range(2):
        assert main(["labels", "publish", file, "--config", config, *known]) == 0
    assert "labels: 2 labels published" in capsys.readouterr().out
    wanted = read_labels([Path(file)], known_at_ms=1_793_577_800_000)
    for ending in ("csv", "jsonl", "parquet"):
        out = tmp_path / f"out.{ending}"
        assert main(["labels", "export", "--config", config, "--out", str(out)]) == 0
        assert sorted(read_labels([out]), key=lambda label: label.number) == wanted
    assert main(["labels", "export", "--config", config, "--out", str(out), "--known-by", "1793577700000"]) == 0
    assert read_labels([out]) == wanted[:1]
    assert main(["labels", "withdraw", "+999700000001", "--config", config]) == 0
    assert main(["labels", "export", "--config", config, "--out", str(out)]) == 0
    assert read_labels([out]) == wanted[1:]


def test_nothing_is_published_of_a_file_with_a_mistake(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An analyst's line that is not filled in, in the last of the files."""
    bad = tmp_path / "bad.csv"
    bad.write_text(LINES.replace("honest", ""))
    assert main(["labels", "publish", str(tmp_path / "labels.csv"), str(bad), "--config", config]) == 2
    assert "bad.csv: line 3: Object missing required field `label`" in capsys.readouterr().err
    assert main(["labels", "export", "--config", config, "--out", str(tmp_path / "out.csv")]) == 0
    assert read_labels([tmp_path / "out.csv"]) == []
    assert main(["labels", "publish", str(bad), "--config", config, "--known-at", "7"]) == 2
    assert main(["labels", "withdraw", "44", "--config", config]) == 2


def test_a_table_of_the_topics_labels_is_that_of_the_files(config: str, tmp_path: Path) -> None:
    """To the byte; a file beside the topic counts too."""
    records, labels = tmp_path / "r.jsonl", tmp_path / "l.jsonl"
    values = traffic(3_000)
    records.write_bytes(b"".join(value + b"\n" for value in values))
    some = sorted({value.split(b'"from":"')[1].split(b'"')[0].decode() for value in values if b'"from":"+' in value})
    lines = [
        f'{{"number": "{number}", "label": "{("fraud", "honest")[i % 2]}", "active_from_ms": 1794182400000, '
        f'"known_at_ms": 1794182400000, "source": "analyst"}}\n'
        for i, number in enumerate(some[:100])
    ]
    labels.write_text("".join(lines))
    half = tmp_path / "half.jsonl"
    half.write_text("".join(lines[:50]))
    common = ["--config", config, "--source", RECORDS, "--input", str(records), "--warm-days", "0"]
    common += ["--known-by", "2027-01-01"]
    assert main(["features", *common, "--labels", str(labels), "--out", str(tmp_path / "file")]) == 0
    assert main(["labels", "publish", str(half), "--config", config]) == 0
    assert main(["features", *common, "--labels", "topic", "--out", str(tmp_path / "half")]) == 0
    assert main(["features", *common, "--labels", "topic", str(labels), "--out", str(tmp_path / "both")]) == 0
    assert main(["labels", "publish", str(labels), "--config", config]) == 0
    assert main(["features", *common, "--labels", "topic", "--out", str(tmp_path / "topic")]) == 0
    tables = {name: (tmp_path / name).read_bytes() for name in ("file", "half", "both", "topic")}
    assert tables["topic"] == tables["file"] == tables["both"] != tables["half"]
