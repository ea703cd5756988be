"""Columns: the file of records says what the JSON form says, field by field."""

from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.cli import main
from detector.learning.cdr import Records
from detector.learning.columns import SCHEMA, columns
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, Traffic, simulate


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Two days with every kind of fraud of the demo."""
    return simulate(Scenario(numbers=300, days=2, seed=4, festival_day=1))


def _through_json(records: Records, first_id: int) -> pa.Table:
    return pa.Table.from_pylist([orjson.loads(value) for value in encode(records, first_id)], schema=SCHEMA)


def test_columns_hold_what_the_json_form_holds(traffic: Traffic) -> None:
    """Value for value, nulls where JSON has no field."""
    records = traffic.records[:20_000]
    found = pa.Table.from_batches([columns(records, 7)]).cast(SCHEMA)
    assert found.equals(_through_json(records, 7))


def test_a_parquet_file_of_the_command_reads_as_plain_columns_in_order(traffic: Traffic, tmp_path: Path) -> None:
    """No dictionaries reach the reader, and the rows are those of the JSON lines."""
    arguments = ["simulate", "--numbers", "300", "--days", "2", "--seed", "4", "--out"]
    assert main([*arguments, str(tmp_path / "a.parquet"), "--to", "parquet"]) == 0
    assert main([*arguments, str(tmp_path / "a.jsonl"), "--to", "jsonl"]) == 0
    table = pq.read_table(tmp_path / "a.parquet")
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines()
    assert table.schema.equals(SCHEMA)
    assert table.equals(pa.Table.from_pylist([orjson.loads(line) for line in lines], schema=SCHEMA))


def test_no_records_are_no_rows(traffic: Traffic) -> None:
    """An empty chunk has the same columns."""
    assert columns(traffic.records[:0]).num_rows == 0
    assert columns(traffic.records[:0]).schema.names == SCHEMA.names
