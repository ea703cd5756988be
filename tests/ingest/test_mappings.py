"""The contract of every mapping, whichever files there are."""

import csv
import io
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import Reason
from detector.ingest.codec import types_by_path
from detector.ingest.mapping import load_mapping
from detector.ingest.moments import EARLIEST_MS, LATEST_MS
from detector.ingest.rows import Ingested, SourceReader
from detector.records import NO_NUMBER, UNKNOWN_DURATION, Kind, NumberKind, Role, number_kind
from tests.ingest.tools import FIXTURES, MAPPINGS, raw_of, reader_of

VALUES = st.one_of(
    st.sampled_from(
        [
            *("call", "sms", "complete", "start", "interim", "end", "first", "last", "submit", "deliver", "receipt"),
            *("originating", "terminating", "answered", "cancelled", "blocked", "INVITE", "BYE", "200", "487", "603"),
            *(
                "ORIGINATOR_CANCEL",
                "E_ACC_CDR",
                "submit_sm",
                "deliver_sm",
                "ANSWERED",
                "NO ANSWER",
                "ESME_ROK",
                "outbound",
            ),
            *("+999700000001", "+999200000002", "+447700900123", "0044 7700 900123", "1001", "611", "112", "ACME"),
            *("anonymous", "", "sip:+999700000001@example.org", "9" * 40, "+0", "٣٤٥", "\x00", "%", "%zz", "a|b"),
            *("0", "1", "-1", "16", "1793620800", "1793620800000000", "2026-11-02 12:00:00", "1e9", "nan", "inf"),
            *("9999-12-31T23:59:59+23:59", "0001-01-01 00:00:00"),
        ]
    ),
    st.integers(-2, 70),
    st.sampled_from([1793620800, 1793620800000, 1793620740000, 1793620800000000, 10**30, -(10**300), 2**64]),
    st.sampled_from([0.5, -1.5, 1e300, 1793620800.25, None, True, False]),
    st.text(max_size=8),
)
JSON = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@cache
def reader(path: Path) -> SourceReader:
    """One reader a mapping: what it remembers must not matter."""
    return reader_of(path.stem)


@cache
def examples(path: Path) -> list[bytes]:
    """The messages of `fixtures/<mapping>.csv` or `.ndjson`: every mapping brings some."""
    (example,) = (
        FIXTURES / f"{path.stem}{suffix}"
        for suffix in (".csv", ".ndjson")
        if Path(FIXTURES, f"{path.stem}{suffix}").is_file()
    )
    return reader(path).decoder.split(example.read_bytes())


def put(record: dict[str, Any], path: str, value: Any) -> None:
    """Set the value that a mapping's path leads to."""
    keys = path.split(".")
    place: Any = record
    for key, below in pairwise(keys):
        empty: Any = [] if below.isdecimal() else {}
        if isinstance(place, list):
            place[:] = place or [empty]
            place = place[0]
        else:
            place = place.setdefault(key, empty)
    place[keys[-1]] = value


@st.composite
def messages(draw: st.DrawFn, path: Path) -> list[bytes]:
    """Examples of the mapping, some with up to two of its values replaced by anything."""
    mapping = load_mapping(path)
    found = []
    for example in draw(st.lists(st.sampled_from(examples(path)), min_size=1, max_size=6)):
        if mapping.codec.format == "csv":
            (row,) = csv.reader([example.decode()])
            for _ in range(draw(st.integers(0, 2))):
                row[draw(st.integers(0, len(row) - 1))] = str(draw(VALUES))
            out = io.StringIO()
            csv.writer(out, lineterminator="").writerow(row)
            found.append(out.getvalue().encode())
        else:
            record = json.loads(example)
            for at in draw(st.lists(st.sampled_from(sorted(types_by_path(mapping))), max_size=2)):
                put(record, at, draw(VALUES | JSON))
            found.append(json.dumps(record).encode())
    return found


def obeys(got: Ingested, count: int) -> None:
    """Every message is accounted for, and every row makes sense."""
    rows = got.rows
    with_rows = set(rows["offset"].tolist())
    rejected = {record.index for record in got.rejected}
    assert with_rows | rejected <= set(range(count))
    assert count <= got.records == len(with_rows) + len(got.rejected) + sum(got.skipped.values())
    assert all(isinstance(record.rejected.reason, Reason) and record.rejected.detail for record in got.rejected)
    assert rows["offset"].tolist() == sorted(rows["offset"].tolist())
    assert NO_NUMBER not in rows["number"].tolist()
    assert set(rows["kind"].tolist()) <= {Kind.CALL, Kind.SMS}
    assert set(rows["role"].tolist()) <= set(Role)
    assert ((rows["event_ms"] >= EARLIEST_MS) & (rows["event_ms"] < LATEST_MS)).all()
    talk = rows["duration_s"]
    assert ((talk <= 30 * 86_400) | (talk == UNKNOWN_DURATION)).all()
    senders = {
        number
        for field in ("number", "other")
        for number in rows[field].tolist()
        if number_kind(number) is NumberKind.SENDER
    }
    assert senders <= set(got.names)
    assert all(got.names.values())


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.stem)
class TestEveryMapping:
    """Laws that hold for each file, with nothing but its own."""

    @given(data=st.data())
    @settings(max_examples=30)
    def test_any_bytes_give_rows_or_rejections(self, path: Path, data: st.DataObject) -> None:
        """Nothing that a source may send comes out as an exception."""
        values = data.draw(
            st.lists(st.none() | st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()), max_size=8)
        )
        obeys(reader(path).read(raw_of(values)), len(values))

    @given(data=st.data())
    @settings(max_examples=60)
    def test_any_values_in_its_own_fields_give_rows_or_rejections(self, path: Path, data: st.DataObject) -> None:
        """However wrong the values are, and whatever stands beside them."""
        values = data.draw(messages(path))
        obeys(reader(path).read(raw_of(values)), len(values))

    @given(data=st.data())
    @settings(max_examples=30)
    def test_batches_do_not_matter(self, path: Path, data: st.DataObject) -> None:
        """One by one or all at once, before or after others: the same rows, names and rejections."""
        values = data.draw(messages(path))
        whole = reader(path).read(raw_of(values))
        parts = [reader(path).read(raw_of([value], first=i)) for i, value in enumerate(values)]
        assert whole.rows.tobytes() == np.concatenate([part.rows for part in parts]).tobytes()
        assert [record.rejected for record in whole.rejected] == [r.rejected for part in parts for r in part.rejected]
        names: dict[int, str] = {}
        for part in reversed(parts):
            names |= part.names
        assert whole.names == names

    def test_its_examples_give_rows(self, path: Path) -> None:
        """Each of them, but for those that are left out on purpose."""
        got = reader(path).read(raw_of(examples(path)))
        assert got.rejected == []
        assert len(set(got.rows["offset"].tolist())) == len(examples(path)) - sum(got.skipped.values()) > 0

    def test_says_its_version(self, path: Path) -> None:
        """It stands in the headers of what could not be read."""
        assert load_mapping(path).version.startswith(path.stem)
