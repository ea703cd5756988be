"""`detector snapshots`: what is on disk is listed, verified and pruned, with and without a broker."""

import json
import os
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.commands.snapshots import age
from detector.config import Settings, load
from detector.errors import Recoverable
from detector.service.stock import stock
from detector.snapshot import FORMAT, Store, open_store

ARRAYS = {"state.tiles": np.arange(12, dtype="<u2"), "coverage.span": np.array([1, 2], "<i8")}
CONFIG = """
home: {country_code: "999"}
topics: {partitions: 2}
sources: [{name: plain, id: 1, topic: records, mapping: plain.yaml}]
detect: {snapshots: snapshots}
"""
Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "small.yaml").write_text(CONFIG)
    return load(tmp_path / "small.yaml", environ={})


@pytest.fixture
def broker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """The broker that commands find instead of Kafka, with the topics on it."""
    broker = MemoryBroker()
    broker.create(topic_specs(settings))
    monkeypatch.setattr("detector.commands.snapshots.open_kafka", lambda settings: nullcontext(broker))
    return broker


@pytest.fixture
def store(settings: Settings, broker: MemoryBroker) -> Store:
    """Snapshots of two partitions: 10, 20 and 30 of the first, 25 of the second."""
    store = open_store(settings, broker.identity(settings.topics.events))
    for partition, offset in ((0, 10), (0, 20), (0, 30), (1, 25)):
        store.save(partition, offset, ARRAYS)
    return store


