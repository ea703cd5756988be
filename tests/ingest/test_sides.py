"""One known call or message counts once a side, however many elements report it."""

from collections import Counter

from detector.errors import Reason
from detector.ingest.rows import Ingested
from detector.records import UNKNOWN_DURATION, Flag, Role, Rows, number_text
from tests.ingest.tools import FIXTURES, call, flags_of, raw_of, read, reader_of, reasons, sms, told


def read_files(name: str, *files: str) -> Ingested:
    """The messages of several fixtures in one batch."""
    reader = reader_of(name)
    messages = [message for file in files for message in reader.decoder.split((FIXTURES / file).read_bytes())]
    return reader.read(raw_of(messages))


def counted(rows: Rows) -> Counter[tuple[str, str, str]]:
    """(number, role, phase) -> times, the way state counts: a record is counted once for a number and role."""
    counts: Counter[tuple[str, str, str]] = Counter()
    seen = set()
    for row in rows:
        identity = (int(row["number"]), int(row["role"]), int(row["record_id"]))
        if identity in seen:
            continue
        seen.add(identity)
        for flag in (Flag.BEGAN, Flag.ANSWERED, Flag.ENDED):
            if flag & int(row["flags"]):
                counts[number_text(identity[0]), Role(identity[1]).name, flag.name or ""] += 1
    return counts


def once(*parties: tuple[str, str]) -> Counter[tuple[str, str, str]]:
    """Each (number, role) began, answered and ended once."""
    return Counter({(*party, phase): 1 for party in parties for phase in ("BEGAN", "ANSWERED", "ENDED")})


A, B, C = "+999700000001", "+999700000002", "+999700000003"


def test_originating_and_terminating_records_of_one_call_count_once_a_side() -> None:
    """Each switch speaks for its own party, with that party's device and cell."""
    rows = read_files("plain", "msc_originating.ndjson", "msc_terminating.ndjson").rows
    assert counted(rows) == once((A, "FROM"), (B, "TO"))
    assert len(rows) == 2
    assert 0 not in rows["device"].tolist()
    assert rows["device"][0] != rows["device"][1]


def test_party_of_another_network_is_spoken_for_by_our_switch() -> None:
    """Nobody else reports to us what a foreign number did."""
    rows = read_files("plain", "msc_abroad.ndjson").rows
    assert [row[1:3] for row in told(rows)] == [
        ("FROM", A),
        ("TO", "+447700900123"),
        ("FROM", "+447700900123"),
        ("TO", B),
    ]
    # The device that a switch saw is that of its own party.
    assert rows["device"].tolist() == [0, 0, 0, 0]


def test_forwarded_leg_begins_at_the_number_that_forwarded() -> None:
    """A calls B, B forwards to C: A and B each made one call, B and C each received one."""
    rows = read_files("plain", "forwarded.ndjson").rows
    assert counted(rows) == once((A, "FROM"), (B, "TO"), (B, "FROM"), (C, "TO"))


def test_long_call_in_partial_records_adds_up_and_is_never_short() -> None:
    """It begins with its first record, ends with its last, and a repeated one adds nothing."""
    rows = read_files("plain", "partials.ndjson").rows
    assert counted(rows) == once((A, "FROM"), (B, "TO"))
    froms = rows[rows["role"] == Role.FROM]
    assert froms["duration_s"].tolist() == [3600, 3600, 3600, 3600, 2]
    assert all(flags & Flag.INTERIM for flags in froms["flags"].tolist())
    ids = froms["record_id"].tolist()
    assert ids[2] == ids[3]
    assert len(set(ids)) == 4


def test_call_in_three_phases_counts_each_of_them_once() -> None:
    """Start begins, answer answers, end ends and brings the talk time."""
    rows = read_files("plain", "phases.ndjson").rows
    assert counted(rows) == once((A, "FROM"), (B, "TO"))
    assert rows["duration_s"][::2].tolist() == [0, 0, 60]
    assert rows["event_ms"][::2].tolist() == [1793620730000, 1793620740000, 1793620800000]


