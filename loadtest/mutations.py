"""Mutations: good messages become bad ones, in the ways in which exporters, networks and people break them.

Nothing here knows what a message means: bytes are bytes, JSON is a tree, CSV is a row of cells.
Equal seeds give equal messages.
"""

import csv
import io
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

Tree = Any
"""What `json.loads` returns."""

TOKENS: Final = (
    *(
        b"\x00",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\r\n",
        b"\n",
    ),
    *(b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b":", b",", b",,", b"null", b"true", b"NaN"),
    *(b"-", b"+", b"%", b"%00", b"%zz", b"1e999", b"-1e-999", b"9" * 40, b"0" * 20, b"18446744073709551616"),
)
WORDS: Final = (
    *("call", "sms", "complete", "start", "answer", "connect", "interim", "first", "last", "end", "submit", "deliver"),
    *("receipt", "originating", "terminating", "both", "answered", "no_answer", "busy", "cancelled", "failed"),
    *("blocked", "sent", "ANSWERED", "NO ANSWER", "INVITE", "BYE", "E_ACC_CDR", "E_ACC_MISSED_EVENT", "submit_sm"),
    *("deliver_sm", "ESME_ROK", "ORIGINATOR_CANCEL", "transit", "rival", "london", "bank", "outbound", "200", "603"),
    *("+999700000001", "+999200000002", "+447700900123", "0044 7700 900123", "07700 900123", "1001", "112", "ACME"),
    *("sip:+999700000001@example.org;user=phone", '"Ann" <sip:%2B999700000001@h>', "tel:112", "sip:", "@", "+", "00"),
    *(
        "anonymous",
        "",
        " ",
        "???",
        "9" * 15,
        "9" * 16,
        "9" * 400,
        "+0",
        "٣٤٥٦٧٨٩",
        "９９９７００",
        "²³⁴⁵⁶",
        "½",
        "*#06#",
    ),
    *("\x00", "\ud800", "\u202e", "\U0001f4de" * 40, "a|b", "%", "%2B", "%zz", "x" * 70, "é" * 200, "ﬁ", "İ"),
    *("0", "-1", "16", "1793620800", "1793620800000000", "2026-11-02 12:00:00", "2026-11-02T12:00:00+14:00", "1e9"),
    *(
        "nan",
        "inf",
        "-0",
        "0001-01-01 00:00:00",
        "9999-12-31T23:59:59-23:59",
        "2026-W45-1",
        "20261102T120000Z",
        "24:00",
    ),
)
NUMBERS: Final = (
    *(0, -1, 1, 16, 127, 128, 300, 487, 65_535, 65_536, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63)),
    *(1_793_620_800, 1_793_620_800_000, 1_793_620_740_000, 1_793_620_800_000_000, 946_684_800_000, 4_102_444_799_999),
    *(10**30, -(10**300), 10**4_000, 0.5, -1.5, 1e-300, 1e300, 1_793_620_800.25, 2_592_000.0, 2_592_000.1, -0.0),
)
DEEPEST: Final = 3_000
"""Levels of nesting: more than any parser's stack is meant for."""
LONGEST: Final = 64 * 1024
"""Bytes of a message after its mutation, but for the few that are swollen on purpose."""
SWOLLEN: Final = (1 << 20) + 1
"""Just more than ingest takes."""
SWELL_EVERY: Final = 5_000


