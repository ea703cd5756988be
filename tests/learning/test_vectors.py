"""The table of vectors: what is written is read back bit for bit, and what is not such a table is refused."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError
from detector.features.catalogue import NAMES, feature_hash
from detector.learning import vectors
from detector.learning.vectors import (
    LABEL,
    PLACE,
    SPARKS,
    Heading,
    VectorTable,
    VectorWriter,
    day_of,
    feature_columns,
    heading_of,
    number_column,
    vectors_of,
)
from detector.records import NumberKind, U64s, pack_digits, pack_sender, parse_number
from detector.verdict.trees import Vectors
from tests.strategies import NUMBERS

HEADING = Heading(feature_hash=feature_hash(), home_utc_offset_minutes=60, moments="every:1")


def drawn(count: int, seed: int = 1) -> tuple[U64s, Vectors]:
    """Numbers, and vectors with every kind of value that a feature may have."""
    rng = np.random.default_rng(seed)
    values = rng.choice([np.nan, 0.0, -0.0, 1.0, 1 / 3, 2.0**53 + 1, 1e-300], (count, len(NAMES)))
    return rng.choice(np.array(NUMBERS, np.uint64), count), values


def columns(numbers: U64s, values: Vectors) -> list[pa.Array]:
    """What a writer takes, without labels."""
    count = len(numbers)
    return [
        number_column(numbers),
        pa.array(np.arange(count), pa.int64()),
        pa.array(["plain"] * count, pa.string()),
        pa.array(np.zeros(count, np.int32)),
        pa.array([None if i % 2 else i for i in range(count)], pa.int64()),
        *feature_columns(values),
    ]


def labels(count: int) -> list[pa.Array]:
    """The columns that a table with labels has besides."""
    return [
        pa.array([(None, 0, 1)[i % 3] for i in range(count)], pa.int8()),
        pa.array([None] * count, pa.string()),
        pa.array(["audit"] * count, pa.string()),
        pa.array([None] * count, pa.int64()),
        pa.array([None] * count, pa.int64()),
        pa.array(np.full(count, 0.5)),
    ]


def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    """NaN, minus zero and the smallest differences included; a number's text gives the number."""
    numbers, values = drawn(100)
    with VectorWriter(tmp_path / "v.parquet", HEADING, labelled=False) as writer:
        writer.write(columns(numbers, values))
    with VectorTable(tmp_path / "v.parquet") as table:
        (batch,) = table.batches()
        assert (len(table), table.labelled, table.heading) == (100, False, HEADING)
    assert vectors_of(batch).tobytes() == values.tobytes()
    assert [parse_number(text) for text in batch.column("number").to_pylist()] == numbers.tolist()
    assert batch.column("offset").to_pylist()[:3] == [0, None, 2]


def test_columns_stand_in_the_order_that_everybody_reads(tmp_path: Path) -> None:
    """Place, the catalogue's features, labels; features are never null."""
    numbers, values = drawn(3)
    path = tmp_path / "v.parquet"
    with VectorWriter(path, HEADING, labelled=True) as writer:
        writer.write([*columns(numbers, values), *labels(3)])
    assert pq.read_schema(path).names == [*PLACE, *NAMES, *LABEL]
    assert all(not pq.read_schema(path).field(name).nullable for name in NAMES)
    with VectorTable(path) as table:
        assert table.labelled
        assert table.group(0, ["label", "weight"]).to_pylist() == [
            {"label": None, "weight": 0.5},
            {"label": 0, "weight": 0.5},
            {"label": 1, "weight": 0.5},
        ]


