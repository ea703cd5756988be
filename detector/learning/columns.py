"""Records become Arrow columns: the fields of our plain JSON form, a column each, absent ones null.

The same values as `encode` gives, without the JSON between: what repeats (numbers, devices, cells, names) is
rendered once and referred to. `tests/learning/test_columns.py` holds both to each other.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detector.learning.cdr import ACCOUNTS, CALL, TRUNKS, Outcome, Records
from detector.learning.encode import number_of
from detector.records import BODY_BITS, BODY_MASK, TRUNK_BITS, Bools, NumberKind, U64s

_TEXT: Final = ("id", "type", "phase", "from", "to")
SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in _TEXT),
        *((name, pa.int64()) for name in ("start", "end", "time")),
        *((name, pa.float64()) for name in ("duration", "ring")),
        *((name, pa.string()) for name in ("outcome", "imei", "cell", "trunk", "account")),
        ("cause", pa.int64()),
        *((name, pa.bool_()) for name in ("attested", "roaming", "restricted")),
    ]
)
"""The columns of a file of simulated records, in order."""

_OUTCOMES: Final = ("answered", "no_answer", "cancelled", "busy", "failed", "sent", "failed")
_CAUSES: Final = np.array([16, 19, 16, 17, 1, 0, 0], dtype=np.int64)
"""By `Outcome`; messages have no cause."""
_TRUNK_NAMES: Final = {trunk.id: name for name, trunk in TRUNKS.items()}


def columns(records: Records, first_id: int = 0) -> pa.RecordBatch:
    """A row a record, in the same order, in `SCHEMA`'s names. Ids count from `first_id`.

    Columns of repeating text are dictionaries; written without the Arrow schema they read as plain text.
    """
    call = records["kind"] == CALL
    message = ~call
    trunk, outcome = records["trunk"], records["outcome"]
    account = np.isin(trunk, ACCOUNTS)
    interconnect = (trunk > 0) & ~account
    found: dict[str, Any] = {
        "id": _ids(call, first_id),
        "type": _chosen(("call", "sms"), message.astype(np.int8)),
        "phase": _chosen(("submit",), np.zeros(len(records), dtype=np.int8), absent=call),
        "from": _rendered(records["originator"], _numbers),
        "to": _rendered(records["recipient"], _numbers),
        "start": _column(records["start_ms"], mask=message),
        "end": _column(records["end_ms"], mask=message),
        "time": _column(records["end_ms"], mask=call),
        "duration": _column(records["duration_s"].astype(np.float64), mask=message),
        "ring": _column(records["ring_ds"] / 10, mask=message),
        "outcome": _chosen(_OUTCOMES, outcome),
        "imei": _rendered(records["device"], _devices, absent=records["device"] == 0),
        "cell": _rendered(records["cell"], _cells, absent=records["cell"] == 0),
        "trunk": _rendered(trunk, _trunks, absent=~interconnect),
        "account": _rendered(trunk, _trunks, absent=~account),
        "cause": _column(_CAUSES[outcome], mask=outcome >= Outcome.SENT),
        "attested": _column(records["attested"], mask=~interconnect),
        "roaming": _column(records["roaming"], mask=~records["roaming"]),
        "restricted": _column(records["restricted"], mask=~records["restricted"]),
    }
    return pa.RecordBatch.from_arrays([found[name] for name in SCHEMA.names], names=SCHEMA.names)


def _ids(call: Bools, first_id: int) -> Any:
    numbered = pc.cast(pa.array(np.arange(first_id, first_id + len(call))), pa.string())
    return pc.binary_join_element_wise(_chosen(("m", "c"), call.astype(np.int8)).cast(pa.string()), numbered, "-")


def _chosen(names: tuple[str, ...], index: npt.NDArray[Any], absent: Bools | None = None) -> Any:
    """`names[i]` for each index, as a dictionary."""
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int8), mask=absent), pa.array(names))


def _rendered(values: npt.NDArray[Any], text: Callable[[npt.NDArray[Any]], Any], absent: Bools | None = None) -> Any:
    """The text of each value as a dictionary, rendered once per distinct value."""
    coded = _column(values).dictionary_encode()
    texts = text(coded.dictionary.to_numpy(zero_copy_only=False))
    indices = coded.indices if absent is None else pc.if_else(pa.array(absent), None, coded.indices)
    return pa.DictionaryArray.from_arrays(indices, texts)


def _numbers(values: U64s) -> Any:
    plain = values >> np.uint64(BODY_BITS + TRUNK_BITS) == NumberKind.E164
    texts = _joined("+", values & np.uint64(BODY_MASK))
    others = pa.array([number_of(number) for number in values[~plain].tolist()], pa.string())
    return pc.replace_with_mask(texts, pa.array(~plain), others)


def _devices(values: U64s) -> Any:
    return pc.utf8_lpad(pc.cast(pa.array(values), pa.string()), 15, "0")


def _cells(values: npt.NDArray[np.uint32]) -> Any:
    return _joined("999-01-", values)


def _trunks(values: npt.NDArray[np.uint8]) -> Any:
    return pa.array([_TRUNK_NAMES.get(value, "") for value in values.tolist()], pa.string())


def _joined(prefix: str, values: npt.NDArray[Any]) -> Any:
    return pc.binary_join_element_wise(pa.scalar(prefix), pc.cast(pa.array(values), pa.string()), "")


def _column(values: npt.NDArray[Any], mask: Bools | None = None) -> Any:
    """A field of the records as an array; null where `mask`."""
    return pa.array(np.ascontiguousarray(values), mask=mask)
