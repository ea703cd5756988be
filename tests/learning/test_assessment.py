"""Assessment: each figure of an evaluation is what plain counting gives; one entry a number, honest days apart."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.learning import assessment, greatest
from detector.learning.assessment import MILLION, Judged, assess, flat
from detector.learning.rates import REPLICATES
from detector.learning.table import UNSAID, Table, day_weights
from detector.learning.tablefiles import read_table
from detector.units import DAY_MS
from detector.verdict.manifest import LEVELS, Calibration, Thresholds
from tests.learning import labelled
from tests.learning.test_splits import small

BARS = Thresholds(watch=14.0, flag=22.0, block=30.0)
SIGMOID = Calibration(a=0.4, b=-6.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Ten days of 150 numbers."""
    return read_table([labelled.write(tmp_path_factory.mktemp("t") / "v.parquet", labelled.ours(150, 10))])


@pytest.fixture(scope="module")
def margins(table: Table) -> Any:
    """A feature is the score."""
    return table.column("distinct_out_24h")


@pytest.fixture(scope="module")
def found(table: Table, margins: Any) -> dict[str, Any]:
    """The evaluation."""
    return assess(Judged.of(table, margins, BARS), BARS, SIGMOID, 0.5, seed=1)


def rows(table: Table, margins: Any) -> list[tuple[int, int, bool, float]]:
    """Number, day, fraud, margin."""
    return list(zip(table.number.tolist(), table.day.tolist(), table.fraud.tolist(), margins.tolist(), strict=True))


@pytest.mark.parametrize("level", LEVELS)
def test_levels_are_counted_by_number_and_by_honest_number_day(
    table: Table, margins: Any, found: dict[str, Any], level: str
) -> None:
    """A number that is caught on one day is caught; an honest one is wronged each day anew."""
    bar = getattr(BARS, level)
    fraud = {number for number, _, bad, _ in rows(table, margins) if bad}
    caught = {number for number, _, bad, margin in rows(table, margins) if bad and margin >= bar}
    days = {(number, day) for number, day, bad, _ in rows(table, margins) if not bad}
    wronged = {(number, day) for number, day, bad, margin in rows(table, margins) if not bad and margin >= bar}
    said = found["levels"][level]
    assert said["recall"]["value"] == pytest.approx(len(caught) / len(fraud))
    assert said["honest_days"]["value"] == pytest.approx(len(wronged) / len(days))
    assert said["honest_days_reached"] == len(wronged)
    assert said["honest_numbers_reached"] == len({number for number, _ in wronged} - fraud)


def test_precision_and_alerts_follow_from_the_days_rates(found: dict[str, Any]) -> None:
    """At one fraud number in a hundred active ones."""
    said = found["levels"]["watch"]
    recall, wrong = said["recall_days"]["value"], said["honest_days"]["value"]
    at = next(one for one in said["at_prevalence"] if one["prevalence"] == 0.01)
    assert at["alerts"]["value"] == pytest.approx(MILLION * (0.01 * recall + 0.99 * wrong))
    assert at["precision"]["value"] == pytest.approx(0.01 * recall / (0.01 * recall + 0.99 * wrong))
    assert at["precision"]["low"] <= at["precision"]["value"] <= at["precision"]["high"]


def test_nothing_seen_is_not_taken_for_never(table: Table, margins: Any) -> None:
    """No honest day of 150 numbers reaches the bar: more than nought in a million may, and precision is not certain."""
    bars = Thresholds(watch=1e3, flag=1e3, block=1e3)
    scores = np.where(table.fraud & (table.number % 2 == 0), 2e3, margins)
    said = assess(Judged.of(table, scores, bars), bars, SIGMOID, 0.5, seed=1)["levels"]["flag"]
    honest = np.unique(table.number[~table.fraud])
    high = 1 - 0.025 ** (1 / len(honest))
    assert (said["honest_days"]["value"], said["honest_days"]["high"]) == (0.0, pytest.approx(high))
    for at in said["at_prevalence"]:
        assert at["precision"]["value"] == at["precision"]["high"] == 1
        assert 0 < at["precision"]["low"] < 0.9
        assert at["alerts"]["high"] > at["alerts"]["value"] + MILLION * (1 - at["prevalence"]) * high * 0.99


