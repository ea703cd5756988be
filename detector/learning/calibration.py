"""Calibration: the simulated lifetimes beside the real ones of CALIBRATION's table (Sichuan 2019-20).

lifetimes of honest and fraudulent numbers -> quantiles, ranks and single-measure AUCs, beside the table's

The table is of up to eight months of each number. A simulated span of eight months (`SPAN_DAYS`) is compared with
it as it stands. Of a shorter one only what does not grow with time can be: outgoing share, the two durations,
received share (`TIMELESS`); counts grow with the days but distinct counterparties and the most contacts do not grow in
proportion, and hours and days fill up, so those rows say nothing before the span is full.

One population of the table's size says within a few hundredths only how well all measures together tell: its bar at one
false alarm in a thousand is set by its four most suspicious honest numbers. `--seeds` draws several, and gives mean and
spread.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

from detector.learning.lifetime import MEASURES, Floats, Lifetimes, auc, lifetimes
from detector.learning.ordinary import Ordinary
from detector.learning.profiles import Home
from detector.learning.simulate import Scenario, Traffic, simulate
from detector.records import Bools, I64s

SPAN_DAYS: Final = 240
"""Eight months, the longest life in the table."""

SHARE: Final = 0.32
"""Fraudulent numbers among the table's."""

NUMBERS: Final = 6_106
"""The table's numbers, both classes."""

QUANTILES: Final = (0.10, 0.25, 0.50, 0.75, 0.90)

OFF: Final = 0.10
"""A real quantile lies within so many ranks of its place among the simulated values: p25 between p15 and p35."""
AUC_OFF: Final = 0.05
"""How far a measure's AUC may be from the table's."""
AREA: Final = (0.91, 0.95)
"""Between these lies the AUC of all measures together: 0.93 in life."""
RECALL: Final = (0.35, 0.60)
"""Between these lies the share of frauds that all measures together tell at one false alarm in a thousand."""

TIMELESS: Final = frozenset({"outgoing_share", "mean_duration_s", "median_duration_s", "sms_received_share"})


@dataclass(frozen=True, slots=True)
class Real:
    """A row of the table: p10, p25, p50, p75, p90 of both classes, and how well the measure separates them."""

    honest: tuple[float, ...]
    fraud: tuple[float, ...]
    auc: float
    """Of the better direction."""
    low: bool
    """Whether a low value points at fraud."""


TABLE: Final[dict[str, Real]] = {
    "calls": Real((47, 163, 467, 1070, 2070), (29, 88, 216, 624, 1920), 0.61, True),
    "counterparties": Real((12, 27, 61, 137, 259), (15, 56, 138, 307, 753), 0.66, False),
    "distinct_share": Real((0.066, 0.094, 0.148, 0.259, 0.456), (0.162, 0.433, 0.806, 0.952, 0.998), 0.875, False),
    "outgoing_share": Real((0.285, 0.406, 0.519, 0.678, 1), (0.461, 0.753, 0.971, 1, 1), 0.78, False),
    "devices": Real((1, 1, 1, 2, 3), (1, 1, 2, 4, 7), 0.73, False),
    "mean_contacts": Real((2.2, 3.9, 6.8, 10.6, 15.2), (1, 1.05, 1.24, 2.3, 6.2), 0.875, True),
    "most_contacts": Real((10, 38, 101, 222, 412), (2, 3, 6, 21, 184), 0.82, True),
    "mean_duration_s": Real((42, 56, 77, 113, 168), (33, 57, 92, 146, 226), 0.56, False),
    "median_duration_s": Real((24, 30, 37, 48, 65), (19, 29, 41, 55, 82), 0.54, False),
    "hours": Real((13, 16, 18, 20, 23), (5, 9, 11, 16, 22), 0.78, True),
    "days_of_month": Real((20, 30, 31, 31, 31), (2, 3, 6, 28, 31), 0.83, True),
    "sms": Real((257, 554, 941, 1580, 2480), (41, 67, 159, 716, 2460), 0.75, True),
    "sms_received_share": Real((0.953, 0.983, 0.994, 0.998, 1), (0.773, 0.873, 0.957, 0.987, 1), 0.76, True),
}
"""4,144 honest and 1,962 fraudulent numbers."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure and class beside the table."""

    measure: str
    fraud: bool
    simulated: tuple[float, ...]
    """Quantiles p10, p25, p50, p75, p90."""
    off: float
    """The worst distance, in ranks (0 to 1), of a real quantile from its place among the simulated values.

    Where the real p25 is what 31 % of the simulated numbers stay below, the distance is 0.06. It needs no unit, so one
    bound serves counts, shares and seconds; a value that many numbers share takes the nearest of its ranks.
    """


