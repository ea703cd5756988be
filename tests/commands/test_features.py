"""`detector features`: records of any form in, one table out, in bounded memory."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import yaml

from detector.broker import TopicPartition
from detector.broker.entries import read_entries
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.config import ROOT, load
from detector.features.catalogue import NAMES
from detector.learning.archive import Archive, Progress
from detector.learning.labelfile import read_labels
from detector.learning.vectors import PLACE, VectorTable, vectors_of
from detector.metrics import Metrics
from detector.records import ROW, parse_number
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.units import DAY_MS
from detector.verdict.decisions import Decision
from tests.service.harness import RECORDS, everything, settings_tree, traffic
from tests.service.test_roles import drain

SMALL = ["--numbers", "150", "--days", "2", "--seed", "5"]
DEMO = ["--config", str(ROOT / "configs" / "demo.yaml"), "--source", "plain"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's records in two forms, and its labels."""
    folder = tmp_path_factory.mktemp("features")
    labels = ["--labels", str(folder / "labels.csv")]
    assert main(["simulate", "--to", "jsonl", "--out", str(folder / "r.jsonl"), *SMALL, *labels]) == 0
    assert main(["simulate", "--to", "parquet", "--out", str(folder / "r.parquet"), *SMALL]) == 0
    return folder


def features(*arguments: object) -> int:
    """The command, with the demo's configuration, from the first record on."""
    return main(["features", *DEMO, "--warm-days", "0", *map(str, arguments)])


def test_parquet_gives_the_table_that_json_lines_give(folder: Path, tmp_path: Path) -> None:
    """To the byte: a row is the record that the simulator wrote."""
    for form in ("jsonl", "parquet"):
        out = tmp_path / f"{form}.vectors"
        assert features("--input", folder / f"r.{form}", "--at", "every:4", "--out", out) == 0
    assert (tmp_path / "jsonl.vectors").read_bytes() == (tmp_path / "parquet.vectors").read_bytes()
    with VectorTable(tmp_path / "parquet.vectors") as table:
        assert (table.heading.moments, table.heading.activity_floor, table.labelled) == ("every:4", 3, False)
        assert len(table) > 100


