"""`config`: what is in force and from where, everything that is wrong at once, and the schema of it all."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from detector.cli import main
from detector.commands.configuration import all_problems, schema_text, settings_schema
from detector.config import ROOT, is_secret, load

GOOD = """\
home: {country_code: "999", zones: zones.csv}
group: "${env:GROUP}"
kafka:
  bootstrap.servers: 127.0.0.1:9092
  sasl.password: ${file:password}
  client.id: ${file:client}
sources:
  - name: plain
    id: 1
    topic: records
    mapping: plain.yaml
verdict:
  mode: shadow
  hold_out_key: "do not tell"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployment with its mapping, policy, lists, zones and secrets."""
    shutil.copy(ROOT / "configs" / "sources" / "plain.yaml", tmp_path)
    for name in ("policy.yaml", "zones.csv"):
        shutil.copy(ROOT / "configs" / name, tmp_path)
    shutil.copytree(ROOT / "configs" / "lists", tmp_path / "lists")
    (tmp_path / "password").write_text("hush\n")
    (tmp_path / "client").write_text("from-a-file\n")
    monkeypatch.setenv("GROUP", "north")
    return tmp_path


def written(folder: Path, text: str = GOOD) -> Path:
    """The configuration file."""
    path = folder / "detector.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def shown(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """Value and origin of each setting as `config show` prints them."""
    assert main(["config", "show", "--config", str(path)]) == 0
    rows = [re.split(r"\s{2,}", line, maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    return {setting: (value, origin) for setting, value, origin in rows}


def test_every_value_is_shown_with_where_it_came_from(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Default, line of the file, variable of the environment."""
    monkeypatch.setenv("DETECTOR__TOPICS__PARTITIONS", "48")
    path = written(folder)
    rows = shown(path, capsys)
    assert rows["verdict.mode"] == ('"shadow"', f"file {path}:13")
    assert rows["sources[0].topic"] == ('"records"', f"file {path}:10")
    assert rows["group"] == ('"north"', f"file {path}:2 ${{env:GROUP}}")
    assert rows["topics.partitions"] == ("48", "environment DETECTOR__TOPICS__PARTITIONS")
    assert rows["detect.snapshot_every_s"] == ("300", "default")
    assert rows["kafka.bootstrap.servers"] == ('"127.0.0.1:9092"', f"file {path}:4")
    assert rows["instance"][1] == "name of this host"


def test_every_setting_there_is_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And equals what a process would work by."""
    path = written(folder)
    rows = shown(path, capsys)
    for section in ("topics", "ingest", "detect", "admin"):
        for name, value in msgspec.to_builtins(getattr(load(path), section)).items():
            assert json.loads(rows[f"{section}.{name}"][0]) == value


def test_secrets_are_not_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is what comes from a file of its own, whatever its name; an empty one is."""
    path = written(folder)
    assert main(["config", "show", "--config", str(path)]) == 0
    text = capsys.readouterr().out
    assert [secret for secret in ("hush", "do not tell", "from-a-file") if secret in text] == []
    rows = shown(path, capsys)
    assert rows["kafka.sasl.password"] == ('"***"', f"file {path}:5 ${{file:password}}")
    assert rows["verdict.hold_out_key"][0] == rows["kafka.client.id"][0] == '"***"'
    assert rows["log.pseudonym_key"] == ('""', "default")


def test_whatever_the_schema_calls_secret_is_known_by_its_name() -> None:
    """Errors and listings go by the name."""
    schema = settings_schema()["$defs"]
    marked = {
        name
        for section in schema.values()
        for name, field in section.get("properties", {}).items()
        if field.get("writeOnly")
    }
    assert marked == {"hold_out_key", "pseudonym_key"}
    assert [name for name in marked if not is_secret(name)] == []


