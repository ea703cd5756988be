"""`detector archive`: every row once, whatever dies when, for as long as is wanted and no longer."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import yaml

from detector.broker import TopicPartition, TopicSpec
from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.memory import MemoryBroker
from detector.cli import main
from detector.errors import ConfigError
from detector.learning.archive import Archive
from detector.learning.archiving import Archiver
from detector.learning.logs import WHOLE_AFTER_MS, logs_in
from detector.records import BEAT_ID, ROW, SCHEMA_ID, Kind, NumberKind, Rows, number_text, pack_digits, pack_sender
from detector.units import DAY_MS
from tests.service.harness import settings_tree

EVENTS = "events.by-number"
START_MS = 1_793_577_600_000
LATER_MS = START_MS + 1_000 * DAY_MS
SENDER = pack_sender("ACME", 3)
Row = tuple[int, int, bytes]


def some_rows(first: int, count: int, days: int = 3) -> Rows:
    """Rows of several days, between a few numbers and a sender id; each is unlike any other."""
    rows = np.zeros(count, ROW)
    i = np.arange(first, first + count)
    numbers = np.array([pack_digits(NumberKind.E164, f"99970000000{k}") for k in range(6)] + [SENDER], np.uint64)
    rows["number"], rows["other"] = numbers[i % 7], numbers[(i + 1) % 7]
    rows["event_ms"] = START_MS + (i * 7_919_000) % (days * DAY_MS)
    rows["offset"], rows["kind"], rows["source"] = i, Kind.SMS, 1
    return rows


def publish(broker: MemoryBroker | KafkaBroker, partition: int, first: int, messages: int = 4, each: int = 5) -> None:
    """A transaction of rows, as ingest commits them: a marker stands behind it."""
    producer = broker.producer(f"test-{partition}")
    with closing(producer):
        producer.begin()
        for m in range(messages):
            rows = some_rows(first + m * each, each)
            headers = [("schema", SCHEMA_ID)]
            if SENDER in rows["number"] or SENDER in rows["other"]:
                headers.append(("names", orjson.dumps({str(SENDER): f"Acme{m}"})))
            producer.send(EVENTS, partition, rows.tobytes(), headers=headers)
        producer.commit({}, None)


def in_log(broker: MemoryBroker | KafkaBroker, partition: int, start: int = 0) -> list[Row]:
    """Rows of the log, with where they stand."""
    high = broker.watermarks(TopicPartition(EVENTS, partition))[1]
    return [
        (message.offset(), i, row.tobytes())
        for message in broker.read(TopicPartition(EVENTS, partition), start, high)
        for i, row in enumerate(np.frombuffer(message.value() or b"", ROW))
    ]


def in_archive(root: Path, partition: int) -> list[Row]:
    """Rows that the archive gives back, in its order."""
    archive = Archive(root)
    progress = archive.progress()
    return [
        (entry.offset, i, row.tobytes())
        for entry in archive.entries(partition, progress[partition].next)
        for i, row in enumerate(np.frombuffer(entry.value or b"", ROW))
    ]


def on_disk(root: Path) -> Counter[tuple[int, int]]:
    """Source offset and number of every row of every file, whoever speaks of the file."""
    found: Counter[tuple[int, int]] = Counter()
    for path in root.glob("day=*/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        found.update(zip(table["offset"].to_pylist(), table["number"].to_pylist(), strict=True))
    return found


@pytest.fixture
def broker() -> MemoryBroker:
    """Two partitions with rows."""
    broker = MemoryBroker()
    broker.create([TopicSpec(EVENTS, 2)])
    publish(broker, 0, 0)
    publish(broker, 1, 1_000)
    return broker


def archived(root: Path, broker: MemoryBroker | KafkaBroker, batch_bytes: int = 400, keep_days: int = 0) -> None:
    """A run of the archiver to the log's end, in small batches."""
    archive = Archive(root)
    with archive.writing():
        archiver = Archiver(archive, broker, EVENTS, batch_bytes=batch_bytes)
        for q in range(2):
            archiver.step(q)
        if keep_days:
            archive.keep(keep_days, LATER_MS)