def test_labels_are_joined_as_of_a_day(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A week later some frauds are known; the vectors are those of a table without labels, and so is their order."""
    labels = read_labels([folder / "labels.csv"])
    by_ms = max(label.active_from_ms for label in labels) + 3 * DAY_MS
    plain, labelled = tmp_path / "plain.parquet", tmp_path / "labelled.parquet"
    assert features("--input", folder / "r.jsonl", "--out", plain) == 0
    flags = ["--labels", folder / "labels.csv", "--known-by", by_ms, "--label-delay-days", 2.5]
    assert features("--input", folder / "r.jsonl", *flags, "--out", labelled) == 0
    summary = capsys.readouterr().out
    with VectorTable(plain) as one, VectorTable(labelled) as other:
        assert (other.heading.known_by_ms, other.heading.label_delay_days) == (by_ms, 2.5)
        for index in range(one.groups):
            assert other.group(index, PLACE).equals(one.group(index, PLACE))
            assert vectors_of(other.group(index)).tobytes() == vectors_of(one.group(index)).tobytes()
        rows = [row for batch in other.batches(["number", "event_ms", "label", "weight"]) for row in batch.to_pylist()]
    told = {1: "fraud", 0: "honest", None: "not known"}
    for label, word in told.items():
        assert f"{sum(row['label'] == label for row in rows):,} {word}" in summary
    known = {label.number for label in labels if label.known_at_ms <= by_ms}
    assert 0 < len(known) < len({label.number for label in labels})
    assert {row["label"] for row in rows} == {0, 1, None}
    number_days = {(row["number"], row["event_ms"] // DAY_MS, row["label"]) for row in rows}
    np.testing.assert_allclose(sum(row["weight"] for row in rows), len(number_days))


def test_a_vector_at_each_labels_own_moment(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One for each fraud that is known, at a moment at which it still was."""
    labels = read_labels([folder / "labels.csv"])
    by_ms = max(label.known_at_ms for label in labels)
    out = tmp_path / "v.parquet"
    flags = ["--labels", folder / "labels.csv", "--known-by", by_ms, "--at", "label"]
    assert features("--input", folder / "r.jsonl", *flags, "--out", out) == 0
    with VectorTable(out) as table:
        rows = table.group(0, ["number", "event_ms", "label", "offset"]).to_pylist()
    moments = {label.moment_ms for label in labels}
    assert len(rows) > len(labels) / 2
    assert {row["event_ms"] for row in rows} <= moments
    assert {(row["label"], row["offset"]) for row in rows} == {(1, None)}
    assert f"{len(rows):,} vectors" in capsys.readouterr().out


def test_rejected_records_are_counted_and_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By reason in the summary, and each in a file with what it was."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"id": 1}\n\xff\xfe\n' + b"".join((folder / "r.jsonl").read_bytes().splitlines(True)[:20]))
    rejects = tmp_path / "rejects.jsonl"
    assert features("--input", path, "--rejects", rejects, "--out", tmp_path / "v.parquet") == 0
    assert "records: 22; rejected: 1 " in capsys.readouterr().out
    lines = [json.loads(line) for line in rejects.read_bytes().splitlines()]
    assert [line["offset"] for line in lines] == [0, 1]
    assert lines[0]["record"].strip() == '{"id": 1}'
    assert lines[1]["record_base64"]
    assert all(line["reason"] and line["detail"] for line in lines)


STUDY = """
home: {{country_code: "999", zones: {root}/configs/zones.csv}}
sources: [{{name: study, id: 7, topic: study, mapping: {root}/tests/ingest/fixtures/copenhagen.yaml}}]
"""


def test_csv_goes_through_the_sources_own_codec_and_mapping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A study's messages: who, to whom, at which second; a header is skipped, and no bundle is needed for a floor."""
    config, file, out = tmp_path / "study.yaml", tmp_path / "a.csv", tmp_path / "v.parquet"
    config.write_text(STUDY.format(root=ROOT))
    file.write_text("source,target,timestamp\n1,2,0\n1,3,60\n2,1,7200\nx,y\n")
    common = ["--config", str(config), "--source", "study", "--floor", "0", "--warm-days", "0", "--out", str(out)]
    assert main(["features", "--input", str(file), "--at", "hour", *common]) == 0
    assert "records: 5; rejected: 1 wrong_shape; skipped: 1 header; rows: 6 counted" in capsys.readouterr().out
    with VectorTable(out) as table:
        ((first,), sent) = table.group(0, PLACE).to_pylist(), vectors_of(table.group(0))[:, NAMES.index("sms_out_1h")]
    assert first["event_ms"] % 3_600_000 == 3_599_999
    assert sent.round() == 2
    assert main(["features", "--input", str(file), *common]) == 0
    with VectorTable(out) as table:
        rows = table.group(0, PLACE).to_pylist()
    assert [(row["source"], row["partition"], row["offset"]) for row in rows] == [("study", 0, i) for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--at", "every:0"], "--at: wanted every:N, day:N, hour or label (got every:0)"),
        (["--at", "day:-1"], "--at: wanted every:N, day:N, hour or label (got day:-1)"),
        (["--at", "label"], "--at label: wanted --labels FILE (got none)"),
        (["--known-by", "2026-11-03"], "--known-by: wanted --labels FILE with it (got none)"),
        (["--labels", "l.csv"], "--known-by: wanted the time as of which labels are joined"),
        (["--labels", "l.csv", "--known-by", "7"], "--known-by: wanted the time as of which labels are joined"),
        (
            ["--labels", "l.csv", "--known-by", "2026-11-03", "--label-delay-days", "-1"],
            "--label-delay-days: wanted at",
        ),
        (["--labels", "l.csv", "--known-by", "2026-11-03"], "l.csv: wanted a readable file"),
        (["--decisions", "history"], "--decisions: wanted --labels FILE with it (got none)"),
        (["--floor", "-1"], "--floor: wanted at least 0 (got -1)"),
        (["--from", "0"], "--from: wanted --from-topic with it (got --input)"),
        (["--partition", "0"], "--partition: wanted --from-topic with it (got --input)"),
        (["--source", "switch"], "--source: wanted one of plain (got switch)"),
        (["--out", "none/v.parquet"], "none/v.parquet: wanted a place to write to"),
        (["--input", "none.jsonl"], "none.jsonl: wanted a readable file"),
    ],
)
def test_a_wrong_command_line_says_what_was_wanted(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    said: str,
) -> None:
    """Exit 2, and no table."""
    monkeypatch.chdir(tmp_path)
    assert features("--input", folder / "r.jsonl", "--out", "v.parquet", *flags) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class Lived(NamedTuple):
    """A file of records, and a broker on which both roles have worked them off in two lives."""

    file: Path
    broker: MemoryBroker
    half: int
    """Records of the first life."""
    half_ms: int
    """When the second began."""
    starts: dict[int, int]
    """Where it began, in each partition of the log."""

    def features(self, out: Path, *arguments: object) -> dict[tuple[str, int], tuple[int, bytes]]:
        """The content of the table that the command writes."""
        config = self.file.with_name("small.yaml")
        common = ["--config", str(config), "--warm-days", "0", "--out", str(out)]
        assert main(["features", *common, *map(str, arguments)]) == 0
        return content(out)


