"""Tables: any parquet or CSV; what is no feature is left out and said, what is wrong is named with its place."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detector.errors import ConfigError
from detector.features.catalogue import NAMES
from detector.learning.tablefiles import read_table
from detector.units import DAY_MS
from tests.learning import labelled

CARRIER = {"label": "is_fraud", "number": "msisdn"}


def changed(path: Path, **columns: list[Any]) -> Path:
    """The carrier's table with some columns put in or replaced; None takes one out."""
    table = {**labelled.carrier(80), **columns}
    return labelled.write(path, {name: values for name, values in table.items() if values})


def test_numeric_columns_without_a_role_are_the_features_and_text_is_left_out_and_said(tmp_path: Path) -> None:
    """A carrier's own table, as it is."""
    table = read_table([labelled.write(tmp_path / "t.parquet", labelled.carrier(80))], CARRIER)
    assert table.features == ("strangers", "repeats", "night", "noise_a", "noise_b")
    assert table.notes == ("Columns left out: tariff (text).",)
    assert np.isnan(table.column("repeats")).any()
    assert table.fraud.tolist() == [bool(value) for value in labelled.carrier(80)["is_fraud"]]
    assert table.numbers[table.number].tolist() == labelled.carrier(80)["msisdn"]
    assert table.kind == "real"


def test_csv_and_parquet_of_one_table_are_read_alike(tmp_path: Path) -> None:
    """Numbers keep their plus and their zeros; an empty field is not known."""
    columns = labelled.carrier(80)
    one = read_table([labelled.write(tmp_path / "t.parquet", columns)], CARRIER)
    other = read_table([labelled.write(tmp_path / "t.csv", columns)], CARRIER)
    assert other.features == one.features
    assert other.vectors.tobytes() == one.vectors.tobytes()
    assert other.numbers.tolist() == one.numbers.tolist()
    assert other.fraud.tolist() == one.fraud.tolist()


def test_our_vectors_come_in_the_catalogues_order_and_nothing_of_their_origin_is_a_feature(tmp_path: Path) -> None:
    """Offsets, sources and when a label was known say what a model must not know."""
    table = labelled.ours(60, 3)
    backwards = table.select(table.column_names[::-1]).replace_schema_metadata(table.schema.metadata)
    read = read_table([labelled.write(tmp_path / "v.parquet", backwards)])
    assert read.features == NAMES
    assert read.moments == "every:1"
    assert read.day.min() == labelled.START_MS // DAY_MS
    assert any("known_at_ms (says where a row comes from)" in note for note in read.notes)


def test_simulated_numbers_make_a_simulated_table(tmp_path: Path) -> None:
    """No country has the code 999; who knows better says so."""
    path = changed(tmp_path / "t.csv", msisdn=[f"+9992{i:08}" for i in range(80)])
    assert read_table([path], CARRIER).kind == "simulated"
    assert read_table([path], CARRIER, kind="real").kind == "real"


def test_a_number_that_no_country_has_does_not_make_a_real_table_simulated(tmp_path: Path) -> None:
    """Anybody may show one; it is said. One in a hundred is more than that."""
    numbers = labelled.carrier(400)["msisdn"]
    for spoofed, kind in ((1, "real"), (3, "real"), (4, "simulated")):
        columns = labelled.carrier(400) | {"msisdn": [*(f"+9995{i:08}" for i in range(spoofed)), *numbers[spoofed:]]}
        table = read_table([labelled.write(tmp_path / f"{spoofed}.csv", columns)], CARRIER)
        assert table.kind == kind
        assert any("numbers begin with +999" in note for note in table.notes) == (kind == "real")