def test_rows_come_back_in_the_order_of_the_log(tmp_path: Path, broker: MemoryBroker) -> None:
    """With their headers; each in the folder of its day; a second run adds what is new and nothing else."""
    archived(tmp_path, broker)
    assert [in_archive(tmp_path, q) for q in range(2)] == [in_log(broker, q) for q in range(2)]
    publish(broker, 0, 20)
    archived(tmp_path, broker)
    archived(tmp_path, broker)
    assert [in_archive(tmp_path, q) for q in range(2)] == [in_log(broker, q) for q in range(2)]
    at = TopicPartition(EVENTS, 0)
    entries = list(Archive(tmp_path).entries(0, 1_000))
    assert [(entry.offset, sorted(entry.headers)) for entry in entries] == [
        (message.offset(), sorted(message.headers() or [])) for message in broker.read(at, 0, 1_000)
    ]
    for path in tmp_path.glob("day=*/*.parquet"):
        times = pq.read_table(path, partitioning=None)["event_ms"].to_numpy()
        assert {f"day={np.datetime64(ms, 'ms').astype('datetime64[D]')}" for ms in times.tolist()} == {path.parent.name}
    assert len(list(tmp_path.glob("day=*"))) == 3


def test_a_command_is_kept_with_its_row(tmp_path: Path, broker: MemoryBroker) -> None:
    """What the operator said, byte for byte."""
    rows = some_rows(500, 1)
    rows["kind"] = Kind.COMMAND
    headers = [("schema", SCHEMA_ID), ("command", b'{"action":"allow"}')]
    producer = broker.producer("commands")
    producer.begin()
    producer.send(EVENTS, 0, rows.tobytes(), headers=headers)
    producer.commit({}, None)
    archived(tmp_path, broker)
    *_, last = Archive(tmp_path).entries(0, 1_000)
    assert (last.value, last.headers) == (rows.tobytes(), headers)


def test_headers_that_ingest_does_not_write_stop_nothing(tmp_path: Path, broker: MemoryBroker) -> None:
    """Names that cannot be read name nobody, and what is no message of rows has no rows: detect takes them so too."""
    producer = broker.producer("strange")
    producer.begin()
    for names in (b"\xff", b"[1]", b'{"x": "y"}'):
        producer.send(EVENTS, 0, some_rows(500, 7).tobytes(), headers=[("schema", SCHEMA_ID), ("names", names)])
    producer.commit({}, None)
    there = in_log(broker, 0)
    producer.begin()
    producer.send(EVENTS, 0, b"no rows", headers=[("schema", SCHEMA_ID)])
    producer.send(EVENTS, 0, b"", headers=[("schema", BEAT_ID), ("beat", b"1794000000000")])
    producer.send(EVENTS, 0, some_rows(600, 7).tobytes(), headers=[])
    producer.commit({}, None)
    archived(tmp_path, broker)
    assert in_archive(tmp_path, 0) == there


class Killed(BaseException):
    """The process died here."""


class Killer:
    """Raises `Killed` before the n-th file operation beneath a folder; hears of all, whoever does them."""

    def __init__(self) -> None:
        self.root, self.left = "", -1
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.left < 0 or event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        if not isinstance(arguments[0], str | os.PathLike) or not os.fspath(arguments[0]).startswith(self.root):
            return
        self.left -= 1
        if self.left < 0:
            raise Killed

    @contextmanager
    def after(self, root: Path, operations: int) -> Iterator[None]:
        """Dies before operation number `operations`, if there are so many."""
        self.root, self.left = str(root), operations
        try:
            yield
        finally:
            self.left = -1


@pytest.fixture(scope="module")
def killer() -> Killer:
    return Killer()


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forced to the disk: the process dies, not the machine, and the next finds what it has written."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.mark.usefixtures("unsynced")
def test_killed_between_any_two_file_operations_every_row_is_there_once(tmp_path: Path, killer: Killer) -> None:
    """At each of them: the run dies there, more rows come, and the next run makes it whole."""
    for n in range(10_000):
        root, log = tmp_path / f"{n}", MemoryBroker()
        log.create([TopicSpec(EVENTS, 2)])
        publish(log, 0, 0)
        publish(log, 1, 1_000)
        try:
            with killer.after(root, n):
                archived(root, log, batch_bytes=700)
            break
        except Killed:
            pass
        publish(log, 0, 20)
        archived(root, log, batch_bytes=1_000)
        assert [in_archive(root, q) for q in range(2)] == [in_log(log, q) for q in range(2)], n
        assert set(on_disk(root).values()) == {1}, n
        assert sum(on_disk(root).values()) == 60, n
        assert list(root.rglob("*.part")) == [], n
    assert n > 50


