"""A batch's rows as JSON: by whole columns or row by row, the same bytes."""

import datetime
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.learning import jsonrows
from detector.learning.columns import columns
from detector.learning.encode import encode
from detector.learning.jsonrows import json_rows
from detector.learning.simulate import Scenario, simulate

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
PLAIN = {
    "id": (pa.string(), TEXTS),
    'a "key"': (pa.large_string(), st.sampled_from(["", "x", "ü€", "\x7f", "a/b"])),
    "end": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "ring": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "on": (pa.bool_(), st.booleans()),
    "cell": (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["c-1", "c-2"])),
    "at": (pa.timestamp("us", "UTC"), st.integers(0, 4 * 10**15)),
    "none": (pa.null(), st.none()),
    "share": (pa.float64(), st.floats()),
    "of": (pa.struct({"x": pa.int64()}), st.fixed_dictionaries({"x": st.integers(0, 9)})),
}


def naive(batch: pa.RecordBatch) -> list[bytes]:
    """Each row by orjson, timestamps in milliseconds."""
    found = []
    for row in batch.to_pylist():
        known = {name: value for name, value in row.items() if value is not None}
        if isinstance(moment := known.get("at"), datetime.datetime):
            known["at"] = (moment - EPOCH) // datetime.timedelta(milliseconds=1)
        found.append(orjson.dumps(known, default=str))
    return found


@given(st.data())
def test_every_row_is_what_orjson_writes_of_it(data: st.DataObject) -> None:
    """Text that has to be escaped, numbers, truths, words of a dictionary, nulls; any columns, any order."""
    names = data.draw(st.lists(st.sampled_from(list(PLAIN)), min_size=1, unique=True))
    size = data.draw(st.integers(1, 5))
    arrays = [
        pa.array(data.draw(st.lists(st.none() | PLAIN[name][1], min_size=size, max_size=size)), PLAIN[name][0])
        for name in names
    ]
    batch = pa.RecordBatch.from_arrays(arrays, names)
    assert json_rows(batch) == naive(batch)


def test_a_switchs_records_need_no_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's records from their columns are, byte for byte, what it writes as lines."""

    def refused(*_: Any) -> list[bytes]:
        raise AssertionError("wanted columns")

    monkeypatch.setattr(jsonrows, "_row_by_row", refused)
    records = simulate(Scenario(numbers=200, days=2, seed=3)).records
    assert [orjson.loads(row) for row in json_rows(columns(records))] == [orjson.loads(row) for row in encode(records)]


def test_two_columns_of_one_name_give_the_last() -> None:
    """As an object that is read does; and where there is no column, empty objects."""
    twice = pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array([3, None])], ["a", "a"])
    assert json_rows(twice) == [b'{"a":3}', b'{"a":2}']
