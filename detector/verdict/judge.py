"""Judge: rows that a rule matches, and commands, become decisions.

    Moment -> Matcher -> the few rows that matter, in log order -> cases -> decisions

A decision depends on its row, the number's vector and as-of time at it, and the decisions before
it: never on how the log was cut into moments. Only rows that some rule matches, commands and
blocked attempts are looped over.

On each such row:
1. A command is obeyed, whatever the mode. Only a never-block list holds back an operator's block: it
   is a person's answer for one number, and leaves nothing to guard against but a slip. One that names
   the decision that it ends is obeyed only where that one is in force: mass releases may be repeated.
2. A blocked attempt renews the block that met it, in the last quarter of its life.
3. Otherwise the matching rules of each case are weighed: the gravest action that nothing holds
   back is taken, if it is graver than what is in force. A block that is held back is said even
   where something as grave as its flag is in force.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from detector.config import Settings
from detector.ingest.commands import Command, Ends
from detector.ingest.zones import ZoneTable
from detector.records import BODY_MASK, Bools, Flag, Kind, Role, Rows, number_kind, number_trunk, pack_number
from detector.verdict.decisions import SEVERITY, Action, Decision, Hold, block_rank
from detector.verdict.facts import Moment, Surroundings
from detector.verdict.holds import Holds
from detector.verdict.lists import NumberList
from detector.verdict.matching import Matcher
from detector.verdict.memory import Case, Memory
from detector.verdict.model import Model
from detector.verdict.policy import KINDS, Policy, Rule
from detector.verdict.slot import Slot
from detector.verdict.writing import Writer, zone_text

__all__ = ["Judge", "Moment"]

RENEW_SHARE: Final = 4
"""A block is renewed in the last quarter of its life: soon enough that it does not lapse while the
attempts go on, late enough that attempts which have stopped do not prolong it."""

_FROM: Final = int(Role.FROM)
_NEVER_SCORED: Final = np.uint16(Flag.OWN_BLOCK | Flag.EMERGENCY)
_SERVICES: Final = {int(Kind.CALL): KINDS["call"], int(Kind.SMS): KINDS["sms"]}


class Judge:
    """The same for every partition: what differs between them is memory."""

    def __init__(self, policy: Policy, model: Model | None, zones: ZoneTable, settings: Settings) -> None:
        """Raises `ConfigError` where policy and settings do not fit each other."""
        policy.check_sources(tuple(source.name for source in settings.sources))
        policy.check_redress(settings.verdict.redress)
        self._rules = {rule.id: rule for rule in policy.rules}
        self._holds = Holds(policy, model, settings)
        self._gravest = {rule.id: _gravest(rule.text.action, self._holds.always(rule)) for rule in policy.rules}
        """What a rule can come to at most: severity of the action, and block rank."""
        self._writer = Writer(policy, model, settings)
        surroundings = Surroundings(
            thresholds=model.thresholds if model else None,
            zones=zones,
            home=NumberList.of((f"+{settings.home.country_code}*",)),
            lists=policy.lists,
            roaming_source=policy.text.roaming_source,
        )
        self._matcher = Matcher(policy.rules, surroundings, policy.text.warm_up == "silent")
        self._scores = model is not None or any(rule.features for rule in policy.rules)
        self.needs_to_vectors = any(rule.text.on == "to" and rule.needs_vector for rule in policy.rules)
        """Whether rows of recipients must be scored too."""

    def moments_wanted(self, rows: Rows) -> Bools:
        """Which rows need a vector: every originator's, and recipients' where a rule looks at them."""
        if not self._scores:
            return np.zeros(len(rows), np.bool_)
        kind = rows["kind"]
        wanted: Bools = (kind == Kind.CALL) | (kind == Kind.SMS)
        wanted &= rows["flags"] & _NEVER_SCORED == 0
        if not self.needs_to_vectors:
            wanted &= rows["role"] == _FROM
        return wanted

    def budget_left(self, partition: int, memory: Memory, as_of_ms: int) -> int:
        """Blocks that rules may still begin in the partition's hour of event time."""
        return max(0, self._holds.budget(partition) - memory.blocks_in(as_of_ms))

    def judge(self, moment: Moment, memory: Memory, live: Memory | None = None) -> list[Decision]:
        """The decisions of `moment` in log order, each applied to memory at once.

        In shadow mode `memory` is the shadow's, and `live` the memory of what is in force: operators'
        decisions go there, and what they release there no analytics rule touches here either.
        """
        live = memory if live is None else live
        decisions: list[Decision] = []
        matches = self._matcher.match(moment)
        rows = sorted({*matches.rules, *matches.attempts, *matches.commands})
        if not rows:
            return []
        for row, subject in zip(rows, _subjects(moment, rows), strict=True):
            book = live if row in matches.commands else memory
            if row in matches.commands:
                found = self._obey(moment, row, subject, live)
            elif row in matches.attempts:
                found = self._renew(moment, row, subject, memory)
            elif self._is_settled(matches.rules[row], subject, memory):
                continue
            else:
                found = self._weigh(moment, row, subject, matches.rules[row], memory, live)
            for decision in found:  # one by one: the next may depend on the memory of the last
                book.apply(decision)
                decisions.append(decision)
        return decisions

    def _is_settled(self, rules: list[Rule], subject: "_Subject", memory: Memory) -> bool:
        """Whether what is in force is as grave as anything that `rules` could come to: true of most rows that match."""
        for rule in rules:
            case = _case(rule, subject)
            if case is None:
                continue
            current = memory.in_force(case, subject.as_of_ms)
            severity, rank = self._gravest[rule.id]
            if current is None or SEVERITY[current.action] < severity or current.block_rank < rank:
                return False
        return True

    def _weigh(
        self, moment: Moment, row: int, subject: "_Subject", rules: list[Rule], memory: Memory, live: Memory
    ) -> Iterator[Decision]:
        """3. The gravest action in each case, where it is graver than what is in force."""
        by_case: dict[Case, list[Rule]] = {}
        for rule in rules:
            case = _case(rule, subject)
            if case is not None:
                by_case.setdefault(case, []).append(rule)
        for case, candidates in by_case.items():
            current = memory.in_force(case, subject.as_of_ms)
            severity = SEVERITY[current.action] if current else 0
            weighed: list[_Weighed] = []
            for rule in candidates:
                action: Action = rule.text.action
                if SEVERITY[action] <= severity or self._is_shielded(rule, case, subject, memory, live):
                    continue
                held_back = self._holds.of(rule, case.number, moment, row, memory) if action == "block" else ()
                if held_back:  # a warning in force goes on: less must not be done than before
                    action = "warn" if current and current.action == "warn" else "flag"
                weighed.append(_Weighed(SEVERITY[action], block_rank(action, held_back), rule, action, held_back))
            if not weighed:
                continue
            best = max(weighed, key=lambda one: one[:2])  # of equals, the first
            if best.severity > severity or best.rank > (current.block_rank if current else 0):
                # A milder rule may win over the flag of a block that is held back: it says so all the same.
                nearest = best if best.action == "block" else max(weighed, key=lambda one: one.rank)
                before = memory.latest(case, subject.as_of_ms)
                yield self._writer.by_rule(best.rule, case, best.action, nearest.held_back, moment, row, before)

    @staticmethod
    def _is_shielded(rule: Rule, case: Case, subject: "_Subject", memory: Memory, live: Memory) -> bool:
        """Whether an operator's release keeps the rule away."""
        as_of_ms = subject.as_of_ms
        analytics = rule.text.basis == "analytics"
        return analytics and (memory.protected(case, as_of_ms) or live.protected(case, as_of_ms))

    def _renew(self, moment: Moment, row: int, subject: "_Subject", memory: Memory) -> Iterator[Decision]:
        """2. The blocks that the attempt met live on, while their rules may still block."""
        as_of_ms = subject.as_of_ms
        service = _SERVICES.get(subject.kind)
        number, on_trunk = subject.number, subject.number_on_trunk()
        scopes = {"terminating"}
        if subject.role == Role.FROM:
            scopes = {"originating", zone_text(subject.zone), _trunk_scope(on_trunk)}
        met = [case for case in memory.cases_of(number) if case.scope in scopes]
        if on_trunk != number:
            met += [case for case in memory.cases_of(on_trunk) if case.scope in scopes & {_trunk_scope(on_trunk)}]
        for case in met:
            current = memory.in_force(case, as_of_ms)
            rule = self._rules.get(current.rule) if current else None
            if current is None or rule is None or current.action != "block" or case.service != service:
                continue
            if rule.text.action != "block":  # another policy has it do less since
                continue
            last_part = (current.expires_at - current.issued_at) // RENEW_SHARE
            due = as_of_ms >= current.expires_at - last_part
            if due and not self._holds.of_renewal(rule, case.number, moment, row):
                yield self._writer.renewed(rule, current.decision(), moment, row)

    def _obey(self, moment: Moment, row: int, subject: "_Subject", live: Memory) -> Iterator[Decision]:
        """1. A command, for each service that it names; a release of `all` scopes ends each that is in force."""
        command: Command | None = moment.commands.get(int(moment.offsets[row]))
        if command is None:
            return
        number, as_of_ms = subject.number, subject.as_of_ms
        held: tuple[Hold, ...] = ("never_block",) if command.action == "block" and self._holds.never(number) else ()
        action: Action = "flag" if held else command.action
        for service in ("voice", "sms") if command.service == "all" else (command.service,):
            cases = [Case(number, service, command.covers)]
            if command.covers == "all" and command.action != "block":
                cases += [
                    case
                    for case in live.cases_of(number)
                    if case.service == service and case.scope != "all" and live.in_force(case, as_of_ms)
                ]
            for case in cases:
                if command.ends and not _is_meant(command.ends, live.in_force(case, as_of_ms)):
                    continue
                before = live.latest(case, as_of_ms)
                yield self._writer.by_operator(command, case, action, held, moment, row, before)


