"""What the pods mount, read by the detector itself."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.cli import main
from detector.config import ROOT, load
from detector.metrics import Metrics
from detector.service import watch as watching
from detector.service.aside import Executor
from detector.service.readers import watch_readers
from detector.service.rules import watch_rules
from tests.helm.folders import SECRETS, files_of, mount, settings_of
from tests.helm.rendering import NAME, VARIANTS, render

OF_THE_IMAGE = str(ROOT)
"""What is /opt/detector in a pod."""


def policy(name: str) -> str:
    """The shipped rules under another name, with lists beside them."""
    return (ROOT / "configs" / "policy.yaml").read_text().replace("name: default", f"name: {name}")


def values(name: str) -> dict[str, Any]:
    """A release with a policy, lists and a mapping of its own."""
    files = {f"lists/{path.name}": path.read_text() for path in sorted((ROOT / "configs" / "lists").glob("*.txt"))}
    files["policy.yaml"] = policy(name)
    files["sources/msc.yaml"] = (ROOT / "configs" / "sources" / "plain.yaml").read_text() + f"# {name}\n"
    source = {"name": "msc", "id": 1, "topic": "switch.records", "mapping": "sources/msc.yaml"}
    return {"config": {"verdict": {"policy": "policy.yaml"}, "sources": [source]}, "files": files}


def mounted(folder: Path, name: str, turn: int) -> Path:
    """The release's folder as a pod has it in that turn; the file of settings in it."""
    files = files_of(render(values(name)))
    mount(folder, {path: text.replace("/opt/detector", OF_THE_IMAGE) for path, text in files.items()}, turn)
    return folder / "detector.yaml"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_detector_reads_the_settings_as_they_were_given(variant: str) -> None:
    """Numbers as numbers, texts as texts, secrets from where they are named."""
    settings = settings_of(render(variant=variant))
    assert (settings.home.country_code, settings.instance) == ("44", f"{NAME}-detect-0")
    assert settings.sources[0].name == "msc"
    if variant == "national":
        assert (settings.detect.most_numbers, settings.detect.replay_rows) == (2_000_000, 3_000_000)
        assert settings.kafka["sasl.username"] == SECRETS["KAFKA_USERNAME"]
        assert settings.kafka["sasl.password"] == "secret"
        assert settings.verdict.hold_out_key == SECRETS["HOLD_OUT_KEY"]
        assert settings.topics.replication == 3


def test_what_the_job_checks_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`detector check` finds policy, lists, mappings, zones and model where the release puts them."""
    config = mounted(tmp_path, "mine", 1)
    assert main(["check", "--config", str(config)]) == 0, capsys.readouterr().out
    assert "everything fits" in capsys.readouterr().out


class AtOnce:
    """An executor whose work is done when it is asked for."""

    def submit(self, work: Any, *arguments: Any) -> "Future[Any]":
        """The work's result, or what it raised."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done

    def shutdown(self) -> None:
        """Nothing is under way."""


def test_a_changed_policy_is_taken_from_a_mounted_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet puts a new folder in place of the old one, which is gone then."""
    monkeypatch.setattr(watching, "LOOK_S", 0.0)
    settings = load(mounted(tmp_path, "first", 1), {})
    metrics = Metrics()
    executor: Executor = AtOnce()
    watch = watch_rules(settings, executor, metrics)
    assert watch.newer() is None
    mounted(tmp_path, "second", 2)
    found = [newer for newer in (watch.newer() for _ in range(4)) if newer is not None]
    assert metrics.by_label("reloads", "outcome") == {"taken": 1}
    assert [newer.policy.text.name for newer in found] == ["second"]


def test_a_changed_mapping_is_taken_from_a_mounted_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By ingest, in the same way."""
    monkeypatch.setattr(watching, "LOOK_S", 0.0)
    settings = load(mounted(tmp_path, "first", 1), {})
    metrics = Metrics()
    watch = watch_readers(settings, AtOnce(), metrics)
    in_force = watch.in_force
    assert watch.newer() is None
    mounted(tmp_path, "second", 2)
    found = [newer for newer in (watch.newer() for _ in range(4)) if newer is not None]
    assert metrics.by_label("reloads", "outcome") == {"taken": 1}
    assert [newer.versions == in_force.versions for newer in found] == [False]


def test_a_relative_path_starts_beside_the_file_that_was_named(tmp_path: Path) -> None:
    """Not beside what a link of that name leads to: a volume's files are links into a folder that changes."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    real = tmp_path / "a" / "real.yaml"
    real.write_text(
        yaml.safe_dump(
            {"home": {"country_code": "44"}, "sources": [{"name": "a", "id": 1, "topic": "t", "mapping": "m"}]}
        )
    )
    (tmp_path / "b" / "detector.yaml").symlink_to(real)
    assert load(tmp_path / "b" / "detector.yaml", {}).path("zones.csv") == tmp_path / "b" / "zones.csv"
