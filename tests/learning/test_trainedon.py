"""Numbers that training knew as fraud are in no figure, and it is said how many there were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.errors import ConfigError
from detector.learning.table import Table
from detector.learning.tablefiles import read_table
from detector.learning.trainedon import known_frauds, without
from tests.learning import labelled


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Ten days, in which three tenths of the numbers become frauds."""
    return read_table([labelled.write(tmp_path / "v.parquet", labelled.ours(100, 10))])


def test_who_was_fraud_in_training_is_left_out_with_all_his_days(table: Table) -> None:
    """
    training   days 0 to 4    fraud of some
    judged     days 5 to 9    none of these, neither as fraud nor as honest; the others of both kinds
    """
    first = table.rows(table.day < table.day.min() + 5)
    second = table.rows(table.day >= table.day.min() + 5)
    known = known_frauds([first])
    assert known == set(table.numbers[np.unique(first.number[first.fraud])].tolist())
    fresh, count = without(second, known, "first.parquet")
    assert count == len(known) > 5
    before, after = (set(each.numbers[np.unique(each.number[each.fraud])].tolist()) for each in (second, fresh))
    assert after == before - known
    left = set(fresh.numbers[np.unique(fresh.number)].tolist())
    assert left == set(second.numbers[np.unique(second.number)].tolist()) - known
    assert fresh.notes[-1] == (
        f"Numbers known as fraud in training (first.parquet): {count} of {len(before)} fraud numbers, left out."
    )


def test_what_cannot_be_left_out_is_refused_with_its_reason(table: Table) -> None:
    """All of the fraud known, or nobody named."""
    with pytest.raises(
        ConfigError, match=r"v.parquet: wanted fraud numbers that training did not know .* in x.parquet"
    ):
        without(table, known_frauds([table]), "x.parquet")
    nameless = replace(table, roles={role: name for role, name in table.roles.items() if role != "number"})
    for call in (lambda: known_frauds([nameless]), lambda: without(nameless, set(), "x.parquet")):
        with pytest.raises(ConfigError, match=r"v.parquet: wanted a column of numbers, for --trained-on \(got none\)"):
            call()
    assert without(table, set(), "x.parquet")[1] == 0
