"""Delays: from a fraud number's first fraudulent vector to the first that reached its bar."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detector.learning.delays import OUTGOING, VICTIMS, delays, missing, written
from detector.learning.table import UNSAID, Table
from detector.units import DAY_MS
from tests.learning.test_splits import small

REACHED, NOT = True, False
FIRST_MS = 0
"""Of the timeline."""


def timeline(moments: str = "every:1") -> tuple[Table, Any]:
    """
    number 0   honest, honest, FRAUD x, FRAUD x, FRAUD | x     reached at |: third event, 7 s in
    number 1   FRAUD x                                         never reached
    number 2   honest, reached                                 no fraud: it has no delay
    """
    table = small([False, False, True, True, True, True, False], [0, 0, 0, 0, 0, 1, 2])
    table = replace(
        table,
        features=(VICTIMS,),
        vectors=np.array([[4.0], [5.0], [6.0], [8.0], [12.4], [30.0], [3.0]]),
        event_ms=np.array([0, 1_000, 2_000, 4_000, 9_000, 5_000, 0]),
        types=np.array(["", "", "simbox", "simbox", "simbox", "irsf", ""]),
        moments=moments,
    )
    return table, np.array([REACHED, NOT, NOT, NOT, REACHED, NOT, REACHED])


def test_a_delay_is_seconds_events_and_victims_and_a_miss_is_endless() -> None:
    """What it reached while it was honest is no catch."""
    found = delays(*timeline(), FIRST_MS)
    assert found.number.tolist() == [0, 1]
    assert found.types.tolist() == ["simbox", "irsf"]
    assert found.seconds.tolist() == [7.0, np.inf]
    assert found.vectors.tolist() == [3.0, np.inf]
    assert found.victims.tolist() == [7.0, np.inf]


def test_seconds_run_from_the_moment_from_which_on_the_label_says_fraud() -> None:
    """
    number 0   label since 500 | first vector 2,000 ... reached 9,000      8.5 s, of which 1.5 before any vector
    number 1   a label that does not say since when                        from its first vector, as without
    """
    table, reached = timeline()
    since = np.where(table.number == 0, 500, UNSAID)
    caught = np.ones_like(reached)
    table = replace(table, active_from_ms=since)
    assert delays(table, reached, FIRST_MS).seconds.tolist() == [8.5, np.inf]
    assert delays(table, caught, FIRST_MS).seconds.tolist() == [1.5, 0.0]
    assert any("first vector that is labelled fraud" in note for note in missing(table))
    assert not any("first vector that is labelled" in n for n in missing(replace(table, active_from_ms=since * 0)))


def test_a_fraud_that_began_before_the_table_has_no_delay() -> None:
    """
    number 0   label since -2 | table begins 0 ... reached 9,000     whether it was flagged on day -1 nobody knows
    number 1   label since 0                                         begins with the table
    """
    table, reached = timeline()
    table = replace(table, active_from_ms=np.where(table.number == 0, -2, 0))
    found = delays(table, reached, FIRST_MS)
    assert (found.number.tolist(), found.earlier) == ([1], 1)
    said = written(table, found)
    assert (said["numbers"], said["began_earlier"]) == (1, 1)
    assert "1 fraud numbers were so before the table begins: they have no delay." in missing(table)
    # Rows that were picked out were watched for as long as the others.
    late = np.array([4, 5])
    assert delays(table.rows(late), reached[late], FIRST_MS).number.tolist() == [1]


def begun(since: list[int], table: Table, floor: int | None = 3) -> Table:
    """With calls that were begun in the week, and labels that say since when; the floor let nothing earlier be scored.

    number 0   honest 0, 1 s       | fraud since 1.5 s, vectors 2, 4, 9 s; it has begun 40 calls in the week
    number 1   no vector before    | fraud since 1 s, first vector 5 s: its third call of the week
    """
    calls, messages = np.array([38.0, 39, 39.6, 41, 42, 2, 7]), np.array([0.0, 0, 0, 0, 0, 1.02, np.nan])
    return replace(
        table,
        features=(VICTIMS, *OUTGOING),
        vectors=np.column_stack([table.vectors, calls, messages]),
        active_from_ms=np.array(since)[table.number],
        floor=floor,
    )


@pytest.mark.parametrize(
    ("since", "floor", "events"),
    [
        pytest.param([2_000, 1_000, 0], 3, [3, 3], id="a fresh number flagged at its first vector has begun three"),
        pytest.param([2_000, 5_000, 0], 3, [3, 1], id="the label says that it begins with the vector"),
        pytest.param([1_500, 1_000, 0], 3, [5, 3], id="of a busy number at most two went unseen"),
        pytest.param([UNSAID, UNSAID, 0], 3, [3, 3], id="who was scored before was scored at its first"),
        pytest.param([1_500, 1_000, 0], 1, [3, 1], id="without a floor every event is scored"),
        pytest.param([1_500, 1_000, 0], None, [3, 1], id="a floor that is not told is none"),
        pytest.param([1_500, 1_000, 0], 9, [11, 3], id="its own counts hold no more"),
    ],
)
def test_events_count_from_the_first_fraudulent_one(since: list[int], floor: int | None, events: list[int]) -> None:
    """A number that is scored at its third call and flagged there has made three, not one."""
    table, reached = timeline()
    reached = reached | (table.number == 1)
    table = begun(since, table, floor)
    assert delays(table, reached, FIRST_MS).vectors.tolist() == events
    sparse = replace(table, moments="every:5")
    assert delays(sparse, reached, FIRST_MS).vectors.tolist() == [3, 1]


def test_days_below_the_floor_hold_fewer_than_it_each() -> None:
    """
    |-- 2 events --|-- 2 events --|-- 1 event --| vector       begun 2.5 days before, three in 24 h for the first time
    """
    table, reached = timeline()
    table = begun([UNSAID, 5_000, UNSAID], table)
    table = replace(
        table,
        event_ms=np.where(table.number == 1, 5_000 + 5 * DAY_MS // 2, np.asarray(table.event_ms)),
        vectors=np.where(np.arange(3) == 1, 60.0, table.vectors),
    )
    assert delays(table, reached | (table.number == 1), FIRST_MS).vectors.tolist() == [3, 7]


def test_what_went_on_before_the_first_vector_was_not_prevented() -> None:
    """Of ten events two were below the floor and two more had come when it was flagged."""
    table = small([True] * 8, [0] * 8)
    table = replace(
        table,
        event_ms=np.arange(8) * 1_000 + 10_000,
        active_from_ms=np.full(8, 8_000),
        moments="every:1",
        floor=3,
    )
    found = delays(table, np.arange(8) == 1, FIRST_MS)
    assert found.vectors.tolist() == [4.0]
    assert found.later.tolist() == [0.6]
    assert written(table, found)["caught_within_events"]["5"] == 1.0


def test_who_never_reaches_the_floor_is_told_to_be_missing() -> None:
    """In a table of vectors there is nothing of it, so that shares cannot count it."""
    table, _ = timeline()
    assert any("in no 24 h began 3 calls or messages" in note for note in missing(replace(table, floor=3)))
    assert not any("has no vector" in note for note in missing(replace(table, floor=0)))


def test_the_order_of_rows_is_no_matter() -> None:
    """Vectors are taken in order of time."""
    table, reached = timeline()
    order = np.array([4, 6, 1, 3, 5, 0, 2])
    found = delays(table.rows(order), reached[order], FIRST_MS)
    assert (found.seconds.tolist(), found.victims.tolist()) == ([7.0, np.inf], [7.0, np.inf])


def test_what_is_written_counts_misses_as_never() -> None:
    """A median over those that were caught would be praise for missing the hard ones."""
    table, reached = timeline()
    said = written(table, delays(table, reached, FIRST_MS))
    assert said["seconds"] == {"median": None, "p90": None}
    assert said["caught_within_events"] == {"5": 0.5, "20": 0.5, "50": 0.5}
    assert said["recall_by_victims"][:6] == [[1, 0.0], [2, 0.0], [3, 0.0], [5, 0.0], [7, 0.5], [10, 0.5]]
    assert said["damage_not_prevented"] == 1.0
    assert said["distribution"] == [[7.0, 0.5]]


def test_vectors_that_are_not_all_events_are_not_called_events() -> None:
    """Taken by the hour, the third vector may be the hundredth call."""
    table, reached = timeline("hour")
    said = written(table, delays(table, reached, FIRST_MS))
    assert "events" not in said
    assert said["vectors"] == {"median": None, "p90": None}
    assert any("Delays in events are not known" in note for note in missing(table))


def test_a_table_without_victims_says_so() -> None:
    """A carrier's own features do not tell how many were reached."""
    table, reached = timeline()
    table = replace(table, features=("x",))
    said = written(table, delays(table, reached, FIRST_MS))
    assert "victims" not in said
    assert any("Victims are not known" in note for note in missing(table))


