"""Mass release: the decisions in force that some words describe are ended, each by a command of its own.

    decisions -> in_force -> Where.holds -> counted -> commands -> ... -> decisions: each of these cases is released

A kill switch frees nobody. Each command names the decision that it ends, and has an id that follows from it: given
twice, it does nothing twice, and a case that another rule or an operator has decided since is let be.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import msgspec
import numpy as np

from detector.broker import Broker, TopicPartition
from detector.config import Settings
from detector.errors import ConfigError
from detector.ingest.commands import Command, Ends
from detector.records import parse_number, partition_of, without_trunk
from detector.units import DAY_MS, HOUR_MS, MINUTE_MS
from detector.verdict.decisions import Decision
from detector.verdict.ending import is_in_force
from detector.verdict.lists import NumberList

BY_PEOPLE: Final = frozenset({"operator", "court"})
"""Bases of decisions that are let be unless they are named: no rule of ours was wrong there."""
UNITS_MS: Final = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


@dataclass(frozen=True, slots=True)
class Where:
    """Words that all hold of a decision: `rule=wangiri,since=2h,range=+99971*`."""

    text: str
    equal: Mapping[str, str]
    """Fields of a decision that are to be this: rule, model, policy, service, action, scope, basis."""
    since_ms: int
    until_ms: int
    numbers: NumberList | None

    @staticmethod
    def read(text: str, now_ms: int) -> "Where":
        """`ConfigError` says which word is not understood. Nothing at all is not understood either."""
        equal: dict[str, str] = {}
        since_ms, until_ms, numbers = 0, 1 << 62, None
        for word in text.split(","):
            name, _, value = (part.strip() for part in word.partition("="))
            if not value:
                raise ConfigError(f"--where: wanted name=value, by commas (got {word!r})")
            match name:
                case "since":
                    since_ms = moment_ms(value, now_ms)
                case "until":
                    until_ms = moment_ms(value, now_ms)
                case "range":
                    try:
                        numbers = NumberList.of((value,))
                    except ValueError as error:
                        raise ConfigError(f"--where: range: {error}") from error
                case _ if name in FIELDS:
                    equal[name] = value
                case _:
                    known = ", ".join((*FIELDS, "since", "until", "range"))
                    raise ConfigError(f"--where: wanted one of {known} (got {name!r})")
        return Where(text, equal, since_ms, until_ms, numbers)

    def holds(self, decision: Decision) -> bool:
        """Whether the decision is meant."""
        return (
            self.since_ms <= decision.since < self.until_ms
            and (decision.basis not in BY_PEOPLE or "basis" in self.equal)
            and all(getattr(decision, FIELDS[name]) == value for name, value in self.equal.items())
            and (self.numbers is None or self.numbers.holds(parse_number(decision.number)))
        )


FIELDS: Final = {
    "rule": "rule",
    "model": "model_version",
    "policy": "policy_version",
    "service": "service",
    "action": "action",
    "scope": "scope",
    "basis": "basis",
}
"""Words of `--where`, and the fields of a decision that they are about."""


def moment_ms(text: str, now_ms: int) -> int:
    """UTC milliseconds of `2h` (that long ago; m, h, d), of an ISO time (UTC unless it says otherwise), or as given."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdecimal() and unit in UNITS_MS:
        return now_ms - int(number) * UNITS_MS[unit]
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"wanted 90m, 2h, 7d, an ISO time or UTC milliseconds (got {text!r})") from error
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def in_force(broker: Broker, settings: Settings, now_ms: int) -> Iterator[Decision]:
    """What holds against numbers now, as `decisions` has it: the last of each case, not expired, no release."""
    for q in range(settings.topics.partitions):
        at = TopicPartition(settings.topics.decisions, q)
        last: dict[bytes, bytes | None] = {}
        for message in broker.read(at, *broker.watermarks(at)):
            last[message.key() or b""] = message.value()
        for value in last.values():
            if value is not None:
                decision = Decision.from_json(value)
                if is_in_force(decision, now_ms):
                    yield decision


class Before:
    """What was in force of one number before it was released, behind any trunk: a partition has them all."""

    def __init__(self, broker: Broker, settings: Settings, number: int) -> None:
        """`decisions` as it stands now. It is read later: no release has to wait for that."""
        self._broker = broker
        self._number = without_trunk(number)
        q = int(partition_of(np.array([number], np.uint64), settings.topics.partitions)[0])
        self._at = TopicPartition(settings.topics.decisions, q)
        self._range = broker.watermarks(self._at)

    def in_force(self, now_ms: int) -> list[Decision]:
        """Those that hold."""
        last: dict[bytes, bytes | None] = {}
        for message in self._broker.read(self._at, *self._range):
            key = message.key() or b""
            if without_trunk(parse_number(key.decode().partition("|")[0])) == self._number:
                last[key] = message.value()
        found = [Decision.from_json(value) for value in last.values() if value is not None]
        return [decision for decision in found if is_in_force(decision, now_ms)]


def releases(found: Iterable[Decision], where: Where, actor: str, reason: str, ttl_s: int | None) -> Iterator[Command]:
    """A command for each decision; equal decisions give equal ids, whoever asks."""
    for decision in found:
        what = f"{decision.key()}|{decision.rule}|{decision.since}"
        yield Command(
            action="release",
            number=decision.number,
            actor=actor,
            reason=reason,
            id=f"mass-{blake2b(what.encode(), digest_size=12).hexdigest()}",
            service=decision.service,
            scope=decision.scope,
            ttl_s=ttl_s,
            ends=Ends(rule=decision.rule, since=decision.since),
            batch=where.text,
        )


class Progress:
    """Which cases of a mass release something else is decided on since: renewals keep `since`."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        """From here on `decisions` is read."""
        self._broker = broker
        partitions = range(settings.topics.partitions)
        self._read_to = {
            at: broker.watermarks(at)[1] for at in (TopicPartition(settings.topics.decisions, q) for q in partitions)
        }
        self._since: dict[str, int] = {}

    def left(self, found: Sequence[Decision], now_ms: int) -> list[Decision]:
        """Those of `found` that are still in force."""
        for at, start in self._read_to.items():
            stop = self._broker.watermarks(at)[1]
            for message in self._broker.read(at, start, stop):
                head = msgspec.json.decode(message.value() or b"{}", type=_Head)
                self._since[(message.key() or b"").decode()] = head.since
            self._read_to[at] = stop
        return [one for one in found if self._since.get(one.key(), one.since) == one.since and one.expires_at > now_ms]


class _Head(msgspec.Struct):
    """Of a decision, what says whether it is another one or a renewal."""

    since: int = -1
