"""Both roles on the in-memory broker: the whole path, restarts, bad input, changed worlds."""

import threading
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from detector.broker import Message, TopicPartition
from detector.broker.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from detector.broker.topics import topic_specs
from detector.config import Settings
from detector.errors import Abort, CannotRebuild, Fatal, Recoverable
from detector.metrics import Metrics
from detector.service import Role
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from detector.service.outbox import MOST_BYTES
from detector.verdict.served import SERVED
from tests.service.harness import (
    RECORDS,
    everything,
    expected_decisions,
    expected_outcomes,
    expected_rows,
    log_entries,
    published_decisions,
    published_rows,
    published_served,
    settings_for,
    source_positions,
    traffic,
)

SIZE = 12_000


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    return traffic(SIZE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


def broker_with(settings: Settings, records: list[bytes]) -> MemoryBroker:
    broker = MemoryBroker()
    broker.create(topic_specs(settings, source_partitions=2))
    half = len(records) // 2
    for partition, part in enumerate((records[:half], records[half:])):
        broker.publish(RECORDS, [(None, value) for value in part], partition)
    return broker


def drain(*roles: Role) -> None:
    """Every role steps until none finds anything: assignments come with the first polls."""
    idle = 0
    while idle < 3:
        idle = 0 if sum(role.step() for role in roles) else idle + 1


def roles(settings: Settings, broker: MemoryBroker) -> tuple[IngestRole, DetectRole]:
    return IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0")


def committed(broker: MemoryBroker, at: TopicPartition) -> int:
    """How far detect has come in a partition."""
    return broker.committed("detector-detect", [at])[at] or 0


def test_every_record_counts_once_and_every_decision_is_published_once(
    settings: Settings, records: list[bytes]
) -> None:
    """Rows equal those of the sources, decisions those of one pass over the log."""
    broker = broker_with(settings, records)
    drain(*roles(settings, broker))
    assert published_rows(broker, settings) == expected_rows(settings, source_positions(broker))
    decided = published_decisions(broker, settings)
    assert decided == expected_decisions(broker, settings)
    assert decided.total() > 0


@pytest.mark.parametrize("kind", ["closed", "crashed"])
def test_a_restart_goes_on_where_the_log_says(settings: Settings, records: list[bytes], kind: str) -> None:
    """Stopped in order or dead in mid-stream: the next worker's decisions are those of an undisturbed run."""
    broker = broker_with(settings, records)
    ingest, detect = roles(settings, broker)
    while len(everything(broker, settings.topics.history)) == 0:
        ingest.step()
        detect.step()
    if kind == "closed":
        ingest.close()
        detect.close()
    drain(*roles(settings, broker))
    assert published_rows(broker, settings) == expected_rows(settings, source_positions(broker))
    assert published_decisions(broker, settings) == expected_decisions(broker, settings)


def test_a_snapshot_is_used_and_changes_nothing(settings: Settings, records: list[bytes]) -> None:
    """After a close, the state comes from the snapshots: cut the log below them and go on."""
    broker = broker_with(settings, records[: SIZE // 2])
    ingest, detect = roles(settings, broker)
    drain(ingest, detect)
    detect.close()
    expected_at_half = published_decisions(broker, settings)
    for partition, value in enumerate(records[SIZE // 2 :]):
        broker.publish(RECORDS, [(None, value)], partition % 2)
    drain(ingest)
    whole = expected_decisions(broker, settings)
    for q in range(settings.topics.partitions):
        at = TopicPartition(settings.topics.events, q)
        broker.truncate(at, committed(broker, at))
    drain(DetectRole(settings, broker, Metrics(), "0"))
    assert published_decisions(broker, settings) == whole
    assert expected_at_half.total() < whole.total()


@pytest.mark.parametrize("aborts", [1, 4])
def test_an_aborted_transaction_is_done_again(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch, aborts: int
) -> None:
    """Up to four in a row, in either role: nothing is lost, nothing is there twice."""
    monkeypatch.setattr("detector.service.detect.settling_s", lambda attempt: 0.0)
    monkeypatch.setattr("detector.service.ingest.settling_s", lambda attempt: 0.0)
    broker = broker_with(settings, records)
    pair = roles(settings, broker)
    fail_commits(monkeypatch, aborts)
    drain(*pair)
    assert published_rows(broker, settings) == expected_rows(settings, source_positions(broker))
    assert published_decisions(broker, settings) == expected_decisions(broker, settings)


def test_a_role_gives_up_after_eight_aborted_transactions_in_a_row(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its supervisor starts it anew, from what is committed."""
    monkeypatch.setattr("detector.service.ingest.settling_s", lambda attempt: 0.0)
    broker = broker_with(settings, records[:100])
    ingest, _ = roles(settings, broker)
    fail_commits(monkeypatch, 8)
    with pytest.raises(Fatal, match="8 transactions in a row could not commit"):
        drain(*[ingest] * 6)


def test_what_another_worker_has_ingested_meanwhile_is_not_read_again(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an abort a partition goes to another worker, which commits, and comes back: it is read on from there.

    first:   poll --- abort --- polls --------------------- polls --- seeks back, but not in what it had lost
    second:                     joins --- commits --- leaves
    """
    monkeypatch.setattr("detector.service.ingest.settling_s", lambda attempt: 1.0)
    broker = broker_with(settings, records[:8_000])
    first = IngestRole(replace(settings, ingest=replace(settings.ingest, batch_records=1_000)), broker, Metrics(), "0")
    first.step()
    taken: set[TopicPartition] = set()
    poll = MemoryConsumer.poll

    def life_of_the_second() -> Iterator[None]:
        second = IngestRole(settings, broker, Metrics(), "1")
        while not second.step():
            yield
        while second.step():
            pass
        taken.update(second._held)
        second.close()

    life = life_of_the_second()

    def polled(self: MemoryConsumer, most: int, wait_s: float) -> list[Message]:
        if self is first._consumer and most == 1:
            monkeypatch.setattr(MemoryConsumer, "poll", poll)
            next(life, None)
            monkeypatch.setattr(MemoryConsumer, "poll", polled)
        return poll(self, most, wait_s)

    monkeypatch.setattr(MemoryConsumer, "poll", polled)
    fail_commits(monkeypatch, 1)
    drain(first)
    assert taken
    assert published_rows(broker, settings) == expected_rows(settings, source_positions(broker))


def fail_commits(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Of every ten commits, the first `times` abort."""
    commit = MemoryProducer.commit
    calls = count()

    def failing(self: MemoryProducer, offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        if next(calls) % 10 < times:
            raise Abort("a broker was away")
        commit(self, offsets, group_metadata)

    monkeypatch.setattr(MemoryProducer, "commit", failing)


@pytest.mark.parametrize("kept", [0, 1])
def test_without_snapshots_and_with_a_log_that_is_too_short_detect_refuses(
    settings: Settings, records: list[bytes], kept: int
) -> None:
    """The message says what is missing and what to do; nothing starts empty in silence."""
    often = replace(settings.ingest, batch_records=500)
    settings = replace(settings, ingest=often, detect=replace(settings.detect, snapshot_every_s=300))
    broker = broker_with(settings, records[:5_000])
    ingest, detect = roles(settings, broker)
    drain(ingest, detect)
    for q in range(settings.topics.partitions):
        at = TopicPartition(settings.topics.events, q)
        broker.truncate(at, committed(broker, at) - kept)
    for value in records[5_000:5_100]:
        broker.publish(RECORDS, [(None, value)], 0)
    drain(ingest)
    again = DetectRole(settings, broker, Metrics(), "0")
    with pytest.raises(CannotRebuild, match=r"no usable snapshot .* snapshot store of the others"):
        drain(again)


BAD = [
    b"",
    b"{",
    b"\x00\xff\xfe noise \x80",
    b"[]",
    b"7",
    b'{"id": "x"}',
    b'{"id":"x","type":"call","from":"+9997' + b"1" * 40 + b'","to":"+99971","end":1790000000000}',
    b'{"id":"x","type":"call","from":"+99971000001","to":"+99971000002","start":5,"end":7}',
    b'{"id":"x","type":"call","phase":"zzz","from":"+99971000001","to":"+99971000002","end":1790000000000}',
    b'{"id":"x","type":"call","from":17.5,"to":{},"end":1790000000000}',
    b'{"id":"' + b"x" * 10_000_000 + b'"}',
]


def test_bad_records_go_to_rejects_and_the_stream_goes_on(settings: Settings, records: list[bytes]) -> None:
    """Each with its raw bytes, position and reason, counted; the good ones around them are all there."""
    mixed = [value for pair in zip(records, BAD, strict=False) for value in pair]
    broker = broker_with(settings, mixed)
    metrics = Metrics()
    ingest = IngestRole(settings, broker, metrics, "0")
    drain(ingest)
    good = [position for position in source_positions(broker) if position[3] not in BAD]
    assert published_rows(broker, settings) == expected_rows(settings, good)
    rejects = list(rejected(broker, settings))
    assert sorted(value for value, _ in rejects) == sorted(value[: 512 * 1024] for value in BAD)
    for _, headers in rejects:
        assert headers["source"] == RECORDS
        assert headers["topic"] == RECORDS
        assert headers["offset"].isdecimal()
        assert headers["detail"]
    assert metrics.value("rejects") == len(BAD)
    assert len({headers["reason"] for _, headers in rejects}) >= 6


def rejected(broker: MemoryBroker, settings: Settings) -> Iterator[tuple[bytes, dict[str, str]]]:
    for partition in range(broker.partitions()[settings.topics.rejects]):
        at = TopicPartition(settings.topics.rejects, partition)
        for message in broker.read(at, *broker.watermarks(at)):
            headers = {name: content.decode() for name, content in message.headers() or []}
            yield message.value() or b"", headers


def test_a_command_is_honoured_in_the_order_of_the_log(settings: Settings, records: list[bytes]) -> None:
    """An operator's block stands in decisions under its case, with its actor and reason; a release ends it.

    The release is for all scopes: a decision of its own, and one in each case that was in force.
    """
    broker = broker_with(settings, records[:100])
    pair = roles(settings, broker)
    drain(*pair)
    block = {"action": "block", "number": "+99971999999", "service": "voice", "actor": "ana", "reason": "court order 7"}
    for number, command in enumerate((block, block | {"action": "release", "reason": "appeal"})):
        broker.publish(settings.topics.commands, [(b"+99971999999", orjson.dumps(command | {"id": f"c{number}"}))])
        drain(*pair)
    decided = [orjson.loads(value or b"") for _, _, value in everything(broker, settings.topics.history)]
    mine = [decision for decision in decided if decision["number"] == "+99971999999"]
    assert [(d["action"], d["scope"]) for d in mine] == [
        ("block", "originating"),
        ("release", "all"),
        ("release", "originating"),
    ]
    assert mine[2]["supersedes"] == mine[0]["decision_id"]
    assert mine[2]["version"] == mine[0]["version"] + 1


def test_an_operators_command_with_noise_in_unknown_fields_stops_nobody(
    settings: Settings, records: list[bytes]
) -> None:
    """What is passed on is the command as it was understood, not the bytes that it came in."""
    broker = broker_with(settings, records[:100])
    plain = b'{"id":"c1","action":"block","number":"+99971999999","actor":"ana","reason":"court order 7"'
    for noise in (b',"note":"caf\xe9"}', b',"note":1e999}', b"}"):
        broker.publish(settings.topics.commands, [(None, plain + noise)])
    drain(*roles(settings, broker))
    decided = [orjson.loads(value or b"") for _, _, value in everything(broker, settings.topics.history)]
    assert {decision["action"] for decision in decided if decision["number"] == "+99971999999"} == {"block"}


def test_no_message_outgrows_the_broker_however_long_the_sender_ids(settings: Settings) -> None:
    """Twenty thousand senders of 64 characters, three bytes each: the header with their texts is split too."""
    settings = replace(settings, ingest=replace(settings.ingest, batch_records=20_000, rows_per_message=8_192))
    sms = b'{"id":"m-%d","type":"sms","from":"%s","to":"+99971000001","time":1790000000000}'
    values = [sms % (n, f"{n:05d}".encode() + 59 * "\u4e2d".encode()) for n in range(20_000)]
    broker = broker_with(settings, values)
    drain(IngestRole(settings, broker, Metrics(), "0"))
    sizes = [
        len(entry.value or b"") + sum(len(content) for _, content in entry.headers)
        for q in range(settings.topics.partitions)
        for entry in log_entries(broker, settings, q)
    ]
    assert max(sizes) <= MOST_BYTES
    assert published_rows(broker, settings).total() == 40_000


def test_no_message_of_vectors_outgrows_the_broker(settings: Settings, records: list[bytes]) -> None:
    """Thousands are kept of one batch, as where each of its numbers is decided on: 532 bytes each."""
    settings = replace(
        settings,
        topics=replace(settings.topics, partitions=1),
        detect=replace(settings.detect, batch_messages=1_000, vectors_every=1),
    )
    broker = broker_with(settings, records)
    ingest, detect = roles(settings, broker)
    drain(ingest)
    drain(detect)
    sizes = [len(value or b"") for *_, value in everything(broker, settings.topics.vectors)]
    assert sum(sizes) > 2_000 * SERVED.itemsize
    assert max(sizes) <= MOST_BYTES
    decisions, served = expected_outcomes(broker, settings)
    assert published_decisions(broker, settings) == decisions
    assert published_served(broker, settings) == served


def test_in_shadow_mode_nothing_reaches_enforcement_but_what_an_operator_decides(
    settings: Settings, records: list[bytes]
) -> None:
    """Rules decide aside; a person's block is in force all the same."""
    settings = replace(settings, verdict=replace(settings.verdict, mode="shadow"))
    broker = broker_with(settings, records)
    block = {"id": "c1", "action": "block", "number": "+99971999999", "actor": "ana", "reason": "court order 7"}
    broker.publish(settings.topics.commands, [(b"+99971999999", orjson.dumps(block))])
    drain(*roles(settings, broker))
    assert len(everything(broker, settings.topics.shadow)) > 0
    in_force = [orjson.loads(value or b"") for _, _, value in everything(broker, settings.topics.decisions)]
    assert {decision["source"] for decision in in_force} == {"operator:ana"}


def test_a_poison_message_on_the_internal_topic_is_set_aside(settings: Settings, records: list[bytes]) -> None:
    """Wrong size, wrong schema: to rejects in the same transaction, and the partition goes on."""
    broker = broker_with(settings, records[:2_000])
    broker.publish(settings.topics.events, [(None, b"not rows")], 0)
    drain(*roles(settings, broker))
    assert [headers["source"] for _, headers in rejected(broker, settings)] == ["events"]
    at = TopicPartition(settings.topics.events, 0)
    _, high = broker.watermarks(at)
    assert list(broker.read(at, committed(broker, at), high)) == []


def test_what_was_aborted_is_counted_once(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, rejects and refused commands are those on the topics, not those that were attempted."""
    monkeypatch.setattr("detector.service.ingest.settling_s", lambda attempt: 0.0)
    broker = broker_with(settings, [*records[:1_000], b"{"])
    broker.publish(settings.topics.commands, [(None, b"{")])
    metrics = Metrics()
    fail_commits(monkeypatch, 1)
    drain(IngestRole(settings, broker, metrics, "0"))
    assert metrics.value("transactions", outcome="aborted") == 1
    assert metrics.value("rows_out") == published_rows(broker, settings).total()
    assert metrics.by_label("rejects", "source") == {RECORDS: 1, "commands": 1}


def test_a_role_that_the_broker_leaves_half_made_leaves_nothing_behind(
    settings: Settings, records: list[bytes]
) -> None:
    """It is made again every few seconds: each would be a member that never polls, and five threads more."""
    broker = broker_with(settings, records[:100])
    broker.delete([settings.topics.events])
    threads = set(threading.enumerate())
    for _ in range(3):
        with pytest.raises(Recoverable, match=settings.topics.events):
            DetectRole(settings, broker, Metrics(), "0")
    assert not broker._groups["detector-detect"].members
    assert set(threading.enumerate()) <= threads
