"""Settings: one file and the environment, and messages that name what is wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.config import ROOT, Settings, load
from detector.errors import ConfigError

GOOD: dict[str, Any] = {
    "home": {"country_code": "999"},
    "sources": [{"name": "plain", "id": 1, "topic": "records", "mapping": "plain.yaml"}],
}


def loaded(folder: Path, tree: Any, **environ: str) -> Settings:
    """Settings of a file with `tree` in it."""
    path = folder / "detector.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree))
    return load(path, environ)


def test_smallest_file_takes_the_defaults(tmp_path: Path) -> None:
    """A home and one source is all there must be."""
    settings = loaded(tmp_path, GOOD)
    assert settings.topics.partitions == 12
    assert settings.verdict.mode == "flag"
    assert settings.sources[0].max_future_s == 120
    assert settings.instance


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Wherever the process was started."""
    assert loaded(tmp_path, GOOD).path("plain.yaml") == (tmp_path / "plain.yaml").resolve()


def test_environment_comes_on_top_of_the_file(tmp_path: Path) -> None:
    """Its values are read as YAML; sections that the file lacks are made."""
    settings = loaded(
        tmp_path, GOOD, DETECTOR__VERDICT__MODE="shadow", DETECTOR__TOPICS__PARTITIONS="48", DETECTOR__INSTANCE="host-3"
    )
    assert (settings.verdict.mode, settings.topics.partitions, settings.instance) == ("shadow", 48, "host-3")


def test_names_of_librdkafka_have_their_dots_written_as_underscores(tmp_path: Path) -> None:
    """As Kafka's own images do: what the name of a variable may not hold stands for what librdkafka's names hold."""
    kafka = {"bootstrap.servers": "a:9092", "client.id": "north"}
    settings = loaded(
        tmp_path, GOOD | {"kafka": kafka}, DETECTOR__KAFKA__BOOTSTRAP_SERVERS="b:9092", DETECTOR__KAFKA__LINGER_MS="7"
    )
    assert settings.kafka == {"bootstrap.servers": "b:9092", "client.id": "north", "linger.ms": 7}


def test_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """It stands in neither the configuration nor a flag."""
    (tmp_path / "key").write_text("from a file\n")
    kafka = {"sasl.username": "${env:USER_NAME}", "sasl.password": "${file:key}"}
    settings = loaded(tmp_path, GOOD | {"kafka": kafka}, USER_NAME="from the environment")
    assert settings.kafka == {"sasl.username": "from the environment", "sasl.password": "from a file"}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("- 1", r"wanted a mapping of settings \(got list\)"),
        ("a: [", "wanted YAML"),
        ({"home": {"country_code": "999"}}, "top level: Object missing required field `sources`"),
        (GOOD | {"sources": []}, r"sources: wanted at least one \(got none\)"),
        (GOOD | {"home": {"country_code": "+999"}}, r"home.country_code: Expected `str` matching .* \(got '\+999'\)"),
        (GOOD | {"colour": 1}, "top level: Object contains unknown field `colour`"),
        (GOOD | {"verdict": {"mode": "block"}}, r"verdict.mode: Invalid enum value 'block' \(got 'block'\)"),
        (GOOD | {"topics": {"partitions": 0}}, r"topics.partitions: Expected `int` >= 1 \(got 0\)"),
        (GOOD | {"sources": [GOOD["sources"][0] | {"id": 64}]}, r"sources\[0\].id: Expected `int` <= 63 \(got 64\)"),
        (
            GOOD | {"sources": GOOD["sources"] * 2},
            r"sources\[1\].name must differ from every other \(got 'plain' twice\)",
        ),
        (GOOD | {"verdict": {"hold_out_share": 0.1}}, "verdict.hold_out_key must be set"),
        (GOOD | {"instance": "${env:NOT_SET}"}, r"\$\{env:NOT_SET\}: wanted an environment variable \(got none\)"),
        (GOOD | {"instance": "${file:none}"}, r"\$\{file:none\}: wanted a readable file \(got No such file"),
    ],
)
def test_mistake_is_named_with_file_path_wanted_and_got(tmp_path: Path, tree: Any, message: str) -> None:
    """A bad configuration stops at start."""
    with pytest.raises(ConfigError, match=message) as caught:
        loaded(tmp_path, tree)
    assert str(caught.value).startswith(str(tmp_path / "detector.yaml"))


def test_variable_that_leads_through_a_value_is_named(tmp_path: Path) -> None:
    """`instance` is no section."""
    with pytest.raises(ConfigError, match=r"DETECTOR__INSTANCE__NAME: wanted a section at instance \(got 'a'\)"):
        loaded(tmp_path, GOOD | {"instance": "a"}, DETECTOR__INSTANCE__NAME="b")


def test_missing_file_is_named(tmp_path: Path) -> None:
    """Before anything else is tried."""
    with pytest.raises(ConfigError, match=r"nowhere.yaml: wanted a readable file \(got No such file or directory\)"):
        load(tmp_path / "nowhere.yaml", {})


SHIPPED = [
    path
    for path in sorted(ROOT.glob("configs/*.yaml"))
    if "\nsources:" in path.read_text(encoding="utf-8") and "${file:" not in path.read_text(encoding="utf-8")
]
"""Files of settings, but for those whose secrets are in files of the machine that they are for."""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_configuration_that_ships_loads(path: Path) -> None:
    """With the variables that its secrets ask for."""
    names = {part.split("}")[0] for part in path.read_text(encoding="utf-8").split("${env:")[1:]}
    assert load(path, dict.fromkeys(names, "x")).sources
