"""The API: what may be asked about numbers, decisions and partitions, and what may be ordered.

GET  /v1/numbers/{number}   analyst    state, features, score, reasons, decisions: from the worker that holds it
GET  /v1/decisions          analyst    in force, of the partitions held here
GET  /v1/partitions         viewer     how each partition held here stands
POST /v1/commands           operator   release, allow, block
POST /v1/mode               operator   which mode decides in every worker; shadow is the kill switch
"""

import math
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Meta, Struct

from detector.admin.desk import Desk, Unanswered
from detector.admin.http import Refused, Reply, Request, json_reply
from detector.admin.seen import Elsewhere, NumberSeen, PartitionSeen, Worker, WorkerSeen
from detector.admin.tokens import Caller
from detector.config import Part
from detector.errors import Recoverable, Rejected
from detector.features.catalogue import FEATURES
from detector.ingest.commands import Command, ModeChange, Scope, read_command
from detector.records import parse_number
from detector.verdict.decisions import Decision
from detector.verdict.reasons import DIGITS, explain
from detector.verdict.slot import Slot

MOST: Final = 1_000
"""Decisions in one answer."""
FREED: Final = frozenset({"release", "allow"})

T = TypeVar("T")

NUMBER: Final = (
    r"^(\+[1-9][0-9]{0,14}|(short|local):[0-9]{1,14}|sender:(#[0-9a-f]{1,13}|[^#@|\x00-\x1f]{1,80}))(@[0-9]{1,3})?$"
)
"""What `records.number_text` writes."""
WANTED_NUMBER: Final = "wanted a number as decisions write it: +4479…, +4479…@7, short:611, sender:ACME@3"

Reason = Annotated[str, Meta(min_length=1, max_length=500, description="why, for the audit")]


class CommandWanted(Part, frozen=True):
    """Body of POST /v1/commands. Who gives it is known from the token."""

    action: Literal["release", "allow", "block"]
    number: Annotated[str, Meta(pattern=NUMBER, description="as decisions write it: +4479…, +4479…@7, short:611")]
    reason: Reason
    service: Literal["voice", "sms", "all"] = "all"
    scope: Annotated[Scope | None, Meta(description="null: all, and originating for a block")] = None
    ttl_s: Annotated[
        Annotated[int, Meta(ge=1, le=10 * 366 * 86_400)] | None, Meta(description="null: by the policy")
    ] = None


class ModeWanted(Part, frozen=True):
    """Body of POST /v1/mode."""

    mode: Annotated[
        Literal["shadow", "flag", "enforce", "configured"],
        Meta(description="shadow: the kill switch; configured: what each worker's settings say"),
    ]
    reason: Reason


class Accepted(Struct, frozen=True):
    """An order is stored, and will be obeyed in its turn."""

    id: str


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
    mode_change: Annotated[str | None, Meta(description="id of the order that set the mode; null: configured")]
    model: str
    policy: str
    partitions: tuple[PartitionTold, ...]
    restoring: Annotated[tuple[int, ...], Meta(description="partitions that are not decided on yet")]


class DecisionsTold(Struct, frozen=True):
    """Answer of GET /v1/decisions."""

    instance: str
    partitions: Annotated[tuple[int, ...], Meta(description="of these; others are other workers'")]
    total: int
    decisions: Annotated[tuple[Decision, ...], Meta(description="the newest first")]


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


class Orders(Protocol):
    """Whoever stores orders; raises `Recoverable` where the broker is away."""

    def give(self, commands: list[Command]) -> None: ...

    def switch(self, change: ModeChange) -> None: ...


