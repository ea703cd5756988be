"""A short run of faults on a real Kafka; `python -m loadtest faults` runs all of them at length."""

from pathlib import Path

import pytest

from detector.config import ROOT
from loadtest.faults import NEMESES, SIMULATED, listed, run
from loadtest.nemeses_broker import Cut
from loadtest.nemeses_clocks import redated
from loadtest.nemeses_input import Again, Poison
from loadtest.nemeses_processes import KillBurst
from loadtest.nemeses_snapshots import BitFlipped
from loadtest.nemesis import Nemesis


@pytest.mark.kafka
@pytest.mark.slow
def test_kills_cuts_poison_and_damage_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Two workers of each role; rows, dead letters, decisions and the state at the end are an undisturbed run's."""
    kinds: list[type[Nemesis]] = [KillBurst, Cut, Poison, Again, BitFlipped]
    rows = run(seed=20261124, minutes=0, kinds=kinds, say=lambda text: None, folder=tmp_path)
    assert [sentence for row in rows for sentence in row.unmet] == []
    assert [(row.lost, row.repeated) for row in rows] == [(0, 0)] * (len(kinds) + 1)
    assert [row.injected for row in rows] == [kind.strikes for kind in kinds] + [0]
    assert all(row.records > 0 for row in rows[:-1])
    assert sum(row.decisions for row in rows) > 0
    assert rows[3].notes != []


def test_every_fault_has_a_name_of_its_own() -> None:
    """What `--only` is given, and what the table says."""
    assert len({kind.name for kind in NEMESES}) == len(NEMESES)
    assert all(kind.name and kind.strikes > 0 for kind in NEMESES)


def test_every_fault_is_listed_with_what_reproduces_it() -> None:
    """The tests that are named exist."""
    text = listed(seed=5)
    assert all(
        f"| {kind.name} | `python -m loadtest faults --seed 5 --only {kind.__name__}` |" in text for kind in NEMESES
    )
    for name, test in SIMULATED:
        path, _, function = test.partition("::")
        assert f"| {name} | `pytest {test}` |" in text
        assert f"def {function}" in (ROOT / path).read_text(encoding="utf-8")


def test_a_redated_record_is_another_at_another_time() -> None:
    """Every time that it holds is moved; what happened is the same."""
    value = b'{"id":"c-1","type":"call","start":1000,"end":61000,"duration":60}'
    assert redated(value, -1, "-late") == b'{"id":"c-1-late","type":"call","start":0,"end":60000,"duration":60}'
