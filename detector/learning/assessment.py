"""Assessment: what margins are worth on a table whose labels are known, as `evaluation.json` says it.

    table, margins, bars -> ranking, levels, types, hard negatives, delays, calibration, curves

Keys of `evaluation-1`, in the order written. An interval is {value, low, high}, 95 %, by number; null = unknown. Shares
of numbers, areas and curves count a number as many times as it stands for (`greatest`); `numbers` are counts.

    figures          simulator or real: what the table is. Figures of the two are never set side by side
    table            what was judged: rows, numbers, number-days, span, prevalence, notes
    ranking          area under the curve and average precision; one entry a number, by its greatest margin
    levels           by level (watch, flag, block) of the bundle: margin, honest number-days and numbers that reach it,
                     recall (a fraud number counts once), recall of fraud number-days, and what follows at three
                     prevalences: precision and alerts per million scored number-days
    read_off         the same recall at margins that 0.1 % and 0.01 % of this table's own honest number-days reach, in
                     each replicate of those that were drawn; `extrapolated` where they are too few to reach it
    types            recall, at thresholds and read off, and delays by fraud type
    groups           the same of several types together, where such groups were asked for
    hard_negatives   honest number-days by profile that reached each level
    delay            at `flag`: seconds, events and victims until it was reached; a miss is endless (null). Of frauds
                     that began before the table (`began_earlier`) there is none
    calibration      shown against seen, number-days in ten bins of equal width
    curves           precision and recall by number
    frauds           of each fraud number what a comparison of two models needs: its place among the table's numbers,
                     type, weight, greatest margin; and the margins that were read off in each replicate

`detector evaluate` adds `bundle`, `importance`, `ablations` and `baselines`. `bundle.seen` names the judged files that
the bundle was fitted on, or its thresholds set on.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detector.learning import delays as delay
from detector.learning.greatest import Greatest, number_days_of_table, number_weights, numbers_of_table
from detector.learning.rates import (
    Floats,
    Interval,
    area_intervals,
    interval,
    precision,
    precision_recall,
    share,
)
from detector.learning.readoff import ReadOff
from detector.learning.table import Table
from detector.learning.thresholds import SHARES, logit
from detector.verdict.manifest import LEVELS, Calibration, Thresholds
from detector.verdict.trees import Margins

FORMAT: Final = "evaluation-1"
PREVALENCES: Final = (1e-4, 1e-3, 1e-2)
"""Of fraud among scored number-days: what operators report of the numbers active on a day lies between them. Whoever
began too little to be scored is not among these, so that shares of all active numbers are lower."""
MILLION: Final = 1_000_000
BINS: Final = 10
POINTS: Final = 200
"""Of a curve, at most."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Margins of a table's rows, and the bar of each row at each level: one and the same for a number's rows."""

    table: Table
    margins: Margins
    bars: Mapping[str, Margins]

    @staticmethod
    def of(table: Table, margins: Margins, thresholds: Thresholds) -> "Judged":
        """Every row held to the same thresholds."""
        return Judged(table, margins, {level: np.full(len(table), getattr(thresholds, level)) for level in LEVELS})


def assess(
    judged: Judged,
    thresholds: Thresholds,
    calibration: Calibration,
    training: float | None,
    seed: int,
    groups: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Any]:
    """The evaluation of `judged`; `calibration` is for number-days of which `training` are fraud (None = not known).

    `groups`: types of fraud to judge together, by name.
    """
    table = judged.table
    days = number_days_of_table(table, judged.margins)
    numbers = numbers_of_table(table, judged.margins)
    ranked, precise = area_intervals(numbers.margin, numbers.fraud, seed, numbers.weight)
    read_off = ReadOff.of(days, seed)
    by_type = _ByType(judged, read_off, numbers, seed)
    evaluation = {
        "format": FORMAT,
        "figures": "simulator" if table.kind == "simulated" else "real",
        "table": _table(table, days, numbers),
        "ranking": {"area": ranked.written(), "average_precision": precise.written()},
        "levels": {level: _level(level, judged, thresholds, days, numbers, seed) for level in LEVELS},
        "read_off": read_off.written(numbers, numbers.fraud, seed),
        "types": [{"type": name, **by_type.said({name})} for name in by_type.names],
        "hard_negatives": _hard_negatives(judged, days),
        "delay": _delay(judged),
        "calibration": _calibration(days, calibration, training),
        "curves": {"precision_recall": _curve(numbers)},
        "frauds": by_type.each(),
    }
    if groups is not None:
        evaluation["groups"] = [
            {"group": name, "types": sorted(types), **by_type.said(types)} for name, types in groups.items()
        ]
    return evaluation