@dataclass(frozen=True, slots=True)
class Together:
    """How well all measures together tell frauds from honest numbers that the model has not seen."""

    area: float
    recall: float
    """Share of the frauds above the bar that one honest number in a thousand reaches."""

    @property
    def within(self) -> bool:
        """Whether it is as in life."""
        return AREA[0] <= self.area <= AREA[1] and RECALL[0] <= self.recall <= RECALL[1]


@dataclass(frozen=True, slots=True)
class Calibration:
    """All of the comparison."""

    rows: tuple[Compared, ...]
    aucs: dict[str, float]
    """How well each measure alone separates the classes, in the table's direction."""
    honest: int
    fraud: int

    @property
    def worst(self) -> Compared:
        """The row that lies farthest off."""
        return max(self.rows, key=lambda row: row.off)

    @property
    def worst_auc(self) -> str:
        """The measure whose AUC lies farthest from the table's."""
        return max(self.aucs, key=lambda measure: abs(self.aucs[measure] - TABLE[measure].auc))

    @property
    def within(self) -> bool:
        """Whether every row and AUC is as in life."""
        alone = abs(self.aucs[self.worst_auc] - TABLE[self.worst_auc].auc)
        return self.worst.off <= OFF and alone <= AUC_OFF

    def lines(self) -> list[str]:
        """A table of Markdown: simulated | real, for both classes, and the AUCs."""
        lines = [
            f"{self.honest:,} honest and {self.fraud:,} fraudulent numbers; p10/25/50/75/90, simulated and real",
            "",
            "| measure | class | simulated | real | off, ranks | AUC | real AUC |",
            "| --- | --- | --- | --- | ---: | ---: | ---: |",
        ]
        for row in self.rows:
            real = TABLE[row.measure]
            found = " / ".join(f"{value:.3g}" for value in row.simulated)
            wanted = " / ".join(f"{value:.3g}" for value in (real.fraud if row.fraud else real.honest))
            alone = "| |" if row.fraud else f"| {self.aucs[row.measure]:.3f} | {real.auc:.3g} |"
            name = "fraud" if row.fraud else "honest"
            lines.append(f"| {row.measure} | {name} | {found} | {wanted} | {row.off:.3f} {alone}")
        return lines


def mobile_lifetimes(traffic: Traffic) -> tuple[Lifetimes, Bools]:
    """The lifetimes of our mobile subscribers, and which of them are fraudsters.

    Only theirs are whole: of an outsider we see what crosses our border, and a line has neither device nor messages.
    """
    people = traffic.people
    found = lifetimes(traffic.records, people.numbers[people.home == Home.MOBILE])
    marked = np.array(sorted(traffic.frauds), dtype=np.uint64)
    return found, np.isin(found.numbers, marked)


def compare(found: Lifetimes, fraud: Bools) -> Calibration:
    """The simulated lifetimes beside the real ones."""
    rows, aucs = [], {}
    for measure in MEASURES:
        values, real = found.of(measure), TABLE[measure]
        known = ~np.isnan(values)
        alone = auc(fraud[known], values[known])
        aucs[measure] = 1 - alone if real.low else alone
        for crooked, wanted in ((False, real.honest), (True, real.fraud)):
            mine = values[known & (fraud == crooked)]
            quantiles = tuple(float(value) for value in np.quantile(mine, QUANTILES))
            rows.append(Compared(measure, crooked, quantiles, _off(np.sort(mine), wanted)))
    return Calibration(tuple(rows), aucs, int((~fraud).sum()), int(fraud.sum()))


