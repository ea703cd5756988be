"""A transactional producer of the broker in memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from detector.broker import TopicPartition
from detector.broker.memory.group import GroupMetadata
from detector.broker.memory.log import Headers
from detector.broker.memory.transaction import Transaction
from detector.broker.options import SEND
from detector.errors import Abort, Fatal, Fenced, Recoverable

if TYPE_CHECKING:
    from detector.broker.memory.broker import MemoryBroker

OUTCOME_S: Final = 60.0
"""Longest wait of a producer for its last transaction to be complete."""
MOST_BYTES: Final = int(SEND["message.max.bytes"])
OVERHEAD: Final = 36
"""Bytes that librdkafka adds to key, value and headers of a message before it holds them against that limit."""


class MemoryProducer:
    """A transactional producer; see `detector.broker.Producer`."""

    def __init__(self, broker: "MemoryBroker", transactional_id: str, epoch: int) -> None:
        self._broker = broker
        self._id = transactional_id
        self._epoch = epoch
        self._transaction: Transaction | None = None
        self._doomed = False

    def _check(self, doing: str) -> Transaction:
        if self._broker._epochs[self._id] != self._epoch:
            raise Fenced(f"{doing}: the epoch of {self._id} is a later one: another producer's, or the broker's own")
        if self._transaction is None:
            raise Fatal(f"{doing}: wanted a transaction that has begun")
        if self._doomed:
            raise Abort(f"{doing}: the transaction must be aborted")
        return self._transaction

    def begin(self) -> None:
        with self._broker._changed:
            if self._transaction is not None:
                raise Fatal("begin: the last transaction has not ended")
            try:
                self._broker._await_completion(self._id, OUTCOME_S)
            except Recoverable as error:
                raise Fatal(f"begin: {error}") from error
            self._transaction = Transaction(self._id)
            self._check("begin")
            self._broker._transactions[self._id] = self._transaction

    def send(
        self,
        topic: str,
        partition: int | None,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = None,
    ) -> None:
        with self._broker._changed:
            written = self._check(f"send to {topic}").written
            if (size := _size(value, key, headers)) > MOST_BYTES:
                raise Fatal(f"send to {topic}: wanted a message of at most {MOST_BYTES:,} bytes (got {size:,})")
            log = self._broker._log_for(topic, partition, key)
            log.open.setdefault(self._id, log.end)
            written.setdefault(log, []).append(log.end)
            log.append(self._broker._clock(), ((key, value),), headers)

    def commit(self, offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        with self._broker._changed:
            self._offer(offsets, group_metadata)
            self._end(commit=True)

    def _offer(self, offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        """The group has accepted `offsets`: whatever becomes of its members now, they go with the transaction."""
        transaction = self._check("committing offsets")
        if offsets:
            metadata = cast(GroupMetadata, group_metadata)
            group = self._broker._group(metadata.group)
            try:
                group.check(metadata)
            except Abort:
                self._doomed = True
                raise
            transaction.offer(group, offsets)

    def abort(self) -> None:
        with self._broker._changed:
            self._doomed = False
            self._end(commit=False)

    def _end(self, commit: bool) -> None:
        transaction = self._check("commit" if commit else "abort")
        self._transaction = None
        self._broker._decide(transaction, commit)

    def close(self) -> None:
        """Let go: what is not committed is aborted by the successor."""


def _size(value: bytes | None, key: bytes | None, headers: Headers) -> int:
    """As librdkafka counts: each name and content of a header has its length before it, a zigzag varint."""
    lengths = [length for name, content in headers or () for length in (len(name.encode()), len(content))]
    return OVERHEAD + len(value or b"") + len(key or b"") + sum(length + _varint(2 * length) for length in lengths)


def _varint(value: int) -> int:
    """Bytes that a number takes, seven bits in each."""
    return max(1, -(-value.bit_length() // 7))
