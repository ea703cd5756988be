"""Bad input: every kind of it is rejected with its reason, and the records beside it are read."""

from typing import Any

import pytest

from detector.errors import Reason
from tests.ingest.tools import NOON_MS, call, raw_of, read, reader_of, reasons, sms

BAD: list[tuple[Reason, Any]] = [
    (Reason.EMPTY, b""),
    (Reason.EMPTY, b" \n "),
    (Reason.TOO_LARGE, b"[" + b" " * 10_000_000 + b"]"),
    (Reason.UNDECODABLE, b'{"id": "c-1", "type'),
    (Reason.UNDECODABLE, b"\x00\xff\xfe\x80noise"),
    (Reason.UNDECODABLE, b'{"id": "\xff"}'),
    (Reason.UNDECODABLE, b'{"id": NaN}'),
    (Reason.UNDECODABLE, b'{"id": "c-1"} {"id": "c-2"}'),
    (Reason.UNDECODABLE, b'{"x":' * 100_000),
    (Reason.WRONG_SHAPE, b"[]"),
    (Reason.WRONG_SHAPE, b"17"),
    (Reason.WRONG_SHAPE, b"null"),
    (Reason.WRONG_TYPE, call(from_={"number": 1})),
    (Reason.WRONG_TYPE, call(to=True)),
    (Reason.WRONG_TYPE, call(attested=1)),
    (Reason.WRONG_TYPE, call(start=[1])),
    (Reason.WRONG_TYPE, call(cause="normal")),
    (Reason.WRONG_TYPE, call(cause=-3)),
    (Reason.MISSING_FIELD, call(id=None)),
    (Reason.MISSING_FIELD, call(id="")),
    (Reason.MISSING_FIELD, call(type=None)),
    (Reason.MISSING_FIELD, call(from_=None)),
    (Reason.MISSING_FIELD, call(to=None)),
    (Reason.MISSING_FIELD, call(start=None, answer=None, end=None)),
    (Reason.MISSING_FIELD, {}),
    (Reason.BAD_NUMBER, call(to="+" + "9" * 40)),
    (Reason.BAD_NUMBER, call(from_="9" * 40)),
    (Reason.BAD_NUMBER, call(from_="9" * 400)),
    (Reason.BAD_NUMBER, call(to=10**300)),
    (Reason.BAD_NUMBER, call(to="+0123456789")),
    (Reason.BAD_NUMBER, call(to="???")),
    (Reason.BAD_NUMBER, call(to="anonymous")),
    (Reason.BAD_TIME, call(end="noon")),
    (Reason.BAD_TIME, call(start=0)),
    (Reason.BAD_TIME, call(end=12)),
    (Reason.BAD_TIME, call(end=-(10**15))),
    (Reason.BAD_TIME, call(end=NOON_MS * 1000)),
    (Reason.BAD_TIME, call(end=10**300)),
    (Reason.BAD_DURATION, call(duration=-1)),
    (Reason.BAD_DURATION, call(duration=31 * 86_400)),
    (Reason.BAD_DURATION, call(duration="long")),
    (Reason.BAD_DURATION, call(ring=-0.1)),
    (Reason.BAD_DURATION, call(start=NOON_MS - 40 * 86_400_000)),
    (Reason.UNKNOWN_VALUE, call(phase="middle")),
    (Reason.UNKNOWN_VALUE, call(phase="submit")),
    (Reason.UNKNOWN_VALUE, sms(phase="answer")),
    (Reason.UNKNOWN_VALUE, call(type="fax")),
    (Reason.UNKNOWN_VALUE, call(outcome="perhaps")),
    (Reason.UNKNOWN_VALUE, call(side="left")),
    (Reason.END_BEFORE_START, call(start=NOON_MS + 1)),
    (Reason.END_BEFORE_START, call(answer=NOON_MS - 80_000)),
    (Reason.NO_SUBJECT, call(from_="anonymous", side="originating", to="+999700000002")),
]


@pytest.mark.parametrize(("reason", "record"), BAD, ids=lambda value: str(value)[:60])
def test_bad_record_is_rejected_with_its_reason_and_its_neighbours_are_read(reason: Reason, record: Any) -> None:
    """The stream goes on: the records before and after give their rows."""
    got = read("plain", call(id="before"), record, call(id="after"))
    assert reasons(got) == [reason]
    assert [record.index for record in got.rejected] == [1]
    assert got.rows["offset"].tolist() == [0, 0, 2, 2]
    assert got.records == 3


def test_message_without_a_value_is_empty() -> None:
    """A tombstone is no record."""
    assert reasons(reader_of("plain").read(raw_of([None]))) == [Reason.EMPTY]


def test_rejection_says_what_was_wanted_and_what_was_got() -> None:
    """Enough to mend the source without its record at hand."""
    details = [
        record.rejected.detail
        for record in read("plain", call(end="noon"), call(phase="middle"), call(to=["x"])).rejected
    ]
    assert details[0] == "end: wanted a time from 2000 to 2099, written as the mapping says (got 'noon')"
    assert details[1].startswith("phase: wanted one of complete, start, ")
    assert details[1].endswith("(got 'middle')")
    assert details[2] == "Expected `int | str | null`, got `array` - at `$.to`"


def test_future_is_refused_more_than_two_minutes_after_publication() -> None:
    """One wrong clock would blind both numbers."""
    reader = reader_of("plain", max_future_s=120)
    just = call(end=NOON_MS + 120_000)
    late = call(end=NOON_MS + 120_001)
    got = reader.read(raw_of([str(just).replace("'", '"').encode(), str(late).replace("'", '"').encode()]))
    assert [(record.index, record.rejected.reason) for record in got.rejected] == [(1, Reason.FUTURE)]


def test_csv_with_a_wrong_number_of_columns_is_rejected() -> None:
    """16, 17 and 18 columns are Asterisk; 15, 19 and a line that never ends are not."""
    line = ["t", "1001", "1002", "", "", "a", "", "", "", "2026-11-02 10:00:00", "", "2026-11-02 10:00:09"]
    line += ["9", "0", "NO ANSWER", "D", "id", ""]
    widths = [15, 16, 17, 18, 19]
    got = read("asterisk", *[",".join((line * 2)[:width]).encode() for width in widths], b'"open', b"a,b\nc,d", b"\xff")
    assert [(record.index, record.rejected.reason) for record in got.rejected] == [
        (0, Reason.WRONG_SHAPE),
        (4, Reason.WRONG_SHAPE),
        (5, Reason.UNDECODABLE),
        (6, Reason.WRONG_SHAPE),
        (7, Reason.UNDECODABLE),
    ]


def test_anonymous_caller_gives_no_row_of_the_originator() -> None:
    """What cannot be named cannot be decided on; the recipient still counts."""
    for withheld in ("anonymous", "Anonymous", "", "unavailable", "???"):
        got = read("plain", call(from_=withheld))
        assert [row["role"] for row in got.rows] == [1]
        assert got.rows["other"].tolist() == [0]
