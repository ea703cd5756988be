"""Follow-up: thresholds and figures are of moments at which somebody could be honest, of both classes alike."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from detector.cli import main
from detector.config import ROOT
from detector.learning.fitting import Apart, Asked, fit_table
from detector.learning.followup import figures_of, part_of
from detector.learning.splits import reported_on, split_by_time
from detector.learning.table import Table
from detector.learning.tablefiles import read_table
from detector.units import DAY_MS
from tests.learning import labelled

DAYS, DELAY = 14, 4
LIMIT_MS = labelled.START_MS + (DAYS - DELAY) * DAY_MS
QUIET = Asked(parameters={"models": 1, "max_iter": 20})


def joined(numbers: int = 300, *, days: int = DAYS, delay_days: float = DELAY, seed: int = 6) -> pa.Table:
    """As `features` joins labels at the end of the last day: of its last days nothing is known but frauds."""
    whole = labelled.ours(numbers, days, seed=seed)
    known_by_ms = labelled.START_MS + days * DAY_MS
    late = pc.greater(whole["event_ms"], known_by_ms - int(delay_days * DAY_MS))
    unknown = pc.and_(late, pc.equal(whole["label"], 0))
    place = whole.column_names.index("label")
    whole = whole.set_column(place, "label", pc.if_else(unknown, None, whole["label"]))
    heading = json.loads(labelled.ours(2, 1).schema.metadata[b"detector"])
    return labelled.headed(whole, **heading, known_by_ms=known_by_ms, label_delay_days=delay_days)


def read(tmp_path: Path, *tables: pa.Table) -> Table:
    return read_table([labelled.write(tmp_path / f"{i}.parquet", table) for i, table in enumerate(tables)])


def test_rows_are_late_after_their_own_files_last_moment_of_silence(tmp_path: Path) -> None:
    """
    days    0 ..... 9 | 10 .. 13     labels joined at the end of 13, delay 4
            0 . 5 | 6 .. 9           another table, joined at the end of 9

    Two weeks that are fitted on together were joined at different moments.
    """
    one, other = joined(40), joined(50, days=10, seed=7)
    table = read(tmp_path, one, other)
    assert table.late is not None
    assert table.event_ms is not None
    each = [read(tmp_path, part).late for part in (one, other)]
    assert [None if late is None else int(late.sum()) for late in each] != [0, 0]
    assert table.late.tolist() == [bool(late) for part in each if part is not None for late in part]
    first = read(tmp_path, one)
    assert first.event_ms is not None
    assert first.late is not None
    assert np.array_equal(first.late, first.event_ms > LIMIT_MS)
    assert first.fraud[first.late].all()


def test_a_table_that_says_nothing_ends_with_the_last_day_on_which_anybody_is_honest(tmp_path: Path) -> None:
    """A carrier's own; of that day fraud counts to its end."""
    own = joined(60).replace_schema_metadata(None)
    table = read(tmp_path, own)
    assert table.late is not None
    assert np.array_equal(table.late, table.day > table.day[~table.fraud].max())
    assert table.late.any()
    whole = read(tmp_path, labelled.ours(60, 6).replace_schema_metadata(None))
    assert whole.late is not None
    assert not whole.late.any()


def test_both_classes_end_together_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """Prevalence is that of days on which both were seen, as in a table whose labels are all known."""
    table, everything = read(tmp_path, joined()), read(tmp_path, labelled.ours(300, DAYS))
    assert everything.event_ms is not None
    kept = figures_of(table)
    assert kept.fraud.mean() == everything.fraud[everything.event_ms <= LIMIT_MS].mean()
    assert table.late is not None
    frauds = len(np.unique(table.number[table.late]))
    assert kept.notes[-1].startswith(
        f"{int(table.late.sum()):,} rows, of {frauds} fraud numbers among others, are left"
    )
    assert figures_of(everything).vectors is everything.vectors
    assert figures_of(everything).notes == everything.notes


