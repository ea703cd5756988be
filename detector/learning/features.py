"""Features: records on the real path become vectors at chosen moments, in log order.

    files --SourceReader--> rows --scatter--> Taker of each partition --> Taken, in the order of the log
    events.by-number ------> rows --------> Taker of one partition  --/

A taker holds the very state that detect holds of the partition, and takes its vectors as detect does: at an event
they are the bytes that detect scores there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from detector.config import Settings, Source
from detector.errors import Rejected
from detector.features.catalogue import INDEX
from detector.features.state import State
from detector.features.status import Status
from detector.ingest.rows import Raw, open_source, unpack_message
from detector.learning.moments import Moment, Moments
from detector.learning.recordfiles import message_blocks
from detector.pipeline import Entry, fresh_state
from detector.records import ROW, Bools, I64s, Kind, Role, Rows, U64s, partition_of
from detector.verdict.trees import Vectors

CHUNK: Final = 16_384
"""Records, or rows of a log, taken through at once: when all are wanted, their vectors take 8 MB."""

NOWHERE: Final = -1
"""Source, partition and offset of a vector that was not taken behind a record."""

_LIVES: Final = [INDEX[name] for name in ("calls_out_7d", "sms_out_7d", "calls_in_7d", "sms_in_7d")]

Tell = Callable[[int, Rejected, bytes | None], None]
"""Told of each rejected record: its message's offset, why, and the message."""


@dataclass(slots=True)
class Tally:
    """What became of what was read."""

    records: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Records left out on purpose, by why."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Rows by what the state made of them."""
    early: int = 0
    """Vectors that were wanted while windows filled, and are not given."""
    silent: int = 0
    """Vectors that were wanted of numbers that nothing had been heard of for a week: they say nothing, and are not
    given."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Vectors in order; arrays are aligned."""

    places: I64s
    """Twice the index of a row among those that were taken together, and 1 more right behind it."""
    numbers: U64s
    event_ms: I64s
    sources: I64s
    """Source ids; `NOWHERE` between records, and so are the next two."""
    partitions: I64s
    offsets: I64s
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.numbers)

    def picked(self, at: I64s) -> "Taken":
        """Those at the indices `at`, in that order."""
        return Taken(*(getattr(self, name)[at] for name in Taken.__slots__))


def joined(parts: Sequence[Taken]) -> Taken:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    return Taken(*(np.concatenate([getattr(part, name) for part in parts]) for name in Taken.__slots__))


class Taker:
    """Counts the rows of one partition, and takes vectors at its moments."""

    def __init__(
        self,
        state: State,
        moments: Moments,
        floor: int,
        tally: Tally,
        newest_ms: int = 0,
        warm_ms: int = 0,
        since_ms: int = 0,
    ) -> None:
        """`newest_ms`, `since_ms`: the newest and the first event time of the rows that `state` has seen; 0 of none.

        No vector is given before `warm_ms` after the first.
        """
        self._state = state
        self._moments = moments
        self._floor = floor
        self._tally = tally
        self._warm_ms = warm_ms
        self._since_ms = since_ms
        self.clock_ms = newest_ms
        """The newest event time of traffic. An operator's command is dated by the wall clock and moves nothing."""

    def count(self, rows: Rows) -> None:
        """Rows before those that vectors are wanted of: they change the state only."""
        if len(rows):
            self._begin(rows)
            self._note(self._state.update(rows).status)
            self.clock_ms = int(self._clock(rows)[-1])

    def take(self, rows: Rows, places: I64s) -> list[Taken]:
        """Count `rows`; the vectors at the moments among them. `places`: the index of each row, ascending."""
        taken: list[Taken] = []
        self._begin(rows)
        clock = self._clock(rows)
        start = 0
        while start < len(rows):
            now_ms = int(clock[start])
            place = 2 * int(places[start])
            taken += [self._as_of(moment, place) for moment in self._moments.passed(now_ms)]
            stop = int(np.searchsorted(clock, self._moments.until(now_ms), side="right"))
            taken.append(self._run(rows[start:stop], places[start:stop]))
            start = stop
        if len(rows):
            self.clock_ms = int(clock[-1])
        return [each for each in taken if len(each)]

    def interrupt(self) -> None:
        """Rows are missing before the next one: from there on windows fill anew."""
        self._since_ms = 0

    def rest(self, end_ms: int) -> list[Taken]:
        """The vectors at the moments up to `end_ms`, when no more rows come."""
        taken = [self._as_of(moment, 0) for moment in self._moments.passed(end_ms + 1)]
        return [each for each in taken if len(each)]

    def _clock(self, rows: Rows) -> I64s:
        """The newest event time at each row."""
        times = np.where(rows["kind"] == Kind.COMMAND, self.clock_ms, rows["event_ms"])
        clock: I64s = np.maximum(np.maximum.accumulate(times), self.clock_ms)
        return clock

    def _run(self, rows: Rows, places: I64s) -> Taken:
        """Rows between two moments."""
        events = rows["role"] == Role.FROM if self._moments.at_events else None
        updated = self._state.update(rows, events, self._floor)
        self._note(updated.status)
        at = updated.scored
        chosen = self._moments.chosen(rows["number"][at], updated.as_of_ms[at])
        early = chosen & self._fills(updated.as_of_ms[at])
        self._tally.early += int(early.sum())
        chosen &= ~early
        at = at[chosen]
        return Taken(
            places=2 * places[at] + 1,
            numbers=rows["number"][at],
            event_ms=updated.as_of_ms[at],
            sources=rows["source"][at].astype(np.int64),
            partitions=rows["partition"][at].astype(np.int64),
            offsets=rows["offset"][at].astype(np.int64),
            vectors=updated.vectors[chosen],
        )

    def _as_of(self, moment: Moment, place: int) -> Taken:
        """Vectors between two rows, of the numbers that anything has been heard of within the week."""
        if self._fills(np.array([moment.ms]))[0]:
            self._tally.early += len(moment.numbers)
            moment = Moment(moment.ms, moment.numbers[:0])
        vectors = self._state.vectors(moment.numbers, moment.ms)
        alive = (vectors[:, _LIVES] > 0).any(axis=1)
        numbers, vectors = moment.numbers[alive], vectors[alive]
        self._tally.silent += len(moment.numbers) - len(numbers)
        nowhere = np.full(len(numbers), NOWHERE, np.int64)
        times = np.full(len(numbers), moment.ms, np.int64)
        return Taken(np.full(len(numbers), place, np.int64), numbers, times, nowhere, nowhere, nowhere, vectors)

    def _begin(self, rows: Rows) -> None:
        """The first traffic says when the windows begin to fill; a later row may be older, in whichever chunk."""
        traffic = rows["event_ms"][rows["kind"] != Kind.COMMAND]
        if not self._since_ms and len(traffic):
            self._since_ms = int(traffic[0])

    def _fills(self, as_of_ms: I64s) -> Bools:
        """Whether windows still fill at each moment. Where nobody asks for a warm-up nothing is left out."""
        filling: Bools = as_of_ms < (self._since_ms + self._warm_ms if self._warm_ms else 0)
        return filling

    def _note(self, statuses: npt.NDArray[np.uint8]) -> None:
        for status, count in enumerate(np.bincount(statuses, minlength=len(Status)).tolist()):
            self._tally.statuses[Status(status).name.lower()] += count


