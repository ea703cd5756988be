"""A table with labels: who a number was as far as it was known, and a number-day that weighs 1."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError
from detector.features.catalogue import NAMES, feature_hash
from detector.learning import vectors
from detector.learning.auditing import draw
from detector.learning.features import NOWHERE, Taken
from detector.learning.known import Known
from detector.learning.labelfile import DETECTOR, HOLD_OUT, RANDOM_AUDIT, NumberLabel
from detector.learning.labelling import stands_for, write_vectors
from detector.learning.thresholds import SHARES, choose_thresholds
from detector.learning.vectors import Heading, VectorTable, vectors_of
from detector.records import parse_number
from detector.units import DAY_MS, HOUR_MS
from tests.strategies import NUMBERS

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


def test_a_day_on_which_fraud_begins_weighs_one_of_each(tmp_path: Path) -> None:
    """
    hours   1 not known   2 not known   3 not known | 12 FRAUD   13 FRAUD       each side of the bar weighs 1

    What a number was before its fraud is in no table, and must not take from what the fraud weighs.
    """
    fraud = NumberLabel(NUMBERS[0], True, 12 * HOUR_MS, 2 * DAY_MS, 3 * DAY_MS, "complaint", "simbox")
    path = tmp_path / "v.parquet"
    moments = [(NUMBERS[0], hour) for hour in (1, 2, 3, 12, 13)]
    write_vectors(path, HEADING, [taken(moments)], SOURCES, Known([fraud], 50 * DAY_MS, 14 * DAY_MS))
    with VectorTable(path) as table:
        rows = table.group(0, ["label", "weight"]).to_pylist()
    assert [row["label"] for row in rows] == [None, None, None, 1, 1]
    assert [row["weight"] for row in rows] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2])


def test_frauds_that_began_too_little_to_be_scored_are_counted(tmp_path: Path) -> None:
    """
    vectors           |5h ......... 60h|
    labels      0      7 .. 48h                     with a vector as fraud
                1      7 .. 48h                     none, and so is 2, whose vector lies behind its fraud
                3, 4   over before, begun after     of another time
                5      our own decision             no label to be missed
    """
    spans = [(7, 48), (7, 48), (7, 48), (1, 5), (61, 70), (7, 48)]
    labels = [
        NumberLabel(NUMBERS[0] + i, True, a * HOUR_MS, b * HOUR_MS, 3 * DAY_MS, DETECTOR if i == 5 else "complaint")
        for i, (a, b) in enumerate(spans)
    ]
    known = Known(labels, 50 * DAY_MS, 14 * DAY_MS)
    moments = [(NUMBERS[0] + 9, 5), (NUMBERS[0], 8), (NUMBERS[0] + 2, 60)]
    parts = [taken(moments[:1]), taken([]), taken(moments[1:])]
    assert write_vectors(tmp_path / "v.parquet", HEADING, parts, SOURCES, known).unseen(known) == (3, 2)
    assert write_vectors(tmp_path / "v.parquet", HEADING, parts, SOURCES).unseen(known) == (0, 0)


def test_labels_stand_beside_their_vectors_and_are_null_where_nothing_is_known(tmp_path: Path) -> None:
    """Fraud by complaint, honest by a hold-out of one in four, honest for want of a label, not known."""
    fraud = NumberLabel(NUMBERS[0], True, 7, 2 * DAY_MS, 3 * DAY_MS, "complaint", "simbox")
    spared = NumberLabel(NUMBERS[1], False, 0, 45 * DAY_MS, 46 * DAY_MS, HOLD_OUT, probability=0.25)
    moments = [(NUMBERS[0], 5), (NUMBERS[1], 5), (NUMBERS[2], 5), (NUMBERS[2], 24 * 49), (NUMBERS[0], 24 * 5)]
    path = tmp_path / "v.parquet"
    known = Known([fraud, spared], 50 * DAY_MS, 14 * DAY_MS)
    written = write_vectors(path, HEADING, [taken(moments)], SOURCES, known)
    assert written.labels == {"fraud": 1, "honest": 2, "not known": 2}
    with VectorTable(path) as table:
        batch = table.group(0)
    labels = batch.select(["label", "type", "label_source", "active_from_ms", "known_at_ms", "weight"]).to_pylist()
    assert [tuple(row.values()) for row in labels] == [
        (1, "simbox", "complaint", 7, 3 * DAY_MS, 1.0),
        (0, None, "hold_out", 0, 46 * DAY_MS, 4.0),
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


def test_a_label_stands_for_those_that_are_not_in_the_table_as_what_they_are() -> None:
    """A missed fraud for others that pass as honest, a spared number for those that were blocked; an honest one that an
    audit drew for nobody, as the others are honest in the table too."""
    for source, fraud, wanted in (
        (RANDOM_AUDIT, True, 4.0),
        (RANDOM_AUDIT, False, 1.0),
        (HOLD_OUT, True, 4.0),
        (HOLD_OUT, False, 4.0),
        ("analyst", False, 1.0),
    ):
        label = NumberLabel(NUMBERS[0], fraud, 0, DAY_MS, DAY_MS, source, probability=0.25)
        assert stands_for(label) == wanted


def test_of_a_fraud_that_an_analyst_knows_more_of_only_the_day_that_was_drawn_stands_for_others(tmp_path: Path) -> None:
    """
    fraud, as the analyst has it  |==== 4 days ====|    0.002: 500 of its days, not 2,000
    drawn                              |==|
    Where two of its days were drawn each stands for others; a day of which a victim told for none.
    """
    first = NumberLabel(
        NUMBERS[0], True, DAY_MS, 5 * DAY_MS, 9 * DAY_MS, RANDOM_AUDIT, probability=0.002, drawn_ms=2 * DAY_MS
    )
    second = replace(first, drawn_ms=4 * DAY_MS)
    told = replace(first, source="complaint", probability=1.0, drawn_ms=None, active_until_ms=3 * DAY_MS)
    moments = [(NUMBERS[0], 24 * day + 3) for day in range(1, 5)]
    for labels, wanted in (
        ([first], [1.0, 500.0, 1.0, 1.0]),
        ([first, second], [1.0, 500.0, 1.0, 500.0]),
        ([first, second, told], [1.0, 1.0, 1.0, 500.0]),
        ([replace(first, drawn_ms=None)], [500.0] * 4),
    ):
        path = tmp_path / "v.parquet"
        heading = Heading(**{**msgspec.structs.asdict(HEADING), "home_utc_offset_minutes": 0})
        write_vectors(path, heading, [taken(moments)], SOURCES, Known(labels, 50 * DAY_MS, 14 * DAY_MS))
        with VectorTable(path) as table:
            rows = table.group(0, ["label", "weight"]).to_pylist()
        assert [row["label"] for row in rows] == [1] * 4
        np.testing.assert_allclose([row["weight"] for row in rows], wanted)


def test_a_fraud_that_several_draws_could_have_found_stands_for_its_part() -> None:
    """Never for less than itself; the hold-out is no draw of days."""
    audit = NumberLabel(NUMBERS[0], True, 0, DAY_MS, DAY_MS, RANDOM_AUDIT, probability=0.25)
    assert [stands_for(audit, draws) for draws in (1, 2, 8)] == [4.0, 2.0, 1.0]
    assert stands_for(replace(audit, source=HOLD_OUT), 2) == 4.0


def test_honest_ones_that_an_audit_drew_move_no_threshold() -> None:
    """As they weigh, thresholds wrong the share that they are meant to; weighed by 1 / p, twice as many or hardly any.

    100,000 honest number-days whose margins are known, 40 of them audited, two hundred draws. Half of the weight would
    be the audit's, so that `watch` lies where twice its share is, unless one of the forty lies above: then it is pushed
    up to that one.
    """
    rng = np.random.default_rng(7)
    size = 100_000
    population = ((NUMBERS[0] + np.arange(size)).astype(np.uint64), np.full(size, 20_000), rng.logistic(-8, 1, size))
    margins = population[2]
    wronged: dict[str, list[float]] = {"as they weigh": [], "by 1 / p": []}
    for seed in range(200):
        weights = {name: np.ones(size) for name in wronged}
        for one in draw(population, {}, 40, 0.5, seed):
            label = NumberLabel(one.number, False, 0, 1, 1, one.source, probability=one.probability)
            weights["as they weigh"][one.number - NUMBERS[0]] = stands_for(label)
            weights["by 1 / p"][one.number - NUMBERS[0]] = 1 / label.probability
        for name, weight in weights.items():
            watch = choose_thresholds(margins, weight).watch
            wronged[name].append(float((margins >= watch).mean()) / SHARES["watch"])
    assert set(wronged["as they weigh"]) == {1.0}
    doubled = np.array(wronged["by 1 / p"])
    print(f"wronged at `watch`, in what was meant: {np.quantile(doubled, [0.05, 0.5, 0.95])}")
    assert np.median(doubled) > 1.9
    assert doubled.min() < 0.5


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