@pytest.fixture
def lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lived:
    """Each life leaves snapshots behind."""
    config, file = tmp_path / "small.yaml", tmp_path / "r.jsonl"
    config.write_text(yaml.safe_dump(settings_tree(tmp_path)))
    settings = load(config, environ={})
    records = traffic(6_000)
    file.write_bytes(b"".join(record + b"\n" for record in records))
    clock = count(1_790_000_000_000, 1_000)
    broker = MemoryBroker(clock=lambda: next(clock))
    broker.create(topic_specs(settings))
    half_ms, starts = 0, dict[int, int]()
    for half in (records[:3_000], records[3_000:]):
        half_ms = next(clock)
        partitions = [TopicPartition(settings.topics.events, q) for q in range(settings.topics.partitions)]
        committed = broker.committed("detector-detect", partitions)
        starts = {at.partition: offset or 0 for at, offset in committed.items()}
        broker.publish(RECORDS, [(None, record) for record in half], 0)
        roles = IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0")
        drain(*roles)
        for role in roles:
            role.close()
    for module in ("features", "archive", "decisions"):
        monkeypatch.setattr(f"detector.commands.{module}.open_kafka", lambda settings: nullcontext(broker))
    return Lived(file, broker, 3_000, half_ms, starts)


def content(path: Path) -> dict[tuple[str, int], tuple[int, bytes]]:
    """Of each vector, by number and record: its moment and bytes."""
    with VectorTable(path) as table:
        batches = list(table.batches())
    found = {}
    for batch in batches:
        places = batch.select(["number", "offset", "event_ms"]).to_pylist()
        for place, vector in zip(places, vectors_of(batch), strict=True):
            found[place["number"], place["offset"]] = place["event_ms"], vector.tobytes()
    return found


def test_a_range_of_the_topic_gives_the_vectors_of_the_files(lived: Lived, tmp_path: Path) -> None:
    """The whole log, a part of it by offset or by time, one partition: always those that stand there."""
    out = tmp_path / "v.parquet"
    whole = lived.features(out, "--input", lived.file, "--source", RECORDS)
    second = {place: vector for place, vector in whole.items() if place[1] >= lived.half}
    assert 500 < len(second) < len(whole) - 500
    assert lived.features(out, "--from-topic") == whole
    assert lived.features(out, "--from-topic", "--from", lived.half_ms) == second
    assert lived.features(out, "--from-topic", "--to", lived.half_ms).items() == whole.items() - second.items()
    parts = [lived.features(out, "--from-topic", "--partition", q, "--from", lived.starts[q]) for q in range(4)]
    assert sum(map(len, parts)) == len(second)
    assert {place: vector for part in parts for place, vector in part.items()} == second


