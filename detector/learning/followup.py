"""Follow-up: until when numbers were followed for long enough that silence makes somebody honest.

    heading or honest rows of a table file --late_rows--> Table.late --figures_of--> the rows that figures are of

What has just happened is known of those alone who complained at once. In the last days before labels were joined there
is fraud and nobody honest: prevalence, precision and calibration of such days are nobody's, and recall is of the fast
reporters. So thresholds and figures are of what lies before, of both classes alike. Fraud may be learnt from all the
same.
"""

from dataclasses import replace

import numpy as np

from detector.learning.table import UNSAID, Table, number_day_keys
from detector.records import Bools, I64s
from detector.units import DAY_MS


def limit_ms(known_by_ms: int | None, delay_days: float | None) -> int:
    """The last moment at which silence makes honest, as a heading says it; `UNSAID` where it does not."""
    return UNSAID if known_by_ms is None or delay_days is None else known_by_ms - int(delay_days * DAY_MS)


def late_rows(event_ms: I64s, day: I64s, fraud: Bools, limits_ms: I64s) -> Bools:
    """Which rows are later than somebody can be honest: than their own file's limit, or, where that is `UNSAID`, than
    the last day on which anybody in those files is."""
    unsaid = limits_ms == UNSAID
    last = day[unsaid & ~fraud].max(initial=np.iinfo(np.int64).min)
    return np.where(unsaid, day > last, event_ms > limits_ms)


def followed(table: Table) -> Bools:
    """The rows that figures may be of; all, where that would leave no row of a class."""
    if table.late is None:
        return np.ones(len(table), np.bool_)
    kept = ~table.late
    return kept if table.fraud[kept].any() and not table.fraud[kept].all() else np.ones(len(table), np.bool_)


def figures_of(table: Table) -> Table:
    """The rows of `table` that figures may be of, with a note of what is left out."""
    kept = followed(table)
    part = part_of(table, kept)
    return replace(part, notes=(*part.notes, *notes_of(table, ~kept)))


def part_of(table: Table, rows: Bools) -> Table:
    """Some rows of it. What is kept of a number-day weighs for the rest of it: one that is cut weighs as before."""
    if rows.all():
        return table
    keys = 2 * number_day_keys(table.number, table.day) + table.fraud
    _, place = np.unique(keys, return_inverse=True)
    whole, kept = np.bincount(place, table.weight), np.bincount(place, table.weight * rows)
    part = table.rows(rows)
    return replace(part, weight=part.weight * (whole[place[rows]] / kept[place[rows]]))


def notes_of(table: Table, left_out: Bools) -> tuple[str, ...]:
    """How much is `left_out` as too late, or that it could not be."""
    if table.late is None or not table.late.any():
        return ()
    if not left_out.any():
        return (
            "Fraud and honest rows are of different days: figures are of all of them, prevalence and precision of no "
            "day that there was.",
        )
    frauds = len(np.unique(table.number[left_out & table.fraud]))
    return (
        f"{int(left_out.sum()):,} rows, of {frauds:,} fraud numbers among others, are left out: they are later than "
        "somebody can be honest, and of such days those frauds alone are known that were told of at once.",
    )