def explained(capsys: pytest.CaptureFixture[str], *names: str) -> dict[str, str]:
    """What `config explain` says of each setting, in one line."""
    assert main(["config", "explain", *names]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {
        first.split("  ")[0]: f"{first} {second.strip()}" for first, second in zip(lines[::2], lines[1::2], strict=True)
    }


def test_every_setting_is_explained_with_its_variable(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that `config show` shows; and what it says of the variable is so."""
    path = written(folder)
    said = explained(capsys)
    shape = {re.sub(r"\[\d+\]", "[]", name) for name in shown(path, capsys) if not name.startswith("kafka.")}
    assert shape <= said.keys() | {"verdict.redress", "sources[].trunks"}
    mode = said["verdict.mode"]
    assert mode.endswith('one of enforce, flag, shadow; default "flag"; DETECTOR__VERDICT__MODE')
    assert "shadow: decide aside" in mode
    assert said["sources[].trunks{}.id"].endswith("integer from 1 to 511; must be given; DETECTOR__SOURCES")
    monkeypatch.setenv("DETECTOR__DETECT__REPLAY_ROWS", "77")
    assert said["detect.replay_rows"].endswith("DETECTOR__DETECT__REPLAY_ROWS")
    assert shown(path, capsys)["detect.replay_rows"] == ("77", "environment DETECTOR__DETECT__REPLAY_ROWS")


def test_some_settings_are_explained_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """One, or a section; a name that there is not is refused."""
    log = ["log.format", "log.numbers", "log.pseudonym_key"]
    assert list(explained(capsys, "verdict.mode", "log")) == ["verdict.mode", *log]
    assert main(["config", "explain", "verdikt"]) == 2
    assert "(got verdikt)" in capsys.readouterr().err


BROKEN = """\
home: {country_code: "+44", utc_offset_minuts: 60}
sources:
  - name: plain
    id: 99
    topic: records
    mapping: plain.yaml
    trunk: {gateway: {id: 1}}
  - id: 2
    topic: other
    mapping: plain.yaml
verdict:
  mode: enforced
  mode: enforce!
detect:
  snapshot_every: 300
mode: flag
instance: ${env:NOT_SET}
kafka: {sasl.password: 1}
"""


def test_every_problem_is_said_at_once_with_its_place_and_the_nearest_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, line and column; or the variable that it came by."""
    monkeypatch.setenv("DETECTOR__TOPICS__PARTITONS", "12")
    monkeypatch.setenv("DETECTOR__ADMIN__PORT", "many")
    monkeypatch.setenv("DETECTOR__HOME__REGION", "[")
    path = written(folder, BROKEN)
    assert main(["config", "validate", "--config", str(path)]) == 2
    found = capsys.readouterr().out.splitlines()
    wanted = [
        f"{path}:13:3: verdict.mode: said twice: the value of line 12 is not used",
        f"{path}:17:1: instance: ${{env:NOT_SET}}: wanted an environment variable (got none)",
        "environment DETECTOR__HOME__REGION: home.region: wanted a value in YAML",
        f"{path}:16:1: mode: no such setting; did you mean verdict.mode?",
        f"{path}:1:8: home.country_code: Expected `str` matching regex",
        f"{path}:1:29: home.utc_offset_minuts: no such setting; did you mean utc_offset_minutes?",
        f"{path}:4:5: sources[0].id: Expected `int` <= 63 (got 99)",
        f"{path}:7:5: sources[0].trunk: no such setting; did you mean trunks?",
        f"{path}:8:5: sources[1]: wanted name (got none)",
        f"{path}:13:3: verdict.mode: wanted shadow, flag, enforce; did you mean enforce? (got 'enforce!')",
        f"{path}:15:3: detect.snapshot_every: no such setting; did you mean snapshot_every_s?",
        "environment DETECTOR__TOPICS__PARTITONS: topics.partitons: no such setting; did you mean partitions?",
        "environment DETECTOR__ADMIN__PORT: admin.port: Expected `int`, got `str` (got 'many')",
    ]
    assert [line for line in wanted if not any(one.startswith(line) for one in found)] == [], "\n".join(found)
    assert found[-1] == f"{path}: {len(wanted)} problems"
    assert len(found) == len(wanted) + 1


def test_a_good_configuration_has_no_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0."""
    path = written(folder)
    assert main(["config", "validate", "--config", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: no problem\n"


@pytest.mark.parametrize("name", ["local", "demo"])
def test_what_ships_has_no_problem(name: str) -> None:
    """Mappings and policy included."""
    assert all_problems(ROOT / "configs" / f"{name}.yaml") == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD + "  hold_out_share: 0.1\n  hold_out_key: ''\n", "verdict.hold_out_key: must be set"),
        (GOOD.replace("client.id", "cleint.id"), "cleint.id"),
        (GOOD.replace("client.id: ${file:client}", "acks: 1"), "acks: must be all"),
    ],
)
def test_what_types_cannot_say_is_said_too(folder: Path, text: str, wanted: str) -> None:
    """Contradictions, and settings of librdkafka."""
    assert any(wanted in line for line in all_problems(written(folder, text))), all_problems(written(folder, text))


def test_mistakes_in_mappings_and_policy_are_said_too(folder: Path) -> None:
    """All of them, of all files, with their places."""
    path = written(folder)
    mapping, policy = folder / "plain.yaml", folder / "policy.yaml"
    mapping.write_text(
        mapping.read_text().replace("  cause: cause", "  cuase: cause").replace("  ring: ring", "  ring: 5")
    )
    policy.write_text(policy.read_text().replace("    ttl_s:", "    tll_s:", 1))
    found = all_problems(path)
    assert any(
        re.search(r"plain.yaml:\d+:3: fields.cuase: no such setting; did you mean cause\?", line) for line in found
    )
    assert any(re.search(r"plain.yaml:\d+:3: fields.ring: ", line) for line in found)
    assert any(
        re.search(r"policy.yaml:\d+:5: rules\[0\].tll_s: no such setting; did you mean ttl_s\?", line) for line in found
    )
    assert any(re.search(r"policy.yaml:\d+:\d+: rules\[0\]: wanted ttl_s", line) for line in found)


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "home: 5\nsources: {}\n"])
def test_what_is_no_configuration_at_all_is_a_problem_and_no_traceback(folder: Path, text: str) -> None:
    """Half a file, another file, an empty one."""
    assert all_problems(written(folder, text)) != []


def test_validate_finds_whatever_load_refuses(folder: Path) -> None:
    """Each setting in turn is given a value that its type cannot take: neither lets it pass."""
    from detector.errors import DetectorError

    tree = yaml.safe_load(GOOD)
    checked = 0
    for section in ("topics", "ingest", "detect", "model", "verdict", "admin", "log", "home"):
        for name in msgspec.to_builtins(getattr(load(written(folder)), section)):
            changed = tree | {section: tree.get(section, {}) | {name: [["no"]]}}
            path = written(folder, yaml.safe_dump(changed))
            with pytest.raises(DetectorError):
                load(path)
            assert any(re.search(rf": {section}\.{name}[:\[]", line) for line in all_problems(path)), (section, name)
            checked += 1
    assert checked > 30


def test_no_error_shows_a_secret(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of digits is read as a number from the environment, and is refused: without being printed."""
    monkeypatch.setenv("DETECTOR__VERDICT__HOLD_OUT_KEY", "1234509876")
    path = written(folder)
    assert main(["config", "validate", "--config", str(path)]) == 2
    assert main(["detect", "--config", str(path)]) == 2
    captured = capsys.readouterr()
    assert "verdict.hold_out_key" in captured.out
    assert "verdict.hold_out_key" in captured.err
    assert "1234509876" not in captured.out + captured.err


def test_a_variable_that_is_not_yaml_is_an_error_and_no_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended every command with a traceback."""
    monkeypatch.setenv("DETECTOR__HOME__REGION", "[")
    assert main(["detect", "--config", str(written(folder))]) == 2
    assert "detector: DETECTOR__HOME__REGION: wanted a value in YAML" in capsys.readouterr().err


def test_the_copy_of_the_schema_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """`detector config schema > configs/settings.schema.json` makes it so."""
    assert main(["config", "schema"]) == 0
    printed = capsys.readouterr().out
    assert printed == schema_text()
    assert Path(ROOT, "configs", "settings.schema.json").read_text(encoding="utf-8") == printed


def trees() -> Iterator[tuple[str, Any]]:
    """The configurations that ship, as YAML reads them."""
    for path in sorted(ROOT.glob("configs/*.yaml")):
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        if "sources" in tree:
            yield path.stem, tree


@pytest.mark.parametrize(("name", "tree"), list(trees()), ids=lambda value: value if isinstance(value, str) else "")
def test_the_schema_takes_what_ships_and_refuses_what_load_does(name: str, tree: dict[str, Any]) -> None:
    """An editor that knows it marks a wrong name."""
    validator = jsonschema.Draft202012Validator(settings_schema())
    validator.check_schema(settings_schema())
    assert list(validator.iter_errors(tree)) == []
    assert list(validator.iter_errors(tree | {"colour": 1}))
    assert list(validator.iter_errors(tree | {"verdict": {"mode": "block"}}))


def test_every_setting_has_a_line_of_help_but_for_those_that_are_names() -> None:
    """Of topics, and of things that are named or numbered."""
    schema = settings_schema()["$defs"]
    bare = {
        f"{section}.{name}"
        for section, described in schema.items()
        if section not in ("Settings", "Topics")
        for name, field in described.get("properties", {}).items()
        if "description" not in field
    }
    assert bare <= {"Source.name", "Source.topic", "Trunk.id", "Detect.snapshots_kept", "Admin.host"}
