"""Problems: everything that is wrong with a YAML file of ours, each with its place in the file and the nearest name.

    file, environment -> read_settings -> Document -> problems(document, Settings) -> a list, empty where all is well

`config.load` stops at the first mistake, which is enough to not start; whoever writes a file wants all of them.
"""

import difflib
import os
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from msgspec import Struct

from detector.config import is_secret, keys_of, put, references, substituted, value_of, variables
from detector.errors import ConfigError

Keys = tuple[str | int, ...]
"""Where a value stands in a tree: names of sections and settings, and places in lists."""

ALIKE: Final = 0.6
"""How much of a name must be the same for it to be proposed: difflib's own measure and limit."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where (`file:line:column`, or the variable), the setting, and what was wanted and got."""

    place: str
    setting: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.setting or 'top level'}: {self.what}"


@dataclass(slots=True)
class Document:
    """A file as it was read, and where each of its values stands."""

    path: Path
    tree: Any = None
    places: dict[Keys, tuple[int, int]] = field(default_factory=dict)
    """Line and column, from 1, of each setting's name or list item."""
    variables: dict[Keys, str] = field(default_factory=dict)
    """The variable that a value, or all below it, came from."""
    references: dict[Keys, list[str]] = field(default_factory=dict)
    """What a value was put together from, where it was."""
    problems: list[Problem] = field(default_factory=list)
    """What was wrong with reading it."""

    def place(self, keys: Keys) -> str:
        """Where the value at `keys` comes from, or the nearest that holds it."""
        for end in range(len(keys), -1, -1):
            if variable := self.variables.get(keys[:end]):
                return f"environment {variable}"
            if keys[:end] in self.places:
                line, column = self.places[keys[:end]]
                return f"{self.path}:{line}:{column}"
        return str(self.path)

    def found(self, keys: Keys, what: str) -> None:
        """A problem at `keys` is noted."""
        self.problems.append(Problem(self.place(keys), written(keys), what))


def written(keys: Keys) -> str:
    """`sources[1].id`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def read_document(path: Path) -> Document:
    """The file, its places, and names that it says twice. `ConfigError` when it is missing."""
    document = Document(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: wanted a readable file (got {error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: wanted text in UTF-8 ({error.reason} at byte {error.start})") from error
    try:
        document.tree = yaml.safe_load(text)
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        document.problems.append(Problem(place, "", f"wanted YAML ({getattr(error, 'problem', None) or error})"))
        return document
    if node is not None:
        _note_places(document, node, ())
    return document


def _note_places(document: Document, node: yaml.Node, keys: Keys) -> None:
    document.places.setdefault(keys, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            _note_places(document, item, (*keys, i))
    elif isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            below = (*keys, str(name.value))
            line, column = name.start_mark.line + 1, name.start_mark.column + 1
            if below in document.places:
                first = document.places[below][0]
                at = f"{document.path}:{line}:{column}"
                what = f"said twice: the value of line {first} is not used"
                document.problems.append(Problem(at, written(below), what))
            document.places[below] = line, column
            _note_places(document, value, below)


def read_settings(path: Path, environ: Mapping[str, str] | None = None) -> Document:
    """The settings of `path` with references replaced and the environment's on top, as far as that can be done."""
    environ = os.environ if environ is None else environ
    document = read_document(path)
    document.tree = _substituted(document, document.tree, (), environ)
    if not isinstance(document.tree, dict):
        if not document.problems:
            document.found((), f"wanted a mapping of settings (got {type(document.tree).__name__})")
        return document
    for name in variables(environ):
        keys = keys_of(name)
        try:
            put(document.tree, keys, value_of(name, environ), name)
        except ConfigError as error:
            what = str(error).removeprefix(f"{name}: ")
            document.problems.append(Problem(f"environment {name}", written(tuple(keys)), what))
        else:
            document.variables[tuple(keys)] = name
    return document


