"""Seen: what a detect worker knows at one moment, as its poll loop tells it. Nothing in it changes afterwards."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from detector.verdict.decisions import Decision
from detector.verdict.model import Model
from detector.verdict.slot import Slot


@dataclass(frozen=True, slots=True)
class NumberSeen:
    """One number."""

    partition: int
    instance: str
    partition_ms: int
    """The newest event time of the partition."""
    offset: int
    """Of the partition, next to be counted."""
    form: str | None
    """quiet, usual or wide; None: nothing of the number is remembered."""
    newest_ms: int
    vector: npt.NDArray[np.float64]
    """Its features as of its newest event."""
    own_blocks: int
    """Attempts in 24 hours that our own enforcement rejected."""
    live: tuple[Decision, ...]
    shadow: tuple[Decision, ...]
    """The last decision of each case, in force or not."""
    model: Model


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The number's partition is another worker's, or nobody's as far as `control` tells."""

    partition: int
    instance: str | None


@dataclass(frozen=True, slots=True)
class PartitionSeen:
    """A partition that a worker holds."""

    partition: int
    position: int
    committed: int
    newest_ms: int
    numbers: int
    state_bytes: int
    unsaved_rows: int
    snapshot_at_s: float
    budget_left: int
    live: tuple[Slot, ...]
    shadow: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A detect worker."""

    instance: str
    mode: str
    mode_change: str | None
    """The id of the last order about the mode; None: there was none."""
    by_order: bool
    """Whether that order's mode holds, and not the configuration's."""
    model: str
    policy: str
    partitions: tuple[PartitionSeen, ...]
    restoring: tuple[int, ...]
    recent: tuple[Decision, ...]
    """Decided here lately, the newest last."""


class Worker(Protocol):
    """Who answers, in the poll loop."""

    def number_seen(self, number: int) -> NumberSeen | Elsewhere:
        """What is known of a number."""
        ...

    def seen(self) -> WorkerSeen:
        """What it holds."""
        ...
