"""Asked: what a detect worker answers between two batches, when somebody looks at it through the admin port.

desk -> number_seen, partition_seen -> what held partitions know, copied where it would change
"""

from collections.abc import Mapping

import numpy as np

from detector.admin.seen import Elsewhere, NumberSeen, PartitionSeen
from detector.records import partition_of
from detector.service.held import Held
from detector.service.rules import Rules
from detector.service.standing import Told


def number_seen(
    number: int, partitions: int, held: Mapping[int, Held], rules: Rules, instance: str, told: Mapping[int, Told]
) -> NumberSeen | Elsewhere:
    """What is known of a number here, or who holds its partition."""
    numbers = np.array([number], np.uint64)
    partition = int(partition_of(numbers, partitions)[0])
    if partition not in held:
        return Elsewhere(partition, told[partition].instance or None if partition in told else None)
    part = held[partition].part
    form, newest_ms = part.state.newest_of(number) or (None, 0)
    return NumberSeen(
        partition=partition,
        instance=instance,
        partition_ms=part.coverage.newest_ms,
        offset=held[partition].position,
        form=form,
        newest_ms=newest_ms,
        vector=part.state.vectors(numbers)[0],
        own_blocks=int(part.state.own_blocks(numbers)[0]),
        live=part.memory.decisions_of(number),
        shadow=part.shadow.decisions_of(number),
        model=rules.model,
    )


def partition_seen(one: Held, rules: Rules) -> PartitionSeen:
    """How a held partition stands."""
    part = one.part
    newest_ms = part.coverage.newest_ms
    return PartitionSeen(
        partition=part.number,
        position=one.position,
        committed=one.committed,
        newest_ms=newest_ms,
        numbers=len(part.state),
        state_bytes=part.state.nbytes,
        unsaved_rows=one.rows_since_snapshot,
        snapshot_at_s=one.snapshot_at,
        budget_left=rules.detector.judge.budget_left(part.number, part.memory, newest_ms),
        live=part.memory.slots(),
        shadow=part.shadow.slots(),
    )
