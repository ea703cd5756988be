"""Times: where in a partition a moment of publication lies."""

from detector.broker import Broker, Message, TopicPartition


def offset_at(broker: Broker, at: TopicPartition, time_ms: int) -> int:
    """An offset such that what was published at `time_ms` or later stands there or behind, and all else before it.

    Publication times of a partition do not fall, so that halving finds it.
    """
    low, high = broker.watermarks(at)
    while low < high:
        middle = (low + high) // 2
        message = _first(broker, at, middle, high)
        if message is None or message.timestamp()[1] >= time_ms:
            high = middle
        else:
            low = message.offset() + 1
    return low


def _first(broker: Broker, at: TopicPartition, start: int, stop: int) -> Message | None:
    """The first message of `[start, stop)`; None where there are only markers."""
    messages = broker.read(at, start, stop)
    try:
        return next(messages, None)
    finally:
        close = getattr(messages, "close", None)
        if close is not None:
            close()
