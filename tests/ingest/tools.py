"""What the tests of ingest share: settings of a small network, readers, and records as switches write them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.config import ROOT, Home, Settings, Source, Trunk
from detector.errors import Reason
from detector.ingest.rows import Ingested, Raw, SourceReader, open_source
from detector.records import Flag, Kind, Role, Rows, number_text

FIXTURES = Path(__file__).parent / "fixtures"
SAMPLES = ROOT.parent / "shared" / "samples"
COPENHAGEN = ROOT.parent / "shared" / "real" / "copenhagen_sms.csv"
MAPPINGS = [*sorted((ROOT / "configs" / "sources").glob("*.yaml")), *sorted(FIXTURES.glob("*.yaml"))]
"""Every mapping of the project, found by itself."""

NOON_MS = 1_793_620_800_000
"""2026-11-02 12:00 UTC."""

TRUNKS = {
    "transit": Trunk(id=1, international=True, interconnect=True),
    "rival": Trunk(id=2, interconnect=True),
    "london": Trunk(id=3, region="GB"),
    "bank": Trunk(id=4),
}


def settings_of(*names: str, home: Mapping[str, Any] | None = None, **source: Any) -> Settings:
    """Settings with one source for each mapping of `configs/sources` that is named (or for all)."""
    paths = [path for path in MAPPINGS if not names or path.stem in names]
    options = {"max_future_s": None, "trunks": TRUNKS, "utc_offset_minutes": 0} | source
    return Settings(
        home=Home(**{"country_code": "999", "zones": "configs/zones.csv"} | dict(home or {})),
        sources=tuple(
            Source(name=path.stem, id=i, topic=path.stem, mapping=str(path), **options)
            for i, path in enumerate(paths, start=1)
        ),
        base=str(ROOT),
    )


def reader_of(name: str, home: Mapping[str, Any] | None = None, **source: Any) -> SourceReader:
    """A reader of `configs/sources/<name>.yaml`."""
    settings = settings_of(name, home=home, **source)
    return open_source(settings, settings.sources[0])


def raw_of(values: Sequence[bytes | None], published_ms: int = NOON_MS, first: int = 0) -> Raw:
    """Messages of partition 3, offsets counting from `first`."""
    count = len(values)
    return Raw(values, [3] * count, range(first, first + count), [published_ms] * count)


def read(name: str, *records: Any, **options: Any) -> Ingested:
    """What the mapping makes of the records; a record that is not bytes is written as JSON."""
    values = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    return reader_of(name, **options).read(raw_of(values))


def call(**fields: Any) -> dict[str, Any]:
    """An answered call of a minute in the plain form; `None` leaves a field out."""
    record = {
        "id": "c-1",
        "type": "call",
        "from": "+999700000001",
        "to": "+999200000002",
        "start": NOON_MS - 70_000,
        "answer": NOON_MS - 60_000,
        "end": NOON_MS,
        "outcome": "answered",
    } | {key.rstrip("_"): value for key, value in fields.items()}
    return {key: value for key, value in record.items() if value is not None}


def sms(**fields: Any) -> dict[str, Any]:
    """A message in the plain form."""
    record = {"id": "m-1", "type": "sms", "from": "+999700000001", "to": "+999700000002", "time": NOON_MS}
    return record | {key.rstrip("_"): value for key, value in fields.items()}


def reasons(ingested: Ingested) -> list[Reason]:
    """Why records were rejected, in order."""
    return [record.rejected.reason for record in ingested.rejected]


def told(rows: Rows, names: Mapping[int, str] | None = None) -> list[tuple[str, str, str, str, str, int]]:
    """Rows as (kind, role, number, other, flags, talk seconds), to be read in a test."""
    names = names or {}
    return [
        (
            Kind(int(row["kind"])).name,
            Role(int(row["role"])).name,
            number_text(int(row["number"]), names.get(int(row["number"]))),
            number_text(int(row["other"]), names.get(int(row["other"]))),
            " ".join(flag.name or "" for flag in Flag(int(row["flags"]))),
            int(row["duration_s"]),
        )
        for row in rows
    ]


def flags_of(ingested: Ingested, role: Role = Role.FROM) -> Flag:
    """The flags of the one row of a role."""
    (flags,) = ingested.rows["flags"][ingested.rows["role"] == role].tolist()
    return Flag(flags)
