"""A short run of faults on a real Kafka; `python -m loadtest faults` runs all of them at length."""

from pathlib import Path

import pytest

from loadtest.faults import NEMESES, run
from loadtest.nemeses_broker import Cut
from loadtest.nemeses_input import Poison
from loadtest.nemeses_processes import KillBurst
from loadtest.nemesis import Nemesis


@pytest.mark.kafka
@pytest.mark.slow
def test_kills_cuts_and_poison_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Two workers of each role; rows, dead letters, decisions and the state at the end are an undisturbed run's."""
    kinds: list[type[Nemesis]] = [KillBurst, Cut, Poison]
    rows = run(seed=20261124, minutes=0, kinds=kinds, say=lambda text: None, folder=tmp_path)
    assert [sentence for row in rows for sentence in row.unmet] == []
    assert [(row.lost, row.repeated) for row in rows] == [(0, 0)] * 4
    assert [row.injected for row in rows] == [kind.strikes for kind in kinds] + [0]
    assert all(row.decisions > 0 for row in rows[:3])


def test_every_fault_has_a_name_of_its_own() -> None:
    """What `--only` is given, and what the table says."""
    assert len({kind.name for kind in NEMESES}) == len(NEMESES)
    assert all(kind.name and kind.strikes > 0 for kind in NEMESES)
