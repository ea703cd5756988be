"""Columns of tables as Spark, pandas, polars, duckdb and databases write them: what is meant is read, or the error says
what stands there."""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detector.errors import ConfigError
from detector.learning.table import UNSAID, Table
from detector.learning.tablefiles import read_table
from tests.learning import labelled

ROWS = 80
CARRIER = {"label": "is_fraud", "number": "msisdn"}
FRAUD = [bool(value) for value in labelled.carrier(ROWS)["is_fraud"]]
WHOLE: list[int | None] = [None if i % 7 == 0 else i % 5 for i in range(ROWS)]
DECIMALS = [None if value is None else Decimal(value) for value in WHOLE]


def read(path: Path, roles: dict[str, str | None] | None = None, **columns: Any) -> Table:
    """The carrier's table with some columns put in or replaced, by way of parquet."""
    table = pa.table({**labelled.carrier(ROWS), **columns})
    return read_table([labelled.write(path / "t.parquet", table)], {**CARRIER, **(roles or {})})


def views(values: list[Any], kind: pa.DataType) -> pa.Array:
    """As a dictionary of `kind`."""
    return pa.array(values, kind).dictionary_encode()


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array(WHOLE, pa.int64()), id="pandas Int64"),
        pytest.param(pa.array(WHOLE, pa.uint8()), id="polars UInt8"),
        pytest.param(pa.array(WHOLE, pa.float32()), id="float"),
        pytest.param(pa.array([math.nan if v is None else v for v in WHOLE], pa.float64()), id="NaN for null"),
        pytest.param(pa.array(DECIMALS, pa.decimal128(38, 10)), id="Spark decimal(38, 10)"),
        pytest.param(pa.array(DECIMALS, pa.decimal256(50, 2)), id="decimal256"),
        pytest.param(views(WHOLE, pa.int64()), id="pandas category of numbers"),
    ],
)
def test_a_null_of_any_kind_of_number_is_not_known(tmp_path: Path, column: pa.Array) -> None:
    """The values are those of a plain column of floats, whatever wrote it."""
    found = read(tmp_path, calls=column)
    wanted = np.array([math.nan if value is None else value for value in WHOLE])
    assert found.column("calls").tobytes() == wanted.tobytes()


def test_a_null_of_a_flag_is_not_known(tmp_path: Path) -> None:
    """pandas' boolean, Spark's nullable one."""
    flags = [None if value is None else value > 2 for value in WHOLE]
    found = read(tmp_path, roaming=pa.array(flags)).column("roaming")
    assert [None if math.isnan(value) else bool(value) for value in found] == flags


@pytest.mark.parametrize("kind", [pa.null(), pa.float64(), pa.int32()])
def test_a_column_of_nulls_alone_is_a_feature_that_is_never_known(tmp_path: Path, kind: pa.DataType) -> None:
    """pandas and polars write it without a type, Spark with one: the features are the same, and it is said."""
    found = read(tmp_path, devices=pa.nulls(ROWS, kind))
    assert found.features == ("strangers", "repeats", "night", "noise_a", "noise_b", "devices")
    assert np.isnan(found.column("devices")).all()
    assert "Known in no row: devices." in found.notes


def test_a_column_that_one_file_knows_nothing_of_is_that_of_the_others(tmp_path: Path) -> None:
    """A day without any is written without a type."""
    files = [
        labelled.write(tmp_path / f"{i}.parquet", pa.table({**labelled.carrier(ROWS, i), "devices": column}))
        for i, column in enumerate((pa.nulls(ROWS), pa.array(WHOLE, pa.int32())))
    ]
    found = read_table(files, CARRIER)
    assert np.isnan(found.column("devices")[:ROWS]).all()
    assert np.nansum(found.column("devices")) == sum(value or 0 for value in WHOLE)


