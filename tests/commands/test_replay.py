"""Files go through the whole pipeline: in order of time, under the mode that is asked for."""

import csv
from pathlib import Path

import pytest

from detector.cli import main
from detector.config import ROOT
from tests.verdict.models import fitted, save

REAL = ROOT.parent / "shared" / "real" / "copenhagen_sms.csv"
SHIPPED = ROOT / "models" / "default"
CONFIG = """
home: {{country_code: "999", zones: {root}/configs/zones.csv}}
sources: [{{name: study, id: 1, topic: study, mapping: {root}/tests/ingest/fixtures/copenhagen.yaml}}]
topics: {{partitions: 2}}
model: {{bundle: {bundle}}}
verdict: {{policy: {root}/configs/policy.yaml, redress: {{url: "https://redress.example"}}}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration that reads a study's messages, with a small model of its own."""
    folder = tmp_path_factory.mktemp("replay")
    save(folder / "bundle", fitted())
    path = folder / "study.yaml"
    path.write_text(CONFIG.format(root=ROOT, bundle=folder / "bundle"))
    return path


def study(path: Path, lines: list[tuple[int, int, int]]) -> Path:
    """A file of the study's form: who, to whom, at which second."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("source", "target", "timestamp"), *lines])
    return path


def test_records_are_taken_in_order_of_time(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file sorted by its writer instead: nothing is late, unless the file's order is asked for."""
    day = 86_400
    file = study(tmp_path / "a.csv", [(1, 2, 20 * day), (1, 3, 0), (2, 1, 20 * day + 5), (2, 1, 5)])
    assert main(["replay", str(file), "--source", "study", "--config", str(config)]) == 0
    assert "rows: 8 counted;" in capsys.readouterr().out
    assert main(["replay", str(file), "--source", "study", "--config", str(config), "--as-filed"]) == 0
    assert "late" in capsys.readouterr().out


def test_bad_records_are_counted_by_reason(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that makes no sense does not stop the others."""
    file = tmp_path / "a.csv"
    file.write_text("source,target,timestamp\n1,2,3\nx,y\n2,1,soon\n1,3,9\n")
    assert main(["replay", str(file), "--source", "study", "--config", str(config)]) == 0
    assert "rejected: 1 wrong_shape, 1 bad_time; skipped: 1 header; rows: 4 counted" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_named(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 with its path; so does a source that is not configured."""
    missing = str(tmp_path / "none.csv")
    assert main(["replay", missing, "--source", "study", "--config", str(config)]) == 2
    assert capsys.readouterr().err == f"detector: {missing}: wanted a readable file (got No such file or directory)\n"
    assert main(["replay", missing, "--source", "switch", "--config", str(config)]) == 2
    assert "--source: wanted one of study (got switch)" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.exists(), reason="the real messages of ../shared are not here")
def test_nobody_in_a_real_benign_network_is_blocked(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """24,333 real messages without a fraudster, everything allowed to block: every block would be wrong."""
    path = tmp_path / "shipped.yaml"
    path.write_text(CONFIG.format(root=ROOT, bundle=SHIPPED))
    flags = ["--mode", "enforce", "--assume-warm", "--accept-simulated", "--quiet"]
    assert main(["replay", str(REAL), "--source", "study", "--config", str(path), *flags]) == 0
    records, decisions = capsys.readouterr().out.splitlines()
    assert records.startswith("records: 24,334; rejected: none; skipped: 1 header;")
    assert " block" not in decisions