@pytest.mark.parametrize("caught", [False, True])
def test_all_or_none_of_the_frauds_caught_is_not_taken_for_always_or_never(
    table: Table, margins: Any, caught: bool
) -> None:
    """Alerts and precision may be fewer or more than what one table shows."""
    bars = Thresholds(watch=20, flag=20, block=20)
    scores = np.where(table.fraud, 1e3 if caught else -1e3, margins)
    said = assess(Judged.of(table, scores, bars), bars, SIGMOID, 0.5, seed=1)["levels"]["flag"]
    assert said["recall_days"]["value"] == caught
    at = next(one for one in said["at_prevalence"] if one["prevalence"] == 0.01)
    recall, wrong = said["recall_days"], said["honest_days"]
    for end in ("low", "high"):
        # The honest share's ends are drawn, up to rounding the same quantiles.
        assert at["alerts"][end] == pytest.approx(MILLION * (0.01 * recall[end] + 0.99 * wrong[end]))
    if caught:
        assert at["precision"]["low"] < 0.01 / (0.01 + 0.99 * wrong["high"])
    else:
        assert at["precision"]["value"] == 0 < at["precision"]["high"]


def test_types_add_up_to_all_fraud_numbers(found: dict[str, Any]) -> None:
    """Each named once, with its recall and its delay."""
    assert [kind["type"] for kind in found["types"]] == ["simbox", "smishing"]
    assert sum(kind["numbers"] for kind in found["types"]) == found["table"]["fraud_numbers"]
    caught = sum(kind["numbers"] * kind["recall"]["flag"]["value"] for kind in found["types"])
    assert caught == pytest.approx(found["table"]["fraud_numbers"] * found["levels"]["flag"]["recall"]["value"])


def test_groups_are_types_together(table: Table, margins: Any, found: dict[str, Any]) -> None:
    """A group of one type is the type, one of all is all; without groups there is no word of them."""
    groups = {"texts": ["smishing"], "all": ["simbox", "smishing"]}
    said = assess(Judged.of(table, margins, BARS), BARS, SIGMOID, 0.5, seed=1, groups=groups)["groups"]
    smishing = found["types"][1]
    assert said[0] == {"group": "texts", "types": ["smishing"]} | {k: v for k, v in smishing.items() if k != "type"}
    assert said[1]["numbers"] == found["table"]["fraud_numbers"]
    assert said[1]["recall"]["flag"] == found["levels"]["flag"]["recall"]
    assert [one["recall"] for one in said[1]["read_off"]] == [one["recall"] for one in found["read_off"]]
    assert said[1]["delay"] == found["delay"]
    assert "groups" not in found


def test_what_is_read_off_is_counted_by_number_and_type(table: Table, margins: Any, found: dict[str, Any]) -> None:
    """Of all frauds, and of each type, as many as reach the margin; types add up."""
    greatest: dict[int, float] = {}
    for number, _, bad, margin in rows(table, margins):
        if bad:
            greatest[number] = max(greatest.get(number, -np.inf), margin)
    for place, said in enumerate(found["read_off"]):
        caught = sum(margin >= said["margin"] for margin in greatest.values())
        assert said["recall"]["value"] == pytest.approx(caught / len(greatest))
        by_type = [kind["numbers"] * kind["read_off"][place]["recall"]["value"] for kind in found["types"]]
        assert sum(by_type) == pytest.approx(caught)
        assert {kind["read_off"][place]["share"] for kind in found["types"]} == {said["share"]}


