"""Slot: what memory holds of a case's latest decision.

    Decision -> Slot.of -> Slot -> Slot.decision -> the same Decision

A row that matches a rule asks its case for a few words only. The whole decision, reasons, counts and evidence, is
wanted when it is superseded or looked at: until then it is held as compressed JSON.
"""

import zlib
from typing import Final

import msgspec

from detector.verdict.decisions import Action, Decision, Service, block_rank

SLOT_BYTES: Final = 700
"""What a slot takes beside its packed decision: its fields, its case, and its places in the memory's tables
(`tests/verdict/test_slot.py` holds this to what Python counts)."""
LEVEL: Final = 1
"""zlib's quickest."""
FIELDS: Final = ",".join(f'"{name}":null' for name in Decision.__struct_encode_fields__).encode()
"""Words that stand in every decision. Those of another decision are better ones: whoever has one uses it."""


class Slot(msgspec.Struct, frozen=True, gc=False):
    """A case's latest decision; the words that are asked for row by row, and all of it."""

    decision_id: str
    service: Service
    action: Action
    rule: str
    issued_at: int
    since: int
    expires_at: int
    protected_until: int | None
    block_rank: int
    """How near it comes to a block (`decisions.block_rank`)."""
    is_counted: bool
    """Whether it takes from the block budget: a block that a rule decided."""
    packed: bytes
    words: bytes
    """What is likely to stand in a decision: zlib finds it here, and writes down where."""

    @staticmethod
    def of(decision: Decision, words: bytes = FIELDS) -> "Slot":
        """The slot that `decision` fills."""
        packing = zlib.compressobj(LEVEL, zdict=words)
        return Slot(
            decision.decision_id,
            decision.service,
            decision.action,
            decision.rule,
            decision.issued_at,
            decision.since,
            decision.expires_at,
            decision.protected_until,
            block_rank(decision.action, decision.held_back),
            decision.action == "block" and decision.source == "detector",
            packing.compress(decision.to_json()) + packing.flush(),
            words,
        )

    def decision(self) -> Decision:
        """All of it."""
        return Decision.from_json(zlib.decompressobj(zdict=self.words).decompress(self.packed))

    @property
    def over_at(self) -> int:
        """When nothing of it holds any more: a release that it superseded may outlive it."""
        return max(self.expires_at, self.protected_until or 0)

    @property
    def nbytes(self) -> int:
        """What it takes of the process's memory, about."""
        return SLOT_BYTES + len(self.packed)
