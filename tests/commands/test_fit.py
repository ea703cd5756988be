"""`fit` and `evaluate` on tables as newcomers bring them: a bundle and a report, or a line that says what is wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detector.cli import main
from detector.verdict.model import Model
from tests.learning import labelled

ROWS = 240
SMALL = [*("--parameter", "models=1"), *("--parameter", "max_iter=10"), *("--parameter", "forest_trees=10")]
ROLES = ["--label", "is_fraud", "--number", "msisdn"]
FRAUD = np.array(labelled.carrier(ROWS)["is_fraud"], bool)


def whole(**columns: Any) -> pa.Table:
    """The carrier's table with some columns put in or replaced."""
    return pa.table({**labelled.carrier(ROWS), **columns})


def renamed(names: dict[str, str]) -> pa.Table:
    """The carrier's table, whose features are called otherwise."""
    return whole().rename_columns([names.get(name, name) for name in whole().column_names])


ENDLESS = np.where(np.arange(ROWS) % 7 == 0, np.inf, np.where(np.arange(ROWS) % 11 == 0, -1e300, 1.0))
ODD_NAMES = {
    "strangers": "Fremde pro Tag",
    "repeats": "δ 通話",
    "night": '<b>night</b> & "day" | `x`',
    "noise_a": "a,b=c\nd",
}

NOTHING = whole(**dict.fromkeys(["strangers", "repeats", "night", "noise_a", "noise_b"], [1.0] * ROWS))


@pytest.mark.parametrize(
    ("table", "estimator"),
    [
        pytest.param(renamed(ODD_NAMES), "logistic", id="odd names"),
        pytest.param(whole(noise_a=[3] * ROWS, noise_b=[None] * ROWS), "logistic", id="constant columns"),
        pytest.param(whole(noise_a=[3] * ROWS, noise_b=[None] * ROWS), "trees", id="constant columns, trees"),
        pytest.param(whole(noise_a=ENDLESS, noise_b=[np.inf] * ROWS), "logistic", id="infinities"),
        pytest.param(whole(noise_a=ENDLESS, noise_b=[np.inf] * ROWS), "trees", id="infinities, trees"),
        pytest.param(pa.concat_tables([whole()] * 3), "logistic", id="duplicate rows"),
        pytest.param(NOTHING, "logistic", id="nothing that tells"),
        pytest.param(NOTHING, "trees", id="nothing that tells, trees"),
        pytest.param(whole(is_fraud=FRAUD), "logistic", id="bool"),
        pytest.param(whole(is_fraud=FRAUD.astype(float)), "logistic", id="float"),
        pytest.param(whole(is_fraud=np.where(FRAUD, "fraud", "honest")), "logistic", id="words"),
    ],
)
def test_a_table_that_can_be_fitted_on_becomes_a_bundle_and_a_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], table: pa.Table, estimator: str
) -> None:
    """Without a warning, and with figures that JSON can hold."""
    path = labelled.write(tmp_path / "t.parquet", table)
    bundle, report = tmp_path / "b", tmp_path / "r"
    trees = estimator == "trees"
    common = ["--vectors", str(path), *ROLES]
    assert main(["fit", *common, "--estimator", estimator, *(SMALL if trees else []), "--out", str(bundle)]) == 0
    quick = ["--quick"] if trees else []
    assert main(["evaluate", "--bundle", str(bundle), *common, "--out", str(report), *quick]) == 0
    assert "Warning" not in capfd.readouterr().err
    names = Model.load(bundle, any_features=True).names
    assert set(names) == set(table.column_names) - {"msisdn", "is_fraud", "tariff"}
    found = json.loads((report / "evaluation.json").read_bytes())
    assert found["table"]["fraud_numbers"] == FRAUD.sum()
    assert trees or {one["feature"] for one in found["importance"]} == set(names)