@given(st.lists(st.integers(0, 70), max_size=6))
def test_row_groups_do_not_depend_on_how_the_vectors_came(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    """Equal vectors, equal bytes: groups are cut by count alone."""
    folder = tmp_path_factory.mktemp("cuts")
    numbers, values = drawn(70)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "ROW_GROUP", 32)
        for name, bounds in (("whole", [0, 70]), ("cut", [0, *sorted(cuts), 70])):
            whole = columns(numbers, values)
            with VectorWriter(folder / name, HEADING, labelled=False) as writer:
                for start, stop in pairwise(bounds):
                    writer.write([column.slice(start, stop - start) for column in whole])
            assert writer.written == 70
    with VectorTable(folder / "whole") as table:
        assert [len(batch) for batch in table.batches()] == [32, 32, 6]
        assert np.concatenate([vectors_of(batch) for batch in table.batches()]).tobytes() == values.tobytes()
    assert (folder / "cut").read_bytes() == (folder / "whole").read_bytes()


def test_of_a_large_table_a_row_group_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty row groups of half a megabyte that cannot be compressed: reading holds a few, whatever the table."""
    monkeypatch.setattr(vectors, "ROW_GROUP", 1_024)
    rng = np.random.default_rng(1)
    with VectorWriter(tmp_path / "v.parquet", HEADING, labelled=False) as writer:
        for _ in range(40):
            writer.write(columns(drawn(1_024)[0], rng.random((1_024, len(NAMES)))))
    before, most = pa.total_allocated_bytes(), 0
    with VectorTable(tmp_path / "v.parquet") as table:
        for batch in table.batches():
            assert len(batch) == 1_024
            most = max(most, pa.total_allocated_bytes() - before)
    assert 0 < most < 6 << 20


def test_a_table_without_vectors_is_a_table(tmp_path: Path) -> None:
    """Nobody was active: readers find the columns and nothing in them."""
    with VectorWriter(tmp_path / "v.parquet", HEADING, labelled=True):
        pass
    with VectorTable(tmp_path / "v.parquet") as table:
        assert (len(table), list(table.batches())) == (0, [])


def test_an_unfinished_table_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    """A run that fails half way must not pass for a table."""
    path = tmp_path / "v.parquet"
    path.write_bytes(b"of yesterday")

    def half() -> None:
        with VectorWriter(path, HEADING, labelled=False) as writer:
            writer.write(columns(*drawn(5)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert [file.name for file in tmp_path.iterdir()] == ["v.parquet"]
    assert path.read_bytes() == b"of yesterday"


def test_sender_ids_are_named_by_their_hash() -> None:
    """Spellings differ from record to record; the hash is the same, and gives the number back."""
    numbers = np.array([pack_sender("ACME", 3), pack_digits(NumberKind.E164, "999700000001")], np.uint64)
    texts = number_column(numbers).to_pylist()
    assert texts[0].startswith("sender:#")
    assert texts[0].endswith("@3")
    assert [parse_number(text) for text in texts] == numbers.tolist()


def test_a_day_is_the_homes_own() -> None:
    """
    UTC    ....23:00|00:00....
    +60    ....00:00|01:00....   the home's midnight lies an hour before UTC's
    """
    hour = 3_600_000
    moments = np.array([23 * hour - 1, 23 * hour, 24 * hour])
    assert day_of(moments, 60).tolist() == [0, 1, 1]
    assert day_of(moments, 0).tolist() == [0, 0, 1]
    assert day_of(moments, -60).tolist() == [0, 0, 0]


def test_what_is_no_table_of_ours_is_refused_by_name(tmp_path: Path) -> None:
    """Missing, not parquet, somebody else's, or of other features: each says so."""
    path = tmp_path / "v.parquet"
    with pytest.raises(ConfigError, match="wanted a readable parquet file"):
        VectorTable(path)
    path.write_text("number,label\n")
    with pytest.raises(ConfigError, match="wanted a readable parquet file"):
        VectorTable(path)
    pq.write_table(pa.table({"calls": [1.0]}), path)
    assert heading_of(path) is None
    with pytest.raises(ConfigError, match="wanted a table that `detector features` wrote"):
        VectorTable(path)
    other = Heading(feature_hash="0" * 64, home_utc_offset_minutes=0, moments="hour")
    with VectorWriter(path, other, labelled=False):
        pass
    assert heading_of(path) == other
    with pytest.raises(ConfigError, match=r"wanted features .* \(got 000000000000\)"):
        VectorTable(path)


