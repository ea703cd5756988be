"""`detector parity`: what serving scored is what the rows give, from topic, archive and table; else it is named."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.config import Settings, load
from detector.features.catalogue import NAMES
from detector.learning.encode import encode
from detector.learning.parity import of_originators
from detector.learning.servedtable import archive_of_served, read_served, served_on
from detector.learning.simulate import Scenario, simulate
from detector.metrics import Metrics
from detector.records import number_text
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.units import DAY_MS
from detector.verdict.served import Served, pack_served
from tests.service.harness import RECORDS, settings_tree, traffic
from tests.service.test_roles import drain

EVERY = 7


class Lived(NamedTuple):
    """A broker on which both roles have worked off some records, in two lives."""

    config: str
    settings: Settings
    broker: MemoryBroker
    folder: Path

    def served(self) -> Served:
        return served_on(self.broker, self.settings.topics.vectors)[0]

    def tamper(self, rows: Served) -> None:
        """Somebody else's vectors stand on the topic too."""
        value, headers = pack_served(rows, "mine-1")
        producer = self.broker.producer("tampering")
        producer.begin()
        producer.send(self.settings.topics.vectors, 1, value, headers=headers)
        producer.commit({}, None)


def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: Sequence[bytes]) -> Lived:
    """Half of the records in each life; the second begins from snapshots."""
    tree = settings_tree(tmp_path)
    tree["detect"] = dict(tree["detect"]) | {"vectors_every": EVERY}  # type: ignore[call-overload]
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump(tree))
    settings = load(config, environ={})
    clock = count(1_790_000_000_000, 1_000)
    broker = MemoryBroker(clock=lambda: next(clock))
    broker.create(topic_specs(settings))
    (tmp_path / "r.jsonl").write_bytes(b"".join(record + b"\n" for record in records))
    middle = len(records) // 2
    for half in (records[:middle], records[middle:]):
        broker.publish(RECORDS, [(None, record) for record in half], 0)
        roles = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0")
        drain(*roles)
        for role in roles:
            role.close()
    for module in ("parity", "archive", "features"):
        monkeypatch.setattr(f"detector.commands.{module}.open_kafka", lambda settings: nullcontext(broker))
    return Lived(str(config), settings, broker, tmp_path)


@pytest.fixture
def lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lived:
    """Hours of traffic."""
    return live(tmp_path, monkeypatch, traffic(6_000))


