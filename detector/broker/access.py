"""Access: who may do what on Kafka, and nothing else, as ACLs.

    settings -> grants -> `detector acls` prints them, or gives them to the broker

The list is what the code was seen to need: the tests run every command and both roles under these and no others.
A right to write or read a topic carries the right to describe it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from detector.broker.options import READ
from detector.broker.topics import topic_specs
from detector.config import Settings

Kind = Literal["topic", "group", "transactional-id"]
Operation = Literal["Read", "Write", "Describe", "Create"]

READER: Final = str(READ["group.id"])
"""The group's name under which single partitions are read without joining: asked for a coordinator only."""

WHO: Final[Mapping[str, str]] = {
    "deploy": "`detector topics create` and `check`",
    "ingest": "the ingest role",
    "detect": "the detect role",
    "operator": "`detector release`, `allow`, `block` and `mode`",
    "analyst": "`detector decisions tail`, `audit`, `archive`, `features` and `snapshots`: reads, changes nothing",
    "labeller": "`detector labels`: what analysts and complaints say of numbers",
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
    every = tuple(spec.name for spec in topic_specs(settings))
    ours = tuple(name for name in every if name not in sources)
    beats = (topics.heartbeats,) if topics.heartbeats in ours else ()
    # Operators who come to the admin port of a process give their orders through its user.
    orders: tuple[str, ...] = (topics.commands, topics.control) if settings.admin.tokens else ()

    def on(who: str, rights: Mapping[Operation, Sequence[str]]) -> Iterator[Grant]:
        """The rights by topic; a role starts only where every topic is there, so it must see the others too."""
        for name in every:
            operations = tuple(operation for operation, names in rights.items() if name in names)
            if operations:
                yield Grant(who, "topic", name, operations)
            elif who in ("ingest", "detect"):
                yield Grant(who, "topic", name, ("Describe",))

    def without_a_group(who: str) -> Grant:
        return Grant(who, "group", READER, ("Describe",))

    yield from on("deploy", {"Create": every, "Describe": every})
    reads, writes = (*sources, topics.commands, *beats), (topics.events, topics.rejects, *beats, *orders)
    yield from on("ingest", {"Read": reads, "Write": writes})
    yield Grant("ingest", "group", f"{group}-ingest", ("Read",))
    yield Grant("ingest", "transactional-id", f"{group}-ingest-", ("Write",), prefixed=True)
    # What was decided is read back on taking a partition, and the mode all the time.
    reads = (topics.events, topics.decisions, topics.shadow, topics.control)
    writes = (*decided, topics.control, topics.rejects, topics.vectors, *orders)
    yield from on("detect", {"Read": reads, "Write": writes})
    yield Grant("detect", "group", f"{group}-detect", ("Read",))
    yield without_a_group("detect")
    yield Grant("detect", "transactional-id", f"{group}-detect-", ("Write",), prefixed=True)
    reads = (topics.commands, topics.control, topics.decisions)
    yield from on("operator", {"Read": reads, "Write": (topics.commands, topics.control)})
    yield without_a_group("operator")
    yield from on("analyst", {"Read": ours})
    yield Grant("analyst", "group", f"{group}-detect", ("Describe",))
    yield without_a_group("analyst")
    yield from on("labeller", {"Read": (topics.labels,), "Write": (topics.labels,)})
    yield without_a_group("labeller")
    yield from on("switch", {"Write": sources})
    yield from on("enforcement", {"Read": (topics.decisions, topics.history)})
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
