"""`detector audit`: what is printed, and the exit code."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import orjson
import pytest
import yaml

from detector.broker.memory import MemoryBroker
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.commands.audit import MOST_LINES, lines
from detector.config import Settings, load
from detector.metrics import Metrics
from detector.service.audit import Audited
from detector.service.detect import DetectRole
from detector.service.history import Difference
from detector.service.ingest import IngestRole
from tests.service.harness import everything, settings_tree
from tests.service.test_roles import drain

BLOCK = {"id": "b1", "action": "block", "number": "+99971999999", "service": "voice", "actor": "ana", "reason": "court"}


def test_the_table_counts_what_the_lines_beneath_it_say() -> None:
    """A partition a line; the first differences are written out."""
    many = tuple(Difference("extra", f"1-{n}-0-x", "case", "flag by x") for n in range(MOST_LINES + 5))
    audited = [
        Audited(0, 10, 20, 5, from_snapshot=True, decided=3, published=3),
        Audited(1, 7, 7, 7, from_snapshot=False),
        Audited(2, 0, 90, 0, from_snapshot=False, decided=1, published=1 + len(many), differences=many),
    ]
    printed = lines(audited)
    assert [line.split() for line in printed[1:4]] == [
        ["0", "10", "20", "snapshot", "5", "3", "3", "0", "0", "0"],
        ["1", "7", "7", "-", "0", "0", "0", "0", "0"],
        ["2", "0", "90", "log", "0", "1", str(1 + len(many)), "0", str(len(many)), "0"],
    ]
    assert printed[4].split() == ["extra", "1-0-0-x", "case", "flag", "by", "x"]
    assert printed[-2:] == ["and 5 more", f"4 decisions, {len(many)} differences"]
    assert lines(audited[:2])[-1] == "3 decisions, equal"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(settings_tree(tmp_path)))
    return load(path, environ={})


@pytest.fixture
def broker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """A broker on which a block was ordered and decided."""
    broker = MemoryBroker()
    broker.create(topic_specs(settings))
    broker.publish(settings.topics.commands, [(b"n", orjson.dumps(BLOCK))])
    drain(IngestRole(settings, broker, Metrics(), "0"), DetectRole(settings, broker, Metrics(), "0"))
    monkeypatch.setattr("detector.commands.audit.open_kafka", lambda settings: nullcontext(broker))
    return broker


@pytest.fixture
def run(tmp_path: Path, broker: MemoryBroker) -> Callable[..., int]:
    return lambda *argv: main(["audit", *argv, "--config", str(tmp_path / "small.yaml")])


def test_an_audit_that_finds_nothing_exits_with_0(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever way the range is written."""
    assert run() == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "1 decisions, equal"
    assert printed.err.count("decided on again\n") == 4, "a line for each partition while it works"
    assert run("--from", "2020-01-01", "--to", "2090-01-01") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 decisions, equal"
    assert run("--from", "2090-01-01") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 decisions, equal"


def test_an_audit_that_finds_something_exits_with_1(
    run: Callable[..., int], broker: MemoryBroker, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the decision's id on a line of its own."""
    ((q, key, value),) = everything(broker, settings.topics.history)
    broker.publish(settings.topics.history, [(key, value)], q)
    assert run("--partition", str(q)) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].split()[:2] == ["extra", orjson.loads(value or b"")["decision_id"]]
    assert printed[-1] == "1 decisions, 1 differences"
    assert run("--partition", str((q + 1) % 4)) == 0


def test_a_partition_that_is_not_there_is_refused(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2: the command line is wrong."""
    assert run("--partition", "4") == 2
    assert "--partition: wanted 0 to 3 (got 4)" in capsys.readouterr().err