def _is_meant(ends: Ends, current: Slot | None) -> bool:
    """Whether what is in force is what a command is to end."""
    return current is not None and (current.rule, current.since) == (ends.rule, ends.since)


class _Weighed(NamedTuple):
    """What a rule that matches comes to in its case."""

    severity: int
    rank: int
    rule: Rule
    action: Action
    held_back: tuple[Hold, ...]


def _gravest(action: Action, always_held: bool) -> tuple[int, int]:
    """Severity and block rank of what a rule comes to where as little as can be holds it back."""
    if action == "block" and always_held:
        return SEVERITY["flag"], 1
    return SEVERITY[action], block_rank(action, ())


class _Subject(NamedTuple):
    """What the judge asks of a row."""

    number: int
    kind: int
    role: int
    zone: int
    trunk: int
    as_of_ms: int

    def number_on_trunk(self) -> int:
        """number@trunk: whoever else uses the bare number is not touched."""
        trunk = number_trunk(self.number) or self.trunk
        return pack_number(number_kind(self.number), self.number & BODY_MASK, trunk)


def _subjects(moment: Moment, rows: list[int]) -> Iterator[_Subject]:
    """Each of `rows`, which are few."""
    some = moment.rows[rows]
    columns = [some[name].tolist() for name in _Subject._fields[:-1]]
    return map(_Subject, *columns, moment.updated.as_of_ms[rows].tolist())


def _case(rule: Rule, subject: _Subject) -> Case | None:
    """The case that a rule decides at a row; None where the row lacks what its scope is about."""
    service = rule.text.service or _SERVICES[subject.kind]
    match rule.text.scope:
        case "zone":
            return Case(subject.number, service, zone_text(subject.zone)) if subject.zone else None
        case "trunk":
            number = subject.number_on_trunk()
            return Case(number, service, _trunk_scope(number)) if number_trunk(number) else None
        case scope:
            return Case(subject.number, service, scope)


def _trunk_scope(number: int) -> str:
    return f"trunk:{number_trunk(number)}"