def test_files_whose_columns_are_of_different_kinds_are_refused_by_name(tmp_path: Path) -> None:
    """Numbers in one, text in another."""
    files = [
        labelled.write(tmp_path / f"{i}.parquet", pa.table({**labelled.carrier(ROWS, i), "devices": column}))
        for i, column in enumerate(([1] * ROWS, ["one"] * ROWS))
    ]
    with pytest.raises(ConfigError, match=r"1\.parquet: devices: wanted int64 as in .*0\.parquet \(got string\)"):
        read_table(files, CARRIER)


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array(FRAUD), id="bool"),
        pytest.param(pa.array(FRAUD).cast(pa.int8()), id="int8"),
        pytest.param(pa.array([float(value) for value in FRAUD]), id="float"),
        pytest.param(pa.array([Decimal(int(value)) for value in FRAUD], pa.decimal128(10, 4)), id="decimal 1.0000"),
        pytest.param(views(["Fraud" if value else "honest " for value in FRAUD], pa.string()), id="pandas category"),
        pytest.param(views(["1" if value else "0" for value in FRAUD], pa.large_string()), id="polars enum"),
        pytest.param(pa.array(["yes" if value else "no" for value in FRAUD], pa.string_view()), id="string view"),
        pytest.param(pa.array([b"fraud" if value else b"honest" for value in FRAUD]), id="text without its mark"),
        pytest.param(views(FRAUD, pa.bool_()), id="category of flags"),
    ],
)
def test_labels_are_what_they_say_however_they_are_written(tmp_path: Path, column: pa.Array) -> None:
    """1.0000 is 1."""
    assert read(tmp_path, is_fraud=column).fraud.tolist() == FRAUD


def test_labels_that_are_null_or_nan_are_not_known(tmp_path: Path) -> None:
    """Neither fraud nor honest."""
    for first in (None, math.nan):
        labels = pa.array([first, *(float(value) for value in FRAUD[1:])], from_pandas=False)
        assert len(read(tmp_path, is_fraud=labels)) == ROWS - 1


@pytest.mark.parametrize(
    ("column", "got"),
    [
        (pa.array([0.5, *(float(value) for value in FRAUD[1:])]), "0.5"),
        (pa.array([Decimal(2), *(Decimal(int(value)) for value in FRAUD[1:])], pa.decimal128(9, 2)), "2"),
        (pa.array([-1 if value else 1 for value in FRAUD]), "-1"),
        (pa.array(["Y" if value else "N" for value in FRAUD]), "n, y"),
        (pa.array([[1]] * ROWS), r"list<.*>"),
        (pa.array([b"\xff\xfe"] * ROWS), "fffe"),
    ],
)
def test_labels_that_say_something_else_are_shown(tmp_path: Path, column: pa.Array, got: str) -> None:
    """What they are, for somebody has to translate them."""
    with pytest.raises(ConfigError, match=rf"t\.parquet: is_fraud: wanted .* \(got {got}\)"):
        read(tmp_path, is_fraud=column)