@pytest.mark.usefixtures("unsynced")
def test_retention_and_erasing_killed_anywhere_are_ended_by_the_next(
    tmp_path: Path, broker: MemoryBroker, killer: Killer
) -> None:
    """No row is twice or half there: what was to go is gone, and the rest stays."""
    number = pack_digits(NumberKind.E164, "999700000001")
    whole = tmp_path / "whole"
    archived(whole, broker)
    Archive(whole).erase(number)
    archived(whole, broker, keep_days=1)
    left = on_disk(whole)
    assert 0 < len(left) < 40
    for n in range(10_000):
        root = tmp_path / f"{n}"
        archived(root, broker)
        try:
            with killer.after(root, n):
                Archive(root).erase(number)
                archived(root, broker, keep_days=1)
            break
        except Killed:
            pass
        Archive(root).erase(number)
        archived(root, broker, keep_days=1)
        assert on_disk(root) == left, n
        assert [path.name for path in root.glob(".gone-*")] + [path.name for path in root.rglob("*.part")] == [], n
    assert n > 20


def test_an_erased_number_is_in_no_file(tmp_path: Path, broker: MemoryBroker) -> None:
    """Rows of others stay, and do not say whom they were with; a second time there is nothing left to do."""
    archived(tmp_path, broker)
    before = on_disk(tmp_path)
    for number, name in ((pack_digits(NumberKind.E164, "999700000002"), None), (SENDER, "Acme")):
        rows, files = Archive(tmp_path).erase(number)
        assert rows == sum(count for (_, whose), count in before.items() if whose == number)
        assert files > 0
        assert Archive(tmp_path).erase(number) == (0, 0)
        for path in tmp_path.glob("day=*/*.parquet"):
            table = pq.read_table(path, partitioning=None)
            assert number not in table["number"].to_pylist() + table["other"].to_pylist()
            if name:
                assert set(table["number_name"].to_pylist() + table["other_name"].to_pylist()) == {None}
        before = Counter({row: count for row, count in before.items() if row[1] != number})
        assert on_disk(tmp_path) == before