def _substituted(document: Document, tree: Any, keys: Keys, environ: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {name: _substituted(document, value, (*keys, str(name)), environ) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_substituted(document, value, (*keys, i), environ) for i, value in enumerate(tree)]
    if not isinstance(tree, str) or not (found := references(tree)):
        return tree
    document.references[keys] = found
    try:
        return substituted(tree, document.path, environ)
    except ConfigError as error:
        document.found(keys, str(error).removeprefix(f"{document.path}: "))
        return tree  # its place is taken, so that nobody says that it is missing


def problems(document: Document, kind: type[Struct]) -> list[Problem]:
    """What was wrong with reading the document, and then what is wrong with it as a `kind`."""
    if not document.problems or isinstance(document.tree, dict):
        for keys, what in _mistakes(document.tree, kind, (), Names(kind)):
            document.found(keys, what)
    return document.problems


class Names:
    """The names that a kind of file knows: those of a section, and where else a name stands."""

    def __init__(self, kind: type[Struct]) -> None:
        self._elsewhere: dict[str, str] = {}
        self._collect(kind, ())

    def _collect(self, kind: type[Struct], keys: Keys) -> None:
        for name, annotation in _fields(kind).items():
            self._elsewhere.setdefault(name, written((*keys, name)))
            if (below := _struct_of(annotation)) is not None and len(keys) < 3:
                self._collect(below, (*keys, name))

    def proposal(self, name: str, here: typing.Iterable[str]) -> str:
        """The known name that is nearest to `name`: the same of another section, else of those `here`."""
        if name in self._elsewhere:
            return f"; did you mean {self._elsewhere[name]}?"
        if near := difflib.get_close_matches(name, list(here), 1, ALIKE):
            return f"; did you mean {near[0]}?"
        return ""


def _fields(kind: type[Struct]) -> dict[str, Any]:
    return {found.encode_name: found.type for found in msgspec.structs.fields(kind)}


def _bare(annotation: Any) -> Any:
    """The type without what `Annotated` adds to it."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def _struct_of(annotation: Any) -> type[Struct] | None:
    """The one struct that an annotation allows, alone or beside others."""
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Struct):
        return bare
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        found = [struct for option in typing.get_args(bare) if (struct := _struct_of(option)) is not None]
        return found[0] if len(found) == 1 else None
    return None


def _mistakes(tree: Any, annotation: Any, keys: Keys, names: Names) -> Iterator[tuple[Keys, str]]:
    """Places and words of everything in `tree` that is not as its type wants it."""
    bare = _bare(annotation)
    struct = _struct_of(annotation)
    arguments = typing.get_args(bare)
    if struct is not None and isinstance(tree, dict):
        yield from _mistakes_of_section(tree, struct, keys, names)
    elif typing.get_origin(bare) in (tuple, list) and isinstance(tree, list) and (arguments[1:] in ((), (...,))):
        for i, item in enumerate(tree):
            yield from _mistakes(item, arguments[0], (*keys, i), names)
    elif typing.get_origin(bare) is dict and isinstance(tree, dict) and arguments[0] is str:
        for name, value in tree.items():
            yield from _mistakes(value, arguments[1], (*keys, str(name)), names)
    else:
        yield from _mistakes_of_value(tree, annotation, keys)


def _mistakes_of_section(
    tree: dict[Any, Any], kind: type[Struct], keys: Keys, names: Names
) -> Iterator[tuple[Keys, str]]:
    fields = _fields(kind)
    for name in tree:
        if name not in fields:
            known = names.proposal(str(name), fields) or f"; wanted one of {', '.join(fields)}"
            yield (*keys, str(name)), f"no such setting{known}"
    for found in msgspec.structs.fields(kind):
        name = found.encode_name
        if name in tree:
            yield from _mistakes(tree[name], found.type, (*keys, name), names)
        elif found.required:
            yield keys, f"wanted {name} (got none)"


def _mistakes_of_value(value: Any, annotation: Any, keys: Keys) -> Iterator[tuple[Keys, str]]:
    try:
        msgspec.convert(value, annotation, str_keys=True)
    except msgspec.ValidationError as error:
        what = str(error).partition(" - at ")[0]
        options = [option for option in typing.get_args(_bare(annotation)) if isinstance(option, str)]
        if options and isinstance(value, str):
            near = difflib.get_close_matches(value, options, 1, ALIKE)
            what = f"wanted {', '.join(options)}" + (f"; did you mean {near[0]}?" if near else "")
        hidden = isinstance(value, dict | list) or any(is_secret(str(key)) for key in keys)
        yield keys, what if hidden else f"{what} (got {value!r})"
