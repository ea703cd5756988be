"""Every alert fires when it should and is silent when it should, and its chapter says what to do."""

import re
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from detector.cli import build_parser
from detector.config import ROOT
from detector.errors import Fatal
from loadtest.prometheus import promtool
from tests.watching.promql import ALERTS, exported, parse, rules, rules_for, selected, wrong_in

CHAPTERS: Final = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
CASES: Final = tuple(ROOT / "configs" / f"alerts_{name}.yaml" for name in ("test", "week_test", "scrape_test"))
WEEK: Final = CASES[1]
ALERTING: Final = {rule["alert"]: rule for rule in rules() if "alert" in rule}
WANTED: Final = {
    "latency": ("DetectorLatencyBurnFast", "DetectorLatencyBurnSlow"),
    "availability": ("DetectorAvailabilityBurnFast", "DetectorAvailabilityBurnSlow"),
    "stuck partition": ("DetectorPartitionStuck",),
    "lag growing": ("DetectorLagGrowing",),
    "reject burst": ("DetectorRejectBurst",),
    "snapshot stale": ("DetectorSnapshotStale",),
    "block budget tripped": ("DetectorBlockBudgetTripped",),
    "a source silent, or at half": ("DetectorSourceSilent", "DetectorSourceHalf"),
    "drift": ("DetectorDrift",),
    "model load failed": ("DetectorReloadFailed",),
    "heartbeat lost": ("DetectorHeartbeatLost",),
    "no decisions, too many": ("DetectorNoDecisions", "DetectorTooManyDecisions"),
    "a role that has gone, or nothing seen of any": ("DetectorRoleGone", "DetectorUnseen"),
    "serving and training differ, or nobody compares": ("DetectorParityBroken", "DetectorParityMissed"),
}


def checks() -> list[dict[str, Any]]:
    """Every moment at which the cases look at an alert."""
    trees = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in CASES]
    return [check for tree in trees for test in tree["tests"] for check in test["alert_rule_test"]]


def test_what_operators_are_told_of() -> None:
    """Nobody takes one out by mistake."""
    assert [name for names in WANTED.values() for name in names if name not in ALERTING] == []


@pytest.mark.prometheus
def test_promtool_finds_the_rules_well_formed() -> None:
    """The real one."""
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(ALERTS))


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.parametrize("path", [CASES[0], CASES[2]], ids=[CASES[0].name, CASES[2].name])
def test_cases_come_out_as_they_should(path: Path) -> None:
    """The real promtool over all cases of a file."""
    assert "SUCCESS" in promtool("test", "rules", str(path))


@pytest.mark.prometheus
@pytest.mark.slow
def test_cases_of_a_week_come_out_as_they_should(tmp_path: Path) -> None:
    """Each with the rules that its alerts are made of: promtool evaluates all that it is given, at every five minutes
    of eight days, and a case looks at three or four alerts at most.
    """
    tree = yaml.safe_load(WEEK.read_text(encoding="utf-8"))
    files = []
    for n, test in enumerate(tree["tests"]):
        wanted = rules_for({check["alertname"] for check in test["alert_rule_test"]})
        (tmp_path / f"{n}-rules.yaml").write_text(yaml.safe_dump(wanted), encoding="utf-8")
        files.append(tmp_path / f"{n}.yaml")
        one = tree | {"rule_files": [f"{n}-rules.yaml"], "tests": [test]}
        files[-1].write_text(yaml.safe_dump(one), encoding="utf-8")
    assert promtool("test", "rules", *map(str, files)).count("SUCCESS") == len(tree["tests"]) > 0