def test_calibration_is_shown_against_seen_at_the_tables_prevalence(
    table: Table, margins: Any, found: dict[str, Any]
) -> None:
    """Bins hold all number-days; their weighted mean of what was seen is the prevalence."""
    said = found["calibration"]
    days = {(number, day, bad) for number, day, bad, _ in rows(table, margins)}
    assert sum(one["number_days"] for one in said["bins"]) == len(days)
    seen = sum(one["number_days"] * one["seen"] for one in said["bins"]) / len(days)
    assert seen == pytest.approx(said["prevalence"])
    assert [one["shown"] for one in said["bins"]] == sorted(one["shown"] for one in said["bins"])


def test_levels_may_differ_by_row_as_cross_fitting_has_them(table: Table, margins: Any) -> None:
    """What lies above its own bar is reached, whatever the others' are."""
    bars = {level: np.where(table.number % 2 == 0, -np.inf, np.inf) for level in LEVELS}
    found = assess(Judged(table, margins, bars), BARS, SIGMOID, None, seed=1)
    fraud = np.unique(table.number[table.fraud])
    assert found["levels"]["flag"]["recall"]["value"] == pytest.approx(np.mean(fraud % 2 == 0))


def test_what_the_table_cannot_tell_is_said(found: dict[str, Any]) -> None:
    """Honest rows name no profile here."""
    assert "Hard negatives are not known: no honest row names its profile." in found["table"]["notes"]
    assert found["hard_negatives"] == []
    assert found["figures"] == "real"


def test_honest_profiles_are_hard_negatives(tmp_path: Path) -> None:
    """Their number-days that reached each level, by profile."""
    columns = labelled.carrier(200)
    columns["profile"] = ["" if bad else ("courier", "private")[i % 2] for i, bad in enumerate(columns["is_fraud"])]
    path = labelled.write(tmp_path / "t.csv", columns)
    table = read_table([path], {"label": "is_fraud", "number": "msisdn"})
    bars = Thresholds(watch=-9, flag=1, block=9)
    found = assess(Judged.of(table, table.column("strangers"), bars), bars, SIGMOID, None, seed=1)
    counts = {one["profile"]: one["number_days"] for one in found["hard_negatives"]}
    assert counts == {name: columns["profile"].count(name) for name in ("courier", "private")}
    assert all(one["reached"]["watch"] == one["number_days"] for one in found["hard_negatives"])
    assert found["delay"] is None


def test_a_manifest_keeps_what_is_known(found: dict[str, Any]) -> None:
    """Plain figures by name."""
    metrics = flat(found)
    assert metrics["recall_flag"] == found["levels"]["flag"]["recall"]["value"]
    assert metrics["recall_watch_simbox"] == found["types"][0]["recall"]["watch"]["value"]
    assert all(np.isfinite(value) for value in metrics.values())


def test_a_type_whose_numbers_all_went_on_to_another_is_told_without_figures(table: Table, margins: Any) -> None:
    """A number counts for the fraud that was seen of it last."""
    types = table.types.copy()
    bad = np.flatnonzero(table.fraud)
    _, first = np.unique(table.number[bad], return_index=True)
    types[bad[first]] = "first"
    found = assess(Judged.of(replace(table, types=types), margins, BARS), BARS, SIGMOID, 0.5, seed=1)
    said = {one["type"]: one for one in found["types"]}
    assert said["first"]["numbers"] < said["simbox"]["numbers"]
    assert said["first"]["delay"]["numbers"] == said["first"]["numbers"]


def drawn() -> tuple[Table, Any]:
    """Ten frauds that victims told of, caught in 10 s; one that an audit drew of ninety, missed; twenty honest ones.

    Each has two vectors on each of two days.
    """
    number = np.repeat(np.arange(31), 4)
    table = small((number < 11).tolist(), number.tolist())
    day = np.tile([0, 0, 1, 1], 31)
    table = replace(
        table,
        day=day,
        event_ms=DAY_MS * day + np.tile([0, 10_000] * 2, 31),
        weight=np.where(number == 10, 90 / 2, 1 / 2),
        types=np.where(table.fraud, "simbox", ""),
        active_from_ms=np.where(table.fraud, 0, UNSAID),
    )
    margins = np.where(number < 10, 5.0, 0.0)
    margins[::4] = 0.0
    return table, margins


