"""Told: what the API answers, and how it is made of what a worker has seen.

WorkerSeen, NumberSeen -> worker_told, number_told -> the JSON that /openapi.json describes
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import Meta, Struct

from detector.admin.seen import NumberSeen, PartitionSeen, WorkerSeen
from detector.features.catalogue import FEATURES
from detector.verdict.decisions import Decision
from detector.verdict.reasons import DIGITS, explain
from detector.verdict.slot import Slot


class Accepted(Struct, frozen=True):
    """An order is stored, and will be obeyed in its turn."""

    id: str


class Ordered(Accepted, frozen=True):
    """The same of an order about a number."""

    note: Annotated[
        str | None, Meta(description="of a release: that nothing is in force which it would end, or where to look")
    ]


class PartitionTold(Struct, frozen=True):
    """A partition held here."""

    partition: int
    offset: Annotated[int, Meta(description="next to be counted")]
    committed: int
    newest_event_ms: int
    numbers: int
    state_bytes: int
    unsaved_rows: Annotated[int, Meta(description="rows since its last snapshot")]
    snapshot_age_s: float
    blocks_budget_left: int
    in_force: Annotated[dict[str, int], Meta(description="decisions in force, by action")]
    in_force_shadow: Annotated[dict[str, int], Meta(description="the same of shadow mode, which nobody acts on")]


class WorkerTold(Struct, frozen=True):
    """Answer of GET /v1/partitions."""

    instance: str
    mode: str
    mode_change: Annotated[str | None, Meta(description="id of the last order about the mode; null: there was none")]
    by_order: Annotated[bool, Meta(description="whether that order's mode holds, and not the configuration's")]
    model: str
    policy: str
    partitions: tuple[PartitionTold, ...]
    restoring: Annotated[tuple[int, ...], Meta(description="partitions that are not decided on yet")]


class DecisionsTold(Struct, frozen=True):
    """Answer of GET /v1/decisions."""

    instance: str
    partitions: Annotated[tuple[int, ...], Meta(description="of these; others are other workers'")]
    total: Annotated[int, Meta(description="that hold and are as asked for, on all pages")]
    decisions: Annotated[tuple[Decision, ...], Meta(description="the newest first")]
    next: Annotated[
        str | None, Meta(description="asked for as `after`, gives the page that follows; null: this is the last")
    ]


class FeatureTold(Struct, frozen=True):
    """One feature of a number."""

    value: Annotated[float | None, Meta(description="null: cannot be known")]
    unit: str


class NumberTold(Struct, frozen=True):
    """Answer of GET /v1/numbers/{number}."""

    partition: int
    instance: str
    known: Annotated[bool, Meta(description="whether anything of it is remembered; else it is as one long silent")]
    form: Annotated[str | None, Meta(description="quiet, usual or wide: how much there is to remember")]
    newest_event_ms: int | None
    partition_newest_event_ms: int
    offset: Annotated[int, Meta(description="of the internal log, up to which it is counted")]
    own_blocks_24h: Annotated[int, Meta(description="attempts that our own enforcement rejected")]
    features: dict[str, FeatureTold]
    margin: float
    display: Annotated[float, Meta(description="the calibrated score, 0 to 1")]
    reasons: tuple[Any, ...]
    model: str
    decisions: Annotated[tuple[Decision, ...], Meta(description="the last of each case, in force or not")]
    shadow: tuple[Decision, ...]


def number_told(seen: NumberSeen) -> NumberTold:
    """A number as it is answered."""
    model = seen.model
    margin = model.margins(seen.vector[None, :])
    return NumberTold(
        partition=seen.partition,
        instance=seen.instance,
        known=seen.form is not None,
        form=seen.form,
        newest_event_ms=seen.newest_ms if seen.form else None,
        partition_newest_event_ms=seen.partition_ms,
        offset=seen.offset,
        own_blocks_24h=seen.own_blocks,
        features={
            feature.name: FeatureTold(None if math.isnan(value) else round(value, DIGITS), feature.unit)
            for feature, value in zip(FEATURES, seen.vector.tolist(), strict=True)
        },
        margin=float(margin[0]),
        display=round(float(model.display(margin)[0]), DIGITS),
        reasons=explain(model, seen.vector),
        model=model.version,
        decisions=seen.live,
        shadow=seen.shadow,
    )


def worker_told(seen: WorkerSeen, now_s: float) -> WorkerTold:
    """A worker as it is answered."""
    return WorkerTold(
        seen.instance,
        seen.mode,
        seen.mode_change,
        seen.by_order,
        seen.model,
        seen.policy,
        tuple(_partition_told(one, now_s) for one in seen.partitions),
        seen.restoring,
    )


def _partition_told(one: PartitionSeen, now_s: float) -> PartitionTold:
    return PartitionTold(
        partition=one.partition,
        offset=one.position,
        committed=one.committed,
        newest_event_ms=one.newest_ms,
        numbers=one.numbers,
        state_bytes=one.state_bytes,
        unsaved_rows=one.unsaved_rows,
        snapshot_age_s=round(max(0.0, now_s - one.snapshot_at_s), 1),
        blocks_budget_left=one.budget_left,
        in_force=counted(one.live, now_s),
        in_force_shadow=counted(one.shadow, now_s),
    )


def counted(slots: Iterable[Slot], now_s: float) -> dict[str, int]:
    """How many are in force, by action."""
    now_ms = now_s * 1000
    return dict(sorted(Counter([one.action for one in slots if one.expires_at > now_ms]).items()))
