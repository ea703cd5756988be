"""Simulated records go where they are wanted, the same ones everywhere."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from detector.cli import main
from detector.learning.campaigns import ALL_KINDS
from detector.learning.labelfile import read_labels
from detector.learning.simulate import MONDAY_MS
from detector.units import DAY_MS

SMALL = ["--numbers", "150", "--days", "2", "--seed", "5"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A small network's records, as written to a file."""
    path = tmp_path_factory.mktemp("simulated") / "records.jsonl"
    assert main(["simulate", "--to", "jsonl", "--out", str(path), *SMALL]) == 0
    return path.read_bytes().splitlines()


def test_jsonl_holds_a_record_a_line_in_our_plain_form(lines: list[bytes]) -> None:
    """Each line has what every record must have."""
    records = [json.loads(line) for line in lines]
    assert len(records) > 300
    assert all({"id", "type", "from", "to"} <= record.keys() for record in records)
    assert len({record["id"] for record in records}) == len(records)


def test_standard_output_gives_the_same_bytes(lines: list[bytes], capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Equal seeds, equal bytes; progress stays out of them."""
    assert main(["simulate", *SMALL]) == 0
    assert capfdbinary.readouterr().out.splitlines() == lines


def test_parquet_holds_every_field_of_every_record(lines: list[bytes], tmp_path: Path) -> None:
    """A column for each field; what a record does not say is null."""
    path = tmp_path / "records.parquet"
    assert main(["simulate", "--to", "parquet", "--out", str(path), *SMALL]) == 0
    rows = pq.read_table(path).to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in rows] == [json.loads(line) for line in lines]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_labels_name_the_fraudsters_and_when_that_became_known(tmp_path: Path, ending: str) -> None:
    """Who did it, from when until when, and a while later a complaint or an analyst: as real labels come."""
    path = tmp_path / f"labels.{ending}"
    assert main(["simulate", "--to", "jsonl", "--out", str(tmp_path / "r"), "--labels", str(path), *SMALL]) == 0
    labels = read_labels([path])
    assert labels
    assert all(label.fraud and label.type and label.campaign for label in labels)
    assert all(label.active_until_ms and label.active_from_ms < label.active_until_ms for label in labels)
    assert all(label.known_at_ms > label.active_from_ms for label in labels)
    assert {label.source for label in labels} == {"complaint", "analyst"}


def test_a_file_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    """`--to jsonl` without `--out` says so, and exits with 2."""
    assert main(["simulate", "--to", "jsonl", *SMALL]) == 2
    assert capsys.readouterr().err == "detector: --to jsonl: wanted --out FILE (got none)\n"


def test_ordinary_fraudsters_are_wished_for_by_their_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are labelled as the others are; a share beyond a half is refused."""
    path = tmp_path / "labels.jsonl"
    arguments = ["simulate", "--to", "parquet", "--out", str(tmp_path / "r"), "--labels", str(path), *SMALL]
    assert main([*arguments, "--ordinary", "0.2"]) == 0
    assert sum("ordinary" in json.loads(line)["campaign"] for line in path.read_bytes().splitlines()) > 5
    with pytest.raises(SystemExit):
        main([*arguments, "--ordinary", "0.7"])
    assert "wanted a share from 0 to 0.5 (got 0.7)" in capsys.readouterr().err


def test_every_kind_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By name; from a day on; a name that there is not is refused."""
    path = tmp_path / "labels.jsonl"
    arguments = ["simulate", "--to", "parquet", "--out", str(tmp_path / "r"), "--labels", str(path)]
    network = ["--numbers", "400", "--days", "4", "--seed", "5"]
    assert main([*arguments, *network, "--campaigns", "all", "--campaigns-from", "3", "--festival", "2"]) == 0
    labels = read_labels([path])
    assert {label.type for label in labels} >= set(ALL_KINDS) - {"irsf"}
    assert min(label.active_from_ms for label in labels) >= MONDAY_MS + 2 * DAY_MS
    variants = ["--campaigns", "clone-mimic,vishing", "--campaign-count", "8", "--truth"]
    assert main([*arguments, *network, *variants]) == 0
    labels = read_labels([path])
    assert {label.type for label in labels if label.fraud} == {
        "clone-mimic",
        "vishing-overt",
        "vishing-low",
        "vishing-mimic",
    }
    assert {label.campaign for label in labels if label.fraud} == {
        f"{place:02d}-{name}"
        for place, name in enumerate(["clone-mimic", "vishing-overt", "vishing-low", "vishing-mimic"] * 2, 1)
    }
    assert main([*arguments, *network, "--campaigns", "none"]) == 0
    assert read_labels([path]) == []
    assert main([*arguments, *network, "--campaigns", "vishing-loud"]) == 2
    assert "(got 'vishing-loud')" in capsys.readouterr().err
    assert main(["simulate", *SMALL, "--truth"]) == 2
    assert capsys.readouterr().err == "detector: --truth: wanted --labels FILE with it (got none)\n"


def test_a_file_of_columns_is_written_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate makes no sense for parquet, and is refused rather than ignored."""
    assert main(["simulate", "--to", "parquet", "--out", str(tmp_path / "r"), "--rate", "9", *SMALL]) == 2
    assert "got --to parquet" in capsys.readouterr().err
