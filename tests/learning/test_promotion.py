"""Promotion: a pure function of two evaluations, each of whose reasons alone says no."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.cli import main
from detector.config import ROOT
from detector.learning.promotion import Evaluation, promote
from detector.units import DAY_MS
from tests.learning import labelled
from tests.verdict import models


def figure(value: float, width: float = 0.03) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": value + width}


def read_off(often: float, rarely: float) -> list[dict[str, Any]]:
    """Recall at 0.1 % and at 0.01 % false positives."""
    return [{"share": 1e-3, "recall": figure(often)}, {"share": 1e-4, "recall": figure(rarely)}]


def evaluation() -> dict[str, Any]:
    """As `detector evaluate` writes it, with more than a promotion asks."""
    return {
        "format": "evaluation-1",
        "figures": "real",
        "table": {
            "files": {"test.parquet": "ab" * 32},
            "rows": 10_000,
            "fraud_numbers": 180,
            "honest_number_days": 20_000,
            "notes": [],
        },
        "ranking": {"area": figure(0.93)},
        "levels": {
            name: {
                "margin": 1.0,
                "honest_days": figure(share, share / 2),
                "honest_numbers_reached": int(20_000 * share),
                "recall": figure(recall),
            }
            for name, share, recall in (("watch", 1e-3, 0.6), ("flag", 1e-4, 0.45), ("block", 5e-5, 0.3))
        },
        "read_off": read_off(0.6, 0.45),
        "types": [
            {"type": kind, "numbers": 60, "recall": {}, "read_off": read_off(0.9, 0.9)}
            for kind in ("irsf", "simbox", "wangiri")
        ],
        "bundle": {
            "version": "a-11111111",
            "estimator": "trees",
            "kind": "real",
            "feature_hash": "cd" * 32,
            "trained_until_ms": 100 * DAY_MS,
        },
    }


def read(tree: dict[str, Any]) -> Evaluation:
    return msgspec.json.decode(json.dumps(tree), type=Evaluation)


def with_frauds(margins: list[float], drawn: list[float] | None = None, **more: Any) -> dict[str, Any]:
    """Frauds that are told one by one, held to a margin of 1; `drawn`: what it is in the replicates, in turn."""
    tree = evaluation()
    size = len(margins)
    bars = [(drawn or [1.0])[i % len(drawn or [1.0])] for i in range(1_000)]
    tree["frauds"] = {
        "place": list(range(size)),
        "type": ["simbox"] * size,
        "weight": [1.0] * size,
        "margin": margins,
        "bars": [bars, bars],
    } | more
    for one in tree["read_off"]:
        one |= {"margin": 1.0, "extrapolated": False, "recall": figure(sum(m >= 1 for m in margins) / size, 0.15)}
    return tree


OFTEN, RARELY = 0, 1
"""Places of 0.1 % and 0.01 % false positives."""


def with_recall(tree: dict[str, Any], place: int, value: float) -> None:
    tree["read_off"][place]["recall"] = figure(value)


AGAINST: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda e: with_recall(e, OFTEN, 0.56),
        r"recall at 0.1 % false positives is 56.0% .*, below the champion's 60.0% \(57.0% to 63.0%\)",
    ),
    (lambda e: with_recall(e, RARELY, 0.41), "recall at 0.01 % false positives is 41.0%"),
    (
        lambda e: e["types"][2].update(read_off=read_off(0.9, 0.8)),
        "recall of wangiri at 0.01 % false positives is 80.0%",
    ),
    (lambda e: e["types"][0].update(read_off=read_off(0.86, 0.9)), "recall of irsf at 0.1 % false positives is 86.0%"),
    (lambda e: e["types"].pop(0), "recall of irsf at 0.1 % false positives is not known of the challenger"),
    (
        lambda e: e["levels"]["watch"].update(honest_numbers_reached=40, honest_days=figure(2e-3)),
        "40 honest numbers reach watch, of the champion 20",
    ),
    (
        lambda e: e["levels"]["flag"].update(honest_numbers_reached=4, honest_days=figure(2e-4)),
        "4 honest numbers reach flag, of the champion 2",
    ),
    (
        lambda e: e["levels"]["block"].update(honest_numbers_reached=2),
        "2 honest numbers reach block, of the champion 1",
    ),
    (
        lambda e: e["levels"]["flag"].update(recall=figure(0.0, 0.0)),
        r"recall at its own flag is 0.000% .*, less than half of the champion's 45.0%",
    ),
    (lambda e: e["bundle"].update(trained_until_ms=98 * DAY_MS), "training data end 2.0 days before the champion's"),
    (lambda e: e["bundle"].update(feature_hash="ef" * 32), r"feature_hash is efefefefefef \(champion cdcdcdcdcdcd\)"),
    (lambda e: e["bundle"].update(kind="simulated"), "trained on simulated traffic, the champion on real"),
    (lambda e: e.update(figures="simulator"), "figures of the challenger are simulator, of the champion real"),
    (lambda e: e["table"].update(files={"other.parquet": "ab" * 32}), "judged on different tables"),
    (
        lambda e: e["table"].update(left_out={"fraud_numbers": 3, "trained_on": {"first.parquet": "cd" * 32}}),
        "judged on different numbers of one table: give --trained-on the same files for both",
    ),
    (lambda e: e["bundle"].update(seen=["test.parquet"]), "the challenger has seen test.parquet"),
    (
        lambda e: e["table"].update(fraud_numbers=29),
        "29 fraud numbers were judged, 30 are wanted: of fewer a challenger",
    ),
    (
        lambda e: e["table"].update(honest_number_days=2_999),
        "2,999 honest number-days were judged, 3,000 are wanted: of fewer nobody knows which margin 0.1% of them reach",
    ),
]


@pytest.mark.parametrize(("change", "message"), AGAINST)
def test_each_of_these_alone_says_no(change: Callable[[dict[str, Any]], object], message: str) -> None:
    """With the one reason that is true."""
    tree = evaluation()
    change(tree)
    verdict = promote(read(evaluation()), read(tree))
    assert not verdict.promote
    assert [reason for reason in verdict.against if re.search(message, reason)] == [verdict.against[0]]


@pytest.mark.parametrize(
    "change",
    [
        lambda e: None,
        lambda e: with_recall(e, OFTEN, 0.58),
        lambda e: e["levels"]["flag"].update(recall=figure(0.3)),
        lambda e: e["types"][1].update(read_off=read_off(0.1, 0.1)),
        lambda e: e["levels"]["flag"].update(honest_numbers_reached=3, honest_days=figure(1.4e-4)),
        lambda e: e["bundle"].update(trained_until_ms=101 * DAY_MS),
        lambda e: e["levels"]["block"].update(honest_numbers_reached=0),
        lambda e: e["read_off"][RARELY].update(extrapolated=True, recall=figure(0.1)),
        lambda e: e["types"][2]["read_off"][RARELY].update(extrapolated=True, recall=figure(0.1)),
    ],
)
def test_none_of_these_is_a_reason(change: Callable[[dict[str, Any]], object]) -> None:
    """Itself, chance, a threshold that lies a little higher, a type that hides, newer data, fewer touched, and what
    was compared at margins beyond the data."""
    tree = evaluation()
    change(tree)
    verdict = promote(read(evaluation()), read(tree))
    assert verdict.against == ()
    assert verdict.promote


def test_a_champion_that_has_seen_the_table_is_not_compared_either() -> None:
    """What it was fitted on flatters it: a better one would be refused."""
    champion = evaluation()
    champion["bundle"]["seen"] = ["test.parquet"]
    (reason,) = promote(read(champion), read(evaluation())).against
    assert reason.startswith("the champion has seen test.parquet")


def test_a_champion_that_wrongs_many_is_not_kept_for_what_it_catches_by_that() -> None:
    """At its thresholds it catches all; where both wrong as many it catches less."""
    champion, challenger = evaluation(), evaluation()
    for level in ("watch", "flag"):
        champion["levels"][level] |= {
            "recall": figure(0.99),
            "honest_days": figure(0.07),
            "honest_numbers_reached": 900,
        }
    with_recall(challenger, OFTEN, 0.7)
    verdict = promote(read(champion), read(challenger))
    assert verdict.promote
    assert len(verdict.favour) == 1


def test_of_the_same_frauds_more_lost_than_by_chance_is_a_reason_though_the_intervals_meet() -> None:
    """Forty, of which the champion catches thirty: eight of these are lost, none is gained. Each figure alone may lie
    where the other does."""
    champion = with_frauds([2.0] * 30 + [0.0] * 10)
    challenger = with_frauds([0.0] * 8 + [2.0] * 22 + [0.0] * 10)
    verdict = promote(read(champion), read(challenger))
    assert len(verdict.against) == 2
    assert re.search(
        r"recall at 0.1 % .* is 55.0% .*, below the champion's 75.0% .* \(on the same frauds -20.0 points, -3.* to -\d",
        verdict.against[0],
    )
    assert promote(read(challenger), read(champion)).promote
    assert len(promote(read(challenger), read(champion)).favour) == 2


def test_of_the_same_frauds_as_many_gained_as_lost_is_chance() -> None:
    """Four for four, and the weights of frauds that stand for others count."""
    champion = with_frauds([2.0] * 30 + [0.0] * 10)
    challenger = with_frauds([0.0] * 4 + [2.0] * 26 + [2.0] * 4 + [0.0] * 6)
    assert promote(read(champion), read(challenger)).promote
    for tree in (champion, challenger):
        tree["frauds"]["weight"] = [9.0] * 4 + [1.0] * 36
    verdict = promote(read(champion), read(challenger))
    assert "on the same frauds -44.4 points" in verdict.against[0]


def test_where_it_may_have_lost_a_fifth_of_all_fraud_there_is_no_yes() -> None:
    """The margin at 0.1 % is read off so few honest numbers that it is another one in every third replicate: of the
    challenger's frauds half lie between the two, the champion's all above both."""
    champion = with_frauds([9.0] * 40, [1.0, 1.0, 3.0])
    challenger = with_frauds([2.0] * 20 + [9.0] * 20, [1.0, 1.0, 3.0])
    verdict = promote(read(champion), read(challenger))
    assert [reason.split(",")[0] for reason in verdict.against] == [
        f"recall at {share} % false positives is 100.0% (85.0% to 115.0%)" for share in ("0.1", "0.01")
    ]
    assert "and may be lower by a fifth of all fraud or more (on the same frauds +0.0 points" in verdict.against[0]
    assert promote(read(challenger), read(champion)).promote


def test_frauds_of_a_type_are_compared_one_by_one_too() -> None:
    """Of all frauds it is better; of IRSF it loses seven of eight."""
    types = ["irsf"] * 8 + ["wangiri"] * 32
    champion = with_frauds([2.0] * 8 + [0.0] * 32, type=types)
    challenger = with_frauds([2.0] + [0.0] * 7 + [2.0] * 32, type=types)
    for tree, recall in ((champion, 1.0), (challenger, 0.125)):
        tree["types"] = [{"type": "irsf", "numbers": 8, "recall": {}, "read_off": deepcopy(tree["read_off"])}]
        for one in tree["types"][0]["read_off"]:
            one["recall"] = figure(recall, 1.0)
    (often, rarely) = promote(read(champion), read(challenger)).against
    assert often.startswith("recall of irsf at 0.1 % false positives is 12.5%")
    assert "on the same frauds -87.5 points" in often
    assert rarely.startswith("recall of irsf at 0.01 %")


def test_other_frauds_of_the_same_table_are_not_compared() -> None:
    """One was told what was known in training, the other was not."""
    champion, challenger = with_frauds([2.0] * 40), with_frauds([2.0] * 40)
    challenger["frauds"]["place"] = list(range(1, 41))
    (reason,) = promote(read(champion), read(challenger)).against
    assert reason.startswith("the two were judged on different fraud numbers of the table")


def test_four_of_five_and_two_of_five_is_no_comparison() -> None:
    """Forty per cent lie within what four of five may be: too few say nothing."""
    champion, challenger = with_frauds([2.0] * 4 + [0.0]), with_frauds([2.0] * 2 + [0.0] * 3)
    for tree in (champion, challenger):
        tree["table"]["fraud_numbers"] = 5
    assert promote(read(champion), read(challenger)).against[0].startswith("5 fraud numbers were judged, 30 are wanted")


def test_what_became_better_is_said() -> None:
    """Also beside what speaks against."""
    tree = evaluation()
    with_recall(tree, RARELY, 0.5)
    with_recall(tree, OFTEN, 0.2)
    verdict = promote(read(evaluation()), read(tree))
    (better,) = verdict.favour
    assert better.startswith("recall at 0.01 % false positives is 50.0% (47.0% to 53.0%), above the champion's 45.0%")
    assert len(verdict.against) == 1


def test_a_real_model_may_follow_a_simulated_one() -> None:
    """Where both were judged on the same real table."""
    champion = evaluation()
    champion["bundle"]["kind"] = "simulated"
    assert promote(read(champion), read(evaluation())).promote


def test_nothing_known_of_either_is_no_reason() -> None:
    """A table without frauds of a type, or without any."""
    tree = evaluation()
    tree["read_off"][RARELY]["recall"] = dict.fromkeys(("value", "low", "high"))
    tree["types"] = []
    assert promote(read(tree), read(tree)).promote
    assert promote(read(tree), read(evaluation())).promote
    assert not promote(read(evaluation()), read(tree)).promote


SHARES = st.floats(0, 1)


@given(SHARES, SHARES, st.integers(0, 50), st.integers(0, 50), st.sampled_from(["watch", "flag"]))
def test_a_better_challenger_is_never_refused_where_a_worse_one_is_taken(
    one: float, other: float, few: int, many: int, level: str
) -> None:
    """More recall and fewer honest numbers never turn a yes into a no."""
    trees = []
    for recall, reached in ((max(one, other), min(few, many)), (min(one, other), max(few, many))):
        tree = evaluation()
        with_recall(tree, OFTEN if level == "watch" else RARELY, recall)
        tree["levels"][level] |= {"honest_numbers_reached": reached, "honest_days": figure(reached / 20_000)}
        trees.append(read(tree))
    better, worse = (promote(read(evaluation()), tree) for tree in trees)
    assert better.promote or not worse.promote


def test_what_evaluate_writes_is_what_promote_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that tells nothing does not take the place of one that tells; each may take its own."""
    table = str(labelled.write(tmp_path / "v.parquet", labelled.ours(700, 6)))
    models.save(tmp_path / "noise", models.fitted(trees=3))
    bundles = {"shipped": ROOT / "models" / "default", "noise": tmp_path / "noise"}
    for name, bundle in bundles.items():
        command = ["evaluate", "--bundle", str(bundle), "--vectors", table, "--out", str(tmp_path / name), "--quick"]
        assert main(command) == 0
    capsys.readouterr()

    def asked(champion: str, challenger: str) -> int:
        files = [str(tmp_path / name / "evaluation.json") for name in (champion, challenger)]
        return main(["promote", "--champion", files[0], "--challenger", files[1]])

    assert [asked(name, name) for name in bundles] == [0, 0]
    assert asked("shipped", "noise") == 1
    assert "\n  against: " in capsys.readouterr().out


