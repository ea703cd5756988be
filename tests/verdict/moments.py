"""A small log for the judge: rows with what state and model made of them, cut into moments at will."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from detector.config import Home, Settings, Source, Topics, Trunk, Verdict
from detector.features.catalogue import INDEX
from detector.features.state import Status, Updated
from detector.ingest.commands import Command, command_row
from detector.ingest.zones import ZoneClass, ZoneTable
from detector.records import ROW, Flag, Kind, NumberKind, Role, pack_digits
from detector.verdict.judge import Moment

START_MS = 1_767_600_000_000

MOBILE = pack_digits(NumberKind.E164, "99971234567")
FIXED = pack_digits(NumberKind.E164, "99921234567")
OTHER = pack_digits(NumberKind.E164, "99977654321")

ZONES = ZoneTable(
    {"9997": ZoneClass.MOBILE, "9992": ZoneClass.GEOGRAPHIC, "9995": ZoneClass.UNALLOCATED, "882": ZoneClass.SATELLITE}
)
SETTINGS = Settings(
    home=Home(country_code="999", own_prefixes=("9997",), emergency=("112",)),
    sources=(
        Source(
            name="switch",
            id=1,
            topic="cdr",
            mapping="m.yaml",
            trunks={"abroad": Trunk(id=7, international=True, interconnect=True), "aggregator": Trunk(id=11)},
        ),
        Source(name="smsc", id=2, topic="sms", mapping="m.yaml"),
    ),
    topics=Topics(partitions=4),
    verdict=Verdict(
        mode="enforce",
        block_budget_per_hour=400,
        redress={"url": "https://example.net/blocked", "tel": "+99920001111"},
    ),
)


def settings(**verdict: Any) -> Settings:
    """The settings above with other fields of `verdict`."""
    return msgspec.structs.replace(SETTINGS, verdict=msgspec.structs.replace(SETTINGS.verdict, **verdict))


@dataclass(frozen=True)
class Entry:
    """One row of the log and what was made of it. `margin` None: it was not scored."""

    number: int = MOBILE
    at_ms: int = START_MS
    margin: float | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    kind: Kind = Kind.CALL
    role: Role = Role.FROM
    flags: int = int(Flag.BEGAN | Flag.OWN)
    trunk: int = 0
    zone: int = 999 << 4 | ZoneClass.MOBILE
    status: Status = Status.COUNTED
    warm: bool = True
    silent: int = 0
    judged: bool = True
    command: Command | None = None


def command(action: Any, number: str = "+99971234567", **fields: Any) -> Command:
    """An operator's command."""
    fields = {"scope": "originating"} | fields
    return Command(action=action, number=number, actor="ann", reason="customer called", id="c-1", **fields)


def order(wanted: Command, at_ms: int = START_MS) -> Entry:
    """The entry of a command."""
    return Entry(at_ms=at_ms, command=wanted, status=Status.IGNORED)


def moment(
    entries: Sequence[Entry], first: int = 0, message: int = 3, names: Mapping[int, str] | None = None
) -> Moment:
    """The moment of `entries`, of which the first stands at place `first` of a log of `message` rows a message."""
    places = np.arange(first, first + len(entries), dtype=np.int64)
    rows = np.zeros(len(entries), ROW)
    commands = {}
    for i, (entry, place) in enumerate(zip(entries, places.tolist(), strict=True)):
        row = rows[i : i + 1]
        if entry.command is not None:
            rows[i : i + 1] = command_row(entry.command, entry.at_ms, 3, place)
            commands[place // message] = entry.command
            continue
        row["number"], row["event_ms"], row["kind"], row["role"] = entry.number, entry.at_ms, entry.kind, entry.role
        row["flags"], row["trunk"], row["zone"] = entry.flags, entry.trunk, entry.zone
        row["source"], row["partition"], row["offset"], row["record_id"] = 1, 5, 1_000 + place, place
        row["other"] = OTHER
    scored = np.array([i for i, entry in enumerate(entries) if entry.margin is not None], np.int64)
    vectors = np.full((len(scored), len(INDEX)), np.nan)
    for slot, i in enumerate(scored.tolist()):
        for name, value in entries[i].features.items():
            vectors[slot, INDEX[name]] = value
    return Moment(
        partition=2,
        rows=rows,
        offsets=places // message,
        indices=places % message,
        updated=Updated(
            status=np.array([entry.status for entry in entries], np.uint8),
            as_of_ms=np.array([entry.at_ms for entry in entries], np.int64),
            scored=scored,
            vectors=vectors,
        ),
        margins=np.array([entries[i].margin for i in scored.tolist()], np.float64),
        warm=np.array([entry.warm for entry in entries], np.bool_),
        silent=np.array([entry.silent for entry in entries], np.uint64),
        names=dict.fromkeys((places // message).tolist(), names) if names else {},
        commands=commands,
        judged=np.array([entry.judged for entry in entries], np.bool_),
    )