def flat(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The figures that a manifest keeps: those that are known."""
    found: dict[str, float | None] = {
        "area": evaluation["ranking"]["area"]["value"],
        "average_precision": evaluation["ranking"]["average_precision"]["value"],
        "honest_number_days": evaluation["table"]["honest_number_days"],
        "fraud_numbers": evaluation["table"]["fraud_numbers"],
    }
    for level, said in evaluation["levels"].items():
        found[f"recall_{level}"] = said["recall"]["value"]
        found[f"honest_share_{level}"] = said["honest_days"]["value"]
    for kind in evaluation["types"]:
        for level in LEVELS:
            found[f"recall_{level}_{kind['type']}"] = kind["recall"][level]["value"]
    return {name: float(value) for name, value in found.items() if value is not None}


def _table(table: Table, days: Greatest, numbers: Greatest) -> dict[str, Any]:
    return {
        "files": dict(table.files),
        "rows": len(table),
        "numbers": len(numbers.number),
        "fraud_numbers": int(numbers.fraud.sum()),
        "honest_numbers": int((~numbers.fraud).sum()),
        "fraud_number_days": int(days.fraud.sum()),
        "honest_number_days": int((~days.fraud).sum()),
        "prevalence": float(np.average(days.fraud, weights=days.weight)),
        "first_ms": None if table.event_ms is None else int(table.event_ms.min()),
        "last_ms": None if table.event_ms is None else int(table.event_ms.max()) + 1,
        "moments": table.moments,
        "notes": [*table.notes, *_drawn(numbers), *delay.missing(table), *_unnamed(table)],
    }


def _drawn(numbers: Greatest) -> list[str]:
    """That some stand for others, and for how many."""
    uneven = numbers.fraud & (numbers.weight != 1)
    if not uneven.any():
        return []
    return [
        f"{int(uneven.sum()):,} of {int(numbers.fraud.sum()):,} fraud numbers do not stand for themselves alone, but "
        f"for {float(numbers.weight[uneven].sum()):,.0f}: recall, areas and delays count them as that many."
    ]


def _unnamed(table: Table) -> list[str]:
    notes = []
    if not (table.types[table.fraud] != "").any():
        notes.append("Recall by type is not known: no fraud row names its type.")
    if not (table.types[~table.fraud] != "").any():
        notes.append("Hard negatives are not known: no honest row names its profile.")
    return notes


def _level(
    level: str, judged: Judged, thresholds: Thresholds, days: Greatest, numbers: Greatest, seed: int
) -> dict[str, Any]:
    day_bar, number_bar = judged.bars[level][days.row], _bars_of(judged, numbers, level)
    reached, caught = days.margin >= day_bar, numbers.margin >= number_bar
    honest, bad = ~days.fraud, days.fraud
    wrong, wrong_drawn = share(reached[honest], days.number[honest], days.weight[honest], seed)
    found, found_drawn = share(reached[bad], days.number[bad], days.weight[bad], seed)
    recall, _ = share(caught[numbers.fraud], numbers.number[numbers.fraud], numbers.weight[numbers.fraud], seed)
    return {
        "margin": float(getattr(thresholds, level)),
        "set_at": SHARES[level],
        "honest_days": wrong.written(),
        "honest_days_reached": int(reached[honest].sum()),
        "honest_numbers_reached": int(caught[~numbers.fraud].sum()),
        "recall": recall.written(),
        "recall_days": found.written(),
        "at_prevalence": [_at(prevalence, (found, found_drawn), (wrong, wrong_drawn)) for prevalence in PREVALENCES],
    }


def _at(prevalence: float, found: tuple[Interval, Floats], wrong: tuple[Interval, Floats]) -> dict[str, Any]:
    """What a day looks like where `prevalence` of the scored numbers are fraud."""
    (recall, recalls), (honest, honests) = found, wrong
    if recall.value is None or honest.value is None:
        return {"prevalence": prevalence, "precision": None, "alerts": None}

    def alerts(recall: Floats | float, wrong: Floats | float) -> Floats:
        return np.asarray(MILLION * (prevalence * recall + (1 - prevalence) * wrong))

    few_found, much_found = _ends(recall, recalls)
    few_wrong, much_wrong = _ends(honest, honests)
    precise = float(precision(prevalence, recall.value, honest.value))
    told = float(alerts(recall.value, honest.value))
    return {
        "prevalence": prevalence,
        "precision": _between(
            interval(precise, precision(prevalence, few_found, much_wrong)),
            interval(precise, precision(prevalence, much_found, few_wrong)),
        ).written(),
        "alerts": _between(
            interval(told, alerts(few_found, few_wrong)), interval(told, alerts(much_found, much_wrong))
        ).written(),
    }


def _ends(figure: Interval, drawn: Floats) -> tuple[Floats, Floats]:
    """Replicates of a share for its low and for its high end; where all are alike, nought or one, its exact bounds."""
    if figure.value not in (0, 1) or figure.low is None or figure.high is None:
        return drawn, drawn
    return np.full_like(drawn, figure.low), np.full_like(drawn, figure.high)


def _between(low: Interval, high: Interval) -> Interval:
    """The low end of the one and the high end of the other."""
    return Interval(low.value, low.low, high.high)


def _bars_of(judged: Judged, numbers: Greatest, level: str) -> Margins:
    """The bar of each number: that of any of its rows."""
    bars = np.empty(len(judged.table.numbers))
    bars[judged.table.number] = judged.bars[level]
    return bars[numbers.number]


class _ByType:
    """What some types of fraud come to."""

    def __init__(self, judged: Judged, read_off: ReadOff, numbers: Greatest, seed: int) -> None:
        table = judged.table
        self._judged, self._numbers, self._seed = judged, numbers, seed
        self._read_off = read_off
        kinds = np.full(len(table.numbers), "", dtype=table.types.dtype)
        kinds[table.number[table.fraud]] = table.types[table.fraud]
        self._kinds = kinds[numbers.number]
        self._weights = number_weights(table)
        self.names = sorted(set(table.types[table.fraud].tolist()) - {""})

    def each(self) -> dict[str, Any]:
        """Of the fraud numbers, aligned. Places tell two evaluations of one table which are the same, and nobody who
        has not the table who they are: a hash of a telephone number is soon found out."""
        numbers, bad = self._numbers, self._numbers.fraud
        drawn = self._read_off.drawn.values()
        return {
            "place": numbers.number[bad].tolist(),
            "type": self._kinds[bad].tolist(),
            "weight": numbers.weight[bad].tolist(),
            "margin": numbers.margin[bad].tolist(),
            "bars": [[bar if np.isfinite(bar) else None for bar in bars.tolist()] for bars in drawn],
        }

    def said(self, types: Collection[str]) -> dict[str, Any]:
        """Numbers, recall at thresholds and read off, and delays of the fraud numbers of these types."""
        judged, numbers, table = self._judged, self._numbers, self._judged.table
        mine = numbers.fraud & np.isin(self._kinds, list(types))

        def recall(bars: Margins) -> dict[str, float | None]:
            caught = numbers.margin[mine] >= bars
            return share(caught, numbers.number[mine], numbers.weight[mine], self._seed)[0].written()

        said: dict[str, Any] = {
            "numbers": int(mine.sum()),
            "recall": {level: recall(_bars_of(judged, numbers, level)[mine]) for level in LEVELS},
            "read_off": self._read_off.written(numbers, mine, self._seed),
            "delay": None,
        }
        if table.event_ms is not None:
            rows = np.isin(table.number, numbers.number[mine])
            reached = judged.margins[rows] >= judged.bars["flag"][rows]
            found = delay.delays(table.rows(rows), reached, int(table.event_ms.min()), self._weights)
            said["delay"] = delay.written(table, found)
        return said


def _hard_negatives(judged: Judged, days: Greatest) -> list[dict[str, Any]]:
    profile = judged.table.types[days.row]
    found = []
    for name in sorted(set(profile[~days.fraud].tolist()) - {""}):
        mine = ~days.fraud & (profile == name)
        reached = {level: int((days.margin[mine] >= judged.bars[level][days.row][mine]).sum()) for level in LEVELS}
        found.append({"profile": name, "number_days": int(mine.sum()), "reached": reached})
    return found


def _delay(judged: Judged) -> dict[str, Any] | None:
    """At `flag`: what a case is opened for."""
    table = judged.table
    if table.event_ms is None:
        return None
    reached = judged.margins >= judged.bars["flag"]
    return delay.written(table, delay.delays(table, reached, int(table.event_ms.min()), number_weights(table)))


def _calibration(days: Greatest, calibration: Calibration, training: float | None) -> dict[str, Any]:
    """What the display value says at this table's prevalence, against what was."""
    here = float(np.average(days.fraud, weights=days.weight))
    shift = 0.0 if training is None or here in (0, 1) else logit(here) - logit(training)
    with np.errstate(over="ignore"):
        shown = 1 / (1 + np.exp(-(calibration.a * days.margin + calibration.b + shift)))
    place = np.minimum((BINS * shown).astype(np.int64), BINS - 1)
    bins = []
    for k in np.unique(place):
        part = np.flatnonzero(place == k)
        weight = days.weight[part]
        bins.append(
            {
                "shown": float(np.average(shown[part], weights=weight)),
                "seen": float(np.average(days.fraud[part], weights=weight)),
                "number_days": len(part),
            }
        )
    off = np.average([abs(one["shown"] - one["seen"]) for one in bins], weights=[one["number_days"] for one in bins])
    return {"prevalence": here, "bins": bins, "mean_error": float(off)}


def _curve(numbers: Greatest) -> list[list[float]]:
    """[recall, precision] from the highest margin down."""
    recall, precise = precision_recall(numbers.margin, numbers.fraud, numbers.weight)
    places = np.unique(np.linspace(0, len(recall) - 1, POINTS).round().astype(int))
    return [[float(recall[i]), float(precise[i])] for i in places]