DIGITS = [447_900_000_000 + i for i in range(ROWS)]


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array(DIGITS), id="int64"),
        pytest.param(pa.array([float(digits) for digits in DIGITS]), id="pandas float, for there was a null once"),
        pytest.param(pa.array([Decimal(digits) for digits in DIGITS], pa.decimal128(38, 10)), id="Oracle's NUMBER"),
        pytest.param(views([str(digits) for digits in DIGITS], pa.string()), id="pandas category"),
        pytest.param(pa.array([str(digits) for digits in DIGITS], pa.large_string()), id="polars"),
        pytest.param(pa.array([str(digits).encode() for digits in DIGITS]), id="text without its mark"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(tmp_path: Path, column: pa.Array) -> None:
    """No exponent, no zeros behind a point: the digits."""
    found = read(tmp_path, msisdn=column)
    assert found.numbers[found.number].tolist() == [str(digits) for digits in DIGITS]


def test_a_pseudonym_of_bytes_is_read_as_hex(tmp_path: Path) -> None:
    """Hashes of subscribers' numbers: no text, and each its own."""
    hashes = [bytes([255, i]) for i in range(ROWS)]
    found = read(tmp_path, msisdn=pa.array(hashes, pa.binary(2)))
    assert found.numbers[found.number].tolist() == [one.hex() for one in hashes]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([math.nan, *map(float, DIGITS[1:])], from_pandas=False), r"a number in each row \(got 1 empty\)"),
        (pa.array(["", " ", *map(str, DIGITS[2:])]), r"a number in each row \(got 2 empty\)"),
        (pa.nulls(ROWS), rf"a number in each row \(got {ROWS} empty\)"),
        (pa.array([0.5, *map(float, DIGITS[1:])]), r"text or whole numbers \(got 0\.5\)"),
        (pa.array([1e300, *map(float, DIGITS[1:])]), r"text or whole numbers \(got 1e\+300\)"),
        (
            pa.array([Decimal("1.5"), *map(Decimal, DIGITS[1:])], pa.decimal128(38, 2)),
            r"text or whole numbers \(got 1\.50\)",
        ),
        (pa.array([[1]] * ROWS), r"text or whole numbers \(got list<.*>\)"),
        (pa.array([0] * ROWS, pa.date32()), r"text or whole numbers \(got date32\[day\]\)"),
    ],
)
def test_what_is_no_number_is_refused_with_its_place(tmp_path: Path, column: pa.Array, message: str) -> None:
    """All rows without a number would be one number."""
    with pytest.raises(ConfigError, match=rf"t\.parquet: msisdn: wanted {message}"):
        read(tmp_path, msisdn=column)


MOMENTS = [labelled.START_MS + i * 60_000 for i in range(ROWS)]


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array(MOMENTS, pa.timestamp("ms", "Asia/Kolkata")), id="with a zone"),
        pytest.param(pa.array(MOMENTS).cast(pa.timestamp("ms")).cast(pa.timestamp("us")), id="without: UTC"),
        pytest.param(pa.array([float(ms) for ms in MOMENTS]), id="float"),
        pytest.param(pa.array([Decimal(ms) for ms in MOMENTS], pa.decimal128(20, 0)), id="decimal"),
        pytest.param(views(MOMENTS, pa.timestamp("ms")), id="dictionary"),
    ],
)
def test_a_moment_is_the_same_however_it_is_written(tmp_path: Path, column: pa.Array) -> None:
    """Zones say how a moment is shown, not when it is."""
    found = read(tmp_path, {"time": "seen"}, seen=column)
    assert found.event_ms is not None
    assert found.event_ms.tolist() == MOMENTS


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([math.nan, *map(float, MOMENTS[1:])], from_pandas=False), r"a time in each row \(got 1 empty\)"),
        (pa.array([math.inf, *map(float, MOMENTS[1:])]), r"UTC milliseconds since 1970.* \(got inf\)"),
        (pa.nulls(ROWS), rf"a time in each row \(got {ROWS} empty\)"),
        (pa.array([1000 * ms for ms in MOMENTS]), rf"UTC milliseconds since 1970.* \(got {1000 * MOMENTS[0]}\)"),
        (pa.array([ms // 1000 for ms in MOMENTS]), rf"UTC milliseconds since 1970.* \(got {MOMENTS[0] // 1000}\)"),
        (pa.array(["noon"] * ROWS, pa.large_string()), r"UTC milliseconds.* \(got large_string\)"),
        (pa.array([1] * ROWS, pa.duration("s")), r"UTC milliseconds.* \(got duration\[s\]\)"),
    ],
)
def test_what_is_no_moment_is_refused_with_its_place(tmp_path: Path, column: pa.Array, message: str) -> None:
    """Seconds and microseconds would make days of their own."""
    with pytest.raises(ConfigError, match=rf"t\.parquet: seen: wanted {message}"):
        read(tmp_path, {"time": "seen"}, seen=column)


def test_since_when_a_number_is_fraud_may_be_written_as_any_moment(tmp_path: Path) -> None:
    """pandas makes floats of whole numbers with a null; where it is not said, it is not."""
    wanted = [UNSAID, *MOMENTS[1:]]
    for column in (
        pa.array([None, *MOMENTS[1:]]),
        pa.array([math.nan, *map(float, MOMENTS[1:])], from_pandas=False),
        pa.array([None, *MOMENTS[1:]], pa.timestamp("ms", "UTC")),
    ):
        found = read(tmp_path, active_from_ms=column).active_from_ms
        assert found is not None
        assert found.tolist() == wanted
    assert read(tmp_path, active_from_ms=pa.nulls(ROWS)).active_from_ms is None


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["much"] * ROWS), r"weight: wanted numbers \(got string\)"),
        (pa.array([None, *[1.0] * (ROWS - 1)]), r"weight\[0\]: wanted above 0 \(got nan\)"),
        (pa.nulls(ROWS), r"weight\[0\]: wanted above 0 \(got nan\)"),
    ],
)
def test_weights_that_weigh_nothing_are_refused_with_their_place(
    tmp_path: Path, column: pa.Array, message: str
) -> None:
    """Text ended in a traceback."""
    with pytest.raises(ConfigError, match=rf"t\.parquet: {message}"):
        read(tmp_path, weight=column)


