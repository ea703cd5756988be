"""What `values.schema.json` and the chart refuse, and that the refusal says where."""

from typing import Any

import pytest
import yaml

from detector.config import Settings
from detector.supervisor import DRAIN_S
from helm.copies import CHART, OF_THE_CHART, SECRET_OPTIONS
from tests.helm.folders import settings_of
from tests.helm.rendering import refusal, render, without_kafka

WRONG: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("an unknown value", {"replica": 3}, ("replica",)),
    ("an unknown value of a role", {"detect": {"replica": 3}}, ("detect", "replica")),
    ("too little time to drain", {"detect": {"terminationGracePeriodSeconds": DRAIN_S}}, ("detect", "31")),
    ("replicas that are no number", {"ingest": {"replicas": "two"}}, ("ingest", "replicas")),
    ("more replicas than partitions", {"detect": {"replicas": 13}}, ("detect.replicas", "12", "13")),
    (
        "more replicas than partitions, by KEDA",
        {"keda": {"enabled": True, "detect": {"maxReplicas": 13}}},
        ("keda.detect.maxReplicas", "12", "13"),
    ),
    (
        "least above most",
        {"keda": {"enabled": True, "ingest": {"minReplicas": 7}}},
        ("keda.ingest.minReplicas", "6", "7"),
    ),
    (
        "two ways to authenticate",
        {
            "keda": {
                "enabled": True,
                "authentication": {"name": "a", "secretTargetRef": [{"parameter": "p", "name": "s", "key": "k"}]},
            }
        },
        ("keda.authentication", "both"),
    ),
    ("a password for KEDA", {"keda": {"triggerMetadata": {"password": "x"}}}, ("triggerMetadata",)),
    ("a password", {"config": {"kafka": {"sasl.password": "hunter2"}}}, ("sasl.password",)),
    ("a key", {"config": {"verdict": {"hold_out_key": "hunter2"}}}, ("hold_out_key",)),
    ("a secret without a key", {"secrets": {"env": {"A": {"secret": "s"}}}}, ("secrets", "key")),
    ("a variable's name", {"secrets": {"env": {"A-B": {"secret": "s", "key": "k"}}}}, ("secrets", "A-B")),
    ("a folder's name", {"secrets": {"files": {"a/b": "s"}}}, ("secrets", "a/b")),
    ("a file above the folder", {"files": {"../policy.yaml": "x"}}, ("files",)),
    ("an absolute file", {"files": {"/etc/policy.yaml": "x"}}, ("files",)),
    ("the settings as a file", {"files": {"detector.yaml": "x"}}, ("files",)),
    ("a file that is no text", {"files": {"policy.yaml": {"name": "x"}}}, ("files",)),
    ("a digest", {"image": {"digest": "latest"}}, ("digest",)),
    ("a pull policy", {"image": {"pullPolicy": "Sometimes"}}, ("pullPolicy",)),
    ("root", {"podSecurityContext": {"runAsUser": 0}}, ("runAsUser",)),
    ("perhaps root", {"podSecurityContext": {"runAsNonRoot": False}}, ("runAsNonRoot",)),
    ("an action", {"topicsJob": {"action": "delete"}}, ("action",)),
    ("a size", {"snapshots": {"size": "fifty"}}, ("size",)),
    ("a port", {"networkPolicy": {"kafkaPorts": [0]}}, ("kafkaPorts",)),
    ("no port", {"networkPolicy": {"kafkaPorts": []}}, ("kafkaPorts",)),
    ("an interval", {"serviceMonitor": {"interval": "often"}}, ("interval",)),
    ("a switch that is a word", {"networkPolicy": {"enabled": "yes"}}, ("networkPolicy", "enabled")),
    ("a budget", {"podDisruptionBudget": {"maxUnavailable": "some"}}, ("maxUnavailable",)),
    ("a probe", {"probes": {"liveness": {"failureThreshold": 0}}}, ("failureThreshold",)),
    ("an unknown setting", {"config": {"detect": {"snapshot": "/x"}}}, ("config", "snapshot")),
    ("a mode", {"config": {"verdict": {"mode": "block"}}}, ("mode",)),
    ("a country", {"config": {"home": {"country_code": "044"}}}, ("country_code",)),
    ("the instance", {"config": {"instance": "a"}}, ("config", "instance")),
    ("a source's id", {"config": {"sources": [{"name": "a", "id": 64, "topic": "t", "mapping": "m"}]}}, ("id", "63")),
]


@pytest.mark.parametrize(("values", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong_values_are_refused(values: dict[str, Any], words: tuple[str, ...]) -> None:
    """Before anything reaches a cluster, and with the place in the message."""
    said = refusal(values)
    assert [word for word in words if word not in said] == [], said


def test_keda_needs_an_address_to_ask() -> None:
    """The pods' own default is no broker of the cluster."""
    said = refusal({**without_kafka(), "keda": {"enabled": True}}, variant="")
    assert "keda: wanted config.kafka.bootstrap.servers" in said


def test_nothing_is_made_up_about_the_network() -> None:
    """Country and sources have no default: a release without them is refused."""
    said = refusal({}, variant="")
    assert [word for word in ("country_code", "sources") if word not in said] == []


@pytest.mark.parametrize("option", SECRET_OPTIONS)
@pytest.mark.parametrize("reference", ["${env:A}", "${file:/run/secrets/detector/a/b}"])
def test_secrets_by_reference_are_taken(option: str, reference: str) -> None:
    """Both ways, for each of Kafka's."""
    rendered = render({"config": {"kafka": {option: reference}}})
    text = rendered.one("ConfigMap", "fraud-detector-settings")["data"]["detector.yaml"]
    assert yaml.safe_load(text)["kafka"][option] == reference


def test_the_charts_defaults_are_the_detectors_own_where_it_repeats_them() -> None:
    """What templates need has to stand in the values too."""
    of_chart = yaml.safe_load((CHART / "values.yaml").read_text())["config"]
    own = Settings(home=settings_of(render()).home, sources=())
    assert of_chart["group"] == own.group
    assert of_chart["topics"]["events"] == own.topics.events
    assert of_chart["topics"]["partitions"] == own.topics.partitions
    assert of_chart["admin"]["port"] == own.admin.port


def test_what_the_chart_gives_are_settings() -> None:
    """A renamed one would otherwise be refused by nobody."""
    assert set(OF_THE_CHART) <= set(Settings.__struct_fields__)
