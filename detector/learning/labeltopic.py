"""Label topic: what was said of numbers, as messages keyed by number, for everybody who learns from it.

    label files, ticket systems --publish_labels--> topic `labels` --read_label_topic--> NumberLabel --> known, files

A message is a line of a label file, as JSON. One that says the same as another counts once, so that a file may be
published again after a crash. A message without a value takes back everything that was said of its number before it,
of an E.164 number without a trunk behind every trunk: for a slip, or for somebody who must be forgotten.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from detector.broker import Broker, TopicPartition
from detector.errors import ConfigError
from detector.learning.labelfile import NumberLabel, label_value, read_label
from detector.records import number_text, parse_number, without_trunk


@dataclass(slots=True)
class LabelLog:
    """What the topic holds."""

    labels: list[NumberLabel] = field(default_factory=list)
    """Each once, in the order of their partitions."""
    wrong: list[str] = field(default_factory=list)
    """Of each message that is no label: where it stands, what was wanted and got."""


class Place(NamedTuple):
    """Where a message stands."""

    partition: int
    offset: int
    time_ms: int

    def is_before(self, other: "Place") -> bool:
        """Whether it was published earlier. Clients hash keys differently, so a number may be in two partitions."""
        if self.partition == other.partition:
            return self.offset < other.offset
        return self.time_ms <= other.time_ms


def publish_labels(broker: Broker, topic: str, labels: Iterable[NumberLabel]) -> int:
    """All of them stand on the topic; returns how many."""
    values: list[tuple[bytes | None, bytes | None]] = [
        (number_text(label.number).encode(), label_value(label)) for label in labels
    ]
    broker.publish(topic, values)
    return len(values)


def withdraw_labels(broker: Broker, topic: str, numbers: Iterable[int]) -> None:
    """Nothing that was said of `numbers` until now is read any more."""
    broker.publish(topic, [(number_text(number).encode(), None) for number in numbers])


def read_label_topic(broker: Broker, topic: str) -> LabelLog:
    """What the topic holds now. Who writes to it is not only us: what is no label stops nothing, and is told."""
    found = LabelLog()
    said: list[tuple[NumberLabel, Place]] = []
    withdrawn: dict[int, list[Place]] = {}
    for q in range(_partitions(broker, topic)):
        at = TopicPartition(topic, q)
        for message in broker.read(at, *broker.watermarks(at)):
            value, place = message.value(), Place(q, message.offset(), message.timestamp()[1])
            where = f"{topic}[{q}], offset {place.offset}"
            try:
                if value is None:
                    number = parse_number((message.key() or b"").decode("utf-8", "replace"))
                    withdrawn.setdefault(number, []).append(place)
                else:
                    said.append((read_label(value, where), place))
            except ConfigError as error:
                found.wrong.append(str(error))
            except ValueError as error:
                found.wrong.append(f"{where}: key: {error}")
    for label, place in said:
        # A number that is taken back without a trunk is taken back behind every one, as the archive erases it.
        names = {label.number, without_trunk(label.number)}
        if not any(place.is_before(other) for name in names for other in withdrawn.get(name, ())):
            found.labels.append(label)
    found.labels = list(dict.fromkeys(found.labels))
    return found


def _partitions(broker: Broker, topic: str) -> int:
    partitions = broker.partitions().get(topic)
    if partitions is None:
        raise ConfigError(f"no topic {topic}: `detector topics create` makes what is missing")
    return partitions
