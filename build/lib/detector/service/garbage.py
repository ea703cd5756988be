"""Garbage: Python's collector of cycles works between the steps of a role, and never within one.

By itself it looks through the newest objects whenever 700 more have been made, and a batch makes tens of thousands,
none of them in a cycle: that was a fifth of ingest's processor time.
"""

import gc
import time
from typing import Final

STEPS: Final = 200
"""From one collection of what is new to the next, while messages come without a pause."""
ALL_S: Final = 3_600.0
"""From one collection that looks at everything to the next."""


class Garbage:
    """The collector, told when to work, while in its `with` block."""

    def __init__(self) -> None:
        self._steps = 0
        self._all_at_s = time.monotonic() + ALL_S

    def keep(self) -> None:
        """What is there by now is not looked at again."""
        gc.collect()
        gc.freeze()

    def collect(self, *, idle: bool) -> None:
        """After a step: what is new since the last time, in a pause or once in a while; rarely all."""
        self._steps += 1
        if idle or self._steps % STEPS == 0:
            gc.collect(1)
        if time.monotonic() >= self._all_at_s:
            gc.collect()
            self._all_at_s = time.monotonic() + ALL_S

    def __enter__(self) -> "Garbage":
        gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        gc.unfreeze()
        gc.enable()
