"""Real Helm, built once, and a chart that has something of everything."""

import json
import os
import shutil
from pathlib import Path

import pytest

from helm.copies import CHART
from helm.tool import fetch

RULES = """groups:
  - name: detector
    rules:
      - alert: Stuck
        expr: detector_assigned == 0
        for: 5m
        labels: {severity: page}
        annotations:
          runbook_url: docs/alerts.md#stuck
          summary: "{{ $labels.instance }} holds {{ $value | humanize }} of {{ .Values }}"
"""


@pytest.fixture(scope="session", autouse=True)
def program() -> Path:
    """Helm; CI (the variable of that name) requires Go, others may be without."""
    if shutil.which("go") is None and not os.environ.get("CI"):
        pytest.skip("Helm is built by Go (not found: go)")
    return fetch()


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A chart with a rule and two dashboards, whatever the shipped one has."""
    copy = tmp_path / "detector"
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("files"))
    (copy / "files" / "dashboards").mkdir(parents=True)
    (copy / "files" / "alerts.yaml").write_text(RULES)
    for name in ("night_shift", "Fraud"):
        (copy / "files" / "dashboards" / f"{name}.json").write_text(json.dumps({"title": name, "x": "{{legend}} <&>"}))
    return copy
