"""The chart's copies are current: `make chart` would change nothing."""

from pathlib import Path

from detector.config import ROOT
from helm.copies import SCHEMA, chart_files, copied_files, schema


def test_the_charts_files_are_those_of_the_repository() -> None:
    """Alerts and dashboards, byte for byte, and no other."""
    assert chart_files() == copied_files()


def test_every_alert_and_dashboard_is_copied() -> None:
    """As far as there are any."""
    there = {path.name for path in Path(ROOT, "configs", "dashboards").glob("*.json")}
    there |= {"alerts.yaml"} if Path(ROOT, "configs", "alerts.yaml").exists() else set()
    assert {Path(name).name for name in copied_files()} == there


def test_the_schema_knows_todays_settings() -> None:
    """A setting that was added, renamed or typed anew is in the values' schema."""
    assert SCHEMA.read_text(encoding="utf-8") == schema()
