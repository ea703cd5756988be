"""Scoring: the margin at every row that production would score, and what its number was then."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from detector.learning.cdr import subjects
from detector.learning.labels import FRAUD_ROW, HONEST_ROW, Truth
from detector.learning.replay import day_of, number_days_of, replay
from detector.learning.seeds import FIRST_DAY
from detector.learning.simulate import Progress, Traffic
from detector.records import Bools, I64s, U64s
from detector.verdict.trees import Margins, Vectors


class Scorer(Protocol):
    """A model, or the trees it is made of."""

    def margins(self, vectors: Vectors) -> Margins:
        """Raw scores of vectors f64[n, features]."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """All scored rows of a scenario's warm days, in log order; arrays are aligned."""

    numbers: U64s
    event_ms: I64s
    days: I64s
    margins: Margins
    truth: I64s
    """`HONEST_ROW`, `FRAUD_ROW` or `NEITHER`."""


@dataclass(frozen=True, slots=True)
class NumberDays:
    """The greatest margin of each number on each day, fraudulent and honest parts of a day apart."""

    numbers: U64s
    margins: Margins
    fraud: Bools


def score(traffic: Traffic, scorer: Scorer, floor: int, progress: Progress | None = None) -> Scores:
    """Every FROM row above the floor from `FIRST_DAY` on is scored, right after it is counted."""
    records, numbers = traffic.records, subjects(traffic.records)
    warm = day_of(traffic, records["end_ms"]) >= FIRST_DAY
    taken = [(chunk.records, scorer.margins(chunk.vectors)) for chunk in replay(traffic, warm, floor, progress)]
    index = np.concatenate([part for part, _ in taken])
    event_ms = records["end_ms"][index]
    return Scores(
        numbers=numbers[index],
        event_ms=event_ms,
        days=day_of(traffic, event_ms),
        margins=np.concatenate([part for _, part in taken]),
        truth=Truth(traffic.labels, traffic.honest_numbers).of(numbers[index], event_ms).astype(np.int64),
    )


def number_days(scores: Scores) -> NumberDays:
    """One entry a number, day and truth; rows that are neither honest nor fraud are left out."""
    known = (scores.truth == HONEST_ROW) | (scores.truth == FRAUD_ROW)
    numbers, fraud = scores.numbers[known], scores.truth[known] == FRAUD_ROW
    keys = number_days_of(numbers, scores.days[known]) << np.uint64(1) | fraud.astype(np.uint64)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    greatest = np.full(len(first), -np.inf)
    np.maximum.at(greatest, inverse, scores.margins[known])
    return NumberDays(numbers[first], greatest, fraud[first])