@pytest.mark.prometheus
@pytest.mark.slow
def test_every_rule_has_an_answer_to_the_series_of_every_week(tmp_path: Path) -> None:
    """promtool fails where one has none, such as of two series that match one: all rules, an hour at a time, at which
    nobody looks at what fires."""
    tree = yaml.safe_load(WEEK.read_text(encoding="utf-8")) | {"rule_files": [str(ALERTS)], "evaluation_interval": "1h"}
    for test in tree["tests"]:
        for check in test["alert_rule_test"]:
            check |= {"alertname": "NobodyLooks", "exp_alerts": []}
    (tmp_path / "hourly.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "hourly.yaml"))


@pytest.mark.parametrize("name", ALERTING)
def test_rules_for_an_alert_are_all_that_it_selects_and_no_other_alert(name: str) -> None:
    """None of what a case above needs is left out: whatever they select is made by one of them or by nobody."""
    kept = [rule for group in rules_for({name})["groups"] for rule in group["rules"]]
    made = {rule["record"] for rule in rules() if "record" in rule}
    needed = set().union(*(selected(parse(rule["expr"])) for rule in kept)) & made
    assert needed == {rule["record"] for rule in kept if "record" in rule}
    assert [rule for rule in kept if "alert" in rule] == [ALERTING[name]]
    assert [rule for rule in rules() if rule in kept] == kept


@pytest.mark.prometheus
def test_a_case_that_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    """So that the success above says something: the drift alert's limit is not reached any more."""
    text = ALERTS.read_text(encoding="utf-8")
    changed = text.replace("(detector_feature_drift) > 0.25", "(detector_feature_drift) > 0.35")
    assert changed != text
    (tmp_path / "alerts.yaml").write_text(changed, encoding="utf-8")
    tree = yaml.safe_load(CASES[0].read_text(encoding="utf-8"))
    tree["tests"] = [test for test in tree["tests"] if test["alert_rule_test"][0]["alertname"] == "DetectorDrift"]
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    with pytest.raises(Fatal, match="DetectorDrift"):
        promtool("test", "rules", str(tmp_path / "cases.yaml"))


def test_every_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    """Counted; and no case is of an alert that there is not."""
    fires: dict[str, int] = defaultdict(int)
    silent: dict[str, int] = defaultdict(int)
    for check in checks():
        (fires if check["exp_alerts"] else silent)[check["alertname"]] += 1
    assert fires.keys() == silent.keys() == ALERTING.keys()


@pytest.mark.parametrize("name", ALERTING)
def test_an_alert_selects_what_is_exported(name: str) -> None:
    """Names and labels; a misspelt one would never fire."""
    assert list(wrong_in(ALERTING[name]["expr"], exported())) == []


def test_recorded_rules_select_what_is_exported() -> None:
    """The same of what alerts and dashboards share."""
    series = exported()
    assert [wrong for rule in rules() if "record" in rule for wrong in wrong_in(rule["expr"], series)] == []


@pytest.mark.parametrize("name", ALERTING)
def test_an_alert_has_a_severity_a_summary_and_a_chapter(name: str) -> None:
    """Its link ends at a heading, under which it says what it means, what to look at and what to do."""
    rule = ALERTING[name]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"
    chapter = re.split(rf"^## {name}$", CHAPTERS, flags=re.MULTILINE)
    assert len(chapter) == 2
    text = chapter[1].split("\n## ")[0]
    for part in ("**Means.**", "**Look at", "do.**" if "**Look at, do.**" in text else "**Do.**"):
        assert part in text


def test_every_chapter_is_an_alerts() -> None:
    """None is left of an alert that has gone."""
    assert re.findall(r"^## (\w+)$", CHAPTERS, flags=re.MULTILINE) == list(ALERTING)


def test_links_within_the_chapters_end_somewhere() -> None:
    """A misspelt one leads nowhere at three in the morning."""
    assert set(re.findall(r"\]\(#(\w+)\)", CHAPTERS)) <= {name.lower() for name in ALERTING}


COMMANDS: Final = sorted(
    {
        line
        for block in re.findall(r"```sh\n(.*?)```", CHAPTERS, flags=re.DOTALL)
        for line in block.splitlines()
        if line.startswith("detector ")
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_chapters_is_one(line: str) -> None:
    """The command line takes it as it stands there."""
    arguments = build_parser().parse_args(shlex.split(line)[1:])
    assert callable(arguments.run)


def test_metrics_that_the_chapters_name_are_exported() -> None:
    """Whoever looks for one finds it."""
    named = set(re.findall(r"`(detector_\w+)`", CHAPTERS))
    assert named
    assert named <= exported().keys()
