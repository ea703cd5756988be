"""`fit --vectors` and `evaluate` as a data scientist types them: files out, words on the terminal, one-line errors."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from detector.cli import main
from detector.config import ROOT
from detector.learning.tablecard import percent
from detector.units import DAY_MS
from tests.learning import labelled

ROLES = ["--label", "is_fraud", "--number", "msisdn"]
LIGHT = ["--parameter", "models=2", "--parameter", "max_iter=30"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle fitted on a carrier's table, and its evaluation on another."""
    path = tmp_path_factory.mktemp("run")
    labelled.write(path / "train.csv", labelled.carrier(500, seed=1))
    labelled.write(path / "test.parquet", labelled.carrier(400, seed=2))
    assert main(["fit", "--vectors", str(path / "train.csv"), *ROLES, *LIGHT, "--out", str(path / "bundle")]) == 0
    arguments = ["--vectors", str(path / "test.parquet"), "--out", str(path / "report")]
    assert main(["evaluate", "--bundle", str(path / "bundle"), *arguments]) == 0
    return path


def test_three_files_come_out_and_the_bundle_keeps_its_own_card(folder: Path) -> None:
    """The evaluation is JSON that names what it judged."""
    assert sorted(file.name for file in (folder / "report").iterdir()) == [
        "MODEL_CARD.md",
        "evaluation.json",
        "report.html",
    ]
    found = json.loads((folder / "report" / "evaluation.json").read_bytes())
    assert found["format"] == "evaluation-1"
    assert found["figures"] == "real"
    assert found["bundle"]["version"].startswith("fitted-")
    assert list(found["table"]["files"]) == ["test.parquet"]
    assert {one["name"] for one in found["baselines"]} == {"isolation forest", "logistic regression"}
    assert found["ablations"] == []
    assert len(found["importance"]) == 5
    assert {found["importance"][0]["feature"], found["importance"][1]["feature"]} == {"strangers", "repeats"}
    assert (folder / "bundle" / "MODEL_CARD.md").read_text() != (folder / "report" / "MODEL_CARD.md").read_text()


def test_the_report_needs_nothing_from_anywhere_and_says_what_its_figures_are_of(folder: Path) -> None:
    """No script, no style sheet, no picture, no address; every plot is named for those who cannot see it."""
    html = (folder / "report" / "report.html").read_text()
    assert not re.search(r"<script|<link|<img|url\(|https?://|@import", html)
    assert "Figures of real traffic, by its table" in html
    assert html.count("<svg") == html.count('role="img" aria-label="') == 3
    assert "nan" not in html.lower().replace("finance", "")


def test_the_same_evaluation_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Seeds steer every draw."""
    arguments = ["--bundle", str(folder / "bundle"), "--vectors", str(folder / "test.parquet"), "--out", str(tmp_path)]
    assert main(["evaluate", *arguments]) == 0
    for name in ("evaluation.json", "report.html", "MODEL_CARD.md"):
        assert (tmp_path / name).read_bytes() == (folder / "report" / name).read_bytes(), name


def test_the_shipped_bundle_is_evaluated_on_our_vectors_with_everything_they_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Delays, victims, types, ablations and the rules that need the catalogue's features."""
    vectors = labelled.write(tmp_path / "v.parquet", labelled.ours(120, 6))
    bundle = str(Path(ROOT, "models", "default"))
    assert main(["evaluate", "--bundle", bundle, "--vectors", str(vectors), "--out", str(tmp_path / "r")]) == 0
    found = json.loads((tmp_path / "r" / "evaluation.json").read_bytes())
    assert found["delay"]["events"].keys() == {"median", "p90"}
    assert len(found["ablations"]) == 5
    assert [one["name"] for one in found["baselines"][:2]] == ["distinct-share rule", "volume rule"]
    assert (tmp_path / "r" / "report.html").read_text().count("<svg") == 5
    assert "figures of real" in capsys.readouterr().out


