"""Files of records -> lines to read: what a mapping makes of them, before any stream is connected.

Given the files of several elements, the account at the end shows each call and message with
what was counted on either side: one known call must come out as one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from detector.config import Settings, Source
from detector.errors import ConfigError
from detector.ingest.facts import UNDECLARED
from detector.ingest.rows import Ingested, Raw, open_source
from detector.ingest.zones import zone_class, zone_country
from detector.records import UNKNOWN_DURATION, Flag, Kind, Role, Rows, number_text

Party = tuple[int, int, int]
"""Originator, recipient and kind: what ties the records of one call or message together."""


@dataclass(slots=True)
class Tally:
    """What was counted on one side of a call or message."""

    phases: Counter[str] = field(default_factory=Counter)
    talk_s: int = 0
    repeated: int = 0

    def add(self, row: Rows) -> None:
        flags = Flag(int(row["flags"]))
        for flag in (Flag.BEGAN, Flag.ANSWERED, Flag.ENDED):
            if flag in flags:
                self.phases[(flag.name or "").lower()] += 1
        if row["duration_s"] != UNKNOWN_DURATION:
            self.talk_s += int(row["duration_s"])


def check_source(settings: Settings, name: str, files: Sequence[str]) -> Iterator[str]:
    """Each record of `files` mapped, or why it was rejected, and then the account.

    `files` are paths, read as records of source `name`; `other=path` reads one as another
    source's. A file is split as an agent would publish it: one message a line, or one JSON
    document. Records are never `future`, for a file has no time of publication.
    Raises `ConfigError` for a source or file that does not exist.
    """
    by_name = {source.name: source for source in settings.sources}
    seen: set[tuple[int, int, int]] = set()
    tallies: dict[Party, tuple[Tally, Tally]] = {}
    names: dict[int, str] = {}
    for entry in files:
        source, path = _source_and_path(by_name, name, entry)
        yield f"{path} ({source.name}, {source.mapping})"
        ingested, count, undeclared = _read(settings, source, path)
        names |= ingested.names
        yield from _records(ingested, count, undeclared)
        for row in ingested.rows:
            _count(row, seen, tallies)
    yield from _account(tallies, names)


def _source_and_path(by_name: dict[str, Source], name: str, entry: str) -> tuple[Source, Path]:
    before, equals, after = entry.partition("=")
    if equals and before in by_name:
        name, entry = before, after
    if name not in by_name:
        raise ConfigError(f"sources: wanted one of {', '.join(sorted(by_name))} (got {name!r})")
    return by_name[name], Path(entry)


def _read(settings: Settings, source: Source, path: Path) -> tuple[Ingested, int, dict[int, str]]:
    """What the file's records give, how many messages it holds, and names of trunk groups that are not declared."""
    timeless = msgspec.structs.replace(source, max_future_s=None)
    reader = open_source(settings, timeless)
    try:
        messages = reader.decoder.split(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: wanted a readable file (got {error.strerror or error})") from error
    count = len(messages)
    return reader.read(Raw(messages, [0] * count, range(count), [0] * count)), count, reader.undeclared


def _records(ingested: Ingested, count: int, undeclared: dict[int, str]) -> Iterator[str]:
    """The rows and rejections of each message, in order; then trunk groups that nobody declared, by their names."""
    rejected: dict[int, list[str]] = {}
    for record in ingested.rejected:
        rejected.setdefault(record.index, []).append(f"rejected {record.rejected.reason}: {record.rejected.detail}")
    rows: dict[int, list[str]] = {}
    for row in ingested.rows:
        rows.setdefault(int(row["offset"]), []).append(describe_row(row, ingested.names))
    for i in range(count):
        for line in rows.get(i, []) + rejected.get(i, []) or ["skipped"]:
            yield f"  {i + 1}: {line}"
    skipped = ", ".join(f"{why} {many}" for why, many in sorted(ingested.skipped.items())) or "none"
    yield (
        f"  {ingested.records} records: {len(ingested.rows)} rows, "
        f"{len(ingested.rejected)} rejected, skipped: {skipped}"
    )
    trunks = np.unique(ingested.rows["trunk"])
    if strange := trunks[trunks >= UNDECLARED].tolist():
        called = ", ".join(f"{undeclared[trunk]} ({trunk})" for trunk in strange)
        yield (
            f"  NOT DECLARED in the source's trunks: {called}. "
            "What arrives there counts as traffic of our own network, never as unattested."
        )


def describe_row(row: Rows, names: dict[int, str]) -> str:
    """One row in words."""
    number, other = int(row["number"]), int(row["other"])
    role = Role(int(row["role"]))
    moment = datetime.fromtimestamp(int(row["event_ms"]) / 1000, UTC).isoformat(timespec="milliseconds")
    parts = [
        Kind(int(row["kind"])).name.lower(),
        role.name,
        number_text(number, names.get(number)),
        ("to " if role is Role.FROM else "from ") + (number_text(other, names.get(other)) or "withheld"),
        moment.replace("+00:00", "Z"),
        "+".join(flag.name or "" for flag in Flag(int(row["flags"]))) or "-",
        "talk unknown" if row["duration_s"] == UNKNOWN_DURATION else f"talk {row['duration_s']} s",
    ]
    zone = int(row["zone"])
    if zone:
        parts.append(f"zone {zone_country(zone)} {zone_class(zone).name.lower()}")
    if row["cause"]:
        parts.append(f"cause {row['cause']}")
    if row["trunk"]:
        parts.append(f"trunk {row['trunk']}")
    return "  ".join(parts)


def _count(row: Rows, seen: set[tuple[int, int, int]], tallies: dict[Party, tuple[Tally, Tally]]) -> None:
    """Add one row as the features will: a row whose record was seen for this side changes nothing."""
    number, other, role = int(row["number"]), int(row["other"]), int(row["role"])
    pair = (number, other) if role == Role.FROM else (other, number)
    tally = tallies.setdefault((*pair, int(row["kind"])), (Tally(), Tally()))[role]
    identity = (number, role, int(row["record_id"]))
    if identity in seen:
        tally.repeated += 1
        return
    seen.add(identity)
    tally.add(row)


def _account(tallies: dict[Party, tuple[Tally, Tally]], names: dict[int, str]) -> Iterator[str]:
    yield "counted, by originator and recipient:"
    for (originator, recipient, kind), sides in tallies.items():
        pair = f"{number_text(originator, names.get(originator)) or 'withheld'} -> "
        pair += number_text(recipient, names.get(recipient))
        yield f"  {Kind(kind).name.lower()} {pair}"
        for role, tally in zip(Role, sides, strict=True):
            counts = ", ".join(f"{phase} {many}" for phase, many in tally.phases.items()) or "nothing"
            talk = f", talk {tally.talk_s} s" if kind == Kind.CALL and tally.phases else ""
            again = f"; {tally.repeated} repeated, not counted" if tally.repeated else ""
            yield f"    {role.name}: {counts}{talk}{again}"
