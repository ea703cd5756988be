"""Tables of vectors with labels, drawn from a seed and written as files: a carrier's own, and ours with a time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detector.features.catalogue import INDEX, NAMES, feature_hash
from detector.units import DAY_MS

START_MS = 20_000 * DAY_MS


def carrier(rows: int = 600, seed: int = 5, apart: float = 1.5) -> dict[str, list[Any]]:
    """One row a number: three features that tell, two that do not, a fifth of one missing, three tenths fraud."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(rows) < 0.3
    columns: dict[str, list[Any]] = {"msisdn": [f"+4479{i:08}" for i in rng.permutation(rows)]}
    for name, way in (
        ("strangers", apart),
        ("repeats", -apart),
        ("night", apart / 3),
        ("noise_a", 0.0),
        ("noise_b", 0.0),
    ):
        columns[name] = (rng.normal(size=rows) + way * fraud).tolist()
    columns["repeats"] = [None if rng.random() < 0.2 else value for value in columns["repeats"]]
    columns["tariff"] = [("prepaid", "contract")[int(value)] for value in rng.random(rows) < 0.5]
    columns["is_fraud"] = fraud.astype(int).tolist()
    return columns


def ours(numbers: int = 400, days: int = 10, seed: int = 6, vectors: int = 2) -> pa.Table:
    """As `detector features` writes it: several vectors of each number-day, fraud that begins on any day."""
    rng = np.random.default_rng(seed)
    kinds = ("smishing", "simbox")
    rows: dict[str, list[Any]] = {name: [] for name in ("number", "event_ms", "label", "type")}
    features = []
    begun = np.where(rng.random(numbers) < 0.3, rng.integers(0, days, numbers), days)
    for day in range(days):
        for i in range(numbers):
            for k in range(vectors):
                fraud = day >= begun[i]
                vector = rng.gamma(1.0, 5.0, len(NAMES))
                vector[INDEX["distinct_out_24h"]] += 12 * fraud
                vector[INDEX["sms_in_7d"]] /= 1 + 2 * fraud
                vector[INDEX["distinct_out_7d"]] = 10 + (vectors * (day - begun[i]) + k + 1) * 3 * fraud
                vector[INDEX["open_calls_24h"]] = np.nan
                features.append(vector)
                rows["number"].append(f"+4420{i:07}")
                rows["event_ms"].append(START_MS + day * DAY_MS + k * 3_600_000 + i)
                rows["label"].append(int(fraud))
                rows["type"].append(kinds[i % 2] if fraud else None)
    count = len(features)
    columns: dict[str, Any] = {
        "number": rows["number"],
        "event_ms": pa.array(rows["event_ms"], pa.int64()),
        "source": ["switch"] * count,
        "partition": pa.array([0] * count, pa.int32()),
        "offset": pa.array(range(count), pa.int64()),
        **dict(zip(NAMES, np.array(features).T, strict=True)),
        "label": pa.array(rows["label"], pa.int8()),
        "type": rows["type"],
        "label_source": ["analyst"] * count,
        "known_at_ms": pa.array(rows["event_ms"], pa.int64()),
        "weight": [1 / vectors] * count,
    }
    heading = {"format": "vectors-1", "moments": "every:1", "home_utc_offset_minutes": 0, "activity_floor": 2}
    return headed(pa.table(columns), **heading, feature_hash=feature_hash())


def headed(table: pa.Table, **heading: object) -> pa.Table:
    """With another heading."""
    return table.replace_schema_metadata({b"detector": json.dumps(heading).encode()})


def write(path: Path, columns: "dict[str, list[Any]] | pa.Table") -> Path:
    """The file, as its ending says; returns it."""
    table = pa.table(columns) if isinstance(columns, dict) else columns
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        names = table.column_names
        rows = [[("" if value is None else str(value)) for value in row.values()] for row in table.to_pylist()]
        path.write_text("\n".join(",".join(row) for row in [names, *rows]) + "\n")
    return path
