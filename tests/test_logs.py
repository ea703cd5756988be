"""The log: a line an event, as text or JSON, nobody's number in it, and the reason of an end as the last one."""

import ast
import hashlib
import hmac
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.cli import main
from detector.config import ROOT, Settings, convert
from detector.logs import MOST_NUMBERS, Event, Lines, Numbers, pseudonyms, said
from detector.metrics import Metrics
from detector.replay import Replay
from tests.service.harness import RECORDS, settings_tree, traffic

KEY = "a key"
NAME = pseudonyms(KEY)
NUMBER = "+999712345678"
LIMIT_S = 60.0


def lines(log: logging.Logger, *, json_lines: bool, show: Callable[[str], str] = NAME) -> io.StringIO:
    """What `log` writes from now on."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(Lines("detect-0", json=json_lines, show=show))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.DEBUG)
    return written


@pytest.fixture
def log(request: pytest.FixtureRequest) -> logging.Logger:
    """A logger of the test's own."""
    return logging.Logger(request.node.name)


def test_a_line_of_json_holds_time_level_process_event_message_and_facts(log: logging.Logger) -> None:
    """One object a line, whatever stands in the message."""
    written = lines(log, json_lines=True)
    log.warning("partition %d: %s", 3, "two\nlines", extra=said(Event.TAKEN, partition=3, committed=None))
    (line,) = written.getvalue().splitlines()
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "warning",
        "process": "detect-0",
        "event": "taken",
        "message": "partition 3: two\nlines",
        "partition": 3,
        "committed": None,
    }


def test_a_line_of_text_is_for_people(log: logging.Logger) -> None:
    """Time, process, level, message."""
    written = lines(log, json_lines=False)
    log.info("took %s", "events[3]", extra=said(Event.TAKEN, partition=3))
    assert re.fullmatch(r"\S+Z detect-0 INFO took events\[3\]\n", written.getvalue())


@pytest.mark.parametrize("json_lines", [True, False])
def test_a_number_stands_as_its_pseudonym(log: logging.Logger, json_lines: bool) -> None:
    """HMAC-SHA256 under the key, in the message and among the facts."""
    written = lines(log, json_lines=json_lines)
    numbers = Numbers([NUMBER])
    log.info("decided: 1 block, of %s", numbers, extra=said(Event.DECIDED, numbers=numbers))
    name = "n-" + hmac.new(KEY.encode(), NUMBER.encode(), hashlib.sha256).hexdigest()[:12]
    assert f"decided: 1 block, of {name}" in written.getvalue()
    assert NUMBER not in written.getvalue()
    if json_lines:
        assert json.loads(written.getvalue())["numbers"] == [name]


def test_numbers_are_plain_where_that_is_configured(log: logging.Logger) -> None:
    """`log.numbers: plain`."""
    written = lines(log, json_lines=True, show=str)
    log.info("of %s", Numbers([NUMBER]), extra=said(Event.DECIDED))
    assert json.loads(written.getvalue())["message"] == f"of {NUMBER}"


def test_a_handler_that_knows_nothing_of_numbers_writes_none() -> None:
    """A library's, a test's, a debugger's."""
    assert f"{Numbers([NUMBER])} {Numbers([NUMBER])!r}" == "1 numbers 1 numbers"


def test_a_line_names_a_few_numbers_and_counts_the_rest(log: logging.Logger) -> None:
    """A release of a hundred thousand is one line."""
    written = lines(log, json_lines=True)
    numbers = Numbers(str(n) for n in range(100_000))
    log.info("of %s", numbers, extra=said(Event.DECIDED, numbers=numbers))
    found = json.loads(written.getvalue())
    assert len(found["numbers"]) == MOST_NUMBERS
    assert found["message"].endswith(f" and {100_000 - MOST_NUMBERS} more")


def test_an_empty_key_is_another_one_each_time() -> None:
    """So that nobody can guess a number from its name."""
    assert pseudonyms("")(NUMBER) != pseudonyms("")(NUMBER)
    assert pseudonyms("a")(NUMBER) == pseudonyms("a")(NUMBER) != pseudonyms("b")(NUMBER)


def test_the_pseudonym_of_a_number_can_be_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has the key finds a number's lines; without one there is no name to be found."""
    path = str(ROOT / "configs" / "local.yaml")
    assert main(["pseudonym", NUMBER, "--config", path]) == 2
    assert "log.pseudonym_key: wanted the key" in capsys.readouterr().err
    monkeypatch.setenv("DETECTOR__LOG__PSEUDONYM_KEY", KEY)
    assert main(["pseudonym", NUMBER, "--config", path]) == 0
    assert capsys.readouterr().out == f"{NUMBER} {pseudonyms(KEY)(NUMBER)}\n"


