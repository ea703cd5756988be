"""Snapshots beside the stream: when they are due, and what happens when the disk is full."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.config import Detect, Settings
from detector.metrics import Metrics
from detector.records import ROW, Flag, Kind, Rows
from detector.service.held import Held
from detector.service.rules import Rules
from detector.service.saving import Saver
from detector.snapshot import Store
from detector.verdict.memory import Memory
from tests.service.harness import settings_for

EVERY_S = 300


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_for(tmp_path_factory.mktemp("saving"))


@pytest.fixture
def held(settings: Settings) -> Held:
    """A partition at offset 50, committed, ten rows after its last snapshot at time 0."""
    part = Rules.load(settings).detector.fresh(3, Memory(), Memory())
    part.state.update(some_rows())
    return Held(part, position=50, committed=50, rows_since_snapshot=10)


def some_rows() -> Rows:
    rows = np.zeros(10, ROW)
    rows["number"], rows["kind"], rows["flags"] = 1 << 60 | 99971000001, Kind.CALL, Flag.BEGAN
    rows["event_ms"] = 1_790_000_000_000 + np.arange(10)
    rows["record_id"] = 1 + np.arange(10)
    return rows


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def saver(folder: Path, clock: Clock, metrics: Metrics) -> tuple[Saver, Store]:
    store = Store(folder, "cluster/topic", "features")
    return Saver(store, Detect(snapshot_every_s=EVERY_S, replay_rows=1_000), metrics, clock), store


def saved(saver: Saver, held: Held) -> None:
    """What is due of it is copied, once there is room for that."""
    saver.save_one([held])
    saver.wait()
    saver.save_one([held])


@pytest.mark.parametrize(
    ("now", "rows", "position", "expected"),
    [
        (EVERY_S - 1, 10, 50, []),
        (EVERY_S, 10, 50, [50]),
        (EVERY_S, 0, 50, []),
        (1, 1_000, 50, [50]),
        (EVERY_S, 10, 51, []),
        (EVERY_S, 10, 49, []),
    ],
    ids=["too early", "old", "nothing new", "many rows", "not committed", "replaying"],
)
def test_a_snapshot_is_due_when_it_is_old_or_long_to_replay_and_all_is_committed(
    tmp_path: Path, held: Held, now: float, rows: int, position: int, expected: list[int]
) -> None:
    """What is not committed may yet be another worker's."""
    clock = Clock()
    clock.now = now
    one, store = saver(tmp_path, clock, Metrics())
    held.rows_since_snapshot, held.position = rows, position
    saved(one, held)
    one.close()
    assert store.offsets(3) == expected


def test_a_clock_that_is_set_back_puts_no_snapshot_off(tmp_path: Path, held: Held) -> None:
    """By hours: the next is due after the usual time by the clock as it is now."""
    clock = Clock()
    held.snapshot_at = clock.now = 6 * 3_600.0
    one, store = saver(tmp_path, clock, Metrics())
    for clock.now in (10.0, 10.0 + EVERY_S - 1):
        one.save_one([held])
    one.wait()
    assert store.offsets(3) == []
    clock.now = 10.0 + EVERY_S
    saved(one, held)
    one.close()
    assert store.offsets(3) == [50]


