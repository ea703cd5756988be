"""The core: messages of one partition become state and decisions. No Kafka, no clock, no files.

    internal messages -> rows -> State, Coverage -> vectors -> margins -> Judge -> decisions

State and coverage take every row. Rows before the partition's committed offset were decided on
before: they change state only. What comes out depends on the log alone, not on how it was cut
into batches.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from detector.config import Settings
from detector.errors import Rejected, SnapshotError
from detector.features.coverage import SOURCES, Coverage
from detector.features.state import State, Status, check_limit
from detector.ingest.commands import Command, read_command
from detector.ingest.rows import unpack_message
from detector.records import ROW, Arrays, Bools, I64s, Rows
from detector.verdict.challenge import Challenge
from detector.verdict.decisions import Decision
from detector.verdict.drift import Counts, draw
from detector.verdict.judge import Judge, Moment
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.served import Served, keep

CHUNK_ROWS = 16_384
"""Rows taken through the core at once: their vectors (480 bytes each) stay near the cache."""
SHOWN: Final = 32
"""Margins of a chunk, or of a batch, that are looked at: metrics take them one by one, at 1 us each."""
LONGEST_BEAT: Final = 15
"""Digits of a time in milliseconds that a float holds exactly."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the internal topic, as read."""

    offset: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class Part:
    """Everything that is held of one partition."""

    number: int
    state: State
    coverage: Coverage
    memory: Memory
    shadow: Memory
    """What was decided in shadow mode: it has cases of its own."""
    committed: int = 0
    """Messages from this offset on may decide."""

    def arrays(self) -> Arrays:
        """What a snapshot keeps: state and coverage. Memory is the decisions topic itself."""
        arrays = {f"state.{name}": array for name, array in self.state.arrays().items()}
        return arrays | {f"coverage.{name}": array for name, array in self.coverage.arrays().items()}

    @staticmethod
    def restore(
        number: int, arrays: Arrays, memory: Memory, shadow: Memory, committed: int, most_numbers: int | None = None
    ) -> "Part":
        """The partition as `arrays` kept it, going on byte for byte the same.

        `most_numbers` is the limit now (0: none; None: as it was). `SnapshotError` where it would have made another.
        """
        rooms: dict[str, dict[str, npt.NDArray[Any]]] = {"state": {}, "coverage": {}}
        for name, array in arrays.items():
            room, _, rest = name.partition(".")
            if room not in rooms:
                raise SnapshotError(f"snapshot of partition {number}: wanted arrays of state and coverage (got {name})")
            rooms[room][rest] = array
        coverage = Coverage(**rooms["coverage"])
        return Part(number, State.from_arrays(rooms["state"], most_numbers), coverage, memory, shadow, committed)


@dataclass(slots=True)
class Outcome:
    """What a batch of one partition came to."""

    decisions: list[Decision] = field(default_factory=list)
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)
    """Internal messages that are not what the schema says, by offset."""
    statuses: list[int] = field(default_factory=lambda: [0] * len(Status))
    """Rows by `Status`."""
    scored: int = 0
    forgotten: int = 0
    evicted: int = 0
    """Numbers let go of by the state: long silent, or for want of room."""
    newest_ms: int = 0
    compared: I64s | None = None
    """i64[levels, who] of `Challenge.compare`; None where there is no challenger."""
    drawn: Counts | None = None
    """How the vectors that were drawn lie in the bins of the model's reference; None where none was drawn."""
    margins: list[float] = field(default_factory=list)
    """Of a few of the rows scored, to look at."""
    beats: list[int] = field(default_factory=list)
    """When each heartbeat among the messages stood in its topic, UTC milliseconds."""
    served: list[Served] = field(default_factory=list)
    """Vectors that are to be kept, none of them empty."""


