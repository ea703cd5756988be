"""Listing: decisions in force, a page at a time, the newest first.

    what partitions remember -> page -> decisions, and where the next page begins

A page begins behind the last decision of the one before, not at a count: what is decided meanwhile stands before it, so
that nothing is told twice and nothing is left out but what has ended.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple, Self

import numpy as np

from detector.admin.http import Refused
from detector.verdict.decisions import Decision
from detector.verdict.ending import FREED
from detector.verdict.slot import Slot

MOST: Final = 1_000
"""Decisions in one answer."""
MOST_PARTITIONS: Final = 4_096
EQUAL: Final = ("action", "rule", "service")
"""Fields of a decision that may be asked for."""
PLACE: Final = r"^[0-9]{1,15}:[ -~]{1,200}$"
"""Where a page begins: when the decision before it was issued, and its id."""

Place = tuple[int, str]
"""When a decision was issued, and its id. The newest stands first; of the same moment, the smaller id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    limit: int
    partition: int | None
    after: Place | None
    equal: Mapping[str, str]

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """From the fields of a query; `Refused` where it is not understood."""
        left = dict(query)
        limit = _whole(left.pop("limit", "100"), "limit", 1, MOST)
        partition = left.pop("partition", None)
        after = left.pop("after", None)
        equal: dict[str, str] = {name: left.pop(name) for name in EQUAL if name in left}
        if left:
            raise Refused(400, f"wanted no other fields than limit, partition, after, {', '.join(EQUAL)}")
        q = None if partition is None else _whole(partition, "partition", 0, MOST_PARTITIONS - 1)
        return cls(limit, q, None if after is None else _place(after), equal)


class Listed(NamedTuple):
    """A page."""

    total: int
    """Decisions that are as asked for, those of other pages included."""
    decisions: tuple[Decision, ...]
    next: str | None
    """Where the page behind it begins; None: there is none."""


def page(held: Iterable[Iterable[Slot]], wanted: Wanted, now_ms: int) -> Listed:
    """Of what is `held`, a group a partition, the decisions in force that are wanted, the newest first.

    All are looked at, and other threads wait while they are: 100,000 take 40 ms of processor time.
    """
    # Actions that hold nobody back are told only where they are asked for.
    freed = FREED if "action" not in wanted.equal else frozenset()
    found = [one for group in held for one in group if one.expires_at > now_ms and one.action not in freed]
    for name, value in wanted.equal.items():
        of = attrgetter(name)
        found = [one for one in found if of(one) == value]
    # By their times alone at first: few are left to be put in order.
    issued = np.fromiter(map(attrgetter("issued_at"), found), np.int64, len(found))
    on = np.ones(len(found), np.bool_)
    if wanted.after is not None:
        last_ms, last_id = wanted.after
        on = issued < last_ms
        same = np.flatnonzero(issued == last_ms)
        on[same] = [found[i].decision_id > last_id for i in same.tolist()]
    behind = int(np.count_nonzero(on))
    if behind > wanted.limit:
        on &= issued >= np.partition(issued[on], behind - wanted.limit)[behind - wanted.limit]
    shown = sorted([found[i] for i in np.flatnonzero(on).tolist()], key=in_order)[: wanted.limit]
    more = behind > len(shown)
    return Listed(
        len(found),
        tuple(one.decision() for one in shown),
        f"{shown[-1].issued_at}:{shown[-1].decision_id}" if more else None,
    )


def in_order(slot: Slot) -> tuple[int, str]:
    """Less comes first."""
    return -slot.issued_at, slot.decision_id


def _place(text: str) -> Place:
    if not re.fullmatch(PLACE, text):
        raise Refused(400, "after: wanted what an answer has under next")
    issued_at, _, decision_id = text.partition(":")
    return int(issued_at), decision_id


def _whole(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
        raise Refused(400, f"{name}: wanted a whole number from {least} to {most}")
    return int(text)
