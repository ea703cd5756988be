"""Messages of one record, of many, and of none."""

from typing import Any

import pytest

from detector.errors import Reason
from detector.ingest.codec import Decoded, open_decoder
from detector.ingest.mapping import Codec, Fields, Mapping, Value, Word


def decode(values: list[bytes], codec: dict[str, Any], device: str = "imei") -> Decoded:
    """The batch through a decoder that takes out a few fields."""
    fields = Fields(id="id", to="to", from_="from", type=Word(const="call"), device=Value(path=device))
    return open_decoder(Mapping(version="test-1", codec=Codec(**codec), fields=fields), "test").decode(values)


def reasons(decoded: Decoded) -> list[tuple[int, Reason]]:
    return [(index, rejected.reason) for index, rejected in decoded.rejected]


def test_json_message_is_one_record() -> None:
    """What is not there is None."""
    got = decode([b'{"id": "a", "to": 12}', b'{"id": "b", "more": [1, {}]}'], {"format": "json"})
    assert got.columns == {"id": ["a", "b"], "to": [12, None], "from": [None, None], "imei": [None, None]}
    assert got.index == [0, 1]


def test_list_elements_are_reached_by_index() -> None:
    """A list that is too short has nothing there."""
    got = decode([b'{"a": [{"b": 1}, {"b": 2}]}', b'{"a": [{"b": 3}]}', b"{}"], {"format": "json"}, "a.1.b")
    assert got.columns["a.1.b"] == [2, None, None]


def test_every_line_of_ndjson_is_a_record_of_its_own() -> None:
    """A bad line costs only itself."""
    got = decode([b'{"id": "a"}\n\n{"id": \n{"id": "b"}\n', b'{"id": "c"}'], {"format": "ndjson"})
    assert (got.columns["id"], got.index, reasons(got)) == (["a", "b", "c"], [0, 0, 1], [(0, Reason.UNDECODABLE)])


def test_envelope_may_lead_to_one_record_or_to_many() -> None:
    """A batch that a collector has put together."""
    one = decode([b'{"event": {"cdr": {"id": "a"}}}', b'{"event": {}}'], {"format": "json", "envelope": "event.cdr"})
    assert (one.columns["id"], reasons(one)) == (["a"], [(1, Reason.WRONG_SHAPE)])
    codec = {"format": "json", "envelope": "cdrs", "many": True}
    many = decode([b'{"cdrs": [{"id": "a"}, {"id": "b"}]}', b'{"cdrs": []}', b'{"cdrs": 1}'], codec)
    assert (many.columns["id"], many.index) == (["a", "b"], [0, 0])
    assert reasons(many) == [(1, Reason.EMPTY), (2, Reason.WRONG_TYPE)]


def test_csv_lines_may_share_a_message() -> None:
    """Quoted values may hold the delimiter and line breaks."""
    columns = ("id", "to", "from", "imei")
    codec = {"format": "csv", "columns": columns, "least_columns": 3, "many": True, "header": True}
    got = decode([b'id,to,from,imei\na,"1,2",3,4\r\nb,"x\ny",z\n', b"a,b"], codec)
    assert got.columns == {"id": ["a", "b"], "to": ["1,2", "x\ny"], "from": ["3", "z"], "imei": ["4", ""]}
    assert (got.index, dict(got.skipped), reasons(got)) == ([0, 0], {"header": 1}, [(1, Reason.WRONG_SHAPE)])


@pytest.mark.parametrize("format_", ["json", "ndjson"])
def test_blank_message_is_empty(format_: str) -> None:
    """It has no record to be counted."""
    assert reasons(decode([b"", b" \n"], {"format": format_})) == [(0, Reason.EMPTY), (1, Reason.EMPTY)]
