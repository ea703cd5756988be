"""Decided: what was decided against whom, and of which moments the silence is therefore our own doing.

    topic of the history --decisions_on---+
                                          +--Decision--> hidden_by --Hidden--> known
    file, a line each ----read_decisions--+--Decision--> auditing

Nobody complains of a number that is blocked. Without labels the worst fraud of all would pass as honest once the delay
is over, and the next model would learn that it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from detector.broker import Broker, TopicPartition
from detector.config import Settings
from detector.errors import ConfigError
from detector.learning.labels import MEMORY_MS
from detector.records import parse_number
from detector.verdict.decisions import Decision

AGAINST: Final = frozenset({"flag", "warn", "block"})
"""Actions against somebody; those of an operator, too."""
FELT: Final = frozenset({"warn", "block"})
"""Those of them that keep people from being defrauded, and so from complaining. What a flag makes analysts find they
say in a label. Were silence about flags left out too, the honest numbers that look most like fraud would be missing
from what is learnt, and from what the model in force is judged by. Of the honest that were blocked the hold-out tells.
"""

Hidden: TypeAlias = Mapping[int, Sequence[tuple[int, int]]]
"""Of a number: the stretches `[from, until)`, UTC ms, apart and ascending, in which silence about it says nothing."""


def decisions_on(broker: Broker, settings: Settings) -> Iterator[Decision]:
    """What the history holds, partition by partition; detect reads it as strictly."""
    for q in range(settings.topics.partitions):
        at = TopicPartition(settings.topics.history, q)
        for message in broker.read(at, *broker.watermarks(at)):
            if message.value():
                yield Decision.from_json(message.value() or b"")


def read_decisions(path: Path) -> Iterator[Decision]:
    """What a file holds, a line of JSON each, as `decisions tail --json` prints them; `ConfigError` names a line."""
    try:
        with path.open("rb") as file:
            for place, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield Decision.from_json(line)
                    except msgspec.DecodeError as error:
                        raise ConfigError(f"{path}: line {place}: wanted a decision ({error})") from error
    except OSError as error:
        raise ConfigError(f"{path}: wanted a readable file (got {error.strerror or error})") from error


def is_against(decision: Decision) -> bool:
    """Whether something was in force against the number: nobody acts on what shadow mode decides."""
    return decision.action in AGAINST and decision.mode != "shadow"


def hidden_by(decisions: Iterable[Decision]) -> Hidden:
    """While a block or a warning is in force, and after that until the longest window has forgotten it.

    It ends when it expires, or with the next of its case: a release. A flag hides nothing, and what the hold-out or
    anything else keeps from being blocked is a flag: nothing was done, and people say what they would have said.
    Memory is that of the stretches; renewals lengthen one. `decisions`: those of a case in their order.
    """
    in_force: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for decision in decisions:
        if decision.mode == "shadow":
            continue
        mine = in_force.setdefault((decision.number, decision.service, decision.scope), [])
        from_ms, until_ms = decision.issued_at, max(decision.expires_at, decision.issued_at)
        if mine and mine[-1][1] > from_ms:
            mine[-1] = (mine[-1][0], max(mine[-1][0], from_ms))
        if decision.action in FELT:
            renews = bool(mine) and mine[-1][1] == from_ms
            mine.append((mine.pop()[0] if renews else from_ms, until_ms))
    found: dict[int, list[tuple[int, int]]] = {}
    for (number, _, _), stretches in in_force.items():
        for from_ms, until_ms in stretches:
            found.setdefault(parse_number(number), []).append((from_ms, until_ms + MEMORY_MS))
    return {number: _apart(stretches) for number, stretches in found.items()}


def _apart(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that touch are one: services and scopes are decided on side by side."""
    found: list[tuple[int, int]] = []
    for from_ms, until_ms in sorted(stretches):
        if found and from_ms <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until_ms))
        else:
            found.append((from_ms, until_ms))
    return found
