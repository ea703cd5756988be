"""What the bench calls moved, how it keeps a baseline, and that it measures what it says."""

import argparse
import json
import math
import shutil
from pathlib import Path

import pytest

from detector.errors import Fatal
from loadtest import bench, instructions
from loadtest.bench import Beside, Measures, Moved, interleaved, moved, renewed, summed_up, table
from loadtest.instructions import by_record, perf_total, totals
from loadtest.works import Reference, Work


class Counting(Work):
    """Is called, and says so."""

    def __init__(self, said: list[str], name: str) -> None:
        self.said, self.name = said, name

    def prepare(self) -> None:
        self.said.append(f"prepare {self.name}")

    def do(self) -> int:
        self.said.append(self.name)
        sum(range(1_000))
        return 10


@pytest.mark.parametrize("now", [1.1, 0.9, 1.0])
def test_a_tenth_is_no_move(now: float) -> None:
    """Neither up nor down."""
    assert moved({"trees": 1.0}, {"trees": now}, tolerance=0.1 + 1e-9) == []


@pytest.mark.parametrize("now", [1.11, 0.89, math.nan, math.inf])
def test_what_moves_by_more_is_told_whichever_way(now: float) -> None:
    """What became cheaper too, and what is no number."""
    (one,) = moved({"pack": 2.0, "trees": 1.0}, {"pack": 2.1, "trees": now})
    assert (one.work, one.was) == ("trees", 1.0)


def test_a_work_that_only_one_side_knows_has_moved() -> None:
    """A guard that leaves out in silence guards nothing."""
    found = moved({"old": 1.0, "trees": 1.0}, {"new": 1.0, "trees": 1.0})
    assert [one.work for one in found] == ["old", "new"]
    told = table({"old": 1.0, "trees": 1.0}, Measures("ratios", {"new": 1.0, "trees": 1.0}), found)
    assert "old: not measured any more" in told
    assert "new: the baseline does not know it" in told


def test_the_table_tells_what_moved_and_by_how_much() -> None:
    """A row for each work, a sentence for each that moved."""
    was, now = {"pack": 0.5, "trees": 0.2}, Measures("ratios", {"pack": 0.5, "trees": 0.25}, {"trees": 0.03})
    told = table(was, now, moved(was, now.costs))
    assert "| trees | 0.25 | 3.0% | 0.2 | +25.0% |" in told
    assert "trees: +25.0% (0.2 before, 0.25 now)" in told
    assert "nothing moved" not in told
    assert "nothing moved by more than 10%" in table(was, Measures("ratios", dict(was)), [])


def test_every_work_stands_between_two_references_and_the_first_turn_does_not_count() -> None:
    """Preparation comes before all three, so that it is in none."""
    said: list[str] = []
    works: dict[str, Work] = {name: Counting(said, name) for name in ("a", "b")}
    found = interleaved(works, Counting(said, "reference"), turns=2)
    assert said == 3 * [
        *("prepare a", "reference", "a", "reference"),
        *("prepare b", "reference", "b", "reference"),
    ]
    assert found.keys() == {"a", "b"}
    assert all(ratio > 0 for ratio in found.values())


def test_a_sum_up_is_the_median_and_how_far_apart_they_lie() -> None:
    """Of processes, or of runs."""
    measures = summed_up({"trees": [0.3, 0.2, 0.25]})
    assert measures.costs == {"trees": 0.25}
    assert measures.spreads == {"trees": pytest.approx(0.4)}


def test_the_reference_runs_beside_a_backlog_and_ends_with_it() -> None:
    """As often as its pause lets it, at least once."""
    with Beside(Counting([], "reference")) as beside:
        pass
    count = len(beside.found_ns)
    assert count >= 1
    assert all(ns > 0 for ns in beside.found_ns)
    assert len(beside.found_ns) == count


def test_the_reference_does_the_same_always() -> None:
    """Every text of it can be read, and it is the same bytes each time."""
    one, other = Reference.made(), Reference.made()
    assert one.texts == other.texts
    assert (one.column == other.column).all()
    assert one.do() == len(one.texts) > 3_900


def test_a_renewed_baseline_keeps_what_was_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is of another machine or other libraries: then nothing of it can be compared."""
    first = renewed({}, Measures("ratios", {"trees": 0.123456, "end to end: detect": 2.0}, {"trees": 0.01}))
    assert first["ratios"]["costs"] == {"trees": 0.1235, "end to end: detect": 2.0}
    both = renewed(first, Measures("instructions by perf", {"trees": 5_000.0}))
    again = renewed(both, Measures("ratios", {"trees": 0.2}))
    assert again["ratios"]["costs"] == {"trees": 0.2, "end to end: detect": 2.0}
    assert again["instructions by perf"] == {"costs": {"trees": 5_000.0}, "spreads": {}}
    monkeypatch.setattr(bench, "processor", lambda: "another")
    assert renewed(again, Measures("ratios", {"pack": 1.0})) == {
        "where": bench.here(),
        "ratios": {"costs": {"pack": 1.0}, "spreads": {}},
    }


def arguments(baseline: Path, *words: str) -> argparse.Namespace:
    """As the command line gives them."""
    parser = argparse.ArgumentParser()
    bench.add(parser.add_subparsers())
    return parser.parse_args(["bench", "--baseline", str(baseline), *words])


def test_a_run_fails_where_something_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is written once, kept, and then 11 % more fails; works of a backlog that was left out are not missed."""
    costs = {"trees": 1.0, "end to end: detect": 2.0}
    monkeypatch.setattr(bench, "_ratios", lambda *_: Measures("ratios", dict(costs)))
    path = tmp_path / "bench.json"
    with pytest.raises(Fatal, match="there is no baseline"):
        bench._run(arguments(path))
    assert bench._run(arguments(path, "--write")) == 0
    assert json.loads(path.read_text())["ratios"]["costs"] == costs
    assert bench._run(arguments(path)) == 0
    costs["trees"] = 1.11
    assert bench._run(arguments(path)) == 1
    assert "trees: +11.0%" in capsys.readouterr().out
    costs = {"trees": 1.0}
    assert bench._run(arguments(path, "--runs", "0")) == 0
    assert bench._run(arguments(path)) == 1


@pytest.mark.parametrize(
    ("said", "total"),
    [
        ("123456,,instructions:u,1000,100.00,,\n", 123_456),
        ("# started\n\n7,,instructions:u,1000,100.00,,", 7),
        ("<not supported>,,instructions:u,0,100.00,,", None),
        ("<not counted>,,instructions:u,0,100.00,,", None),
        ("", None),
    ],
)
def test_what_perf_counted_is_read_or_is_nothing(said: str, total: int | None) -> None:
    """A machine that does not let it count says so in the place of the number."""
    assert perf_total(said) == total


def test_what_valgrind_counted_is_by_record_and_without_the_switching() -> None:
    """The first dump is of switching alone; what it wrote in the end belongs to nobody."""
    counted = totals(["version: 1\ntotals: 100\n", "desc: x\ntotals: 1100\n", "totals: 5100", "nothing in it"])
    assert counted == [100, 1_100, 5_100]
    records = {instructions.NOTHING: 0, "read": 10, "trees": 100}
    assert by_record(counted, records) == {"read": 100.0, "trees": 50.0}
    with pytest.raises(Fatal, match="wrote 1 counts of 3"):
        by_record(counted[:1], records)


def test_it_is_said_where_nothing_can_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tool is there."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Fatal, match="instructions cannot be counted"):
        instructions.count()


def test_a_move_is_a_share_of_what_was() -> None:
    """Up is positive."""
    assert Moved("trees", 2.0, 3.0).by == 0.5
