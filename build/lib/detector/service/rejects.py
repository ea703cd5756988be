"""Dead letters: a record that was refused, as the `rejects` topic keeps it."""

import hashlib

from detector.broker import TopicPartition
from detector.errors import Rejected
from detector.service.outbox import Output

MOST_BYTES = 512 * 1024
"""How much of a refused record is kept; its length and hash say what is missing. Below the
broker's default limit of 1 MiB a message."""


def reject_output(
    topic: str, rejected: Rejected, value: bytes | None, at: TopicPartition, offset: int, source: str, mapping: str
) -> Output:
    """The message for the `rejects` topic: the raw bytes, and in its headers where they stood and why."""
    raw = value or b""
    return Output(
        topic,
        None,
        raw[:MOST_BYTES],
        headers=[
            ("source", source.encode()),
            ("topic", at.topic.encode()),
            ("partition", str(at.partition).encode()),
            ("offset", str(offset).encode()),
            ("reason", rejected.reason.value.encode()),
            ("detail", rejected.detail.encode("utf-8", "replace")),
            ("length", str(len(raw)).encode()),
            ("sha256", hashlib.sha256(raw).hexdigest().encode()),
            ("mapping", mapping.encode()),
        ],
    )
