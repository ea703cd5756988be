"""Versions in force: which mode, model and policy decided from which offset of a partition on, as `control` tells.

control -> Versions -> stretches of a partition's log
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from detector.broker import Message


class InForce(NamedTuple):
    """What decides."""

    mode: str
    model: str
    policy: str


class Stretch(NamedTuple):
    """Offsets `[start, stop)` of a partition, decided on by one."""

    start: int
    stop: int
    by: InForce


class Versions:
    """What `control` has told so far. Of what is said of one offset, the last holds."""

    def __init__(self, at_first: InForce) -> None:
        self._at_first = at_first
        self._from: defaultdict[int, dict[int, InForce]] = defaultdict(dict)

    def hear(self, messages: Iterable[Message]) -> None:
        """Take in messages of the topic, in order; other keys than a partition's versions are not ours."""
        for message in messages:
            partition, _, offset = (message.key() or b"").partition(b"@")
            if partition.isdigit() and offset.isdigit() and message.value():
                told = json.loads(message.value() or b"")
                by = InForce(told["mode"], told["model"], told["policy"])
                self._from[told["partition"]][told["offset"]] = by

    def stretches(self, partition: int, start: int, stop: int) -> list[Stretch]:
        """The offsets `[start, stop)`, cut where another version took over."""
        told = sorted(self._from[partition].items())
        by = next((by for offset, by in reversed(told) if offset <= start), self._at_first)
        cuts = [(start, by), *((offset, by) for offset, by in told if start < offset < stop)]
        ends = [offset for offset, _ in cuts[1:]] + [stop]
        return [Stretch(first, end, by) for (first, by), end in zip(cuts, ends, strict=True)]
