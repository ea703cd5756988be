"""What a rehearsal says of alerts: the rules that it makes quicker, and what must have fired and cleared."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from detector.config import ROOT, load
from detector.errors import ConfigError
from detector.ingest.rows import Raw, open_source
from detector.verdict.policy import Policy
from loadtest.balance import ROWS_A_RECORD
from loadtest.campaign import FIXED, MOBILE, at, call
from loadtest.rehearsal import ALLOWED, BUDGET_TRIPPED, BURN, DOWN, RELOAD_FAILED, broken, mended
from loadtest.scene import made_policy
from loadtest.watching import ALERTS, Episode, Episodes, Wanted, alert_names, hasten, hastened, judge, table
from tests.watching.promql import nodes, parse

FACTOR = 7
"""Divides no duration of the rules evenly: what is rounded shows."""
WANTED = {"Down": Wanted("a kill", 10.0, "started again", 30.0), "Budget": Wanted("a wave", 20.0)}
ALLOWED_HERE = {"Latency": "a slow machine"}
NAMES = ["Latency", "Down", "Budget", "Stuck"]
WELL = [Episode("Down", 17.0, 33.0), Episode("Budget", 22.0, 112.0)]


def rules(text: str) -> list[dict[str, Any]]:
    """Every rule of a file's text."""
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def durations(expression: str) -> Iterator[timedelta]:
    """Windows and offsets of an expression, as a parser of PromQL reads them."""
    for node in nodes(parse(expression)):
        if isinstance(node, promql_parser.MatrixSelector):
            yield node.range
            yield from offset(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            yield from offset(node)


def offset(selector: Any) -> Iterator[timedelta]:
    """How far back a selector looks, if it does."""
    if selector.offset is not None:
        yield selector.offset


def waits(rule: dict[str, Any]) -> list[timedelta]:
    """Its `for`, in milliseconds where it is no whole number of its unit."""
    units = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours"}
    text = str(rule.get("for", "0s"))
    unit = text.lstrip("0123456789")
    return [timedelta(**{units[unit]: int(text.removesuffix(unit))})]


def test_every_duration_is_divided_and_nothing_else() -> None:
    """Held against a parser, which knows windows from names such as `ratio5m`: those stay what they are."""
    shipped = ALERTS.read_text(encoding="utf-8")
    before, after = rules(shipped), rules(hastened(shipped, FACTOR))
    divided = 0
    for old, new in zip(before, after, strict=True):
        wanted = [*durations(old["expr"]), *waits(old)]
        assert [
            one / FACTOR - got for one, got in zip(wanted, [*durations(new["expr"]), *waits(new)], strict=True)
        ] == [pytest.approx(timedelta(0), abs=timedelta(milliseconds=1)) for _ in wanted]
        divided += len(wanted)
        for rule in (old, new):
            rule.pop("expr")
            rule.pop("for", None)
    assert divided > len(before)
    assert before == after


def test_limits_that_are_no_windows_stay() -> None:
    """A heartbeat is lost after a minute, however quick the rules are."""
    text = hastened(ALERTS.read_text(encoding="utf-8"), FACTOR)
    lost = next(rule for rule in rules(text) if rule.get("alert") == "DetectorHeartbeatLost")
    assert lost["expr"].count("> 60\n") == 2
    assert lost["for"] == "8571ms"


def test_divided_by_one_the_rules_are_as_shipped() -> None:
    """In their meaning: a week is written in seconds then."""
    shipped = ALERTS.read_text(encoding="utf-8")
    for old, new in zip(rules(shipped), rules(hastened(shipped, 1)), strict=True):
        assert list(durations(old["expr"])) == list(durations(new["expr"]))
        assert waits(old) == waits(new)


@pytest.mark.prometheus
@pytest.mark.parametrize("factor", [1, FACTOR, 10])
def test_promtool_takes_the_quicker_rules(factor: int, tmp_path: Path) -> None:
    """The real one; and all of them are there."""
    path = hasten(factor, tmp_path / "alerts.yaml")
    assert len(rules(path.read_text(encoding="utf-8"))) == len(rules(ALERTS.read_text(encoding="utf-8")))


def test_episodes_begin_and_end_with_what_prometheus_says() -> None:
    """
    Down    ....####....##
    Budget  ......####....
    """
    episodes = Episodes()
    assert episodes.take(0.0, set()) == []
    assert episodes.take(4.0, {"Down"}) == ["Down fires"]
    assert episodes.take(6.0, {"Budget", "Down"}) == ["Budget fires"]
    assert episodes.firing() == {"Budget", "Down"}
    assert episodes.take(8.0, {"Budget"}) == ["Down has cleared"]
    assert episodes.take(10.0, set()) == ["Budget has cleared"]
    assert episodes.take(12.0, {"Down"}) == ["Down fires"]
    assert episodes.of("Down") == [Episode("Down", 4.0, 8.0), Episode("Down", 12.0)]
    assert episodes.of("Budget") == [Episode("Budget", 6.0, 10.0)]


@pytest.mark.parametrize(
    ("found", "unmet"),
    [
        (WELL, []),
        ([*WELL, Episode("Latency", 3.0)], []),
        (WELL[:1], ["Budget did not fire (a wave at 20 s)"]),
        ([Episode("Down", 9.0, 33.0), WELL[1]], ["Down fired at 9 s, before its cause at 10 s"]),
        ([Episode("Down", 17.0), WELL[1]], ["Down has not cleared"]),
        ([Episode("Down", 17.0, 25.0), WELL[1]], ["Down cleared at 25 s, before started again at 30 s"]),
        ([*WELL, Episode("Down", 40.0)], ["Down has not cleared"]),
        ([*WELL, Episode("Stuck", 50.0, 51.0)], ["Stuck fired at 50 s, and should not have"]),
    ],
)
def test_what_an_alert_did_wrong_is_said(found: list[Episode], unmet: list[str]) -> None:
    """Silent where it had to fire, firing without a cause or beyond its end; what is allowed may do either."""
    judged = judge(NAMES, WANTED, ALLOWED_HERE, Episodes(list(found)))
    assert [row.alert for row in judged] == NAMES
    assert [sentence for row in judged for sentence in row.unmet] == unmet


def test_the_table_has_a_line_an_alert() -> None:
    """With all its episodes; one that goes on has no end."""
    found = [*WELL, Episode("Latency", 3.0, 4.0), Episode("Latency", 9.0)]
    lines = table(judge(NAMES, WANTED, ALLOWED_HERE, Episodes(found))).splitlines()[2:]
    assert lines == [
        "| Latency | may fire | 3 s, 9 s | 4 s, - | a slow machine |",
        "| Down | fires | 17 s | 33 s | a kill at 10 s; started again at 30 s |",
        "| Budget | fires | 22 s | 112 s | a wave at 20 s |",
        "| Stuck | is silent |  |  |  |",
    ]


def test_alerts_that_the_script_names_are_alerts() -> None:
    """A misspelt one would have to be silent for ever, or would allow nothing."""
    assert {DOWN, BURN, BUDGET_TRIPPED, RELOAD_FAILED, *ALLOWED} <= set(alert_names())


@pytest.mark.parametrize("form", [FIXED, MOBILE])
def test_a_spoofed_call_gives_the_rows_that_the_balance_counts_on(form: str) -> None:
    """One about each of its numbers, and no reject."""
    settings = load(ROOT / "configs" / "local.yaml")
    values = [at(call(form.format(k)), 1_790_000_000_000) for k in (0, 179)]
    read = open_source(settings, settings.sources[0]).read(Raw(values, (0, 0), (0, 1), (1_790_000_000_000,) * 2))
    assert len(read.rows) == ROWS_A_RECORD * len(values)
    assert len(set(read.rows["number"].tolist())) == len(values) + 1
    assert not read.rejected


def test_the_policy_file_is_broken_and_mended(tmp_path: Path) -> None:
    """As an editor would: the broken one is refused, the mended one is another version of the same rules."""
    path = made_policy(tmp_path / "rules")
    text, first = path.read_text(encoding="utf-8"), Policy.load(path)
    assert {"cli-fixed-from-abroad", "cli-mobile-unverified"} <= {rule.id for rule in first.rules}
    assert {rule.text.basis for rule in first.rules} == {"deterministic"}
    path.write_text(broken(text), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"policy\.yaml"):
        Policy.load(path)
    path.write_text(mended(text), encoding="utf-8")
    second = Policy.load(path)
    assert [rule.id for rule in second.rules] == [rule.id for rule in first.rules]
    assert second.version != first.version