def spark_writes(path: Path, count: int = 20, **replaced: pa.Array | None) -> Path:
    """Our table with labels as Spark writes it: every column nullable, the heading beside the number's. `replaced`:
    other columns in their place, or none."""
    given = [*columns(*drawn(count)), *labels(count)]
    table = dict(zip([*PLACE, *NAMES, *LABEL], given, strict=True)) | replaced
    said: dict[str, Any] = {"detector": msgspec.json.encode(HEADING).decode()}
    fields = [{"name": name, "metadata": said if name == "number" else {}} for name in table]
    whole = pa.table({name: column for name, column in table.items() if column is not None})
    pq.write_table(whole.replace_schema_metadata({SPARKS: json.dumps({"fields": fields}).encode()}), path)
    return path


def test_a_table_that_spark_wrote_is_read_as_ours(tmp_path: Path) -> None:
    """Its features may be null, or of nothing but nulls; what nothing was taken behind has floats for whole numbers."""
    count = 20
    path = spark_writes(
        tmp_path / "s.parquet",
        count,
        **{NAMES[0]: pa.nulls(count), NAMES[1]: pa.array([None, *range(1, count)], pa.int64())},
        type=pa.nulls(count),
        number=number_column(drawn(count)[0]).cast(pa.large_string()),
        source=pa.array(["plain"] * count).dictionary_encode(),
        offset=pa.array([None if i % 2 else float(i) for i in range(count)]),
    )
    assert heading_of(path) == HEADING
    with VectorTable(path) as table:
        (batch,) = table.batches()
        assert (table.heading, table.labelled, batch.schema.names) == (HEADING, True, [*PLACE, *NAMES, *LABEL])
        assert batch.schema.equals(vectors.schema(HEADING, labelled=True))
        assert table.group(0, ["weight", "offset"]).to_pydict() == {
            "weight": [0.5] * count,
            "offset": [None if i % 2 else i for i in range(count)],
        }
    found = vectors_of(batch)
    assert np.isnan(found[:, 0]).all()
    assert found[:, 1].tolist()[1:] == list(range(1, count))
    assert np.isnan(found[0, 1])
    assert found[:, 2:].tobytes() == drawn(count)[1][:, 2:].tobytes()
    assert [parse_number(text) for text in batch.column("number").to_pylist()] == drawn(count)[0].tolist()


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("number", pa.array([None, *["+1"] * 19]), r"number: wanted a value in each row \(got 1 empty\)"),
        ("event_ms", pa.nulls(20), r"event_ms: wanted a value in each row \(got 20 empty\)"),
        ("weight", pa.array([None, *[1.0] * 19]), r"weight: wanted a value in each row \(got 1 empty\)"),
        (NAMES[3], pa.array(["x"] * 20), rf"{NAMES[3]}: wanted double \(got string: .*'x'"),
        ("offset", pa.array([0.5] * 20), r"offset: wanted int64 \(got double: .*0\.5"),
        ("source", pa.array([[1]] * 20), r"source: wanted string \(got list<.*>"),
        (NAMES[4], None, rf"wanted the columns of a table of vectors \(without {NAMES[4]}\)"),
        ("extra", pa.nulls(20), r"wanted the columns of a table of vectors \(and no extra\)"),
    ],
)
def test_what_no_table_of_vectors_holds_is_named_with_its_column(
    tmp_path: Path, column: str, values: pa.Array | None, message: str
) -> None:
    """Also in what another program wrote."""
    replaced: dict[str, Any] = {column: values}
    path = spark_writes(tmp_path / "s.parquet", **replaced)

    def every() -> None:
        with VectorTable(path) as table:
            list(table.batches())

    with pytest.raises(ConfigError, match=rf"s\.parquet: {message}"):
        every()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before any work is done."""
    with pytest.raises(ConfigError, match="wanted a place to write to"):
        VectorWriter(tmp_path / "none" / "v.parquet", HEADING, labelled=False)
