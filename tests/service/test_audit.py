"""The audit: it finds nothing where nothing is wrong, and everything that is."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.errors import CannotRebuild, ConfigError, Fatal
from detector.metrics import Metrics
from detector.service.audit import Audited, Auditor
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.restore import Restorer
from detector.snapshot import open_store
from detector.verdict.memory import Memory
from tests.service.harness import RECORDS, everything, log_entries, settings_for, traffic
from tests.service.test_roles import drain

SIZE = 8_000
BLOCK = {"id": "b1", "action": "block", "number": "+99971999999", "service": "voice", "actor": "ana", "reason": "court"}
RELEASE = BLOCK | {"id": "r1", "action": "release", "reason": "appeal"}


class World:
    """A deployment on a broker in memory whose clock goes on by a second a message, with what it has done."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_for(folder)
        ingest = replace(self.settings.ingest, batch_records=1_000, rows_per_message=64)
        self.settings = replace(self.settings, ingest=ingest)
        self.at = (1_790_000_000_000 + 1_000 * n for n in count())
        self.broker = MemoryBroker(clock=lambda: next(self.at))
        self.broker.create(topic_specs(self.settings, source_partitions=2))

    def work(self, records: list[bytes], mode: str = "enforce") -> None:
        """Both roles work through `records`, and leave: snapshots are written."""
        self.broker.publish(RECORDS, [(None, value) for value in records], 0)
        verdict = replace(self.settings.verdict, mode=mode)
        settings = replace(self.settings, verdict=verdict)
        self.metrics = Metrics()
        roles = IngestRole(settings, self.broker, Metrics(), "0"), DetectRole(settings, self.broker, self.metrics, "0")
        drain(*roles)
        for role in roles:
            role.close()

    def command(self, command: dict[str, str]) -> None:
        self.broker.publish(self.settings.topics.commands, [(b"n", orjson.dumps(command))])

    def auditor(self) -> Auditor:
        identity = self.broker.identity(self.settings.topics.events)
        return Auditor(self.settings, self.broker, open_store(self.settings, identity))

    def audits(self, start: int | None = None, stop: int | None = None) -> list[Audited]:
        """Every partition, over the same offsets."""
        auditor = self.auditor()
        return [auditor.audit(q, start, stop) for q in range(self.settings.topics.partitions)]

    def end(self, partition: int) -> int:
        """The committed offset of a partition."""
        at = TopicPartition(self.settings.topics.events, partition)
        return self.broker.committed("detector-detect", [at])[at] or 0

    def history(self) -> list[tuple[int, bytes, bytes]]:
        """Partition, key and value of every decision."""
        return [(q, key or b"", value or b"") for q, key, value in everything(self.broker, "decisions.history")]

    def remove(self, value: bytes) -> None:
        """The decision is gone from the history."""
        for q in range(self.settings.topics.partitions):
            entries = self.broker._logs[TopicPartition(self.settings.topics.history, q)].entries
            for i, entry in enumerate(entries):
                if entry is not None and entry.value() == value:
                    entries[i] = None


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    return traffic(SIZE)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, records: list[bytes]) -> World:
    """Half of the traffic, a block, a snapshot; the other half, a release, a snapshot."""
    world = World(tmp_path_factory.mktemp("world"))
    world.command(BLOCK)
    world.work(records[: SIZE // 2])
    world.command(RELEASE)
    world.work(records[SIZE // 2 :])
    return world


@pytest.fixture
def world(lived: World) -> Iterator[World]:
    """The same for each test: whatever it does to the logs is undone."""
    topics, logs = dict(lived.broker._topics), dict(lived.broker._logs)
    kept = {at: (log.base, list(log.entries)) for at, log in logs.items()}
    yield lived
    lived.broker._topics, lived.broker._logs = topics, logs
    for at, (base, entries) in kept.items():
        logs[at].base, logs[at].entries = base, entries


def test_what_was_published_is_what_the_log_gives(world: World) -> None:
    """The whole log, from its start: every decision is found, and no other."""
    audits = world.audits()
    assert [audit.differences for audit in audits] == [()] * 4
    assert sum(audit.decided for audit in audits) == sum(audit.published for audit in audits) == len(world.history())
    assert [(audit.start, audit.stop) for audit in audits] == [(0, world.end(q)) for q in range(4)]
    assert {audit.from_snapshot for audit in audits} == {False}
    assert len(world.history()) > 4


@pytest.mark.parametrize("tenth", [2, 5, 9])
def test_a_range_may_begin_and_end_anywhere(world: World, tenth: int) -> None:
    """State comes from the newest snapshot before it, what was in force from the decisions before it."""
    auditor = world.auditor()
    for q in (0, 3):
        cut = world.end(q) * tenth // 10
        parts = [auditor.audit(q, None, cut), auditor.audit(q, cut, None)]
        assert [part.differences for part in parts] == [(), ()]
        assert parts[1].state_from <= cut
        assert sum(part.decided for part in parts) == sum(partition == q for partition, _, _ in world.history())
        snapshots = auditor._store.offsets(q)
        assert parts[1].from_snapshot == any(offset <= cut for offset in snapshots)
        assert parts[1].state_from == max([offset for offset in snapshots if offset <= cut], default=0)


def test_a_decision_that_is_gone_is_missing(world: World) -> None:
    """It is named with its id, case and action."""
    q, key, value = world.history()[3]
    world.remove(value)
    found = {audit.partition: audit.differences for audit in world.audits()}
    (difference,) = found.pop(q)
    decision = orjson.loads(value)
    assert (difference.what, difference.decision_id) == ("missing", decision["decision_id"])
    assert difference.key == key.decode()
    assert difference.detail == f"{decision['action']} by {decision['rule']}"
    assert set(found.values()) == {()}


def test_a_decision_that_stands_there_twice_is_extra(world: World) -> None:
    """This is what the guarantee forbids, so it is the first thing that an audit must see."""
    q, key, value = world.history()[3]
    world.broker.publish(world.settings.topics.history, [(key, value)], q)
    (difference,) = world.audits()[q].differences
    assert (difference.what, difference.detail) == ("extra", "published 2 times")


def test_a_decision_that_the_log_does_not_give_is_extra(world: World) -> None:
    """Somebody else wrote it: of a row, of another partition, or not a decision at all."""
    q, key, value = world.history()[3]
    origin, offset, *rest = orjson.loads(value)["decision_id"].split("-")
    for forged in ((origin, offset, "9999", "forged"), (str(q + 1), offset, *rest), ("forged",)):
        tree = orjson.loads(value) | {"decision_id": "-".join(forged)}
        world.broker.publish(world.settings.topics.history, [(key, orjson.dumps(tree))], q)
    world.broker.publish(world.settings.topics.history, [(key, b"{"), (key, None)], q)
    audit = world.audits()[q]
    assert [difference.what for difference in audit.differences] == ["extra"] * 5
    assert audit.published == audit.decided + 5


def test_a_forgery_before_the_range_does_not_stop_its_audit(world: World) -> None:
    """It has a number that is none, and would have to be remembered."""
    q, key, value = world.history()[3]
    tree = orjson.loads(value) | {"number": "nobody"}
    world.broker.publish(world.settings.topics.history, [(key, orjson.dumps(tree))], q)
    (difference,) = world.auditor().audit(q, world.end(q) - 1, None).differences
    assert (difference.what, "nobody" in difference.detail) == ("extra", True)


def test_a_decision_that_says_something_else_is_different(world: World) -> None:
    """Each field that differs is shown with both values."""
    q, key, value = world.history()[3]
    world.remove(value)
    tree = orjson.loads(value)
    forged = tree | {"expires_at": tree["expires_at"] + 1, "reason": "for a friend"}
    world.broker.publish(world.settings.topics.history, [(key, orjson.dumps(forged))], q)
    (difference,) = world.audits()[q].differences
    assert (difference.what, difference.decision_id) == ("different", tree["decision_id"])
    assert f"expires_at: wanted {tree['expires_at']} (got {tree['expires_at'] + 1})" in difference.detail
    assert '(got "for a friend")' in difference.detail
    assert "rule:" not in difference.detail


def test_what_is_not_committed_is_not_missed(world: World, records: list[bytes]) -> None:
    """Rows that nobody has decided on yet lie beyond the range, wherever it is asked to end."""
    ends = [world.end(q) for q in range(4)]
    world.broker.publish(RECORDS, [(None, value) for value in records[:2_000]], 0)
    ingest = IngestRole(world.settings, world.broker, Metrics(), "0")
    drain(ingest)
    audits = world.audits(stop=10**9)
    assert [(audit.stop, audit.differences) for audit in audits] == [(end, ()) for end in ends]
    assert [audit.decided for audit in world.audits(start=10**9)] == [0] * 4


def test_each_mode_is_audited_as_it_was(tmp_path: Path, records: list[bytes]) -> None:
    """The control topic says from which offset on: flags before, blocks after, whatever is configured now."""
    world = World(tmp_path)
    world.work(records[: SIZE // 2], mode="flag")
    world.work(records[SIZE // 2 :], mode="enforce")
    assert {orjson.loads(value)["mode"] for _, _, value in world.history()} == {"flag", "enforce"}
    assert [audit.differences for audit in world.audits()] == [()] * 4


def test_what_was_decided_in_shadow_cannot_be_audited(tmp_path: Path, records: list[bytes]) -> None:
    """Nothing holds all of those decisions; the part of the log before it can."""
    world = World(tmp_path)
    world.work(records[: SIZE // 2])
    ends = [world.end(q) for q in range(4)]
    world.work(records[SIZE // 2 :], mode="shadow")
    with pytest.raises(ConfigError, match=rf"offsets {ends[2]} to {world.end(2)} were decided in shadow mode"):
        world.auditor().audit(2, None, None)
    assert world.auditor().audit(2, None, ends[2]).differences == ()


@pytest.mark.parametrize(("what", "setting"), [("model", "model.bundle"), ("policy", "verdict.policy")])
def test_a_range_of_other_versions_is_refused(world: World, what: str, setting: str) -> None:
    """The message says which offsets, which version, and what to set."""
    topic = world.settings.topics.control
    record = next(orjson.loads(value or b"") for _, _, value in everything(world.broker, topic))
    later = record | {"partition": 1, "offset": 50, what: "other-7"}
    world.broker.publish(topic, [(b"1@50", orjson.dumps(later))])
    with pytest.raises(ConfigError, match=rf"\[1\]: offsets 50 to \d+ were decided with {what} other-7 .*{setting}"):
        world.auditor().audit(1, 10, None)
    assert world.auditor().audit(1, 10, 50).differences == ()
    assert world.auditor().audit(0, None, None).differences == ()


def test_a_range_under_another_limit_of_numbers_is_refused(world: World) -> None:
    """Who is evicted bears on what is decided; a record from before there was a limit says that there was none."""
    topic = world.settings.topics.control
    record = next(orjson.loads(value or b"") for _, _, value in everything(world.broker, topic))
    assert record.pop("most_numbers") is None
    world.broker.publish(topic, [(b"1@50", orjson.dumps(record | {"partition": 1, "offset": 50}))])
    assert world.auditor().audit(1, 10, None).differences == ()
    later = record | {"partition": 1, "offset": 60, "most_numbers": 70}
    world.broker.publish(topic, [(b"1@60", orjson.dumps(later))])
    wanted = r"offsets 60 to \d+ were decided with a limit of 70 numbers \(got none from detect.most_numbers\)"
    with pytest.raises(ConfigError, match=wanted):
        world.auditor().audit(1, 10, None)


def test_evictions_come_again_in_an_audit_and_after_a_restart(tmp_path: Path, records: list[bytes]) -> None:
    """From the log's start or from any snapshot: the same state, byte for byte, and the same decisions."""
    world = World(tmp_path)
    world.settings = replace(world.settings, detect=replace(world.settings.detect, most_numbers=60))
    for part in range(3):
        world.work(records[part * SIZE // 3 : (part + 1) * SIZE // 3])
    auditor = world.auditor()
    assert [audit.differences for audit in world.audits()] == [()] * 4
    assert [auditor.audit(q, world.end(q) * 2 // 3, None).differences for q in range(4)] == [()] * 4
    for q in range(4):
        newest = auditor._store.offsets(q)[0]
        saved = auditor._store.load(q, newest)
        again = auditor._detector("enforce").fresh(q, Memory.rebuild([]), Memory())
        entries = log_entries(world.broker, world.settings, q)
        auditor._detector("enforce").process(again, [entry for entry in entries if entry.offset < newest])
        arrays = again.arrays()
        assert {name: array.tobytes() for name, array in arrays.items()} == {
            name: array.tobytes() for name, array in saved.items()
        }
        assert len(again.state) == 60
    assert world.metrics.value("evicted") > 0


def test_a_limit_that_is_changed_and_felt_means_a_new_state_from_the_log(
    tmp_path: Path, records: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Snapshots of the other limit are passed over, and said to be; where it was never felt they are taken."""
    world = World(tmp_path)
    world.work(records[: SIZE // 2])
    ends, free = [world.end(q) for q in range(4)], world.settings
    for limit, from_snapshot in ((100_000, True), (60, False)):
        world.settings = replace(free, detect=replace(free.detect, most_numbers=limit))
        auditor = world.auditor()
        restorer = Restorer(world.settings, world.broker, auditor._detector("enforce"), auditor._store)
        at = TopicPartition(world.settings.topics.events, 2)
        taken = restorer.stand(at, 0, ends[2], Memory(), Memory())
        assert (taken.from_snapshot, taken.start) == (from_snapshot, ends[2] if from_snapshot else 0)
    assert "wanted one of at most 60 numbers, got one without limit that has held" in caplog.text
    with pytest.raises(CannotRebuild, match="no usable snapshot"):  # of a log that begins later, and is too short
        restorer.stand(at, 1, ends[2], Memory(), Memory())
    world.work(records[SIZE // 2 :])
    with pytest.raises(ConfigError, match=r"decided with a limit of none \(got 60 numbers"):
        world.auditor().audit(2, 0, None)
    assert world.auditor().audit(2, ends[2], None).differences == ()


def test_a_range_whose_versions_nobody_wrote_down_is_refused(world: World) -> None:
    """Without them an audit would be a guess; what else stands in control is not its business."""
    topic = world.settings.topics.control
    world.broker.publish(topic, [(b"mode", b"{}"), (b"3@7", None)])
    assert world.auditor().audit(3, None, None).differences == ()
    world.broker.publish(topic, [(b"3@9", b"{}")])
    with pytest.raises(Fatal, match=r"control, offset \d+: wanted versions in force"):
        world.auditor().audit(3, None, None)
    world.broker.delete([topic])
    world.broker.create(topic_specs(world.settings))
    with pytest.raises(ConfigError, match="control does not say which versions decided"):
        world.auditor().audit(0, None, None)


def test_a_log_that_was_cut_is_audited_from_a_snapshot_on(world: World) -> None:
    """What lies before the log, or before the oldest snapshot in it, cannot be had any more."""
    at = TopicPartition(world.settings.topics.events, 1)
    auditor = world.auditor()
    first = min(auditor._store.offsets(1))
    world.broker.truncate(at, first - 1)
    audit = auditor.audit(1, first, None)
    assert (audit.differences, audit.from_snapshot, audit.state_from) == ((), True, first)
    with pytest.raises(CannotRebuild, match=rf"the log starts at offset {first - 1}: wanted a range from there on"):
        auditor.audit(1, 0, None)
    with pytest.raises(CannotRebuild, match=rf"no usable snapshot .* the log starts at offset {first - 1}"):
        auditor.audit(1, first - 1, None)


def test_a_damaged_snapshot_is_passed_over(world: World) -> None:
    """For an older one, or the log's start."""
    auditor = world.auditor()
    newest = sorted(auditor._store.offsets(1))[-2]
    manifest = auditor._store.folder(1) / f"{newest:020d}" / "manifest.json"
    whole = manifest.read_text()
    assert auditor.audit(1, newest, None).state_from == newest
    manifest.write_text("{")
    audit = auditor.audit(1, newest, None)
    manifest.write_text(whole)
    assert (audit.differences, audit.state_from < newest) == ((), True)