def test_submit_deliver_retry_and_receipt_are_one_message() -> None:
    """The submit speaks for the sender, the delivery for the recipient; a receipt for nobody."""
    got = read_files("smsc", "smsc.csv")
    assert got.skipped == {"header": 1, "receipt": 1}
    assert got.rejected == []
    assert set(got.names.values()) == {"ACME"}
    assert [row[1:5] for row in told(got.rows, got.names)] == [
        ("FROM", A, B, "BEGAN OWN"),
        ("TO", B, A, "BEGAN OWN"),
        ("TO", B, A, "BEGAN OWN"),
        ("FROM", "sender:ACME@4", B, "BEGAN"),
        ("TO", B, "sender:ACME@4", "BEGAN OWN"),
        ("FROM", "short:61234", C, "BEGAN"),
        ("TO", C, "short:61234", "BEGAN OWN"),
    ]
    assert counted(got.rows)[B, "TO", "BEGAN"] == 2  # one from A with its retry, one from ACME


def test_kamailio_invite_and_bye_are_one_call_and_a_challenge_is_none() -> None:
    """401 asks for a password; the call is what follows. Refused INVITEs are whole calls."""
    got = read_files("kamailio", "kamailio.ndjson")
    assert got.skipped == {"challenge": 1, "method": 1}
    froms = [(row[2], row[4], row[5]) for row in told(got.rows) if row[1] == "FROM"]
    assert froms == [
        ("local:1001@770", "BEGAN ANSWERED OWN", 0),
        ("local:1001@770", "ENDED OWN", UNKNOWN_DURATION),
        (A, "BEGAN ENDED CANCELLED OWN", 0),
        (A, "BEGAN ENDED FAILED OWN", 0),
        (A, "BEGAN ENDED OWN_BLOCK OWN", 0),
    ]
    assert told(got.rows)[-1][1:5] == ("TO", B, "", "BEGAN ENDED RESTRICTED OWN")


def test_freeswitch_b_leg_is_left_out() -> None:
    """It says the same call again."""
    leg = {"direction": "outbound", "uuid": "b", "sip_from_user": "1001", "sip_req_user": "1002", "end_uepoch": "1"}
    got = read("freeswitch", {"variables": leg})
    assert (len(got.rows), got.rejected, got.skipped) == (0, [], {"leg": 1})


def test_emergency_call_marks_the_caller_and_never_the_service() -> None:
    """112, in any spelling, is nobody's recipient; nor is whoever answers for it."""
    for record in (call(to="112"), call(to="+999112"), call(to="+999200000009", emergency=True)):
        got = read("plain", record)
        assert got.rows["role"].tolist() == [Role.FROM]
        assert Flag.EMERGENCY in flags_of(got)
    back = read("plain", call(from_="112", to=A))
    assert back.rows["role"].tolist() == [Role.TO]
    assert Flag.EMERGENCY in flags_of(back, Role.TO)


def test_unattested_number_on_interconnect_is_another_subject() -> None:
    """Spoofed traffic never stains the subscriber, and is on record whatever side the switch sees."""
    spoofed = read("plain", call(trunk="transit", side="terminating", from_=A, to=B))
    assert [row[1:5] for row in told(spoofed.rows)] == [
        ("FROM", f"{A}@1", B, "BEGAN ANSWERED ENDED UNATTESTED INTL_TRUNK"),
        ("TO", B, f"{A}@1", "BEGAN ANSWERED ENDED UNATTESTED INTL_TRUNK OWN"),
    ]
    signed = read("plain", call(trunk="transit", attested=True, side="terminating", from_=A, to=B))
    assert [row[2] for row in told(signed.rows)] == [B]
    assert Flag.UNATTESTED not in flags_of(signed, Role.TO)


def test_originating_side_of_a_withheld_number_and_an_own_recipient_speaks_for_nobody() -> None:
    """The terminating record will count the recipient."""
    assert reasons(read("plain", call(from_="anonymous", side="originating", to=B))) == [Reason.NO_SUBJECT]


def test_submit_and_deliver_of_a_source_that_sees_both_sides_share_a_record_id() -> None:
    """Where no side is given, the state's window of duplicates keeps them one."""
    rows = read("plain", sms(phase="submit"), sms(phase="deliver"), sms()).rows
    assert len(set(rows["record_id"].tolist())) == 1
    assert counted(rows) == Counter({(A, "FROM", "BEGAN"): 1, (B, "TO", "BEGAN"): 1})
