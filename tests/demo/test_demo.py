"""The demo from end to end, on a network small enough for every day."""

import contextlib
import io
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from detector.cli import main
from detector.demo.screen import PlainLines

SMALL = ["demo", "--numbers", "1500"]
"""Campaigns do not shrink with the network: every kind is there to be caught."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What the demo printed, and its JSON."""
    path = tmp_path_factory.mktemp("demo") / "demo.json"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main([*SMALL, "--json", str(path)]) == 0
    return printed.getvalue(), json.loads(path.read_text())


def test_every_overt_kind_is_caught_at_least_in_part(played: tuple[str, dict[str, Any]]) -> None:
    """What the textbooks describe must not pass."""
    caught = {
        campaign["kind"]: sum(catch["action"] != "" for catch in campaign["catches"])
        for campaign in played[1]["campaigns"]
        if campaign["stealth"] == "overt"
    }
    assert len(caught) >= 5
    assert min(caught.values()) > 0


def test_no_record_is_rejected(played: tuple[str, dict[str, Any]]) -> None:
    """The simulator writes what the plain mapping reads."""
    assert (played[1]["rejected"], played[1]["records"] > 50_000) == (0, True)


def test_nothing_is_blocked_while_windows_fill(played: tuple[str, dict[str, Any]]) -> None:
    """In the warm-up week a block is a flag that says so."""
    assert {one["action"] for one in played[1]["touched_in_warm_up"]} <= {"flag", "warn"}


def test_the_report_ends_with_totals(played: tuple[str, dict[str, Any]]) -> None:
    """Campaigns, a decision in full, and what it all came to."""
    text = played[0]
    for part in ("Campaigns", '"decision_id"', "fraudulent numbers caught: ", "records/s"):
        assert part in text


@pytest.mark.slow
def test_equal_seeds_decide_alike(played: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    """Another run of the same seed gives the same decisions about the same numbers."""
    path = tmp_path / "again.json"
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*SMALL, "--json", str(path)]) == 0
    again = json.loads(path.read_text())
    assert [again[k] for k in ("campaigns", "touched")] == [played[1][k] for k in ("campaigns", "touched")]


def test_metrics_answer_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that the first line prints serves the counters of this very play."""
    seen: list[str] = []
    say = PlainLines.say

    def look(screen: PlainLines, text: str) -> None:
        if found := re.search(r"http\S+/metrics", text):
            seen.append(found[0])
        elif len(seen) == 1:
            with urllib.request.urlopen(seen[0], timeout=10) as answer:
                seen.append(answer.read().decode())
        say(screen, text)

    monkeypatch.setattr(PlainLines, "say", look)
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["demo", "--numbers", "300", "--seed", "3"]) == 0
    assert 'detector_records_total{source="plain"}' in seen[1]


@pytest.mark.slow
def test_several_seeds_give_one_markdown_table(capsys: pytest.CaptureFixture[str]) -> None:
    """As the README shows it."""
    assert main(["demo", "--numbers", "300", "--seed", "5", "--repeat", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert table[0].startswith("| campaign | variant | numbers |")
    assert all(line.rstrip(" |").endswith("of 2") for line in table[2:])
