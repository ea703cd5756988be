"""A bad mapping stops at start, with file, path, wanted and got."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.errors import ConfigError
from detector.ingest.codec import open_decoder
from detector.ingest.mapping import Time, Value, Word, load_mapping

GOOD: dict[str, Any] = {
    "version": "test-1",
    "codec": {"format": "json"},
    "fields": {"id": "id", "type": {"const": "call"}, "from": "from", "to": "to", "time": "time"},
}


def written(folder: Path, tree: Any) -> Path:
    """A mapping file."""
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_plain_text_is_short_for_a_path(tmp_path: Path) -> None:
    """`from: src` says the same as `from: {path: src}`, for a field of any kind."""
    mapping = load_mapping(written(tmp_path, GOOD))
    assert mapping.value("from_") == Value(path="from")
    assert mapping.value("time") == Time(path="time")
    assert mapping.value("phase") == Word()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": {"format": "xml"}}, r"codec.format: Invalid enum value 'xml' \(got 'xml'\)"),
        ({"version": 3}, r"version: Expected `str`, got `int` \(got 3\)"),
        ({"colour": "red"}, "top level: Object contains unknown field `colour`"),
        ({"carries": ["middle"]}, r"carries: wanted phases out of complete, .* \(got 'middle'\)"),
        ({"codec": {"format": "csv"}}, r"codec.columns: wanted names of the columns in order, .* \(got none\)"),
        (
            {"codec": {"format": "csv", "columns": ["id"]}},
            r"fields.to: wanted a name out of codec.columns \(got 'to'\)",
        ),
        ({"skip": [{"why": "leg", "path": "a"}]}, r"skip\[0\]: wanted either among or unless \(got neither\)"),
        ({"numbers": {"prefix": "999"}}, "numbers.prefix: Expected `str` matching regex"),
    ],
)
def test_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """The message begins with the file."""
    path = written(tmp_path, GOOD | changes)
    with pytest.raises(ConfigError, match=message) as caught:
        load_mapping(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("to", {"const": None}, r"fields.to: wanted a path, join or const \(got none\)"),
        ("to", "a..b", r"fields.to: wanted keys with dots between \(got 'a..b'\)"),
        ("to", {"path": "to", "regex": "(("}, r"fields.to.regex: wanted a regular expression \(.*\) \(got '\(\('\)"),
        (
            "to",
            {"path": "to", "regex": "a+"},
            r"fields.to.regex: wanted a regular expression with one group \(got 'a\+'\)",
        ),
        ("type", {"const": "fax"}, r"fields.type.const: wanted one of call, sms \(got 'fax'\)"),
        (
            "type",
            {"path": "t", "map": {"x": "fax"}},
            r"fields.type.map: wanted 'x' mapped to one of call, sms \(got 'fax'\)",
        ),
        ("time", {"path": "t", "zone": "Mars/Base"}, r"fields.time.zone: wanted an IANA time zone \(got 'Mars/Base'\)"),
        ("time", {"path": "t", "unit": "h"}, r"fields.time.unit: Invalid enum value 'h' \(got 'h'\)"),
        ("attested", "to", r"fields: wanted to read to as yes or no, or as something else \(got both\)"),
    ],
)
def test_mistake_in_a_field_is_named_with_its_place(tmp_path: Path, field: str, value: Any, message: str) -> None:
    """Fields, patterns, words and units."""
    path = written(tmp_path, GOOD | {"fields": GOOD["fields"] | {field: value}})
    with pytest.raises(ConfigError, match=message):
        load_mapping(path)


def test_path_cannot_be_a_value_and_an_object(tmp_path: Path) -> None:
    """`to` and `to.number` cannot both be read."""
    path = written(tmp_path, GOOD | {"fields": GOOD["fields"] | {"cell": "to.cell"}})
    with pytest.raises(ConfigError, match=r"to.cell: wanted either a value or an object at to \(got both\)"):
        open_decoder(load_mapping(path), str(path))


def test_missing_file_is_named(tmp_path: Path) -> None:
    """What the settings name must be there."""
    with pytest.raises(ConfigError, match=r"nowhere.yaml: wanted a readable file \(got No such file or directory\)"):
        load_mapping(tmp_path / "nowhere.yaml")
