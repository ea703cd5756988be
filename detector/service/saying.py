"""Saying: what a role's log says of partitions, transactions and decisions, a line an event.

Flags and warnings are work for analysts, by the thousand, and stand on the topic: the log tells of decisions that
enforcement acts on, one line a transaction.
"""

from collections import Counter
from collections.abc import Sequence
from logging import Logger
from typing import Final

from detector.broker import TopicPartition
from detector.errors import Abort
from detector.logs import Event, Numbers, said
from detector.verdict.decisions import Decision

ACTIONS: Final = frozenset({"block", "release", "allow"})


def tell_assigned(log: Logger, partitions: Sequence[TopicPartition]) -> None:
    """The group has given us these."""
    if partitions:
        log.info("given %s", _names(partitions), extra=said(Event.ASSIGNED, partitions=_names(partitions)))


def tell_revoked(log: Logger, partitions: Sequence[TopicPartition]) -> None:
    """These are another's."""
    if partitions:
        log.info("gave back %s", _names(partitions), extra=said(Event.REVOKED, partitions=_names(partitions)))


def _names(partitions: Sequence[TopicPartition]) -> str:
    """`records[0, 3], commands[1]`."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(partitions):
        by_topic.setdefault(topic, []).append(partition)
    return ", ".join(f"{topic}{found}" for topic, found in by_topic.items())


def tell_aborted(log: Logger, attempt: int, error: Abort) -> None:
    """A transaction could not commit; the `attempt`th in a row."""
    aborted = said(Event.ABORTED, attempt=attempt, error=str(error))
    log.warning("transaction aborted, %d in a row: %s", attempt, error, extra=aborted)


def tell_decided(log: Logger, published: Sequence[Decision]) -> None:
    """What was published and takes effect, if anything: how many of which action and rule, and of whom."""
    acting = [decision for decision in published if decision.action in ACTIONS]
    if not acting:
        return
    counts = Counter(f"{decision.action} by {decision.rule}" for decision in acting)
    numbers = Numbers(dict.fromkeys(decision.number for decision in acting))
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    log.info("decided: %s, of %s", told, numbers, extra=said(Event.DECIDED, counts=dict(counts), numbers=numbers))
