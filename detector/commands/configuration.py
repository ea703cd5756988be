"""`config show|validate|explain|schema`: the settings in force and where from, what is wrong, what there is."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from detector.commands.common import Commands, add_command, add_config, out, settings_of
from detector.config import Settings, contradictions, convert, is_secret
from detector.errors import ConfigError

if TYPE_CHECKING:
    from msgspec import Struct

    from detector.problems import Document, Keys, Problem

HIDDEN = '"***"'
NOT_SETTINGS = ("base",)
"""Fields that loading fills in, and nobody sets."""


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = commands.add_parser(
        "config", help="show, validate or describe the settings", description="Show, validate or describe the settings."
    )
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    show = add_command(
        below,
        "show",
        _show,
        "print every setting in force and where it comes from",
        "Three columns: setting, value as JSON, and default, file with its line, or variable of the environment.\n"
        "Secrets are not shown, nor is anything that comes from a file of its own.",
    )
    validate = add_command(
        below,
        "validate",
        _validate,
        "say everything that is wrong with the settings, mappings and policy, with its place",
        "A line for each mistake: file, line and column (or variable), setting, what was wanted and got, and the name\n"
        "that was probably meant. Exit code 2 if there is any. `detector check` goes on to load what they name.",
    )
    for command in (show, validate):
        add_config(command)
    explain = add_command(
        below,
        "explain",
        _explain,
        "say what each setting means, what it takes, its default and its variable",
        "Needs no configuration. What stands under `kafka` is librdkafka's own.",
    )
    explain.add_argument("names", nargs="*", metavar="SETTING", help="verdict.mode, or a section (default: all)")
    add_command(
        below,
        "schema",
        _schema,
        "print the JSON Schema of the configuration file",
        "For editors and for charts; configs/settings.schema.json is a copy.",
    )


def settings_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file, as its types say it."""
    import msgspec

    schema = msgspec.json.schema(Settings)
    for name in NOT_SETTINGS:
        del schema["$defs"]["Settings"]["properties"][name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "detector settings", **schema}


def _schema(arguments: argparse.Namespace) -> int:
    out(schema_text().rstrip())
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from detector.commands.explaining import entries

    found = list(entries(settings_schema()))
    for name in arguments.names:
        if not any(one.is_in(name) for one in found):
            raise ConfigError(f"SETTING: wanted a setting or a section of `detector config explain` (got {name})")
    for one in found:
        if not arguments.names or any(map(one.is_in, arguments.names)):
            for line in one.lines():
                out(line)
    return 0


def schema_text() -> str:
    """The schema as its copy in configs/ holds it."""
    return orjson.dumps(settings_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _show(arguments: argparse.Namespace) -> int:
    from detector.problems import read_settings

    settings = settings_of(arguments)
    document = read_settings(arguments.config)
    for line in shown(settings, document):
        out(line)
    return 0


def shown(settings: Settings, document: "Document") -> Iterator[str]:
    """Each setting with its value and origin, in columns; secrets masked."""
    import msgspec

    from detector.problems import written

    rows = []
    for keys, value in _leaves(msgspec.to_builtins(settings), ()):
        if keys[0] not in NOT_SETTINGS:
            given = document.references.get(keys, [])
            hidden = any(is_secret(str(key)) for key in keys) or any("{file:" in one for one in given)
            rows.append((written(keys), HIDDEN if hidden and value else _json(value), _origin(document, keys)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for setting, text, origin in rows:
        yield f"{setting:{widths[0]}}  {text:{min(widths[1], 40)}}  {origin}"


def _leaves(tree: Any, keys: "Keys") -> Iterator[tuple["Keys", Any]]:
    if isinstance(tree, dict) and tree:
        for name, value in tree.items():
            yield from _leaves(value, (*keys, name))
    elif isinstance(tree, list | tuple) and any(isinstance(item, dict) for item in tree):
        for i, item in enumerate(tree):
            yield from _leaves(item, (*keys, i))
    else:
        yield keys, tree


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _origin(document: "Document", keys: "Keys") -> str:
    for end in range(len(keys), 0, -1):
        if variable := document.variables.get(keys[:end]):
            return f"environment {variable}"
    if keys in document.places:
        line, _ = document.places[keys]
        given = " ".join(document.references.get(keys, []))
        return f"file {document.path}:{line}" + (f" {given}" if given else "")
    return "name of this host" if keys == ("instance",) else "default"


def _validate(arguments: argparse.Namespace) -> int:
    found = all_problems(arguments.config)
    for line in found:
        out(line)
    count = f"{len(found) or 'no'} problem{'' if len(found) < 2 else 's'}"
    out(f"{arguments.config}: {count}")
    return 2 if found else 0


def all_problems(path: Path) -> list[str]:
    """Everything that is wrong with the settings of `path`, and with the mappings and the policy that they name."""
    from detector.problems import problems, read_settings

    document = read_settings(path)
    if isinstance(document.tree, dict):
        document.tree.pop("base", None)
    lines = [str(problem) for problem in problems(document, Settings)]
    if isinstance(document.tree, dict):
        try:
            settings = convert(document.tree | {"base": str(path.absolute().parent)}, Settings, str(path))
        except ConfigError as error:
            lines = lines or [str(error)]
        else:
            lines += [str(problem) for problem in _disagreements(document, settings)]
    for file, kind in _files(path, document.tree):
        lines += _problems_of_file(file, kind)
    return lines


def _disagreements(document: "Document", settings: Settings) -> Iterator["Problem"]:
    """What no single value shows: settings that contradict each other, and what librdkafka does not take."""
    from detector.broker.kafka import KafkaBroker
    from detector.problems import Problem

    for place, what in contradictions(settings):
        yield Problem(document.place(_keys(place)), place, what.removeprefix(":").strip())
    try:
        KafkaBroker(settings.kafka).close()
    except ConfigError as error:
        yield Problem(document.place(("kafka",)), "kafka", str(error).removeprefix("kafka: "))


def _keys(place: str) -> "Keys":
    """`sources[1].id` taken apart."""
    parts = place.replace("[", ".[").split(".")
    return tuple(int(part[1:-1]) if part.startswith("[") else part for part in parts)


def _files(path: Path, tree: Any) -> Iterator[tuple[Path, type["Struct"]]]:
    """The mappings and the policy that the settings name, as far as they can be read."""
    from detector.ingest.mapping import Mapping
    from detector.verdict.policy import PolicyText

    if not isinstance(tree, dict):
        return
    sources = tree.get("sources")
    named = (
        [source["mapping"] for source in sources if isinstance(source, dict) and "mapping" in source]
        if isinstance(sources, list)
        else []
    )
    verdict = tree.get("verdict")
    policy = verdict.get("policy", "policy.yaml") if isinstance(verdict, dict) else "policy.yaml"
    files: list[tuple[Any, type[Struct]]] = [(name, Mapping) for name in dict.fromkeys(map(str, named))]
    files.append((policy, PolicyText))
    for name, kind in files:
        if isinstance(name, str):
            yield path.parent / name, kind


def _problems_of_file(file: Path, kind: type["Struct"]) -> list[str]:
    """What is wrong with one of them: its types, and where those are right, what they cannot say."""
    from detector.ingest.mapping import Mapping, load_mapping
    from detector.problems import problems, read_document
    from detector.verdict.policy import Policy

    try:
        found = problems(read_document(file), kind)
        if not found:
            load_mapping(file) if kind is Mapping else Policy.load(file)
    except ConfigError as error:
        return [str(error)]
    return [str(problem) for problem in found]
