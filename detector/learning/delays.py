"""Delays: how long a fraud number went on before its first vector reached a threshold.

    vectors of a fraud number in order of time -> the first that reaches the bar -> seconds, events, victims so far

A miss is an endless delay. Seconds run from the moment from which on the label says fraud, for a number does harm
before there is a vector of it; where the table does not say that, from its first vector that is labelled fraud. A fraud
that began before the table does has no delay: nobody knows what would have been reached on the days before. Vectors are
its events only where one was taken at each (`moments` every:1); then those count too that came before the first vector,
while the number had begun fewer than the floor in 24 h: as many as its outgoing counts allow. Victims are what
`distinct_out_7d` has risen by since the vector before the first fraudulent one, or at all where there is none: an
estimate, and one that a campaign of more than a week outgrows.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detector.learning.rates import Floats
from detector.learning.table import ACTIVE_FROM, EVERY_EVENT, UNSAID, Table, Texts, Weights
from detector.records import Bools, I64s
from detector.units import DAY_MS

VICTIMS: Final = "distinct_out_7d"
OUTGOING: Final = ("calls_out_7d", "sms_out_7d")
WITHIN: Final = (5, 20, 50)
"""Events or victims within which a share is caught."""
CURVE: Final = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500)
"""Victims at which the recall so far is written."""
POINTS: Final = 100
"""Of a distribution, at most."""


@dataclass(frozen=True, slots=True)
class Delays:
    """Of each fraud number that began while it was watched; infinity = never reached, NaN = cannot be known."""

    number: I64s
    types: Texts
    seconds: Floats
    vectors: Floats
    """Up to the one that reached the bar; with the events before the first, where one was taken at every event."""
    victims: Floats
    later: Floats
    """Share of these, of its whole fraud, that came after the one that reached the bar."""
    earlier: int
    """Fraud numbers besides that were so before the table begins: these have no delay."""
    weight: Weights
    """How many each stands for."""


def delays(table: Table, reached: Bools, first_ms: int, weights: Weights | None = None) -> Delays:
    """The delays of the fraud numbers of a table with a time; `reached`: rows at or above their bar.

    `first_ms`: since when numbers were watched; `table` may be a part of those that were. `weights`: how many each
    number stands for, by its code; None = itself.
    """
    if table.event_ms is None:
        raise ValueError("wanted a table with a time (got none)")
    order = np.lexsort((np.arange(len(table)), table.event_ms, table.number))
    number = table.number[order]
    codes, first = np.unique(number, return_index=True)
    ends = np.append(first[1:], len(order))[: len(first)]
    distinct = table.column(VICTIMS)[order] if VICTIMS in table.features else None
    found, earlier = [], 0
    for code, start, end in zip(codes.tolist(), first.tolist(), ends.tolist(), strict=True):
        rows = order[start:end]
        bad = np.flatnonzero(table.fraud[rows])
        if not len(bad):
            continue
        mine = rows[bad]
        since = _since(table, int(mine[0]))
        if since < first_ms:
            earlier += 1
            continue
        at = np.flatnonzero(reached[mine])
        if not len(at):
            found.append((code, table.types[mine[0]], np.inf, np.inf, np.inf if distinct is not None else np.nan, 0.0))
            continue
        k = int(at[0])
        victims = np.nan
        if distinct is not None:
            before = distinct[start + bad[0] - 1] if bad[0] else 0.0
            victims = max(1.0, float(np.round(distinct[start + bad[k]] - before)))
        seconds = float(table.event_ms[mine[k]] - since) / 1000
        unseen = _unseen(table, int(mine[0]), int(rows[bad[0] - 1]) if bad[0] else None)
        later = (len(mine) - k - 1) / (len(mine) + unseen)
        found.append((code, table.types[mine[0]], seconds, k + 1.0 + unseen, victims, later))
    columns = list(zip(*found, strict=True)) if found else [()] * 6
    figures = [np.array(column, np.float64) for column in columns[2:]]
    numbers = np.array(columns[0], np.int64)
    return Delays(
        numbers,
        np.array(columns[1], np.str_),
        figures[0],
        figures[1],
        figures[2],
        figures[3],
        earlier,
        np.ones(len(numbers)) if weights is None else weights[numbers],
    )


def _since(table: Table, row: int) -> int:
    """The moment from which on a fraud number's delay runs; `row`: its first that is labelled fraud."""
    if table.event_ms is None:
        raise ValueError("wanted a table with a time (got none)")
    if table.active_from_ms is None or table.active_from_ms[row] == UNSAID:
        return int(table.event_ms[row])
    return int(table.active_from_ms[row])


