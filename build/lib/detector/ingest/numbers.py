"""Texts -> numbers: one spelling of every number, whatever way a switch wrote it.

A `NumberTable` keeps what it made of each text as entries of three arrays, so that a batch
is one dictionary look-up a value and one array index. Plain E.164 (`+` and digits) never
reaches phonenumbers, which costs a hundred times more.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import phonenumbers

from detector.config import Home
from detector.errors import ConfigError
from detector.ingest.columns import LONGEST, MEMO_MOST, Memo
from detector.ingest.mapping import Numbers
from detector.ingest.zones import NO_ZONE, RISKY, ZoneTable, zone_class, zone_country
from detector.records import NO_NUMBER, NumberKind, U64s, number_kind, pack_digits, pack_sender


class Trait(IntFlag):
    """What is known of a number from its digits alone."""

    OWN = 1
    EMERGENCY = 2
    INTERNATIONAL = 4
    RISK = 8


ABSENT: Final = 0
WITHHELD: Final = 1
UNPARSABLE: Final = 2
"""No number at all, such as `???`."""
BAD: Final = 3
"""Digits that no number can be: 40 of them, or a calling code that begins with 0."""
FIRST: Final = 4
"""From here on entries have a number."""

_WITHHELD: Final = frozenset(
    {"", "anonymous", "restricted", "private", "unavailable", "unknown", "withheld", "blocked", "number withheld"}
)
_LEAST_DIGITS: Final = 4
_MOST_DIGITS: Final = 15
_LONGEST_NAME: Final = 64
"""Characters of a sender id or SIP user at most; GSM 03.38 allows 11, SIP has no limit."""
_SEPARATORS: Final = str.maketrans("", "", " -.()/\u00a0")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A number, or why there is none (`state`, one of the four above)."""

    number: int
    state: int = FIRST
    name: str = ""
    """The text of a sender id."""


class NumberPlan:
    """Normalises the numbers of one source in one region."""

    def __init__(self, home: Home, numbers: Numbers, region: str):
        if region and region not in phonenumbers.SUPPORTED_REGIONS:
            raise ConfigError(f"region: wanted an ISO 3166 region with a numbering plan (got {region!r})")
        self._home = home
        self._numbers = numbers
        self._region = region
        self._withheld = _WITHHELD | {text.casefold() for text in numbers.withheld}
        # The longest first, so that 0011 is not taken for 00 and an 11.
        self._idd = tuple(sorted(numbers.idd, key=len, reverse=True))

    def parse(self, text: str) -> Parsed:
        """The number that `text` writes."""
        text = text.strip()
        if len(text) > LONGEST:
            return Parsed(NO_NUMBER, BAD if text.lstrip("+").isdecimal() else UNPARSABLE)
        if text.casefold() in self._withheld:
            return Parsed(NO_NUMBER, WITHHELD)
        if self._numbers.prefix:
            text = self._numbers.prefix + text.zfill(self._numbers.pad)
        digits = text.translate(_SEPARATORS)
        if not digits.isascii():
            # Full-width digits are digits; what stays foreign makes a name or nothing.
            digits = unicodedata.normalize("NFKC", digits)
        if digits.isascii():
            if digits.startswith("+") and digits[1:].isdecimal():
                return self._e164(digits[1:])
            if digits.isdecimal():
                return self._bare(digits)
        return _name(text)

    def _bare(self, digits: str) -> Parsed:
        """Digits without +."""
        numbers = self._numbers
        if digits in self._home.emergency:
            return Parsed(pack_digits(NumberKind.SHORT, digits))
        if len(digits) <= numbers.short_max:
            kind = NumberKind.SHORT if numbers.short == "short" else NumberKind.LOCAL
            return Parsed(pack_digits(kind, digits))
        for idd in self._idd:
            if digits.startswith(idd):
                return self._e164(digits.removeprefix(idd))
        if numbers.bare == "international" and not digits.startswith("0"):
            return self._e164(digits)
        if len(digits) > _MOST_DIGITS + 5:
            return Parsed(NO_NUMBER, BAD)
        if not self._region:
            return self._e164(self._home.country_code + digits.removeprefix("0"))
        try:
            found = phonenumbers.parse(digits, self._region)
        except phonenumbers.NumberParseException:
            return Parsed(NO_NUMBER, UNPARSABLE)
        return self._e164(phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)[1:])

    def _e164(self, digits: str) -> Parsed:
        if not _LEAST_DIGITS <= len(digits) <= _MOST_DIGITS or digits.startswith("0"):
            return Parsed(NO_NUMBER, BAD)
        code = self._home.country_code
        if digits.startswith(code) and digits[len(code) :] in self._home.emergency:
            return Parsed(pack_digits(NumberKind.SHORT, digits[len(code) :]))
        return Parsed(pack_digits(NumberKind.E164, digits))


