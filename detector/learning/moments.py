"""Moments: when vectors are taken of the numbers of one partition, said by its rows alone.

    every:N   right behind the first event of a number, the N-th after that, and so on
    day:N     right behind each of the first N events of a number on a day, and then at every doubling of N
    hour      at the end of each hour of event time, of the numbers with an event in it
    label     at each label's own moment, of its number (`NumberLabel.moment_ms`)

An event is a row at which production would score. The moments of hours and labels come while the partition's clock,
the newest event time of its rows, passes them: so a vector knows what stood in the log by then, and no more.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np

from detector.errors import ConfigError
from detector.features.holding import SILENT_MS
from detector.records import Bools, I64s, U64s, partition_of
from detector.units import DAY_MS, HOUR_MS

NEVER_MS: Final = 1 << 62
LEAST_SWEPT: Final = 1 << 16
"""Counters that are kept without looking which of them are still of use: a few megabytes."""


class Moment(NamedTuple):
    """Vectors are wanted of `numbers`, ascending, as of `ms`."""

    ms: int
    numbers: U64s


class Moments(Protocol):
    """The moments of one partition. Rows are taken in runs: up to `until`, then what has been `passed`."""

    @property
    def at_events(self) -> bool:
        """Whether events must be known."""
        ...

    def chosen(self, numbers: U64s, as_of_ms: I64s) -> Bools:
        """Of consecutive events, given by number and time: right behind which a vector is taken."""
        ...

    def until(self, clock_ms: int) -> int:
        """The next moment, as the clock stands: rows beyond it have to wait until it is taken."""
        ...

    def passed(self, clock_ms: int) -> list[Moment]:
        """The moments before `clock_ms`, in order; each is given once."""
        ...


class EveryNth:
    """The first event of each number, and every `step`-th after it.

    A number that was silent for so long that the state forgets it begins anew: so no counter is kept for ever.
    """

    at_events = True

    def __init__(self, step: int) -> None:
        self._step = step
        self._seen: dict[int, tuple[int, int]] = {}
        """Of each number: its events modulo `step`, and its newest time."""
        self._sweep_at = LEAST_SWEPT

    def chosen(self, numbers: U64s, as_of_ms: I64s) -> Bools:
        if self._step == 1:
            return np.ones(len(numbers), np.bool_)
        seen, step = self._seen, self._step
        chosen = np.zeros(len(numbers), np.bool_)
        for i, (number, ms) in enumerate(zip(numbers.tolist(), as_of_ms.tolist(), strict=True)):
            count, newest_ms = seen.get(number, (0, ms))
            if ms - newest_ms >= SILENT_MS:
                count = 0
            chosen[i] = count == 0
            seen[number] = (count + 1) % step, ms
        if len(seen) > self._sweep_at:
            self._sweep(int(as_of_ms.max()))
        return chosen

    def _sweep(self, now_ms: int) -> None:
        """Counters that would begin anew go; twice the time, for rows of another source may be a week behind."""
        self._seen = {number: held for number, held in self._seen.items() if now_ms - held[1] < 2 * SILENT_MS}
        self._sweep_at = max(LEAST_SWEPT, 2 * len(self._seen))

    def until(self, clock_ms: int) -> int:
        return NEVER_MS

    def passed(self, clock_ms: int) -> list[Moment]:
        return []


class EarlyInDay:
    """Of each number's events of a day (UTC) the first `most`, then the (2 * most)-th, the (4 * most)-th and so on.

    What a number is begins with its first events, and a day of a thousand is hardly more to learn from than one of ten.
    """

    at_events = True

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[int, tuple[int, int]] = {}
        """Of each number: the day of its newest event, and its events of that day."""
        self._sweep_at = LEAST_SWEPT

    def chosen(self, numbers: U64s, as_of_ms: I64s) -> Bools:
        seen, most = self._seen, self._most
        chosen = np.zeros(len(numbers), np.bool_)
        for i, (number, day) in enumerate(zip(numbers.tolist(), (as_of_ms // DAY_MS).tolist(), strict=True)):
            newest, count = seen.get(number, (day, 0))
            # A late event of the day before belongs to the day that has begun.
            count = 1 if day > newest else count + 1
            times = count // most
            chosen[i] = count <= most or (count == times * most and times & (times - 1) == 0)
            seen[number] = max(day, newest), count
        if len(seen) > self._sweep_at:
            self._sweep(int(as_of_ms.max()) // DAY_MS)
        return chosen

    def _sweep(self, today: int) -> None:
        """Counters of days that are over go; rows of another source may be a day behind."""
        self._seen = {number: held for number, held in self._seen.items() if today - held[0] < 2}
        self._sweep_at = max(LEAST_SWEPT, 2 * len(self._seen))

    def until(self, clock_ms: int) -> int:
        return NEVER_MS

    def passed(self, clock_ms: int) -> list[Moment]:
        return []


class Hourly:
    """The last millisecond of each hour in which a number had an event, by the partition's clock."""

    at_events = True

    def __init__(self) -> None:
        self._hour_ends_ms = NEVER_MS
        self._active: list[U64s] = []
        self.behind = 0
        """Events of numbers that stand more than a day behind the clock: their hours have passed. Many of them mean
        that a record's time lies in the future, and has taken the clock with it."""

    def chosen(self, numbers: U64s, as_of_ms: I64s) -> Bools:
        if len(numbers):
            self._active.append(np.unique(numbers))
            self.behind += int(np.count_nonzero(as_of_ms < self._hour_ends_ms - DAY_MS))
        return np.zeros(len(numbers), np.bool_)

    def until(self, clock_ms: int) -> int:
        self._hour_ends_ms = (clock_ms // HOUR_MS + 1) * HOUR_MS - 1
        return self._hour_ends_ms

    def passed(self, clock_ms: int) -> list[Moment]:
        if clock_ms <= self._hour_ends_ms or not self._active:
            return []
        found = Moment(self._hour_ends_ms, np.unique(np.concatenate(self._active)))
        self._active = []
        return [found]


class AtLabels:
    """The labels' own moments, in order; those before the clock first stands anywhere cannot be had."""

    at_events = False

    def __init__(self, moments: Sequence[tuple[int, int]]) -> None:
        """`moments`: time and number of each label of this partition."""
        self._waiting = sorted(moments, reverse=True)
        self._began = False
        self.missed = 0
        """Moments before the first row."""

    def chosen(self, numbers: U64s, as_of_ms: I64s) -> Bools:
        return np.zeros(len(numbers), np.bool_)

    def until(self, clock_ms: int) -> int:
        return self._waiting[-1][0] if self._waiting else NEVER_MS

    def passed(self, clock_ms: int) -> list[Moment]:
        found: list[Moment] = []
        while self._waiting and self._waiting[-1][0] < clock_ms:
            ms = self._waiting[-1][0]
            numbers = []
            while self._waiting and self._waiting[-1][0] == ms:
                numbers.append(self._waiting.pop()[1])
            found.append(Moment(ms, np.unique(np.array(numbers, np.uint64))))
        if self._began:
            return found
        self._began = True
        self.missed = sum(len(moment.numbers) for moment in found)
        return []

    @property
    def waiting(self) -> int:
        """Moments that have not come."""
        return len(self._waiting)


class Plan:
    """The moments of every partition, as they are asked for."""

    def __init__(self, text: str, partitions: int, labels: Sequence[tuple[int, int]] = ()) -> None:
        """`text`: `every:N`, `day:N`, `hour` or `label`; `labels`: time and number of each label (`Known.moments`).

        Raises `ConfigError` for any other text.
        """
        kind, _, count = text.partition(":")
        number = int(count) if count.isascii() and count.isdecimal() else 0
        self._step, self._most = (number if kind == wanted else 0 for wanted in ("every", "day"))
        if not self._step and not self._most and text not in ("hour", "label"):
            raise ConfigError(f"--at: wanted every:N, day:N, hour or label (got {text})")
        self._hourly: list[Hourly] = []
        self._at_labels: list[AtLabels] = []
        if text == "label":
            homes = partition_of(np.array([number for _, number in labels], np.uint64), partitions)
            waiting: list[list[tuple[int, int]]] = [[] for _ in range(partitions)]
            for each, home in zip(labels, homes.tolist(), strict=True):
                waiting[home].append(each)
            self._at_labels = [AtLabels(mine) for mine in waiting]

    def of(self, partition: int) -> Moments:
        """Those of one partition, from their beginning; of labels they can be had once."""
        if self._at_labels:
            return self._at_labels[partition]
        if self._step:
            return EveryNth(self._step)
        if self._most:
            return EarlyInDay(self._most)
        self._hourly.append(Hourly())
        return self._hourly[-1]

    @property
    def behind(self) -> int:
        """Events more than a day behind the clock of their partition, where vectors are taken by the hour."""
        return sum(moments.behind for moments in self._hourly)

    @property
    def missed(self) -> int:
        """Labels whose moments lay before the records of their partition."""
        return sum(moments.missed for moments in self._at_labels)

    @property
    def waiting(self) -> int:
        """Labels whose moments have not come."""
        return sum(moments.waiting for moments in self._at_labels)
