"""Backlog: the records that every engine reads, and what the smaller job must make of them."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from detector.broker.kafka import KafkaBroker
from detector.errors import ConfigError
from detector.learning.encode import encode
from detector.learning.simulate import Scenario, simulate
from loadtest.oracle import RECORDS as SOURCE
from loadtest.peers.job import Pane, count, score
from loadtest.throughput import CHUNK, SOURCE_PARTITIONS

PER_NUMBER: Final = 94
"""Records of a simulated subscriber in the eight days of a run, those about strangers and senders included."""
COEFFICIENTS: Final = (0.19, 1.31, -0.41, 0.09, -1.19, 0.8, 1.1, 2.73)
INTERCEPT: Final = -6.9
"""A logistic model fitted to the campaigns in 285,000 simulated records. What an engine costs does not depend on it."""
DECIDED: Final = 0.01
"""Share of the records that give a decision."""
NEAR: Final = 0.0005
"""How far from that share the threshold may lie, to fall into a gap between scores: a logarithm may differ by its last
bit from one engine to another, and must not decide."""


Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Backlog:
    """Records, oldest first, and what must come of them."""

    values: list[bytes]
    callers: list[bytes]
    threshold: float
    decided: Counter[str]
    """Ids of the records that give a decision."""

    @property
    def record_bytes(self) -> float:
        """Of a record, on average."""
        return sum(map(len, self.values)) / len(self.values)

    def publish(self, broker: KafkaBroker) -> None:
        """The records stand in the source's topic, keyed by caller, each caller's in one partition and in order.

        The peers need that. Our own detector takes any key, and reads none.
        """
        partitions = spread(Counter(self.callers))
        for start in range(0, len(self.values), CHUNK):
            parts: list[list[tuple[bytes | None, bytes | None]]] = [[] for _ in range(SOURCE_PARTITIONS)]
            chunk = slice(start, start + CHUNK)
            for caller, value in zip(self.callers[chunk], self.values[chunk], strict=True):
                parts[partitions[caller]].append((caller, value))
            for partition, part in enumerate(parts):
                broker.publish(SOURCE, part, partition)


def spread(records: Counter[bytes]) -> dict[bytes, int]:
    """A partition for every caller, so that all are as long as each other: else engines that work by partition would be
    measured by the luck of one hash, for one sender in 43,000 callers has 7 % of the records."""
    partitions, lengths = {}, [0] * SOURCE_PARTITIONS
    for caller, count_of in records.most_common():
        shortest = lengths.index(min(lengths))
        partitions[caller] = shortest
        lengths[shortest] += count_of
    return partitions


def draw(records: int, seed: int) -> Backlog:
    """About so many records of a simulated network, those that `loadtest throughput` draws too."""
    if records < PER_NUMBER:
        raise ConfigError(f"--records: wanted at least {PER_NUMBER} (got {records})")
    values = encode(simulate(Scenario(numbers=-(-records // PER_NUMBER), days=8, seed=seed)).records)
    ids, callers, scores = _pass(values)
    threshold = _threshold(scores)
    return Backlog(values, callers, threshold, Counter(ids[i] for i in np.flatnonzero(scores > threshold)))


def _pass(values: list[bytes]) -> tuple[list[str], list[bytes], Scores]:
    """Every record's id, caller and score: one plain pass."""
    remembered: dict[str, list[Pane]] = {}
    ids, callers, scores = [], [], np.empty(len(values))
    for i, value in enumerate(values):
        record = orjson.loads(value)
        caller = record["from"]
        panes = remembered[caller] = count(remembered.get(caller), record)
        ids.append(record["id"])
        callers.append(caller.encode())
        scores[i] = score(panes, COEFFICIENTS, INTERCEPT)
    return ids, callers, scores


def _threshold(scores: Scores) -> float:
    """In the middle of the widest gap between scores that are near the share that is to be decided."""
    ranked = np.sort(scores)
    first = int((1 - DECIDED - NEAR) * len(ranked))
    last = max(first + 2, int((1 - DECIDED + NEAR) * len(ranked)))
    near = ranked[first:last]
    widest = int(np.argmax(np.diff(near)))
    return float(near[widest] + near[widest + 1]) / 2
