"""Imports point down one list of layers, and two libraries enter by one door each."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from detector.config import ROOT

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"cli", "commands"}),
    frozenset({"demo"}),
    frozenset({"replay"}),
    frozenset({"supervisor", "service", "learning"}),
    frozenset({"admin", "snapshot", "broker", "problems"}),
    frozenset({"pipeline"}),
    frozenset({"verdict"}),
    frozenset({"features"}),
    frozenset({"ingest"}),
    frozenset({"metrics", "config", "logs"}),
    frozenset({"records", "errors", "jit", "units"}),
)
"""Rooms from the top down. A room imports itself and what lies below; of its own layer nothing else,
but the command line, which is two rooms that know each other."""

CORE = frozenset({"ingest", "features", "verdict", "pipeline"})
NOT_IN_CORE = frozenset(
    {
        "asyncio",
        "datetime",
        "http",
        "logging",
        "prometheus_client",
        "random",
        "socket",
        "subprocess",
        "threading",
        "time",
    }
)
"""What a room that is data in, data out has no use for. `datetime` is allowed in ingest, which
reads written times."""

DOORS = {"confluent_kafka": "detector/broker/kafka/", "numba": "detector/jit.py"}

FILES = sorted(Path(ROOT, "detector").rglob("*.py"))


def room(module: str) -> str:
    """`detector.verdict.model` lies in `verdict`; the package itself in none."""
    return module.split(".")[1] if "." in module else ""


def level(name: str) -> int:
    """How far down a room lies."""
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            base = node.module or ""
            names = [f"detector.{alias.name}" for alias in node.names if not alias.name.startswith("__")]
            yield from names if base == "detector" else [base]


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_room_imports_only_what_lies_below(path: Path) -> None:
    """No arrow points up or sideways."""
    here = room(module_of(path).removesuffix(".__init__"))
    wrong = [
        name
        for name in imports(path)
        if name.startswith("detector.")
        and here
        and room(name) != here
        and level(room(name)) <= level(here)
        and not {here, room(name)} <= LAYERS[0]
    ]
    assert wrong == []


@pytest.mark.parametrize(("library", "door"), DOORS.items(), ids=DOORS)
def test_a_library_enters_by_one_door(library: str, door: str) -> None:
    """Only the door's file, or the files of its folder, know the library."""
    users = [str(path.relative_to(ROOT)) for path in FILES if library in {name.split(".")[0] for name in imports(path)}]
    assert users
    assert [user for user in users if not user.startswith(door)] == []


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_has_no_clock_no_log_and_no_metrics(name: str) -> None:
    """Time, randomness and storage arrive as arguments; counts leave as return values."""
    banned = NOT_IN_CORE - ({"datetime"} if name == "ingest" else set())
    wrong = [
        f"{module_of(path)} imports {module}"
        for path in FILES
        if room(module_of(path)) == name
        for module in imports(path)
        if module.split(".")[0] in banned or module == "detector.metrics"
    ]
    assert wrong == []
