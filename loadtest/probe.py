"""Probes: an operator's command for one number of every partition, again and again, and its decision, read committed.

    commands -> ingest -> events.by-number -> detect -> decisions -> Prober.seen

A command always makes a decision, whatever the mode and the windows; its way is that of the traffic, so that
it waits wherever a record would. Where only detect is looked at, commands go straight to the internal topic, as
ingest would put them there. Every command must have exactly one decision: `lost` and `repeated` count.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import cycle
from typing import Final

import msgspec
import numpy as np

from detector.broker import Producer, TopicPartition
from detector.broker.kafka import KafkaBroker
from detector.config import Settings
from detector.errors import Fatal, Recoverable
from detector.ingest.commands import Command, command_row
from detector.ingest.rows import pack_message
from detector.records import SCHEMA_ID, number_text, partition_of
from loadtest.population import packed_numbers
from loadtest.timeline import Seen

FIRST_DIGITS: Final = 999_790_000_000
"""Numbers that no population has."""
ACTOR: Final = "probe"
LIFE_S: Final = 60


class Answer(msgspec.Struct):
    """What a probe needs to know of a decision."""

    number: str
    source: str
    reason: str


def numbers_of(partitions: int) -> list[str]:
    """A number on each partition, as commands write it."""
    digits = FIRST_DIGITS + np.arange(200 * partitions, dtype=np.int64)
    packed = packed_numbers(digits)
    at = partition_of(packed, partitions)
    return [number_text(int(packed[np.flatnonzero(at == q)[0]])) for q in range(partitions)]


class _FromNow:
    """A reader without a past: every partition is read from its present end."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker = broker
        self.started = threading.Event()

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        ends = {at: self._broker.watermarks(at)[1] for at in partitions}
        self.started.set()
        return ends

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Nothing is held."""

    lost = revoked


class Prober:
    """Writes and reads while in its `with` block, a thread each.

    Each number has a probe every `every_s`. Written `in_turn`, they come one by one; else all at once, which lays a
    burst of decisions on every partition where the traffic itself makes a few a second.
    """

    def __init__(self, settings: Settings, every_s: float, past_ingest: bool = False, in_turn: bool = False) -> None:
        self._settings = settings
        self._past_ingest = past_ingest
        self._every_s = every_s
        self._in_turn = in_turn
        self._numbers = numbers_of(settings.topics.partitions)
        self._written: list[list[float]] = [[] for _ in self._numbers]
        self._decided: list[dict[int, float]] = [{} for _ in self._numbers]
        self.repeated = 0
        self._ended = threading.Event()
        self._silent = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._read, self._write)]
        self._reading = threading.Event()

    def seen(self) -> list[Seen]:
        """Every probe that was written so far."""
        return [
            Seen(q, written, self._decided[q].get(i, np.inf))
            for q, all_written in enumerate(self._written)
            for i, written in enumerate(list(all_written))
        ]

    def lost(self) -> int:
        """Probes that have no decision."""
        return sum(len(written) - len(decided) for written, decided in zip(self._written, self._decided, strict=True))

    def wait_written(self, limit_s: float = 60.0) -> None:
        """Every number has been probed; `Fatal` if that takes too long."""
        until = time.monotonic() + limit_s
        while not all(self._written):
            if time.monotonic() > until:
                raise Fatal(f"no probe of some partition was written in {limit_s:.0f} s")
            time.sleep(0.01)

    def finish(self, limit_s: float = 60.0) -> None:
        """No more are written; wait for the decisions of those that were."""
        self._silent.set()
        until = time.monotonic() + limit_s
        while self.lost() and time.monotonic() < until:
            time.sleep(0.05)

    def _write(self) -> None:
        self._reading.wait(60.0)
        with closing(KafkaBroker(self._settings.kafka)) as broker:
            producer = broker.producer(f"{self._settings.group}-probe") if self._past_ingest else None
            everyone = range(len(self._numbers))
            turns = cycle([[q] for q in everyone] if self._in_turn else [[*everyone]])
            pause_s = self._every_s / (len(everyone) if self._in_turn else 1)
            due = time.monotonic()
            while not self._ended.is_set() and not self._silent.is_set():
                turn = next(turns)
                commands = {q: _command(self._numbers[q], len(self._written[q])) for q in turn}
                for q in turn:
                    self._written[q].append(time.monotonic())
                if producer is None:
                    keyed = [(one.number.encode(), msgspec.json.encode(one)) for one in commands.values()]
                    broker.publish(self._settings.topics.commands, keyed)
                else:
                    self._put(producer, commands)
                due = max(due + pause_s, time.monotonic())
                self._ended.wait(due - time.monotonic())

    def _put(self, producer: Producer, commands: Mapping[int, Command]) -> None:
        """The commands stand on the internal topic, in one transaction."""
        producer.begin()
        for q, command in commands.items():
            row = command_row(command, int(1_000 * time.time()), q, int(command.reason))
            headers = [("schema", SCHEMA_ID), ("command", msgspec.json.encode(command))]
            producer.send(self._settings.topics.events, q, pack_message(row), headers=headers)
        producer.commit({}, None)

    def _read(self) -> None:
        at = {number: q for q, number in enumerate(self._numbers)}
        with closing(KafkaBroker(self._settings.kafka)) as broker:
            consumer = broker.consumer(f"{self._settings.group}-probe", f"{self._settings.group}-probe")
            whence = _FromNow(broker)
            consumer.subscribe([self._settings.topics.decisions], whence)
            decode = msgspec.json.Decoder(Answer).decode
            while not self._ended.is_set():
                try:
                    messages = consumer.poll(1_000, 0.05)
                except Recoverable:
                    continue
                now = time.monotonic()
                if whence.started.is_set():
                    self._reading.set()
                for message in messages:
                    answer = decode(message.value() or b"{}")
                    if answer.source == f"operator:{ACTOR}":
                        decided = self._decided[at[answer.number]]
                        self.repeated += int(answer.reason) in decided
                        decided.setdefault(int(answer.reason), now)
            consumer.close()

    def __enter__(self) -> "Prober":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60.0)


def _command(number: str, i: int) -> Command:
    return Command("allow", number, ACTOR, str(i), f"{number}-{i}", "voice", "originating", LIFE_S)