def _unseen(table: Table, row: int, before: int | None) -> int:
    """Fraudulent events, at most, before `row`, the number's first fraudulent vector. `before`: the vector before it.

    None was taken at them: the number had begun fewer than the floor in 24 h. So of each such day there are fewer than
    the floor, and of all no more than its outgoing counts hold.
    """
    if table.event_ms is None or table.moments != EVERY_EVENT or not table.floor:
        return 0
    at_ms = int(table.event_ms[row])
    last_ms = None if before is None else int(table.event_ms[before])
    if table.active_from_ms is not None and table.active_from_ms[row] != UNSAID:
        gap_ms = at_ms - max(int(table.active_from_ms[row]), last_ms or 0)
    else:
        # Whoever was scored within the day before was scored at the first fraudulent event too.
        gap_ms = 0 if last_ms is not None and at_ms - last_ms < DAY_MS else DAY_MS
    most = (table.floor - 1) * -(-gap_ms // DAY_MS)
    if set(OUTGOING) <= set(table.features):
        counted = sum(float(np.nan_to_num(table.column(name)[row])) for name in OUTGOING)
        most = min(most, round(counted) - 1)
    return max(0, most)


def written(table: Table, found: Delays) -> dict[str, Any]:
    """For JSON: median and p90 with misses endless (null), what was caught early, and what went on."""
    events, weight = table.moments == EVERY_EVENT, found.weight
    said: dict[str, Any] = {
        "numbers": len(found.number),
        "began_earlier": found.earlier,
        "seconds": _spread(found.seconds, weight),
        "events" if events else "vectors": _spread(found.vectors, weight),
        "damage_not_prevented": 1 - _mean(found.later, weight) if len(found.later) else None,
    }
    said["distribution"] = _distribution(found.seconds, weight)
    if events:
        said["caught_within_events"] = _within(found.vectors, weight)
    if not np.isnan(found.victims).any():
        said["victims"] = _spread(found.victims, weight)
        said["caught_within_victims"] = _within(found.victims, weight)
        said["recall_by_victims"] = (
            [[k, _mean(found.victims <= k, weight)] for k in CURVE] if len(found.victims) else []
        )
    return said


def missing(table: Table) -> list[str]:
    """What of the delays this table cannot tell, a sentence each."""
    notes = _below(table)
    if table.event_ms is None:
        return [*notes, "Delays are not known: the table has no time."]
    if earlier := _earlier(table):
        notes.append(f"{earlier:,} fraud numbers were so before the table begins: they have no delay.")
    if table.active_from_ms is None or (table.active_from_ms[table.fraud] == UNSAID).any():
        notes.append(
            "Seconds run from a number's first vector that is labelled fraud, not from its first fraudulent event: "
            f"the table has no {ACTIVE_FROM}, or not for every fraud number."
        )
    if table.moments != EVERY_EVENT:
        notes.append(
            "Delays in events are not known: vectors were not taken at every event "
            f"({table.moments or 'the table does not say when'}); delays in vectors are given instead."
        )
    if VICTIMS not in table.features:
        notes.append(f"Victims are not known: the table has no {VICTIMS}.")
    else:
        notes.append(
            f"Victims are estimated, as the rise of {VICTIMS} since the vector before the first fraudulent one."
        )
    return notes


def _below(table: Table) -> list[str]:
    """Of whom there is no vector."""
    if table.floor is None or table.floor < 2:
        return []
    told = [
        f"A fraud number that in no 24 h began {table.floor} calls or messages has no vector: it is in none of "
        "these shares. `detector features` says how many of those that labels name have none."
    ]
    if table.moments == EVERY_EVENT:
        told.append(
            f"Events are counted from the first fraudulent one; of those before a number's first vector at most "
            f"{table.floor - 1} a day, by its outgoing counts."
        )
    return told


def _earlier(table: Table) -> int:
    """Numbers whose fraud began before the first vector."""
    if table.event_ms is None or table.active_from_ms is None:
        return 0
    since = table.active_from_ms
    before = table.fraud & (since != UNSAID) & (since < table.event_ms.min())
    return len(np.unique(table.number[before]))


def _spread(values: Floats, weight: Weights) -> dict[str, float | None]:
    if not len(values):
        return {"median": None, "p90": None}
    return {name: _finite(_quantile(values, weight, q)) for name, q in (("median", 0.5), ("p90", 0.9))}


def _quantile(values: Floats, weight: Weights, q: float) -> float:
    """The lowest value that `q` of the rest, and it, lie at or below; of equal weights numpy's next one up."""
    if (weight == weight[0]).all():
        return float(np.quantile(values, q, method="higher"))
    return float(np.quantile(values, q, method="inverted_cdf", weights=weight))


def _distribution(seconds: Floats, weight: Weights) -> list[list[float]]:
    """[seconds, share of all reached by then], at least a second: it is drawn on a logarithmic axis."""
    if not len(seconds):
        return []
    order = np.argsort(seconds, kind="stable")
    order = order[np.isfinite(seconds[order])]
    at = np.maximum(seconds[order], 1.0)
    upto = np.cumsum(weight[order]) / weight.sum()
    if not len(at):
        return []
    return [[float(at[i]), float(upto[i])] for i in np.unique(np.linspace(0, len(at) - 1, POINTS).round().astype(int))]


def _within(values: Floats, weight: Weights) -> dict[str, float | None]:
    return {str(k): _mean(values <= k, weight) if len(values) else None for k in WITHIN}


def _mean(values: Floats | Bools, weight: Weights) -> float:
    return float(np.average(values, weights=weight))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