def test_rows_that_come_while_it_is_written_are_not_in_it(tmp_path: Path, held: Held) -> None:
    """The arrays are copied before the stream goes on."""
    clock = Clock()
    clock.now = EVERY_S
    one, store = saver(tmp_path, clock, Metrics())
    expected = {name: array.copy() for name, array in held.part.arrays().items()}
    saved(one, held)
    later = some_rows()
    later["record_id"] += 100
    held.part.state.update(later)
    one.close()
    for name, array in store.load(3, 50).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_a_store_that_cannot_be_written_is_said_and_the_stream_goes_on(
    tmp_path: Path, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    """Disk full, or no rights: counted as failed, and due again after the usual time."""
    (tmp_path / "file").write_text("in the way")
    clock = Clock()
    clock.now = EVERY_S
    metrics = Metrics()
    one, _ = saver(tmp_path / "file", clock, metrics)
    caplog.set_level(logging.WARNING)
    saved(one, held)
    one.close()
    assert metrics.value("snapshots", outcome="failed") == 1
    assert "snapshot failed, the last one stays" in caplog.text


def test_while_none_can_be_written_the_last_snapshot_grows_older(tmp_path: Path, held: Held) -> None:
    """And what it lacks is unsaved: else the alert about it could never fire. One attempt every `EVERY_S`.

    clock   1       2       3       4       5 x EVERY_S
    disk    full    full    full    full    room
    """
    (tmp_path / "file").write_text("in the way")
    clock, metrics = Clock(), Metrics()
    one, store = saver(tmp_path / "file", clock, metrics)
    for times in (1, 2, 3, 4):
        clock.now = times * EVERY_S
        for _ in range(3):
            saved(one, held)
            one.wait()
        assert metrics.value("snapshots", outcome="failed") == times
        assert (metrics.value("snapshot_age"), metrics.value("unsaved_rows")) == (clock.now, 10)
    (tmp_path / "file").unlink()
    clock.now = 5 * EVERY_S
    saved(one, held)
    one.wait()
    one.save_one([held])
    assert store.offsets(3) == [50]
    assert (metrics.value("snapshot_age"), metrics.value("unsaved_rows")) == (0, 0)
    one.close()


def test_what_could_not_be_handed_over_is_still_unsaved(tmp_path: Path, held: Held) -> None:
    """A partition may be given back in vain."""
    (tmp_path / "file").write_text("in the way")
    one, _ = saver(tmp_path / "file", Clock(), Metrics())
    one.hand_over(held)
    one.close()
    assert held.rows_since_snapshot == 10


def test_a_partition_that_got_nothing_new_has_no_old_snapshot(tmp_path: Path, held: Held) -> None:
    """It is never due: its age would grow for as long as it is quiet."""
    clock, metrics = Clock(), Metrics()
    one, _ = saver(tmp_path, clock, metrics)
    held.rows_since_snapshot = 0
    clock.now = 4 * EVERY_S
    one.save_one([held])
    assert metrics.value("snapshot_age") == 0
    held.rows_since_snapshot = 1
    one.save_one([held])
    assert metrics.value("snapshot_age") == 4 * EVERY_S
    one.close()


def test_partitions_share_the_rows_that_a_restart_may_have_to_replay(tmp_path: Path, settings: Settings) -> None:
    """The longest to replay goes first, and not before they are too many together; uncommitted ones count, and wait.

    rows  300 600 99    300 600 100    300 0 100    700 0 300 but 700 is not all committed
    due   none          the 600        none         the 300
    """
    clock = Clock()
    one, store = saver(tmp_path, clock, Metrics())
    detector = Rules.load(settings).detector
    parts = [Held(detector.fresh(q, Memory(), Memory()), position=50, committed=50) for q in range(3)]

    def after(*rows: int) -> list[int]:
        for part, count in zip(parts, rows, strict=True):
            part.rows_since_snapshot = count
        for _ in range(3):
            clock.now += 10  # nothing is written for as long
            one.save_one(parts)
            one.wait()
        return [part.rows_since_snapshot for part in parts]

    assert after(300, 600, 99) == [300, 600, 99]
    assert after(300, 600, 100) == [300, 0, 100]
    parts[0].position = 51
    assert after(700, 0, 300) == [700, 0, 0]
    one.close()
    assert [store.offsets(q) for q in range(3)] == [[], [50], [50]]


def test_the_writer_rests_as_long_as_it_wrote(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is due: else snapshots of millions of numbers would take more of a processor than the rows do.

    clock    0 s      0.2 s          a minute
    due      both     the second     the second
    done     one      none: resting  the other
    """
    save = Store.save

    def slowly(*arguments: Any) -> Path:
        time.sleep(0.3)
        return save(*arguments)

    clock = Clock()
    one, store = saver(tmp_path, clock, Metrics())
    detector = Rules.load(settings).detector
    parts = [Held(detector.fresh(q, Memory(), Memory()), position=50, committed=50) for q in range(2)]
    for part, rows in zip(parts, (2_000, 1_000), strict=True):
        part.rows_since_snapshot = rows
    one.save_one(parts)  # makes room
    one.wait()
    monkeypatch.setattr(Store, "save", slowly)
    for clock.now, offsets in ((0.0, [[50], []]), (0.2, [[50], []]), (60.0, [[50], [50]])):
        one.save_one(parts)
        one.wait()
        assert [store.offsets(q) for q in range(2)] == offsets
    one.close()


def test_the_stream_stands_still_for_a_copy_only_and_that_is_measured(tmp_path: Path, held: Held) -> None:
    """Room is made aside, and once: the second snapshot is copied into the first one's."""
    clock = Clock()
    metrics = Metrics()
    one, store = saver(tmp_path, clock, metrics)
    for number, position in enumerate((50, 60), start=1):
        clock.now += EVERY_S
        held.rows_since_snapshot, held.position, held.committed = 1, position, position
        room = one._copies._room
        saved(one, held)
        one.wait()
        assert metrics.registry.get_sample_value("detector_snapshot_pause_seconds_count") == number
        assert (one._copies._room is room) is (number == 2)
    assert store.offsets(3) == [60, 50]
    one.close()


def test_what_is_handed_over_is_written_aside_as_it_stood(tmp_path: Path, held: Held) -> None:
    """Several at once, with what was being written before; who waits finds all of it there."""
    clock = Clock()
    clock.now = EVERY_S
    one, store = saver(tmp_path, clock, Metrics())
    saved(one, held)
    expected = {name: array.copy() for name, array in held.part.arrays().items()}
    for position in (60, 70, 71):
        held.rows_since_snapshot += 1
        held.position, held.committed = position, min(position, 70)
        one.hand_over(held)
    one.close()
    assert store.offsets(3) == [70, 60, 50]
    for name, array in store.load(3, 70).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
