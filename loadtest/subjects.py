"""Subjects of the fuzz: what takes messages from outside, each with good examples, its mutations and its laws.

examples -> mutated -> take -> laws broken, outcomes
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec
import numpy as np

from detector.config import ROOT, Home, Settings, Source, Trunk, Verdict
from detector.errors import Rejected
from detector.ingest.commands import Command, command_row, read_command
from detector.ingest.mapping import Codec, Mapping, load_mapping
from detector.ingest.rows import Raw, SourceReader, pack_message, unpack_message
from detector.ingest.zones import ZoneTable
from detector.pipeline import Detector, Entry
from detector.records import SCHEMA_ID, Kind, Rows
from detector.verdict.decisions import Decision
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.policy import Policy
from loadtest.laws import HEADERS, broken_by, broken_rejection, broken_rows
from loadtest.mutations import Mutator

FIXTURES: Final = ROOT / "tests" / "ingest" / "fixtures"
AGAIN_EVERY: Final = 20
"""Batches after which one is read a second time in halves: the same rows must come out."""
PUBLISHED_MS: Final = 1_793_624_400_000
FIRST_OFFSET: Final = 1_000
TRUNKS: Final = {
    "transit": Trunk(id=1, international=True, interconnect=True),
    "rival": Trunk(id=2, interconnect=True),
    "london": Trunk(id=3, region="GB"),
    "bank": Trunk(id=4),
}

Outcome = tuple[object, ...]


class Subject(Protocol):
    """Something that takes messages."""

    name: str
    corpus: list[bytes]

    def mutated(self, mutator: Mutator) -> bytes:
        """A message to try."""
        ...

    def take(self, values: Sequence[bytes]) -> "Taken":
        """What becomes of a batch; raises whatever the code under test raises."""
        ...


@dataclass(slots=True)
class Taken:
    """What became of a batch: the laws that it broke, and what came of each message."""

    broken: list[str] = field(default_factory=list)
    outcomes: list[tuple[int, Outcome]] = field(default_factory=list)
    rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    skipped: int = 0


class Records:
    """The messages of a source, through its mapping."""

    def __init__(self, name: str, mapping: Mapping, examples: list[bytes], settings: Settings) -> None:
        self.name = name
        self.corpus = list(examples)
        self._examples = examples
        self._codec = mapping.codec
        zones = ZoneTable.load(settings.path(settings.home.zones))
        self.reader = SourceReader(settings, settings.sources[0], mapping, zones)
        self._one_each = mapping.codec.format != "ndjson" and not mapping.codec.many
        self._batches = 0

    def mutated(self, mutator: Mutator) -> bytes:
        chance = mutator.chance
        if chance.random() < 0.4:
            return mutator.noise(self.corpus)
        example = chance.choice(self._examples)
        if self._codec.format == "csv":
            return mutator.csv(example, self._codec.delimiter)
        value = mutator.json(example)
        return value + b"\n" + mutator.json(example) if self._codec.format == "ndjson" else value

    def take(self, values: Sequence[bytes]) -> Taken:
        raw = _raw(values, FIRST_OFFSET)
        got = self.reader.read(raw)
        taken = Taken(
            broken=list(broken_by(got, raw, self._one_each)),
            rows=len(got.rows),
            rejected=Counter(record.rejected.reason.value for record in got.rejected),
            skipped=sum(got.skipped.values()),
        )
        taken.outcomes = [(record.index, _of_rejection(record.rejected)) for record in got.rejected]
        taken.outcomes += _of_rows(got.rows)
        self._batches += 1
        if self._batches % AGAIN_EVERY == 0:
            half = len(values) // 2
            parts = [
                self.reader.read(_raw(values[:half], FIRST_OFFSET)),
                self.reader.read(_raw(values[half:], FIRST_OFFSET + half)),
            ]
            if np.concatenate([part.rows for part in parts]).tobytes() != got.rows.tobytes():
                taken.broken.append("read in halves, the batch gives other rows")
        return taken


class Commands:
    """What operators write, through the core that obeys it."""

    name = "commands"

    def __init__(self, settings: Settings) -> None:
        self._detector = _core(settings)
        base = {"action": "release", "number": "+999700000001", "actor": "ann", "reason": "a hospital", "id": "r-1"}
        more = {"action": "block", "service": "voice", "scope": "zone:891-high_risk", "ttl_s": 3_600}
        numbers = ("+447700900123@7", "short:611", "local:1001@3", "sender:ACME@3", "sender:#1f@3")
        trees = [base, base | more, *(base | {"number": number} for number in numbers)]
        self._examples = [msgspec.json.encode(tree) for tree in trees]
        self.corpus = list(self._examples)

    def mutated(self, mutator: Mutator) -> bytes:
        if mutator.chance.random() < 0.4:
            return mutator.noise(self.corpus)
        return mutator.json(mutator.chance.choice(self._examples))

    def take(self, values: Sequence[bytes]) -> Taken:
        taken, entries = Taken(), list[Entry]()
        for i, value in enumerate(values):
            command = read_command(value)
            if isinstance(command, Rejected):
                taken.broken += broken_rejection(command)
                taken.rejected[command.reason.value] += 1
                taken.outcomes.append((i, _of_rejection(command)))
            elif isinstance(command, Command):
                row = command_row(command, PUBLISHED_MS, 3, FIRST_OFFSET + i)
                taken.broken += [] if len(row) == 1 else [f"a command of {len(row)} rows"]
                taken.rows += 1
                back = unpack_message(pack_message(row), HEADERS)
                taken.broken += [f"the row of {command}: {back.detail}"] if isinstance(back, Rejected) else []
                taken.outcomes.append((i, (command.action, command.service, command.number[:6])))
                headers = [("schema", SCHEMA_ID), ("command", value)]
                entries.append(Entry(FIRST_OFFSET + i, pack_message(row), headers))
            else:
                taken.broken.append(f"wanted a command or a rejection (got {command!r})")
        outcome = self._detector.process(self._detector.fresh(0, Memory(), Memory()), entries)
        if len(outcome.decisions) < len(entries) or outcome.rejected:
            taken.broken.append(f"{len(entries)} commands gave {len(outcome.decisions)} decisions")
        for decision in outcome.decisions:
            Decision.from_json(decision.to_json())
        return taken


class Internal:
    """Messages of the internal topic, through the row decoder and the core behind it.

    They are packed by ingest, but whatever stands on the topic must not stop detect.
    """

    name = "internal"

    def __init__(self, rows: Rows, settings: Settings) -> None:
        self._detector = _core(settings)
        self._rows = rows
        self.corpus = [pack_message(rows[at : at + size]) for size in (1, 2, 7) for at in range(0, len(rows), size)]

    def mutated(self, mutator: Mutator) -> bytes:
        if mutator.chance.random() < 0.2:
            return mutator.noise(self.corpus)
        rows = self._rows[mutator.chance.choices(range(len(self._rows)), k=mutator.chance.choice((1, 2, 5)))].copy()
        for name in mutator.chance.choices(rows.dtype.names or (), k=mutator.chance.choice((1, 1, 2, 3))):
            size = rows.dtype[name].itemsize
            value = mutator.chance.choice((0, 1, 4, (1 << 8 * size - 1) - 1, mutator.chance.getrandbits(8 * size - 1)))
            rows[name][mutator.chance.randrange(len(rows))] = value
        return pack_message(rows)

    def take(self, values: Sequence[bytes]) -> Taken:
        taken = Taken()
        entries = []
        for i, value in enumerate(values):
            headers: list[tuple[str, bytes]] = [("schema", SCHEMA_ID)]
            if i % 5 == 1:  # the headers are as bad as the rest
                headers.append(("names" if i % 2 else "command", value))
            elif i % 100 == 2:
                headers = [("schema", value)]
            entries.append(Entry(FIRST_OFFSET + 2 * i, value, headers))
            got = unpack_message(value, headers)
            if isinstance(got, Rejected):
                taken.broken += broken_rejection(got)
                taken.rejected[got.reason.value] += 1
                taken.outcomes.append((i, _of_rejection(got)))
            else:
                taken.broken += [f"{len(got)} rows of {len(value)} bytes"] if len(got) * 64 != len(value) else []
                taken.broken += broken_internal(got)
                taken.rows += len(got)
        outcome = self._detector.process(self._detector.fresh(0, Memory(), Memory()), entries)
        if sum(outcome.statuses) != taken.rows:
            taken.broken.append(f"{taken.rows} rows went into the core, which counted {sum(outcome.statuses)}")
        for decision in outcome.decisions:
            Decision.from_json(decision.to_json())
        return taken


def _core(settings: Settings) -> Detector:
    """The core with its rules, and without a model: that one sees numbers only."""
    zones = ZoneTable.load(settings.path(settings.home.zones))
    policy = Policy.load(settings.path(settings.verdict.policy))
    return Detector(settings, Judge(policy, None, zones, settings), None)


def broken_internal(rows: Rows) -> Iterator[str]:
    """Rows that the decoder lets through are such as ingest may write, commands and heartbeats included."""
    sane = rows.copy()
    for name in ("flags", "duration_s", "trunk"):  # any value that fits is harmless
        sane[name] = 0
    sane["source"] = 1
    sane["number"] = np.where(sane["number"] == 0, sane["other"], sane["number"])
    yield from broken_rows(sane[sane["number"] > 0], kinds=list(Kind))


def _raw(values: Sequence[bytes], first: int) -> Raw:
    count = len(values)
    return Raw(values, [3] * count, range(first, first + count), [PUBLISHED_MS] * count)


_VARYING: Final = re.compile(r"\d+|\(got .*|'[^']*'", re.DOTALL)


def _of_rejection(rejected: Rejected) -> Outcome:
    """The rejection without what is this message's own."""
    return rejected.reason.value, _VARYING.sub("", rejected.detail)