@pytest.fixture
def run(tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `detector snapshots …`: its exit code, and the lines that it prints."""

    def call(*argv: str) -> tuple[int, list[str]]:
        code = main(["snapshots", *argv, "--config", str(tmp_path / "small.yaml")])
        return code, capsys.readouterr().out.splitlines()

    return call


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def half_written(store: Store, partition: int, age_s: float) -> Path:
    folder = store.folder(partition) / "tmp-40-7"
    folder.mkdir(parents=True)
    (folder / "state.tiles.npy").write_bytes(b"x" * 100)
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def told(lines: list[str]) -> list[tuple[str, str, str]]:
    """Partition, offset and what is said of each snapshot."""
    rows = [line.split(None, 4) for line in lines if line.startswith("  ")]
    rows = [row for row in rows if row[0] != "partition"]
    return [(row[0], row[1], row[4].split(None, 1)[1]) for row in rows]


def test_a_list_says_what_is_there_and_how_old_it_is(store: Store, run: Run) -> None:
    """By partition, the newest first, with its bytes; the folder of the topic stands above."""
    old = store.folder(1) / f"{25:020d}"
    os.utime(old, (time.time() - 7_500,) * 2)
    code, lines = run("list")
    assert code == 0
    assert lines[0] == f"{store.folder(0).parent}:"
    assert told(lines) == [("0", "30", "whole"), ("0", "20", "whole"), ("0", "10", "whole"), ("1", "25", "whole")]
    size = sum(path.stat().st_size for path in old.iterdir())
    assert lines[-1].split() == ["1", "25", f"{size:,}", "2h", "5m", "whole"]


def test_an_empty_store_is_said(run: Run, broker: MemoryBroker, settings: Settings) -> None:
    """Nothing is there, and nothing is bad."""
    assert run("list") == (0, [])
    assert run("verify") == (0, [])
    assert run("prune", "--keep", "3") == (0, ["0 removed, 0 bytes"])


def test_whole_snapshots_of_this_topic_verify(store: Store, run: Run) -> None:
    """Exit 0."""
    code, lines = run("verify")
    assert (code, lines[-1]) == (0, "4 usable, 0 not, 0 half written")


HARMS: dict[str, Callable[[Path], object]] = {
    "state.tiles.npy: wanted XXH3 ": lambda folder: flip(folder / "state.tiles.npy"),
    "coverage.span.npy: wanted XXH3 ": lambda folder: (folder / "coverage.span.npy").write_bytes(b"short"),
    "coverage.span.npy: wanted a readable file": lambda folder: (folder / "coverage.span.npy").unlink(),
    "manifest.json: wanted a manifest": lambda folder: (folder / "manifest.json").write_text("{"),
    "manifest.json: wanted a readable file": lambda folder: (folder / "manifest.json").unlink(),
    "manifest.json: offset: wanted 21 (got 20)": lambda folder: folder.rename(folder.with_name(f"{21:020d}")),
}


@pytest.mark.parametrize("said", HARMS)
@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_damaged_snapshot_is_named_with_what_is_wrong(store: Store, run: Run, said: str, command: str) -> None:
    """Flipped, cut short, incomplete, without a manifest, under another name; only verify fails for it."""
    HARMS[said](store.folder(0) / f"{20:020d}")
    code, lines = run(command)
    assert code == (1 if command == "verify" else 0)
    bad = [(offset, what) for _, offset, what in told(lines) if what != "whole"]
    assert len(bad) == 1
    assert bad[0][0] in ("20", "21")
    assert bad[0][1].startswith(said)


def test_snapshots_of_a_topic_that_was_made_anew_do_not_verify(
    store: Store, run: Run, broker: MemoryBroker, settings: Settings
) -> None:
    """They are whole, and of no use to the configured topic."""
    broker.delete([settings.topics.events])
    broker.create(topic_specs(settings))
    code, lines = run("verify")
    assert (code, lines[-1]) == (1, "0 usable, 4 not, 0 half written")
    wanted = broker.identity(settings.topics.events)
    assert {what for _, _, what in told(lines)} == {f"identity: wanted {wanted} (got {store.identity})"}
    assert {what for _, _, what in told(run("list")[1])} == {"whole"}


def test_snapshots_of_other_features_do_not_verify(store: Store, run: Run) -> None:
    """Another version of the catalogue wrote them."""
    Store(store.root, store.identity, "other").save(1, 99, ARRAYS)
    code, lines = run("verify")
    assert code == 1
    assert ("1", "99", f"features: wanted {store.features} (got other)") in told(lines)


def test_without_a_broker_all_but_the_identity_is_verified(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that is said."""

    @contextmanager
    def away(settings: Settings):  # type: ignore[no-untyped-def]
        raise Recoverable("connection refused")
        yield

    monkeypatch.setattr("detector.commands.snapshots.open_kafka", away)
    assert run("verify")[0] == 0
    flip(store.folder(1) / f"{25:020d}" / "state.tiles.npy")
    assert run("verify")[0] == 1
    main(["snapshots", "verify", "--config", str(store.root.parent / "small.yaml")])
    assert "identity is not compared: connection refused" in capsys.readouterr().err


def test_a_half_written_one_is_neither_good_nor_bad(store: Store, run: Run) -> None:
    """Somebody may be writing it."""
    half_written(store, 0, age_s=5)
    code, lines = run("verify")
    assert (code, lines[-1]) == (0, "4 usable, 0 not, 1 half written")
    assert ("0", "40", "half written") in told(lines)


def test_prune_keeps_the_newest_whole_ones_of_each_partition(store: Store, run: Run) -> None:
    """A damaged one does not count among them, and goes."""
    flip(store.folder(0) / f"{30:020d}" / "state.tiles.npy")
    code, lines = run("prune", "--keep", "1")
    assert code == 0
    assert [(offset, what[:16]) for _, offset, what in told(lines)] == [
        ("30", "state.tiles.npy:"),
        ("10", "older than the n"),
    ]
    assert lines[-1].startswith("2 removed, ")
    assert (store.offsets(0), store.offsets(1)) == ([20], [25])


def test_prune_removes_what_dead_processes_left_but_not_what_is_being_written(store: Store, run: Run) -> None:
    """An hour tells them apart."""
    old, young = half_written(store, 0, age_s=3_700), half_written(store, 1, age_s=60)
    assert run("prune", "--keep", "9")[0] == 0
    assert (old.exists(), young.exists()) == (False, True)
    assert len(store.offsets(0)) == 3


def test_a_dry_run_removes_nothing(store: Store, run: Run) -> None:
    """It says what it would."""
    half_written(store, 0, age_s=3_700)
    before = stock(store.root, 0.0)
    code, lines = run("prune", "--keep", "1", "--dry-run")
    assert (code, lines[-1].split(",")[0]) == (0, "3 would be removed")
    assert stock(store.root, 0.0) == before


def test_prune_keeps_those_of_the_version_before_too(store: Store, run: Run) -> None:
    """A worker that is rolled back looks for them; newer ones of other features are none to it."""
    other = Store(store.root, store.identity, "other", kept=9)
    for offset in (40, 50):
        other.save(0, offset, ARRAYS)
    run("prune", "--keep", "1")
    assert store.offsets(0) == [50, 30]


def test_prune_keeps_those_of_another_format_too(store: Store, run: Run) -> None:
    """Whether they are whole cannot be said; the program that wrote them can."""
    for offset in (10, 20):
        manifest = store.folder(0) / f"{offset:020d}" / "manifest.json"
        manifest.write_text(json.dumps({"format": 1, "features": store.features, "sums": {}}))
    code, lines = run("prune", "--keep", "1")
    assert (code, [(offset, what[:16]) for _, offset, what in told(lines)]) == (0, [("10", "older than the n")])
    assert store.offsets(0) == [30, 20]
    code, lines = run("verify")
    assert code == 1
    assert told(lines)[1] == ("0", "20", f"manifest.json: format: wanted {FORMAT} (got 1)")


def test_prune_needs_a_number_of_at_least_one(run: Run) -> None:
    """To remove everything is not pruning."""
    with pytest.raises(SystemExit):
        run("prune", "--keep", "0")


def test_a_snapshot_that_goes_while_it_is_looked_at_is_not_there(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers remove old ones at any moment."""
    load_ = Store.load

    def vanish(self: Store, partition: int, offset: int) -> object:
        if offset == 20:
            folder = self.folder(partition) / f"{offset:020d}"
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        return load_(self, partition, offset)

    monkeypatch.setattr(Store, "load", vanish)
    code, lines = run("verify")
    assert (code, lines[-1]) == (0, "3 usable, 0 not, 0 half written")


def test_ages_are_said_in_two_units() -> None:
    """Coarser as they grow."""
    assert [age(s) for s in (-1, 0, 61, 3_661, 90_061)] == ["0m 0s", "0m 0s", "1m 1s", "1h 1m", "1d 1h"]
