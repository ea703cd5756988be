"""Training: the real path, one weight a number-day, thresholds that mean what they say, equal bytes."""

from pathlib import Path

import numpy as np
import pytest

from detector.features.catalogue import INDEX, NAMES
from detector.learning.cdr import CALL, HONEST, subjects
from detector.learning.dataset import FRAUD_VECTORS, HONEST_VECTORS, training_set
from detector.learning.evaluation import evaluate
from detector.learning.replay import replay
from detector.learning.seeds import FIRST_DAY, Sizes, scenarios
from detector.learning.simulate import DEMO_SEED, Scenario, simulate
from detector.learning.thresholds import calibrate, choose_thresholds
from detector.learning.training import ACTIVITY_FLOOR, fit
from detector.verdict.model import Model

TINY = Sizes(numbers=1_200, days=9, training=1, validation=1, test=1, training_campaigns=12, other_campaigns=6)


def test_no_seed_serves_two_purposes_and_none_is_the_demos() -> None:
    """What is reported was neither fitted nor tuned on."""
    seeds = [scenario.seed for purpose in scenarios(1, Sizes()).values() for scenario in purpose]
    assert len(set(seeds)) == len(seeds)
    assert DEMO_SEED not in seeds
    assert not set(seeds) & {scenario.seed for purpose in scenarios(2, Sizes()).values() for scenario in purpose}


def test_replay_gives_the_vector_right_after_a_wanted_record_and_no_other() -> None:
    """One originator's calls of a day, counted by the state as by hand."""
    traffic = simulate(Scenario(numbers=400, days=2, seed=3, campaigns=(), festival_day=None))
    numbers = subjects(traffic.records)
    callers, counts = np.unique(numbers[traffic.records["kind"] == CALL], return_counts=True)
    mine = np.flatnonzero((numbers == callers[counts.argmax()]) & (traffic.records["kind"] == CALL))
    wanted = np.zeros(len(numbers), dtype=bool)
    wanted[mine[-1]] = True
    (scored,) = (chunk for chunk in replay(traffic, wanted, 0) if len(chunk.records))
    assert scored.records.tolist() == [mine[-1]]
    # All of them lie in a window that covers seven days and up to one hop more, scaled to seven.
    assert len(mine) * 7 / 8 <= scored.vectors[0, INDEX["calls_out_7d"]] <= len(mine)


def test_a_training_set_takes_few_vectors_of_each_number_day_after_the_warm_up() -> None:
    """A desk that calls all day is no more of the set than its number-days."""
    traffic = simulate(scenarios(3, TINY)["training"][0])
    data = training_set(traffic, ACTIVITY_FLOOR)
    for fraud, most in ((False, HONEST_VECTORS), (True, FRAUD_VECTORS)):
        _, counts = np.unique(data.number_day[data.fraud == fraud], return_counts=True)
        assert 1 <= counts.max() <= most
    events = data.vectors[:, INDEX["calls_out_24h"]] + data.vectors[:, INDEX["sms_out_24h"]]
    # Flows are scaled to the window by the hop's part that has passed: never down by a twenty-fourth.
    assert events.min() > ACTIVITY_FLOOR * 23 / 24
    assert (data.number_day & np.uint64(255)).min() >= FIRST_DAY
    fraudsters = {label.number for label in traffic.labels}
    assert set(data.number[data.fraud].tolist()) <= fraudsters


def test_thresholds_are_reached_by_their_share_of_honest_number_days() -> None:
    """0.1 %, 0.01 % and 0.001 %: 1,000, 100 and 10 in a million."""
    margins = np.random.default_rng(1).permutation(np.arange(1_000_000.0))
    found = choose_thresholds(margins)
    assert [int((margins >= bar).sum()) for bar in (found.watch, found.flag, found.block)] == [1_000, 100, 10]


def test_a_threshold_beyond_the_data_lies_above_everything_seen() -> None:
    """With 20,000 number-days nothing is known of one in 100,000: the tail is extended, never cut short."""
    margins = np.random.default_rng(1).exponential(size=20_000)
    found = choose_thresholds(margins)
    assert found.watch < found.flag < found.block
    assert found.block >= margins.max()
    assert found.block == pytest.approx(-np.log(1e-5), rel=0.25)


def test_calibration_rises_with_the_margin() -> None:
    """The display value never reorders numbers."""
    rng = np.random.default_rng(2)
    fraud = rng.random(4_000) < 0.1
    found = calibrate(rng.normal(size=4_000) + 3 * fraud, fraud)
    assert found.a > 0


@pytest.mark.slow
def test_equal_seeds_fit_equal_bytes_and_the_bundle_loads_and_catches(tmp_path: Path) -> None:
    """The shipped bundle can be made again; a small one already tells most frauds from most people."""
    fit(tmp_path / "a", 3, TINY)
    fit(tmp_path / "b", 3, TINY)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "MODEL_CARD.md" in files
    assert [(tmp_path / "b" / name).read_bytes() for name in files] == [
        (tmp_path / "a" / name).read_bytes() for name in files
    ]
    model = Model.load(tmp_path / "a")
    assert model.simulated
    assert model.names == NAMES
    assert "simulated traffic" in (tmp_path / "a" / "MODEL_CARD.md").read_text()
    traffic = simulate(scenarios(3, TINY)["test"][0])
    assert (traffic.records["campaign"] != HONEST).any()
    report = evaluate(traffic, model, model.thresholds, model.activity_floor)
    caught = sum(group.caught("watch") for group in report.groups)
    assert caught > 0.5 * sum(len(group.cases) for group in report.groups)
    assert report.honest_share("watch") < 0.02
