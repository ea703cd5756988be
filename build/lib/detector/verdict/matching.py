"""Matching: which rules match which rows of a moment, and which rows matter without any rule.

    Moment -> a code of a byte for each row -> the rows that each gate lets in -> conditions -> rules by row

What a rule asks of a row before its condition (the row counts, its kind and role, is the log warm, has
the number a vector) is in the code, so that the rules that ask the same share one gate. Behind it the
conditions are a tree of the parts that `and` joins: what several rules begin with is computed once, and
what follows only for the rows that passed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from detector.features.state import Status
from detector.features.tiles import i64
from detector.jit import kernel
from detector.records import NO_NUMBER, Bools, Flag, I64s, Kind, Rows
from detector.verdict.expression import Step, quiet
from detector.verdict.facts import Moment, MomentFacts, Positions, Surroundings
from detector.verdict.policy import Rule

Codes = npt.NDArray[np.uint8]

KIND: Final = 0b11
"""Bits of the row's kind, `Kind`; 0 where no rule can be about it."""
TO: Final = 1 << 2
WARM: Final = 1 << 3
SCORED: Final = 1 << 4
OWN_BLOCK: Final = 1 << 5
COUNTED: Final = 1 << 6
"""The state took it and it may decide: no duplicate, none too late, no emergency call."""
CODES: Final = 1 << 7

_IS_COUNTED: Final = int(Status.COUNTED)
_NOBODY: Final = int(NO_NUMBER)
_EMERGENCY: Final = int(Flag.EMERGENCY)
_OWN_BLOCK_FLAG: Final = int(Flag.OWN_BLOCK)
_COMMAND: Final = int(Kind.COMMAND)


@dataclass(frozen=True, slots=True)
class Matches:
    """Rows that matter, ascending."""

    rules: dict[int, list[Rule]]
    """By row: the rules that match, in order of the policy."""
    attempts: frozenset[int]
    """Rejected by our own enforcement."""
    commands: frozenset[int]


class _Codes:
    """Some of the codes: a mask over all of them, and its bytes as one integer, which Python compares at once."""

    def __init__(self, wanted: Bools) -> None:
        self.wanted = wanted
        self.bits = int.from_bytes(wanted.tobytes(), "little")

    @staticmethod
    def of(wanted: Iterable[bool]) -> "_Codes":
        return _Codes(np.fromiter(wanted, np.bool_, CODES))


@dataclass(frozen=True, slots=True)
class _Branch:
    """What comes after some parts of a condition: rules that are complete, and parts that follow."""

    rules: list[int] = field(default_factory=list)
    then: dict[str, tuple[Step, "_Branch"]] = field(default_factory=dict)

    def grow(self, steps: Sequence[Step], rule: int) -> None:
        """`rule` is complete behind `steps`."""
        if steps:
            _, branch = self.then.setdefault(steps[0].text, (steps[0], _Branch()))
            branch.grow(steps[1:], rule)
        else:
            self.rules.append(rule)

    def run(self, facts: MomentFacts, found: dict[int, Positions]) -> None:
        """`found` gets the rows of each rule that any match."""
        for rule in self.rules:
            found[rule] = facts.at
        for step, branch in self.then.values():
            mask = step.mask(facts)
            if mask.any():
                branch.run(facts.take(mask), found)


class Matcher:
    """The rules of a policy, by what they ask of a row."""

    def __init__(self, rules: Sequence[Rule], surroundings: Surroundings, waits: bool) -> None:
        """`waits`: analytics rules look at no row before the log is warm."""
        self._rules = rules
        self._surroundings = surroundings
        gates: dict[int, tuple[_Codes, _Branch]] = {}
        for number, rule in enumerate(rules):
            lets_in = _Codes.of(_lets_in(rule, code, waits) for code in range(CODES))
            _, branch = gates.setdefault(lets_in.bits, (lets_in, _Branch()))
            branch.grow(rule.when.steps, number)
        self._gates = tuple(gates.values())
        self._attempt = _Codes.of(code & COUNTED > 0 and code & OWN_BLOCK > 0 for code in range(CODES))
        self._command = _Codes.of(code & KIND == Kind.COMMAND for code in range(CODES))

    def match(self, moment: Moment) -> Matches:
        """What matters in `moment`."""
        rows = moment.rows.view()
        # One constness, one compiled kernel: rows out of a message are read-only already.
        rows.flags.writeable = False
        codes = np.empty(len(rows), np.uint8)
        slots = np.empty(len(rows), np.intp)
        seen = np.zeros(CODES, np.bool_)
        updated = moment.updated
        mark_rows(rows, updated.status, moment.judged, moment.warm, updated.scored, codes, slots, seen)
        there = _Codes(seen)
        found: dict[int, Positions] = {}
        with quiet():
            for lets_in, branch in self._gates:
                if there.bits & lets_in.bits:
                    at = np.flatnonzero(lets_in.wanted[codes])
                    branch.run(MomentFacts(moment, self._surroundings, slots, at), found)
        matches: dict[int, list[Rule]] = {}
        for number in sorted(found):
            for row in found[number].tolist():
                matches.setdefault(row, []).append(self._rules[number])
        attempts, commands = (
            frozenset(np.flatnonzero(each.wanted[codes]).tolist()) if there.bits & each.bits else frozenset()
            for each in (self._attempt, self._command)
        )
        return Matches(matches, attempts, commands)


def _lets_in(rule: Rule, code: int, waits: bool) -> bool:
    """Whether a row with this code may match `rule`."""
    return (
        code & COUNTED > 0
        and not code & OWN_BLOCK
        and (code & TO > 0) == (rule.text.on == "to")
        and code & KIND in [Kind[kind.upper()] for kind in rule.text.kinds]
        and (code & WARM > 0 or not (waits and rule.text.basis == "analytics"))
        and (code & SCORED > 0 or not rule.needs_vector)
    )


@kernel
def mark_rows(
    rows: Rows,
    status: npt.NDArray[np.uint8],
    judged: Bools,
    warm: Bools,
    scored: I64s,
    codes: Codes,
    slots: Positions,
    seen: Bools,
) -> None:
    """codes[i] = what rules ask of row i before their conditions; slots[scored[k]] = k.

    Written: codes u8[n], `slots` at the scored rows; seen[c] (bool[128], mutated) where some row has code c.
    A command has no other bit than its kind's; a row before the committed offset has none at all.
    """
    next_scored = 0
    for i in range(len(rows)):
        row = rows[i]
        code = 0
        has_vector = next_scored < len(scored) and scored[next_scored] == i
        if has_vector:
            slots[i] = next_scored
            next_scored += 1
        if judged[i]:
            kind, flags = i64(row["kind"]), i64(row["flags"])
            if kind == _COMMAND:
                code = kind
            elif status[i] == _IS_COUNTED and flags & _EMERGENCY == 0 and i64(row["number"]) != _NOBODY:
                code = COUNTED | (kind & KIND if kind < _COMMAND else 0)
                code |= TO if i64(row["role"]) != 0 else 0
                code |= OWN_BLOCK if flags & _OWN_BLOCK_FLAG != 0 else 0
                code |= WARM if warm[i] else 0
                code |= SCORED if has_vector else 0
        codes[i] = code
        seen[code] = True