def test_a_number_day_weighs_1_however_many_vectors_it_has(tmp_path: Path) -> None:
    """Three vectors of one day count a third each, a day on which fraud begins twice; a weight that is given stands."""
    columns = {
        "number": ["a", "a", "a", "b", "a"],
        "event_ms": [labelled.START_MS + k for k in (0, 1, 2, 3, DAY_MS)],
        "x": [1.0, 2.0, 3.0, 4.0, 5.0],
        "label": [1, 1, 1, 0, 1],
    }
    table = read_table([labelled.write(tmp_path / "t.csv", columns)])
    assert table.weight.tolist() == [1 / 3, 1 / 3, 1 / 3, 1, 1]
    begins = read_table([labelled.write(tmp_path / "b.csv", {**columns, "label": [0, 0, 1, 0, 1]})])
    assert begins.weight.tolist() == [1 / 2, 1 / 2, 1, 1, 1]
    given = read_table([labelled.write(tmp_path / "w.csv", {**columns, "weight": [2.0, 2.0, 2.0, 1.0, 7.0]})])
    assert given.weight.tolist() == [2, 2, 2, 1, 7]


def test_rows_whose_label_is_not_known_are_left_out_and_said(tmp_path: Path) -> None:
    """Neither fraud nor honest."""
    path = changed(tmp_path / "t.csv", is_fraud=[None, "fraud", "Honest", *["0"] * 77])
    table = read_table([path], CARRIER)
    assert len(table) == 79
    assert table.fraud.sum() == 1
    assert "1 rows whose label is not known are left out." in table.notes


def test_a_column_that_counts_rows_is_left_out(tmp_path: Path) -> None:
    """Tables are often sorted by label: the row's place would be the best feature of all."""
    table = read_table([changed(tmp_path / "t.csv", row=list(range(100, 180)))], CARRIER)
    assert "row" not in table.features
    assert any("row (counts rows)" in note for note in table.notes)


@pytest.mark.parametrize("value", [float("inf"), -1e300])
def test_what_no_model_can_weigh_is_taken_as_not_known(tmp_path: Path, value: float) -> None:
    """Infinity, which JSON cannot hold either, and what a database puts in place of a null: sums of it overflow."""
    table = read_table([changed(tmp_path / "t.parquet", night=[value, *[1.0] * 79])], CARRIER)
    assert np.isnan(table.column("night")[0])
    assert "1 values that are infinite or beyond 3.4e+38 are taken as not known, in night." in table.notes


def test_several_files_are_one_table(tmp_path: Path) -> None:
    """In the order given; each must have the columns of the first."""
    files = [labelled.write(tmp_path / f"{i}.csv", labelled.carrier(50, seed=i)) for i in range(2)]
    assert len(read_table(files, CARRIER)) == 100
    other = changed(tmp_path / "other.csv", extra=[1.0] * 80)
    with pytest.raises(ConfigError, match=r"other\.csv: wanted the columns of .*0\.csv \(got others: extra\)"):
        read_table([files[0], other], CARRIER)


