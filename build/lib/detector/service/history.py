"""History: what `decisions.history` holds of a range of the log, and how it differs from what was to be decided.

decisions.history -> History -> compare -> Difference
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from detector.broker import Broker, Message, TopicPartition
from detector.verdict.decisions import Decision
from detector.verdict.memory import Memory

Where = tuple[str, bytes]
"""A decision's id, and the key that it is published under."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that the replay and the history do not agree on."""

    what: Literal["missing", "extra", "different"]
    decision_id: str
    key: str
    """The case, as the message key writes it."""
    detail: str


@dataclass(slots=True)
class History:
    """What `decisions.history` holds of one partition, seen from a range `[start, stop)` of the internal log."""

    memory: Memory
    """As the decisions before the range left it."""
    values: dict[Where, list[bytes]] = field(default_factory=dict)
    """Those of the range, by id and key; more than one where a decision was published more than once."""
    strangers: list[Difference] = field(default_factory=list)
    """Messages that no decision of this partition can be."""


def read_history(broker: Broker, at: TopicPartition, start: int, stop: int) -> History:
    """The history of the decisions on the rows of `[start, stop)`: read whole, for what was in force is in it."""
    history = History(Memory())
    for message in broker.read(at, *broker.watermarks(at)):
        key, value = message.key() or b"", message.value() or b""
        try:
            decision = Decision.from_json(value)
            origin, offset = _position(decision.decision_id)
            if origin == at.partition and offset < start:
                history.memory.apply(decision)
        except (msgspec.DecodeError, ValueError) as error:
            history.strangers.append(_stranger(message, f"not a decision: {error}"))
            continue
        if origin != at.partition:
            history.strangers.append(_stranger(message, f"{decision.decision_id} is of partition {origin}"))
        elif start <= offset < stop:
            history.values.setdefault((decision.decision_id, key), []).append(value)
    return history


def _position(decision_id: str) -> tuple[int, int]:
    """Partition and offset of the deciding row; `ValueError` for what is no id."""
    parts = decision_id.split("-")
    if len(parts) < 4 or not all(part.isascii() and part.isdecimal() for part in parts[:3]):
        raise ValueError(f"decision_id: wanted partition-offset-row-rule (got {decision_id!r})")
    return int(parts[0]), int(parts[1])


def _stranger(message: Message, why: str) -> Difference:
    key = (message.key() or b"").decode("utf-8", "replace")
    return Difference("extra", "-", key, f"history offset {message.offset()}: {why}"[:300])


def compare(decided: Mapping[Where, bytes], published: Mapping[Where, list[bytes]]) -> Iterator[Difference]:
    """The differences in order of the log: what is not there, what should not be, and what says something else."""
    for where in sorted(decided.keys() | published.keys(), key=_in_log_order):
        decision_id, key = where[0], where[1].decode("utf-8", "replace")
        wanted, got = decided.get(where), Counter(published.get(where, []))
        if wanted is None:
            for value, count in got.items():
                yield Difference("extra", decision_id, key, _told(value) + (f", {count} times" if count > 1 else ""))
        elif not got:
            yield Difference("missing", decision_id, key, _told(wanted))
        else:
            for value in sorted(got.keys() - {wanted}):
                yield Difference("different", decision_id, key, _unlike(wanted, value))
            if got[wanted] > 1:
                yield Difference("extra", decision_id, key, f"published {got[wanted]} times")


def _in_log_order(where: Where) -> tuple[tuple[int, int], Where]:
    return _position(where[0]), where


def _told(value: bytes) -> str:
    decision = Decision.from_json(value)
    return f"{decision.action} by {decision.rule}"


def _unlike(wanted: bytes, got: bytes) -> str:
    """The fields that differ, each with both values."""
    left, right = msgspec.json.decode(wanted), msgspec.json.decode(got)
    unlike = [
        f"{name}: wanted {_short(left.get(name))} (got {_short(right.get(name))})"
        for name in left.keys() | right.keys()
        if left.get(name) != right.get(name)
    ]
    return "; ".join(sorted(unlike)) or "the same fields, written otherwise"


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