def test_the_state_before_a_range_comes_from_a_snapshot_where_the_log_is_gone(
    lived: Lived, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Retention has taken the first life; without a snapshot nothing is made up either."""
    out = tmp_path / "v.parquet"
    whole = lived.features(out, "--input", lived.file, "--source", RECORDS)
    for q, start in lived.starts.items():
        lived.broker.truncate(TopicPartition("events.by-number", q), start)
    second = {place: vector for place, vector in whole.items() if place[1] >= lived.half}
    assert lived.features(out, "--from-topic") == second
    shutil.rmtree(tmp_path / "snapshots")
    command = ["features", "--config", str(tmp_path / "small.yaml"), "--from-topic", "--out", str(tmp_path / "none")]
    assert main(command) == 1
    assert main([*command, "--from", "0"]) == 2
    assert f"starts at offset {lived.starts[0]}: wanted one from there on (got 0)" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_archive_gives_the_table_of_the_topic(lived: Lived, tmp_path: Path) -> None:
    """To the byte, at events and at hours; also when the topic has forgotten, and from an offset on."""
    config, root, out = str(tmp_path / "small.yaml"), str(tmp_path / "archive"), tmp_path / "v.parquet"
    assert main(["archive", "--config", config, "--dir", root, "--once"]) == 0
    for moments in ("every:1", "hour"):
        whole = lived.features(out, "--from-topic", "--at", moments)
        table = out.read_bytes()
        with VectorTable(out) as vectors:
            assert len(vectors) > 500
        assert lived.features(out, "--archive", root, "--at", moments) == whole
        assert out.read_bytes() == table
    start = lived.starts[2]
    second = lived.features(out, "--from-topic", "--partition", 2, "--from", start)
    for q, offset in lived.starts.items():
        lived.broker.truncate(TopicPartition("events.by-number", q), offset)
    assert lived.features(out, "--archive", root, "--partition", 2, "--from", start) == second
    assert main(["features", "--config", config, "--archive", root, "--out", "v", "--from", "2026-11-03"]) == 2


def test_windows_fill_anew_behind_a_gap_of_an_archive(lived: Lived, tmp_path: Path) -> None:
    """
    rows     |=========|  gap  |==================|
    vectors  |- warm -|=       |- warm -|=========|
    """
    q, out, root = 2, tmp_path / "v.parquet", tmp_path / "archive"
    at = TopicPartition("events.by-number", q)
    entries = list(read_entries(lived.broker, at, *lived.broker.watermarks(at)))
    cut = lived.starts[q]
    behind = [entry for entry in entries if entry.offset >= cut][3].offset
    archive = Archive(root)
    with archive.writing():
        progress = Progress(identity=lived.broker.identity(at.topic), first=0, next=0)
        archive.move(q, progress)
        progress = archive.add(q, progress, cut, [entry for entry in entries if entry.offset < cut])
        progress = msgspec.structs.replace(progress, next=behind, gaps=((cut, behind),))
        archive.move(q, progress)
        archive.add(q, progress, entries[-1].offset + 1, [entry for entry in entries if entry.offset >= behind])
    (first_ms,) = {int(np.frombuffer(e.value or b"", ROW)["event_ms"][0]) for e in entries if e.offset == behind}
    warm_days = 0.05
    for flags in (["--from", behind], []):
        every = lived.features(out, "--archive", root, "--partition", q, *flags)
        warm = lived.features(out, "--archive", root, "--partition", q, *flags, "--warm-days", warm_days)
        late = {place: vector for place, vector in every.items() if place[1] >= lived.half}
        assert 0 < len(warm) < len(every)
        wanted = {place: vector for place, vector in late.items() if vector[0] >= first_ms + warm_days * DAY_MS}
        assert 0 < len(wanted) < len(late)
        assert {place: vector for place, vector in warm.items() if place[1] >= lived.half} == wanted


def test_whom_we_blocked_is_not_honest_because_nobody_complains(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a label it is not known from the block on; what people say of it counts. By topic and by file.

    Whom we only flagged is as ever.
    """
    labels, out = tmp_path / "labels.csv", tmp_path / "v.parquet"
    labels.write_text("number,label,active_from_ms,known_at_ms,source\n")
    decisions = [Decision.from_json(value or b"") for *_, value in everything(lived.broker, "decisions.history")]
    first_ms: dict[int, int] = {}
    for decision in decisions:
        if decision.action == "block":
            number = parse_number(decision.number)
            first_ms[number] = min(decision.issued_at, first_ms.get(number, decision.issued_at))
    assert 3 < len(first_ms) < len({decision.number for decision in decisions})

    def found(*flags: object) -> list[tuple[str, int, int | None]]:
        lived.features(out, "--from-topic", "--labels", labels, "--known-by", "2027-01-01", *flags)
        with VectorTable(out) as table:
            names = ["number", "event_ms", "label"]
            return [tuple(row.values()) for batch in table.batches(names) for row in batch.to_pylist()]

    before = found()
    assert "no --decisions: " in capsys.readouterr().err
    assert {label for _, _, label in before} == {0}
    hidden = found("--decisions", "history")
    assert hidden == [
        (number, ms, None if ms >= first_ms.get(parse_number(number), ms + 1) else 0) for number, ms, _ in before
    ]
    assert sum(label is None for _, _, label in hidden) > 10
    assert "no --decisions" not in capsys.readouterr().err
    tail = ["decisions", "tail", "--config", str(tmp_path / "small.yaml"), "--from-beginning", "--no-follow", "--json"]
    assert main(tail) == 0
    (tmp_path / "d.jsonl").write_text(capsys.readouterr().out)
    assert found("--decisions", tmp_path / "d.jsonl") == hidden
    spoken = next(number for number, _, label in hidden if label is None)
    labels.write_text(f"{labels.read_text()}{spoken},fraud,0,1797000000000,analyst\n")
    assert {label for number, _, label in found("--decisions", "history") if number == spoken} == {1}


def test_what_only_files_have_is_refused_with_a_topic(
    tmp_path: Path, lived: Lived, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ingest has rejected already; a partition that is not there has no rows."""
    config = ["features", "--config", str(tmp_path / "small.yaml"), "--out", "v.parquet", "--from-topic"]
    assert main([*config, "--rejects", "x"]) == 2
    assert "--rejects: wanted --input with it" in capsys.readouterr().err
    assert main([*config, "--partition", "4"]) == 2
    assert "--partition: wanted 0 to 3 (got 4)" in capsys.readouterr().err


def test_the_days_in_which_windows_fill_give_no_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless they are asked for: those that are left are the same, and the summary counts the others."""
    records = tmp_path / "r.jsonl"
    with records.open("wb") as file:
        file.writelines(days(2))
    found: dict[str, dict[tuple[str, int], tuple[int, bytes]]] = {}
    for warm in ("0", "1.5", "7"):
        out = tmp_path / f"{warm}.parquet"
        common = ["--input", str(records), "--floor", "0", "--warm-days", warm, "--out", str(out)]
        assert main(["features", *DEMO, *common]) == 0
        found[warm] = content(out)
        assert (
            f"left out, while windows filled: {40_000 - len(found[warm]):,}" in capsys.readouterr().out or warm == "0"
        )
    first_ms = min(event_ms for event_ms, _ in found["0"].values())
    late = {place: held for place, held in found["0"].items() if held[0] >= first_ms + 1.5 * DAY_MS}
    assert [len(found["0"]), len(found["7"])] == [40_000, 0]
    assert 0 < len(late) < 20_000
    assert abs(len(found["1.5"]) - len(late)) <= 12
    assert found["1.5"].items() <= found["0"].items()


def days(many: int) -> Iterator[bytes]:
    """Days of traffic among a hundred numbers, each alike."""
    for i in range(many * 20_000):
        moment = 1_793_577_600_000 + i * DAY_MS // 20_000
        caller, callee = 1 + i % 100, 1 + (i * 7 + i // 100) % 100
        yield (
            b'{"id":"m-%d","type":"sms","phase":"submit","from":"+9997000%05d","to":"+9997000%05d","time":%d,'
            b'"outcome":"sent"}\n' % (i, caller, callee, moment)
        )


MEASURED = """
import resource, sys
from detector.cli import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """Four times the traffic of the same numbers, 110 MB of vectors more: not a third of them is held."""
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "number,label,active_from_ms,known_at_ms,source\n+999700000001,fraud,1793577600000,1793577600000,analyst\n"
    )
    # One arena, and Arrow's memory from it: else the peak varies by 30 MB from run to run.
    environ = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    peaks_mb = []
    for many in (4, 16):
        path, out = tmp_path / f"{many}.jsonl", tmp_path / f"{many}.parquet"
        with path.open("wb") as file:
            file.writelines(days(many))
        arguments = [*DEMO, "--input", path, "--out", out, "--floor", 0, "--warm-days", 0]
        arguments += ["--labels", labels, "--known-by", "2026-12-31"]
        command = [sys.executable, "-c", MEASURED, "features", *map(str, arguments)]
        ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        peaks_mb.append(int(ran.stdout.splitlines()[-1]))
        with VectorTable(out) as table:
            assert len(table) == many * 20_000
    assert peaks_mb[1] - peaks_mb[0] < 12 * 20_000 * 480 / 3 / 2**20, peaks_mb
