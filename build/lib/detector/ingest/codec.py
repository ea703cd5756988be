"""Messages -> columns: bytes are decoded and only what the mapping names is taken out.

JSON is decoded by msgspec straight into a struct that the mapping's paths describe, so that
the rest of a large record is skipped and a value of the wrong type is found while decoding.
Whatever the bytes are, a message gives records or one `Rejected`, and never disturbs another.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Protocol

import msgspec

from detector.errors import ConfigError, Reason, Rejected
from detector.ingest.mapping import FLAGS, SPANS, TIMES, Codec, Mapping, Value

LARGEST: Final = 1 << 20
"""Bytes of a message at most: a hundred times a full FreeSWITCH record, and Kafka's own default."""

Column = list[Any]
"""One value a record: `str`, `int`, `float`, `bool`, or None where nothing stands."""


@dataclass(slots=True)
class Decoded:
    """The records of a batch, in order, as columns by path."""

    columns: dict[str, Column]
    index: list[int]
    """Of each record: which message it came in."""
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


class Decoder(Protocol):
    """What both formats offer."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded: ...

    def split(self, content: bytes) -> list[bytes]:
        """The messages that a file holds: what an agent would publish one by one."""
        ...


def open_decoder(mapping: Mapping, where: str) -> Decoder:
    """The decoder of a mapping; `ConfigError` where its paths contradict each other."""
    if mapping.codec.format == "csv":
        return CsvDecoder(mapping.codec)
    return JsonDecoder(mapping.codec, types_by_path(mapping), where)


def types_by_path(mapping: Mapping) -> dict[str, Any]:
    """The JSON types that a value may have, by every path that the mapping names."""
    kinds: dict[str, set[type]] = {}
    for name in msgspec.structs.asdict(mapping.fields):
        value: Value = mapping.value(name)
        wanted: tuple[type, ...] = (str, int)
        if name in FLAGS:
            wanted = (str, bool)
        elif name in TIMES or name in SPANS:
            wanted = (str, int, float)
        for path in (*value.paths(), *value.join):
            kinds.setdefault(path, set()).update(wanted)
    for skip in mapping.skip:
        for path in (skip.path,) if isinstance(skip.path, str) else skip.path:
            kinds.setdefault(path, {str, int})
    return {path: _union(kind) for path, kind in kinds.items()}


def _union(kinds: set[type]) -> Any:
    union: Any = None
    for kind in (str, int, float, bool):
        if kind in kinds:
            union = kind | union if union is not None else kind | None
    return union


def _refused(value: bytes | None) -> Rejected | None:
    """What is wrong with a message before anything is decoded."""
    if value is None or not value or value.isspace():
        return Rejected(Reason.EMPTY, f"wanted a record (got {0 if value is None else len(value)} bytes without one)")
    if len(value) > LARGEST:
        return Rejected(Reason.TOO_LARGE, f"wanted at most {LARGEST} bytes (got {len(value)})")
    return None


class JsonDecoder:
    """JSON objects, one a message, in a list, or one a line."""

    def __init__(self, codec: Codec, types: dict[str, Any], where: str):
        self._lines = codec.format == "ndjson"
        root: dict[Any, Any] = {}
        for path, kind in types.items():
            self._grow(root, path.split("."), kind, f"{where}: {path}")
        record = _struct(root)
        self._getters = {path: _getter(root, path.split(".")) for path in types}
        outer = list[record] if codec.many else record  # type: ignore[valid-type]
        keys = codec.envelope.split(".") if codec.envelope else []
        for key in reversed(keys):
            outer = msgspec.defstruct("Envelope", [("inner", outer)], rename={"inner": key}, gc=False)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(outer).decode
        self._open = attrgetter(".".join(["inner"] * len(keys))) if keys else None
        self._many = codec.many

    @staticmethod
    def _grow(root: dict[Any, Any], keys: list[str], kind: Any, where: str) -> None:
        """Put a leaf into the tree of keys."""
        for key in keys[:-1]:
            root = root.setdefault(key, {})
            if not isinstance(root, dict):
                raise ConfigError(f"{where}: wanted either a value or an object at {key} (got both)")
        if isinstance(root.get(keys[-1]), dict):
            raise ConfigError(f"{where}: wanted either a value or an object (got both)")
        root[keys[-1]] = kind

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        records: list[Any] = []
        index: list[int] = []
        rejected: list[tuple[int, Rejected]] = []
        decode, plain = self._decode, not (self._lines or self._many or self._open)
        for i, value in enumerate(values):
            if value is None or not value or len(value) > LARGEST:
                rejected.append((i, _refused(value) or Rejected(Reason.EMPTY, "")))
                continue
            if plain:
                try:
                    records.append(decode(value))
                    index.append(i)
                except (ValueError, RecursionError) as error:
                    rejected.append((i, _refused(value) or _undecodable(error)))
                continue
            for found in self._several(value):
                if isinstance(found, Rejected):
                    rejected.append((i, found))
                else:
                    records.append(found)
                    index.append(i)
        return Decoded({path: getter(records) for path, getter in self._getters.items()}, index, rejected)

    def _several(self, value: bytes) -> Iterator[Any]:
        """The records and rejections of one message that is not simply a record."""
        if value.isspace():
            yield _refused(value)
            return
        for line in value.split(b"\n") if self._lines else (value,):
            if self._lines and (not line or line.isspace()):
                continue
            try:
                found = self._decode(line)
            except (ValueError, RecursionError) as error:
                yield _undecodable(error)
                continue
            if self._open is not None:
                found = self._open(found)
            if not self._many:
                yield found
            elif found:
                yield from found
            else:
                yield Rejected(Reason.EMPTY, "wanted at least one record (got an empty list)")

    def split(self, content: bytes) -> list[bytes]:
        if not self._lines:
            try:
                msgspec.json.decode(content, type=msgspec.Raw)
                return [content]
            except (ValueError, RecursionError):
                pass
        return [line for line in content.split(b"\n") if line.strip()]


def _undecodable(error: Exception) -> Rejected:
    """Broken JSON, an object of another shape, or a value of another type: msgspec says where."""
    detail = str(error)[:300]
    if not isinstance(error, msgspec.ValidationError):
        return Rejected(Reason.UNDECODABLE, f"wanted JSON ({detail})")
    if "missing required field" in detail:
        return Rejected(Reason.WRONG_SHAPE, detail)
    return Rejected(Reason.WRONG_TYPE if " - at `" in detail else Reason.WRONG_SHAPE, detail)


def _is_list(tree: dict[Any, Any]) -> bool:
    return bool(tree) and all(key.isdecimal() for key in tree)


def _merged(tree: dict[Any, Any]) -> dict[Any, Any]:
    """The leaves that any element of a list is asked for: all its elements are of one type."""
    return {key: below for element in tree.values() for key, below in element.items()}


def _struct(tree: dict[Any, Any]) -> Any:
    """The type that holds just the leaves of `tree`; keys that are all digits index a list."""
    if _is_list(tree):
        return list[_struct(_merged(tree))]  # type: ignore[misc]
    fields: list[tuple[str, Any, Any]] = []
    rename = {}
    for i, (key, below) in enumerate(tree.items()):
        if not isinstance(below, dict):
            fields.append((f"f{i}", below, None))
        elif _is_list(below):
            fields.append((f"f{i}", _struct(below), msgspec.field(default_factory=list)))
        else:
            kind = _struct(below)
            fields.append((f"f{i}", kind, kind()))
        rename[f"f{i}"] = key
    return msgspec.defstruct("Record", fields, rename=rename, frozen=True, gc=False)


def _item_getter(
    to_list: Callable[[Any], list[Any]], at: int, empty: Any, rest: Callable[[list[Any]], Column]
) -> Callable[[list[Any]], Column]:
    """Records -> the column that `rest` takes out of element `at` of a list."""
    return lambda records: rest([items[at] if at < len(items) else empty for items in map(to_list, records)])


def _getter(tree: dict[Any, Any], keys: list[str]) -> Callable[[list[Any]], Column]:
    """Records -> the column of the value that `keys` lead to."""
    names: list[str] = []
    for depth, key in enumerate(keys):
        if _is_list(tree):
            element = _merged(tree)
            return _item_getter(
                attrgetter(".".join(names)), int(key), _struct(element)(), _getter(element, keys[depth + 1 :])
            )
        names.append(f"f{list(tree).index(key)}")
        tree = tree[key]
    leaf = attrgetter(".".join(names))
    return lambda records: list(map(leaf, records))


class CsvDecoder:
    """Lines of comma-separated values, quoted where needed, with as many columns as the mapping allows."""

    def __init__(self, codec: Codec):
        self._codec = codec
        self._least = codec.least_columns or len(codec.columns)

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        codec = self._codec
        out = Decoded({}, [])
        records: list[list[str]] = []
        width, names = len(codec.columns), list(codec.columns)
        for i, value in enumerate(values):
            refused = _refused(value)
            if value is None or refused:
                out.rejected.append((i, refused or Rejected(Reason.EMPTY, "")))
                continue
            for row in self._rows(value):
                if isinstance(row, Rejected):
                    out.rejected.append((i, row))
                elif not row:
                    continue
                elif codec.header and row == names:
                    out.skipped["header"] += 1
                elif not self._least <= len(row) <= width:
                    wanted = f"{self._least} to {width}" if self._least < width else str(width)
                    out.rejected.append((i, Rejected(Reason.WRONG_SHAPE, f"wanted {wanted} columns (got {len(row)})")))
                else:
                    records.append(row + [""] * (width - len(row)))
                    out.index.append(i)
        columns: Iterable[Column] = map(list, zip(*records, strict=True)) if records else ([] for _ in names)
        out.columns = dict(zip(names, columns, strict=True))
        return out

    def _rows(self, value: bytes) -> Iterator[list[str] | Rejected]:
        """The lines of one message, up to the first that cannot be read."""
        try:
            text = value.decode()
        except UnicodeDecodeError as error:
            yield Rejected(Reason.UNDECODABLE, f"wanted UTF-8 ({error})")
            return
        lines = csv.reader(
            io.StringIO(text, newline=""),
            strict=True,
            delimiter=self._codec.delimiter,
            skipinitialspace=self._codec.skip_blanks,
        )
        rows: list[list[str]] = []
        try:
            rows.extend(lines)
        except csv.Error as error:
            yield Rejected(Reason.UNDECODABLE, f"wanted CSV ({error})")
            return
        if len(rows) != 1 and not self._codec.many:
            yield Rejected(Reason.WRONG_SHAPE, f"wanted one line (got {len(rows)})")
            return
        yield from rows

    def split(self, content: bytes) -> list[bytes]:
        return [line for line in content.splitlines() if line.strip()]
