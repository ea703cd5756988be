"""A table with labels: who a number was as far as it was known, and a number-day that weighs 1."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError
from detector.features.catalogue import NAMES, feature_hash
from detector.learning import vectors
from detector.learning.features import NOWHERE, Taken
from detector.learning.known import Known
from detector.learning.labelfile import NumberLabel
from detector.learning.labelling import write_vectors
from detector.learning.vectors import Heading, VectorTable, vectors_of
from detector.records import parse_number
from tests.strategies import DAY_MS, HOUR_MS, NUMBERS

HEADING = Heading(feature_hash=feature_hash(), home_utc_offset_minutes=120, moments="every:1", known_by_ms=50 * DAY_MS)
SOURCES = {1: "plain", 2: "smsc"}


def taken(moments: list[tuple[int, int]]) -> Taken:
    """A vector for each number and hour since 1970, behind records of both sources and between records in turn."""
    count = len(moments)
    index = np.arange(count)
    return Taken(
        places=index,
        numbers=np.array([number for number, _ in moments], np.uint64),
        event_ms=np.array([hour * HOUR_MS for _, hour in moments], np.int64),
        sources=np.where(index % 3, index % 3, NOWHERE),
        partitions=np.where(index % 3, 0, NOWHERE),
        offsets=np.where(index % 3, index, NOWHERE),
        vectors=np.random.default_rng(1).random((count, len(NAMES))),
    )


MOMENTS = st.lists(st.tuples(st.sampled_from(NUMBERS), st.integers(0, 24 * 9)), min_size=1, max_size=60)


@given(MOMENTS, st.integers(1, 60))
def test_the_vectors_of_a_number_day_weigh_one_together(
    tmp_path_factory: pytest.TempPathFactory, moments: list[tuple[int, int]], size: int
) -> None:
    """However many they are, however late, in whatever row groups: by the home's days, here two hours ahead."""
    path = tmp_path_factory.mktemp("weights") / "v.parquet"
    whole = taken(moments)
    parts = [whole.picked(np.arange(start, min(start + size, len(whole)))) for start in range(0, len(whole), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "ROW_GROUP", 16)
        written = write_vectors(path, HEADING, parts, SOURCES, Known([], 50 * DAY_MS, 0))
    assert (written.vectors, written.labels["honest"]) == (len(moments), len(moments))
    sums: defaultdict[tuple[str, int], float] = defaultdict(float)
    with VectorTable(path) as table:
        found = [row for batch in table.batches(["number", "event_ms", "weight"]) for row in batch.to_pylist()]
    for row in found:
        sums[row["number"], (row["event_ms"] + 2 * HOUR_MS) // DAY_MS] += row["weight"]
    assert {(parse_number(number), day) for number, day in sums} == {(n, (hour + 2) // 24) for n, hour in moments}
    np.testing.assert_allclose(list(sums.values()), 1, rtol=1e-12)
    assert [parse_number(row["number"]) for row in found] == [number for number, _ in moments]


def test_labels_stand_beside_their_vectors_and_are_null_where_nothing_is_known(tmp_path: Path) -> None:
    """Fraud by complaint, honest by an audit that drew one in four, honest for want of a label, not known."""
    fraud = NumberLabel(NUMBERS[0], True, 7, 2 * DAY_MS, 3 * DAY_MS, "complaint", "simbox")
    audit = NumberLabel(NUMBERS[1], False, 0, 45 * DAY_MS, 46 * DAY_MS, "audit", probability=0.25)
    moments = [(NUMBERS[0], 5), (NUMBERS[1], 5), (NUMBERS[2], 5), (NUMBERS[2], 24 * 49), (NUMBERS[0], 24 * 5)]
    path = tmp_path / "v.parquet"
    known = Known([fraud, audit], 50 * DAY_MS, 14 * DAY_MS)
    written = write_vectors(path, HEADING, [taken(moments)], SOURCES, known)
    assert written.labels == {"fraud": 1, "honest": 2, "not known": 2}
    with VectorTable(path) as table:
        batch = table.group(0)
    labels = batch.select(["label", "type", "label_source", "active_from_ms", "known_at_ms", "weight"]).to_pylist()
    assert [tuple(row.values()) for row in labels] == [
        (1, "simbox", "complaint", 7, 3 * DAY_MS, 1.0),
        (0, None, "audit", 0, 46 * DAY_MS, 4.0),
        (0, None, None, None, None, 1.0),
        (None, None, None, None, None, 1.0),
        (None, None, None, None, None, 1.0),
    ]
    places = batch.select(["source", "partition", "offset"]).to_pylist()
    assert [tuple(row.values()) for row in places] == [
        (None, None, None),
        ("plain", 0, 1),
        ("smsc", 0, 2),
        (None, None, None),
        ("plain", 0, 4),
    ]
    assert vectors_of(batch).tobytes() == taken(moments).vectors.tobytes()


def test_without_labels_there_are_no_columns_for_them(tmp_path: Path) -> None:
    """What is scored or watched for drift needs none; a source that is configured no more keeps its id."""
    path = tmp_path / "v.parquet"
    write_vectors(path, HEADING, [taken([(NUMBERS[0], 5)] * 3)], {1: "plain"})
    with VectorTable(path) as table:
        assert not table.labelled
        assert table.group(0, ["source"]).column(0).to_pylist() == [None, "plain", "#2"]


def test_a_run_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither the draft nor the counts, nor half a table."""

    def failing() -> Iterator[Taken]:
        yield taken([(NUMBERS[0], 5)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_vectors(tmp_path / "v.parquet", HEADING, failing(), SOURCES, Known([], 0, 0))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="wanted a place to write to"):
        write_vectors(tmp_path / "none" / "v.parquet", HEADING, [], SOURCES, Known([], 0, 0))
