"""Page and plots: places on an axis are where the numbers say; a report of the simulator says so."""

import re
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from detector.learning.assessment import Judged, assess
from detector.learning.page import page
from detector.learning.plots import LEFT, WIDTH, Axis, Line, bars, lines, log_axis, share_axis
from detector.learning.tablefiles import read_table
from detector.verdict.manifest import Calibration, Thresholds
from tests.learning import labelled

SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of simulated vectors, with all that a table can tell."""
    path = labelled.write(tmp_path_factory.mktemp("t") / "v.parquet", labelled.ours(80, 5))
    table = read_table([path], kind="simulated")
    bars_at = Thresholds(watch=14.0, flag=22.0, block=30.0)
    found = assess(
        Judged.of(table, table.column("distinct_out_24h"), bars_at), bars_at, Calibration(a=0.4, b=-6.0), 0.3, seed=1
    )
    found["bundle"] = {"version": "x<script>"}
    return found


def test_a_report_of_the_simulator_says_so_at_its_head(evaluation: dict[str, Any]) -> None:
    """Nobody takes its figures for those of a network."""
    html = page(evaluation)
    assert '<p class="origin">Figures of the simulator</p>' in html
    assert "<script>" not in html
    assert "x&lt;script&gt;" in html


def test_where_no_delay_is_known_the_page_does_not_say_never(evaluation: dict[str, Any], tmp_path: Path) -> None:
    """All of the fraud began before the table: of none is known when it was flagged."""
    table = read_table([labelled.write(tmp_path / "v.parquet", labelled.ours(80, 5))])
    table = replace(table, active_from_ms=np.zeros(len(table), np.int64))
    bars_at = Thresholds(watch=14.0, flag=22.0, block=30.0)
    judged = Judged.of(table, table.column("distinct_out_24h"), bars_at)
    groups = {"both": ["simbox", "smishing"]}
    found = assess(judged, bars_at, Calibration(a=0.4, b=-6.0), 0.3, seed=1, groups=groups)
    assert found["delay"]["numbers"] == 0 < found["delay"]["began_earlier"]
    found["bundle"] = {"version": "x"}
    assert "never" not in page(found)
    assert "<td>never</td>" in page(evaluation)


def test_every_plot_is_well_formed_and_lies_within_its_frame(evaluation: dict[str, Any]) -> None:
    """Precision and recall, calibration, victims, delay."""
    plots = SVG.findall(page(evaluation))
    assert len(plots) == 4
    for text in plots:
        drawn = ElementTree.fromstring(text)
        _, _, wide, high = (float(part) for part in drawn.attrib["viewBox"].split())
        for line in drawn.findall("polyline"):
            for point in line.attrib["points"].split():
                x, y = (float(part) for part in point.split(","))
                assert 0 <= x <= wide
                assert 0 <= y <= high


def test_a_logarithmic_axis_has_whole_decades_and_equal_steps() -> None:
    """1, 10, 100, 1,000 for values up to 300."""
    axis = log_axis("victims", [1, 300])
    assert list(axis.ticks) == [1, 10, 100, 1_000]
    assert [axis.place(tick) for tick in axis.ticks] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert log_axis("victims", [10]).high == 10


def test_a_line_in_steps_stays_level_until_its_next_point() -> None:
    """What is true at 1 is true up to 10."""
    across, up = log_axis("k", [10]), share_axis("share")
    (points,) = re.findall(r'points="([^"]*)"', lines("t", across, up, [Line("", [(1, 0.5), (10, 1.0)], steps=True)]))
    (x0, y0), (x1, y1), (x2, y2) = (tuple(map(float, point.split(","))) for point in points.split())
    assert (x0, x1) == (LEFT, x2)
    assert y0 == y1 > y2


def test_bars_are_as_long_as_their_values_and_none_runs_backwards() -> None:
    """A fall below zero is chance: no bar."""
    widths = [
        float(w) for w in re.findall(r'<rect[^>]* width="([\d.]+)"', bars("t", [("a", 0.4), ("b", 0.1), ("c", -1)]))
    ]
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.01)
    assert widths[2] == 0
    assert max(widths) < WIDTH


def test_ticks_are_written_as_people_read_them() -> None:
    """Shares in percent, thousands with commas."""
    assert share_axis("x").written(0.25) == "25%"
    assert Axis("x", 0, 1, ()).written(12_000.0) == "12,000"


def test_what_cannot_be_known_is_written_on_the_page(evaluation: dict[str, Any]) -> None:
    """Under its own heading."""
    html = page(evaluation)
    assert "What this cannot say" in html
    assert evaluation["table"]["notes"]
    assert all(f"<li>{escape(note)}</li>" in html for note in evaluation["table"]["notes"])
