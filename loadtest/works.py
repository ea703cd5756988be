"""Works: pieces of what the service does, each on data of its own, and a reference that has nothing to do with it.

    reference   orjson and numpy over fixed bytes: what the machine does at this moment
    kernels     what ingest and detect do to a record, without a broker

Each does the same amount however often it is called, and returns how many records or rows that was. The states go on
in their streams: the amount is the same, the rows are the next ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import orjson

from detector.config import ROOT, Settings, load
from detector.features.state import State
from detector.ingest.rows import Ingested, Raw, SourceReader, open_source
from detector.records import ROW, I64s, Rows
from detector.verdict.model import Model
from detector.verdict.trees import Vectors
from loadtest import packed, state
from loadtest.ingest import FORMS, PLAIN, batches_of, calls, pack
from loadtest.population import Population
from loadtest.stencil import lines

RECORDS: Final = 20_000
"""Of one batch of ingest."""
TAKEN: Final = 20_000
"""Records whose rows detect's kernels take at a time."""
PACKED_TIMES: Final = 10
VECTORS: Final = 16_384
"""Of one chunk of detect."""
NUMBERS: Final = 20_000
DAYS: Final = 8.0
"""All that the rings hold."""
REFERENCE_RECORDS: Final = 4_000
REFERENCE_NUMBERS: Final = 100_000


class Work(ABC):
    """Something to be measured."""

    def prepare(self) -> None:  # noqa: B027 (most have nothing to prepare)
        """What comes before each `do` and is not measured."""

    @abstractmethod
    def do(self) -> int:
        """The work is done; returns of how many records or rows."""


@dataclass
class Reference(Work):
    """Records read by orjson, and a column sorted, gathered, summed and counted by numpy: compute and memory, both."""

    texts: Sequence[bytes]
    column: I64s

    @staticmethod
    def made() -> "Reference":
        """On the same bytes always."""
        texts = [line for line in lines(Population(NUMBERS).draw(0, REFERENCE_RECORDS)) if line.startswith(b"{")]
        return Reference(texts, np.random.default_rng(11).integers(0, 1 << 40, REFERENCE_NUMBERS))

    def do(self) -> int:
        """Nothing of it is kept."""
        read = [orjson.loads(text)["id"] for text in self.texts]
        order = np.argsort(self.column, kind="stable")
        np.cumsum(self.column[order])
        np.bincount(self.column & 0xFFFF, minlength=1 << 16)
        return len(read)


@dataclass
class Reading(Work):
    """Messages become rows."""

    reader: SourceReader
    raw: Raw

    def do(self) -> int:
        """Of one batch."""
        return self.reader.read(self.raw).records


@dataclass
class Packing(Work):
    """Rows become messages of their partitions."""

    settings: Settings
    ingested: Ingested

    def do(self) -> int:
        """Of one batch, several times: once takes a millisecond."""
        pack(self.settings, [self.ingested] * PACKED_TIMES)
        return PACKED_TIMES * len(self.ingested.rows)


@dataclass
class Taking(Work):
    """Rows go into full states."""

    population: Population
    scored: bool
    """With a vector where production makes one."""
    states: list[State]
    place: int
    rows: Rows = field(default_factory=lambda: np.zeros(0, ROW))

    def prepare(self) -> None:
        """The next rows of the stream are drawn."""
        self.rows = packed.rows(self.population.draw(self.place, TAKEN))
        self.place += TAKEN

    def do(self) -> int:
        """They are taken."""
        return state.take(self.states, self.rows, self.scored)[0]


@dataclass
class Scoring(Work):
    """Vectors become margins."""

    model: Model
    vectors: Vectors

    def do(self) -> int:
        """Of one chunk."""
        return len(self.model.margins(self.vectors))


def kernels() -> dict[str, Work]:
    """What a record costs in ingest, by mapping; what a row costs in detect, counted only and with a vector; trees."""
    settings = load(ROOT / "configs" / "local.yaml")
    readers = {source.name: open_source(settings, source) for source in settings.sources}
    values = {PLAIN: lines(Population(NUMBERS).draw(0, RECORDS))}
    values |= {name: list(calls(form, RECORDS)) for name, form in FORMS.items()}
    raws = {name: batches_of(records)[0] for name, records in values.items()}
    works: dict[str, Work] = {f"ingest: read {name}": Reading(readers[name], raw) for name, raw in raws.items()}
    works["ingest: scatter and pack"] = Packing(settings, readers[PLAIN].read(raws[PLAIN]))
    population = Population(NUMBERS)
    for name, scored in (("detect: count a row", False), ("detect: count and score a row", True)):
        states, place, _ = state.filled(population, DAYS)
        works[name] = Taking(population, scored, states, place)
    model = Model.load(ROOT / "models" / "default")
    # Every feature from anywhere among honest numbers, each by itself: vectors part ways at all trees.
    at = np.random.default_rng(7).integers(0, len(model.quantiles), (VECTORS, model.quantiles.shape[1]))
    works["detect: trees"] = Scoring(model, np.take_along_axis(model.quantiles, at, axis=0))
    return works
