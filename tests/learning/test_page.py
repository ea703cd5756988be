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
from detector.learning.tablecard import figures
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


@pytest.mark.parametrize(("figures", "word"), [("simulator", "simulator"), ("real", "real")])
def test_every_figure_and_table_carries_what_it_is_of(evaluation: dict[str, Any], figures: str, word: str) -> None:
    """For figures are copied out of reports, and their heads are not."""
    html = page(evaluation | {"figures": figures, "importance": [{"feature": "x", "drop": 0.1}]})
    captions = re.findall(r"<(?:figcaption|caption)>(.*?)</(?:figcaption|caption)>", html)
    assert len(captions) == html.count("<figure>") + html.count("<table>") > 5
    assert all(caption.startswith(f'<span class="of">{word}</span> ') for caption in captions)
    assert f'<p class="said"><span class="of">{word}</span>' in html


def test_where_half_are_never_flagged_the_captions_say_that(evaluation: dict[str, Any]) -> None:
    """And not that half are flagged after never of them."""
    never, soon = {"median": None, "p90": None}, {"median": 7.0, "p90": None}
    html = page(evaluation | {"delay": evaluation["delay"] | {"seconds": never, "victims": never}})
    assert html.count("half of the fraud numbers or more are never flagged.") == 2
    assert "after never" not in html
    assert "never s" not in html
    html = page(evaluation | {"delay": evaluation["delay"] | {"seconds": soon, "victims": soon}})
    assert "half of the fraud numbers are flagged after 7 of them" in html
    assert "half of the fraud numbers are flagged within 7 s" in html


@pytest.mark.parametrize(("watch", "flag"), [(0.9, None), (0.9, 0.8), (None, None)])
def test_contrasts_have_a_column_for_each_level_that_anybody_knows(
    evaluation: dict[str, Any], watch: float | None, flag: float | None
) -> None:
    """A column of nothing but `not known` is none."""
    recall = {name: {"value": at, "low": at, "high": at} for name, at in (("watch", watch), ("flag", flag))}
    one = {"name": "trees", "area": 0.9, "average_precision": 0.8, "recall": recall}
    html = page(evaluation | {"contrast": one, "baselines": [], "ablations": [], "contrast_notes": []})
    assert ("<th>recall at 0.1 %</th>" in html) == (watch is not None)
    assert ("<th>recall at 0.01 %</th>" in html) == (flag is not None)


def test_groups_are_told_at_the_bundles_own_thresholds_and_what_is_read_off_behind_them(
    evaluation: dict[str, Any],
) -> None:
    """A threshold that this table set itself is nobody's; each column has one kind of threshold."""

    def figure(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.1, "high": value + 0.1}

    group = {
        "group": "overt",
        "numbers": 12,
        "recall": {"watch": figure(0.71), "flag": figure(0.61), "block": figure(0.51)},
        "read_off": [{"recall": figure(0.81)}, {"recall": figure(0.82), "extrapolated": True}],
        "delay": None,
    }
    levels = {name: said | {"honest_days": figure(0.2)} for name, said in evaluation["levels"].items()}
    html = page(evaluation | {"groups": [group], "levels": levels})
    cells = ["overt", "12", "71.0% (61.0% to 81.0%)", "61.0% (51.0% to 71.0%)", "-", "-", "-"]
    cells += ["81.0% (71.0% to 91.0%)", "82.0% (72.0% to 92.0%), beyond the data"]
    assert "".join(f"<td>{cell}</td>" for cell in cells) in html
    assert html.count("watch was set at 0.1 % of honest number-days, 20.000% (10.000% to 30.000%) reach it") == 2
    assert html.count("flag was set at 0.01 % of honest number-days") == 2


def test_alerts_are_told_per_scored_number_days(evaluation: dict[str, Any]) -> None:
    """Most of an operator's active numbers begin too little to be scored: per active number they are fewer."""
    evaluation = evaluation | {"groups": None}
    html, card = page(evaluation), "\n".join(figures(evaluation))
    assert html.count("alerts per million scored number-days at ") == 3
    assert "alerts per million scored number-days at 0.1 % fraud" in card
    assert "a day and million" not in html + card


def test_delays_stand_in_a_table_that_says_what_they_are_counted_in(evaluation: dict[str, Any]) -> None:
    """Events where every event was scored; else vectors scored, which are fewer."""
    never = {"median": 3.0, "p90": None}
    known = {"events": never, "caught_within_events": {"5": 0.25, "20": 0.5, "50": 0.75}, "seconds": never}
    delay = {"numbers": 8, "began_earlier": 1, "damage_not_prevented": 0.5}
    html = page(evaluation | {"delay": delay | known})
    assert "<td>events</td><td>3</td><td>never</td><td>25.0%</td><td>50.0%</td><td>75.0%</td>" in html
    assert "vectors scored" not in html.lower()
    html = page(evaluation | {"delay": delay | {"vectors": never, "seconds": never}})
    assert "<td>vectors scored</td><td>3</td><td>never</td><td>-</td>" in html
    assert "Vectors scored are fewer than events" in html


def test_the_calibrations_caption_says_what_its_middle_does(evaluation: dict[str, Any]) -> None:
    """The mean is that of the lowest bin, where nearly all number-days are; few number-days tell no error."""
    bins = [
        {"shown": 0.01, "seen": 0.011, "number_days": 9_700},
        {"shown": 0.45, "seen": 0.25, "number_days": 200},
        {"shown": 0.65, "seen": 0.45, "number_days": 200},
        {"shown": 0.75, "seen": 0.0, "number_days": 39},
    ]
    html = page(evaluation | {"calibration": {"prevalence": 0.01, "bins": bins, "mean_error": 0.0123}})
    assert "mean error is 0.012, 96% of them in the bin at 0.01" in html
    assert "largest error of a bin of 40 or more is 0.20: 0.45 shown where 0.25 was fraud (200 number-days)" in html
    assert "Between the lowest bin and the highest, 400 number-days, 0.55 is shown on average where 0.35 was" in html
    assert html.count("<circle") == 4
    few = page(evaluation | {"calibration": {"prevalence": 0.01, "bins": bins[3:], "mean_error": 0.75}})
    assert "Between" not in few
    assert "largest error" not in few


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


def test_bars_are_as_long_as_their_values_and_run_backwards_below_zero() -> None:
    """A fall below zero is chance, and to be seen as that; the axis says what a length means."""
    drawn = ElementTree.fromstring(bars("t", "fall, of 1", [("a", 0.4), ("b", 0.1), ("c", -0.2)]))
    a, b, c = ({name: float(one.attrib[name]) for name in ("x", "width")} for one in drawn.findall("rect"))
    assert a["width"] == pytest.approx(4 * b["width"], rel=0.01)
    assert c["width"] == pytest.approx(2 * b["width"], rel=0.01)
    assert c["x"] + c["width"] == pytest.approx(a["x"], abs=0.2)
    texts = {text.text: float(text.attrib["x"]) for text in drawn.findall("text")}
    assert {"fall, of 1", "-0.2", "0", "0.2", "0.4"} <= set(texts)
    assert texts["0"] == pytest.approx(a["x"], abs=0.2)
    assert texts["0.4"] - texts["0.2"] == pytest.approx(a["width"] / 2, abs=0.2)
    assert a["x"] + a["width"] < WIDTH


def test_bars_of_nothing_have_an_axis_all_the_same() -> None:
    """Where no feature is looked at, every fall is nought."""
    drawn = ElementTree.fromstring(bars("t", "fall", [("a", 0.0)]))
    assert [float(one.attrib["width"]) for one in drawn.findall("rect")] == [0]


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
