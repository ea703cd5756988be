"""Splits: a number is never on two sides, time only goes forward, the order of rows is no matter."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError
from detector.learning.splits import folds_of, split_by_time
from detector.learning.table import Table
from detector.learning.tablefiles import read_table
from detector.units import DAY_MS
from tests.learning import labelled


def small(fraud: list[bool], number: list[int]) -> Table:
    """A table of nothing but numbers and labels."""
    size = len(fraud)
    return Table(
        features=("x",),
        vectors=np.zeros((size, 1)),
        fraud=np.array(fraud, bool),
        number=np.array(number, np.int64),
        numbers=np.array([f"n{i}" for i in range(max(number) + 1)]),
        event_ms=None,
        day=np.zeros(size, np.int64),
        weight=np.ones(size),
        types=np.full(size, ""),
        kind="real",
        moments="",
        floor=None,
        roles={},
        files={"t.csv": ""},
        notes=(),
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=8, max_size=80), st.integers(0, 9))
def test_folds_keep_numbers_whole_spread_fraud_and_forget_the_order_of_rows(
    rows: list[tuple[bool, int]], seed: int
) -> None:
    """For any table with enough numbers of both kinds."""
    rows = [*rows, (True, 31), (True, 32), (False, 33), (False, 34)]
    table = small([fraud for fraud, _ in rows], [number for _, number in rows])
    folds = folds_of(table, seed)
    by_number: dict[int, set[int]] = {}
    for number, fold in zip(table.number.tolist(), folds.tolist(), strict=True):
        by_number.setdefault(number, set()).add(fold)
    assert all(len(found) == 1 for found in by_number.values())
    bad = set(table.number[table.fraud].tolist())
    for wanted in (bad, set(by_number) - bad):
        counts = np.bincount([min(by_number[number]) for number in wanted], minlength=int(folds.max()) + 1)
        assert counts.max() - counts.min() <= 1
    order = np.random.default_rng(seed).permutation(len(rows))
    assert folds_of(table.rows(order), seed).tolist() == folds[order].tolist()


def test_one_fraud_number_cannot_be_cross_fitted() -> None:
    """Said with what was wanted."""
    with pytest.raises(ConfigError, match=r"t\.csv: wanted at least 2 fraud numbers and 2 honest ones \(got 1 and 3\)"):
        folds_of(small([True, False, False, False], [0, 1, 2, 3]), 1)


def test_time_goes_forward_and_known_frauds_are_in_no_later_part(tmp_path: Path) -> None:
    """
    days     0 1 2 3 4 5 | 6 7 | 8 9
              train        thr.  test      a number that is fraud on day 3 is in no later part
    """
    table = read_table([labelled.write(tmp_path / "v.parquet", labelled.ours(200, 10))])
    split = split_by_time(table)
    assert split is not None
    first = labelled.START_MS // DAY_MS
    spans = [(part, table.day[part] - first) for part in (split.train, split.thresholds, split.test)]
    assert [(days.min(), days.max()) for _, days in spans] == [(0, 5), (6, 7), (8, 9)]
    known = set(table.number[split.train & table.fraud].tolist())
    assert known
    for part, _ in spans[1:]:
        assert not known & set(table.number[part].tolist())
        assert (part & table.fraud).any()
    assert split.said["left_out"] == len(table) - sum(int(part.sum()) for part, _ in spans)


def test_too_few_frauds_for_three_spans_are_not_split_by_time(tmp_path: Path) -> None:
    """The caller then splits by number."""
    table = read_table([labelled.write(tmp_path / "v.parquet", labelled.ours(20, 6))])
    assert split_by_time(table) is None
