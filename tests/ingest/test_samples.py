"""Records that real switches wrote, field by field."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from detector.ingest.rows import Ingested
from detector.records import ROW, UNKNOWN_DURATION, UNKNOWN_RING, Rows
from tests.ingest.tools import COPENHAGEN, SAMPLES, raw_of, reader_of, told

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples of real switches are not here")


def read_file(name: str, path: Path) -> Ingested:
    """The messages of a file through a mapping."""
    reader = reader_of(name)
    return reader.read(raw_of(reader.decoder.split(path.read_bytes())))


def values(rows: Rows, *names: str) -> list[tuple[int, ...]]:
    """Some fields of each row."""
    return [tuple(int(row[name]) for name in names) for row in rows]


def others(names: Mapping[int, str]) -> set[str]:
    return set(names.values())


def test_freeswitch_answered_call_between_two_extensions() -> None:
    """All values are texts, and times of the day are in microseconds."""
    got = read_file("freeswitch", SAMPLES / "freeswitch_json_cdr_answered.json")
    flags = "BEGAN ANSWERED ENDED OWN"
    assert told(got.rows) == [
        ("CALL", "FROM", "local:1001@771", "local:1002@771", flags, 68),
        ("CALL", "TO", "local:1002@771", "local:1001@771", flags, 68),
    ]
    assert values(got.rows, "event_ms", "cause", "ring_ds", "zone", "trunk") == [(1515666415494, 16, 34, 0, 771)] * 2
    assert got.rejected == []


def test_freeswitch_cause_16_on_an_unanswered_call_is_no_answer() -> None:
    """`answer_epoch` 0 and ORIGINATOR_CANCEL tell; texts are URL-encoded."""
    got = read_file("freeswitch", SAMPLES / "freeswitch_json_cdr_unanswered_urlencoded.json")
    flags = "BEGAN ENDED CANCELLED OWN"
    assert told(got.rows) == [
        ("CALL", "FROM", "local:1001", "local:1003", flags, 0),
        ("CALL", "TO", "local:1003", "local:1001", flags, 0),
    ]
    assert values(got.rows, "event_ms", "cause", "ring_ds") == [(1762923116247, 16, 135)] * 2


def test_asterisk_lines_of_17_and_18_columns() -> None:
    """Names, extensions, an anonymous caller and a prefix of the international kind are all legal."""
    got = read_file("asterisk", SAMPLES / "asterisk_master.csv")
    assert got.rejected == []
    assert others(got.names) == {"Q1000"}
    assert told(got.rows, got.names) == [
        ("CALL", "FROM", "+447908971810", "sender:Q1000@621", "BEGAN ENDED", 0),
        ("CALL", "TO", "sender:Q1000@621", "+447908971810", "BEGAN ENDED", 0),
        ("CALL", "FROM", "local:1001@621", "+9001234567", "BEGAN ANSWERED ENDED INTERNATIONAL OWN", 8),
        ("CALL", "TO", "+9001234567", "local:1001@621", "BEGAN ANSWERED ENDED INTERNATIONAL", 8),
        ("CALL", "FROM", "local:1001@621", "+9001234568", "BEGAN ANSWERED ENDED INTERNATIONAL OWN", 4),
        ("CALL", "TO", "+9001234568", "local:1001@621", "BEGAN ANSWERED ENDED INTERNATIONAL", 4),
        ("CALL", "TO", "local:333@717", "", "BEGAN ANSWERED ENDED RESTRICTED OWN", 0),
        ("CALL", "FROM", "local:8001", "local:8002", "BEGAN ENDED OWN", 0),
        ("CALL", "TO", "local:8002", "local:8001", "BEGAN ENDED OWN", 0),
        ("CALL", "FROM", "+5511999990000", "local:211@565", "BEGAN ANSWERED ENDED", 66),
        ("CALL", "TO", "local:211@565", "+5511999990000", "BEGAN ANSWERED ENDED OWN", 66),
    ]
    first, second = values(got.rows[:3:2], "event_ms", "ring_ds", "zone", "offset")
    assert first == (1784893463000, 40, 0, 0)
    assert second == (1784915410000, 10, 90 << 4 | 1, 1)


def test_asterisk_times_are_in_the_sources_zone() -> None:
    """A switch two hours east of Greenwich wrote its local time."""
    line = (SAMPLES / "asterisk_master.csv").read_bytes().splitlines()[0]
    (east,) = set(reader_of("asterisk", utc_offset_minutes=120).read(raw_of([line])).rows["event_ms"].tolist())
    assert east == 1784893463000 - 7_200_000


def test_kamailio_invite_and_bye_are_one_call() -> None:
    """One record a transaction: the INVITE begins and answers, the BYE ends."""
    got = read_file("kamailio", SAMPLES / "kamailio_5.6.3_acc_json.ndjson")
    began, ended = "BEGAN ANSWERED INTERNATIONAL", "ENDED INTERNATIONAL"
    caller, called = "sender:sipp@936", "+442079460123"
    assert told(got.rows, got.names) == [
        *[("CALL", "FROM", caller, called, began, 0), ("CALL", "TO", called, caller, began, 0)] * 3,
        *[
            ("CALL", "FROM", caller, called, ended, UNKNOWN_DURATION),
            ("CALL", "TO", called, caller, ended, UNKNOWN_DURATION),
        ]
        * 3,
    ]
    froms = got.rows[::2]
    seconds = [1795452088, 1795452089, 1795452089, 1795452090, 1795452090, 1795452091]
    assert froms["event_ms"].tolist() == [at * 1000 for at in seconds]
    assert set(values(froms, "cause", "ring_ds", "trunk", "zone")) == {(0, UNKNOWN_RING, 936, 44 << 4 | 1)}
    assert len(set(froms["record_id"].tolist())) == 6


def test_opensips_cdr_event_ends_when_its_talk_time_is_over() -> None:
    """The event says when the call was answered and for how long it went."""
    got = read_file("opensips", SAMPLES / "opensips_e_acc_cdr_event.json")
    flags = "BEGAN ANSWERED ENDED INTERNATIONAL"
    assert told(got.rows, got.names) == [
        ("CALL", "FROM", "sender:dan", "+4986517174963", flags, 20),
        ("CALL", "TO", "+4986517174963", "sender:dan", flags, 20),
    ]
    assert values(got.rows, "event_ms", "ring_ds", "zone") == [(1406370519000, 70, 49 << 4 | 1)] * 2


@pytest.mark.skipif(not COPENHAGEN.is_file(), reason="the Copenhagen messages are not here")
def test_copenhagen_messages_are_all_mapped() -> None:
    """24,333 messages, each of them once a side, and the header is none."""
    got = read_file("copenhagen", COPENHAGEN)
    assert (len(got.rows), got.rejected, got.skipped) == (2 * 24_333, [], {"header": 1})
    assert told(got.rows[:1]) == [("SMS", "FROM", "+999700000000", "+999700000385", "BEGAN OWN", 0)]
    assert int(got.rows["event_ms"][0]) == 1_793_577_600_000 + 134_000
    assert np.dtype(got.rows.dtype) == ROW