@pytest.mark.parametrize(
    ("columns", "roles", "message"),
    [
        ({}, {**CARRIER, "label": "verdict"}, r"t\.csv: wanted a column 'verdict' \(--label\) \(got msisdn, strangers"),
        ({}, {"number": "msisdn"}, r"wanted a column 'label' \(--label\)"),
        ({}, {**CARRIER, "time": "when"}, r"wanted a column 'when' \(--time\)"),
        ({"is_fraud": [0] * 80}, CARRIER, r"t\.csv: is_fraud: wanted fraud and honest rows \(got 0 fraud, 80 honest\)"),
        ({"is_fraud": [1] * 80}, CARRIER, r"wanted fraud and honest rows \(got 80 fraud, 0 honest\)"),
        ({"is_fraud": [0, 2, *[1] * 78]}, CARRIER, r"is_fraud: wanted 1 or 0, fraud or honest.* \(got 2\)"),
        ({"event_ms": [17] * 80}, CARRIER, r"event_ms: wanted UTC milliseconds since 1970, or timestamps \(got 17\)"),
        ({"event_ms": ["noon"] * 80}, CARRIER, r"event_ms: wanted UTC milliseconds.* \(got string\)"),
        ({"weight": [0.0] * 80}, CARRIER, r"weight\[0\]: wanted above 0 \(got 0\.0\)"),
        ({"msisdn": ["", *["a"] * 79]}, CARRIER, r"msisdn: wanted a number in each row \(got 1 empty\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, columns: dict[str, list[Any]], roles: dict[str, str | None], message: str
) -> None:
    """File, column, wanted and got."""
    with pytest.raises(ConfigError, match=message):
        read_table([changed(tmp_path / "t.csv", **columns)], roles)


def test_a_column_that_is_there_twice_is_refused_by_name(tmp_path: Path) -> None:
    """Which one is meant nobody can say."""
    table = pa.table(labelled.carrier(80))
    twice = table.append_column("night", table["night"])
    with pytest.raises(ConfigError, match=r"t\.parquet: wanted each column once \(got night again\)"):
        read_table([labelled.write(tmp_path / "t.parquet", twice)], CARRIER)


def test_a_table_of_text_alone_has_nothing_to_fit_on(tmp_path: Path) -> None:
    """Said, with what was wanted."""
    path = labelled.write(tmp_path / "t.csv", {"tariff": ["a", "b"], "label": [0, 1]})
    with pytest.raises(ConfigError, match=r"wanted at least one numeric column beside the named ones \(got none\)"):
        read_table([path])


def test_a_bundles_features_are_wanted_all_and_in_its_order(tmp_path: Path) -> None:
    """A missing one is named; others are not looked at."""
    path = labelled.write(tmp_path / "t.csv", labelled.carrier(80))
    assert read_table([path], CARRIER, ["night", "strangers"]).features == ("night", "strangers")
    with pytest.raises(ConfigError, match=r"wanted the bundle's features \(missing calls; got msisdn"):
        read_table([path], CARRIER, ["night", "calls"])
    with pytest.raises(ConfigError, match=r"tariff: wanted numbers \(got string\)"):
        read_table([path], CARRIER, ["tariff"])


def test_vectors_of_another_catalogue_or_taken_otherwise_are_not_mixed(tmp_path: Path) -> None:
    """A formula that has changed under the same name would teach nonsense."""
    table = labelled.ours(20, 2)
    old = labelled.write(tmp_path / "old.parquet", labelled.headed(table, feature_hash="0" * 8))
    with pytest.raises(ConfigError, match=r"old\.parquet: feature_hash: wanted .*, this program's \(got 0{8}\)"):
        read_table([old])
    files = [
        labelled.write(tmp_path / f"{moments}.parquet", labelled.headed(table, moments=moments))
        for moments in ("every:1", "hour")
    ]
    with pytest.raises(ConfigError, match=r"hour\.parquet: wanted vectors taken as those of .*every:1"):
        read_table(files)


def test_a_file_that_is_no_table_is_refused_by_name(tmp_path: Path) -> None:
    """Noise, and none at all."""
    (tmp_path / "noise.parquet").write_bytes(b"noise")
    with pytest.raises(ConfigError, match=r"noise\.parquet: wanted parquet"):
        read_table([tmp_path / "noise.parquet"])
    with pytest.raises(ConfigError, match=r"none\.csv: wanted a readable file"):
        read_table([tmp_path / "none.csv"])


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_timestamps_finer_than_a_millisecond_are_cut_to_it(tmp_path: Path, unit: str) -> None:
    """pandas and databases write microseconds and nanoseconds: a moment within a millisecond is that millisecond."""
    columns: dict[str, Any] = dict(labelled.carrier(80))
    per_ms = {"us": 1_000, "ns": 1_000_000}[unit]
    fine = [(labelled.START_MS + i) * per_ms + 123 for i in range(80)]
    columns["event_ms"] = pa.array(fine, pa.timestamp(unit, tz="UTC"))
    table = read_table([labelled.write(tmp_path / "t.parquet", pa.table(columns))], CARRIER)
    assert table.event_ms is not None
    assert table.event_ms.tolist() == [labelled.START_MS + i for i in range(80)]
