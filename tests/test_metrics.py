"""The table of metrics, the objects made from it and the README say the same."""

import re
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram, generate_latest

from detector.config import ROOT
from detector.metrics import METRICS, PARITY, Metrics, metrics_markdown

TYPES = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


def test_every_line_of_the_table_is_a_typed_attribute() -> None:
    """The annotations of `Metrics` name exactly the table's attributes, with their types."""
    assert {m.attribute: TYPES[m.type] for m in METRICS} == Metrics.__annotations__


def test_every_attribute_is_exposed_under_the_name_of_the_table() -> None:
    """What Prometheus reads is what the README's table calls it."""
    metrics = Metrics()
    for metric in METRICS:
        collector = getattr(metrics, metric.attribute)
        child = collector.labels(*(["x"] * len(metric.labels))) if metric.labels else collector
        if isinstance(child, Histogram):
            child.observe(1)
        elif isinstance(child, Counter):
            child.inc()
        else:
            child.set(1)
    text = generate_latest(metrics.registry).decode()
    missing = [m.exposed for m in METRICS if f"\n{m.exposed}" not in text]
    assert missing == []


def test_two_processes_worth_of_metrics_do_not_share_anything() -> None:
    """Each `Metrics` has its own registry: roles in one process (the demo) can be told apart."""
    one, other = Metrics(), Metrics()
    one.records.labels("a").inc(3)
    assert (one.value("records"), other.value("records")) == (3, 0)


def test_value_sums_the_series_that_carry_the_labels() -> None:
    """`value` adds over the labels that are not given."""
    metrics = Metrics()
    metrics.decisions.labels("block", "r1", "voice").inc(2)
    metrics.decisions.labels("flag", "r1", "voice").inc(5)
    assert metrics.value("decisions", rule="r1") == 7
    assert metrics.value("decisions", action="block") == 2
    assert metrics.by_label("decisions", "action") == {"block": 2, "flag": 5}


def test_objectives_are_bucket_edges() -> None:
    """Whether p50 <= 40 ms and p99 <= 100 ms hold is read off an edge, not interpolated."""
    latency = next(m for m in METRICS if m.attribute == "latency_seconds")
    assert {0.04, 0.1} <= set(latency.buckets)


def test_every_line_says_what_to_do() -> None:
    """A metric without meaning or action is noise on a pager."""
    assert [m.attribute for m in (*METRICS, *PARITY) if not m.meaning or not m.action] == []


def test_every_metric_is_set_by_a_role() -> None:
    """What nobody sets would stand at zero for ever and look like good news."""
    code = "".join(path.read_text(encoding="utf-8") for path in Path(ROOT, "detector", "service").glob("*.py"))
    assert [m.attribute for m in METRICS if not re.search(rf"metrics\.{m.attribute}\b", code)] == []


def test_readme_table_is_current() -> None:
    """Between its markers the README holds `detector metrics-table` word for word."""
    begin, end = "<!-- metrics:begin -->\n", "<!-- metrics:end -->"
    text = Path(ROOT, "README.md").read_text(encoding="utf-8")
    assert text.split(begin)[1].split(end)[0].strip() == metrics_markdown().strip()
