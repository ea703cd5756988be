"""What the learning pipeline takes: the stages, and how long they would take side by side on two cores."""

import json
from pathlib import Path

import pytest

from detector.errors import Fatal
from loadtest.learning import Stage, alone_s, measure, run, table


def test_networks_are_made_side_by_side_and_the_rest_waits_for_both() -> None:
    """
    core 1   simulate 10 | features 30 |            fit 50 | evaluate 70
    core 2   simulate 12 | features 40     |
    """
    took = [("simulate", 0, 10.0), ("features", 0, 30.0), ("simulate", 1, 12.0), ("features", 1, 40.0)]
    took += [("fit", 0, 50.0), ("evaluate", 1, 70.0)]
    stages = [Stage(command, network, 2 * s, s, 1 << 20, 1_000) for command, network, s in took]
    assert alone_s(stages) == 52 + 120
    told = table(stages, 400.0)
    assert "| features | 2 | 1,000 | 40 s | 25 | 80 s | 1 MB |" in told
    assert "212 s of processor time; 172 s on two cores alone (bound 900 s); by the wall clock 400 s" in told


@pytest.mark.slow
def test_a_small_pipeline_runs_to_its_end(tmp_path: Path) -> None:
    """The real commands: the bundle of the first network is judged on the second."""
    stages = measure(numbers=100, days=10, seed=5, folder=tmp_path)
    assert [(one.command, one.network) for one in stages] == [
        *(("simulate", 0), ("features", 0), ("simulate", 1), ("features", 1)),
        *(("fit", 0), ("evaluate", 1)),
    ]
    assert all(one.processor_s > 0 and one.peak_bytes > 10 << 20 and one.made > 100 for one in stages)
    judged = json.loads((tmp_path / "judged" / "evaluation.json").read_bytes())
    assert list(judged["table"]["files"]) == ["1.vectors.parquet"]
    assert judged["bundle"]["kind"] == "simulated"


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    """Nothing is measured of what did not run."""
    with pytest.raises(Fatal, match=r"detector fit ended with 2: .*none\.parquet"):
        run("fit", 0, ["--vectors", tmp_path / "none.parquet", "--out", tmp_path / "b"], tmp_path / "x", tmp_path)
