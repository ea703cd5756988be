"""Policy: the carrier's rules, checked as a whole when they are loaded.

    configs/policy.yaml, its lists -> Policy -> Judge

Everything that can be wrong is found here, before the first record: types, names of facts and
lists, lives, an enforcement that the jurisdiction does not allow. Rules carry examples of their
own, which `detector check` runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, Struct

from detector.config import convert, read_yaml
from detector.errors import ConfigError
from detector.features.catalogue import INDEX
from detector.ingest.commands import LONGEST_LIFE_S
from detector.verdict.decisions import Basis, Enforcement
from detector.verdict.expression import NUMBER, Expression, parse
from detector.verdict.facts import FACTS, MODELLED, SCORED, GivenFacts
from detector.verdict.lists import NumberList

KINDS: Final = {"call": "voice", "sms": "sms"}
"""The service that a row of each kind is about."""
EXAMPLE_THRESHOLDS: Final = {"watch": 1.0, "flag": 2.0, "block": 3.0}
"""The model's thresholds in examples that give none."""


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of the policy file."""


class Example(Part, frozen=True):
    """Facts of one row, and whether the rule must match them."""

    match: bool
    facts: dict[str, float | bool | str] = {}
    lists: tuple[str, ...] = ()
    """Lists that the subject is in."""


class RuleText(Part, frozen=True, kw_only=True):
    """A rule as the file writes it."""

    id: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*$")]
    when: str
    on: Literal["from", "to"] = "from"
    kinds: tuple[Literal["call", "sms"], ...] = ("call", "sms")
    action: Literal["flag", "warn", "block"]
    service: Literal["voice", "sms"] | None = None
    """What the decision is about; none = the row's own."""
    scope: Literal["originating", "terminating", "zone", "trunk"] = "originating"
    """`zone`: only towards the row's destination zone. `trunk`: the subject is number@trunk, never the bare number."""
    ttl_s: int
    max_ttl_s: int | None = None
    """Renewals double the life up to this; none = one life."""
    basis: Basis = "analytics"
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    reason: str
    notice: str | None = None
    """Text for the called party, of a rule that warns; `{originator}` stands for the number."""
    sources: tuple[str, ...] | None = None
    """Sources whose silence holds a block back; none = every source."""
    enforcement: Enforcement | None = None
    """Instead of the policy's."""
    examples: tuple[Example, ...] = ()


class Commands(Part, frozen=True):
    """Lives of operators' decisions that name none."""

    release_ttl_s: int = 7 * 86_400
    """By then the old evidence has left the windows."""
    block_ttl_s: int = 86_400


class PolicyText(Part, frozen=True, kw_only=True):
    """The policy file."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    jurisdiction: Literal["none", "us"] = "none"
    """us: 47 CFR 64.1200(k): an analytics block of a call answers 603 "Network Blocked" with a contact."""
    location: str = "LN"
    """Who blocks, in the Reason header: Q.850 location, LN = public network serving the local user."""
    roaming_source: bool = False
    """Whether the sources say of every originator if it roams. Without that a roamer looks like a spoofed number."""
    warm_up: Literal["flag", "silent"] = "flag"
    """What analytics rules do before the log covers the longest window: flag only, or nothing at all."""
    operator_care: tuple[str, ...] = ()
    """Destinations that a block leaves reachable, beside emergency codes and the redress number."""
    lists: dict[str, str] = {}
    never_block: tuple[str, ...] = ()
    """Lists that win over everything, operators included."""
    commands: Commands = Commands()
    voice: Enforcement = Enforcement(sip_code=603, sip_phrase="Decline", isup_cause=21)
    sms: Enforcement = Enforcement(smpp_status=0x45)
    """ESME_RSUBMITFAIL."""
    rules: tuple[RuleText, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, ready to run."""

    text: RuleText
    when: Expression

    @property
    def id(self) -> str:
        """Its name in decisions and metrics."""
        return self.text.id

    @property
    def needs_vector(self) -> bool:
        """Only scored rows can match."""
        return bool(self.when.names & SCORED)

    @property
    def uses_model(self) -> bool:
        """A model that may not block holds its blocks back."""
        return bool(self.when.names & MODELLED)

    @property
    def features(self) -> tuple[str, ...]:
        """Features it looks at, in the catalogue's order."""
        return tuple(name for name in INDEX if name in self.when.names)


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in order of the file, lists, and what goes with them."""

    text: PolicyText
    version: str
    """Name, and the head of the SHA-256 of file and lists."""
    rules: tuple[Rule, ...]
    lists: Mapping[str, NumberList]
    where: str

    @staticmethod
    def load(path: Path) -> "Policy":
        """The policy of a file; `ConfigError` says file, place, wanted and got."""
        text = convert(read_yaml(path), PolicyText, str(path))
        files = {name: path.parent / file for name, file in sorted(text.lists.items())}
        lists = {name: NumberList.load(file) for name, file in files.items()}
        digest = sha256(b"\0".join(file.read_bytes() for file in (path, *files.values())))
        for i, name in enumerate(text.never_block):
            if name not in lists:
                raise ConfigError(f"{path}: never_block[{i}] must be one of lists (got {name!r})")
        for field, ttl in (("release_ttl_s", text.commands.release_ttl_s), ("block_ttl_s", text.commands.block_ttl_s)):
            if ttl <= 0:
                raise ConfigError(f"{path}: commands.{field} must be positive (got {ttl})")
            if ttl > LONGEST_LIFE_S:
                raise ConfigError(f"{path}: commands.{field} must be at most {LONGEST_LIFE_S}, 90 days (got {ttl})")
        rules = tuple(_rule(rule, lists, f"{path}: rules[{i}]") for i, rule in enumerate(text.rules))
        seen: set[str] = set()
        for i, rule in enumerate(rules):
            if rule.id in seen or rule.id.startswith("operator"):
                raise ConfigError(
                    f"{path}: rules[{i}].id must differ from every other and from operator (got {rule.id!r})"
                )
            seen.add(rule.id)
        return Policy(text, f"{text.name}-{digest.hexdigest()[:8]}", rules, MappingProxyType(lists), str(path))

    def check_examples(self) -> list[str]:
        """What is wrong with the rules' examples: a line each, none if every rule does as they say."""
        wrong = []
        for i, rule in enumerate(self.rules):
            where = f"{self.where}: rules[{i}]"
            for k, example in enumerate(rule.text.examples):
                facts = GivenFacts(EXAMPLE_THRESHOLDS | dict(example.facts), frozenset(example.lists))
                got = bool(rule.when.mask(facts)[0])
                if got != example.match:
                    wrong.append(f"{where}.examples[{k}]: {rule.id}: wanted match {example.match} (got {got})")
            wrong += [
                f"{where}.examples: {rule.id}: wanted one that {'matches' if match else 'does not match'} (got none)"
                for match in (True, False)
                if all(example.match != match for example in rule.text.examples)
            ]
        return wrong

    def check_sources(self, names: tuple[str, ...]) -> None:
        """Raises `ConfigError` unless every source that a rule depends on is one of `names`."""
        for i, rule in enumerate(self.rules):
            for k, name in enumerate(rule.text.sources or ()):
                if name not in names:
                    wanted = ", ".join(names)
                    raise ConfigError(f"{self.where}: rules[{i}].sources[{k}] must be one of {wanted} (got {name!r})")

    def check_redress(self, redress: Mapping[str, str]) -> None:
        """Raises `ConfigError` where the jurisdiction wants a contact for blocked callers and there is none."""
        if self.text.jurisdiction == "us" and not redress.get("url"):
            raise ConfigError(
                f"{self.where}: jurisdiction us must come with a redress contact, settings verdict.redress.url "
                f"(got {dict(redress)})"
            )

    def enforcement(self, rule: Rule | None, service: str, redress: Mapping[str, str]) -> Enforcement:
        """What is answered to a call or message that is blocked; no rule: by an operator."""
        own = rule.text.enforcement if rule else None
        if own is not None:
            return own
        if service == "sms":
            return self.text.sms
        if self.text.jurisdiction == "us" and rule and rule.text.basis == "analytics":
            return Enforcement(
                sip_code=603,
                sip_phrase="Network Blocked",
                sip_reason=f'SIP;cause=603;text="v=analytics1;url={redress["url"]};location={self.text.location}"',
                isup_cause=21,
            )
        return self.text.voice


