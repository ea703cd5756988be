"""The known history: what is written to the source, at what pace, by a thread of its own."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Final

from detector.broker.kafka import KafkaBroker
from detector.config import KafkaOptions
from detector.errors import Recoverable
from detector.learning.encode import encode
from detector.learning.simulate import MONDAY_MS, Scenario, simulate
from detector.units import DAY_MS
from loadtest.oracle import RECORDS

FIRST_MONDAY_MS: Final = MONDAY_MS - 104 * 7 * DAY_MS
"""Two years before the simulator's own: whatever a run takes, its history lies in the past, as a switch's does."""
CHAPTER_DAYS: Final = 8
EVERY_S: Final = 0.1
RECORDS_A_NUMBER: Final = 90
"""Of a simulated number in eight days; rather too few."""

POISON: Final = (
    b"",
    b"{",
    b"\x00\xff\xfe noise \x80",
    b"[]",
    b'{"id": "x"}',
    b'{"id":"x","type":"call","from":"+9997' + b"1" * 40 + b'","to":"+99971","end":1790000000000}',
    b'{"id":"x","type":"call","from":"+99971000001","to":"+99971000002","start":5,"end":7}',
    b'{"id":"x","type":"call","phase":"zzz","from":"+99971000001","to":"+99971000002","end":1790000000000}',
    b'{"id":"x","type":"call","from":17.5,"to":{},"end":1790000000000}',
    b'{"id":"' + b"x" * 900_000 + b'"}',
)
"""Records that nobody can understand, each for a reason of its own."""


def traffic(records: int, seed: int) -> list[bytes]:
    """At least `records` records of a simulated week and a day with campaigns in it, in our plain form."""
    return next(chapters(records, seed))


def chapters(records: int, seed: int) -> Iterator[list[bytes]]:
    """Traffic without end: each chapter is a week and a day of another network, and begins when the last one ended."""
    numbers = max(1_500, records // RECORDS_A_NUMBER)
    start_ms = FIRST_MONDAY_MS
    while True:
        yield encode(simulate(Scenario(numbers=numbers, days=CHAPTER_DAYS, seed=seed, start_ms=start_ms)).records)
        start_ms += CHAPTER_DAYS * DAY_MS
        seed += 1_000_003


class Writer:
    """Publishes a history in order, `per_s` records a second, while in its `with` block and not paused.

    The next chapter is made while one is written.
    """

    def __init__(self, options: KafkaOptions, story: Iterator[list[bytes]], per_s: int, partitions: int) -> None:
        self._options = options
        self._story = story
        self._values = next(story)
        self._maker = ThreadPoolExecutor(1, "chapters")
        self._next: Future[list[bytes]] = self._maker.submit(next, story)
        self._at = 0
        self.per_s = per_s
        self._partitions = partitions
        self._turn = 0
        self._running = threading.Event()
        self._running.set()
        self._ended = threading.Event()
        self._busy = threading.Lock()
        self._extra: list[bytes] = []
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def burst(self, times: int, seconds: float) -> None:
        """For a while, `times` the pace."""
        self.per_s *= times
        time.sleep(seconds)
        self.per_s //= times

    def add(self, values: Sequence[bytes]) -> None:
        """These are written among the others."""
        with self._busy:
            self._extra += values

    def written(self, most: int) -> list[bytes]:
        """Up to `most` of the records written last."""
        return list(self._values[max(0, self._at - most) : self._at])

    def pause(self) -> None:
        """Nothing is under way any more when this returns."""
        self._running.clear()
        with self._busy:
            pass

    def resume(self) -> None:
        """Go on."""
        self._running.set()

    def _run(self) -> None:
        with closing(KafkaBroker(self._options)) as broker:
            while not self._ended.wait(EVERY_S):
                self._running.wait()
                with self._busy:
                    if self._running.is_set():
                        self._write(broker)

    def _write(self, broker: KafkaBroker) -> None:
        if self._at >= len(self._values):
            self._values, self._at = self._next.result(), 0
            self._next = self._maker.submit(next, self._story)
        stop = self._at + max(1, int(self.per_s * EVERY_S))
        extra, self._extra = self._extra, []
        # Among the others: what cannot be understood stands between what can.
        values = [value for pair in zip(self._values[self._at : stop], extra, strict=False) for value in pair]
        values += [*self._values[self._at + len(extra) : stop], *extra[stop - self._at :]]
        self._at = min(stop, len(self._values))
        try:
            broker.publish(RECORDS, [(None, value) for value in values], self._turn % self._partitions)
        except Recoverable:
            # Whether they stand there or not, the source topic says: it is what the oracle reads.
            return
        finally:
            self._turn += 1

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._running.set()
        self._thread.join(90.0)
        self._maker.shutdown(cancel_futures=True)