def test_types_may_be_categories_numbers_or_not_there(tmp_path: Path) -> None:
    """A name is a name; where there is none the profile stands, and where that is null nothing."""
    for column, wanted in (
        (views(["ring" if value else None for value in FRAUD], pa.string()), {"ring", ""}),
        (pa.array([7.0 if value else math.nan for value in FRAUD], from_pandas=False), {"7", ""}),
        (pa.nulls(ROWS), {""}),
    ):
        assert set(read(tmp_path, type=column).types.tolist()) == wanted
    with pytest.raises(ConfigError, match=r"t\.parquet: type: wanted text or whole numbers \(got list<.*>\)"):
        read(tmp_path, type=pa.array([["ring"]] * ROWS))


def test_a_column_without_a_name_is_the_index_that_pandas_writes(tmp_path: Path) -> None:
    """Dealt out anew it counts no rows any more, but a table that was sorted by label still shows in it."""
    index: Any = np.random.default_rng(1).permutation(ROWS)
    for name in ("", "Unnamed: 0"):
        found = read(tmp_path, **{name: index})
        assert name not in found.features
        assert any("(an index)" in note for note in found.notes)


def test_the_folder_that_spark_writes_is_read_by_its_parts(tmp_path: Path) -> None:
    """In the order of their names; what begins with _ or . is none of it."""
    folder = tmp_path / "vectors.parquet"
    folder.mkdir()
    for i in range(2):
        labelled.write(folder / f"part-0000{i}-c000.snappy.parquet", labelled.carrier(ROWS, seed=i))
    (folder / "_SUCCESS").touch()
    (folder / "_temporary.parquet").write_bytes(b"half of it")
    found = read_table([folder], CARRIER)
    assert list(found.files) == ["part-00000-c000.snappy.parquet", "part-00001-c000.snappy.parquet"]
    assert found.numbers[found.number].tolist()[:ROWS] == labelled.carrier(ROWS, seed=0)["msisdn"]
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match=r"none: wanted a table, or a folder of \.parquet files \(got none in it\)"):
        read_table([tmp_path / "none"], CARRIER)


def test_a_csv_that_is_not_utf_8_is_refused_by_name(tmp_path: Path) -> None:
    """Of a spreadsheet in an old code page; it ended in a traceback."""
    for content in ("label,zähler\n1,2\n", "label,number\n1,zähler\n"):
        (tmp_path / "t.csv").write_bytes(content.encode("latin-1"))
        with pytest.raises(ConfigError, match=r"t\.csv: wanted .* CSV with a header, in UTF-8"):
            read_table([tmp_path / "t.csv"])