def test_moments_and_floors_that_serving_does_not_have_are_told(tmp_path: Path) -> None:
    """The shipped bundle is served at every event, from three in 24 h on."""
    table = labelled.ours(60, 3)
    meant = json.loads(table.schema.metadata[b"detector"]) | {"activity_floor": 3}
    for heading, told in (
        ({}, []),
        ({"moments": "every:5"}, ["Figures are of vectors taken at every:5; serving scores each event"]),
        ({"activity_floor": 0}, ["Vectors are of numbers that began 0 calls or messages in 24 h or more, while"]),
    ):
        labelled.write(tmp_path / "v.parquet", labelled.headed(table, **meant | heading))
        arguments = ["--vectors", str(tmp_path / "v.parquet"), "--out", str(tmp_path), "--quick"]
        assert main(["evaluate", "--bundle", str(ROOT / "models" / "default"), *arguments]) == 0
        notes = json.loads((tmp_path / "evaluation.json").read_bytes())["table"]["notes"]
        found = [note for note in notes if note.startswith(("Figures are of vectors", "Vectors are of numbers"))]
        assert len(found) == len(told)
        assert all(note.startswith(wanted) for note, wanted in zip(found, told, strict=True))


def test_a_file_that_the_bundle_was_fitted_on_is_known_again(folder: Path, tmp_path: Path) -> None:
    """By its hash: its figures say nothing of numbers that were not in it."""
    arguments = ["--bundle", str(folder / "bundle"), "--vectors", str(folder / "train.csv"), "--out", str(tmp_path)]
    assert main(["evaluate", *arguments, "--quick"]) == 0
    assert (
        "fitted on train.csv itself, or on records of it: these figures flatter"
        in (tmp_path / "report.html").read_text()
    )
    assert "flatter" not in (folder / "report" / "report.html").read_text()
    assert "Judged on test.parquet" in (folder / "report" / "MODEL_CARD.md").read_text()
    assert "folds" not in (folder / "report" / "MODEL_CARD.md").read_text()


def test_types_are_judged_together_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By patterns; in all three files. A pattern that names no type is refused, with the types that there are."""
    vectors = str(labelled.write(tmp_path / "v.parquet", labelled.ours(80, 6)))
    bundle = str(Path(ROOT, "models", "default"))
    common = ["evaluate", "--bundle", bundle, "--vectors", vectors, "--out", str(tmp_path / "r"), "--quick"]
    assert main([*common, "--group", "texts=smish*", "--group", "both=simbox,smishing"]) == 0
    found = json.loads((tmp_path / "r" / "evaluation.json").read_bytes())["groups"]
    assert [(one["group"], one["types"]) for one in found] == [
        ("texts", ["smishing"]),
        ("both", ["simbox", "smishing"]),
    ]
    assert "<h2>By group of types</h2>" in (tmp_path / "r" / "report.html").read_text()
    _holds_groups_at_the_bundles_own_thresholds(tmp_path / "r")
    capsys.readouterr()
    assert main([*common, "--group", "rings=wangiri*"]) == 2
    assert "--group rings: wanted types of the table's fraud (simbox, smishing) (got none)" in capsys.readouterr().err


def _holds_groups_at_the_bundles_own_thresholds(folder: Path) -> None:
    """The card, with the share of honest number-days that these were reached by; what is read off is called so, and is
    told to lie beyond 400 honest number-days."""
    found = json.loads((folder / "evaluation.json").read_bytes())
    card = (folder / "MODEL_CARD.md").read_text()
    lines = [line.split(" | ") for line in card.splitlines() if line.startswith(("| group | ", "| texts | "))]
    cells = dict(zip(*lines, strict=True))
    (texts, _) = found["groups"]
    assert cells["watch"] == percent(texts["recall"]["watch"])
    assert cells["flag"] == percent(texts["recall"]["flag"])
    assert cells["flagged by the 20th victim"].endswith(f"% of {texts['delay']['numbers']}")
    assert cells["read off at 0.1 %"] == percent(texts["read_off"][0]["recall"]) + ", beyond the data"
    assert cells["watch"] != cells["read off at 0.1 %"]
    reached = percent(found["levels"]["watch"]["honest_days"], 3)
    assert f"`watch`, set at 0.10% of honest number-days, by {reached} of these" in card


def test_fit_takes_tables_apart_only_in_pairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thresholds from elsewhere without figures from elsewhere would be figures of what was fitted on."""
    table = str(folder / "train.csv")
    for given, other in (("--thresholds-on", "--test-on"), ("--test-on", "--thresholds-on")):
        assert main(["fit", "--vectors", table, *ROLES, "--out", str(folder / "x"), given, table]) == 2
        assert capsys.readouterr().err == f"detector: {given}: wanted {other} FILE with it (got none)\n"


