"""Ports and readiness of a role's process."""

from pathlib import Path

from detector.commands.roles import admin_port, missing
from detector.config import ROOT, Settings, load
from detector.metrics import Metrics


def local() -> Settings:
    """The settings of configs/local.yaml."""
    return load(Path(ROOT, "configs", "local.yaml"), environ={})


def test_no_two_processes_of_a_host_share_an_admin_port() -> None:
    """The roles take turns: nothing has to be set to run several of both on one machine."""
    settings = local()
    ports = [admin_port(settings, role, ordinal) for ordinal in range(3) for role in ("ingest", "detect")]
    assert ports == [9108, 9109, 9110, 9111, 9112, 9113]


def test_readiness_names_what_a_fresh_process_waits_for() -> None:
    """A detect process waits for the broker, its partitions and its model; ingest has none."""
    assert list(missing("detect", Metrics())) == ["broker", "assigned", "model"]
    assert list(missing("ingest", Metrics())) == ["broker", "assigned"]


def test_readiness_comes_when_everything_is_there_and_goes_with_the_broker() -> None:
    """The metrics that the role itself keeps decide."""
    metrics = Metrics()
    metrics.broker_up.set(1)
    metrics.assigned.labels("detect").set(4)
    metrics.model_info.labels("m-1", "true").set(1)
    assert missing("detect", metrics) == {}
    metrics.replaying.set(2)
    assert list(missing("detect", metrics)) == ["caught up"]
    metrics.replaying.set(0)
    metrics.broker_up.set(0)
    assert list(missing("detect", metrics)) == ["broker"]
