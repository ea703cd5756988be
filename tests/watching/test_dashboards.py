"""Dashboards show what the service exports: every query parses, selects series there are, and has data under load."""

import json
import math
import runpy
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from detector.broker.kafka import KafkaBroker
from detector.broker.local import LocalKafka
from detector.broker.topics import topic_specs
from detector.config import ROOT, load
from detector.metrics import METRICS, PARITY
from loadtest.fleet import Fleet
from loadtest.prometheus import LocalPrometheus
from tests.service.harness import settings_tree, traffic
from tests.watching.promql import ALERTS, exported, parse, rules, selected, wrong_in

FOLDER: Final = ROOT / "configs" / "dashboards"
BUILD: Final = runpy.run_path(str(FOLDER / "build.py"))
BOARDS: Final[Sequence[Any]] = BUILD["BOARDS"]
NO_BEATS: Final = BUILD["_NO_BEATS"]
PANELS: Final = [(board.name, panel) for board in BOARDS for panel in board.panels]
NAMES: Final = [f"{name}: {panel.title}" for name, panel in PANELS]
LOAD_RECORDS: Final = 12_000
LOADS: Final = 24
LIMIT_S: Final = 240.0
STANDSTILL: Final = {
    "DetectorAvailabilityBurnFast",
    "DetectorDown",
    "DetectorHangs",
    "DetectorHeartbeatLost",
    "DetectorNoDecisions",
    "DetectorPartitionStuck",
    "DetectorReloadFailed",
    "DetectorRoleGone",
    "DetectorRolloutHalfDone",
    "DetectorSourceSilent",
    "DetectorUnseen",
}


def queries(path: Path) -> list[str]:
    """Every expression of a dashboard's file, as Grafana would ask it."""
    panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


@pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])
def test_a_file_is_what_the_code_builds(board: Any) -> None:
    """`python configs/dashboards/build.py` was run after the last change."""
    path = FOLDER / f"{board.name}.json"
    assert path.read_text(encoding="utf-8") == BUILD["build"](board)
    assert queries(path) == [expression for panel in board.panels for expression in panel.queries.values()]


def test_no_file_is_left_over() -> None:
    """Whatever the chart packages is built here."""
    assert {path.stem for path in FOLDER.glob("*.json")} == {board.name for board in BOARDS}


@pytest.mark.parametrize("board", BOARDS, ids=[board.name for board in BOARDS])
def test_panels_do_not_lie_on_each_other(board: Any) -> None:
    """Each place of Grafana's grid of 24 columns is one panel's at most."""
    panels = json.loads((FOLDER / f"{board.name}.json").read_text(encoding="utf-8"))["panels"]
    places = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < BUILD["COLUMNS"]


@pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=NAMES)
def test_a_panel_selects_what_is_exported(panel: Any) -> None:
    """Names and labels, those of its legend too."""
    series = exported()
    assert [wrong for expression in panel.queries.values() for wrong in wrong_in(expression, series)] == []
    for legend, expression in panel.queries.items():
        below = frozenset().union(*(series[name] for name in selected(parse(expression))))
        named = {part.split("}}")[0] for part in legend.split("{{")[1:]}
        assert named <= below


@pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=NAMES)
def test_a_panel_of_heartbeats_says_that_they_may_be_off(panel: Any) -> None:
    """`ingest.heartbeat_s` is off unless set; no other panel is excused by that."""
    asked = set().union(*(selected(parse(expression)) for expression in panel.queries.values()))
    assert any("heartbeat" in name for name in asked) is (panel.empty == NO_BEATS)


def test_every_metric_is_shown_somewhere() -> None:
    """Or asked for by a rule whose result is shown."""
    shown = {
        name for _, panel in PANELS for expression in panel.queries.values() for name in selected(parse(expression))
    }
    for rule in rules():
        if rule.get("record") in shown:
            shown |= selected(parse(rule["expr"]))
    missing = [
        metric.exposed
        for metric in (*METRICS, *PARITY)
        if not {metric.exposed, f"{metric.exposed}_bucket", f"{metric.exposed}_count"} & shown
    ]
    assert missing == []


