"""What a PromQL expression selects, held against what the service exports."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import promql_parser
import yaml

from detector.config import ROOT
from detector.metrics import METRICS, PARITY

ALERTS: Final = ROOT / "configs" / "alerts.yaml"
TARGET: Final = frozenset({"job", "instance"})
"""Labels that Prometheus puts on whatever it scrapes."""


def rules() -> list[dict[str, Any]]:
    """All rules of the file, recording ones included."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def name_of(rule: dict[str, Any]) -> str:
    """The alert, or the series that it records; several rules may record one."""
    return str(rule.get("alert") or rule["record"])


def rules_for(alerts: Collection[str]) -> dict[str, Any]:
    """The file with these alerts alone and with the recording rules that they, or those, select, in their order.

    `ValueError` where a rule selects by `ALERTS`, or by no name: it could be made of any other.
    """
    tree: dict[str, Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    kept, pending = set(alerts), list(alerts)
    while pending:
        name = pending.pop()
        found = set().union(*(selected(parse(rule["expr"])) for rule in rules() if name_of(rule) == name))
        if found & {"", "ALERTS", "ALERTS_FOR_STATE"}:
            raise ValueError(f"wanted rules that select series by their names (got {sorted(found)} in {name})")
        new = (found & {name_of(rule) for rule in rules()}) - kept
        kept |= new
        pending += new
    groups = [group | {"rules": [rule for rule in group["rules"] if name_of(rule) in kept]} for group in tree["groups"]]
    return {"groups": [group for group in groups if group["rules"]]}


def exported() -> dict[str, frozenset[str]]:
    """Every series that there can be, with its labels: the table's, the recorded ones, and Prometheus' own."""
    series: dict[str, frozenset[str]] = {}
    for metric in (*METRICS, *PARITY):
        labels = frozenset(metric.labels) | TARGET
        if metric.type == "histogram":
            series |= {f"{metric.exposed}_{end}": labels for end in ("sum", "count")}
            series[f"{metric.exposed}_bucket"] = labels | {"le"}
        else:
            series[metric.exposed] = labels
    for rule in rules():
        if "record" in rule:
            made = labels_of(parse(rule["expr"]), series) | frozenset(rule.get("labels", {}))
            series[rule["record"]] = series.get(rule["record"], frozenset()) | made
    return series | {"up": TARGET, "ALERTS": TARGET | {"alertname", "alertstate", "severity"}}


def parse(expression: str) -> promql_parser.Expr:
    """The tree; raises `ValueError` with the place where it is no PromQL."""
    return promql_parser.parse(expression.replace("$__rate_interval", "1m"))


def nodes(tree: promql_parser.Expr) -> list[Any]:
    """Every node of it."""
    found: list[Any] = []
    promql_parser.walk(tree, pre_visit=lambda node: found.append(node))
    return found


def selected(tree: promql_parser.Expr) -> set[str]:
    """The names of the series that it selects."""
    return {node.name or "" for node in nodes(tree) if isinstance(node, promql_parser.VectorSelector)}


def matchers_of(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Of every selector the name, and the values that its matchers compare labels with."""
    for node in nodes(parse(expression)):
        if isinstance(node, promql_parser.VectorSelector):
            yield node.name or "", {matcher.name: matcher.value for matcher in node.matchers.matchers}


def labels_of(tree: promql_parser.Expr, series: dict[str, frozenset[str]]) -> frozenset[str]:
    """Labels that its answer can have, as far as its outermost aggregations tell; else all that it selects."""
    if isinstance(tree, promql_parser.AggregateExpr):
        modifier = tree.modifier
        by = modifier is not None and modifier.type == promql_parser.AggModifierType.By
        return frozenset(modifier.labels) if by and modifier is not None else frozenset()
    if isinstance(tree, promql_parser.BinaryExpr):
        return labels_of(tree.lhs, series) | labels_of(tree.rhs, series)
    if isinstance(tree, promql_parser.ParenExpr):
        return labels_of(tree.expr, series)
    if isinstance(tree, promql_parser.Call):
        return frozenset().union(*(labels_of(argument, series) for argument in tree.args))
    return frozenset().union(*(series.get(name, frozenset()) for name in selected(tree)))


@dataclass(frozen=True, slots=True)
class Wrong:
    """What an expression says of series that there are not."""

    what: str
    expression: str


def wrong_in(expression: str, series: dict[str, frozenset[str]]) -> Iterator[Wrong]:
    """Names that nobody exports, and labels that they do not have."""
    for node in nodes(parse(expression)):
        if isinstance(node, promql_parser.VectorSelector):
            if node.name not in series:
                yield Wrong(f"selects {node.name}, which nobody exports", expression)
                continue
            for matcher in node.matchers.matchers:
                if matcher.name not in series[node.name]:
                    yield Wrong(f"{node.name} has no label {matcher.name}", expression)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            below = frozenset().union(*(series.get(name, frozenset()) for name in selected(node.expr)))
            for label in node.modifier.labels:
                if label not in below:
                    yield Wrong(f"sums by {label}, which nothing below has", expression)