def test_update_card_puts_it_into_the_bundle(folder: Path, tmp_path: Path) -> None:
    """On request only."""
    arguments = ["--bundle", str(folder / "bundle"), "--vectors", str(folder / "test.parquet"), "--out", str(tmp_path)]
    before = (folder / "bundle" / "MODEL_CARD.md").read_bytes()
    try:
        assert main(["evaluate", *arguments, "--quick", "--update-card"]) == 0
        assert (folder / "bundle" / "MODEL_CARD.md").read_bytes() == (tmp_path / "MODEL_CARD.md").read_bytes()
    finally:
        (folder / "bundle" / "MODEL_CARD.md").write_bytes(before)


def test_a_hook_is_found_in_the_folder_that_one_is_in(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of one function; what it made is in the manifest, and scores."""
    (tmp_path / "shallow_trees.py").write_text(
        "from sklearn.ensemble import HistGradientBoostingClassifier\n\n\n"
        "def make(features, seed):\n"
        "    return HistGradientBoostingClassifier(max_depth=2, max_iter=9, random_state=seed)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    arguments = ["--vectors", str(folder / "train.csv"), *ROLES, "--out", str(tmp_path / "b")]
    assert main(["fit", *arguments, "--estimator", "shallow_trees:make"]) == 0
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_bytes())
    assert manifest["fit"]["estimator"] == "shallow_trees:make"
    assert manifest["fit"]["parameters"]["max_depth"] == 2


def test_fit_on_a_table_wants_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It never overwrites the bundle that ships."""
    assert main(["fit", "--vectors", str(folder / "train.csv"), *ROLES]) == 2
    assert capsys.readouterr().err == "detector: --out: wanted a folder for the bundle (got none)\n"


def test_a_table_without_the_bundles_features_is_refused_in_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The missing one is named."""
    columns = labelled.carrier(50)
    del columns["night"]
    path = labelled.write(tmp_path / "t.csv", columns)
    arguments = ["--bundle", str(folder / "bundle"), "--vectors", str(path), "--out", str(tmp_path / "r")]
    assert main(["evaluate", *arguments]) == 2
    assert "t.csv: wanted the bundle's features (missing night; got msisdn" in capsys.readouterr().err


def test_numbers_that_training_knew_as_fraud_are_left_out_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several tables of one name; it is said how many, in words, in the report and for `promote`."""
    table = labelled.ours(120, 9)
    days = (np.asarray(table["event_ms"]) - labelled.START_MS) // DAY_MS
    for name, mine in (("a", days < 3), ("b", (days >= 3) & (days < 6)), ("c", days >= 6)):
        (tmp_path / name).mkdir()
        labelled.write(tmp_path / name / "v.parquet", table.filter(pa.array(mine)))
    label, numbers = np.asarray(table["label"]), np.array(table["number"].to_pylist())
    known, frauds = set(numbers[(label == 1) & (days < 6)]), set(numbers[(label == 1) & (days >= 6)])
    assert known < frauds
    common = ["evaluate", "--bundle", str(Path(ROOT, "models", "default")), "--quick", "--out", str(tmp_path / "r")]
    common += ["--vectors", str(tmp_path / "c" / "v.parquet")]
    assert main([*common, "--trained-on", *(str(tmp_path / name / "v.parquet") for name in "ab")]) == 0
    found = json.loads((tmp_path / "r" / "evaluation.json").read_bytes())["table"]
    assert found["fraud_numbers"] == len(frauds - known)
    assert found["left_out"]["fraud_numbers"] == len(known)
    assert list(found["left_out"]["trained_on"]) == ["v.parquet", "v.parquet (2)"]
    assert f"left out, as training knew them: {len(known)} fraud numbers" in capsys.readouterr().out
    assert "Numbers known as fraud in training" in (tmp_path / "r" / "report.html").read_text()
    assert main([*common, "--trained-on", str(tmp_path / "c" / "v.parquet")]) == 2
    assert "wanted fraud numbers that training did not know" in capsys.readouterr().err
