"""Parity: what serving scored is what training computes, bit for bit, or the features that differ are named.

    served vectors (topic or archive) --+
                                        +--> compare, by number and record --> Parity
    rows --Taker--> Taken, or a table --+

Both sides run the same kernels. What would come between them: another version or another machine on one side, a state
that a snapshot brought back wrongly, rows that the archive has lost, settings that differ (the home's local time).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from detector.features.catalogue import NAMES
from detector.learning.features import NOWHERE, Taken
from detector.learning.vectors import VectorTable, vectors_of
from detector.records import Bools, Role, number_text, parse_number
from detector.verdict.served import Served
from detector.verdict.trees import Vectors

Key = tuple[int, int, int, int]
"""Number, source, and its partition and offset: of a record only one row is its originator's."""

EXAMPLES: Final = 3
"""Vectors that are shown of each feature."""


@dataclass(frozen=True, slots=True)
class Example:
    """One value that differs."""

    number: str
    source: int
    partition: int
    offset: int
    served: float
    computed: float


@dataclass(slots=True)
class Parity:
    """What a comparison came to."""

    served: int = 0
    """Vectors of originators that serving kept."""
    compared: int = 0
    differing: int = 0
    """Compared vectors with any difference."""
    features: Counter[str] = field(default_factory=Counter)
    """How many vectors differ in each feature."""
    examples: dict[str, list[Example]] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Served vectors that were not computed."""
        return self.served - self.compared


def of_originators(served: Served) -> Served:
    """Those that training computes: a rule may also have had a recipient's."""
    found: Served = served[served["role"] == Role.FROM]
    return found


def compare(served: Served, taken: Iterable[Taken]) -> Parity:
    """`taken` is held against `served`, which are originators'. Memory is that of `served` and of one `Taken`."""
    waiting = {key: i for i, key in enumerate(_keys(served))}
    found = Parity(served=len(waiting))
    offsets = np.unique(served["offset"]).astype(np.int64)
    for each in taken:
        likely = np.flatnonzero(np.isin(each.offsets, offsets))
        some = each.picked(likely)
        keys = zip(
            *(column.tolist() for column in (some.numbers, some.sources, some.partitions, some.offsets)), strict=True
        )
        pairs = [(waiting.pop(key), j) for j, key in enumerate(keys) if key in waiting]
        if pairs:
            mine, theirs = np.array(pairs).T
            _note(found, served[mine], some.vectors[theirs])
    return found


def _keys(served: Served) -> Iterator[Key]:
    return zip(*(served[name].tolist() for name in ("number", "source", "partition", "offset")), strict=True)


def _note(found: Parity, served: Served, computed: Vectors) -> None:
    unlike = differ(served["vector"], computed)
    found.compared += len(served)
    found.differing += int(unlike.any(axis=1).sum())
    for feature in np.flatnonzero(unlike.any(axis=0)).tolist():
        rows = np.flatnonzero(unlike[:, feature]).tolist()
        found.features[NAMES[feature]] += len(rows)
        shown = found.examples.setdefault(NAMES[feature], [])
        for i in rows[: EXAMPLES - len(shown)]:
            one = served[i]
            shown.append(
                Example(
                    number=number_text(int(one["number"])),
                    source=int(one["source"]),
                    partition=int(one["partition"]),
                    offset=int(one["offset"]),
                    served=float(one["vector"][feature]),
                    computed=float(computed[i, feature]),
                )
            )


def differ(served: Vectors, computed: Vectors) -> Bools:
    """Where two values are not the same bits; what cannot be known is the same, whatever its bits."""
    mine, theirs = (np.ascontiguousarray(vectors, np.float64) for vectors in (served, computed))
    unlike: Bools = (mine.view(np.uint64) != theirs.view(np.uint64)) & ~(np.isnan(mine) & np.isnan(theirs))
    return unlike


def taken_of(table: VectorTable, sources: Mapping[str, int]) -> Iterator[Taken]:
    """The vectors of a table as they were taken; those taken behind no record are left out. `sources`: ids by name."""
    for batch in table.batches():
        batch = batch.filter(batch.column("offset").is_valid())
        numbers, of = np.unique(np.array(batch.column("number").to_pylist(), np.str_), return_inverse=True)
        packed = np.array([parse_number(number) for number in numbers.tolist()], np.uint64)
        names = batch.column("source").to_pylist()
        yield Taken(
            places=np.zeros(len(batch), np.int64),
            numbers=packed[of] if len(packed) else packed,
            event_ms=batch.column("event_ms").to_numpy(),
            sources=np.array([sources.get(name, NOWHERE) for name in names], np.int64),
            partitions=batch.column("partition").to_numpy().astype(np.int64),
            offsets=batch.column("offset").to_numpy(),
            vectors=vectors_of(batch),
        )
