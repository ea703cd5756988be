"""Judge: rows that a rule matches, and commands, become decisions.

    Moment -> masks of every rule -> the few rows that matter, in log order -> cases -> decisions

A decision depends on its row, the number's vector and as-of time at it, and the decisions before
it: never on how the log was cut into moments. Only rows that some rule matches, commands and
blocked attempts are looped over.

On each such row:
1. A command is obeyed, whatever the mode. Only a never-block list holds back an operator's block: it
   is a person's answer for one number, and leaves nothing to guard against but a slip.
2. A blocked attempt renews the block that met it, in the last quarter of its life.
3. Otherwise the matching rules of each case are weighed: the gravest action that nothing holds
   back is taken, if it is graver than what is in force.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from detector.config import Settings
from detector.features.state import Status
from detector.ingest.commands import Command
from detector.ingest.zones import ZoneTable
from detector.records import BODY_MASK, Bools, Flag, Kind, Role, Rows, number_kind, number_trunk, pack_number
from detector.verdict.decisions import SEVERITY, Action, Decision, Hold
from detector.verdict.facts import Moment, MomentFacts, Surroundings
from detector.verdict.holds import Holds
from detector.verdict.lists import NumberList
from detector.verdict.memory import Case, Memory
from detector.verdict.model import Model
from detector.verdict.policy import KINDS, Policy, Rule
from detector.verdict.writing import Writer, zone_text

__all__ = ["Judge", "Moment"]

RENEW_SHARE: Final = 4
"""A block is renewed in the last quarter of its life: soon enough that it does not lapse while the
attempts go on, late enough that attempts which have stopped do not prolong it."""

_SERVICES: Final = {int(Kind.CALL): KINDS["call"], int(Kind.SMS): KINDS["sms"]}


class Judge:
    """The same for every partition: what differs between them is memory."""

    def __init__(self, policy: Policy, model: Model | None, zones: ZoneTable, settings: Settings) -> None:
        """Raises `ConfigError` where policy and settings do not fit each other."""
        policy.check_sources(tuple(source.name for source in settings.sources))
        policy.check_redress(settings.verdict.redress)
        self._rules = {rule.id: rule for rule in policy.rules}
        self._waits = policy.text.warm_up == "silent"
        self._holds = Holds(policy, model, settings)
        self._writer = Writer(policy, model, settings)
        self._surroundings = Surroundings(
            thresholds=model.thresholds if model else None,
            zones=zones,
            home=NumberList.of((f"+{settings.home.country_code}*",)),
            lists=policy.lists,
            roaming_source=policy.text.roaming_source,
        )
        self._scores = model is not None or any(rule.features for rule in policy.rules)
        self.needs_to_vectors = any(rule.text.on == "to" and rule.needs_vector for rule in policy.rules)
        """Whether rows of recipients must be scored too."""

    def moments_wanted(self, rows: Rows) -> Bools:
        """Which rows need a vector: every originator's, and recipients' where a rule looks at them."""
        if not self._scores:
            return np.zeros(len(rows), np.bool_)
        wanted: Bools = np.isin(rows["kind"], list(_SERVICES)) & ~_flagged(rows, Flag.OWN_BLOCK | Flag.EMERGENCY)
        return wanted if self.needs_to_vectors else wanted & np.equal(rows["role"], Role.FROM)

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
        matches = self._matches(moment)
        counted = _counted(moment)
        attempts = counted & _flagged(moment.rows, Flag.OWN_BLOCK)
        commands = moment.judged & np.equal(moment.rows["kind"], Kind.COMMAND)
        for row in sorted({*matches, *_positions(attempts), *_positions(commands)}):
            book = live if commands[row] else memory
            if commands[row]:
                found = self._obey(moment, row, live)
            elif attempts[row]:
                found = self._renew(moment, row, memory)
            else:
                found = self._weigh(moment, row, matches[row], memory, live)
            for decision in found:  # one by one: the next may depend on the memory of the last
                book.apply(decision)
                decisions.append(decision)
        return decisions

    def _matches(self, moment: Moment) -> dict[int, list[Rule]]:
        """The rules that match, in order of the policy, by row."""
        rows, scored = moment.rows, moment.updated.scored
        judgeable = _counted(moment) & ~_flagged(rows, Flag.OWN_BLOCK)
        slot = np.full(len(rows), -1, np.intp)
        slot[scored] = np.arange(len(scored))
        matches: dict[int, list[Rule]] = {}
        for rule in self._rules.values():
            wanted = judgeable & np.equal(rows["role"], Role.FROM if rule.text.on == "from" else Role.TO)
            wanted &= np.isin(rows["kind"], [Kind[kind.upper()] for kind in rule.text.kinds])
            if self._waits and rule.text.basis == "analytics":
                wanted &= moment.warm
            at = np.flatnonzero(wanted & (slot >= 0) if rule.needs_vector else wanted)
            if len(at):
                facts = MomentFacts(moment, self._surroundings, at, slot[at])
                for row in at[rule.when.mask(facts)].tolist():
                    matches.setdefault(row, []).append(rule)
        return matches

    def _weigh(self, moment: Moment, row: int, rules: list[Rule], memory: Memory, live: Memory) -> Iterator[Decision]:
        """3. The gravest action in each case, where it is graver than what is in force."""
        as_of_ms = int(moment.updated.as_of_ms[row])
        by_case: dict[Case, list[Rule]] = {}
        for rule in rules:
            case = _case(rule, moment.rows[row])
            if case is not None:
                by_case.setdefault(case, []).append(rule)
        for case, candidates in by_case.items():
            current = memory.in_force(case, as_of_ms)
            gravest = SEVERITY[current.action] if current else SEVERITY["allow"]
            shielded = memory.protected(case, as_of_ms) or live.protected(case, as_of_ms)
            held_back: tuple[Hold, ...] = ()
            best: tuple[Rule, Action] | None = None
            for rule in candidates:
                action: Action = rule.text.action
                if SEVERITY[action] <= gravest:
                    continue
                if rule.text.basis == "analytics" and shielded:
                    continue
                holds = self._holds.of(rule, case.number, moment, row, memory) if action == "block" else ()
                held_back = held_back or holds
                action = "flag" if holds else action
                if SEVERITY[action] > gravest:
                    gravest, best = SEVERITY[action], (rule, action)
            if best is not None:
                rule, action = best
                # A milder rule may win over the flag of a block that is held back: it says so all the same.
                held = () if action == "block" else held_back
                yield self._writer.by_rule(rule, case, action, held, moment, row, memory.latest(case, as_of_ms))

    def _renew(self, moment: Moment, row: int, memory: Memory) -> Iterator[Decision]:
        """2. The blocks that the attempt met live on, while their rules may still block."""
        record: Any = moment.rows[row]
        as_of_ms = int(moment.updated.as_of_ms[row])
        service = _SERVICES.get(int(record["kind"]))
        number, on_trunk = int(record["number"]), _number_on_trunk(record)
        scopes = {"terminating"}
        if record["role"] == Role.FROM:
            scopes = {"originating", zone_text(int(record["zone"])), _trunk_scope(on_trunk)}
        met = [case for case in memory.cases_of(number) if case.scope in scopes]
        if on_trunk != number:
            met += [case for case in memory.cases_of(on_trunk) if case.scope in scopes & {_trunk_scope(on_trunk)}]
        for case in met:
            current = memory.in_force(case, as_of_ms)
            rule = self._rules.get(current.rule) if current else None
            if current is None or rule is None or current.action != "block" or case.service != service:
                continue
            last_part = (current.expires_at - current.issued_at) // RENEW_SHARE
            due = as_of_ms >= current.expires_at - last_part
            if due and not self._holds.of_renewal(rule, case.number, moment, row):
                yield self._writer.renewed(rule, current, moment, row)

    def _obey(self, moment: Moment, row: int, live: Memory) -> Iterator[Decision]:
        """1. A command, for each service that it names; a release of `all` scopes ends each that is in force."""
        command: Command | None = moment.commands.get(int(moment.offsets[row]))
        if command is None:
            return
        number = int(moment.rows["number"][row])
        as_of_ms = int(moment.updated.as_of_ms[row])
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
                before = live.latest(case, as_of_ms)
                yield self._writer.by_operator(command, case, action, held, moment, row, before)


def _case(rule: Rule, record: Any) -> Case | None:
    """The case that a rule decides at a row; None where the row lacks what its scope is about."""
    service = rule.text.service or _SERVICES[int(record["kind"])]
    number = int(record["number"])
    match rule.text.scope:
        case "zone":
            return Case(number, service, zone_text(int(record["zone"]))) if record["zone"] else None
        case "trunk":
            number = _number_on_trunk(record)
            return Case(number, service, _trunk_scope(number)) if number_trunk(number) else None
        case scope:
            return Case(number, service, scope)


def _number_on_trunk(record: Any) -> int:
    """number@trunk of a row's subject: whoever else uses the bare number is not touched."""
    number = int(record["number"])
    trunk = number_trunk(number) or int(record["trunk"])
    return pack_number(number_kind(number), number & BODY_MASK, trunk)


def _trunk_scope(number: int) -> str:
    return f"trunk:{number_trunk(number)}"


def _counted(moment: Moment) -> Bools:
    """Rows that the state took and that may decide: no duplicates, none too late, no emergency calls."""
    taken = moment.judged & np.equal(moment.updated.status, Status.COUNTED)
    counted: Bools = taken & ~_flagged(moment.rows, Flag.EMERGENCY) & np.not_equal(moment.rows["number"], 0)
    return counted


def _flagged(rows: Rows, flags: int) -> Bools:
    flagged: Bools = np.not_equal(rows["flags"] & int(flags), 0)
    return flagged


def _positions(mask: Bools) -> list[int]:
    positions: list[int] = np.flatnonzero(mask).tolist()
    return positions
