"""Dataset: a few vectors of each number-day that somebody may be judged on, with what the number was then.

A number-day is a number on one day of the scenario. However many vectors are taken of it, it weighs 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.learning.cdr import subjects
from detector.learning.labels import FRAUD_ROW, NEITHER, Truth
from detector.learning.replay import day_of, number_days_of, replay
from detector.learning.seeds import FIRST_DAY
from detector.learning.simulate import Traffic
from detector.records import Bools, I64s, U64s, mix64
from detector.verdict.trees import Vectors

HONEST_VECTORS: Final = 4
FRAUD_VECTORS: Final = 12
"""Vectors taken of a number-day at most."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Vectors with labels; `number_day` tells which belong together."""

    vectors: Vectors
    fraud: Bools
    number: U64s
    number_day: U64s


def training_set(traffic: Traffic, floor: int) -> Dataset:
    """A few vectors of each number-day that somebody may be judged on, with what the number was then."""
    records, numbers = traffic.records, subjects(traffic.records)
    truth = Truth(traffic.labels, traffic.honest_numbers).of(numbers, records["end_ms"])
    eligible = np.flatnonzero((day_of(traffic, records["end_ms"]) >= FIRST_DAY) & (truth != NEITHER))
    days = number_days_of(numbers[eligible], day_of(traffic, records["end_ms"][eligible]))
    rng = np.random.default_rng(traffic.scenario.seed)
    fraud = truth[eligible] == FRAUD_ROW
    # A fraud's first events are few, and the sooner it is caught the better: its early rows go first.
    priority = rng.random(len(eligible)) * np.where(fraud, 10 + _rank(days), 1)
    drawn = np.argsort(priority, kind="stable")
    first = _rank(days[drawn]) < np.where(fraud[drawn], FRAUD_VECTORS, HONEST_VECTORS)
    wanted = np.zeros(len(records), dtype=bool)
    wanted[eligible[drawn[first]]] = True
    chunks = list(replay(traffic, wanted, floor))
    index = np.concatenate([chunk.records for chunk in chunks])
    return Dataset(
        vectors=np.concatenate([chunk.vectors for chunk in chunks]),
        fraud=truth[index] == FRAUD_ROW,
        number=numbers[index],
        number_day=number_days_of(numbers[index], day_of(traffic, records["end_ms"][index])),
    )


def joined(parts: Sequence[Dataset]) -> Dataset:
    """One set; number-days of different scenarios stay apart."""
    return Dataset(
        vectors=np.concatenate([part.vectors for part in parts]),
        fraud=np.concatenate([part.fraud for part in parts]),
        number=np.concatenate([part.number for part in parts]),
        number_day=np.concatenate([mix64(part.number_day + np.uint64(i)) for i, part in enumerate(parts)]),
    )


def _rank(keys: U64s) -> I64s:
    """How many equal keys stand before each."""
    by_key = np.argsort(keys, kind="stable")
    ordered = keys[by_key]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(new)
    rank = np.empty(len(keys), dtype=np.int64)
    rank[by_key] = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    return rank
