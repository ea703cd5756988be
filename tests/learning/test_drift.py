"""Drift of a file: what the service counts live, counted from a table; and the command that tells it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from detector.cli import main
from detector.config import ROOT, Settings
from detector.features.catalogue import INDEX, NAMES
from detector.ingest.rows import Raw, open_source, pack_message, scatter
from detector.ingest.zones import ZoneTable
from detector.learning.drift import measure, reference_of, report
from detector.learning.vectors import KEY, SPARKS, Heading
from detector.pipeline import Detector, Entry
from detector.records import SCHEMA_ID, mix64
from detector.units import DAY_MS, HOUR_MS
from detector.verdict.decisions import Decision
from detector.verdict.drift import EVERY, ROW_BITS
from detector.verdict.judge import Judge, Moment
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy
from tests.service.harness import settings_for, traffic
from tests.verdict import models

SHIPPED = Path(ROOT, "models", "default")


def write_table(path: Path, vectors: np.ndarray, feature_hash: str = "", minutes: int = 0, **more: Any) -> Path:
    """A parquet of vectors as `detector features` writes its columns, with its heading where the hash is given."""
    columns = {"number": ["+1"] * len(vectors), **dict(zip(NAMES, vectors.T, strict=True)), **more}
    table = pa.table(columns)
    if feature_hash:
        heading = Heading(feature_hash=feature_hash, home_utc_offset_minutes=minutes, moments="every:1")
        table = table.replace_schema_metadata({KEY: msgspec.json.encode(heading)})
    pq.write_table(table, path)
    return path


class Recording(Judge):
    """A judge that keeps the moments it has judged."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.moments: list[Moment] = []

    def judge(self, moment: Moment, memory: Memory, live: Memory | None = None) -> list[Decision]:
        self.moments.append(moment)
        return super().judge(moment, memory, live)


def entries_of(settings: Settings, records: int) -> list[Entry]:
    """The log of one partition."""
    reader = open_source(settings, settings.sources[0])
    rows = reader.read(Raw(traffic(records), [0] * records, range(records), [0] * records)).rows
    mine = dict(scatter(rows, settings.topics.partitions))[0]
    headers = [("schema", SCHEMA_ID)]
    return [Entry(n, pack_message(mine[s : s + 97]), headers) for n, s in enumerate(range(0, len(mine), 97))]


def test_a_table_of_the_vectors_that_were_drawn_gives_what_the_service_counted(tmp_path: Path) -> None:
    """Live equals offline, count for count and index for index."""
    settings = settings_for(tmp_path)
    model = Model.load(SHIPPED)
    policy, zones = (
        Policy.load(settings.path(settings.verdict.policy)),
        ZoneTable.load(settings.path(settings.home.zones)),
    )
    judge = Recording(policy, model, zones, settings)
    detector = Detector(settings, judge, model)
    part = detector.fresh(0, Memory(), Memory())
    entries = entries_of(settings, 30_000)
    outcomes = [detector.process(part, entries[:50]), detector.process(part, entries[50:])]
    live = np.sum([outcome.drawn for outcome in outcomes if outcome.drawn is not None], axis=0)
    drawn = []
    for moment in judge.moments:
        at, vectors = moment.updated.scored, moment.updated.vectors
        u = (mix64((moment.offsets[at] << ROW_BITS) | moment.indices[at]) >> np.uint64(11)).astype(float) / 2**53
        events = vectors[:, INDEX["calls_out_24h"]] + vectors[:, INDEX["sms_out_24h"]]
        drawn.append(vectors[u * EVERY * np.maximum(events, 1) < 1])
    vectors = np.concatenate(drawn)
    assert len(vectors) > 100
    table = write_table(tmp_path / "drawn.parquet", vectors, model.manifest.feature_hash)
    offline = measure([table], model, model.drift)
    assert offline == report(live, model.names, model.drift, len(vectors))
    assert offline.vectors == len(vectors)


def test_frauds_are_left_out_and_weights_count(tmp_path: Path) -> None:
    """The reference is honest numbers; a number-day weighs 1 however many vectors it has."""
    vectors, fraud = models.samples(3_000)
    model = Model.load(SHIPPED)
    table = write_table(
        tmp_path / "a.parquet",
        np.vstack([vectors, vectors[:500]]),
        label=[*fraud.astype(int).tolist(), *([None] * 500)],
        weight=[*([0.5] * 500), *([1.0] * 2_500), *([0.5] * 500)],
    )
    honest = np.vstack([vectors[~fraud], vectors[:500]])
    weights = np.concatenate([np.where(np.arange(3_000) < 500, 0.5, 1.0)[~fraud], np.full(500, 0.5)])
    wanted = report(model.drift.counts(honest, model.margins(honest), weights), model.names, model.drift, len(honest))
    assert measure([table], model, model.drift) == wanted