def test_every_line_of_the_service_says_which_event_it_tells_of() -> None:
    """A line without one cannot be searched for."""
    calls = [
        (path, node, node.func)
        for path in sorted(Path(ROOT, "detector").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    lines_of_the_log = [
        (f"{path.name}:{node.lineno}", {keyword.arg for keyword in node.keywords})
        for path, node, call in calls
        if call.attr in ("info", "warning", "error", "critical", "exception")
        and isinstance(call.value, ast.Name)
        and call.value.id in ("log", "_LOG")
    ]
    assert len(lines_of_the_log) > 15
    assert [place for place, given in lines_of_the_log if "extra" not in given] == []


def test_no_number_of_the_traffic_stands_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Both roles on a day with campaigns, every line that they write, blocks among them."""
    settings = convert(settings_tree(tmp_path) | {"base": str(tmp_path)}, Settings, "test settings")
    root, written = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(Lines("replay", json=True, show=pseudonyms(KEY)))
    root.addHandler(handler)
    caplog.set_level(logging.INFO)
    try:
        with Replay(settings, Metrics(), lambda: 1_794_000_000_000) as replay:
            replay.publish(RECORDS, traffic(20_000))
            replay.settle()
            decided = {decision.number for decision in replay.decisions() if decision.action == "block"}
    finally:
        root.removeHandler(handler)
    text = written.getvalue()
    assert decided
    told = {name for line in text.splitlines() for name in json.loads(line).get("numbers", [])}
    assert told
    assert told <= {pseudonyms(KEY)(number) for number in decided}
    numbers = {number.removeprefix("+") for number in re.findall(r"\+\d{7,15}", b" ".join(traffic(20_000)).decode())}
    assert len(numbers) > 1_000
    assert [number for number in numbers if number in text] == []


CRASH = """
import sys
from detector.cli import main
from detector.service.ingest import IngestRole

def step(role):
    raise {error}

IngestRole.step = step
sys.exit(main(["ingest", "--config", sys.argv[1]]))
"""


def config(folder: Path, kafka: LocalKafka, group: str, form: str) -> Path:
    """A deployment of topics of its own, which are made."""
    tree = settings_tree(folder, **{"bootstrap.servers": kafka.address})
    tree |= {"group": group, "log": {"format": form}}
    tree["topics"] = {"partitions": 1, **{name: f"{group}.{name}" for name in TOPICS}}
    tree["sources"][0]["topic"] = f"{group}.records"  # type: ignore[index]
    path = folder / "detector.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    broker = KafkaBroker(kafka.options)
    broker.create(topic_specs(convert(tree | {"base": str(folder)}, Settings, "test settings")))
    broker.close()
    return path


TOPICS = (
    "events",
    "decisions",
    "history",
    "shadow",
    "commands",
    "control",
    "rejects",
    "labels",
    "vectors",
    "heartbeats",
)


@pytest.mark.kafka
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("ZeroDivisionError('of the role')", "ZeroDivisionError: of the role"),
        ("__import__('detector.errors').errors.Fatal('events[3]: wanted rows (got none)')", "events[3]: wanted rows"),
    ],
)
def test_a_crash_leaves_its_reason_as_the_last_line(
    kafka: LocalKafka, tmp_path: Path, form: str, error: str, reason: str
) -> None:
    """A real process on a real Kafka, with members and producers that have their say when it ends."""
    path = config(tmp_path, kafka, f"crash-{form}-{len(reason)}", form)
    command = [sys.executable, "-c", CRASH.format(error=error), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=LIMIT_S)
    assert done.returncode == 1, done.stderr
    *before, last = done.stderr.splitlines()
    assert reason in last
    if form == "json":
        found = json.loads(last)
        assert (found["event"], found["level"], found["exit_code"]) == ("ended", "critical", 1)
        assert found["reason"].startswith(reason)
        assert ("in step" in found.get("traceback", "")) == error.startswith("Zero")
        assert [json.loads(line)["process"] for line in before] == ["ingest-0"] * len(before)
    else:
        assert re.match(r"\S+Z ingest-0 CRITICAL ended by an error: ", last)
        assert any("in step" in line for line in before) == error.startswith("Zero")


@pytest.mark.kafka
@pytest.mark.slow
def test_a_process_that_is_killed_is_named_by_its_supervisor(kafka: LocalKafka, tmp_path: Path) -> None:
    """kill -9 leaves nobody to say why: the supervisor's line does, in the same form."""
    path = config(tmp_path, kafka, "killed", "json")
    log = tmp_path / "log"
    command = [sys.executable, "-m", "detector.cli", "run", "--config", str(path)]
    with log.open("wb") as file:
        running = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT)
    try:
        pid = int(_wait_for(log, r"detect-0: started as process (\d+)"))
        _wait_for(log, r'"event":"(taken)"')
        os.kill(pid, signal.SIGKILL)
        _wait_for(log, r"(detect-0: ended with signal SIGKILL; starting again)")
    finally:
        running.terminate()
        code = running.wait(LIMIT_S)
    found = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert code == 0
    assert {line["process"] for line in found} == {"supervisor", "ingest-0", "detect-0"}
    assert {"started", "assigned", "taken", "drained", "supervisor"} <= {line["event"] for line in found}


def _wait_for(log: Path, pattern: str) -> str:
    """The first group of what the log says by now."""
    end = time.monotonic() + LIMIT_S
    while not (found := re.search(pattern, log.read_text(encoding="utf-8"))):
        assert time.monotonic() < end, log.read_text(encoding="utf-8")
        time.sleep(0.1)
    return found[1]
