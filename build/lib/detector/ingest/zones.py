"""Digits -> zone: the country and the kind of range that a number lies in, by longest prefix.

The table is a CSV file of `prefix,class,name` (digits without +), which every carrier replaces
or extends with its own: `configs/zones.csv` is an example of the right shape.
"""

import csv
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Final

from detector.errors import ConfigError


class ZoneClass(IntEnum):
    """What kind of range a number lies in: the low 4 bits of a zone."""

    UNKNOWN = 0
    GEOGRAPHIC = 1
    MOBILE = 2
    PREMIUM = 3
    SHARED = 4
    SATELLITE = 5
    TOLL_FREE = 6
    UNALLOCATED = 7
    """No operator was given this range: nobody can call from it."""
    HIGH_RISK = 8
    """Ranges that revenue-share fraud is known to use."""


RISKY: Final = frozenset({ZoneClass.PREMIUM, ZoneClass.SATELLITE, ZoneClass.HIGH_RISK})
"""Classes that `Flag.RISK` stands for: the called side, or somebody behind it, earns by the minute."""

CLASS_BITS: Final = 4
NO_ZONE: Final = 0

# ITU-T E.164: zones 1 and 7 have one digit, these codes have two, every other one has three.
_LAST_OF_TWO: Final = {
    "2": "07",
    "3": "0123469",
    "4": "013456789",
    "5": "12345678",
    "6": "0123456",
    "8": "1246",
    "9": "0123458",
}


def calling_code(digits: str) -> str:
    """The country calling code that the digits of an E.164 number begin with."""
    if digits[0] in "17":
        return digits[0]
    return digits[:2] if digits[1:2] in _LAST_OF_TWO.get(digits[0], "x") else digits[:3]


class ZoneTable:
    """Classes of ranges by prefix; `zone_of` finds the longest that fits."""

    def __init__(self, classes: dict[str, ZoneClass]):
        self._classes = classes
        self._lengths = sorted({len(prefix) for prefix in classes}, reverse=True)

    @classmethod
    def load(cls, path: Path) -> "ZoneTable":
        """The table of a CSV file; `ConfigError` names file, line, wanted and got."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: wanted a readable CSV file ({error})") from error
        rows = csv.reader(text.splitlines())
        header = next(rows, [])
        if header != ["prefix", "class", "name"]:
            raise ConfigError(f"{path}: line 1: wanted the header prefix,class,name (got {','.join(header)!r})")
        classes: dict[str, ZoneClass] = {}
        for line, row in enumerate(rows, start=2):
            if len(row) != 3:
                raise ConfigError(f"{path}: line {line}: wanted 3 columns (got {len(row)})")
            prefix, name, _ = row
            if not (prefix.isascii() and prefix.isdecimal() and len(prefix) <= 15):
                raise ConfigError(f"{path}: line {line}: prefix: wanted 1 to 15 digits (got {prefix!r})")
            if prefix in classes:
                raise ConfigError(f"{path}: line {line}: prefix: wanted each prefix once (got {prefix} again)")
            if name not in ZoneClass.__members__:
                wanted = ", ".join(ZoneClass.__members__)
                raise ConfigError(f"{path}: line {line}: class: wanted one of {wanted} (got {name!r})")
            classes[prefix] = ZoneClass[name]
        return cls(classes)

    @property
    def prefixes(self) -> Iterable[str]:
        """All prefixes that have a class."""
        return self._classes.keys()

    def class_of(self, digits: str) -> ZoneClass:
        """The class of the longest prefix that `digits` begin with, UNKNOWN if none fits."""
        for length in self._lengths:
            found = self._classes.get(digits[:length])
            if found is not None and length <= len(digits):
                return found
        return ZoneClass.UNKNOWN

    def zone_of(self, digits: str) -> int:
        """`calling code << 4 | class` of an E.164 number's digits: 16 bits."""
        return zone(int(calling_code(digits)), self.class_of(digits))


def zone(country_code: int, kind: ZoneClass) -> int:
    """A zone from its two parts."""
    return country_code << CLASS_BITS | kind


def zone_country(value: int) -> int:
    """The country calling code of a zone, 0 where the destination has none."""
    return value >> CLASS_BITS


def zone_class(value: int) -> ZoneClass:
    """The class of a zone."""
    return ZoneClass(value & 15)
