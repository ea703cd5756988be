"""The image, as far as it can be held to something without an engine: `test_image.py` runs its steps."""

import json
import subprocess
import tomllib

import yaml

from detector.config import ROOT
from detector.supervisor import LEAVE
from helm.copies import CHART
from tests.helm.container import stop_signal
from tests.helm.containerfile import BUILD, FINAL
from tests.helm.rendering import minimal, named

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def kept() -> list[str]:
    """What `.dockerignore` leaves in."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def test_everything_that_is_copied_is_in_the_repository_and_reaches_the_build() -> None:
    """Nothing is built of what only one machine has."""
    sources = [source for copied in BUILD.of("COPY") for source in copied.split()[:-1]]
    assert sorted(sources) == sorted(kept())
    known = subprocess.run(["git", "ls-files", *sources], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    without = [source for source in sources if not any(f"{line}/".startswith(f"{source}/") for line in known.split())]
    assert without == []


def test_both_stages_are_of_one_python_that_the_project_takes() -> None:
    """A virtual environment is good for the Python that made it."""
    assert BUILD.base == FINAL.base
    assert PROJECT["requires-python"] == ">=3.11"
    assert "\nARG PYTHON=3.11\n" in (ROOT / "Containerfile").read_text()


def test_kernels_are_compiled_for_where_they_run() -> None:
    """numba takes a compiled kernel for the same processor only, by these three."""
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_CACHE_DIR"):
        assert BUILD.env[name] == FINAL.env[name], name
    assert any("detector compile" in run for run in BUILD.of("RUN"))


def test_the_chart_looks_where_the_image_has_it() -> None:
    """Kernels, user, ports, program, files."""
    main = minimal().main("detect")
    assert named(main["env"], "NUMBA_CACHE_DIR")["value"] == FINAL.env["NUMBA_CACHE_DIR"]
    assert FINAL.env["PATH"].split(":")[0] == "/opt/venv/bin"
    security = minimal().pod("detect")["securityContext"]
    assert FINAL.last("USER") == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert security["fsGroup"] == security["runAsGroup"]
    ports = [minimal().main(role)["ports"][0]["containerPort"] for role in ("ingest", "detect")]
    assert list(map(int, FINAL.last("EXPOSE").split())) == ports
    assert json.loads(FINAL.last("ENTRYPOINT")) == ["detector"]
    assert "detector" in PROJECT["scripts"]
    assert "command" not in main
    config = yaml.safe_load((CHART / "values.yaml").read_text())["config"]
    there = [config["home"]["zones"], config["verdict"]["policy"], config["model"]["bundle"]]
    assert [path for path in there if not path.startswith("/opt/detector/")] == []
    assert [path for path in there if not (ROOT / path.removeprefix("/opt/detector/")).exists()] == []
    assert BUILD.last("WORKDIR") == "/opt/detector"
    assert config["detect"]["snapshots"].startswith("/var/lib/detector")


def test_a_stopped_container_gives_its_place_up() -> None:
    """A pod is not back within the session of 6 s: partitions must not wait for it."""
    assert stop_signal() == LEAVE


def test_nothing_runs_as_root_and_no_step_of_the_image_itself_runs_at_all() -> None:
    """The final stage only copies."""
    assert FINAL.of("RUN") == []
    assert not FINAL.last("USER").startswith(("0", "root"))
