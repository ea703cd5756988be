"""A challenger's counts are what counting row by row gives, and it decides nothing."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from msgspec.structs import replace

from detector.cli import main
from detector.config import ROOT, load
from detector.metrics import Metrics
from detector.replay import Replay
from detector.verdict.challenge import WHO, Challenge
from detector.verdict.manifest import LEVELS
from detector.verdict.model import Model
from tests.service.harness import RECORDS, settings_for, traffic
from tests.verdict import models


@pytest.fixture(scope="module")
def champion() -> Model:
    return Model.load(Path(ROOT, "models", "default"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a model that knows next to nothing."""
    folder = tmp_path_factory.mktemp("other")
    models.save(folder, models.fitted(trees=3))
    return folder


def test_rows_are_counted_by_whose_threshold_they_reach(champion: Model, other: Path) -> None:
    """Row by row; rows that reach neither are in no count."""
    challenger = Model.load(other)
    vectors = models.samples(400)[0]
    margins = champion.margins(vectors)
    found = Challenge(champion.thresholds, challenger).compare(vectors, margins)
    wanted = dict.fromkeys([(level, who) for level in LEVELS for who in WHO], 0)
    for old, new in zip(margins.tolist(), challenger.margins(vectors).tolist(), strict=True):
        for level in LEVELS:
            reached = old >= getattr(champion.thresholds, level), new >= getattr(challenger.thresholds, level)
            if any(reached):
                wanted[level, "both" if all(reached) else WHO[1 if reached[0] else 2]] += 1
    assert {(level, who): int(found[i, k]) for i, level in enumerate(LEVELS) for k, who in enumerate(WHO)} == wanted
    assert any(wanted.values())


def test_a_model_challenged_by_itself_agrees(champion: Model) -> None:
    """No row is reached by one alone."""
    vectors = models.samples(400)[0]
    found = Challenge(champion.thresholds, champion).compare(vectors, champion.margins(vectors))
    assert np.all(found[:, 1:] == 0)


def test_a_challenger_changes_no_decision_and_is_told_of(other: Path, tmp_path: Path) -> None:
    """The role with it and without it publishes the same bytes; its counts add up to the champion's rows."""
    published, metrics = [], Metrics()
    for challenger, told in ((None, Metrics()), (str(other), metrics)):
        settings = settings_for(tmp_path / str(challenger is None))
        settings = replace(settings, model=replace(settings.model, challenger=challenger))
        with Replay(settings, told, lambda: 1_794_000_000_000) as replay:
            replay.publish(RECORDS, traffic(12_000))
            replay.settle()
            published.append([decision.to_json() for decision in replay.decisions()])
    assert published[0] == published[1]
    assert published[0]
    assert metrics.value("challenger_info", version=Model.load(other).version) == 1
    assert metrics.value("challenger", level="watch", who="champion") + metrics.value(
        "challenger", level="watch", who="both"
    )


def test_check_names_the_challenger(other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And refuses one that is not there."""
    tree = yaml.safe_load(Path(ROOT, "configs", "demo.yaml").read_text(encoding="utf-8"))
    tree["model"]["challenger"] = str(other)
    config = tmp_path / "c.yaml"
    assert load(ROOT / "configs" / "demo.yaml", {}).model.challenger is None
    for section, field in (("home", "zones"), ("model", "bundle"), ("verdict", "policy")):
        tree[section][field] = str((ROOT / "configs" / tree[section][field]).resolve())
    for source in tree["sources"]:
        source["mapping"] = str(ROOT / "configs" / source["mapping"])
    config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    main(["check", "--config", str(config)])
    assert f"challenged by {Model.load(other).version}" in capsys.readouterr().out
