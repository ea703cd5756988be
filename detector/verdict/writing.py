"""Writing: a verdict becomes a decision with everything that its readers need.

rule, case, row, what was in force -> Decision
"""

import math
from collections import Counter
from functools import cache
from typing import Any, Final, Literal

import msgspec
import numpy as np

from detector.config import Settings
from detector.features.catalogue import FEATURES
from detector.ingest.commands import Command
from detector.ingest.zones import ZoneClass, zone_class, zone_country
from detector.records import (
    Flag,
    Kind,
    NumberKind,
    Role,
    number_digits,
    number_kind,
    number_text,
    number_trunk,
    sender_text,
)
from detector.verdict.decisions import Action, Decision, Evidence, Hold, Position, ReasonGiven, Score, Service
from detector.verdict.facts import Moment
from detector.verdict.holds import reachable
from detector.verdict.memory import Case
from detector.verdict.model import Model
from detector.verdict.policy import Policy, Rule
from detector.verdict.reasons import DIGITS, explain

COUNTED_UNITS: Final = frozenset({"calls", "messages", "numbers", "zones", "devices", "cells"})
"""Units of the features that evidence quotes: what can be counted in a record store."""
COUNTED: Final = tuple((i, feature.name) for i, feature in enumerate(FEATURES) if feature.unit in COUNTED_UNITS)
"""Those features, with their places in a vector."""
WITHHELD: Final = "a withheld number"


@cache
def zone_text(zone: int) -> str:
    """A zone as a scope names it: `zone:882-satellite`."""
    return f"zone:{zone_country(zone)}-{ZoneClass(zone_class(zone)).name.lower()}"


