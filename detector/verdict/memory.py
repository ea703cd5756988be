"""Memory: the decisions of one partition, as its decisions topic holds them.

    decisions topic -> Memory.rebuild -> Memory -> Judge -> decisions -> Memory.apply

One case holds one decision, its latest. Two memories of one topic agree, whether they lived
through it or read what compaction left: nothing here depends on anything but the latest
decision of each case.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from detector.errors import SnapshotError
from detector.records import parse_number
from detector.units import HOUR_MS
from detector.verdict.decisions import Decision
from detector.verdict.slot import FIELDS, Slot

KEEP_MS: Final = 7 * 24 * HOUR_MS
"""How long a case is remembered beyond its end, so that versions go on rising. The topic keeps
at least as much (longest life + 7 days); older ones count as forgotten even where they are still there."""
PRUNE_MS: Final = KEEP_MS + 8 * 24 * HOUR_MS
"""Behind the newest decision by this much, a case is dropped. Numbers have clocks of their own: one
that lags by more than the longest window would be counted as late, and late rows decide nothing."""
PRUNE_AT: Final = 1_024
"""Cases below which nothing is dropped."""


class Case(NamedTuple):
    """The slot that a decision fills."""

    number: int
    service: str
    scope: str


def case_of(decision: Decision) -> Case:
    """The case of a decision; raises `ValueError` for a number that `number_text` did not write."""
    return Case(parse_number(decision.number), decision.service, decision.scope)


class Memory:
    """Latest decision by case, and how many of them are blocks that rules began in each hour of event time."""

    def __init__(self) -> None:
        self._slots: dict[Case, Slot] = {}
        self._by_number: dict[int, list[Case]] = {}
        self._blocks: Counter[int] = Counter()
        self._newest_ms = 0
        self._prune_at = PRUNE_AT
        self._nbytes = 0
        self._words = FIELDS
        """Of the first decision that has reasons: the others are much like it."""

    @staticmethod
    def rebuild(messages: Iterable[tuple[bytes, bytes | None]]) -> "Memory":
        """The memory that the (key, value) pairs of a decisions partition, in order, leave behind.

        A value of None deletes its case. Raises `SnapshotError` for a value that is no decision; it does not say whose
        it is, for it stands in the log of the worker that it ends.
        """
        latest: dict[bytes, bytes] = {}
        for key, value in messages:
            latest.pop(key, None)
            if value is not None:
                latest[key] = value
        memory = Memory()
        for value in latest.values():
            try:
                memory.apply(Decision.from_json(value))
            except msgspec.DecodeError as error:
                raise SnapshotError(f"wanted a decision ({error})") from error
            except ValueError as error:
                raise SnapshotError("wanted a decision (number: wanted one as `number_text` writes it)") from error
        return memory

    def apply(self, decision: Decision) -> None:
        """`decision` is the latest of its case."""
        case, slot = case_of(decision), Slot.of(decision, self._words)
        if self._words is FIELDS and decision.reasons:
            self._words = decision.to_json()
        before = self._slots.pop(case, None)  # its place is the last from now on, as it is in the topic
        cases = self._by_number.setdefault(case.number, [])
        if before is not None:
            self._take_off(before)
            cases.remove(case)
        cases.append(case)
        self._slots[case] = slot
        self._nbytes += slot.nbytes
        self._newest_ms = max(self._newest_ms, slot.issued_at)
        if slot.is_counted:
            self._blocks[slot.since // HOUR_MS] += 1
        if len(self._slots) >= self._prune_at:
            self._prune()

    def latest(self, case: Case, as_of_ms: int) -> Decision | None:
        """The case's last decision, in force or not; None 7 days after it, and a release that it keeps, were over."""
        slot = self._slots.get(case)
        return slot.decision() if slot and slot.over_at + KEEP_MS > as_of_ms else None

    def in_force(self, case: Case, as_of_ms: int) -> Slot | None:
        """The decision that holds in the case."""
        slot = self._slots.get(case)
        return slot if slot and slot.expires_at > as_of_ms else None

    def count_in_force(self, as_of_ms: int) -> Counter[str]:
        """How many decisions of each action hold. All cases are looked at."""
        return Counter(slot.action for slot in self._slots.values() if slot.expires_at > as_of_ms)

    def protected(self, case: Case, as_of_ms: int) -> bool:
        """Whether a release or an allow of the case, or of all scopes, keeps analytics rules away."""
        return any(
            slot is not None and (slot.protected_until or 0) > as_of_ms
            for slot in (self._slots.get(case), self._slots.get(Case(case.number, case.service, "all")))
        )

    def cases_of(self, number: int) -> tuple[Case, ...]:
        """Every case of a number, the one that was decided last at the end."""
        return tuple(self._by_number.get(number, ()))

    def slots(self) -> tuple[Slot, ...]:
        """The last decision of every case that is remembered, in force or not."""
        return tuple(self._slots.values())

    def decisions_of(self, number: int) -> tuple[Decision, ...]:
        """The last of every case of a number, in the order in which they were decided."""
        return tuple(self._slots[case].decision() for case in self.cases_of(number))

    def blocks_in(self, as_of_ms: int) -> int:
        """Cases that a rule began to block in the hour of event time that `as_of_ms` lies in."""
        return self._blocks[as_of_ms // HOUR_MS]

    def __len__(self) -> int:
        """Cases remembered."""
        return len(self._slots)

    @property
    def nbytes(self) -> int:
        """What the cases take of the process's memory, about."""
        return self._nbytes

    def _prune(self) -> None:
        horizon = self._newest_ms - PRUNE_MS
        self._drop([case for case, slot in self._slots.items() if slot.over_at < horizon])
        self._blocks = +self._blocks
        self._prune_at = max(PRUNE_AT, 2 * len(self._slots))

    def _drop(self, cases: list[Case]) -> None:
        for case in cases:
            self._take_off(self._slots.pop(case))
            left = [other for other in self._by_number[case.number] if other != case]
            if left:
                self._by_number[case.number] = left
            else:
                del self._by_number[case.number]

    def _take_off(self, slot: Slot) -> None:
        """What it counted for."""
        self._nbytes -= slot.nbytes
        if slot.is_counted:
            self._blocks[slot.since // HOUR_MS] -= 1
