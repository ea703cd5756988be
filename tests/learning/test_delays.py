"""Delays: from a fraud number's first fraudulent vector to the first that reached its bar."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detector.learning.delays import VICTIMS, delays, missing, written
from detector.learning.table import UNSAID, Table
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
