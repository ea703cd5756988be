"""`decisions tail` over everything that is kept: in order, from a moment on, and in little memory."""

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from detector.broker import TopicPartition, TopicSpec
from detector.broker.memory import MemoryBroker
from detector.cli import main
from detector.commands import decisions
from detector.commands.decisions import AT_ONCE, follow
from detector.units import HOUR_MS
from detector.verdict.decisions import Decision
from tests.demo.stories import decision

PARTITIONS = 4
TOPIC = "decisions.history"
PLACES = [TopicPartition(TOPIC, q) for q in range(PARTITIONS)]
START_MS = 1_794_300_000_000
MANY = 200_000
MOST_BYTES = 2_000_000


class Clock:
    now_ms = START_MS


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker(lambda: Clock.now_ms)
    made.create([TopicSpec(TOPIC, PARTITIONS)])
    Clock.now_ms = START_MS
    return made


def published(broker: MemoryBroker, partition: int, *made: Decision) -> None:
    broker.publish(TOPIC, [(None, one.to_json()) for one in made], partition)


def told(broker: MemoryBroker, positions: dict[TopicPartition, int]) -> Iterator[Decision]:
    return follow(broker, positions, more=lambda: False)


def test_partitions_are_told_as_one(broker: MemoryBroker) -> None:
    """The earliest first, over more than one turn of reading."""
    count = 2 * AT_ONCE + 7
    for q in range(PARTITIONS):
        published(broker, q, *(decision(f"+99971{q}", START_MS + PARTITIONS * i + q) for i in range(count)))
    moments = [one.issued_at for one in told(broker, dict.fromkeys(PLACES, 0))]
    assert moments == list(range(START_MS, START_MS + PARTITIONS * count))


def test_it_starts_where_it_is_told_and_goes_on_behind_the_end(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published while it waits comes in the next round, and once."""
    published(broker, 1, *(decision(f"+9997{i}", START_MS + i) for i in range(3)))
    rounds = iter([True, True, False])

    def pause(_: float) -> None:
        published(broker, 2, decision("+99979", START_MS))

    monkeypatch.setattr(time, "sleep", pause)
    positions = dict.fromkeys(PLACES, 0) | {PLACES[1]: 1}
    numbers = [one.number for one in follow(broker, positions, lambda: next(rounds))]
    assert numbers == ["+99971", "+99972", "+99979", "+99979"]


@pytest.mark.slow
def test_a_year_of_decisions_takes_little_memory(broker: MemoryBroker) -> None:
    """200,000 of them, read from their beginning: more than a few at a time are never held."""
    value = decision("+999712345678", START_MS, reason="calls strangers all day " * 20).to_json()
    for q in range(PARTITIONS):
        broker.publish(TOPIC, [(None, value)] * (MANY // PARTITIONS), q)
    tracemalloc.start()
    try:
        count = sum(1 for _ in told(broker, dict.fromkeys(PLACES, 0)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (count, peak < MOST_BYTES) == (MANY, True), peak


def test_the_command_tells_what_was_published_since(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By when it was stored: an event may be older."""

    @contextmanager
    def opened(_: object) -> Iterator[MemoryBroker]:
        yield broker

    for hour in range(5):
        Clock.now_ms = START_MS + hour * HOUR_MS
        for q in range(PARTITIONS):
            published(broker, q, decision(f"+9997{hour}", START_MS - 9 * HOUR_MS))
    monkeypatch.setattr(decisions, "open_kafka", opened)
    monkeypatch.setenv("DETECTOR__TOPICS__PARTITIONS", str(PARTITIONS))
    assert main(["decisions", "tail", "--no-follow", "--since", str(START_MS + 3 * HOUR_MS)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "+9997" in line]
    assert [line.count("+99973") + line.count("+99974") for line in lines] == [1] * 2 * PARTITIONS


def test_a_moment_and_the_beginning_are_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    """One would be passed over in silence."""
    with pytest.raises(SystemExit):
        main(["decisions", "tail", "--from-beginning", "--since", "2h"])
    assert "not allowed with" in capsys.readouterr().err
