"""Every object of every variant, held against the schemas of Kubernetes and of the operators' own kinds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml

from helm.copies import CHART
from tests.helm.rendering import VARIANTS, Object, render

SCHEMAS: Final = Path(__file__).parent / "schemas"
"""Of the kinds that operators bring."""
VERSIONS: Final = ("1.25", "1.31", kubernetes_validate.latest_version())
"""Of Kubernetes: the oldest that the chart wants, one in use, and the newest known."""
WITH_EVERYTHING: Final[Mapping[str, Any]] = {
    "keda": {"enabled": True, "authentication": {"name": "ours", "kind": "ClusterTriggerAuthentication"}},
    "config": {"kafka": {"bootstrap.servers": "kafka:9092"}},
    "files": {"lists/never_block.txt": "+44\n"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
}


def check(found: Object, version: str) -> None:
    """`ValidationError` names what no API server would take."""
    operators = SCHEMAS / f"{found['kind']}.json"
    if operators.is_file():
        jsonschema.validate(found, json.loads(operators.read_text(encoding="utf-8")))
    else:
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [{}, WITH_EVERYTHING], ids=["as it is", "with everything"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_api_server_would_take_every_object(variant: str, values: Mapping[str, Any], version: str) -> None:
    """Known kinds, known fields, right types."""
    if variant == "national" and values:
        values = {key: value for key, value in values.items() if key != "keda"}
    rendered = render(values, variant)
    assert {found["kind"] for found in rendered.objects} >= {"StatefulSet", "Service", "ConfigMap", "Job"}
    for found in rendered.objects:
        check(found, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_rules_and_dashboards_would_be_taken_too(version: str, chart: Path) -> None:
    """Whatever they say: these are of a chart that has some."""
    rendered = render({"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}, chart=chart)
    assert (len(rendered.of("PrometheusRule")), len(rendered.of("ConfigMap"))) == (1, 4)
    for found in rendered.objects:
        check(found, version)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("StatefulSet", ("spec", "template", "spec")),
        ("Service", ("spec",)),
        ("NetworkPolicy", ("spec",)),
        ("PodDisruptionBudget", ("spec", "selector")),
        ("ScaledObject", ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleDown")),
        ("TriggerAuthentication", ("spec",)),
        ("ServiceMonitor", ("spec", "endpoints", 0)),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0)),
    ],
)
def test_an_unknown_field_would_be_found(kind: str, path: tuple[str | int, ...], chart: Path) -> None:
    """The schemas are strict, those of the operators too."""
    values = {"prometheusRule": {"enabled": True}}
    found: Any = next(iter(render(values, "national", chart).of(kind).values()))
    place = found
    for step in path:
        place = place[step]
    check(found, VERSIONS[-1])
    place["replicsa"] = 1
    with pytest.raises(jsonschema.ValidationError, match="replicsa"):
        check(found, VERSIONS[-1])


def test_the_oldest_version_tried_is_the_oldest_that_the_chart_wants() -> None:
    """`kubeVersion` in Chart.yaml."""
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={VERSIONS[0]}.0-0"