class Detector:
    """The same judge, model and settings for every partition of this process."""

    def __init__(
        self, settings: Settings, judge: Judge, model: Model | None, challenge: Challenge | None = None
    ) -> None:
        self.judge = judge
        self.model = model
        self._challenge = challenge
        self._floor = model.activity_floor if model else 0
        self.most_numbers = settings.detect.most_numbers or 0
        """That a partition may remember; 0: as many as come."""
        self._vectors_every = settings.detect.vectors_every
        self._settings = settings
        self._silent_after_ms: I64s = np.zeros(SOURCES, np.int64)
        for source in settings.sources:
            self._silent_after_ms[source.id] = 1000 * (source.silent_after_s or 0)

    def fresh(self, number: int, memory: Memory, shadow: Memory, committed: int = 0) -> Part:
        """A partition that has seen nothing."""
        return Part(number, fresh_state(self._settings), Coverage(), memory, shadow, committed)

    def check(self, arrays: Arrays) -> None:
        """A snapshot's arrays are of use under these settings; `SnapshotError` where another limit made its state."""
        state = {name.removeprefix("state."): array for name, array in arrays.items() if name.startswith("state.")}
        check_limit(state, self.most_numbers)

    def process(self, part: Part, entries: Sequence[Entry]) -> Outcome:
        """Take `entries`, in offset order, into `part`; returns what is to be published."""
        outcome = Outcome()
        for chunk in _chunks(entries, outcome):
            self._take(part, chunk, outcome)
        outcome.newest_ms = part.coverage.newest_ms
        return outcome

    def _take(self, part: Part, chunk: "_Chunk", outcome: Outcome) -> None:
        rows = chunk.joined()
        offsets, indices = chunk.positions()
        judged: Bools = offsets >= part.committed
        covered = part.coverage.update(rows, self._silent_after_ms)
        # What is only replayed, in a thread of its own perhaps, asks the judge nothing.
        wanted = self.judge.moments_wanted(rows) & judged if judged.any() else judged
        updated = part.state.update(rows, wanted, self._floor)
        for status, count in enumerate(np.bincount(updated.status, minlength=len(Status)).tolist()):
            outcome.statuses[status] += count
        outcome.scored += len(updated.scored)
        outcome.forgotten += updated.forgotten
        outcome.evicted += updated.evicted
        if not judged.any():
            return
        margins = (
            self.model.margins(updated.vectors) if self.model else np.full(len(updated.scored), np.nan, np.float64)
        )
        moment = Moment(
            partition=part.number,
            rows=rows,
            offsets=offsets,
            indices=indices,
            updated=updated,
            margins=margins,
            warm=np.ones_like(covered.warm) if self._settings.verdict.assume_warm else covered.warm,
            silent=covered.silent,
            names=chunk.names,
            commands=chunk.commands,
            judged=judged,
        )
        if self.model:
            self._draw(moment, self.model, outcome)
            outcome.margins += margins[:: -(-len(margins) // SHOWN) or 1].tolist()
        if self._challenge:
            compared = self._challenge.compare(updated.vectors, margins)
            outcome.compared = compared if outcome.compared is None else outcome.compared + compared
        memory = part.shadow if self._settings.verdict.mode == "shadow" else part.memory
        decisions = self.judge.judge(moment, memory, live=part.memory)
        outcome.decisions += decisions
        if self._vectors_every:
            served = keep(moment, decisions, self._vectors_every)
            if len(served):
                outcome.served.append(served)

    @staticmethod
    def _draw(moment: Moment, model: Model, outcome: Outcome) -> None:
        """Some vectors are counted for drift. None while the windows fill: everybody looks new then."""
        updated = moment.updated
        drawn = draw(updated.vectors, updated.scored, moment.offsets, moment.indices, moment.warm)
        if len(drawn):
            counts = model.drift.counts(updated.vectors[drawn], moment.margins[drawn])
            outcome.drawn = counts if outcome.drawn is None else outcome.drawn + counts


def fresh_state(settings: Settings) -> State:
    """The state of a partition that has seen nothing."""
    return State(settings.detect.capacity, settings.home.utc_offset_minutes, settings.detect.most_numbers or 0)


@dataclass(slots=True)
class _Chunk:
    """Rows of consecutive messages, with what their headers say."""

    values: list[bytes] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Rows of each message."""
    offsets: list[int] = field(default_factory=list)
    names: dict[int, Mapping[int, str]] = field(default_factory=dict)
    """Texts of sender ids by number, of each message that brings some by its offset."""
    commands: dict[int, Command] = field(default_factory=dict)
    size: int = 0

    def joined(self) -> Rows:
        """All rows, read-only: of bytes, for numpy joins structured arrays field by field."""
        return np.frombuffer(b"".join(self.values), ROW)

    def positions(self) -> tuple[I64s, I64s]:
        """Of each row: the offset of its message, and its place in it."""
        offsets = np.repeat(np.array(self.offsets, np.int64), self.lengths)
        starts = np.repeat(np.cumsum([0, *self.lengths[:-1]]), self.lengths)
        return offsets, np.arange(len(offsets), dtype=np.int64) - starts


def _chunks(entries: Sequence[Entry], outcome: Outcome) -> Iterator[_Chunk]:
    chunk = _Chunk()
    for entry in entries:
        rows = unpack_message(entry.value, entry.headers)
        if isinstance(rows, Rejected):
            outcome.rejected.append((entry.offset, rows))
            continue
        for name, content in entry.headers:
            if name == "names":
                chunk.names[entry.offset] = _names(content)
            elif name == "beat":
                outcome.beats += _beat(content)
            elif name == "command":
                command = read_command(content)
                if isinstance(command, Rejected):
                    outcome.rejected.append((entry.offset, command))
                else:
                    chunk.commands[entry.offset] = command
        chunk.values.append(entry.value or b"")
        chunk.lengths.append(len(rows))
        chunk.offsets.append(entry.offset)
        chunk.size += len(rows)
        if chunk.size >= CHUNK_ROWS:
            yield chunk
            chunk = _Chunk()
    if chunk.size:
        yield chunk


def _names(content: bytes) -> Mapping[int, str]:
    """Sender ids by number; a header that is not what ingest writes names nobody."""
    try:
        return {int(number): str(text) for number, text in orjson.loads(content).items()}
    except (orjson.JSONDecodeError, AttributeError, ValueError):
        return {}


def _beat(content: bytes) -> list[int]:
    """When a heartbeat stood in its topic; a header that is not what ingest writes says nothing."""
    return [int(content)] if content.isdigit() and len(content) <= LONGEST_BEAT else []