def test_rows_that_retention_took_stop_it_and_say_how_to_go_on(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From where to where; with the flag it goes on, and the gap is written down."""
    config, root = tmp_path / "c.yaml", tmp_path / "a"
    config.write_text(yaml.safe_dump(settings_tree(tmp_path) | {"topics": {"partitions": 2}}))
    monkeypatch.setattr("detector.commands.archive.open_kafka", lambda settings: nullcontext(broker))
    command = ["archive", "--config", str(config), "--dir", str(root), "--once"]
    assert main(command) == 0
    assert "40 rows archived" in capsys.readouterr().out
    high = broker.watermarks(TopicPartition(EVENTS, 0))[1]
    publish(broker, 0, 20)
    broker.truncate(TopicPartition(EVENTS, 0), high + 2)
    before = in_archive(root, 0)
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"{EVENTS}[0]: the offsets {high} to {high + 1} are gone" in said
    assert "--accept-gaps" in said
    assert main([*command, "--accept-gaps", "--keep-days", "7"]) == 0
    assert in_archive(root, 0) == before + in_log(broker, 0, high)
    assert Archive(root).progress()[0].gaps == ((high, high + 2),)
    number = number_text(SENDER, "ACME")
    assert main(["archive", "erase", "--dir", str(root), "--number", number]) == 0
    assert f"rows of {number} removed" in capsys.readouterr().out


def test_what_cannot_be_this_logs_archive_is_refused(tmp_path: Path, broker: MemoryBroker) -> None:
    """A topic made anew has other offsets; rows without progress are not taken for a crash's; one writes at a time."""
    archived(tmp_path, broker)
    with Archive(tmp_path).writing(), pytest.raises(ConfigError, match="only one"), Archive(tmp_path).writing():
        pass
    (tmp_path / "progress" / "0.json").rename(tmp_path / "kept")
    with pytest.raises(ConfigError, match="wanted the progress of 0-"):
        archived(tmp_path, broker)
    (tmp_path / "kept").rename(tmp_path / "progress" / "0.json")
    assert sum(on_disk(tmp_path).values()) == 40
    broker.delete([EVENTS])
    broker.create([TopicSpec(EVENTS, 2)])
    with pytest.raises(ConfigError, match="made anew"):
        archived(tmp_path, broker)


def test_what_retention_removed_is_remembered(tmp_path: Path, broker: MemoryBroker) -> None:
    """Windows that reach back before it are not whole; an archiver that goes on does not write over it."""
    archive = Archive(tmp_path)
    with archive.writing():
        archiver = Archiver(archive, broker, EVENTS)
        for q in range(2):
            archiver.step(q)
        assert archive.keep(9, LATER_MS) == 0
        assert [archive.progress()[q].gone_before_ms for q in range(2)] == [0, 0]
        assert archive.keep(1, LATER_MS) == 1
        publish(broker, 0, 20)
        archiver.step(0)
    progress = archive.progress()
    assert [progress[q].gone_before_ms for q in range(2)] == [START_MS + DAY_MS] * 2
    assert progress[0].next == broker.watermarks(TopicPartition(EVENTS, 0))[1]
    begins_ms = {log.whole_from_ms() for log in logs_in(archive, 2)}
    assert begins_ms == {START_MS + DAY_MS + WHOLE_AFTER_MS}


def test_a_day_in_the_future_takes_nothing_with_it(tmp_path: Path, broker: MemoryBroker) -> None:
    """
    day        0  1  2 | now         2038
    kept          1  2               2038    one record of a switch whose clock is wrong
    """
    archived(tmp_path, broker)
    wrong = some_rows(0, 1)
    wrong["event_ms"] = 2_147_483_647_000
    with closing(broker.producer("test-2038")) as producer:
        producer.begin()
        producer.send(EVENTS, 0, wrong.tobytes(), headers=[("schema", SCHEMA_ID)])
        producer.commit({}, None)
    archived(tmp_path, broker)
    now_ms = START_MS + 3 * DAY_MS - 1
    with Archive(tmp_path).writing() as archive:
        assert archive.keep(1, now_ms) == 1
        days = sorted(folder.name for folder in tmp_path.glob("day=*"))
        assert days == ["day=2026-11-03", "day=2026-11-04", "day=2038-01-19"]
        assert archive.keep(1, START_MS - 1) == 0  # nothing that is there can be today's


def test_the_clock_and_what_sources_may_be_ahead_say_what_the_future_is(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day that begins within `max_future_s` is the newest, if records are of it."""
    tree = settings_tree(tmp_path)
    tree["sources"][0]["max_future_s"] = 3_600  # type: ignore[index]
    tree["topics"] = dict(tree["topics"]) | {"partitions": 2}  # type: ignore[call-overload]
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(tree))
    monkeypatch.setattr("detector.commands.archive.open_kafka", lambda settings: nullcontext(broker))
    begins_ms = START_MS + 2 * DAY_MS  # of the newest day
    for before_s, kept in ((3_700, 3), (3_500, 2)):
        monkeypatch.setattr("time.time", lambda before_s=before_s: begins_ms / 1000 - before_s)
        argv = ["archive", "--config", str(tmp_path / "small.yaml"), "--dir", str(tmp_path / "a"), "--once"]
        assert main([*argv, "--keep-days", "1"]) == 0
        assert len(list((tmp_path / "a").glob("day=*"))) == kept


@pytest.mark.kafka
def test_a_real_log_is_archived_across_its_markers(tmp_path: Path, kafka: LocalKafka) -> None:
    """Offsets have holes where transactions end, and what was aborted is not there."""
    with closing(KafkaBroker(kafka.options)) as broker:
        broker.delete([EVENTS]) if EVENTS in broker.partitions() else None
        broker.create([TopicSpec(EVENTS, 2)])
        for first in (0, 100, 200):
            publish(broker, 0, first)
            with closing(broker.producer("aborted")) as producer:
                producer.begin()
                producer.send(EVENTS, 0, some_rows(first, 3).tobytes(), headers=[("schema", SCHEMA_ID)])
                producer.abort()
            archived(tmp_path, broker)
        archived(tmp_path, broker)
        assert in_archive(tmp_path, 0) == in_log(broker, 0)
        assert sum(on_disk(tmp_path).values()) == 60
        broker.delete([EVENTS])
