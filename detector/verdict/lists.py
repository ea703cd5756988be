"""Lists: files of numbers and prefixes, as sorted intervals that a whole batch is looked up in.

One entry a line; `#` begins a comment. `+9992000111` is that number whatever trunk it arrived on,
`+9992000111@7` only as it arrives unattested on trunk group 7, `+99920*` every number that begins so,
`short:611`, `local:10*` and `sender:ACME` likewise.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from detector.errors import ConfigError
from detector.records import (
    MAX_SHORT_DIGITS,
    TRUNK_MASK,
    Bools,
    NumberKind,
    U64s,
    number_trunk,
    pack_digits,
    parse_number,
)

E164_DIGITS: Final = 15
NO_TRUNK: Final = np.uint64(~TRUNK_MASK & 0xFFFF_FFFF_FFFF_FFFF)

_PLANS: Final = {
    "+": (NumberKind.E164, E164_DIGITS),
    "short:": (NumberKind.SHORT, MAX_SHORT_DIGITS),
    "local:": (NumberKind.LOCAL, MAX_SHORT_DIGITS),
}


@dataclass(frozen=True, slots=True)
class NumberList:
    """Half-open intervals of numbers: `anywhere` without their trunk bits, `scoped` with them."""

    anywhere: U64s
    """[2k] first of interval k, [2k + 1] first after it; rising, never touching."""
    scoped: U64s

    @staticmethod
    def load(path: Path) -> "NumberList":
        """The list of a text file; `ConfigError` names file, line and wanted.

        Not what stands there: a running detect says it in its log, and it may be a subscriber's number.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: wanted a readable text file ({error})") from error
        anywhere: list[tuple[int, int]] = []
        scoped: list[tuple[int, int]] = []
        for i, line in enumerate(lines, start=1):
            entry = line.partition("#")[0].strip()
            if entry:
                try:
                    found = _intervals(entry)
                except ValueError as error:
                    raise ConfigError(f"{path}: line {i}: {str(error).partition(' (got ')[0]}") from error
                (scoped if number_trunk(found[0][0]) else anywhere).extend(found)
        return NumberList(_merged(anywhere), _merged(scoped))

    @staticmethod
    def of(entries: tuple[str, ...]) -> "NumberList":
        """A list of `entries` without trunk groups; raises `ValueError`."""
        return NumberList(_merged([found for entry in entries for found in _intervals(entry)]), _merged([]))

    def contains(self, numbers: U64s) -> Bools:
        """Whether each number is listed."""
        listed = _inside(self.anywhere, numbers & NO_TRUNK)
        return listed | _inside(self.scoped, numbers) if len(self.scoped) else listed

    def holds(self, number: int) -> bool:
        """Whether one number is listed: `contains` of a batch of one, without making the batch."""
        plain = self.anywhere.searchsorted(np.uint64(number) & NO_TRUNK, "right")
        return bool(plain % 2 or self.scoped.searchsorted(np.uint64(number), "right") % 2)


def _inside(bounds: U64s, numbers: U64s) -> Bools:
    """Odd many bounds lie at or below a number exactly when an interval holds it."""
    return np.equal(np.searchsorted(bounds, numbers, side="right") % 2, 1)


def _intervals(entry: str) -> list[tuple[int, int]]:
    """The half-open intervals of one entry: a prefix has one for each length that a number may have."""
    if not entry.endswith("*"):
        number = parse_number(entry)
        return [(number, number + 1)]
    for sign, (kind, longest) in _PLANS.items():
        digits = entry[len(sign) : -1]
        if entry.startswith(sign) and digits.isdecimal() and digits.isascii() and len(digits) <= longest:
            return [
                (pack_digits(kind, digits + "0" * more), pack_digits(kind, digits + "9" * more) + 1)
                for more in range(longest - len(digits) + 1)
            ]
    raise ValueError(f"wanted digits between +, short: or local: and the * of a prefix (got {entry!r})")


def _merged(intervals: list[tuple[int, int]]) -> U64s:
    """Bounds of the union, rising."""
    bounds: list[int] = []
    for start, stop in sorted(intervals):
        if bounds and start <= bounds[-1]:
            bounds[-1] = max(bounds[-1], stop)
        else:
            bounds += [start, stop]
    return np.array(bounds, np.uint64)