def test_a_fraud_that_was_drawn_counts_as_many_as_it_stands_for() -> None:
    """Of a hundred ten are caught, though of eleven that are in the table it is ten; so say delays and curves."""
    table, margins = drawn()
    bars = Thresholds(watch=1, flag=1, block=1)
    found = assess(Judged.of(table, margins, bars), bars, SIGMOID, 0.5, seed=1, groups={"all": ["simbox"]})
    for said in (found["levels"]["flag"]["recall"], found["types"][0]["recall"]["flag"]):
        assert said["value"] == pytest.approx(0.1)
        assert said["high"] == 1
    assert found["read_off"][0]["recall"]["value"] == pytest.approx(0.1)
    assert found["groups"][0]["read_off"][0]["recall"]["value"] == pytest.approx(0.1)
    # Ten of a hundred lie above all honest ones, ninety are their equals.
    assert found["ranking"]["area"]["value"] == pytest.approx(0.1 + 0.9 / 2)
    assert found["curves"]["precision_recall"] == [[0.1, 1.0], [1.0, pytest.approx(100 / 120)]]
    delay = found["delay"]
    assert delay["distribution"][-1] == [10.0, pytest.approx(0.1)]
    assert delay["seconds"] == {"median": None, "p90": None}
    assert delay["damage_not_prevented"] == pytest.approx(1 - 0.1 * 2 / 4)
    assert found["types"][0]["delay"] == delay
    note = "1 of 11 fraud numbers do not stand for themselves alone, but for 90: "
    assert [one for one in found["table"]["notes"] if one.startswith(note)]


def test_frauds_are_told_one_by_one_and_none_of_them_by_its_number(
    table: Table, margins: Any, found: dict[str, Any]
) -> None:
    """What a comparison needs: the recall that is read off follows from it, and nothing says who they are."""
    frauds = found["frauds"]
    assert frauds["place"] == np.unique(table.number[table.fraud]).tolist()
    assert frauds["weight"] == [1.0] * len(frauds["place"])
    greatest = {place: float(margins[table.fraud & (table.number == place)].max()) for place in frauds["place"]}
    assert frauds["margin"] == list(greatest.values())
    assert set(frauds["type"]) == {"simbox", "smishing"}
    for said, bars in zip(found["read_off"], frauds["bars"], strict=True):
        assert np.mean(np.array(frauds["margin"]) >= said["margin"]) == said["recall"]["value"]
        assert len(bars) == REPLICATES
    written = json.dumps(found)
    assert not any(number in written for number in table.numbers.tolist())


def test_without_draws_nothing_is_weighed(found: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, though ten tenths of a number-day add up to a little less than 1."""
    rng = np.random.default_rng(4)
    number, day = np.sort(rng.integers(0, 60, 4_000)), rng.integers(0, 3, 4_000)
    table = small((number < 25).tolist(), number.tolist())
    table = replace(table, day=day, event_ms=DAY_MS * day, weight=day_weights(number, day, table.fraud))
    judged = Judged.of(table, rng.normal(size=4_000) + 2 * table.fraud, Thresholds(watch=2, flag=3, block=4))
    said = assess(judged, BARS, SIGMOID, 0.5, seed=1)
    for module in (greatest, assessment):
        monkeypatch.setattr(module, "number_weights", lambda table: np.ones(len(table.numbers)))
    assert said == assess(judged, BARS, SIGMOID, 0.5, seed=1)
    assert not any("stand for" in note for note in (*said["table"]["notes"], *found["table"]["notes"]))