def _off(ordered: Floats, wanted: Sequence[float]) -> float:
    worst = 0.0
    for share, value in zip(QUANTILES, wanted, strict=True):
        # A printed value stands for all that round to it.
        below, above = (np.searchsorted(ordered, value * by) / len(ordered) for by in (1 - 0.5e-2, 1 + 0.5e-2))
        worst = max(worst, below - share, share - above)
    return float(worst)


def out_of_fold(values: Floats, fraud: Bools, together: I64s | None = None) -> Floats:
    """What a default HistGradientBoosting says of each number, fitted on others; numbers `together` are in one fold."""
    fold = StratifiedKFold if together is None else StratifiedGroupKFold
    folds = fold(5, shuffle=True, random_state=0)
    model = HistGradientBoostingClassifier(random_state=0)
    said: Floats = cross_val_predict(model, values, fraud, groups=together, cv=folds, method="predict_proba")[:, 1]
    return said


def tell(found: Lifetimes, fraud: Bools) -> Together:
    """How well all measures of `found` together tell frauds."""
    said = out_of_fold(found.values, fraud)
    bar = np.quantile(said[~fraud], 0.999)
    return Together(auc(fraud, said), float((said[fraud] > bar).mean()))


def populations(scenario: Scenario, seeds: int) -> Iterator[tuple[Calibration, Together]]:
    """How populations of the scenario's seed and of those after it stand to the table."""
    for seed in range(scenario.seed, scenario.seed + seeds):
        lives = mobile_lifetimes(simulate(replace(scenario, seed=seed)))
        yield compare(*lives), tell(*lives)


def _several(scenario: Scenario, seeds: int) -> Iterator[str]:
    """A line a population as soon as it is there, then what all of them come to."""
    yield "| seed | recall at 0.1 % | AUC | AUC of distinct share | farthest AUC | farthest row | within |"
    yield "| ---: | ---: | ---: | ---: | --- | --- | --- |"
    told: list[tuple[float, float, float]] = []
    within = 0
    for place, (found, together) in enumerate(populations(scenario, seeds)):
        told.append((together.recall, together.area, found.aucs["distinct_share"]))
        good = found.within and together.within
        within += good
        alone, row = found.worst_auc, found.worst
        yield (
            f"| {scenario.seed + place} | {_thousandths(told[-1])} "
            f"| {alone} {found.aucs[alone] - TABLE[alone].auc:+.3f} "
            f"| {row.measure} of {'fraud' if row.fraud else 'honest'} {row.off:.3f} | {'yes' if good else 'no'} |"
        )
    columns = list(zip(*told, strict=True))
    yield f"| mean | {_thousandths([float(np.mean(column)) for column in columns])} | | | {within} of {seeds} |"
    yield f"| spread | {_thousandths([float(np.std(column)) for column in columns])} | | | |"
    yield f"| least | {_thousandths([min(column) for column in columns])} | | | |"
    yield f"| most | {_thousandths([max(column) for column in columns])} | | | |"


def _thousandths(values: Sequence[float]) -> str:
    return " | ".join(f"{value:.3f}" for value in values)


def main() -> int:
    """Print how the simulator stands to the real numbers; of a shorter span only what does not grow with time."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--numbers", type=int, default=NUMBERS, help="default: as many as the table's")
    parser.add_argument("--days", type=int, default=SPAN_DAYS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, metavar="N", help="N seeds from that one on, a line each, and their mean")
    parser.add_argument("--demo", action="store_true", help="the demo's people and campaigns, not the ordinary ones")
    arguments = parser.parse_args()
    scenario = Scenario(arguments.numbers, arguments.days, arguments.seed)
    if not arguments.demo:
        scenario = replace(scenario, campaigns=(), ordinary=Ordinary(SHARE))
    if arguments.seeds is not None and arguments.seeds < 1:
        parser.error(f"--seeds: wanted at least 1 (got {arguments.seeds})")
    if arguments.seeds:
        for line in _several(scenario, arguments.seeds):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        return 0
    traffic = simulate(scenario)
    found = compare(*mobile_lifetimes(traffic))
    if arguments.days < SPAN_DAYS:
        found = replace(found, rows=tuple(row for row in found.rows if row.measure in TIMELESS))
    sys.stdout.write("\n".join(found.lines()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
