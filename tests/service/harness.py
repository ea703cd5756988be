"""What the service tests share: settings, traffic, and single-pass oracles.

Two oracles say what a run must have come to. The sources give the multiset of rows; the
internal log, as it stands, gives the decisions. Neither knows of processes or transactions.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from detector.broker import Broker, TopicPartition
from detector.config import ROOT, Settings, convert
from detector.ingest.rows import Raw, open_source, unpack_message
from detector.ingest.zones import ZoneTable
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, simulate
from detector.pipeline import Detector, Entry
from detector.records import Rows
from detector.verdict.judge import Judge
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy

RECORDS = "records"


def settings_tree(tmp_path: Path, **kafka: str) -> dict[str, object]:
    """Settings of a small deployment in `tmp_path` that decides everything it may."""
    return {
        "home": {"country_code": "999", "zones": str(ROOT / "configs" / "zones.csv")},
        "instance": "test",
        "kafka": kafka,
        "topics": {"partitions": 4},
        "sources": [
            {
                "name": RECORDS,
                "id": 1,
                "topic": RECORDS,
                "mapping": str(ROOT / "configs" / "sources" / "plain.yaml"),
                "max_future_s": None,
                "trunks": {"intl-1": {"id": 1, "international": True, "interconnect": True}},
            }
        ],
        "ingest": {"batch_records": 5_000, "rows_per_message": 256, "wait_ms": 5},
        "detect": {"snapshots": str(tmp_path / "snapshots"), "snapshot_every_s": 1, "batch_messages": 20, "wait_ms": 5},
        "model": {"bundle": str(ROOT / "models" / "default"), "accept_simulated": True},
        "verdict": {
            "mode": "enforce",
            "policy": str(ROOT / "configs" / "policy.yaml"),
            "assume_warm": True,
            "redress": {"url": "https://redress.example"},
        },
        "admin": {"port": 0},
    }


def settings_for(tmp_path: Path, **kafka: str) -> Settings:
    """The same, as settings."""
    return convert(settings_tree(tmp_path, **kafka) | {"base": str(tmp_path)}, Settings, "test settings")


def traffic(records: int, seed: int = 11) -> list[bytes]:
    """The last `records` records of a simulated week with campaigns in it, in our plain form."""
    made = simulate(Scenario(numbers=max(1_500, records // 80), days=8, seed=seed))
    return encode(made.records[-records:])


def everything(broker: Broker, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    """(partition, key, value) of all committed messages of `topic`."""
    found = []
    for partition in range(broker.partitions()[topic]):
        at = TopicPartition(topic, partition)
        low, high = broker.watermarks(at)
        found += [(partition, message.key(), message.value()) for message in broker.read(at, low, high)]
    return found


def published_rows(broker: Broker, settings: Settings) -> Counter[bytes]:
    """The multiset of rows on the internal topic."""
    rows: Counter[bytes] = Counter()
    for partition in range(settings.topics.partitions):
        for entry in log_entries(broker, settings, partition):
            unpacked = unpack_message(entry.value, entry.headers)
            assert isinstance(unpacked, np.ndarray)
            rows.update(_each(unpacked))
    return rows


def expected_rows(settings: Settings, positions: Iterable[tuple[int, int, int, bytes]]) -> Counter[bytes]:
    """The multiset of rows that (partition, offset, timestamp, value) of the source must give."""
    partitions, offsets, timestamps, values = zip(*positions, strict=True)
    reader = open_source(settings, settings.sources[0])
    return Counter(_each(reader.read(Raw(values, partitions, offsets, timestamps)).rows))


def source_positions(broker: Broker) -> list[tuple[int, int, int, bytes]]:
    """What stands in the source topic."""
    found = []
    for partition in range(broker.partitions()[RECORDS]):
        at = TopicPartition(RECORDS, partition)
        low, high = broker.watermarks(at)
        found += [(partition, m.offset(), m.timestamp()[1], m.value() or b"") for m in broker.read(at, low, high)]
    return found


def log_entries(broker: Broker, settings: Settings, partition: int) -> list[Entry]:
    """The internal log of `partition`."""
    at = TopicPartition(settings.topics.events, partition)
    low, high = broker.watermarks(at)
    return [Entry(m.offset(), m.value(), m.headers() or []) for m in broker.read(at, low, high)]


def detector_for(settings: Settings) -> Detector:
    """The core, as the detect role builds it."""
    model = Model.load(settings.path(settings.model.bundle))
    policy = Policy.load(settings.path(settings.verdict.policy))
    return Detector(settings, Judge(policy, model, ZoneTable.load(settings.path(settings.home.zones)), settings), model)


def expected_decisions(broker: Broker, settings: Settings) -> Counter[tuple[int, bytes, bytes]]:
    """The multiset of (partition, key, value) that one undisturbed pass over the internal log decides."""
    detector = detector_for(settings)
    decided: Counter[tuple[int, bytes, bytes]] = Counter()
    for partition in range(settings.topics.partitions):
        part = detector.fresh(partition, Memory.rebuild([]), Memory.rebuild([]))
        outcome = detector.process(part, log_entries(broker, settings, partition))
        decided.update((partition, d.key().encode(), d.to_json()) for d in outcome.decisions)
    return decided


def published_decisions(broker: Broker, settings: Settings) -> Counter[tuple[int, bytes, bytes]]:
    """The multiset of (partition, key, value) in the decisions' history."""
    return Counter((q, key or b"", value or b"") for q, key, value in everything(broker, settings.topics.history))


def _each(rows: Rows) -> Sequence[bytes]:
    raw = rows.tobytes()
    size = rows.dtype.itemsize
    return [raw[start : start + size] for start in range(0, len(raw), size)]