def _rule(text: RuleText, lists: Mapping[str, NumberList], where: str) -> Rule:
    """The rule, its condition compiled and everything checked that types cannot say."""
    longest = text.ttl_s if text.max_ttl_s is None else text.max_ttl_s
    if text.ttl_s <= 0:
        raise ConfigError(f"{where}.ttl_s must be positive (got {text.ttl_s})")
    if longest < text.ttl_s:
        raise ConfigError(f"{where}.max_ttl_s must be at least ttl_s, {text.ttl_s} (got {longest})")
    if longest > LONGEST_LIFE_S:
        field = "ttl_s" if text.max_ttl_s is None else "max_ttl_s"
        raise ConfigError(f"{where}.{field} must be at most {LONGEST_LIFE_S}, 90 days (got {longest})")
    if not text.kinds:
        raise ConfigError(f"{where}.kinds must name call, sms or both (got none)")
    if not text.reason.strip():
        raise ConfigError(f"{where}.reason must be a text that an analyst can read (got {text.reason!r})")
    if (text.on, text.scope) in (("to", "originating"), ("to", "zone"), ("to", "trunk"), ("from", "terminating")):
        raise ConfigError(f"{where}.scope must fit on: {text.on} (got {text.scope})")
    if text.notice is not None:
        if text.action != "warn":
            raise ConfigError(f"{where}.notice must go with action: warn (got {text.action})")
        _check_notice(text.notice, f"{where}.notice")
    when = parse(text.when, FACTS, lists, f"{where}.when")
    for i, example in enumerate(text.examples):
        _check_example(example, lists, f"{where}.examples[{i}]")
    rule = Rule(text, when)
    if text.basis != "analytics" and rule.uses_model:
        raise ConfigError(f"{where}.basis must be analytics where the condition looks at the model (got {text.basis})")
    return rule


def _check_notice(text: str, where: str) -> None:
    try:
        names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise ConfigError(f"{where}: wanted a text with {{originator}} or none ({error})") from error
    if set(names) - {"originator"}:
        raise ConfigError(f"{where}: wanted {{originator}} alone in braces (got {text!r})")


def _check_example(example: Example, lists: Mapping[str, NumberList], where: str) -> None:
    for name in example.lists:
        if name not in lists:
            raise ConfigError(f"{where}.lists: wanted one of {', '.join(sorted(lists)) or '(none)'} (got {name!r})")
    for name, value in example.facts.items():
        if name not in FACTS:
            raise ConfigError(f"{where}.facts: wanted a feature or fact that exists (got {name!r})")
        if not _fits(value, FACTS[name]):
            kind = FACTS[name]
            wanted = " or ".join(kind) if isinstance(kind, tuple) else kind
            raise ConfigError(f"{where}.facts.{name}: wanted {wanted} (got {value!r})")


def _fits(value: Any, kind: str | tuple[str, ...]) -> bool:
    if isinstance(kind, tuple):
        return value in kind
    if kind == NUMBER:
        return isinstance(value, float | int) and not isinstance(value, bool) and bool(np.isfinite(value))
    return isinstance(value, bool)
