"""Orders: what operators want, as records on `commands`, and the mode on `control` too.

    command line, admin port -> Orders -> commands -> ingest -> rows -> detect
                                   +----> control, key `mode` -> Switch of every worker

A change of mode stands in `control` first: should its record in `commands` fail, it holds all the same, and whoever
gave it hears of the failure.
"""

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Final

import msgspec

from detector.broker import Broker, Message, TopicPartition
from detector.config import Topics
from detector.errors import Rejected
from detector.ingest.commands import Command, ModeChange, read_command, read_mode_change
from detector.service.switch import KEY

AT_ONCE: Final = 2_000
"""Commands published together: between two such batches progress is told."""


class Orders:
    """Publishes orders; several threads may give some."""

    def __init__(self, broker: Broker, topics: Topics) -> None:
        self._broker = broker
        self._topics = topics
        self._one_by_one = Lock()

    def give(self, commands: Sequence[Command], told: Callable[[int], None] = lambda count: None) -> None:
        """Each command is stored; `told` hears how many are. Raises `Recoverable` where the broker is away."""
        with self._one_by_one:
            for start in range(0, len(commands), AT_ONCE):
                batch = commands[start : start + AT_ONCE]
                pairs = [(command.number.encode(), msgspec.json.encode(command)) for command in batch]
                self._broker.publish(self._topics.commands, pairs)
                told(start + len(batch))

    def switch(self, change: ModeChange) -> None:
        """Every worker that runs or starts from now on hears of the change."""
        value = msgspec.json.encode(change)
        with self._one_by_one:
            self._broker.publish(self._topics.control, [(KEY, value)], 0)
            self._broker.publish(self._topics.commands, [(KEY, value)])

    def given(self) -> "Iterator[tuple[Message, Command | ModeChange]]":
        """Every order that is kept, a partition at a time."""
        for q in range(self._broker.partitions()[self._topics.commands]):
            at = TopicPartition(self._topics.commands, q)
            for message in self._broker.read(at, *self._broker.watermarks(at)):
                found = read_mode_change(message.value()) or read_command(message.value())
                if not isinstance(found, Rejected):
                    yield message, found
