"""Span: where in a batch's bytes a value stands, and of which kind it is.

An i64: `kind (8 bits) | length (24 bits) | start (32 bits)`, 0 where nothing (or null) stands. The scanners
(`jsonscan`, `csvscan`) find them without decoding anything. They know the plain part of each format only: ASCII,
no escapes in what is taken out, each key once, whole numbers of at most 18 digits. A message that has anything
else, or anything wrong, is `odd`: the decoders of `codec` read it, and say what is wrong with it. So a scanner never
has to explain itself, and may refuse whatever it likes; what it accepts it must understand just as they do.
"""

from typing import Any, Final

TEXT: Final = 1
INT: Final = 2
FLOAT: Final = 3
TRUE: Final = 4
FALSE: Final = 5

LENGTH_BITS: Final = 24
START_BITS: Final = 32
LENGTH_MASK: Final = (1 << LENGTH_BITS) - 1
START_MASK: Final = (1 << START_BITS) - 1

_KINDS: Final[dict[type, int]] = {str: 1 << TEXT, int: 1 << INT, float: 1 << FLOAT, bool: 1 << TRUE | 1 << FALSE}


def kinds_of(union: Any) -> int:
    """The bits of the kinds that a type such as `str | int | None` allows."""
    return sum(bit for kind, bit in _KINDS.items() if kind in union.__args__)
