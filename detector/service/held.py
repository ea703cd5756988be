"""Held: a partition that a detect worker holds, and what of it is not yet committed."""

from dataclasses import dataclass, field

from detector.pipeline import Part
from detector.service.outbox import Output
from detector.verdict.decisions import Decision


@dataclass(slots=True)
class Held:
    """State stands at `position`; what came of the rows between `committed` and there is in the outputs."""

    part: Part
    position: int
    """Next internal offset to be processed."""
    committed: int
    """The group's offset: it never goes back."""
    outputs: list[Output] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    """When the heartbeats among them stood in their topic, UTC milliseconds."""
    rows_since_snapshot: int = 0
    """What whoever restores it from there has to replay."""
    snapshot_at: float = 0.0
    """Wall clock of the last snapshot, or of taking the partition."""
    retry_at: float = 0.0
    """Wall clock before which none is begun: the last one could not be written."""
