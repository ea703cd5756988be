"""Snapshots: whole or refused, and the newest usable one is found."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from detector import snapshot
from detector.errors import SnapshotError
from detector.snapshot import PIECE_BYTES, Store

ARRAYS = {"state.tiles": np.arange(12, dtype="<u2").reshape(3, 4), "coverage.span": np.array([1, 2], "<i8")}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, identity="cluster/topic", features="abc", kept=3)


def test_a_snapshot_comes_back_as_it_was(store: Store) -> None:
    """Names, dtypes, shapes and bytes are the same."""
    store.save(3, 100, ARRAYS)
    loaded = store.load(3, 100)
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def test_the_newest_at_or_below_the_committed_offset_is_taken(store: Store) -> None:
    """A snapshot beyond the committed offset holds rows whose decisions may never have been published."""
    for offset in (10, 20, 30):
        store.save(0, offset, ARRAYS)
    assert store.newest(0, committed=29).offset == 20
    assert store.newest(0, committed=30).offset == 30
    assert store.newest(0, committed=9).offset is None
    assert "beyond the committed offset 29" in store.newest(0, committed=29).passed_over[0]


def test_three_are_kept(store: Store) -> None:
    """Older ones go when a newer one is whole."""
    for offset in (10, 20, 30, 40, 50):
        store.save(0, offset, ARRAYS)
    assert store.offsets(0) == [50, 40, 30]


def test_those_of_the_version_before_are_kept_as_well(tmp_path: Path) -> None:
    """A worker that is rolled back goes on from them; those of the version before that are nobody's any more.

    old 10 20 30 | new 40 50 60 | rolled back: old 70 | another version: 80
    """
    old, new, other = (Store(tmp_path, "cluster/topic", features) for features in ("old", "new", "other"))
    for offset in (10, 20, 30):
        old.save(0, offset, ARRAYS)
    for offset in (40, 50, 60):
        new.save(0, offset, ARRAYS)
    assert old.offsets(0) == [60, 50, 40, 30, 20, 10]
    assert old.newest(0, committed=60).offset == 30
    old.save(0, 70, ARRAYS)
    assert old.offsets(0) == [70, 60, 50, 40, 30, 20]
    other.save(0, 80, ARRAYS)
    assert old.offsets(0) == [80, 70, 30, 20]


def test_another_format_is_another_version(store: Store) -> None:
    """Its manifest has fields that this program does not know."""
    for offset in (10, 20, 30):
        manifest = store.save(0, offset, ARRAYS) / "manifest.json"
        told = json.loads(manifest.read_bytes())
        manifest.write_text(json.dumps({"format": 4, "features": told["features"], "sha256": {}}))
    for offset in (40, 50, 60, 70):
        store.save(0, offset, ARRAYS)
    assert store.offsets(0) == [70, 60, 50, 30, 20, 10]


def test_a_manifest_with_any_bit_flipped_is_passed_over_or_says_the_same(store: Store) -> None:
    """Bytes that are no text and names that are no files included: whatever else it raises, no worker could start."""
    store.save(0, 10, ARRAYS)
    manifest = store.save(0, 20, ARRAYS) / "manifest.json"
    content = manifest.read_bytes()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        manifest.write_bytes(damaged)
        found = store.newest(0, committed=20)
        assert found.offset == 10 or all(np.array_equal(found.arrays[name], array) for name, array in ARRAYS.items())


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "manifest", "half"])
def test_a_damaged_snapshot_is_passed_over_for_an_older_one(store: Store, harm: str) -> None:
    """A flipped bit, a short file, a missing file, a broken manifest, a folder half written."""
    store.save(0, 10, ARRAYS)
    folder = store.save(0, 20, ARRAYS)
    file = folder / "state.tiles.npy"
    if harm == "flip":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    elif harm == "truncate":
        file.write_bytes(file.read_bytes()[:-3])
    elif harm == "remove":
        file.unlink()
    elif harm == "manifest":
        (folder / "manifest.json").write_bytes(b"{")
    else:
        folder.rename(folder.parent / "tmp-20-1")
    found = store.newest(0, committed=25)
    assert found.offset == 10
    assert len(found.passed_over) == (0 if harm == "half" else 1)


@pytest.mark.parametrize(
    ("field", "other"),
    [("features", Store(Path(), "cluster/topic", "xyz")), ("identity", Store(Path(), "c/t2", "abc"))],
)
def test_a_snapshot_of_other_features_or_another_topic_is_refused(store: Store, field: str, other: Store) -> None:
    """The message names the field, what was wanted and what was got."""
    store.save(0, 10, ARRAYS)
    stranger = Store(store.root, other.identity, other.features)
    stranger.folder(0).mkdir(parents=True, exist_ok=True)
    if field == "identity":
        (store.folder(0) / f"{10:020d}").rename(stranger.folder(0) / f"{10:020d}")
    with pytest.raises(SnapshotError, match=rf"{field}: wanted '{getattr(other, field)}' \(got"):
        stranger.load(0, 10)


def test_what_a_dead_process_left_half_written_is_not_a_snapshot(store: Store) -> None:
    """Only a folder with its final name counts."""
    (store.folder(0) / "tmp-40-7").mkdir(parents=True)
    assert store.offsets(0) == []
    assert store.newest(0, committed=100).offset is None


def test_snapshots_from_beyond_do_not_crowd_out_the_new_ones(store: Store) -> None:
    """After an operator has set offsets back, what lies beyond is useless until the log is there again."""
    for offset in (1_000, 1_001, 1_002):
        store.save(0, offset, ARRAYS)
    for offset in (10, 20, 30, 40):
        store.save(0, offset, ARRAYS)
    assert store.newest(0, committed=45).offset == 40
    assert store.offsets(0) == [1_002, 1_001, 1_000, 40, 30, 20]


def test_what_dead_processes_left_goes_with_the_next_snapshot(store: Store) -> None:
    """Else every kill in mid-snapshot takes room on the disk for good; what is ahead may be somebody's at work."""
    left, ahead = store.folder(0) / "tmp-20-1", store.folder(0) / "tmp-99-1"
    for folder in (left, ahead):
        folder.mkdir(parents=True)
        (folder / "state.tiles.npy").write_bytes(b"half")
    store.save(0, 20, ARRAYS)
    assert not left.exists()
    assert ahead.exists()