def from_files(
    settings: Settings,
    source: Source,
    files: Iterable[Path],
    moments: Callable[[int], Moments],
    floor: int,
    tally: Tally,
    tell: Tell = lambda offset, rejected, value: None,
    warm_ms: int = 0,
) -> Iterator[Taken]:
    """The vectors of the records of `files`, one log in the order of the files, in that order.

    `moments(q)` gives those of partition q. Records are as old as they like. Memory is that of the states and of a
    chunk. Offsets are those that the messages would have on one partition of an empty topic.
    """
    source = msgspec.structs.replace(source, max_future_s=None)
    reader = open_source(settings, source)
    partitions = settings.topics.partitions
    takers = [Taker(fresh_state(settings), moments(q), floor, tally, warm_ms=warm_ms) for q in range(partitions)]
    first = 0
    for values in message_blocks(files, reader.decoder, reader.mapping.codec, CHUNK):
        size = len(values)
        ingested = reader.read(Raw(values, np.zeros(size, np.int64), np.arange(first, first + size), [0] * size))
        tally.records += ingested.records
        tally.skipped.update(ingested.skipped)
        for record in ingested.rejected:
            tally.rejected[record.rejected.reason.value] += 1
            tell(first + record.index, record.rejected, values[record.index])
        rows = ingested.rows
        homes = partition_of(rows["number"], partitions)
        taken: list[Taken] = []
        for q in np.unique(homes).tolist():
            places = np.flatnonzero(homes == q)
            taken += takers[q].take(rows[places], places)
        if taken:
            whole = joined(taken)
            yield whole.picked(np.argsort(whole.places, kind="stable"))
        first += size
    end_ms = max(taker.clock_ms for taker in takers)
    if left := [each for taker in takers for each in taker.rest(end_ms)]:
        whole = joined(left)
        yield whole.picked(np.lexsort((whole.numbers, whole.event_ms)))


def from_log(entries: Iterable[Entry], taker: Taker, start: int, tally: Tally) -> Iterator[Taken]:
    """The vectors of a partition's log from the offset `start` on; what stands before it changes the state only."""
    for before, rows in _runs(entries, start, tally):
        if before:
            taker.count(rows)
        else:
            yield from taker.take(rows, np.arange(len(rows)))
    yield from taker.rest(taker.clock_ms)


def _runs(entries: Iterable[Entry], start: int, tally: Tally) -> Iterator[tuple[bool, Rows]]:
    """Rows of consecutive messages, about a chunk at a time, and whether they stand before `start`."""
    values: list[bytes] = []
    size, before = 0, True
    for entry in entries:
        tally.records += 1
        rows = unpack_message(entry.value, entry.headers)
        if isinstance(rows, Rejected):
            tally.rejected[rows.reason.value] += 1
            continue
        if values and (size >= CHUNK or before != (entry.offset < start)):
            yield before, np.frombuffer(b"".join(values), ROW)
            values, size = [], 0
        before = entry.offset < start
        values.append(entry.value or b"")
        size += len(rows)
    if values:
        yield before, np.frombuffer(b"".join(values), ROW)
