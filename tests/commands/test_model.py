"""`model`: what ships can be made again, and is what its manifest says."""

import json
from pathlib import Path

import pytest

from detector.cli import main
from detector.commands.model import BASE, GROUPS, TEST, THRESHOLDS, TRAINING
from detector.config import ROOT
from detector.features.catalogue import NAMES
from detector.learning.fitting import ACTIVITY_FLOOR
from detector.learning.plans import HELD_OUT, VARIANTS
from detector.learning.simulate import DEMO_SEED
from detector.verdict.model import Model

TINY = ["--numbers", "500", "--days", "9", "--networks", "3", "1", "2", "--seed", "3", "--quick"]
REPORT = Path(ROOT, "models", "report", "evaluation.json")


@pytest.mark.slow
def test_equal_arguments_make_equal_bytes_and_a_model_that_loads_and_catches(tmp_path: Path) -> None:
    """Bundle, card and report; a small one already tells most of the open fraud from most people."""
    for name in ("a", "b"):
        folders = ["--out", str(tmp_path / name / "bundle"), "--report", str(tmp_path / name / "report")]
        assert main(["model", *TINY, *folders]) == 0
    files = {name: sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in "ab"}
    assert [path.relative_to(tmp_path / "a") for path in files["a"]] == [
        path.relative_to(tmp_path / "b") for path in files["b"]
    ]
    assert [path.read_bytes() for path in files["a"]] == [path.read_bytes() for path in files["b"]]
    model = Model.load(tmp_path / "a" / "bundle")
    assert model.simulated
    assert model.names == NAMES
    assert model.version.startswith("simulated-")
    assert model.activity_floor == ACTIVITY_FLOOR
    found = json.loads((tmp_path / "a" / "report" / "evaluation.json").read_bytes())
    assert found["figures"] == "simulator"
    assert [one["group"] for one in found["groups"]] == list(GROUPS)
    overt = found["groups"][0]
    assert overt["numbers"] > 100
    assert overt["recall"]["watch"]["value"] > 0.5
    assert found["levels"]["watch"]["honest_days"]["value"] < 0.02
    assert {one["profile"] for one in found["hard_negatives"]} >= {"courier", "small_business"}
    card = (tmp_path / "a" / "bundle" / "MODEL_CARD.md").read_text()
    assert "simulated traffic only" in card
    assert "| held-out variants | " in card


def test_no_seed_serves_two_purposes_and_none_is_the_demos() -> None:
    """What is reported was neither fitted nor tuned on."""
    seeds = [
        BASE + 1_000 * seed + 100 * purpose.place + index
        for seed in (1, 2, 3)
        for purpose in (TRAINING, THRESHOLDS, TEST)
        for index in range(20)
    ]
    assert len(set(seeds)) == len(seeds)
    assert DEMO_SEED not in seeds


def test_the_report_that_ships_is_of_the_model_that_ships() -> None:
    """Its version and its thresholds; variants that it was fitted on, and those that it was not, each in its group."""
    found = json.loads(REPORT.read_bytes())
    model = Model.load(Path(ROOT, "models", "default"))
    assert found["bundle"]["version"] == model.version
    assert found["levels"]["flag"]["margin"] == model.thresholds.flag
    groups = {one["group"]: set(one["types"]) for one in found["groups"]}
    assert groups["held-out variants"] == set(HELD_OUT)
    assert set().union(*groups.values()) >= set(VARIANTS)
    assert sum(len(types) for types in groups.values()) == len(set().union(*groups.values()))
    assert found["table"]["notes"] == [note for note in found["table"]["notes"] if "flatter" not in note]


def test_nothing_that_ships_names_a_place_on_the_machine_that_made_it() -> None:
    """Files are named as the commands name them."""
    for path in (REPORT.parent, Path(ROOT, "models", "default")):
        for file in path.glob("*.*"):
            if file.suffix in (".json", ".md", ".html"):
                assert str(ROOT.parent) not in file.read_text(encoding="utf-8"), file