def _name(text: str) -> Parsed:
    """A sender id or the name of a SIP user: printable, with at least one letter or service sign."""
    telling = any(char.isalpha() or char in "*#" for char in text)
    if not telling or not text.isprintable() or len(text) > _LONGEST_NAME:
        return Parsed(NO_NUMBER, UNPARSABLE)
    return Parsed(pack_sender(text), name=text)


class NumberTable:
    """Every number met lately, with its destination zone and traits; a view per way of writing.

    Entries index `number`, `zone` and `traits`, and hold until `trim`. The first four have no number.
    """

    def __init__(self, home: Home, zones: ZoneTable):
        self._home = home
        self._own = home.own_prefixes or (home.country_code,)
        self._emergency = {pack_digits(NumberKind.SHORT, digits) for digits in home.emergency}
        self._zones = zones
        self._views: list[NumberView] = []
        self._reset()

    def _reset(self) -> None:
        for view in self._views:
            view.clear()
        self._size = FIRST
        self.number: U64s = np.zeros(1024, np.uint64)
        self.zone: npt.NDArray[np.uint16] = np.zeros(1024, np.uint16)
        self.traits: npt.NDArray[np.uint8] = np.zeros(1024, np.uint8)
        self._names: dict[int, str] = {}

    def view(self, plan: NumberPlan, extract: Callable[[Any], str | None]) -> "NumberView":
        """The way from raw values, written as `plan` and `extract` say, to entries of this table."""
        view = NumberView(self, plan, extract)
        self._views.append(view)
        return view

    def trim(self) -> None:
        """Forget everything when there is too much of it; to be called between two batches."""
        if self._size > MEMO_MOST:
            self._reset()

    def name(self, entry: int) -> str:
        """The text of a sender id."""
        return self._names.get(entry, "")

    def enter(self, parsed: Parsed) -> int:
        """The entry of a number: a new one, unless it has none."""
        if parsed.state < FIRST:
            return parsed.state
        entry = self._size
        if entry == len(self.number):
            self.number = np.concatenate([self.number, np.zeros_like(self.number)])
            self.zone = np.concatenate([self.zone, np.zeros_like(self.zone)])
            self.traits = np.concatenate([self.traits, np.zeros_like(self.traits)])
        self._size += 1
        self.number[entry] = parsed.number
        self.zone[entry], self.traits[entry] = self.facts(parsed.number)
        if parsed.name:
            self._names[entry] = parsed.name
        return entry

    def facts(self, number: int) -> tuple[int, int]:
        """Destination zone and traits of a number."""
        kind = number_kind(number)
        if kind is NumberKind.E164:
            digits = str(number & ((1 << 50) - 1))
            zone = self._zones.zone_of(digits)
            traits = Trait.OWN if digits.startswith(self._own) else Trait(0)
            if zone_country(zone) != int(self._home.country_code):
                traits |= Trait.INTERNATIONAL
            if zone_class(zone) in RISKY:
                traits |= Trait.RISK
            return zone, int(traits)
        if number in self._emergency:
            return NO_ZONE, int(Trait.EMERGENCY)
        # An extension exists only behind one of our own trunks or accounts.
        return NO_ZONE, int(Trait.OWN) if kind is NumberKind.LOCAL else 0


class NumberView(Memo[int]):
    """Raw values -> entries, each value parsed once."""

    def __init__(self, table: NumberTable, plan: NumberPlan, extract: Callable[[Any], str | None]):
        def parse(raw: Any) -> int:
            text = extract(raw)
            return ABSENT if text is None else table.enter(plan.parse(text))

        super().__init__(parse)

    def entries(self, column: Sequence[Any]) -> npt.NDArray[np.int64]:
        """The entry of each value."""
        return np.fromiter(map(self.__getitem__, column), np.int64, len(column))