def test_serving_and_training_agree(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    """Over a restart, from the topic, a partition of it, the archive, and a table that was made of files."""
    served = lived.served()
    assert len(served) > 300
    assert main(["parity", "--config", lived.config, "--from-topic"]) == 0
    said = f"{len(served):,} vectors kept by serving, {len(served):,} compared, 0 not computed here; 0 differ\nequal\n"
    assert capsys.readouterr().out == said
    mine = np.count_nonzero(served["log_partition"] == 2)
    assert main(["parity", "--config", lived.config, "--from-topic", "--partition", "2"]) == 0
    assert f"{mine:,} compared" in capsys.readouterr().out
    archive, table = str(lived.folder / "archive"), str(lived.folder / "v.parquet")
    assert main(["archive", "--config", lived.config, "--dir", archive, "--once"]) == 0
    assert f"{len(served):,} vectors archived" in capsys.readouterr().out
    lived.broker.delete([lived.settings.topics.events, lived.settings.topics.vectors])
    assert main(["parity", "--config", lived.config, "--archive", archive]) == 0
    assert capsys.readouterr().out == said
    made = ["--source", RECORDS, "--input", str(lived.folder / "r.jsonl"), "--warm-days", "0", "--out", table]
    for moments, part in (("every:1", 1.0), ("every:3", 0.7)):
        assert main(["features", "--config", lived.config, *made, "--at", moments]) == 0
        capsys.readouterr()
        assert main(["parity", "--config", lived.config, "--archive", archive, "--vectors", table]) == 0
        out = capsys.readouterr().out
        compared = int(out.split(" compared")[0].rsplit(" ", 1)[1])
        assert 20 < compared <= part * len(served)
        assert (compared == len(served)) == (moments == "every:1")


def written(path: Path) -> dict[str, float]:
    """What a scrape reads of the file: names without their beginning; its time is now, and is left out."""
    prefix = "detector_parity_"
    samples = {
        sample.name.removeprefix(prefix): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }
    assert abs(samples.pop("timestamp_seconds") - time.time()) < 60
    return samples


def test_every_outcome_stands_in_the_file_that_alerts_look_at(lived: Lived) -> None:
    """Equal, then nothing to compare; a run that could not be made leaves what the last one said, with its time."""
    metrics = lived.folder / "parity.prom"
    run = ["parity", "--config", lived.config, "--from-topic", "--metrics", str(metrics)]
    assert main(run) == 0
    served = len(lived.served())
    equal = {"equal": 1.0, "vectors": served, "differing": 0, "missing": 0}
    assert written(metrics) == equal
    assert main([*run, "--partition", "9"]) == 2
    assert written(metrics) == equal
    table = lived.folder / "v.parquet"
    made = ["--source", RECORDS, "--input", str(lived.folder / "r.jsonl"), "--warm-days", "0", "--out", str(table)]
    (lived.folder / "r.jsonl").write_bytes(b"".join(record + b"\n" for record in traffic(6_000)))
    assert main(["features", "--config", lived.config, *made, "--at", "every:3"]) == 0
    assert main([*run, "--vectors", str(table)]) == 0
    of_table = written(metrics)
    assert of_table["equal"] == 1
    assert of_table["missing"] > 0
    lived.broker.delete([lived.settings.topics.vectors])
    lived.broker.create(topic_specs(lived.settings))
    assert main(run) == 1
    assert written(metrics) == {"equal": 0, "vectors": 0, "differing": 0, "missing": 0}


def test_the_archive_keeps_what_stood_on_the_topic(lived: Lived) -> None:
    """Bit for bit, each row once; an erased number is in it no more."""
    archive = lived.folder / "archive"
    for _ in range(2):
        assert main(["archive", "--config", lived.config, "--dir", str(archive), "--once"]) == 0
    served = lived.served()
    kept = read_served(archive_of_served(archive))

    def rows(some: Served) -> list[bytes]:
        return sorted(row.tobytes() for row in some)

    assert rows(kept) == rows(served)
    assert rows(read_served(archive_of_served(archive), 1)) == rows(served[served["log_partition"] == 1])
    number = int(served["number"][0])
    erase = ["archive", "erase", "--dir", str(archive), "--number", number_text(number)]
    assert main(erase) == 0
    assert rows(read_served(archive_of_served(archive))) == rows(served[served["number"] != number])


def test_a_feature_that_differs_is_named_and_exits_with_1(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    """With number, record and both values; and so it stands in the metrics."""
    wrong = lived.served()[:2].copy()
    wrong["vector"][:, 4] += 1.0
    topic = lived.settings.topics.vectors
    lived.broker.delete([topic])
    lived.broker.create([spec for spec in topic_specs(lived.settings) if spec.name == topic])
    lived.tamper(wrong)
    metrics = lived.folder / "parity.prom"
    assert main(["parity", "--config", lived.config, "--from-topic", "--metrics", str(metrics)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "2 vectors kept by serving, 2 compared, 0 not computed here; 2 differ",
        f"{NAMES[4]}: 2 differ",
    ]
    one = wrong[0]
    value = float(one["vector"][4])
    assert f"  {number_text(int(one['number']))} at {RECORDS}[0] offset {one['offset']}: served {value}, " in lines[2]
    assert lines[-1] == "not equal"
    assert written(metrics) == {"equal": 0, "vectors": 2, "differing": 2, "missing": 0}


def test_a_vector_that_the_rows_do_not_give_exits_with_1(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    """As does having nothing to compare; what is of another version is left out, and said."""
    missing = lived.served()[:1].copy()
    missing["number"] += 1
    lived.tamper(missing)
    lived.broker.publish(lived.settings.topics.vectors, [(None, b"x")], 0)
    assert main(["parity", "--config", lived.config, "--from-topic"]) == 1
    said = capsys.readouterr()
    assert "1 not computed here; 0 differ\nnot equal" in said.out
    assert "1 messages of other features" in said.err
    lived.broker.delete([lived.settings.topics.vectors])
    lived.broker.create(topic_specs(lived.settings))
    assert main(["parity", "--config", lived.config, "--from-topic"]) == 1
    assert "nothing to compare" in capsys.readouterr().out
    assert main(["parity", "--config", lived.config, "--from-topic", "--partition", "9"]) == 2


def test_windows_that_reach_back_before_the_log_are_not_compared(
    lived: Lived, capsys: pytest.CaptureFixture[str]
) -> None:
    """Retention has taken the beginning: what is left covers less than eight days, so nothing can be said."""
    for q in range(4):
        at = TopicPartition(lived.settings.topics.events, q)
        lived.broker.truncate(at, lived.broker.watermarks(at)[1] // 2)
    assert main(["parity", "--config", lived.config, "--from-topic"]) == 1
    said = capsys.readouterr()
    assert f"{len(lived.served()):,} vectors are left out" in said.err
    assert said.out.splitlines()[-1] == "nothing to compare"


def test_days_that_the_archive_no_longer_keeps_are_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    log      |0 ................ 10 ............... 20|
    archive                      |==================|   --keep-days 10; offsets begin at 0 as before
    whole                        |-- 7 + 1 d --|====|
    """
    records = encode(simulate(Scenario(numbers=60, days=21, seed=3)).records)
    lived = live(tmp_path, monkeypatch, records)
    served, archive = of_originators(lived.served()), str(tmp_path / "archive")
    oldest_ms = (int(served["event_ms"].max()) // DAY_MS - 10) * DAY_MS
    whole = np.count_nonzero(served["event_ms"] >= oldest_ms + 8 * DAY_MS)
    assert 100 < whole < len(served) - 100
    with monkeypatch.context() as patch:  # the traffic's time, whenever this runs
        patch.setattr("time.time", lambda: int(served["event_ms"].max()) / 1000)
        assert main(["archive", "--config", lived.config, "--dir", archive, "--once", "--keep-days", "10"]) == 0
    assert "days removed" in capsys.readouterr().out
    assert main(["parity", "--config", lived.config, "--archive", archive]) == 0
    assert f"{whole:,} vectors kept by serving, {whole:,} compared, 0 not computed" in capsys.readouterr().out
