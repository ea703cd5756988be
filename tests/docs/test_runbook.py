"""Every command of the runbook, in its order, in one shell, on a real Kafka with traffic that is decided on."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import ROOT, load
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, simulate
from tests.service.harness import RECORDS, settings_tree

RUNBOOK = ROOT / "docs" / "runbook.md"
SIZE = 20_000
LIMIT_S = 400
CALLER = "NUMBER=+COUNTRY-AND-NUMBER"
"""What whoever is called at night puts the caller's number in."""
BLOCKED = """NUMBER=$(detector decisions tail --from-beginning --no-follow |
  awk '$3 == "block" && $4 ~ /^\\+[0-9]+$/ {number = $4} END {print number}')"""
"""A number for it, for the test: one that is blocked."""
PUT_IN = {CALLER: BLOCKED, "PARTITIONS=96": "PARTITIONS=8"}
"""What a reader would put in, for the test: a broker on this machine has no need of a thousand partitions."""


def blocks() -> list[str]:
    """The fenced blocks of commands, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", RUNBOOK.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def outputs() -> list[str]:
    """What is shown as printed by commands."""
    return re.findall(r"^```text\n(.*?)^```$", RUNBOOK.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def words(line: str) -> str:
    """Without its figures, which follow the code."""
    return " ".join(re.sub(r"[\d,.]+", "#", line).split())


def script(first_port: int) -> str:
    """All of them as one script that says which block it is at, with ports of the test's own."""
    text = "".join(f"echo '== block {n}'\n{block}" for n, block in enumerate(blocks()))
    for left, put_in in PUT_IN.items():
        assert text.count(left) == 1
        text = text.replace(left, put_in)
    return "set -eo pipefail\n" + text.replace(":9108", f":{first_port}").replace(":9109", f":{first_port + 1}")


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for first in range(20_000, 60_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a deployment as the runbook speaks of it; whatever runs in it at the end is ended."""
    shutil.copytree(ROOT / "models" / "default", tmp_path / "model")
    shutil.copytree(ROOT / "configs" / "lists", tmp_path / "lists")
    for name in ("configs/policy.yaml", "configs/zones.csv", "configs/sources/plain.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    yield tmp_path
    pid = tmp_path / "run.pid"
    if pid.exists():
        subprocess.run(["kill", pid.read_text().strip()], check=False, capture_output=True)


def configured(folder: Path, kafka: LocalKafka, port: int) -> Path:
    """Its configuration."""
    tree = settings_tree(folder, **{"bootstrap.servers": kafka.address})
    tree |= {
        "home": {"country_code": "999", "zones": "zones.csv"},
        "model": {"bundle": "model", "accept_simulated": True},
        "admin": {"port": port},
        "log": {"pseudonym_key": "a key"},
    }
    tree["detect"] |= {"snapshots": "snapshots"}  # type: ignore[operator]
    tree["verdict"] |= {"policy": "policy.yaml"}  # type: ignore[operator]
    tree["sources"][0] |= {"name": "plain", "mapping": "plain.yaml"}  # type: ignore[index]
    path = folder / "detector.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def until_now() -> list[bytes]:
    """The newest records of a week and a day that has just ended: what is blocked in it is still in force."""
    hour_ms = 3_600_000
    start_ms = (time.time_ns() // 1_000_000 // hour_ms - 8 * 24) * hour_ms
    return encode(simulate(Scenario(numbers=1_500, days=8, seed=11, start_ms=start_ms)).records[-SIZE:])


@pytest.mark.kafka
@pytest.mark.slow
def test_every_command_of_the_runbook_runs(folder: Path) -> None:
    """From the installation to the end: each ends with 0, and finds what it looks for."""
    port = free_ports(6)
    with LocalKafka() as kafka:
        settings = load(configured(folder, kafka, port), {})
        with closing(KafkaBroker(kafka.options)) as broker:
            # The switches were there before the detector.
            broker.create([spec for spec in topic_specs(settings) if spec.name == RECORDS])
            broker.publish(RECORDS, [(None, value) for value in until_now()], 0)
        here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DETECTOR")} | here
        done = subprocess.run(
            ["bash", "-c", script(port)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        log = (folder / "run.log").read_text(encoding="utf-8") if (folder / "run.log").exists() else ""
        assert done.returncode == 0, done.stdout[-4_000:] + log[-4_000:]
    assert done.stdout.count("== block") == len(blocks()) > 15
    assert "everything fits" in done.stdout
    assert re.search(r"[1-9]\d* of [1-9]\d* commands published", done.stdout)
    printed = {words(line) for line in done.stdout.splitlines()}
    assert [line for output in outputs() for line in output.splitlines() if words(line) not in printed] == []


def test_no_command_chooses_whom_to_release() -> None:
    """The number is the caller's, put in by whoever was called: any other would be set free in his place."""
    text = RUNBOOK.read_text(encoding="utf-8")
    assert [line for block in blocks() for line in block.splitlines() if re.search(r"\bNUMBER=", line)] == [CALLER]
    chapter = text.split("## An innocent caller is blocked\n")[1].split("\n## ")[0]
    asked = [line for line in chapter.splitlines() if line.startswith("detector release ")]
    assert [line for line in asked if '"$NUMBER"' not in line and "--where" not in line] == []
    assert len(asked) == 3


@pytest.mark.parametrize("group", [{}, {"group": "north"}], ids=["without a group", "with one"])
def test_a_second_deployment_shares_nothing_with_the_first(folder: Path, group: dict[str, str]) -> None:
    """In one group the two would take partitions from each other; in one folder, snapshots."""
    tree = settings_tree(folder)
    tree.pop("group", None)
    path = folder / "detector.yaml"
    path.write_text(yaml.safe_dump(tree | group), encoding="utf-8")
    (block,) = (block for block in blocks() if "> wider.env" in block)
    subprocess.run(["bash", "-e", "-c", block], cwd=folder, check=True)
    lines = (folder / "wider.env").read_text(encoding="utf-8").splitlines()
    environ = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    first, second = load(path, {}), load(path, environ)
    assert first.group != second.group
    assert first.path(first.detect.snapshots) != second.path(second.detect.snapshots)
    assert abs(first.admin.port - second.admin.port) > 16
    assert (second.topics.partitions, second.verdict.mode, second.sources) == (96, "shadow", first.sources)
    of_first, of_second = ({spec.name for spec in topic_specs(one)} for one in (first, second))
    assert of_first & of_second == {source.topic for source in first.sources}
    assert {getattr(first.topics, name) for name in first.topics.__struct_fields__} & {
        getattr(second.topics, name) for name in first.topics.__struct_fields__
    } == {first.topics.replication}


def test_the_runbook_covers_what_it_must() -> None:
    """And leaves the meaning of alerts to their own page."""
    text = RUNBOOK.read_text(encoding="utf-8")
    chapters = re.findall(r"^## (.*)$", text, re.MULTILINE)
    wanted = ("Install", "Size", "Upgrade", "Roll back", "More load", "Another set of features", "Disaster")
    assert [chapter for chapter in (*wanted, "An innocent caller is blocked") if chapter not in chapters] == []
    links = re.findall(r"\]\(([^)#]+)", text)
    assert links
    assert [link for link in links if not (RUNBOOK.parent / link).is_file()] == []


def test_no_command_stands_outside_a_block_that_is_run() -> None:
    """Other fences hold output only."""
    fences = re.findall(r"^```(\w*)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(fences) <= {"sh", "text", ""}
    assert [line for output in outputs() for line in output.splitlines() if line.startswith(("$ ", "detector "))] == []
