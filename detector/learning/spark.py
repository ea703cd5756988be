"""Spark: the same vectors on a cluster, for months of traffic.

    messages --mapInArrow: SourceReader--> rows --by partition of the number, in log order--> Taker --> vectors

The work is cut as production cuts it: all rows of a number lie in one of the detector's partitions, in their order,
and a task takes its partitions one after the other, with one state at a time. So a vector has the bytes that one
process gives it, its memory of who is long silent or evicted included. Nothing here knows a feature.

    rows = rows_of(session.read.parquet("months").select("position", "value"), settings, source).persist()
    vectors = vectors_of_rows(rows, settings, Plan("every:10", settings.topics.partitions).of, 3, known)
    vectors.write.parquet("vectors")  # `detector fit` reads its parts, and what they say of themselves (`headed`)

PySpark is no dependency of the detector: `pip install telecom-fraud-detector[spark]`, and Java 17.
"""

from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from detector.config import Settings, Source
from detector.features.catalogue import NAMES, feature_hash
from detector.ingest.rows import Raw, open_source
from detector.learning.features import Taken, Taker, Tally
from detector.learning.known import Known
from detector.learning.labelling import columns_of, label_columns_of
from detector.learning.moments import Moments
from detector.learning.vectors import KEY, LABEL, PLACE, Heading
from detector.pipeline import fresh_state
from detector.records import ROW, I64s, Kind, partition_of
from detector.units import DAY_MS, MINUTE_MS

DataFrame = Any
"""Of PySpark, which is imported by nobody who does not use it."""

LAST: Final = (1 << 63) - 1
"""The position of vectors that are taken when the log has ended."""

ORDER: Final = ("position", "place", "subject")
"""Columns that put vectors into log order, with their time, and are gone when they stand in it."""
ROWS: Final = "q int, position long, place long, event_ms long, traffic boolean, row binary"
_TYPES: Final = {
    pa.string(): "string",
    pa.int8(): "byte",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.float64(): "double",
}


def rows_of(messages: DataFrame, settings: Settings, source: Source) -> DataFrame:
    """The rows of `messages`, which have a `position` (long: their order in the log) and a `value` (binary).

    Rejected records give none; who wants to know them reads the files with `detector features --rejects`.
    """
    source = msgspec.structs.replace(source, max_future_s=None)

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        reader = open_source(settings, source)
        for batch in batches:
            values = batch.column("value").to_pylist()
            zeros = np.zeros(len(values), np.int64)
            rows = reader.read(Raw(values, zeros, batch.column("position").to_numpy(), zeros)).rows
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(partition_of(rows["number"], settings.topics.partitions), pa.int32()),
                    pa.array(rows["offset"].astype(np.int64)),
                    pa.array(np.arange(len(rows))),
                    pa.array(rows["event_ms"]),
                    pa.array(rows["kind"] != Kind.COMMAND),
                    pa.array([row.tobytes() for row in rows], pa.binary()),
                ],
                ["q", "position", "place", "event_ms", "traffic", "row"],
            )

    return messages.mapInArrow(read, ROWS)


def vectors_of_rows(
    rows: DataFrame,
    settings: Settings,
    moments: Callable[[int], Moments],
    floor: int,
    known: Known | None = None,
    warm_ms: int = 0,
    kind: str = "",
) -> DataFrame:
    """The table of vectors of `rows`, in log order: its columns as `learning.vectors` has them. `moments`: `Plan.of`.

    None is given of a partition's first `warm_ms`. `kind`: the name of the moments, for the heading.

    `rows` are read more than once: persist them where they come out of a long computation.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    end_ms = rows.where("traffic").agg(f.max("event_ms")).first()[0] or 0
    names = {source.id: source.name for source in settings.sources}
    types = {**dict.fromkeys(ORDER, pa.int64()), **PLACE, **dict.fromkeys(NAMES, pa.float64())}
    types |= LABEL if known else {}

    def columns(taken: Taken, positions: I64s, places: I64s) -> pa.RecordBatch:
        order = positions, places, taken.numbers.astype(np.int64)
        arrays = [*map(pa.array, order), *columns_of(taken, names)]
        if known is not None:
            judged = known.of(taken.numbers, taken.event_ms)
            arrays += label_columns_of(known, judged)
        return pa.RecordBatch.from_arrays(arrays, list(types))

    def take(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for q, runs in groupby(_runs(batches), key=lambda run: run[0]):
            taker = Taker(fresh_state(settings), moments(q), floor, Tally(), warm_ms=warm_ms)
            for _, batch in runs:
                log = np.frombuffer(b"".join(batch.column("row").to_pylist()), ROW)
                positions, places = batch.column("position").to_numpy(), batch.column("place").to_numpy()
                for taken in taker.take(log, np.arange(len(log))):
                    at = taken.places // 2
                    yield columns(taken, positions[at], 2 * places[at] + taken.places % 2)
            for taken in taker.rest(end_ms):
                yield columns(taken, np.full(len(taken), LAST), taken.event_ms)

    wanted = ", ".join(f"`{name}` {_TYPES[kind]}" for name, kind in types.items())
    in_order = rows.repartition("q").sortWithinPartitions("q", "position", "place")
    vectors = in_order.mapInArrow(take, wanted)
    if known is not None:
        local_ms = f.col("event_ms") + settings.home.utc_offset_minutes * MINUTE_MS
        number_day = Window.partitionBy("number", f.floor(local_ms / DAY_MS), "label")
        vectors = vectors.withColumn("weight", f.col("weight") / f.count(f.lit(1)).over(number_day))
    heading = Heading(
        feature_hash=feature_hash(),
        home_utc_offset_minutes=settings.home.utc_offset_minutes,
        moments=kind,
        known_by_ms=known.known_by_ms if known else None,
        activity_floor=floor,
    )
    return headed(vectors.orderBy("position", "place", "event_ms", "subject").drop(*ORDER), heading)


def headed(vectors: DataFrame, heading: Heading) -> DataFrame:
    """The same vectors, whose parquet says `heading`: Spark writes no metadata of a file, but those of its columns."""
    return vectors.withMetadata("number", {KEY.decode(): msgspec.json.encode(heading).decode()})


def _runs(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches cut where the partition changes, and the partition of each."""
    for batch in batches:
        homes = batch.column("q").to_numpy()
        bounds = [0, *(np.flatnonzero(np.diff(homes)) + 1).tolist(), len(homes)]
        for start, stop in pairwise(bounds):
            if stop > start:
                yield int(homes[start]), batch.slice(start, stop - start)
