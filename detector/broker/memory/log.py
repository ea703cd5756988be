"""One partition of the broker in memory: messages, markers, and where readers must stop."""

from collections.abc import Iterable, Sequence
from typing import Final, cast

from detector.broker import TopicPartition

LOG_APPEND_TIME: Final = 2
Headers = list[tuple[str, bytes]] | None


class StoredMessage:
    """A message of a log, with confluent-kafka's methods."""

    __slots__ = ("_headers", "_key", "_offset", "_timestamp_ms", "_value", "_where")

    def __init__(
        self,
        where: TopicPartition,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> None:
        self._where = where
        self._offset = offset
        self._timestamp_ms = timestamp_ms
        self._key = key
        self._value = value
        self._headers = headers

    def topic(self) -> str:
        return self._where.topic

    def partition(self) -> int:
        return self._where.partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return LOG_APPEND_TIME, self._timestamp_ms

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers:
        return self._headers


class Log:
    """One partition. `entries[i]` has offset `base + i`; None is a marker or an aborted message."""

    __slots__ = ("base", "entries", "open", "where")

    def __init__(self, where: TopicPartition) -> None:
        self.where = where
        self.base = 0
        self.entries: list[StoredMessage | None] = []
        self.open: dict[str, int] = {}
        """Transactional id -> offset of the first message of its transaction, until the marker stands here."""

    @property
    def end(self) -> int:
        return self.base + len(self.entries)

    @property
    def stable(self) -> int:
        """The last stable offset: readers stop before the first message that is not decided."""
        return min(self.open.values()) if self.open else self.end

    def append(self, timestamp_ms: int, pairs: Iterable[tuple[bytes | None, bytes | None]], headers: Headers) -> None:
        where, offset = self.where, self.end
        self.entries += [
            StoredMessage(where, i, timestamp_ms, key, value, headers) for i, (key, value) in enumerate(pairs, offset)
        ]

    def committed(self, start: int, most: int, stop: int) -> tuple[list[StoredMessage], int]:
        """Up to `most` committed messages of `[start, stop)`, and the next offset to read."""
        found: list[StoredMessage] = []
        stop = min(stop, self.stable)
        while start < stop and len(found) < most:
            upto = min(stop, start + most - len(found))
            part = self.entries[start - self.base : upto - self.base]
            found += [entry for entry in part if entry is not None] if None in part else cast(list[StoredMessage], part)
            start = upto
        return found, start

    def mark(self, transactional_id: str, hidden: Sequence[int]) -> None:
        """The marker of a transaction takes an offset, as Kafka's does; what it aborted is hidden for good."""
        for offset in hidden:
            self.entries[offset - self.base] = None
        self.entries.append(None)
        del self.open[transactional_id]

    def drop_below(self, offset: int) -> None:
        base = max(self.base, min(offset, self.stable))
        del self.entries[: base - self.base]
        self.base = base
