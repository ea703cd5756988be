"""Mappings change while records come: every record is read once, by the old one or the new."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.memory import MemoryProducer
from detector.config import ROOT, Settings
from detector.errors import Abort
from detector.metrics import Metrics
from detector.replay import Replay
from detector.service import watch
from tests.service.harness import RECORDS, settings_for, traffic
from tests.service.reloading import half_way, rewrite, wait_reloaded

SIZE = 4_000


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment whose mapping and zones are files of its own, looked at without a pause."""
    monkeypatch.setattr(watch, "LOOK_S", 0.0)
    shutil.copy(ROOT / "configs" / "sources" / "plain.yaml", tmp_path / "plain.yaml")
    shutil.copy(ROOT / "configs" / "zones.csv", tmp_path / "zones.csv")
    made = settings_for(tmp_path)
    (source,) = made.sources
    return replace(
        made,
        home=replace(made.home, zones=str(tmp_path / "zones.csv")),
        sources=(replace(source, mapping=str(tmp_path / "plain.yaml")),),
    )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def replay(settings: Settings, metrics: Metrics) -> Iterator[Replay]:
    """Both roles, which have read the first half of the traffic."""
    with half_way(settings, metrics, SIZE) as running:
        yield running


def change_mapping(settings: Settings, **fields: object) -> None:
    """Other sections of the one source's mapping."""
    rewrite(settings.path(settings.sources[0].mapping), **fields)


def renamed(records: list[bytes]) -> list[bytes]:
    """The same records after an upgrade of the switch: the caller stands under another name."""
    return [record.replace(b'"from":', b'"calling":') for record in records]


def test_a_new_mapping_reads_from_then_on_and_no_record_is_lost(
    replay: Replay, settings: Settings, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    """The switch names a field anew; the mapping follows, while both roles go on."""
    path = settings.path(settings.sources[0].mapping)
    fields = yaml.safe_load(path.read_text(encoding="utf-8"))["fields"]
    before = metrics.value("rows_out")
    with caplog.at_level(logging.INFO):
        change_mapping(settings, fields=fields | {"from": {"path": "calling"}})
        wait_reloaded(replay, metrics, "taken")
    replay.publish(RECORDS, renamed(traffic(SIZE)[SIZE // 2 :]))
    replay.settle()
    assert metrics.value("rejects") == 0
    assert metrics.value("records") == SIZE
    assert metrics.value("rows_out") > 1.5 * before
    assert metrics.value("rows_out") == sum(
        metrics.value("rows", status=status) for status in ("counted", "ignored", "late", "duplicate")
    )
    assert "in force from now on: mappings records plain-1-" in caplog.text


def test_a_mapping_that_cannot_be_loaded_leaves_the_old_one_in_force(
    replay: Replay, settings: Settings, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what is wrong and where; once mended, it is taken."""
    path = settings.path(settings.sources[0].mapping)
    whole = path.read_text(encoding="utf-8")
    with caplog.at_level(logging.ERROR):
        change_mapping(settings, fields={"frm": {"path": "calling"}})
        wait_reloaded(replay, metrics, "failed")
    assert "plain.yaml: fields" in caplog.text
    replay.publish(RECORDS, traffic(SIZE)[SIZE // 2 :])
    replay.settle()
    assert metrics.value("records") == SIZE
    assert metrics.value("rejects") == 0
    path.write_text(whole, encoding="utf-8")
    taken = metrics.value("reloads", outcome="taken")
    wait_reloaded(replay, metrics, "taken", times=int(taken) + 1)


def test_a_mapping_that_is_gone_leaves_the_old_one_in_force(
    replay: Replay, settings: Settings, metrics: Metrics
) -> None:
    """A volume that is mounted anew."""
    settings.path(settings.sources[0].mapping).unlink()
    wait_reloaded(replay, metrics, "failed")
    replay.publish(RECORDS, traffic(SIZE)[SIZE // 2 :])
    replay.settle()
    assert metrics.value("records") == SIZE


def test_records_published_while_readers_are_exchanged_are_read_once(
    replay: Replay, settings: Settings, metrics: Metrics
) -> None:
    """A few at a time, with another version of the mapping between each."""
    rest = traffic(SIZE)[SIZE // 2 :]
    for number, start in enumerate(range(0, len(rest), 250), 1):
        change_mapping(settings, version=f"plain-{number}")
        replay.publish(RECORDS, rest[start : start + 250])
        wait_reloaded(replay, metrics, "taken", times=number)
    assert metrics.value("records") == SIZE
    assert metrics.value("rejects") == 0


def test_a_batch_that_could_not_commit_is_read_again_by_the_new_mapping(
    replay: Replay, settings: Settings, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the old mapping made of it, rejects here, is nobody's: it comes once, as the new one reads it."""
    fields = yaml.safe_load(settings.path(settings.sources[0].mapping).read_text(encoding="utf-8"))["fields"]
    commit = MemoryProducer.commit
    aborted = 0

    def once_mapped(producer: MemoryProducer, offsets: Mapping[TopicPartition, int], metadata: object) -> None:
        nonlocal aborted
        if metrics.value("reloads", outcome="taken") == 0:
            if not aborted:
                change_mapping(settings, fields=fields | {"from": {"path": "calling", "required": True}})
            aborted += 1
            raise Abort("a broker was away")
        commit(producer, offsets, metadata)

    monkeypatch.setattr(MemoryProducer, "commit", once_mapped)
    replay.publish(RECORDS, renamed(traffic(SIZE)[SIZE // 2 :]))
    replay.settle()
    assert aborted > 1
    assert metrics.value("rejects") == 0
    assert metrics.value("records") == SIZE