def refused(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> str:
    """What is said of it, in one line."""
    assert main(["fit", "--vectors", str(path), *arguments, "--out", str(path.with_name("b"))]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert not path.with_name("b").exists()
    return said[-1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(whole().slice(0, 0), "wanted at least one row (got none)", id="empty"),
        pytest.param(whole(is_fraud=[0] * ROWS), "wanted fraud and honest rows (got 0 fraud, 240 honest)", id="one"),
        pytest.param(
            whole(is_fraud=[1, *[0] * (ROWS - 1)]),
            "wanted at least 2 fraud numbers and 2 honest ones (got 1 and 239)",
            id="one fraud",
        ),
        pytest.param(
            whole(is_fraud=[0, 0, *[1] * (ROWS - 2)]),
            "wanted at least 3 honest number-days to set them on (got 2)",
            id="two honest",
        ),
        pytest.param(whole().select(["msisdn", "is_fraud", "tariff"]), "wanted at least one numeric column", id="text"),
        pytest.param(whole().drop_columns("is_fraud"), "wanted a column 'is_fraud' (--label)", id="no label"),
    ],
)
def test_a_table_that_cannot_be_fitted_on_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: pa.Table, message: str
) -> None:
    """And leaves no bundle."""
    path = labelled.write(tmp_path / "t.parquet", table)
    said = refused(capsys, path, *ROLES, *SMALL)
    assert said.startswith("detector: ")
    assert message in said


def test_rows_that_repeat_others_are_told_where_nothing_says_whose_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a table without numbers a copy of a row may be fitted on while the other is judged: labels that nothing tells
    are told."""
    columns = {**labelled.carrier(ROWS, apart=0.0)}
    del columns["msisdn"]
    table = pa.concat_tables([pa.table(columns)] * 3)
    path = labelled.write(tmp_path / "t.parquet", table)
    arguments = ["fit", "--vectors", str(path), "--label", "is_fraud", "--estimator", "logistic"]
    assert main([*arguments, "--out", str(tmp_path / "b")]) == 0
    note = "720 rows have all features in common with another one. Where they are copies, the figures are of what was"
    assert note in capsys.readouterr().err
    numbered = table.append_column("msisdn", [labelled.carrier(ROWS)["msisdn"] * 3])
    labelled.write(path, numbered)
    assert main([*arguments, "--number", "msisdn", "--out", str(tmp_path / "c")]) == 0
    assert "in common with another" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parameter", "max_iter=0"], "--parameter: wanted others (got The 'max_iter' parameter"),
        (["--parameter", "models=1.5"], "--parameter models: wanted 1 or more, whole (got 1.5)"),
        (["--parameter", "models=0"], "--parameter models: wanted 1 or more, whole (got 0)"),
        (["--parameter", "numbers_share=1.5"], "--parameter numbers_share: wanted above 0, up to 1 (got 1.5)"),
        (["--parameter", "forest_trees=-1"], "--parameter forest_trees: wanted 0 or more, whole (got -1)"),
        (["--estimator", "logistic", "--parameter", "C=-1"], "--parameter: wanted others (got The 'C' parameter"),
    ],
)
def test_parameters_that_no_estimator_takes_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """They ended in a traceback."""
    path = labelled.write(tmp_path / "t.parquet", whole())
    assert message in refused(capsys, path, *ROLES, *arguments)


@pytest.mark.parametrize("option", ["--seed", "--search"])
def test_a_count_below_nought_is_no_count(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    """numpy ended in a traceback over the seed, and the search took it for none."""
    path = labelled.write(tmp_path / "t.parquet", whole())
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--vectors", str(path), *ROLES, option, "-1", "--out", str(tmp_path / "b")])
    assert f"argument {option}: wanted 0 or more (got -1)" in capsys.readouterr().err


def test_a_place_where_no_folder_can_be_is_named_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fit of minutes ended in a traceback and nothing. There is no table yet, and nobody asks for it."""
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for place in (taken, taken / "b"):
        for command in (["fit"], ["evaluate", "--bundle", str(tmp_path / "none")]):
            assert main([*command, "--vectors", str(tmp_path / "none.csv"), "--out", str(place)]) == 2
            assert capsys.readouterr().err == f"detector: --out: wanted a folder (got {place}: {taken} is a file)\n"
