"""Standing: what `control` tells of each partition: which mode, model and policy decide on it, and who holds it.

detect, on taking a partition and on every change -> control, keys `partition@offset` -> told
"""

import msgspec

from detector.broker import Broker, Message, TopicPartition
from detector.config import Settings


class Told(msgspec.Struct, frozen=True):
    """What was said last of a partition: with the first step after it was taken, or after a change."""

    partition: int
    offset: int
    mode: str
    model: str
    policy: str
    instance: str = ""
    """Who said so: role, host and ordinal."""
    mode_change: str | None = None
    """The id of the change of mode that it follows; none, where the configuration says."""


def read_told(message: Message) -> Told | None:
    """What a message of `control` tells of a partition; None for what tells of something else."""
    partition, at, offset = (message.key() or b"").partition(b"@")
    if not (at and partition.isdigit() and offset.isdigit() and message.value()):
        return None
    try:
        return msgspec.json.decode(message.value() or b"", type=Told)
    except msgspec.DecodeError:
        return None


def told(broker: Broker, settings: Settings) -> dict[int, Told]:
    """The last of each partition, in order of the topic."""
    control = TopicPartition(settings.topics.control, 0)
    found = map(read_told, broker.read(control, *broker.watermarks(control)))
    return {one.partition: one for one in found if one is not None}
