"""Encoding: what a switch would have written, and nothing that it could not know."""

import orjson

from detector.learning.cdr import CALL, SENDERS, SMS, Outcome, blank
from detector.learning.encode import encode
from detector.learning.life import EMERGENCY
from detector.records import parse_number


def test_a_call_carries_times_talk_ring_outcome_and_place() -> None:
    """All that the plain form knows of a complete call, and the campaign stays out of it."""
    record = blank(1, CALL)
    record["originator"], record["recipient"] = parse_number("+999200000001"), parse_number("+999700000002")
    record["start_ms"], record["end_ms"] = 1_000, 41_500
    record["duration_s"], record["ring_ds"], record["device"], record["cell"] = 37, 35, 12345, 7
    record["trunk"], record["attested"], record["campaign"] = 3, False, 5
    assert orjson.loads(encode(record, 9)[0]) == {
        "id": "c-9",
        "type": "call",
        "from": "+999200000001",
        "to": "+999700000002",
        "start": 1_000,
        "end": 41_500,
        "duration": 37,
        "ring": 3.5,
        "outcome": "answered",
        "cause": 16,
        "imei": "000000000012345",
        "cell": "999-01-7",
        "trunk": "international-1",
        "attested": False,
    }


def test_a_message_of_an_application_names_its_sender_id_and_account() -> None:
    """A sender id is known by its account, not by a trunk."""
    record = blank(1, SMS)
    record["originator"], record["trunk"] = SENDERS[0], 11
    record["recipient"] = parse_number("+999700000002")
    record["end_ms"] = 5
    assert orjson.loads(encode(record)[0]) == {
        "id": "m-0",
        "type": "sms",
        "phase": "submit",
        "from": "BANK1",
        "to": "+999700000002",
        "time": 5,
        "outcome": "sent",
        "account": "aggregator-1",
    }


def test_absent_facts_are_left_out_and_present_ones_said() -> None:
    """No device, no cell, no trunk: no such fields. Short codes keep their digits."""
    record = blank(2, CALL)
    record["originator"], record["recipient"] = parse_number("+999700000001"), EMERGENCY
    record["outcome"] = Outcome.CANCELLED
    record["roaming"][1] = record["restricted"][1] = True
    plain, other = (orjson.loads(value) for value in encode(record))
    assert plain["to"] == "112"
    assert plain["outcome"] == "cancelled"
    assert not {"imei", "cell", "trunk", "attested", "roaming", "restricted"} & set(plain)
    assert other["roaming"] is True
    assert other["restricted"] is True
