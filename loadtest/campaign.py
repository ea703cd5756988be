"""Campaign: traffic as of now, at a pace, and spoofed calls from abroad among it when they are asked for.

    Population -> stencil.lines ---+-> source
    spoofed numbers -> calls ------+

Every record gives two rows, or a reject where the stencil broke it: `loadtest.balance` counts on that. Deterministic
rules decide on the spoofed ones, whatever the model makes of anybody.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

import numpy as np
import orjson

from detector.broker.kafka import KafkaBroker
from detector.config import KafkaOptions
from loadtest.oracle import RECORDS
from loadtest.population import Population
from loadtest.stencil import are_broken, lines

TICK_S: Final = 0.1
SHOWN_EACH: Final = 2
"""Spoofed calls of one tick: a wave takes seconds, as a real one does."""
TRUNK: Final = "international-1"
OTHER: Final = "+999748820261"
FIXED, MOBILE = "+99921{:07}", "+99961{:07}"
"""A fixed number of this country that comes from abroad is blocked; a mobile one is flagged, which takes no budget."""


class Campaign:
    """Writes while in its `with` block and not ended."""

    def __init__(self, options: KafkaOptions, population: Population, per_s: int, partitions: int) -> None:
        self.records = self.broken = 0
        self._options, self._population, self._per_s, self._partitions = options, population, per_s, partitions
        self._place = population.size
        self._turn = self._shown = 0
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()
        self._failed: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="campaign", daemon=True)

    def show(self, form: str, count: int) -> Sequence[str]:
        """So many numbers that were never shown before are going to be, each once; returns them."""
        numbers = [form.format(self._shown + k) for k in range(count)]
        self._shown += count
        with self._lock:
            self._waiting += map(call, numbers)
        return numbers

    def end(self) -> None:
        """Nothing more is written; raises what went wrong."""
        self._ended.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            with closing(KafkaBroker(self._options)) as broker:
                began, written = time.monotonic(), 0
                while not self._ended.wait(TICK_S):
                    due = int((time.monotonic() - began) * self._per_s)
                    # One that was kept waiting does not make up for it at once.
                    self._write(broker, min(due - written, self._per_s))
                    written = due
        except Exception as error:  # told by `end`, in the thread that can say so
            self._failed = error

    def _write(self, broker: KafkaBroker, count: int) -> None:
        drawn = self._population.draw(self._place, count)
        now_ms = time.time_ns() // 1_000_000
        drawn = replace(drawn, event_ms=np.full(count, now_ms, np.int64))
        with self._lock:
            shown, self._waiting = self._waiting[:SHOWN_EACH], self._waiting[SHOWN_EACH:]
        values = [*lines(drawn), *(at(value, now_ms) for value in shown)]
        broker.publish(RECORDS, [(None, value) for value in values], self._turn % self._partitions)
        self._turn += 1
        self._place += count
        self.records += len(values)
        self.broken += int(np.count_nonzero(are_broken(drawn)))

    def __enter__(self) -> "Campaign":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def call(number: str) -> bytes:
    """A call that shows `number`; its times are put in when it is written."""
    call = {"id": f"spoofed-{number}", "type": "call", "from": number, "to": OTHER, "trunk": TRUNK}
    return orjson.dumps(call | {"start": "now", "end": "now", "duration": 0, "outcome": "busy", "attested": False})


def at(call_: bytes, now_ms: int) -> bytes:
    """It happens now."""
    return call_.replace(b'"now"', b"%d" % now_ms)
