"""A mapping file, typed: how the records of one kind of source become facts.

A mapping says how messages are decoded (`codec`), which records are left out (`skip`), how
numbers are written (`numbers`), which phases the source reports (`carries`), and for each
fact where its value stands (`fields`). It knows nothing of a particular carrier: names of
trunks, zones and regions come from the source's settings.
"""

import re
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from detector.config import Natural, Part, convert, read_yaml
from detector.errors import ConfigError


class Phase(IntEnum):
    """What part of a call or message a record reports."""

    COMPLETE = 0
    """The whole of it, written when it was over."""
    START = 1
    ANSWER = 2
    CONNECT = 3
    """Start and answer in one record."""
    INTERIM = 4
    """More talk time of a call that goes on."""
    FIRST = 5
    """The first partial record of a long call: start, answer and its share of talk time."""
    LAST = 6
    """The last partial record of a long call."""
    END = 7
    SUBMIT = 8
    DELIVER = 9
    RECEIPT = 10
    """A delivery report: never counts."""


class Side(IntEnum):
    """Which end of a call or message the record witnesses."""

    BOTH = 0
    ORIGINATING = 1
    TERMINATING = 2


class Outcome(IntEnum):
    """How a call or message went."""

    UNKNOWN = 0
    """Not said: an answer time or talk time tells, then the cause."""
    ANSWERED = 1
    NO_ANSWER = 2
    BUSY = 3
    CANCELLED = 4
    FAILED = 5
    BLOCKED = 6
    """Rejected by our own enforcement."""
    SENT = 7


WORDS: Final[dict[str, dict[str, int]]] = {
    "type": {"call": 1, "sms": 2},
    "phase": {phase.name.lower(): int(phase) for phase in Phase},
    "side": {side.name.lower(): int(side) for side in Side},
    "outcome": {outcome.name.lower(): int(outcome) for outcome in Outcome},
}
"""The words of each closed list; `type` as in `records.Kind`."""

Paths = str | tuple[str, ...]