class Api:
    """What this process answers: a detect worker all of it, ingest the orders only."""

    def __init__(
        self,
        name: str,
        desk: Desk[Worker] | None,
        orders: Orders | None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._desk = desk
        self._orders = orders
        self.now_s = now_s

    def number(self, request: Request, caller: Caller, text: str) -> Reply:
        """What is known of one number."""
        try:
            number = parse_number(unquote(text, errors="strict"))
        except ValueError:
            raise Refused(400, WANTED_NUMBER) from None
        seen = self._asked(lambda worker: worker.number_seen(number))
        if isinstance(seen, Elsewhere):
            told = {"error": "another worker holds this number", "partition": seen.partition, "held_by": seen.instance}
            return json_reply(421, told)
        return json_reply(200, number_told(seen))

    def decisions(self, request: Request, caller: Caller) -> Reply:
        """What is in force here, the newest first."""
        wanted = dict(request.query)
        limit = _whole(wanted.pop("limit", "100"), "limit", MOST)
        partition = wanted.pop("partition", None)
        only = None if partition is None else _whole(partition, "partition", 4_095, least=0)
        equal = {name: wanted.pop(name) for name in ("action", "rule", "service") if name in wanted}
        if wanted:
            raise Refused(400, "wanted no other fields than limit, partition, action, rule, service")
        seen = self.seen()
        held = [one for one in seen.partitions if only in (None, one.partition)]
        now_ms = self._now_ms()
        found = [
            slot
            for one in held
            for slot in one.live
            if slot.expires_at > now_ms
            and all(getattr(slot, name) == value for name, value in equal.items())
            and (slot.action not in FREED or "action" in equal)
        ]
        found.sort(key=lambda slot: (-slot.issued_at, slot.decision_id))
        newest = tuple(slot.decision() for slot in found[:limit])
        told = DecisionsTold(seen.instance, tuple(one.partition for one in held), len(found), newest)
        return json_reply(200, told)

    def partitions(self, request: Request, caller: Caller) -> Reply:
        """How each partition stands."""
        if request.query:
            raise Refused(400, "wanted no fields")
        return json_reply(200, self.worker_told(self.seen()))

    def command(self, request: Request, caller: Caller) -> Reply:
        """An order about one number is stored."""
        wanted = self._read(request, CommandWanted)
        command = Command(
            action=wanted.action,
            number=wanted.number,
            actor=caller.name,
            reason=wanted.reason,
            id=self._new_id(caller),
            service=wanted.service,
            scope=wanted.scope,
            ttl_s=wanted.ttl_s,
        )
        if isinstance(read_command(msgspec.json.encode(command)), Rejected):
            raise Refused(422, WANTED_NUMBER)
        self._ordered(lambda orders: orders.give([command]))
        return json_reply(202, Accepted(command.id))

    def mode(self, request: Request, caller: Caller) -> Reply:
        """Every worker hears of another mode."""
        wanted = self._read(request, ModeWanted)
        change = ModeChange(
            action="mode", mode=wanted.mode, actor=caller.name, reason=wanted.reason, id=self._new_id(caller)
        )
        self._ordered(lambda orders: orders.switch(change))
        return json_reply(202, Accepted(change.id))

    def seen(self) -> WorkerSeen:
        """What this worker holds; `Refused` where it does not answer."""
        return self._asked(lambda worker: worker.seen())

    @property
    def holds_numbers(self) -> bool:
        """Whether this process can be asked about numbers at all."""
        return self._desk is not None

    def worker_told(self, seen: WorkerSeen) -> WorkerTold:
        """As it is answered."""
        now_s = self.now_s()
        return WorkerTold(
            seen.instance,
            seen.mode,
            seen.mode_change,
            seen.model,
            seen.policy,
            tuple(_partition_told(one, now_s) for one in seen.partitions),
            seen.restoring,
        )

    def _now_ms(self) -> int:
        return int(self.now_s() * 1000)

    def _new_id(self, caller: Caller) -> str:
        return f"{caller.name}-{self._now_ms():x}-{secrets.token_hex(4)}"

    def _asked(self, question: Callable[[Worker], T]) -> T:
        if self._desk is None:
            raise Refused(404, "this process holds no numbers: ask a detect worker")
        try:
            return self._desk.ask(question)
        except Unanswered as error:
            raise Refused(503, str(error), {"Retry-After": "1"}) from None

    def _ordered(self, order: Callable[[Orders], None]) -> None:
        if self._orders is None:
            raise Refused(404, "this process takes no orders")
        try:
            order(self._orders)
        except Recoverable:
            raise Refused(503, "the broker does not answer: the order may or may not be stored") from None

    @staticmethod
    def _read(request: Request, kind: type[T]) -> T:
        if request.content_type.partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "wanted application/json")
        try:
            tree = msgspec.json.decode(request.body)
            if isinstance(tree, dict):  # in JSON 60.0 is an integer as 60 is
                tree = {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in tree.items()}
            return msgspec.convert(tree, kind)
        except msgspec.ValidationError:
            # Its text names what was sent.
            raise Refused(422, "wanted a body as the document at /openapi.json describes") from None
        except (ValueError, RecursionError):
            raise Refused(400, "wanted JSON") from None


def _whole(text: str, name: str, most: int, least: int = 1) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
        raise Refused(400, f"{name}: wanted a whole number from {least} to {most}")
    return int(text)


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
    counts: dict[str, int] = {}
    for slot in slots:
        if slot.expires_at > now_s * 1000:
            counts[slot.action] = counts.get(slot.action, 0) + 1
    return dict(sorted(counts.items()))
