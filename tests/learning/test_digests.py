"""Digests: a table is known again by its files, and by its rows in other files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from detector.learning import judging
from detector.learning.digests import KEPT, digest_of, merged, shared, sketch, together
from detector.learning.fitting import Apart, Asked, fit_table
from detector.learning.judging import evaluate_bundle
from detector.learning.table import Table
from detector.learning.tablefiles import read_table
from detector.units import DAY_MS
from detector.verdict.manifest import Manifest
from detector.verdict.model import Model
from tests.learning import labelled

WEEK_MS = 7 * DAY_MS


def later(table: pa.Table, ms: int = WEEK_MS) -> pa.Table:
    """The same numbers at other moments."""
    return table.set_column(1, "event_ms", pc.add(table["event_ms"], ms)).replace_schema_metadata(table.schema.metadata)


@pytest.fixture
def week(tmp_path: Path) -> Callable[[str, pa.Table], Table]:
    """A table that lies in a folder of the name, in a file that all of them call alike."""

    def of(name: str, table: pa.Table) -> Table:
        (tmp_path / name).mkdir(exist_ok=True)
        return read_table([labelled.write(tmp_path / name / "vectors.parquet", table)])

    return of


def seen(manifest: Manifest, table: Table) -> list[str]:
    """Files that the bundle has seen."""
    return sorted({file for files in judging._seen(table, manifest.fit).values() for file in files})


def test_files_of_one_name_are_two(tmp_path: Path) -> None:
    """As `weekly` has them, a folder each; a file that is given twice is one."""
    assert together([("v", "a"), ("v", "b")], [("v", "c"), ("w", "a")], [("v", "a")]) == {
        "v": "a",
        "v (2)": "b",
        "v (3)": "c",
        "w": "a",
    }
    (tmp_path / "f").write_bytes(b"abc")
    assert digest_of(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_both_weeks_that_a_bundle_was_fitted_on_are_known_again(
    week: Callable[[str, pa.Table], Table], tmp_path: Path
) -> None:
    """The first one, too, whose file is called as the second's is; a third week is not."""
    first, second = labelled.ours(60, 5, vectors=1), later(labelled.ours(60, 5, vectors=1))
    alone, other = week("1", first), week("2", second)
    both = read_table([tmp_path / name / "vectors.parquet" for name in "12"])
    asked = Asked(estimator="logistic")
    apart = Apart(
        [lambda: week("3", later(first, 5 * WEEK_MS)), lambda: week("4", later(first, 6 * WEEK_MS))], lambda: other
    )
    fitted = fit_table(both, tmp_path / "b", asked, lambda _: None, apart)
    fit = fitted.manifest.fit
    assert fit is not None
    assert list(fit.inputs["files"]) == list(fit.split["thresholds"]) == ["vectors.parquet", "vectors.parquet (2)"]
    evaluation = evaluate_bundle(tmp_path / "b", Model.load(tmp_path / "b"), alone, 1, lambda _: None, quick=True)
    assert evaluation["bundle"]["seen"] == ["vectors.parquet"]
    assert any("flatter" in note for note in evaluation["table"]["notes"])
    for table in (alone, other, week("5", later(first, 5 * WEEK_MS)), week("6", later(first, 6 * WEEK_MS))):
        assert seen(fitted.manifest, table) == ["vectors.parquet"]
    assert seen(fitted.manifest, week("7", later(first, 2 * WEEK_MS))) == []


def test_the_same_records_are_known_again_in_another_file(
    week: Callable[[str, pa.Table], Table], tmp_path: Path
) -> None:
    """Exported again with another column, at fewer moments, or with another week; in a split by time only what was
    fitted on or tuned on, and not what was held out."""
    table = labelled.ours(160, 10)
    fitted = fit_table(week("1", table), tmp_path / "b", Asked(estimator="logistic"), lambda _: None)
    fit = fitted.manifest.fit
    assert fit is not None
    assert fit.split["test_from"] == 20_008
    days = pc.divide(pc.subtract(table["event_ms"], labelled.START_MS), DAY_MS)
    sparse = table.filter(pa.array(np.arange(len(table)) % 8 == 0))
    begin, middle = (table.filter(pc.is_in(days, pa.array(some))) for some in ([0, 1, 2], [6, 7]))
    more = pa.concat_tables([later(table, 9 * WEEK_MS), sparse])
    for again in (table.append_column("extra", pa.array(["x"] * len(table))), sparse, begin, middle, more):
        assert seen(fitted.manifest, week("2", again)) == ["vectors.parquet"]
    assert seen(fitted.manifest, week("3", table.filter(pc.greater_equal(days, 8)))) == []
    assert seen(fitted.manifest, week("4", later(table, 2 * WEEK_MS))) == []


def test_a_sketch_finds_a_fiftieth(week: Callable[[str, pa.Table], Table]) -> None:
    """Of 20,000 rows that a table was made of, 400 in another one; sketches of parts make that of the whole."""
    whole = week("1", labelled.ours(400, 25))
    assert len(whole) == 20_000
    rng = np.random.default_rng(3)
    known = sketch(whole)
    found = [shared(whole.rows(rng.permutation(20_000)[:400]), known) for _ in range(50)]
    assert min(found) > 0
    assert abs(np.mean(found) - KEPT / 50) < 2
    half = np.arange(20_000) < 10_000
    assert merged(sketch(whole.rows(half)), sketch(whole.rows(~half))) == known == sketch(whole, whole.rows(half))


def test_rows_are_told_apart_by_number_moment_and_vector(tmp_path: Path) -> None:
    """Without numbers they are not known again. All networks of the simulator have the same numbers, next month's table
    without a time has this month's, and hours are everybody's."""
    table = read_table([labelled.write(tmp_path / "v.parquet", labelled.ours(20, 5))])
    assert table.event_ms is not None
    roles = {role: name for role, name in table.roles.items() if role != "number"}
    assert sketch(replace(table, roles=roles)) == ""
    for known in (table, replace(table, event_ms=None)):
        assert shared(known, sketch(known)) == len(known)
        assert shared(replace(known, vectors=table.vectors + 1), sketch(known)) == 0
    assert shared(replace(table, event_ms=table.event_ms + 1), sketch(table)) == 0
    assert shared(replace(table, numbers=table.numbers[::-1]), sketch(table)) == 0
    other = np.where(np.isnan(table.vectors), -np.float64("nan"), table.vectors)
    assert shared(replace(table, vectors=other), sketch(table)) == len(table)
