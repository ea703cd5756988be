"""Labelling: vectors as they were taken become a table, with what was known of their numbers.

    Taken --columns--> table
    Taken --columns, Known--> draft --number-days--> table with weights

How many vectors a number-day has is known only when the last is taken. So a table with labels is written twice; the
draft and the counts lie beside it on disk meanwhile, and memory stays that of a row group and of a few days' numbers.

A number-day weighs as many as it stands for (`stands_for`) that are not in the table as what they are. A day on which
fraud begins is two of them, what the number was before and what it is since: each is divided among its own vectors.

                      the others like it                                          it weighs
    fraud, audited    are in the table as honest, for nobody spoke of them        1 / (probability * draws of that day)
    honest, audited   are in the table, honest for the same reason                1
    hold-out, either  were blocked: what our own decisions say is left out        1 / probability

An analyst may know of a fraud's other days than the one that was drawn: these are fraud, and weigh 1. `known` says
whose chance a row weighs by, and that it weighs by none where others had said the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detector.errors import ConfigError
from detector.learning.daycounts import DayCounts
from detector.learning.features import NOWHERE, Taken
from detector.learning.known import NOBODY, Judged, Known
from detector.learning.labelfile import DETECTOR, HOLD_OUT, NumberLabel
from detector.learning.labels import FRAUD_ROW, HONEST_ROW, NEITHER
from detector.learning.vectors import (
    Heading,
    VectorTable,
    VectorWriter,
    day_of,
    feature_columns,
    number_column,
    numbers_of,
)
from detector.records import I64s

WORDS: Final = {FRAUD_ROW: "fraud", HONEST_ROW: "honest", NEITHER: "not known"}


@dataclass(slots=True)
class Written:
    """What a table holds."""

    vectors: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    """Vectors by `WORDS`; empty without labels."""
    frauds: set[int] = field(default_factory=set)
    """Numbers with a vector that is labelled fraud."""
    span_ms: tuple[int, int] | None = None
    """The first and the last moment of a vector; None without labels."""

    def unseen(self, known: Known) -> tuple[int, int]:
        """How many numbers others than ourselves call fraud at a time between the first and the last vector, and how
        many of them have no vector that says so: they began too little to be scored."""
        if self.span_ms is None:
            return 0, 0
        first_ms, last_ms = self.span_ms
        named = {
            label.number
            for label in known.labels
            if label.fraud
            and label.source != DETECTOR
            and label.active_from_ms <= last_ms
            and (label.active_until_ms is None or label.active_until_ms > first_ms)
        }
        return len(named), len(named - self.frauds)


def write_vectors(
    path: Path, heading: Heading, taken: Iterable[Taken], sources: Mapping[int, str], known: Known | None = None
) -> Written:
    """The table of `taken` stands at `path`, with labels where something is `known`. `sources`: names by id."""
    if known is None:
        with VectorWriter(path, heading, labelled=False) as writer:
            for each in taken:
                writer.write(columns_of(each, sources))
        return Written(writer.written)
    try:
        folder = TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: wanted a place to write to (got {error.strerror or error})") from error
    with folder:
        draft, numbers = Path(folder.name, "draft.parquet"), Path(folder.name, "numbers")
        days = DayCounts(Path(folder.name))
        written = _write_draft(draft, numbers, days, heading, taken, sources, known)
        with VectorWriter(path, heading, labelled=True) as writer:
            for columns in _weighted(draft, numbers, days, heading):
                writer.write(columns)
    return written


def _write_draft(
    draft: Path,
    numbers: Path,
    days: DayCounts,
    heading: Heading,
    taken: Iterable[Taken],
    sources: Mapping[int, str],
    known: Known,
) -> Written:
    """Everything but the share of the number-day; the numbers themselves beside it, for texts would have to be read."""
    written = Written()
    with VectorWriter(draft, heading, labelled=True) as writer, numbers.open("wb") as file:
        for each in taken:
            each.numbers.tofile(file)
            judged = known.of(each.numbers, each.event_ms)
            days.add(each.numbers, _day_and_label(each.event_ms, judged.label, heading))
            writer.write([*columns_of(each, sources), *label_columns_of(known, judged)])
            for label, word in WORDS.items():
                written.labels[word] += int(np.count_nonzero(judged.label == label))
            written.frauds.update(each.numbers[judged.label == FRAUD_ROW].tolist())
            if len(each):
                moments = int(each.event_ms.min()), int(each.event_ms.max())
                first_ms, last_ms = written.span_ms or moments
                written.span_ms = min(first_ms, moments[0]), max(last_ms, moments[1])
    written.vectors = writer.written
    return written


def _weighted(draft: Path, numbers: Path, days: DayCounts, heading: Heading) -> Iterator[list[pa.Array]]:
    """The columns of the draft, a row group at a time, each weight divided among the vectors of its number-day and
    label."""
    with VectorTable(draft) as table, numbers.open("rb") as file:
        for batch in table.batches():
            mine = np.fromfile(file, np.uint64, len(batch))
            label = batch.column("label").fill_null(NEITHER).to_numpy(zero_copy_only=False)
            counts = days.counts(mine, _day_and_label(batch.column("event_ms").to_numpy(), label, heading))
            yield [*batch.columns[:-1], pa.array(numbers_of(batch, "weight") / counts)]


def _day_and_label(event_ms: I64s, label: npt.NDArray[np.int8], heading: Heading) -> I64s:
    """What vectors are counted by, in the place of a day: what a number was before its fraud weighs nothing of it."""
    places: I64s = len(WORDS) * day_of(event_ms, heading.home_utc_offset_minutes) + label
    return places


def columns_of(taken: Taken, sources: Mapping[int, str]) -> list[pa.Array]:
    """The columns of a table without labels."""
    names = pa.array([sources.get(i, f"#{i}") for i in range(int(taken.sources.max(initial=0)) + 1)], pa.string())
    return [
        number_column(taken.numbers),
        pa.array(taken.event_ms, pa.int64()),
        names.take(_or_null(taken.sources, pa.int64())),
        _or_null(taken.partitions, pa.int32()),
        _or_null(taken.offsets, pa.int64()),
        *feature_columns(taken.vectors),
    ]


def label_columns_of(known: Known, judged: Judged) -> list[pa.Array]:
    """What a table with labels has besides, of what was judged at some moments.

    Weights before they are divided among a number-day.
    """
    said = _or_null(judged.by, pa.int64(), NOBODY)
    told = _told(known)
    return [
        _or_null(judged.label, pa.int8(), NEITHER),
        *(column.take(said) for column in told.columns),
        pa.array(told.weight[judged.drawn + 1]),
    ]


class _Told(NamedTuple):
    """What the labels say, in columns; `weight` begins with nobody's."""

    columns: tuple[pa.Array, ...]
    """Type, source, since when, and when it became known."""
    weight: npt.NDArray[np.float64]


@lru_cache(maxsize=1)
def _told(known: Known) -> _Told:
    """Made once for all batches of a table: there may be as many labels as vectors."""
    labels = known.labels
    return _Told(
        (
            pa.array([label.type for label in labels], pa.string()),
            pa.array([label.source for label in labels], pa.string()),
            pa.array([label.active_from_ms for label in labels], pa.int64()),
            pa.array([label.known_at_ms for label in labels], pa.int64()),
        ),
        np.array([1.0, *(stands_for(label, known.draws.of(label)) for label in labels)]),
    )


def stands_for(label: NumberLabel, draws: int = 1) -> float:
    """How many number-days that one weighs that was drawn, the inverse of its chance (Horvitz and Thompson 1952).

    `draws`: how many were made from its day; together they stand for what is there once.

    An honest one that chance drew for an audit weighs 1: those that it was drawn from are honest in the table too, and
    would count twice.
    """
    if label.source == HOLD_OUT:
        return 1.0 / label.probability
    return max(1.0, 1.0 / (label.probability * draws)) if label.fraud else 1.0


def _or_null(values: npt.NDArray[Any], kind: Any, absent: int = NOWHERE) -> pa.Array:
    return pa.array(values, kind, mask=values == absent)