class Value(Part, frozen=True):
    """Where a value stands: the first of `path` that is there, else `join`, else `const`."""

    path: Paths = ()
    join: tuple[str, ...] = ()
    """Paths whose texts are put together with `|` between, an absent one being empty."""
    const: str | int | float | bool | None = None
    sip_user: bool = False
    """Take the user part of a SIP or tel URI, with or without a display name."""
    regex: str = ""
    """Take what its first group matches, searched for; where nothing matches, nothing is there."""
    required: bool = False
    """Where nothing is there, the record is rejected as `missing_field`."""

    def paths(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else self.path


class Word(Value, frozen=True):
    """A word of a closed list."""

    map: dict[str, str] = msgspec.field(default_factory=dict)
    """Regular expression over the whole text, whatever its case -> word; the first that fits
    counts. Without a map the text itself must be a word of the list."""


class Time(Value, frozen=True):
    """A moment."""

    unit: Literal["s", "ms", "us"] = "ms"
    """Of a number since 1970."""
    format: str = ""
    """For texts instead of numbers: `iso`, or a `strptime` format."""
    zone: str = ""
    """Of a text without an offset: an IANA name, or nothing for the source's offset."""
    base_ms: int = 0
    """Added to every value: where relative times begin."""
    zero: Literal["is_time", "is_absent"] = "is_time"
    """What 0 means: some switches write the epoch for what never happened."""


class Span(Value, frozen=True):
    """A length of time."""

    unit: Literal["s", "ms", "us"] = "s"


class Numbers(Part, frozen=True):
    """How the source writes numbers."""

    bare: Literal["international", "national"] = "international"
    """What digits without + or international prefix are. Under `international`, those that
    begin with 0 are national all the same: no calling code does."""
    idd: tuple[str, ...] = ("00",)
    short_max: Annotated[Natural, Meta(le=14)] = 6
    """Digits up to this many are a short code or an extension."""
    short: Literal["short", "local"] = "short"
    withheld: tuple[str, ...] = ()
    """Further texts that stand for a withheld number."""
    prefix: Annotated[str, Meta(pattern=r"^(\+[0-9]{1,14})?$")] = ""
    """Put before every value, which then is an E.164 number."""
    pad: Annotated[Natural, Meta(le=15)] = 0
    """Zeros are put before values shorter than this, before the prefix."""


class Skip(Part, frozen=True):
    """Records that are left out: where the text is `among`, or is not among `unless`."""

    why: Annotated[str, Meta(pattern=r"^[a-z][a-z_]*$")]
    """Labels the count."""
    path: Paths
    among: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class Codec(Part, frozen=True):
    """How a message becomes records."""

    format: Literal["json", "ndjson", "csv"]
    envelope: str = ""
    """Path of the record inside a JSON message."""
    many: bool = False
    """The envelope leads to a list of records; a CSV message may have several lines."""
    url_encoded: bool = False
    """Texts may be URL-encoded."""
    columns: tuple[str, ...] = ()
    """Names of CSV columns in order."""
    least_columns: Natural = 0
    """Columns from here on may be left out; 0 = none."""
    header: bool = False
    """A line of just the column names is no record."""
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    skip_blanks: bool = False
    """Blanks after a delimiter are not part of the value."""


class Fields(Part, frozen=True, rename={"from_": "from"}):
    """Where each fact of a record stands. A plain text is short for `{path: text}`."""

    id: Value | str
    to: Value | str
    from_: Value | str
    type: Word | str
    phase: Word | str = Word()
    side: Word | str = Word()
    outcome: Word | str = Word()
    start: Time | str = Time()
    answer: Time | str = Time()
    end: Time | str = Time()
    time: Time | str = Time()
    duration: Span | str = Span()
    ring: Span | str = Span()
    diverting: Value | str = Value()
    cause: Value | str = Value()
    device: Value | str = Value()
    cell: Value | str = Value()
    trunk: Value | str = Value()
    account: Value | str = Value()
    attested: Value | str = Value()
    roaming: Value | str = Value()
    restricted: Value | str = Value()
    emergency: Value | str = Value()


NUMBERS: Final = ("from_", "to", "diverting")
TIMES: Final = ("start", "answer", "end", "time")
SPANS: Final = ("duration", "ring")
FLAGS: Final = ("attested", "roaming", "restricted", "emergency")
TEXTS: Final = ("id", "device", "cell", "trunk", "account", "cause")


_REPORT_ANSWER: Final = ("answer", "connect", "first")


class Mapping(Part, frozen=True):
    """A mapping file."""

    version: str
    """Stands in the headers of rejects: which edition could not read them."""
    codec: Codec
    fields: Fields
    carries: tuple[str, ...] = ("complete",)
    """Phases that the source writes. Unless one of them reports the answer, an `end` does."""
    numbers: Numbers = Numbers()
    skip: tuple[Skip, ...] = ()

    @property
    def end_answers(self) -> bool:
        """Whether an `end` reports the answer too, as no other phase does."""
        return not any(phase in _REPORT_ANSWER for phase in self.carries)

    def value(self, name: str) -> Any:
        """Field `name` written out: a `Value`, `Word`, `Time` or `Span`."""
        field = getattr(self.fields, name)
        if not isinstance(field, str):
            return field
        if name in WORDS:
            return Word(path=field)
        if name in TIMES:
            return Time(path=field)
        return Span(path=field) if name in SPANS else Value(path=field)


def load_mapping(path: Path) -> Mapping:
    """The mapping of a file; `ConfigError` with file, path, wanted and got."""
    mapping = convert(read_yaml(path), Mapping, str(path))
    for where, wanted, got in _mistakes(mapping):
        raise ConfigError(f"{path}: {where}: wanted {wanted} (got {got})")
    return mapping


def _mistakes(mapping: Mapping) -> Iterator[tuple[str, str, str]]:
    """What types cannot say: place, wanted and got of each mistake."""
    codec = mapping.codec
    if codec.format == "csv":
        if not codec.columns:
            yield "codec.columns", "names of the columns in order, header line or not", "none"
        if codec.least_columns > len(codec.columns):
            yield "codec.least_columns", f"at most {len(codec.columns)}", str(codec.least_columns)
    elif codec.columns:
        yield "codec.columns", "none: the format is not csv", repr(codec.columns)
    for word in mapping.carries:
        if word not in WORDS["phase"]:
            yield "carries", f"phases out of {', '.join(WORDS['phase'])}", repr(word)
    for i, skip in enumerate(mapping.skip):
        if bool(skip.among) == bool(skip.unless):
            yield f"skip[{i}]", "either among or unless", "both" if skip.among else "neither"
        yield from _bad_paths(mapping, f"skip[{i}].path", (skip.path,) if isinstance(skip.path, str) else skip.path)
    flags: set[str] = set()
    others: set[str] = set()
    for name in msgspec.structs.asdict(mapping.fields):
        where = f"fields.{name.rstrip('_')}"
        value: Value = mapping.value(name)
        paths = (*value.paths(), *value.join)
        (flags if name in FLAGS else others).update(paths)
        yield from _bad_paths(mapping, where, paths)
        if name in ("id", "to", "from_", "type") and not paths and value.const is None:
            yield where, "a path, join or const", "none"
        yield from _bad_regex(where + ".regex", value.regex, 1)
        if isinstance(value, Word):
            yield from _bad_words(where, value, WORDS[name])
        if isinstance(value, Time) and value.zone:
            try:
                ZoneInfo(value.zone)
            except (OSError, ValueError, KeyError):
                yield where + ".zone", "an IANA time zone", repr(value.zone)
    for path in sorted(flags & others):
        yield "fields", f"to read {path} as yes or no, or as something else", "both"


def _bad_paths(mapping: Mapping, where: str, paths: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for path in paths:
        if mapping.codec.format == "csv":
            if path not in mapping.codec.columns:
                yield where, "a name out of codec.columns", repr(path)
        elif not all(path.split(".")):
            yield where, "keys with dots between", repr(path)


def _bad_regex(where: str, pattern: str, groups: int) -> Iterator[tuple[str, str, str]]:
    try:
        found = re.compile(pattern).groups
    except re.error as error:
        yield where, f"a regular expression ({error})", repr(pattern)
        return
    if pattern and found < groups:
        yield where, "a regular expression with one group", repr(pattern)


def _bad_words(where: str, value: Word, words: dict[str, int]) -> Iterator[tuple[str, str, str]]:
    if isinstance(value.const, str) and not value.map and value.const not in words:
        yield where + ".const", f"one of {', '.join(words)}", repr(value.const)
    for pattern, word in value.map.items():
        yield from _bad_regex(f"{where}.map", pattern, 0)
        if word not in words:
            yield f"{where}.map", f"{pattern!r} mapped to one of {', '.join(words)}", repr(word)
