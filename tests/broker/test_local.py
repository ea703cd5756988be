"""The local Kafka says what it is missing."""

import shutil
import subprocess
from pathlib import Path

import pytest

from detector.broker.local import fetch, main, missing_tools
from detector.errors import ConfigError


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that does not have the program."""
    monkeypatch.setattr(shutil, "which", lambda program: None if program == name else f"/usr/bin/{program}")


@pytest.mark.parametrize("name", ["java", "mvn"])
def test_a_missing_program_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is downloaded or started."""
    without(name, monkeypatch)
    monkeypatch.setattr("detector.broker.local.CACHE", tmp_path / "cache")
    assert missing_tools() == [name]
    with pytest.raises(ConfigError, match=rf"needs Java 17 and Maven on the path \(not found: {name}\)"):
        fetch()


def test_a_download_that_fails_shows_mavens_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a Kafka would be taken for one the next time."""
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout="no network\n", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("detector.broker.local.CACHE", tmp_path)
    with pytest.raises(ConfigError, match=r"pom.xml: Maven could not fetch Kafka:\nno network"):
        fetch()
    assert list(tmp_path.iterdir()) == []


def test_the_command_ends_with_the_message_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`make kafka` on a machine without Java."""
    without("java", monkeypatch)
    monkeypatch.setattr("detector.broker.local.CACHE", tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["local"])
    assert main() == 2
    assert "needs Java 17 and Maven" in capsys.readouterr().err