class Mutator:
    """Draws from one seeded source of chance; no two calls give the same."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._bytes: tuple[Callable[[bytes, Sequence[bytes]], bytes], ...] = (
            self._flip,
            self._put,
            self._cut,
            self._repeat,
            self._token,
            self._truncate,
            self._splice,
            self._digits,
            self._encode,
            self._nest,
        )

    def noise(self, corpus: Sequence[bytes]) -> bytes:
        """A message of `corpus` with its bytes disturbed one to four times; sometimes bytes that never were one."""
        chance = self.chance
        if chance.randrange(50) == 0:
            return chance.randbytes(chance.randrange(200))
        value = chance.choice(corpus)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
            value = chance.choice(self._bytes)(value, corpus)[:LONGEST]
        if chance.randrange(SWELL_EVERY) == 0:
            value = (value or b" ") * (SWOLLEN // max(1, len(value)) + 1)
        return value

    def _at(self, value: bytes) -> int:
        return self.chance.randrange(len(value) + 1)

    def _flip(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        changed = bytearray(value)
        for _ in range(self.chance.choice((1, 1, 2, 8))):
            if changed:
                changed[self.chance.randrange(len(changed))] ^= 1 << self.chance.randrange(8)
        return bytes(changed)

    def _put(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        at = self._at(value)
        return value[:at] + self.chance.randbytes(self.chance.choice((1, 1, 2, 9))) + value[at + 1 :]

    def _cut(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        at = self._at(value)
        return value[:at] + value[at + self.chance.choice((1, 2, 5, 30)) :]

    def _repeat(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        at = self._at(value)
        part = value[at : at + self.chance.choice((1, 3, 20, 200))]
        return value[:at] + part * self.chance.choice((2, 2, 3, 50)) + value[at:]

    def _token(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        at = self._at(value)
        return value[:at] + self.chance.choice(TOKENS) + value[at + self.chance.choice((0, 1)) :]

    def _truncate(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        return value[: self._at(value)]

    def _splice(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        other = self.chance.choice(corpus)
        return value[: self._at(value)] + other[self._at(other) :]

    def _digits(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        """A run of digits, if one is near, becomes another number."""
        at = end = self._at(value)
        while end < len(value) and not value[end : end + 1].isdigit():
            end += 1
        at = end
        while end < len(value) and value[end : end + 1].isdigit():
            end += 1
        return value[:at] + _written(self.chance.choice(NUMBERS)).encode() + value[end:]

    def _encode(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        text = value.decode("utf-8", "replace")
        name = self.chance.choice(("utf-16", "utf-16-be", "utf-32", "latin-1", "cp037", "utf-7", "utf-8-sig"))
        return text.encode(name, "replace")

    def _nest(self, value: bytes, corpus: Sequence[bytes]) -> bytes:
        depth = self.chance.choice((1, 2, 50, DEEPEST))
        opening, closing = self.chance.choice(((b"[", b"]"), (b'{"x":', b"}")))
        return opening * depth + value + closing * self.chance.choice((depth, 0))

    # With regard to structure: what comes out is still JSON or CSV, and reaches further.

    def json(self, example: bytes) -> bytes:
        """The JSON message `example` with one to three of its values, keys or shapes changed."""
        chance = self.chance
        tree: Tree = json.loads(example)
        for _ in range(chance.choice((1, 1, 2, 3))):
            tree = self._changed(tree)
        return _written(tree, ascii_only=chance.random() < 0.5).encode("utf-8", "surrogatepass")

    def _changed(self, tree: Tree) -> Tree:
        chance = self.chance
        place, key = self._place(tree)
        if place is None:
            return self._value(tree)
        match chance.randrange(10):
            case 0:
                del place[key]
            case 1:
                place[key] = [place[key]] if chance.random() < 0.5 else {chance.choice(WORDS): place[key]}
            case 2 if isinstance(place, dict):
                place[chance.choice(WORDS)] = place.pop(key)
            case 3:
                other, at = self._place(tree)
                if other is not None:
                    place[key] = json.loads(_written(other[at]))
            case 4:
                return [tree] * chance.choice((0, 1, 2, 40)) if chance.random() < 0.5 else {"data": tree}
            case _:
                place[key] = self._value(place[key])
        return tree

    def _place(self, tree: Tree) -> tuple[Any, Any]:
        """A container of `tree` and one of its keys; (None, None) where there is none."""
        found: tuple[Any, Any] = (None, None)
        while isinstance(tree, dict | list) and tree:
            key = self.chance.choice(list(tree)) if isinstance(tree, dict) else self.chance.randrange(len(tree))
            found = (tree, key)
            tree = tree[key]
        return found

    def _value(self, old: Any) -> Any:
        """Another value: near the old one, of its kind, or anything."""
        chance = self.chance
        kind = chance.randrange(4)
        if kind == 0 and isinstance(old, int | float) and not isinstance(old, bool) and abs(old) < 2**63:
            return old + chance.choice((-1, 1, 0.5, -86_400_000, 86_400_000)) * chance.choice((1, 1000, 0.001))
        if kind == 0 and isinstance(old, str):
            at = chance.randrange(len(old) + 1)
            return old[:at] + chance.choice(WORDS) + old[at + chance.choice((0, 1, 5)) :]
        if kind == 1:
            return chance.choice(WORDS)
        if kind == 2:
            return chance.choice(NUMBERS)
        return chance.choice((None, True, False, [], {}, [[]], {"": None}, str(old), [old], 0, "", chance.random()))

    def csv(self, example: bytes, delimiter: str) -> bytes:
        """The CSV line `example` with one to three of its cells changed, added or taken out."""
        chance = self.chance
        rows = list(csv.reader(io.StringIO(example.decode(), newline=""), delimiter=delimiter))
        cells = chance.choice(rows) if rows else []
        for _ in range(chance.choice((1, 1, 2, 3))):
            at = chance.randrange(len(cells) + 1)
            match chance.randrange(12):
                case 0:
                    cells.insert(at, chance.choice(WORDS))
                case 1:
                    del cells[at : at + 1]
                case 2:
                    cells = cells * 2
                case _:
                    old = cells[at] if at < len(cells) else ""
                    cells[at : at + 1] = [text if isinstance(text := self._value(old), str) else _written(text)]
        out, quoted = io.StringIO(), chance.randrange(3) == 0
        csv.writer(
            out, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator="\n"
        ).writerows([cells] * chance.choice((1, 1, 1, 1, 2)))
        return out.getvalue()[: None if chance.random() < 0.1 else -1].encode("utf-8", "surrogatepass")


def _written(tree: Tree, ascii_only: bool = True) -> str:
    return json.dumps(tree, ensure_ascii=ascii_only)