def test_a_table_without_a_time_has_no_delays() -> None:
    """Said, and refused where asked all the same."""
    table = small([True, False], [0, 1])
    assert missing(table) == ["Delays are not known: the table has no time."]
    with pytest.raises(ValueError, match="wanted a table with a time"):
        delays(table, np.array([True, False]), FIRST_MS)


def test_a_table_without_rows_has_no_delays() -> None:
    """As of a type whose numbers all went on to another one."""
    table, reached = timeline()
    found = delays(table.rows(np.zeros(0, np.int64)), reached[:0], FIRST_MS)
    assert len(found.number) == len(found.seconds) == 0
    assert written(table, found)["numbers"] == 0


def test_a_delay_counts_as_many_as_its_number_stands_for() -> None:
    """The one that is caught in 7 s stands for nine, the one that is missed for itself: nine tenths are caught."""
    table, reached = timeline()
    said = written(table, delays(table, reached, FIRST_MS, np.array([9.0, 1.0, 1.0])))
    assert said["seconds"] == {"median": 7.0, "p90": 7.0}
    assert said["victims"] == {"median": 7.0, "p90": 7.0}
    assert said["caught_within_events"]["5"] == said["recall_by_victims"][4][1] == pytest.approx(0.9)
    assert said["distribution"] == [[7.0, pytest.approx(0.9)]]
