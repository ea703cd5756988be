"""Rules change while records come: nothing is lost, and the log says who decided from where on."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.config import ROOT, Settings
from detector.metrics import Metrics
from detector.replay import Replay
from detector.service import watch
from detector.service.detect import DetectRole
from tests.service.harness import RECORDS, settings_for, traffic
from tests.service.reloading import half_way, rewrite, wait_reloaded
from tests.verdict import models

SIZE = 12_000


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment whose bundle and policy are files of its own, looked at without a pause."""
    monkeypatch.setattr(watch, "LOOK_S", 0.0)
    shutil.copytree(ROOT / "models" / "default", tmp_path / "bundle")
    shutil.copytree(ROOT / "configs" / "lists", tmp_path / "lists")
    shutil.copy(ROOT / "configs" / "policy.yaml", tmp_path / "policy.yaml")
    made = settings_for(tmp_path)
    return replace(
        made,
        model=replace(made.model, bundle=str(tmp_path / "bundle")),
        verdict=replace(made.verdict, policy=str(tmp_path / "policy.yaml")),
    )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def replay(settings: Settings, metrics: Metrics) -> Iterator[Replay]:
    """Both roles, which have decided on the first half of the traffic."""
    with half_way(settings, metrics, SIZE) as running:
        yield running


def change_policy(settings: Settings, **fields: object) -> None:
    """Other sections of the policy."""
    rewrite(settings.path(settings.verdict.policy), **fields)


def in_force(replay: Replay) -> list[dict[str, Any]]:
    """What `control` says, in order."""
    at = TopicPartition(replay.settings.topics.control, 0)
    broker = replay._broker
    return [orjson.loads(message.value() or b"") for message in broker.read(at, *broker.watermarks(at))]


def test_a_new_policy_decides_from_then_on(replay: Replay, settings: Settings, metrics: Metrics) -> None:
    """Every record is counted once, decisions name their policy, and `control` the offset of each partition."""
    before = {decision.policy_version for decision in replay.decisions()}
    old = in_force(replay)
    change_policy(settings, name="stricter")
    wait_reloaded(replay, metrics, "taken")
    replay.publish(RECORDS, traffic(SIZE)[SIZE // 2 :])
    replay.settle()
    after = {decision.policy_version for decision in replay.decisions()}
    assert [len(before), len(after)] == [1, 1]
    assert next(iter(after)).startswith("stricter-")
    assert metrics.value("policy_info") == metrics.value("policy_info", version=next(iter(after))) == 1
    assert metrics.value("records") == SIZE
    assert metrics.value("rows", status="counted") + metrics.value("rows", status="ignored") + metrics.value(
        "rows", status="late"
    ) + metrics.value("rows", status="duplicate") == metrics.value("rows_out")
    new = in_force(replay)[len(old) :]
    assert {told["partition"] for told in new} == {told["partition"] for told in old}
    offsets = {told["partition"]: told["offset"] for told in old}
    assert all(told["policy"] in after and told["offset"] > offsets[told["partition"]] for told in new)


def test_a_new_bundle_and_the_old_one_again(replay: Replay, settings: Settings, metrics: Metrics) -> None:
    """There, and back the same way."""
    first = in_force(replay)[-1]["model"]
    folder = settings.path(settings.model.bundle)
    kept = folder.with_name("kept")
    folder.rename(kept)
    models.save(folder, models.fitted(trees=3))
    wait_reloaded(replay, metrics, "taken")
    other = [str(version) for version in metrics.by_label("model_info", "version") if version != first]
    assert len(other) == 1
    shutil.rmtree(folder)
    kept.rename(folder)
    wait_reloaded(replay, metrics, "taken", times=2)
    assert dict(metrics.by_label("model_info", "version")) == {first: 1}
    replay.publish(RECORDS, traffic(SIZE)[SIZE // 2 :])
    replay.settle()
    assert {decision.model_version for decision in replay.decisions()} <= {first, None}


@pytest.mark.parametrize("spoilt", ["policy", "bundle"])
def test_what_cannot_be_loaded_leaves_the_old_ones_in_force(
    replay: Replay, settings: Settings, metrics: Metrics, spoilt: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what is wrong and where; once mended, it is taken."""
    before = in_force(replay)
    if spoilt == "policy":
        change_policy(settings, rules=[{"id": "x"}])
    else:
        (settings.path(settings.model.bundle) / "trees.npz").write_bytes(b"half of it")
    with caplog.at_level(logging.ERROR):
        wait_reloaded(replay, metrics, "failed")
    assert f"{spoilt}.yaml" in caplog.text if spoilt == "policy" else "trees.npz" in caplog.text
    assert metrics.value("reloads", outcome="taken") == 0
    assert in_force(replay) == before
    replay.publish(RECORDS, traffic(SIZE)[SIZE // 2 :])
    replay.settle()
    assert {told["policy"] for told in in_force(replay)} == {before[0]["policy"]}
    if spoilt == "policy":
        shutil.copy(ROOT / "configs" / "policy.yaml", settings.path(settings.verdict.policy))
    else:
        shutil.copy(ROOT / "models" / "default" / "trees.npz", settings.path(settings.model.bundle))
    wait_reloaded(replay, metrics, "taken")


def test_drift_goes_on_over_another_policy_and_begins_anew_with_another_model(
    replay: Replay, settings: Settings, metrics: Metrics
) -> None:
    """A list that changes every hour would else keep drift silent for ever: it wants a whole day."""
    _, detect = replay._roles
    assert isinstance(detect, DetectRole)
    counted = detect._figures.drifting.vectors
    assert counted > 0
    change_policy(settings, name="stricter")
    wait_reloaded(replay, metrics, "taken")
    assert detect._figures.drifting.vectors == counted
    models.save(settings.path(settings.model.bundle), models.fitted(trees=3))
    wait_reloaded(replay, metrics, "taken", times=2)
    assert detect._figures.drifting.vectors == 0


def test_a_list_that_comes_after_the_policy_that_names_it_is_waited_for(
    replay: Replay, settings: Settings, metrics: Metrics
) -> None:
    """Files of a release come in any order."""
    path = settings.path(settings.verdict.policy)
    lists = yaml.safe_load(path.read_text(encoding="utf-8"))["lists"]
    change_policy(settings, name="listed", lists=lists | {"late": "lists/late.txt"})
    wait_reloaded(replay, metrics, "failed")
    (path.parent / "lists" / "late.txt").write_text("+99971111111\n")
    wait_reloaded(replay, metrics, "taken")
    assert next(iter(metrics.by_label("policy_info", "version"))).startswith("listed-")
