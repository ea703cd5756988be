"""What an operator writes becomes a command on its topic; topics are made and checked by command."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.cli import main
from detector.commands.operator import seconds
from detector.ingest.commands import Command, read_command

CONFIG = """
home: {country_code: "999"}
topics: {partitions: 2}
sources: [{name: plain, id: 1, topic: records, mapping: plain.yaml}]
"""


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """The broker that commands find instead of Kafka."""
    broker = MemoryBroker()
    for module in ("topics", "operator"):
        monkeypatch.setattr(f"detector.commands.{module}.open_kafka", lambda settings: nullcontext(broker))
    return broker


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., int]:
    """Run a command with a small configuration."""
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return lambda *argv: main([*argv, "--config", str(path)])


def commands_on(broker: MemoryBroker) -> list[Command]:
    """Every command on the topic."""
    found = []
    for q in range(broker.partitions()["commands"]):
        at = TopicPartition("commands", q)
        for message in broker.read(at, 0, broker.watermarks(at)[1]):
            command = read_command(message.value())
            assert isinstance(command, Command)
            found.append(command)
    return found


def test_topics_are_made_once(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time everything was there; check agrees."""
    assert run("topics", "create") == 0
    assert "decisions: made with 2 partitions" in capsys.readouterr().out
    assert run("topics", "create") == 0
    assert "decisions: was there" in capsys.readouterr().out
    assert run("topics", "check") == 0


def test_missing_topics_are_named_with_the_command_that_makes_them(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2: a restart does not mend it."""
    assert run("topics", "check") == 2
    assert "`detector topics create`" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["release", "allow", "block"])
def test_a_command_carries_actor_and_reason(broker: MemoryBroker, run: Callable[..., int], action: str) -> None:
    """What ingest reads back is what was typed."""
    run("topics", "create")
    assert run(action, "+999712345678", "--reason", "call centre of the bank", "--actor", "eva", "--ttl", "12h") == 0
    (command,) = commands_on(broker)
    assert (command.action, command.number, command.actor) == (action, "+999712345678", "eva")
    assert (command.reason, command.service, command.ttl_s) == ("call centre of the bank", "all", 43_200)


def test_a_number_that_is_none_is_refused(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is published, and the message says how numbers are written."""
    run("topics", "create")
    assert run("block", "0712 345", "--reason", "typo") == 2
    assert "block: wanted +E164" in capsys.readouterr().err
    assert commands_on(broker) == []


def test_lives_are_written_in_units() -> None:
    """Seconds, minutes, hours, days; nothing else."""
    assert [seconds(text) for text in ("90", "90s", "15m", "12h", "7d")] == [90, 90, 900, 43_200, 604_800]


@pytest.mark.parametrize("text", ["0", "-1", "1w", "", "1.5h"])
def test_other_lives_are_refused(text: str) -> None:
    """A life that nobody can read would be a block that nobody expects."""
    with pytest.raises(Exception, match="wanted a positive number"):
        seconds(text)
