"""Rows of facts, and the messages that carry them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError, Reason, Rejected
from detector.ingest.rows import pack_message, scatter, unpack_message
from detector.records import (
    ROW,
    SCHEMA_ID,
    UNKNOWN_DURATION,
    UNKNOWN_RING,
    Flag,
    NumberKind,
    Role,
    Rows,
    partition_of,
)
from tests import strategies
from tests.ingest.tools import NOON_MS, call, flags_of, raw_of, read, reader_of, sms

HEADERS = [("schema", SCHEMA_ID)]


def test_complete_call_counts_at_its_end() -> None:
    """One row a side, with everything the record says."""
    got = read(
        "plain",
        call(ring=9.5, cause=16, imei="350000000000017", cell="999-01-17", trunk="bank", roaming=True, restricted=True),
    )
    row = got.rows[0]
    assert row["event_ms"] == NOON_MS
    assert (row["duration_s"], row["ring_ds"], row["cause"], row["trunk"], row["source"]) == (60, 95, 16, 4, 1)
    assert (row["partition"], row["offset"], row["zone"]) == (3, 0, 999 << 4 | 1)
    assert row["device"] > 0 < row["cell"]
    assert (got.rows[1]["device"], got.rows[1]["cell"]) == (0, 0)
    assert flags_of(got) == Flag.BEGAN | Flag.ANSWERED | Flag.ENDED | Flag.RESTRICTED | Flag.ROAMING | Flag.OWN


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ({"outcome": "answered"}, Flag.ANSWERED),
        ({"outcome": None}, Flag.ANSWERED),
        ({"outcome": None, "answer": None, "duration": 3}, Flag.ANSWERED),
        ({"outcome": None, "answer": None}, Flag(0)),
        ({"outcome": "no_answer"}, Flag(0)),
        ({"outcome": "busy"}, Flag(0)),
        ({"outcome": "cancelled"}, Flag.CANCELLED),
        ({"outcome": "failed"}, Flag.FAILED),
        ({"outcome": "blocked"}, Flag.OWN_BLOCK),
        ({"outcome": None, "answer": None, "cause": 16}, Flag(0)),
        *[({"outcome": None, "answer": None, "cause": cause}, Flag.FAILED) for cause in (1, 28, 404, 484, 604)],
        ({"outcome": None, "answer": None, "cause": 487}, Flag.CANCELLED),
        ({"outcome": None, "cause": 1}, Flag.ANSWERED),
    ],
)
def test_outcome_is_told_by_its_word_then_by_an_answer_then_by_the_cause(
    fields: dict[str, object], flags: Flag
) -> None:
    """Cause 16 also stands on calls that nobody answered, so it tells nothing."""
    asked = Flag.ANSWERED | Flag.CANCELLED | Flag.FAILED | Flag.OWN_BLOCK
    assert flags_of(read("plain", call(**fields))) & asked == flags


@pytest.mark.parametrize(
    ("fields", "talk_s"),
    [
        ({}, 60),
        ({"duration": 12.6}, 13),
        ({"answer": None}, UNKNOWN_DURATION),
        ({"outcome": "no_answer"}, 0),
        ({"outcome": "no_answer", "duration": 8}, 0),
        ({"phase": "start"}, 0),
        ({"phase": "end", "answer": None}, UNKNOWN_DURATION),
        ({"phase": "interim", "duration": 900}, 900),
    ],
)
def test_row_adds_the_talk_time_of_its_record(fields: dict[str, object], talk_s: int) -> None:
    """Nothing where nobody answered, and unknown is not nothing."""
    assert set(read("plain", call(**fields)).rows["duration_s"].tolist()) == {talk_s}


@pytest.mark.parametrize(
    ("fields", "ring_ds"),
    [
        ({}, 100),
        ({"ring": 0}, 0),
        ({"ring": 100_000}, UNKNOWN_RING - 1),
        ({"outcome": "no_answer"}, 700),
        ({"start": None}, UNKNOWN_RING),
    ],
)
def test_ring_time_is_given_or_the_time_before_the_answer(fields: dict[str, object], ring_ds: int) -> None:
    """An unanswered call rang to its end."""
    assert set(read("plain", call(**fields)).rows["ring_ds"].tolist()) == {ring_ds}


def test_message_begins_once_and_talks_never() -> None:
    """Whatever its phase; a receipt gives nothing."""
    got = read("plain", sms(phase="submit"), sms(phase="receipt"), sms(outcome="blocked"))
    assert (got.skipped, got.records, got.rejected) == ({"receipt": 1}, 3, [])
    assert got.rows["flags"][::2].tolist() == [Flag.BEGAN | Flag.OWN, Flag.BEGAN | Flag.OWN | Flag.OWN_BLOCK]
    assert set(got.rows["duration_s"].tolist()) == {0}


def test_sender_id_is_one_whatever_its_case_and_another_on_another_account() -> None:
    """Its text travels beside the rows."""
    got = read("plain", sms(from_="ACME", account="bank"), sms(from_="Acme", account="bank"), sms(from_="ACME"))
    first, second, third = got.rows["number"][got.rows["role"] == Role.FROM].tolist()
    assert first == second != third
    assert got.names == {first: "ACME", third: "ACME"}


def test_undeclared_trunk_group_has_an_identity_of_its_own() -> None:
    """Above the declared ones, and the same in every process."""
    trunks = read("plain", call(trunk="rival"), call(trunk="new"), call()).rows["trunk"][::2].tolist()
    assert trunks[0] == 2
    assert 512 <= trunks[1] <= 1023
    assert trunks[2] == 0


@given(strategies.rows(), st.integers(1, 12))
def test_scatter_keeps_every_row_in_its_partition_and_order(rows: Rows, partitions: int) -> None:
    """All that is said of one number stays in one order."""
    parts = scatter(rows, partitions)
    assert sum(len(part) for _, part in parts) == len(rows)
    for partition, part in parts:
        assert (partition_of(part["number"], partitions) == partition).all()
        assert part["offset"].tolist() == sorted(part["offset"].tolist())


@given(strategies.rows())
def test_packed_rows_are_read_as_they_were(rows: Rows) -> None:
    """64 bytes a row, and nothing else."""
    if not len(rows):
        return
    got = unpack_message(pack_message(rows), HEADERS)
    assert isinstance(got, np.ndarray)
    assert got.tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"", HEADERS, Reason.EMPTY),
        (None, HEADERS, Reason.EMPTY),
        (bytes(ROW.itemsize + 1), HEADERS, Reason.WRONG_SHAPE),
        (bytes(ROW.itemsize), [("schema", b"row-0")], Reason.WRONG_SHAPE),
        (bytes(ROW.itemsize), None, Reason.WRONG_SHAPE),
    ],
)
def test_message_that_is_not_ours_is_rejected(
    value: bytes | None, headers: list[tuple[str, bytes]] | None, reason: Reason
) -> None:
    """Another schema, or half a row."""
    got = unpack_message(value, headers)
    assert isinstance(got, Rejected)
    assert got.reason == reason


def test_a_schema_of_any_length_is_rejected_in_a_few_words() -> None:
    """The text goes into a header of the reject: with the whole schema in it, no broker would take that."""
    got = unpack_message(bytes(ROW.itemsize), [("schema", b"x" * 1_000_000)])
    assert isinstance(got, Rejected)
    assert got.detail == f"header schema: wanted b'row-1' (got {b'x' * 40!r})"


IMPOSSIBLE = [
    ("number", 7 << 60 | 999700000001, Reason.BAD_NUMBER),
    ("other", 15 << 60, Reason.BAD_NUMBER),
    ("number", 999700000001, Reason.BAD_NUMBER),
    ("number", int(NumberKind.E164) << 60, Reason.BAD_NUMBER),
    ("number", int(NumberKind.E164) << 60 | 10**15, Reason.BAD_NUMBER),
    ("number", int(NumberKind.SHORT) << 60 | 1, Reason.BAD_NUMBER),
    ("other", int(NumberKind.LOCAL) << 60 | 2112, Reason.BAD_NUMBER),
    ("event_ms", -1, Reason.BAD_TIME),
    ("event_ms", 17, Reason.BAD_TIME),
    ("event_ms", 2**62, Reason.BAD_TIME),
    ("kind", 0, Reason.UNKNOWN_VALUE),
    ("kind", 5, Reason.UNKNOWN_VALUE),
    ("role", 2, Reason.UNKNOWN_VALUE),
    ("zone", 999 << 4 | 15, Reason.UNKNOWN_VALUE),
    ("trunk", 1024, Reason.UNKNOWN_VALUE),
]


@pytest.mark.parametrize(("field", "value", "reason"), IMPOSSIBLE)
def test_message_with_a_row_that_cannot_be_is_rejected(field: str, value: int, reason: Reason) -> None:
    """Such a number stopped the judge for good, and such a time would blind the whole partition."""
    rows = np.concatenate([read("plain", call(id=name)).rows for name in ("a", "b")])
    assert isinstance(unpack_message(pack_message(rows), HEADERS), np.ndarray)
    rows[field][2] = value
    got = unpack_message(pack_message(rows), HEADERS)
    assert isinstance(got, Rejected)
    assert got.reason == reason
    assert got.detail.startswith(f"row 2: {field}: wanted ")


def test_emergency_number_must_be_digits() -> None:
    """It stops at start, not at the first call."""
    with pytest.raises(ConfigError, match=r"home.emergency: wanted numbers of at most 14 digits \(got 'help'\)"):
        reader_of("plain", home={"emergency": ("help",)})


def test_forwarded_call_is_the_same_in_any_batch() -> None:
    """A diverting number of 0, written as a number, is one: alone as beside others."""
    zero, other = (json.dumps(call(id=str(by), diverting=by)).encode() for by in (0, "+999700000009"))
    reader = reader_of("plain")
    for way in (reader.read, reader.read_generally):
        alone, beside = way(raw_of([zero])), way(raw_of([zero, other]))
        assert beside.rows[: len(alone.rows)].tobytes() == alone.rows.tobytes()
