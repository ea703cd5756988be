"""The outbox: what a batch came to, published in one transaction with the offsets it came from."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from detector.broker import Producer, TopicPartition
from detector.errors import Abort, Recoverable
from detector.metrics import Metrics
from detector.records import Rows

Headers = list[tuple[str, bytes]]

ATTEMPTS = 8
"""Aborted transactions in a row before a role gives up and lets its supervisor restart it."""
MOST_BYTES: Final = 700_000
"""Value and headers of a message of rows: below the 1,000,000 bytes that clients and brokers take unless told."""


def settling_s(attempt: int) -> float:
    """How long to poll after the aborted attempt 1, 2, ...

    A rebalance that only moves other partitions is over within milliseconds; a member that was cut off is given its
    partitions anew after the session timeout of 6 s. So from 0.06 s on it doubles, to 7.6 s in all.
    """
    return 0.03 * 2.0**attempt


@dataclass(frozen=True, slots=True)
class Output:
    """A message to be published. No partition: the broker's choice."""

    topic: str
    partition: int | None
    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None


def fitting(
    topic: str, partition: int | None, rows: Rows, pack: Callable[[Rows], tuple[bytes, Headers]]
) -> Iterator[Output]:
    """`rows`, in their order, in as many messages as keep each within `MOST_BYTES`; `pack` gives value and headers."""
    value, headers = pack(rows)
    if len(rows) > 1 and len(value) + sum(len(content) for _, content in headers) > MOST_BYTES:
        half = len(rows) // 2
        yield from fitting(topic, partition, rows[:half], pack)
        yield from fitting(topic, partition, rows[half:], pack)
    else:
        yield Output(topic, partition, value, headers=headers)


class Outbox:
    """Publishes outputs and offsets together, and counts what became of it."""

    def __init__(self, producer: Producer, metrics: Metrics, role: str) -> None:
        self._producer = producer
        self._seconds = metrics.transaction_seconds.labels(role)
        self._committed = metrics.transactions.labels(role, "committed")
        self._aborted = metrics.transactions.labels(role, "aborted")

    def publish(self, outputs: Sequence[Output], offsets: Mapping[TopicPartition, int], group_metadata: object) -> None:
        """All of it is visible, or none: then the transaction is aborted and `Abort` is raised."""
        began = time.perf_counter()
        try:
            self._producer.begin()
            for output in outputs:
                self._producer.send(output.topic, output.partition, output.value, output.key, output.headers)
            self._producer.commit(offsets, group_metadata)
        except Recoverable as error:
            self._producer.abort()
            self._aborted.inc()
            raise Abort(str(error)) from error
        else:
            self._committed.inc()
        finally:
            self._seconds.observe(time.perf_counter() - began)

    def close(self) -> None:
        """The producer is gone."""
        self._producer.close()
