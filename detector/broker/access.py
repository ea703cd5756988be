"""Access: who may do what on Kafka, and nothing else, as ACLs.

    settings -> grants -> `detector acls` prints them, or gives them to the broker

The list is what the code was seen to need: the tests run every command and both roles under these and no others.
A right to write or read a topic carries the right to describe it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from detector.broker.options import READ
from detector.config import Settings

Kind = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Describe", "Create"]

READER: Final = str(READ["group.id"])
"""The group's name under which single partitions are read without joining: asked for a coordinator only."""

WHO: Final[Mapping[str, str]] = {
    "deploy": "`detector topics create` and `check`",
    "ingest": "the ingest role",
    "detect": "the detect role",
    "operator": "`detector release`, `allow` and `block`",
    "analyst": "`detector decisions tail`, `audit`, `archive`, `features` and `snapshots`: reads, changes nothing",
    "switch": "switches and SMSCs, or what writes their records",
    "enforcement": "what acts on decisions, in groups whose names begin with `enforcement`",
}
"""Users, each for one purpose."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one user may do to one thing, or to all whose names begin so."""

    who: str
    kind: Kind
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """One line of the broker's list: a principal may do this."""

    principal: str
    grant: Grant
    operation: Operation


def grants(settings: Settings) -> list[Grant]:
    """All that a deployment needs, in the order of `WHO`."""
    return list(_grants(settings))


def _grants(settings: Settings) -> Iterator[Grant]:
    topics, group = settings.topics, settings.group
    sources = tuple(source.topic for source in settings.sources)
    decided = (topics.decisions, topics.history, topics.shadow)
    ours = (topics.events, *decided, topics.commands, topics.control, topics.rejects)

    def on(who: str, names: Sequence[str], *operations: Operation) -> Iterator[Grant]:
        for name in names:
            yield Grant(who, "topic", name, operations)

    def without_a_group(who: str) -> Grant:
        return Grant(who, "group", READER, ("Describe",))

    yield from on("deploy", (*ours, *sources), "Create", "Describe")
    # A role starts only where every topic is there with its partitions: so it must see those that it does not use.
    yield from on("ingest", (*sources, topics.commands), "Read")
    yield from on("ingest", (topics.events, topics.rejects), "Write")
    yield from on("ingest", (*decided, topics.control), "Describe")
    yield Grant("ingest", "group", f"{group}-ingest", ("Read",))
    yield Grant("ingest", "transactional-id", f"{group}-ingest-", ("Write",), prefixed=True)
    yield from on("detect", (topics.events,), "Read")
    # What was decided is read back on taking a partition.
    yield from on("detect", (topics.decisions, topics.shadow), "Read", "Write")
    yield from on("detect", (topics.history, topics.control, topics.rejects), "Write")
    yield from on("detect", (*sources, topics.commands), "Describe")
    yield Grant("detect", "group", f"{group}-detect", ("Read",))
    yield without_a_group("detect")
    yield Grant("detect", "transactional-id", f"{group}-detect-", ("Write",), prefixed=True)
    yield from on("operator", (topics.commands,), "Write")
    yield from on("analyst", ours, "Read")
    yield Grant("analyst", "group", f"{group}-detect", ("Describe",))
    yield without_a_group("analyst")
    yield from on("switch", sources, "Write")
    yield from on("enforcement", (topics.decisions, topics.history), "Read")
    yield Grant("enforcement", "group", "enforcement", ("Read",), prefixed=True)


def principals(settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """The broker's name of each of `WHO`: as given, else `User:<group>-<who>`."""
    return {who: given.get(who, f"User:{settings.group}-{who}") for who in WHO}


def bindings(settings: Settings, names: Mapping[str, str]) -> list[Binding]:
    """Each operation that each principal may do; `names` as `principals` gives them."""
    return [Binding(names[g.who], g, operation) for g in grants(settings) for operation in g.operations]


def command_lines(settings: Settings, names: Mapping[str, str]) -> list[str]:
    """The same as Kafka's own tool takes it, a line for each thing that a principal may do something to."""
    lines = []
    for grant in grants(settings):
        operations = " ".join(f"--operation {operation}" for operation in grant.operations)
        pattern = " --resource-pattern-type prefixed" if grant.prefixed else ""
        lines.append(f"--add --allow-principal {names[grant.who]} {operations} --{grant.kind} {grant.name}{pattern}")
    return lines


def access_markdown(settings: Settings) -> str:
    """The table of `docs/acls.md`."""
    lines = ["| who | may | on |", "| --- | --- | --- |"]
    for grant in grants(settings):
        name = f"{grant.name}*" if grant.prefixed else grant.name
        lines.append(f"| {grant.who} | {', '.join(grant.operations)} | {grant.kind} `{name}` |")
    return "\n".join(lines)