class Service:
    """Both roles on a real Kafka, scraped by a real Prometheus, with traffic on its way."""

    def __init__(self, folder: Path, kafka: LocalKafka) -> None:
        tree = settings_tree(folder, **{k: str(v) for k, v in kafka.options.items()})
        tree["group"] = "watching"
        names = (
            "events",
            "decisions",
            "history",
            "shadow",
            "commands",
            "control",
            "rejects",
            "heartbeats",
            "labels",
            "vectors",
        )
        tree["topics"] = {"partitions": 4} | {name: f"watching.{name}" for name in names}
        source: Any = tree["sources"]
        source[0] |= {"topic": "watching.records", "max_future_s": 120}
        tree["ingest"] |= {"heartbeat_s": 1}  # type: ignore[operator]
        self.config = folder / "watching.yaml"
        self.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        self.settings = load(self.config)
        self.broker = KafkaBroker(self.settings.kafka)
        self.broker.create(topic_specs(self.settings))

    def publish(self, records: Sequence[bytes]) -> None:
        """Records stand in the source's topic."""
        self.broker.publish(self.settings.sources[0].topic, [(None, value) for value in records])


def as_of_now(records: Sequence[bytes]) -> list[bytes]:
    """The same traffic, its last event a minute ago: a real source's, whose delays mean something."""
    trees = [orjson.loads(record) for record in records]
    newest = max(max(value for value in tree.values() if isinstance(value, int)) for tree in trees)
    shift = int(1000 * time.time()) - 60_000 - newest
    return [
        orjson.dumps({k: v + shift if isinstance(v, int) and v > 10**12 else v for k, v in tree.items()})
        for tree in trees
    ]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, kafka: LocalKafka) -> Iterator[tuple[Service, LocalPrometheus]]:
    """The service at work, with everything that is to be seen of it."""
    folder = tmp_path_factory.mktemp("watching")
    service = Service(folder, kafka)
    with closing(service.broker), Fleet(service.config, 1) as fleet:
        until = time.monotonic() + LIMIT_S
        while not all(worker.is_ready() for worker in fleet.workers):
            assert time.monotonic() < until, [worker.last_words() for worker in fleet.workers]
            time.sleep(0.2)
        targets = [worker.url.removeprefix("http://") for worker in fleet.workers]
        with LocalPrometheus(folder / "prometheus", targets, [ALERTS]) as prometheus:
            yield service, prometheus


def is_shown(prometheus: LocalPrometheus, panel: Any) -> bool:
    """Whether every query of it gives a number, asked as Grafana asks."""
    return all(
        any(not math.isnan(value.value) for value in prometheus.query(expression.replace("$__rate_interval", "30s")))
        for expression in panel.queries.values()
    )


def must_show(panel: Any) -> bool:
    """Whether it has data here, where heartbeats are on."""
    return panel.empty in ("", NO_BEATS)


@pytest.mark.kafka
@pytest.mark.prometheus
@pytest.mark.slow
def test_no_panel_is_empty_under_load(watched: tuple[Service, LocalPrometheus]) -> None:
    """Real processes, a real Kafka and a real Prometheus: each panel has data, or says when it has none."""
    service, prometheus = watched
    records = as_of_now(traffic(LOAD_RECORDS))
    records[100::200] = [b'{"broken": '] * len(records[100::200])
    each = len(records) // LOADS
    empty, until, sent = dict(zip(NAMES, PANELS, strict=True)), time.monotonic() + LIMIT_S, 0
    while time.monotonic() < until and any(must_show(panel) for _, panel in empty.values()):
        if sent < len(records):
            service.publish(records[sent : sent + each])
            sent += each
        time.sleep(2.0)
        empty = {name: at for name, at in empty.items() if not is_shown(prometheus, at[1])}
    print(f"{len(NAMES)} panels, {len(NAMES) - len(empty)} with data; empty: {sorted(empty)}")
    assert [name for name, (_, panel) in empty.items() if must_show(panel)] == []


@pytest.mark.kafka
@pytest.mark.prometheus
@pytest.mark.slow
def test_rules_run_on_what_the_service_says(watched: tuple[Service, LocalPrometheus]) -> None:
    """None of them fails on real series, as one would that matches many to many; nothing stands still."""
    _, prometheus = watched
    time.sleep(3.0)
    groups = prometheus.ask("rules")["groups"]
    assert sum(len(group["rules"]) for group in groups) == len(rules())
    assert [rule for group in groups for rule in group["rules"] if rule["health"] != "ok"] == []
    firing = {alert.labels["alertname"] for alert in prometheus.query('ALERTS{alertstate="firing"}')}
    # How fast this machine is, and how much the simulated campaigns give to decide, is no matter here.
    assert firing & STANDSTILL == set()