def test_a_table_without_weights_is_counted_by_number_days(tmp_path: Path) -> None:
    """Labels are joined weeks later, drift is looked at every week: one honest table with them and without, one index.

    Ten loud numbers have half of the vectors. Across the batches of a file, and by the home's day.
    """
    vectors, fraud = models.samples(40_000)
    vectors, day_ms = vectors[~fraud], 86_400_000
    count, midnight = len(vectors), 20_000 * day_ms - 120 * 60_000
    loud = np.arange(count) % 2 == 0
    vectors[loud, models.FAN_OUT] += 50
    numbers = [f"+{i % 20 if loud[i] else i}" for i in range(count)]
    event_ms = [midnight - 1 + i % 2 * day_ms // 2 + i % 3 for i in range(count)]
    keys = list(zip(numbers, [(ms - midnight) // day_ms for ms in event_ms], strict=True))
    many = Counter(keys)
    model = Model.load(SHIPPED)
    common: dict[str, Any] = {"number": numbers, "event_ms": event_ms}
    unlabelled = write_table(tmp_path / "a.parquet", vectors, model.manifest.feature_hash, 120, **common)
    weights = [1 / many[key] for key in keys]
    labelled = write_table(
        *(tmp_path / "b.parquet", vectors, model.manifest.feature_hash, 120),
        **common,
        label=[0] * count,
        weight=weights,
    )
    wanted = measure([labelled], model, model.drift)
    assert measure([unlabelled], model, model.drift) == wanted
    assert measure([write_table(tmp_path / "c.parquet", vectors)], model, model.drift) != wanted
    one, other = (reference_of([table], model) for table in (unlabelled, labelled))
    np.testing.assert_array_equal(one.edges, other.edges)
    np.testing.assert_array_equal(one.shares, other.shares)


def test_a_table_that_others_wrote_is_counted_as_ours(tmp_path: Path) -> None:
    """Words for labels, features of nulls alone or of decimals, Spark's heading: a day begins where the home's does."""
    vectors, fraud = models.samples(3_000)
    vectors[:, INDEX["risk_calls_24h"]] = np.nan
    vectors[:, INDEX["calls_out_24h"]] = np.arange(3_000) % 7
    model = Model.load(SHIPPED)
    event_ms = [20_000 * DAY_MS - (i % 2 * (i < 900)) * HOUR_MS for i in range(3_000)]
    common: dict[str, Any] = {"number": [f"+{i // 2}" for i in range(3_000)], "event_ms": event_ms}
    made_by = model.manifest.feature_hash
    ours = write_table(tmp_path / "a.parquet", vectors, made_by, 120, **common, label=fraud.astype(int))
    written = pq.read_table(ours)
    decimals = pc.cast(written["calls_out_24h"], pa.decimal128(12, 4))
    for name, column in (
        ("calls_out_24h", decimals),
        ("risk_calls_24h", pa.nulls(3_000)),
        ("label", pa.array(["fraud" if bad else None if i % 3 else "honest" for i, bad in enumerate(fraud)])),
        ("number", written["number"].dictionary_encode()),
        ("event_ms", pc.cast(written["event_ms"], pa.timestamp("ms"))),
    ):
        written = written.set_column(written.column_names.index(name), name, column)
    said = {"detector": written.schema.metadata[KEY].decode()}
    fields = [{"name": name, "metadata": said if name == "number" else {}} for name in written.column_names]
    theirs = tmp_path / "b.parquet"
    pq.write_table(written.replace_schema_metadata({SPARKS: json.dumps({"fields": fields}).encode()}), theirs)
    assert measure([theirs], model, model.drift) == measure([ours], model, model.drift)
    pq.write_table(written.replace_schema_metadata(None), theirs)
    assert measure([theirs], model, model.drift) != measure([ours], model, model.drift), "by UTC's days"


def test_the_command_tells_what_moved_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against another table: nothing but the feature that was changed, and the score that follows it."""
    models.save(tmp_path / "bundle", models.fitted())
    before, _ = models.samples(4_000, seed=1)
    after, _ = models.samples(4_000, seed=2)
    after[:, models.FAN_OUT] *= 3
    tables = write_table(tmp_path / "before.parquet", before), write_table(tmp_path / "after.parquet", after)
    command = ["drift", "--vectors", str(tables[1]), "--bundle", str(tmp_path / "bundle")]
    assert main([*command, "--against", str(tables[0])]) == 0
    lines = capsys.readouterr().out.splitlines()
    moved = {line.split()[0] for line in lines[:-1] if " act " in line}
    assert moved == {"distinct_out_24h", "score"}
    assert lines[1].split()[0] in moved
    assert (
        lines[-1]
        == "4,000 vectors: 2 to act on (from 0.25), 0 to watch (from 0.1), 59 steady, 0 that cannot be compared"
    )
    assert main([*command, "--json"]) == 0
    told = {each["feature"]: each for each in json.loads(capsys.readouterr().out)["features"]}
    assert told["distinct_out_24h"]["what"] == "act"
    assert told["distinct_out_24h"]["moved"] > 1
    assert told["score"]["what"] == "unknown", "a bundle without histograms knows nothing of its score"


def test_few_vectors_are_called_chance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An index of fifty vectors says nothing."""
    table = write_table(tmp_path / "few.parquet", models.samples(50)[0])
    assert main(["drift", "--vectors", str(table), "--bundle", str(SHIPPED)]) == 0
    assert "fewer than 1,000 vectors: an index of 0.2 is chance" in capsys.readouterr().out


def test_a_table_that_does_not_fit_the_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A feature that is not there, another formula, no parquet at all: each by its file."""
    other = write_table(tmp_path / "other.parquet", models.samples(5)[0], "ab" * 32)
    lacking = tmp_path / "lacking.parquet"
    pq.write_table(pq.read_table(other).drop_columns(["sms_in_7d"]), lacking)
    noise = tmp_path / "noise.parquet"
    noise.write_bytes(b"no parquet")
    text = tmp_path / "text.parquet"
    whole = pq.read_table(other).replace_schema_metadata(None)
    pq.write_table(whole.set_column(whole.column_names.index("sms_in_7d"), "sms_in_7d", pa.array(["x"] * 5)), text)
    for path, message in (
        (other, "feature_hash: wanted that of simulated-"),
        (lacking, "(got a table without sms_in_7d)"),
        (noise, "wanted a readable parquet file"),
        (text, "sms_in_7d: wanted numbers (got string)"),
    ):
        assert main(["drift", "--vectors", str(path), "--bundle", str(SHIPPED)]) == 2
        assert f"{path}: " in (said := capsys.readouterr().err)
        assert message in said