def test_classes_of_different_days_are_all_kept_and_said(tmp_path: Path) -> None:
    """Of people taken in January and frauds in February nothing would be left."""
    table = read(tmp_path, labelled.ours(60, 6).replace_schema_metadata(None))
    apart = replace(table, late=table.fraud)
    kept = figures_of(apart)
    assert len(kept) == len(table)
    assert kept.notes[-1].startswith("Fraud and honest rows are of different days")


def test_a_number_day_that_is_cut_weighs_as_before(tmp_path: Path) -> None:
    """Four vectors a day, of which one is left: it stands for all four; whole days stay as they are, bit for bit."""
    table = read(tmp_path, labelled.ours(20, 3, vectors=4))
    rows = (table.day < table.day.max()) | (np.arange(len(table)) % 4 == 0)
    part = part_of(table, rows)
    last = part.day == table.day.max()
    assert part.weight[last] == pytest.approx(np.ones(int(last.sum())))
    assert part.weight[~last].tolist() == table.weight[table.day < table.day.max()].tolist()


def test_thresholds_and_test_end_where_anybody_can_be_honest_and_training_keeps_its_frauds(tmp_path: Path) -> None:
    """
    days     0 ........ 5 | 6 7 | 8 9 | 10 .. 13      60, 20 and 20 % of what was followed; fraud alone of the rest
               train       thr.  test   in no part
    """
    table = read(tmp_path, joined())
    split = split_by_time(table)
    assert split is not None
    first = labelled.START_MS // DAY_MS
    spans = [(table.day[part].min() - first, table.day[part].max() - first) for part in (split.thresholds, split.test)]
    assert spans[0][0] <= 6
    # The limit is the midnight itself.
    assert spans[1][1] in (9, 10)
    assert table.event_ms is not None
    assert table.event_ms[split.test].max() <= LIMIT_MS
    assert table.late is not None
    assert split.said["too_late"] == int(table.late.sum())
    test = reported_on(table, split)
    assert any("later than somebody can be honest" in note for note in test.notes)
    fitted = fit_table(table, tmp_path / "b", QUIET, lambda _: None)
    assert fitted.evaluation["table"]["prevalence"] < 0.5
    assert any("later than somebody can be honest" in note for note in fitted.notes)


def test_split_by_number_and_tables_apart_are_judged_within_what_was_followed(tmp_path: Path) -> None:
    """As many number-days of fraud as there are before the limit; everything is fitted on."""
    few = read(tmp_path, joined(24, seed=9))
    assert split_by_time(few) is None
    by_number = fit_table(few, tmp_path / "n", QUIET, lambda _: None)
    other = read(tmp_path, joined(120, seed=10))
    apart = Apart([lambda: other], lambda: few)
    by_table = fit_table(other, tmp_path / "t", QUIET, lambda _: None, apart)
    wanted = figures_of(few)
    for fitted, whole in ((by_number, few), (by_table, other)):
        assert fitted.evaluation["table"]["fraud_numbers"] == len(np.unique(wanted.number[wanted.fraud]))
        assert fitted.evaluation["table"]["rows"] == len(wanted) < len(few)
        assert fitted.manifest.data.vectors == len(whole)


def test_evaluate_leaves_out_what_nobody_could_be_honest_in(tmp_path: Path) -> None:
    """By the command, from the table's heading: the figures' last moment, and a note."""
    path = labelled.write(tmp_path / "v.parquet", joined(120))
    common = ["--bundle", str(ROOT / "models" / "default"), "--vectors", str(path), "--quick"]
    assert main(["evaluate", *common, "--out", str(tmp_path / "r")]) == 0
    found: dict[str, Any] = json.loads((tmp_path / "r" / "evaluation.json").read_bytes())["table"]
    assert found["last_ms"] <= LIMIT_MS + 1
    assert any("later than somebody can be honest" in note for note in found["notes"])
