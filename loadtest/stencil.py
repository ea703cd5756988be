"""Stencil: records of a population as lines of our plain JSON, all digits of a column written at once.

A line is a fixed text with digits cut out. Filling in a thousand takes numpy less time than Kafka takes to
send one: the generator must never be what is measured.
"""

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.records import I64s, mix64
from loadtest.population import Drawn

BROKEN_EVERY: Final = 5_000
"""One record in so many lacks its first bracket: nobody can read it, and it must stand in the rejects."""
SLOT: Final = re.compile(rb"#+(\w)")
_CALL: Final = (
    b'{"id":"c-############i","type":"call","from":"+############f","to":"+############t",'
    b'"start":#############s,"end":#############e,"duration":###d,"ring":7.0,"outcome":"answered",'
    b'"imei":"35###########m","cell":"999-01-1###c"}'
)
_MESSAGE: Final = (
    b'{"id":"m-############i","type":"sms","phase":"submit","from":"+############f","to":"+############t",'
    b'"time":#############e,"outcome":"sent","imei":"35###########m","cell":"999-01-1###c"}'
)


def lines(drawn: Drawn) -> list[bytes]:
    """A line a record, in their order."""
    columns: dict[bytes, I64s] = {
        b"i": drawn.places,
        b"f": drawn.originator,
        b"t": drawn.recipient,
        b"s": drawn.event_ms - 1_000 * drawn.duration_s - 7_000,
        b"e": drawn.event_ms,
        b"d": drawn.duration_s,
        b"m": (mix64(drawn.originator) % np.uint64(10**11)).astype(np.int64),
        b"c": drawn.originator % 997,
    }
    made = np.empty(len(drawn), object)
    for text, mask in ((_CALL, drawn.is_call), (_MESSAGE, ~drawn.is_call)):
        at = np.flatnonzero(mask)
        made[at] = _filled(text, {name: column[at] for name, column in columns.items()}, len(at))
    for i in np.flatnonzero(are_broken(drawn)).tolist():
        made[i] = made[i][1:]
    return made.tolist()


def are_broken(drawn: Drawn) -> npt.NDArray[np.bool_]:
    """Which records nobody can read."""
    broken: npt.NDArray[np.bool_] = drawn.places % BROKEN_EVERY == BROKEN_EVERY - 1
    return broken


def _filled(text: bytes, columns: dict[bytes, I64s], count: int) -> list[bytes]:
    """`text` that often, with each slot's digits in its place: as wide as it has marks, its name cut out."""
    plain, slots = b"", []
    end = 0
    for slot in SLOT.finditer(text):
        plain += text[end : slot.start()]
        width = slot.end() - slot.start() - 1
        slots.append((len(plain), width, slot[1]))
        plain += b"0" * width
        end = slot.end()
    plain += text[end:]
    sheet = np.tile(np.frombuffer(plain, np.uint8), (count, 1))
    for start, width, name in slots:
        rest = columns[name]
        for place in range(start + width - 1, start - 1, -1):
            rest, digit = np.divmod(rest, 10)
            sheet[:, place] = digit + ord("0")
    whole, size = sheet.tobytes(), len(plain)
    return [whole[at : at + size] for at in range(0, len(whole), size)]