class Writer:
    """Everything in a decision that does not change while the process runs."""

    def __init__(self, policy: Policy, model: Model | None, settings: Settings) -> None:
        self._policy = policy
        self._model = model
        self._mode = settings.verdict.mode
        self._redress = settings.verdict.redress
        self._except = (*reachable(settings), *policy.text.operator_care)
        self._sources = {source.id: source.name for source in settings.sources}
        self._trunks = {
            (source.id, trunk.id): name for source in settings.sources for name, trunk in source.trunks.items()
        }
        ids = Counter(trunk for _, trunk in self._trunks)
        self._declared_once = {trunk: name for (_, trunk), name in self._trunks.items() if ids[trunk] == 1}
        """Names of the trunk groups and accounts whose number means one thing only, whatever the source."""
        self._own = settings.home.own_prefixes or (settings.home.country_code,)

    def by_rule(
        self,
        rule: Rule,
        case: Case,
        action: Action,
        held_back: tuple[Hold, ...],
        moment: Moment,
        row: int,
        before: Decision | None,
    ) -> Decision:
        """What `rule` decides in `case` at `row`; `before` is the last decision of the case, if remembered.

        The number is written as it was then: a sender id that loses its text or changes case keeps its key.
        """
        as_of_ms = int(moment.updated.as_of_ms[row])
        current = before if before and before.expires_at > as_of_ms else None
        score, reasons, counts = self._seen(rule, moment, row)
        restricted = bool(int(moment.rows["flags"][row]) & Flag.RESTRICTED)
        # By the row's own message: what the others of a moment write depends on where the log was cut.
        names = moment.names.get(int(moment.offsets[row]), {})
        number = before.number if before else number_text(case.number, names.get(case.number))
        return Decision(
            decision_id=_id(moment, row, rule.id),
            number=number,
            service=_service(case),
            action=action,
            scope=case.scope,
            party="own" if int(moment.rows["flags"][row]) & Flag.OWN and not number_trunk(case.number) else "foreign",
            point=self._point(case, moment, row),
            except_=self._except,
            basis=rule.text.basis,
            severity=rule.text.severity,
            issued_at=as_of_ms,
            since=current.since if current and current.action == action else as_of_ms,
            expires_at=as_of_ms + 1000 * rule.text.ttl_s,
            supersedes=current.decision_id if current else None,
            version=before.version + 1 if before else 1,
            # A deterministic rule may act on a case that an operator released; the release outlives its decision.
            protected_until=before.protected_until if before and (before.protected_until or 0) > as_of_ms else None,
            score=score,
            reason=rule.text.reason,
            reasons=reasons,
            rule=rule.id,
            held_back=held_back,
            mode=self._mode,
            model_version=self._model.version if self._model else None,
            policy_version=self._policy.version,
            evidence=self._evidence(moment, row, counts),
            enforcement=self._policy.enforcement(rule, case.service, self._redress) if action == "block" else None,
            notice=_notice(rule, current, WITHHELD if restricted else number) if action == "warn" else None,
            redress=self._redress,
        )

    def renewed(self, rule: Rule, current: Decision, moment: Moment, row: int) -> Decision:
        """`current`, a block that attempts still meet, with twice its life and at most the rule's longest."""
        as_of_ms = int(moment.updated.as_of_ms[row])
        longest = 1000 * (rule.text.max_ttl_s or rule.text.ttl_s)
        life = min(2 * (current.expires_at - current.issued_at), longest)
        return msgspec.structs.replace(
            current,
            decision_id=_id(moment, row, rule.id),
            issued_at=as_of_ms,
            expires_at=as_of_ms + life,
            supersedes=current.decision_id,
            version=current.version + 1,
            renewals=current.renewals + 1,
            policy_version=self._policy.version,
            evidence=self._evidence(moment, row, current.evidence.counts),
        )

    def by_operator(
        self,
        command: Command,
        case: Case,
        action: Action,
        held_back: tuple[Hold, ...],
        moment: Moment,
        row: int,
        before: Decision | None,
    ) -> Decision:
        """What an operator decides in `case`: in force whatever the mode."""
        as_of_ms = int(moment.updated.as_of_ms[row])
        current = before if before and before.expires_at > as_of_ms else None
        lives = self._policy.text.commands
        default = lives.block_ttl_s if command.action == "block" else lives.release_ttl_s
        expires_at = as_of_ms + 1000 * (command.ttl_s or default)
        scope = "" if case.scope == command.covers else f"-{case.scope}"
        return Decision(
            decision_id=_id(moment, row, f"operator-{case.service}{scope}"),
            number=before.number if before else number_text(case.number, sender_text(command.number)),
            service=_service(case),
            action=action,
            scope=case.scope,
            party=self._party(case.number),
            # Whoever took a block takes its end. A new one is not narrowed down to where its number was seen before.
            point=before.point if before and command.action != "block" else self._point(case, moment, row),
            except_=self._except,
            basis="operator",
            issued_at=as_of_ms,
            since=as_of_ms,
            expires_at=expires_at,
            supersedes=current.decision_id if current else None,
            version=before.version + 1 if before else 1,
            protected_until=expires_at if action in ("release", "allow") else None,
            reason=command.reason,
            rule="operator",
            held_back=held_back,
            mode="enforce",
            model_version=self._model.version if self._model else None,
            policy_version=self._policy.version,
            evidence=self._evidence(moment, row, {}),
            enforcement=self._policy.enforcement(None, case.service, self._redress) if action == "block" else None,
            redress=self._redress,
            source=f"operator:{command.actor}",
        )

    def _seen(
        self, rule: Rule, moment: Moment, row: int
    ) -> tuple[Score | None, tuple[ReasonGiven, ...], dict[str, float]]:
        """Score, reasons and window counts of a row that has a vector."""
        scored = moment.updated.scored
        slot = int(np.searchsorted(scored, row))
        if slot == len(scored) or scored[slot] != row:
            return None, (), {}
        vector = moment.updated.vectors[slot]
        values = vector.tolist()
        counts = {name: round(values[i], DIGITS) for i, name in COUNTED if not math.isnan(values[i])}
        if self._model is None:
            return None, (), counts
        margin = float(moment.margins[slot])
        display = float(self._model.display(moment.margins[slot : slot + 1])[0])
        score = Score(margin=margin, display=round(display, DIGITS))
        return score, explain(self._model, vector, rule.features), counts

    def _evidence(self, moment: Moment, row: int, counts: dict[str, float]) -> Evidence:
        record: Any = moment.rows[row]
        name = self._sources.get(int(record["source"]), str(int(record["source"])))
        source = "commands" if record["kind"] == Kind.COMMAND else name
        at = Position(source, int(record["partition"]), int(record["offset"]))
        return Evidence(event_ms=int(record["event_ms"]), counts=counts, records=(at,))

    def _party(self, number: int) -> Literal["own", "foreign"]:
        own = number_kind(number) is NumberKind.E164 and not number_trunk(number)
        return "own" if own and number_digits(number).startswith(self._own) else "foreign"

    def _point(self, case: Case, moment: Moment, row: int) -> str:
        """Where the case can be enforced; a command comes from no source, and so does not say whose trunk it means."""
        record: Any = moment.rows[row]
        command = record["kind"] == Kind.COMMAND
        trunk = number_trunk(case.number) or (0 if command or record["role"] != Role.FROM else int(record["trunk"]))
        known = self._declared_once.get(trunk) if command else self._trunks.get((int(record["source"]), trunk))
        name = known or str(trunk)
        if number_kind(case.number) is NumberKind.SENDER:
            return f"account:{name}" if trunk else "gateway"
        own = self._party(case.number) if command else ("own" if int(record["flags"]) & Flag.OWN else "foreign")
        if own == "own" and not number_trunk(case.number):
            return "subscriber"
        return f"trunk:{name}" if trunk else "gateway"


def _notice(rule: Rule, current: Decision | None, originator: str) -> str | None:
    """The text of a warning: the rule's; of one that goes on while a block is held back, what it has been."""
    if rule.text.action != "warn":
        return current.notice if current else None
    return rule.text.notice.format(originator=originator) if rule.text.notice else None


def _id(moment: Moment, row: int, rule: str) -> str:
    return f"{moment.partition}-{int(moment.offsets[row])}-{int(moment.indices[row])}-{rule}"


def _service(case: Case) -> Service:
    return "sms" if case.service == "sms" else "voice"