def test_a_challenger_that_has_seen_the_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fitted on it, or its thresholds set on it: of the same table it knows more than of any other."""
    tables = {name: str(tmp_path / f"{name}.parquet") for name in ("one", "two", "three")}
    for seed, path in enumerate(tables.values()):
        labelled.write(Path(path), labelled.ours(120, 6, seed=seed))
    challenger = str(tmp_path / "challenger")
    apart = ["--thresholds-on", tables["two"], "--test-on", tables["three"]]
    light = ["--parameter", "models=1", "--parameter", "max_iter=20"]
    assert main(["fit", "--vectors", tables["one"], *apart, *light, "--out", challenger]) == 0
    seen = {}
    for name, table in tables.items():
        for bundle in (challenger, str(ROOT / "models" / "default")):
            out = str(tmp_path / name / Path(bundle).name)
            assert main(["evaluate", "--bundle", bundle, "--vectors", table, "--out", out, "--quick"]) == 0
        judged = [str(tmp_path / name / who / "evaluation.json") for who in ("default", "challenger")]
        capsys.readouterr()
        main(["promote", "--champion", judged[0], "--challenger", judged[1]])
        seen[name] = f"against: the challenger has seen {name}.parquet" in capsys.readouterr().out
    assert seen == {"one": True, "two": True, "three": False}


def test_the_command_says_yes_with_0_and_no_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script asks no more than that; a file that is no evaluation is 2."""
    champion, challenger = tmp_path / "champion.json", tmp_path / "challenger.json"
    tree = evaluation()
    champion.write_text(json.dumps(tree))
    challenger.write_text(json.dumps(deepcopy(tree) | {"bundle": tree["bundle"] | {"version": "b-22222222"}}))
    command = ["promote", "--champion", str(champion), "--challenger", str(challenger)]
    assert main(command) == 0
    assert capsys.readouterr().out == "yes: b-22222222 in place of a-11111111\n"
    with_recall(tree, RARELY, 0.1)
    challenger.write_text(json.dumps(tree))
    assert main(command) == 1
    said = capsys.readouterr().out
    assert said.startswith("no: ")
    assert "\n  against: recall at 0.01 % false positives is 10.0%" in said
    challenger.write_text("{}")
    assert main(command) == 2
    assert f"{challenger}: wanted an evaluation" in capsys.readouterr().err
