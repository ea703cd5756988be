"""Holds: what turns a block into a flag, and why.

    rule, number, row, memory -> the reasons not to block, none if it may

A rule or model may block only when all of these are clear (DESIGN 5). Rules whose basis is a court
or an operator are held back by mode and never-block lists alone: they do not rest on evidence.
"""

from hashlib import blake2b
from typing import Final

from detector.config import Settings
from detector.records import BODY_BITS, TRUNK_BITS
from detector.verdict.decisions import Hold
from detector.verdict.facts import Moment
from detector.verdict.lists import NumberList
from detector.verdict.memory import Memory
from detector.verdict.model import Model
from detector.verdict.policy import Policy, Rule

EVERY_SOURCE: Final = 0xFFFF_FFFF_FFFF_FFFF
EVIDENCE: Final = frozenset({"analytics", "deterministic"})
"""The bases that rest on what was seen: only for these can the evidence be too thin."""
KEY_BYTES: Final = 64
"""The longest key of blake2b; a longer secret is hashed to it first."""


class Holds:
    """Everything about holding back that does not change while the process runs."""

    def __init__(self, policy: Policy, model: Model | None, settings: Settings) -> None:
        self._settings = settings.verdict
        self._partitions = settings.topics.partitions
        self._distrusted = bool(model and model.simulated and not settings.model.accept_simulated)
        self._never: tuple[NumberList, ...] = (
            *(policy.lists[name] for name in policy.text.never_block),
            reserved(settings),
        )
        ids = {source.name: source.id for source in settings.sources}
        self._sources = {
            rule.id: EVERY_SOURCE if rule.text.sources is None else sum(1 << ids[name] for name in rule.text.sources)
            for rule in policy.rules
        }
        key = settings.verdict.hold_out_key.encode()
        self._key = key if len(key) <= KEY_BYTES else blake2b(key).digest()

    def always(self, rule: Rule) -> bool:
        """Whether something that does not change holds all blocks of `rule` back: no row needs a closer look."""
        evidence = rule.text.basis in EVIDENCE
        return self._settings.mode != "enforce" or (evidence and rule.uses_model and self._distrusted)

    def of(self, rule: Rule, number: int, moment: Moment, row: int, memory: Memory) -> tuple[Hold, ...]:
        """All that hold a block of `number` back, the budget included."""
        holds = self.of_renewal(rule, number, moment, row)
        if rule.text.basis in EVIDENCE:
            as_of_ms = int(moment.updated.as_of_ms[row])
            if memory.blocks_in(as_of_ms) >= self.budget(moment.partition):
                holds += ("budget",)
        return holds

    def of_renewal(self, rule: Rule, number: int, moment: Moment, row: int) -> tuple[Hold, ...]:
        """All but the budget: a renewed block touches nobody new."""
        holds: list[Hold] = []
        if self._settings.mode != "enforce":
            holds.append("mode")
        if self.never(number):
            holds.append("never_block")
        if rule.text.basis not in EVIDENCE:
            return tuple(holds)
        if self.held_out(number):
            holds.append("hold_out")
        if not moment.warm[row]:
            holds.append("warm_up")
        if int(moment.silent[row]) & self._sources[rule.id]:
            holds.append("source_silent")
        if rule.uses_model and self._distrusted:
            holds.append("simulated_model")
        return tuple(holds)

    def never(self, number: int) -> bool:
        """Whether a never-block list, an emergency code or the redress number covers `number`."""
        return any(listed.holds(number) for listed in self._never)

    def held_out(self, number: int) -> bool:
        """Whether the keyed hash of the number, without its trunk group, falls below the share."""
        share = self._settings.hold_out_share
        if share <= 0:
            return False
        plain = number & ~(((1 << TRUNK_BITS) - 1) << BODY_BITS)
        digest = blake2b(plain.to_bytes(8, "little"), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "little") < share * 2**64

    def budget(self, partition: int) -> int:
        """Blocks that this partition may begin in an hour: the shares of all add up to the limit."""
        each, over = divmod(self._settings.block_budget_per_hour, self._partitions)
        return each + (partition < over)


def reserved(settings: Settings) -> NumberList:
    """Emergency codes and the redress number, which nobody may block."""
    return NumberList.of(tuple(reachable(settings)))


def reachable(settings: Settings) -> list[str]:
    """Emergency codes and the redress number, as `number_text` writes numbers."""
    texts = [f"short:{code}" for code in settings.home.emergency]
    tel = settings.verdict.redress.get("tel", "").removeprefix("tel:").replace("-", "").replace(" ", "")
    return [*texts, tel] if tel.startswith("+") else texts
