"""Packed: records of a population as rows, straight to the internal topic, as ingest would publish them."""

from typing import Final

import numpy as np

from detector.broker import Producer
from detector.ingest.rows import pack_message, scatter
from detector.ingest.zones import ZoneClass
from detector.records import ROW, SCHEMA_ID, UNKNOWN_RING, Flag, Kind, Role, Rows, mix64
from loadtest.population import Drawn, packed_numbers

ROWS_A_MESSAGE: Final = 4_096
"""As ingest packs them unless told otherwise."""
SOURCE: Final = 63
"""The last id that a source may have: nobody takes these rows for those of records in the source."""
HOME_MOBILE: Final = 999 << 4 | ZoneClass.MOBILE
_MESSAGE: Final = int(Flag.BEGAN | Flag.OWN)
_CALL: Final = _MESSAGE | int(Flag.ENDED | Flag.ANSWERED)


def rows(drawn: Drawn) -> Rows:
    """Both rows of every record, the originator's first."""
    both = np.zeros((len(drawn), 2), ROW)
    one = both[:, 0]
    one["event_ms"] = drawn.event_ms
    one["offset"] = drawn.places
    one["source"] = SOURCE
    one["kind"] = np.where(drawn.is_call, int(Kind.CALL), int(Kind.SMS))
    one["flags"] = np.where(drawn.is_call, _CALL, _MESSAGE)
    one["duration_s"] = np.where(drawn.is_call, drawn.duration_s, 0)
    one["zone"] = HOME_MOBILE
    one["cell"] = drawn.originator % 997 + 1
    one["device"] = mix64(drawn.originator) & np.uint64(0xFFFF_FFFF)
    one["ring_ds"] = np.where(drawn.is_call, 70, UNKNOWN_RING)
    one["record_id"] = mix64(drawn.places + 1) & np.uint64(0xFFFF_FFFF)
    both[:, 1] = one
    both["number"][:, Role.FROM] = both["other"][:, Role.TO] = packed_numbers(drawn.originator)
    both["number"][:, Role.TO] = both["other"][:, Role.FROM] = packed_numbers(drawn.recipient)
    both["role"] = (Role.FROM, Role.TO)
    for field in ("cell", "device"):
        both[field][:, Role.TO] = 0
    return both.reshape(-1)


def publish(producer: Producer, topic: str, partitions: int, drawn: Drawn) -> int:
    """The rows are committed on the internal topic, in one transaction; returns how many."""
    made = rows(drawn)
    producer.begin()
    for partition, mine in scatter(made, partitions):
        for start in range(0, len(mine), ROWS_A_MESSAGE):
            value = pack_message(mine[start : start + ROWS_A_MESSAGE])
            producer.send(topic, partition, value, headers=[("schema", SCHEMA_ID)])
    producer.commit({}, None)
    return len(made)
