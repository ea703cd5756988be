"""The Spark job gives the bytes of one process: vectors, labels, weights and their order."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detector.features.catalogue import feature_hash
from detector.learning.encode import encode
from detector.learning.features import Tally, from_files
from detector.learning.known import Known
from detector.learning.labelfile import NumberLabel
from detector.learning.labelling import write_vectors
from detector.learning.moments import Plan
from detector.learning.reports import reported
from detector.learning.simulate import Scenario, simulate
from detector.learning.tablefiles import read_table
from detector.learning.vectors import LABEL, PLACE, Heading, VectorTable, vectors_of
from detector.records import parse_number
from detector.units import DAY_MS
from tests.learning import labelled
from tests.learning.settings import learning_settings

pytest.importorskip("pyspark", reason="the Spark job needs pyspark: pip install '.[spark]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """Spark in this process, with two threads and workers of this very Python."""
    from pyspark.sql import SparkSession

    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    builder = SparkSession.builder.master("local[2]").appName("detector-tests")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "3",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "700",
        "spark.sql.session.timeZone": "UTC",
    }.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def world() -> tuple[list[bytes], list[NumberLabel]]:
    """Two days of a small network, and what becomes known of them."""
    made = simulate(Scenario(numbers=150, days=2, seed=5))
    return encode(made.records), reported(made.labels, 5)


def callers(records: list[bytes]) -> list[int]:
    """Whoever began something, each once."""
    texts = {json.loads(record).get("from") for record in records}
    return sorted(parse_number(text) for text in texts if isinstance(text, str) and text.startswith("+"))


@pytest.mark.parametrize("kind", ["every:4", "day:2", "hour", "label"])
def test_a_cluster_gives_the_bytes_of_one_process(
    session: Any, world: tuple[list[bytes], list[NumberLabel]], tmp_path: Path, kind: str
) -> None:
    """Though the records lie there in any order, and one is broken."""
    from detector.learning.spark import rows_of, vectors_of_rows

    records, labels = world
    records = [*records[:50], b"{", *records[50:]]
    settings = learning_settings()
    source = settings.sources[0]
    known_by_ms = max(label.active_from_ms for label in labels) + 3 * DAY_MS
    begins_ms = min(label.active_from_ms for label in labels)
    blocked = {number: [(begins_ms, begins_ms + DAY_MS // 2)] for number in callers(world[0])[::3]}
    known = Known(labels, known_by_ms, 2 * DAY_MS, blocked)
    heading = Heading(feature_hash=feature_hash(), home_utc_offset_minutes=0, moments=kind)
    (tmp_path / "r.jsonl").write_bytes(b"".join(record + b"\n" for record in records))

    def plan() -> Plan:
        return Plan(kind, settings.topics.partitions, known.moments())

    taken = from_files(settings, source, [tmp_path / "r.jsonl"], plan().of, 3, Tally())
    write_vectors(tmp_path / "v.parquet", heading, taken, {source.id: source.name}, known)
    with VectorTable(tmp_path / "v.parquet") as table:
        (wanted,) = pa.Table.from_batches(list(table.batches())).combine_chunks().to_batches()

    anyhow = np.random.default_rng(1).permutation(len(records))
    messages = session.createDataFrame([(int(i), bytearray(records[i])) for i in anyhow], "position long, value binary")
    found = vectors_of_rows(rows_of(messages, settings, source), settings, plan().of, 3, known, kind=kind)
    said = json.loads(found.schema["number"].metadata["detector"])
    assert (said["moments"], said["activity_floor"], said["feature_hash"]) == (kind, 3, feature_hash())
    (batch,) = found.toArrow().combine_chunks().to_batches()
    assert batch.schema.names == wanted.schema.names
    assert len(batch) == len(wanted) > 10
    for name in (*PLACE, *LABEL.keys() - {"weight"}):
        assert batch.column(name).cast(wanted.column(name).type).equals(wanted.column(name)), name
    assert vectors_of(batch).tobytes() == vectors_of(wanted).tobytes()
    assert batch.column("weight").equals(wanted.column("weight").cast(pa.float64()))


def test_what_spark_writes_is_fitted_on_by_the_homes_days(session: Any, tmp_path: Path) -> None:
    """
    UTC      day 0 23:00 | day 1 01:00        one day of a home two hours ahead

    Each of several files says so.
    """
    from detector.learning.spark import headed

    at = [labelled.START_MS + hour * 3_600_000 for hour in (23, 25, 23, 25)]
    rows = [(f"+4420{i // 2}", ms, i // 2, 1.5) for i, ms in enumerate(at)]
    vectors = session.createDataFrame(rows, "number string, event_ms long, label int, x double")
    heading = Heading(feature_hash=feature_hash(), home_utc_offset_minutes=120, moments="hour", activity_floor=3)
    headed(vectors.repartition(2), heading).write.parquet(str(tmp_path / "vectors"))
    table = read_table(sorted((tmp_path / "vectors").glob("*.parquet")))
    assert len(table) == 4
    assert np.unique(table.day).tolist() == [labelled.START_MS // DAY_MS + 1]
    assert (table.moments, table.floor) == ("hour", 3)