def _of_rows(rows: Rows) -> list[tuple[int, Outcome]]:
    columns = [rows[name].tolist() for name in ("offset", "kind", "role", "flags")]
    kinds = (rows["number"] >> np.uint64(60)).tolist()
    return [(row[0] - FIRST_OFFSET, (*row[1:], kind)) for *row, kind in zip(*columns, kinds, strict=True)]


def subjects() -> list[Subject]:
    """Every mapping, the codecs that no shipped mapping uses, commands, and the internal topic."""
    found: list[Subject] = []
    files = [*sorted((ROOT / "configs" / "sources").glob("*.yaml")), *sorted(FIXTURES.glob("*.yaml"))]
    mappings = {path.stem: (path, load_mapping(path)) for path in files}
    for name, (path, mapping) in mappings.items():
        found.append(Records(name, mapping, _examples(name), _settings(path)))
    for stem, name, codec in (
        ("plain", "plain, a record a line", Codec(format="ndjson")),
        ("plain", "plain, a list in an envelope", Codec(format="json", envelope="data.records", many=True)),
        ("freeswitch", "freeswitch, a list", Codec(format="json", many=True, url_encoded=True)),
        ("smsc", "smsc, many lines", msgspec.structs.replace(mappings["smsc"][1].codec, many=True)),
    ):
        path, mapping = mappings[stem]
        examples = _examples(stem)
        if codec.format == "json":
            examples = [b"[" + b",".join(examples) + b"]", *(b"[" + example + b"]" for example in examples)]
        if codec.envelope:
            examples = [b'{"data":{"records":' + example + b"}}" for example in examples]
        found.append(Records(name, msgspec.structs.replace(mapping, codec=codec), examples, _settings(path)))
    path, mapping = mappings["plain"]
    settings = _settings(path)
    reader = SourceReader(settings, settings.sources[0], mapping, ZoneTable.load(settings.path(settings.home.zones)))
    return [*found, Commands(settings), Internal(reader.read(_raw(_examples("plain"), 0)).rows, settings)]


def _examples(name: str) -> list[bytes]:
    """Good messages of a mapping; those of the plain form are many."""
    names = ("plain", "forwarded", "partials", "phases", "msc_*") if name == "plain" else (name,)
    files = [path for each in names for path in sorted(FIXTURES.glob(f"{each}.*")) if path.suffix != ".yaml"]
    return [line for path in files for line in path.read_bytes().splitlines() if line.strip()]


def _settings(mapping: Path) -> Settings:
    source = Source(name="fuzz", id=1, topic="fuzz", mapping=str(mapping), trunks=TRUNKS, max_future_s=None)
    return Settings(
        home=Home(country_code="999", region="GB", zones="configs/zones.csv"),
        sources=(source,),
        verdict=Verdict(
            mode="enforce",
            policy="configs/policy.yaml",
            assume_warm=True,
            redress={"url": "https://redress.example"},
        ),
        base=str(ROOT),
    )
