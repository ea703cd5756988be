"""The API: what may be asked about numbers, decisions and partitions, and what may be ordered.

GET  /v1/numbers/{number}   analyst    state, features, score, reasons, decisions: from the worker that holds it
GET  /v1/decisions          analyst    in force, of the partitions held here
GET  /v1/partitions         viewer     how each partition held here stands
POST /v1/commands           operator   release, allow, block
POST /v1/mode               operator   which mode decides in every worker; shadow is the kill switch
"""

import secrets
import time
from collections.abc import Callable
from typing import Annotated, Final, Literal, Protocol, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from detector.admin.desk import Desk, Unanswered
from detector.admin.http import Refused, Reply, Request, json_reply
from detector.admin.listing import Wanted, page
from detector.admin.seen import Elsewhere, Worker, WorkerSeen
from detector.admin.tokens import Caller
from detector.admin.told import Accepted, DecisionsTold, Ordered, number_told, worker_told
from detector.config import Part
from detector.errors import Recoverable, Rejected
from detector.ingest.commands import LONGEST_LIFE_S, Command, ModeChange, Scope, read_command
from detector.records import parse_number
from detector.verdict.ending import ended

T = TypeVar("T")

NUMBER: Final = (
    r"^(\+[1-9][0-9]{0,14}|(short|local):[0-9]{1,14}|sender:(#[0-9a-f]{1,13}|[^#@|\x00-\x1f]{1,80}))(@[0-9]{1,3})?$"
)
"""What `records.number_text` writes."""
WANTED_NUMBER: Final = "wanted a number as decisions write it: +4479…, +4479…@7, short:611, sender:ACME@3"

WHERE_TO_LOOK: Final = "GET /v1/numbers/{number} of the worker that holds it tells what is in force"
NOTHING_ENDED: Final = (
    "nothing is in force of this number, service and scope: all that this does is keep model rules away from it; "
    "GET /v1/decisions tells what is in force, and how numbers are written"
)

Reason = Annotated[str, Meta(min_length=1, max_length=500, description="why, for the audit")]


class CommandWanted(Part, frozen=True):
    """Body of POST /v1/commands. Who gives it is known from the token."""

    action: Literal["release", "allow", "block"]
    number: Annotated[str, Meta(pattern=NUMBER, description="as decisions write it: +4479…, +4479…@7, short:611")]
    reason: Reason
    service: Literal["voice", "sms", "all"] = "all"
    scope: Annotated[Scope | None, Meta(description="null: all, and originating for a block")] = None
    ttl_s: Annotated[Annotated[int, Meta(ge=1, le=LONGEST_LIFE_S)] | None, Meta(description="null: by the policy")] = (
        None
    )


class ModeWanted(Part, frozen=True):
    """Body of POST /v1/mode."""

    mode: Annotated[
        Literal["shadow", "flag", "enforce", "configured"],
        Meta(description="shadow: the kill switch; configured: what each worker's settings say"),
    ]
    reason: Reason


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
        """A page of what is in force here, the newest first."""
        wanted = Wanted.read(request.query)
        seen = self.seen()
        held = [one for one in seen.partitions if wanted.partition in (None, one.partition)]
        found = page([one.live for one in held], wanted, self._now_ms())
        partitions = tuple(one.partition for one in held)
        return json_reply(200, DecisionsTold(seen.instance, partitions, found.total, found.decisions, found.next))

    def partitions(self, request: Request, caller: Caller) -> Reply:
        """How each partition stands."""
        if request.query:
            raise Refused(400, "wanted no fields")
        return json_reply(200, worker_told(self.seen(), self.now_s()))

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
        note = self._note(command) if command.action == "release" else None
        self._ordered(lambda orders: orders.give([command]))
        return json_reply(202, Ordered(command.id, note))

    def _note(self, command: Command) -> str | None:
        """What to look at where a release ends nothing, or where that is not known here. It is given all the same."""
        number = parse_number(command.number)
        try:
            seen = self._asked(lambda worker: worker.number_seen(number))
        except Refused:
            return f"not known here: {WHERE_TO_LOOK}"
        if isinstance(seen, Elsewhere):
            return f"another worker holds this number: {WHERE_TO_LOOK}"
        return None if ended(command, seen.live, self._now_ms()) else NOTHING_ENDED

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
