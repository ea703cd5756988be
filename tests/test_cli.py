"""The command line: help, exit codes and messages that say what to do."""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detector.cli import build_parser, main
from detector.config import ROOT, load
from detector.learning.cdr import TRUNKS


def parsers(parser: argparse.ArgumentParser, name: str = "detector") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command, and the commands beneath it."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below, child in action.choices.items():
                yield from parsers(child, f"{name} {below}")


COMMANDS = dict(parsers(build_parser()))


@pytest.mark.parametrize("name", COMMANDS, ids=lambda name: name.replace(" ", "-"))
def test_every_command_and_every_option_explains_itself(name: str) -> None:
    """`--help` is the first thing that is read."""
    parser = COMMANDS[name]
    assert parser.description
    assert parser.format_help()
    silent = [action.dest for action in parser._actions if action.option_strings and not action.help]
    assert silent == []


def test_the_commands_of_the_issue_are_there() -> None:
    """Names that scripts and the README use."""
    wanted = "topics create,topics check,run,ingest,detect,simulate,fit,replay,check,check-source,decisions tail"
    wanted += ",release,allow,block,demo,audit,snapshots list,snapshots verify,snapshots prune"
    assert [name for name in wanted.split(",") if f"detector {name}" not in COMMANDS] == []


def test_a_missing_configuration_exits_with_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, wanted and got."""
    path = tmp_path / "none.yaml"
    assert main(["topics", "check", "--config", str(path)]) == 2
    assert capsys.readouterr().err == f"detector: {path}: wanted a readable file (got No such file or directory)\n"


def test_a_wrong_setting_exits_with_2_and_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path inside the file is in the message."""
    path = tmp_path / "bad.yaml"
    path.write_text("home: {country_code: '999'}\nsources: [{name: a, id: 99, topic: t, mapping: m}]\n")
    assert main(["detect", "--config", str(path)]) == 2
    assert f"{path}: sources[0].id: " in capsys.readouterr().err


@pytest.mark.slow
def test_an_unreachable_broker_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that needs the broker now does not wait for it for long; a restart may mend it."""
    path = tmp_path / "a.yaml"
    path.write_text(
        "home: {country_code: '999'}\nsources: [{name: a, id: 1, topic: t, mapping: m}]\n"
        "kafka: {bootstrap.servers: '127.0.0.1:1', log_level: 0}\n"
    )
    assert main(["topics", "check", "--config", str(path)]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_help_imports_neither_numba_nor_kafka() -> None:
    """Help answers at once: what a command needs is imported when it runs."""
    code = "import sys, detector.cli; print(sorted({'numba', 'confluent_kafka', 'sklearn'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_reader_that_has_enough_is_no_error() -> None:
    """`detector metrics-table | head -1` ends silently."""
    command = f"{sys.executable} -m detector.cli metrics-table | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize("name", ["local", "demo", "production.example"])
def test_the_configurations_of_the_repository_load(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each, with its secrets from the environment, names mappings that exist."""
    for variable in ("HOSTNAME", "KAFKA_USERNAME", "KAFKA_PASSWORD", "DETECTOR_HOLD_OUT_KEY"):
        monkeypatch.setenv(variable, "x")
    settings = load(ROOT / "configs" / f"{name}.yaml")
    assert [s.mapping for s in settings.sources if not settings.path(s.mapping).is_file()] == []


@pytest.mark.parametrize("name", ["local", "demo"])
def test_the_simulated_trunks_are_declared(name: str) -> None:
    """A configuration that reads simulated records knows the trunks and accounts that stand in them."""
    assert load(ROOT / "configs" / f"{name}.yaml").sources[0].trunks == TRUNKS