def test_a_damaged_snapshot_is_written_anew_when_its_offset_is_due_again(store: Store) -> None:
    """A worker that passed it over, and has replayed to the same offset, holds what it should have held."""
    folder = store.save(0, 20, ARRAYS)
    (folder / "state.tiles.npy").write_bytes(b"short")
    store.save(0, 20, ARRAYS)
    np.testing.assert_array_equal(store.load(0, 20)["state.tiles"], ARRAYS["state.tiles"])


def test_a_snapshot_that_the_next_holder_has_overtaken_is_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a hand-over two workers write of one partition; the newer one clears away what it takes for left behind."""
    sync = snapshot._sync

    def overtaken(folder: Path) -> None:
        monkeypatch.setattr(snapshot, "_sync", sync)
        store.save(0, 30, ARRAYS)
        sync(folder)

    monkeypatch.setattr(snapshot, "_sync", overtaken)
    assert store.save(0, 20, ARRAYS).name == f"{30:020d}"
    assert store.offsets(0) == [30]


def test_two_workers_may_write_the_same_snapshot_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even under one process number, as in two containers: neither takes the other's half for its own."""
    sync = snapshot._sync

    def meanwhile(folder: Path) -> None:
        monkeypatch.setattr(snapshot, "_sync", sync)
        store.save(0, 20, ARRAYS)
        sync(folder)

    monkeypatch.setattr(snapshot, "_sync", meanwhile)
    store.save(0, 20, ARRAYS)
    assert store.newest(0, committed=20).offset == 20
    assert list(store.folder(0).glob("tmp-*")) == []


def test_a_failure_that_nobody_made_good_is_raised(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older snapshot is there, and the disk is full."""
    store.save(0, 10, ARRAYS)
    store.save(0, 40, ARRAYS)

    def full(folder: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(snapshot, "_sync", full)
    with pytest.raises(OSError, match="no space left"):
        store.save(0, 20, ARRAYS)


def test_files_are_those_of_numpy(store: Store) -> None:
    """Byte for byte what `numpy.save` writes, so that anybody can read them; larger than one piece, and empty."""
    arrays = {
        "large": np.arange(PIECE_BYTES // 2 + 77, dtype="<i4").reshape(-1, 1),
        "records": np.zeros(3, np.dtype([("a", "<i8"), ("b", "<u2", (3, 2))])),
        "empty": np.zeros((0, 4), "<u2"),
        "every second": np.arange(10, dtype="<u8")[::2],
    }
    folder = store.save(1, 5, arrays)
    loaded = store.load(1, 5)
    for name, array in arrays.items():
        expected = io.BytesIO()
        np.save(expected, array, allow_pickle=False)
        assert (folder / f"{name}.npy").read_bytes() == expected.getvalue(), name
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert loaded[name].tobytes() == array.tobytes()
        assert loaded[name].flags.writeable
