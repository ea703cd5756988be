"""What may happen while a role settles after an aborted transaction: nothing is lost, doubled or forgotten."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from detector.broker import Message, TopicPartition
from detector.broker.memory import MemoryConsumer, MemoryProducer
from detector.config import Settings
from detector.errors import Abort, Recoverable
from detector.metrics import Metrics
from detector.service import Role
from detector.service.detect import DetectRole
from detector.service.ingest import IngestRole
from tests.service.harness import (
    expected_decisions,
    expected_rows,
    published_decisions,
    published_rows,
    settings_for,
    source_positions,
    traffic,
)
from tests.service.test_roles import broker_with

Poll = Callable[[MemoryConsumer, int, float], list[Message]]


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    return traffic(6_000)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Small batches; settling takes 50 ms once."""
    for role in ("ingest", "detect"):
        monkeypatch.setattr(f"detector.service.{role}.settling_s", lambda attempt: 0.05 if attempt == 1 else 0.0)
    settings = settings_for(tmp_path)
    return replace(settings, ingest=replace(settings.ingest, batch_records=500, rows_per_message=64))


class Trouble:
    """The `nth` commit aborts; what a poll does from then on is up to `during`, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int, during: Poll) -> None:
        self.commits = 0
        self.over = False
        commit, self.poll = MemoryProducer.commit, MemoryConsumer.poll

        def aborting(producer: MemoryProducer, offsets: Mapping[TopicPartition, int], metadata: object) -> None:
            self.commits += 1
            if self.commits == nth:
                raise Abort("a broker was away")
            commit(producer, offsets, metadata)

        def troubled(consumer: MemoryConsumer, most: int, wait_s: float) -> list[Message]:
            if self.commits == nth and not self.over:
                self.over = True
                return during(consumer, most, wait_s)
            return self.poll(consumer, most, wait_s)

        monkeypatch.setattr(MemoryProducer, "commit", aborting)
        monkeypatch.setattr(MemoryConsumer, "poll", troubled)


def gone(consumer: MemoryConsumer, most: int, wait_s: float) -> list[Message]:
    raise Recoverable("the broker went away")


def drain(role: Role) -> None:
    """Step as `run` does, until nothing is found."""
    idle = 0
    while idle < 3:
        try:
            idle = 0 if role.step() else idle + 1
        except Recoverable:
            idle = 0


def test_ingest_goes_back_even_when_the_broker_goes_away_while_it_settles(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next commit would pass over the batch that was aborted."""
    broker = broker_with(settings, records)
    ingest = IngestRole(settings, broker, Metrics(), "0")
    Trouble(monkeypatch, 3, gone)
    drain(ingest)
    assert published_rows(broker, settings) == expected_rows(settings, source_positions(broker))


def test_ingest_does_not_go_back_in_a_partition_that_was_another_workers_meanwhile(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked, committed further by another, and taken again: all within the settling."""
    broker = broker_with(settings, records)
    ingest = IngestRole(settings, broker, Metrics(), "0")

    def moved(consumer: MemoryConsumer, most: int, wait_s: float) -> list[Message]:
        other = IngestRole(settings, broker, Metrics(), "1")
        for _ in range(6):
            trouble.poll(consumer, 1, 0.0)
            other.step()
        other.close()
        return trouble.poll(consumer, most, wait_s)

    trouble = Trouble(monkeypatch, 3, moved)
    drain(ingest)
    assert published_rows(broker, settings) == expected_rows(settings, source_positions(broker))


def test_detect_publishes_what_it_kept_without_waiting_for_new_rows(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker goes away while the very last batch settles."""
    settings = replace(settings, detect=replace(settings.detect, batch_messages=100_000))
    broker = broker_with(settings, records)
    drain(IngestRole(settings, broker, Metrics(), "0"))
    detect = DetectRole(settings, broker, Metrics(), "0")
    Trouble(monkeypatch, 1, gone)
    drain(detect)
    assert published_decisions(broker, settings) == expected_decisions(broker, settings)


def test_a_partition_that_is_lost_and_comes_back_while_detect_settles_is_read_on_from_its_state(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, twice within the settling: what was in hand is gone, and decided again."""
    settings = replace(settings, detect=replace(settings.detect, batch_messages=3))
    broker = broker_with(settings, records)
    drain(IngestRole(settings, broker, Metrics(), "0"))
    detect = DetectRole(settings, broker, Metrics(), "0")

    def lose_and_retake(consumer: MemoryConsumer, most: int, wait_s: float) -> list[Message]:
        for _ in range(2):
            broker.expire("detector-detect", "detector-detect-0")
            assert trouble.poll(consumer, most, wait_s) == []
        assert detect._held == {}
        return []

    trouble = Trouble(monkeypatch, 6, lose_and_retake)
    drain(detect)
    assert trouble.over
    assert published_decisions(broker, settings) == expected_decisions(broker, settings)


def test_what_was_polled_of_a_partition_before_it_was_lost_is_dropped(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost and taken again within the settling, after a poll had already given messages of it."""
    settings = replace(settings, detect=replace(settings.detect, batch_messages=3))
    broker = broker_with(settings, records)
    drain(IngestRole(settings, broker, Metrics(), "0"))
    detect = DetectRole(settings, broker, Metrics(), "0")

    def lose_and_retake(consumer: MemoryConsumer, most: int, wait_s: float) -> list[Message]:
        carried = trouble.poll(consumer, 1, wait_s)
        assert carried
        detect._carried += carried
        broker.expire("detector-detect", "detector-detect-0")
        assert trouble.poll(consumer, most, wait_s) == []
        assert detect._carried == []
        return []

    trouble = Trouble(monkeypatch, 6, lose_and_retake)
    drain(detect)
    assert trouble.over
    assert published_decisions(broker, settings) == expected_decisions(broker, settings)


def test_no_more_than_a_batch_is_carried_however_long_detect_settles(
    settings: Settings, records: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then what it holds stands still, and goes on afterwards."""
    settings = replace(settings, detect=replace(settings.detect, batch_messages=3))
    broker = broker_with(settings, records)
    drain(IngestRole(settings, broker, Metrics(), "0"))
    detect = DetectRole(settings, broker, Metrics(), "0")
    carried: list[int] = []

    def poll_on(consumer: MemoryConsumer, most: int, wait_s: float) -> list[Message]:
        polled = trouble.poll(consumer, most, 0.0)
        trouble.over = len(carried) > 50
        carried.append(len(detect._carried) + len(polled))
        return polled

    trouble = Trouble(monkeypatch, 6, poll_on)
    monkeypatch.setattr("detector.service.detect.settling_s", lambda attempt: 0.0 if trouble.over else 3_600.0)

    class Passing:
        """The hour is over when the polls are."""

        now = 0.0

        def monotonic(self) -> float:
            return 7_200.0 if trouble.over else self.now

        def perf_counter(self) -> float:
            return self.now

    monkeypatch.setattr("detector.service.detect.time", Passing())
    drain(detect)
    assert trouble.over
    assert max(carried) == settings.detect.batch_messages
    assert published_decisions(broker, settings) == expected_decisions(broker, settings)
