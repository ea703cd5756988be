"""What the service tests share: settings and traffic. The oracles are those of the load tests."""

from functools import cache
from pathlib import Path

from detector.config import ROOT, Settings, convert
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, simulate
from loadtest.oracle import RECORDS as RECORDS
from loadtest.oracle import everything as everything
from loadtest.oracle import expected_decisions as expected_decisions
from loadtest.oracle import expected_outcomes as expected_outcomes
from loadtest.oracle import expected_rows as expected_rows
from loadtest.oracle import log_entries as log_entries
from loadtest.oracle import published_decisions as published_decisions
from loadtest.oracle import published_rows as published_rows
from loadtest.oracle import published_served as published_served
from loadtest.oracle import source_positions as source_positions


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
    return list(_traffic(records, seed))


@cache
def _traffic(records: int, seed: int) -> tuple[bytes, ...]:
    made = simulate(Scenario(numbers=max(1_500, records // 80), days=8, seed=seed))
    return tuple(encode(made.records[-records:]))
