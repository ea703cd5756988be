"""What each switch of the chart renders."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector import __version__
from detector.broker.topics import topic_specs
from detector.commands.roles import admin_port
from detector.config import Settings
from detector.supervisor import DRAIN_S
from helm.copies import CHART
from loadtest.prometheus import promtool
from tests.helm.conftest import RULES
from tests.helm.folders import files_of, settings_of
from tests.helm.rendering import (
    NAME,
    ROLES,
    VARIANTS,
    Rendered,
    minimal,
    named,
    refusal,
    render,
    run_helm,
    selects,
    template,
    without_kafka,
)
from tests.watching.promql import matchers_of


def settings(rendered: Rendered | None = None) -> Settings:
    """What the detector reads of the release, of the least values unless it is given."""
    return settings_of(rendered or minimal())


@pytest.mark.parametrize("variant", VARIANTS)
def test_helm_has_nothing_to_say_against_it(variant: str) -> None:
    """`helm lint --strict`: warnings count."""
    done = run_helm("lint", "--strict", str(CHART), "--values", str(VARIANTS[variant]))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_is_of_this_version() -> None:
    """Its appVersion is the image's tag unless another is given."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert minimal().main("detect")["image"] == f"telecom-fraud-detector:{__version__}"


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        ({"repository": "r.example.net/d", "tag": "7"}, "r.example.net/d:7"),
        ({"tag": "7", "digest": f"sha256:{'a' * 64}"}, f"telecom-fraud-detector@sha256:{'a' * 64}"),
    ],
    ids=["tag", "digest"],
)
def test_every_container_is_of_the_one_image(image: dict[str, str], wanted: str) -> None:
    """A digest wins over a tag."""
    rendered = render({"image": image | {"pullPolicy": "Always"}, "imagePullSecrets": [{"name": "registry"}]})
    assert {container["image"] for _, container in rendered.containers()} == {wanted}
    assert {container["imagePullPolicy"] for _, container in rendered.containers()} == {"Always"}
    assert {pod["imagePullSecrets"][0]["name"] for pod in rendered.pods().values()} == {"registry"}


# Identity.


@pytest.mark.parametrize("role", ROLES)
def test_a_pods_name_is_its_instance(role: str) -> None:
    """Transactional id and static membership are made of it: the next pod of that name takes its place."""
    main = minimal().main(role)
    instance = named(main["env"], "DETECTOR__INSTANCE")
    assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert main["args"] == [role, "--ordinal", "0"]
    stateful = minimal().one("StatefulSet", f"{NAME}-{role}")
    assert stateful["spec"]["serviceName"] == f"{NAME}-{role}"
    assert minimal().one("Service", f"{NAME}-{role}")["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("port", [9108, 7000])
def test_a_role_is_asked_where_it_answers(role: str, port: int) -> None:
    """Port, service, probes and network policy follow `admin.port`, and the role's place after it."""
    rendered = render({"config": {"admin": {"port": port}}})
    wanted = admin_port(settings(rendered), role, 0)
    main = rendered.main(role)
    assert main["ports"] == [{"name": "admin", "containerPort": wanted}]
    (service,) = rendered.one("Service", f"{NAME}-{role}")["spec"]["ports"]
    assert (service["port"], service["targetPort"]) == (wanted, "admin")
    allowed = rendered.one("NetworkPolicy", NAME)["spec"]["ingress"][0]["ports"]
    assert {"protocol": "TCP", "port": wanted} in allowed


def test_the_longest_release_name_still_gives_names_that_fit() -> None:
    """Kubernetes puts a pod's name, and its StatefulSet's with a hash of ten, into labels of 63 characters."""
    rendered = render(release="r" * 53)
    assert [name for name in rendered.of("StatefulSet") if len(f"{name}-9999") > 63 or len(name) + 11 > 63] == []


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"nameOverride": "guard"}, "fraud-guard-detect"),
        ({"fullnameOverride": "guard"}, "guard-detect"),
        ({"nameOverride": "fraud"}, "fraud-detect"),
    ],
)
def test_names_can_be_chosen(values: dict[str, str], wanted: str) -> None:
    """As in other charts."""
    assert wanted in render(values).of("StatefulSet")


# Pods.


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_container_may_do_more_than_it_must(variant: str) -> None:
    """Not root, nothing to write to but what is mounted, no capability, no escalation, no token."""
    rendered = render(variant=variant)
    found = list(rendered.containers())
    assert len(found) == (9 if rendered.of("Deployment") else 7)
    for where, container in found:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, where
        assert container["resources"]["requests"], where
    for where, pod in rendered.pods().items():
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"] > 0) == (True, True), where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False), where


def test_ids_can_be_left_to_the_cluster() -> None:
    """As OpenShift wants it."""
    ids = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"))
    pod = render({"podSecurityContext": ids}).pod("detect")
    assert pod["securityContext"].keys() & ids.keys() == set()
    assert pod["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_mounted_is_there(variant: str) -> None:
    """Every mount has a volume, every volume is used, and what it names is made here or said to exist."""
    rendered = render(variant=variant)
    made = {kind: set(rendered.of(kind)) for kind in ("ConfigMap", "PersistentVolumeClaim", "ServiceAccount")}
    for where, pod in rendered.pods().items():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert len(volumes) == len(pod["volumes"]), where
        containers = [*pod["initContainers"], *pod["containers"]]
        mounts = [mount for container in containers for mount in container["volumeMounts"]]
        assert {mount["name"] for mount in mounts} == volumes.keys(), where
        for source in volumes["config"]["projected"]["sources"]:
            config_map = rendered.one("ConfigMap", source["configMap"]["name"])
            assert [item["key"] for item in source["configMap"]["items"]] == list(config_map["data"]), where
        claims = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in volumes.values()
            if len(volume) == 2 and "persistentVolumeClaim" in volume
        }
        assert claims - made["PersistentVolumeClaim"] - {"models"} == set(), where
        assert {pod.get("serviceAccountName")} - made["ServiceAccount"] - {None} == set(), where


@pytest.mark.parametrize("role", ROLES)
def test_what_is_written_lies_on_volumes(role: str) -> None:
    """Kernels, temporary files, and snapshots where the settings say."""
    pod, main = minimal().pod(role), minimal().main(role)
    mounts = {mount["mountPath"]: mount["name"] for mount in main["volumeMounts"] if not mount.get("readOnly")}
    wanted = {named(main["env"], "NUMBA_CACHE_DIR")["value"]: "kernels", named(main["env"], "HOME")["value"]: "tmp"}
    if role == "detect":
        wanted[settings().detect.snapshots] = "snapshots"
    assert mounts == wanted
    assert all("emptyDir" in named(pod["volumes"], name) for name in ("kernels", "tmp"))
    (copying,) = (one for one in pod["initContainers"] if one["name"] == "kernels")
    assert copying["command"] == ["cp", "-R", f"{named(main['env'], 'NUMBA_CACHE_DIR')['value']}/.", "/kernels/"]
    assert copying["volumeMounts"] == [{"name": "kernels", "mountPath": "/kernels"}]


@pytest.mark.parametrize("role", ROLES)
def test_draining_has_time(role: str) -> None:
    """More than a supervisor would give it."""
    assert minimal().pod(role)["terminationGracePeriodSeconds"] > DRAIN_S
    other = render({role: {"terminationGracePeriodSeconds": 200}})
    assert other.pod(role)["terminationGracePeriodSeconds"] == 200


@pytest.mark.parametrize("role", ROLES)
def test_probes_never_ask_for_the_broker_but_for_readiness(role: str) -> None:
    """What restarts a pod is `/health`, which says that the loop moves; `/ready` only holds a rollout up."""
    main = minimal().main(role)
    paths = {probe: main[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {
        "startup": {"path": "/health", "port": "admin"},
        "readiness": {"path": "/ready", "port": "admin"},
        "liveness": {"path": "/health", "port": "admin"},
    }
    changed = render({"probes": {"liveness": {"failureThreshold": 11}, "startup": {"periodSeconds": 9}}}).main(role)
    assert changed["livenessProbe"]["failureThreshold"] == 11
    assert changed["startupProbe"]["periodSeconds"] == 9


def test_replicas_and_places() -> None:
    """Each role has its own."""
    rendered = render(variant="national", values={"keda": {"enabled": False}})
    assert rendered.one("StatefulSet", f"{NAME}-ingest")["spec"]["replicas"] == 3
    assert rendered.one("StatefulSet", f"{NAME}-detect")["spec"]["replicas"] == 6
    ingest, detect = rendered.pod("ingest"), rendered.pod("detect")
    assert (ingest["nodeSelector"], "nodeSelector" in detect) == ({"pool": "streams"}, False)
    assert (ingest["priorityClassName"], "priorityClassName" in detect) == ("important", False)
    assert (detect["tolerations"], "tolerations" in ingest) == ([{"key": "streams", "operator": "Exists"}], False)
    meta = rendered.one("StatefulSet", f"{NAME}-detect")["spec"]["template"]["metadata"]
    assert meta["annotations"]["example.net/scraped"] == "no"
    assert meta["labels"]["example.net/tier"] == "state"


def test_affinity_is_passed_on() -> None:
    """Besides the even spread over nodes, which is only wished for."""
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    affinity = {"nodeAffinity": required}
    rendered = render({"detect": {"affinity": affinity}})
    assert rendered.pod("detect")["affinity"] == affinity
    assert "affinity" not in rendered.pod("ingest")
    (spread,) = rendered.pod("detect")["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"


@pytest.mark.parametrize("variant", VARIANTS)
def test_selectors_take_the_pods_they_are_meant_for(variant: str) -> None:
    """Services and budgets those of one role; the network policy all, the job's too; the monitor both services."""
    rendered = render(variant=variant, values={"serviceMonitor": {"enabled": True}})
    makers = rendered.of("StatefulSet") | rendered.of("Deployment") | rendered.of("Job")
    labels = {name: maker["spec"]["template"]["metadata"]["labels"] for name, maker in makers.items()}
    for role in ROLES:
        name = f"{NAME}-{role}"
        stateful = rendered.one("StatefulSet", name)["spec"]
        selectors = [
            stateful["selector"]["matchLabels"],
            stateful["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
            rendered.one("Service", name)["spec"]["selector"],
            rendered.one("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"],
        ]
        taken = [[pod for pod, its in labels.items() if selects(selector, its)] for selector in selectors]
        assert taken == [[name]] * 4
    policy = rendered.one("NetworkPolicy", NAME)["spec"]["podSelector"]["matchLabels"]
    assert [pod for pod, its in labels.items() if selects(policy, its)] == list(labels)
    monitor = rendered.one("ServiceMonitor", NAME)["spec"]
    services = rendered.of("Service")
    watched = {
        name: service["spec"]["ports"][0]["name"]
        for name, service in services.items()
        if selects(monitor["selector"]["matchLabels"], service["metadata"]["labels"])
    }
    assert watched == {f"{NAME}-{role}": monitor["endpoints"][0]["port"] for role in ROLES}


def test_labels_and_annotations_of_the_operator_are_everywhere() -> None:
    """On every object."""
    rendered = render(variant="national")
    without = [o["kind"] for o in rendered.objects if o["metadata"]["labels"].get("team") != "fraud"]
    assert without == []
    hooks = {f"{NAME}-topics", f"{NAME}-topics-settings"}
    bare = [
        o["metadata"]["name"]
        for o in rendered.objects
        if "example.net/owner" not in o["metadata"].get("annotations", {})
    ]
    assert set(bare) == hooks


# Settings, files, secrets.


def test_settings_restart_pods_and_files_do_not() -> None:
    """Policy, lists, zones and mappings are taken while it runs; settings are read at the start."""

    def sums(values: dict[str, Any]) -> set[str]:
        found = render(values).of("StatefulSet").values()
        return {one["spec"]["template"]["metadata"]["annotations"]["checksum/settings"] for one in found}

    before = sums({})
    assert len(before) == 1
    assert sums({"files": {"policy.yaml": "name: mine\n"}}) == before
    assert sums({"config": {"verdict": {"mode": "flag"}}}) != before


@pytest.mark.parametrize("where", ["roles", "job"])
def test_files_arrive_as_they_are(where: str) -> None:
    """In folders, byte for byte, for the roles and for the job that checks them."""
    files = {"policy.yaml": "name: {{ .Values }}\n  # no end of line", "lists/never_block.txt": " \t+44<>&'\"\n\n\n"}
    rendered = render({"files": files})
    name, volumes = (
        (NAME, rendered.pod("detect")["volumes"])
        if where == "roles"
        else (f"{NAME}-topics", rendered.pods()[f"{NAME}-topics"]["volumes"])
    )
    settings_map, files_map = named(volumes, "config")["projected"]["sources"]
    assert settings_map["configMap"]["name"] == f"{name}-settings"
    assert files_map["configMap"]["name"] == f"{name}-files"
    data = rendered.one("ConfigMap", f"{name}-files")["data"]
    assert {item["path"]: data[item["key"]] for item in files_map["configMap"]["items"]} == files


def test_without_files_there_is_no_map_of_them() -> None:
    """Nor a volume's source."""
    assert set(minimal().of("ConfigMap")) == {f"{NAME}-settings", f"{NAME}-topics-settings"}
    assert len(named(minimal().pod("detect")["volumes"], "config")["projected"]["sources"]) == 1


def test_secrets_are_named_and_never_written() -> None:
    """Variables and files of secrets that exist, in every container that reads the settings."""
    rendered = render(variant="national")
    readers = [(where, one) for where, one in rendered.containers() if "env" in one]
    assert len(readers) == 5
    for where, container in readers:
        secret = named(container["env"], "KAFKA_USERNAME")["valueFrom"]
        name = "kafka-operator" if "operator" in where else "kafka"
        assert secret == {"secretKeyRef": {"name": name, "key": "username"}}, where
        mount = named(container["volumeMounts"], "secret-kafka")
        assert (mount["mountPath"], mount["readOnly"]) == ("/run/secrets/detector/kafka", True), where
    for where, pod in rendered.pods().items():
        volume = named(pod["volumes"], "secret-kafka")
        name = "kafka-operator" if "operator" in where else "kafka-client"
        assert volume["secret"] == {"secretName": name, "defaultMode": 0o440}, where
    assert rendered.of("Secret") == {}


def test_more_variables_and_volumes_reach_every_reader() -> None:
    """The job reads the same settings, so it gets the same."""
    rendered = render(variant="national")
    for where, container in rendered.containers():
        if "env" not in container:
            continue
        assert named(container["env"], "TZ")["value"] == "UTC", where
        assert container["envFrom"] == [{"secretRef": {"name": "detector-more", "optional": True}}], where
        assert named(container["volumeMounts"], "models")["mountPath"] == "/srv/models", where
    assert all(named(pod["volumes"], "models") for pod in rendered.pods().values())


# Snapshots.


def test_every_worker_reaches_the_snapshots() -> None:
    """One claim for all, written by many at once, and kept when the release goes."""
    claim = render(variant="national").one("PersistentVolumeClaim", f"{NAME}-snapshots")
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "nfs",
        "resources": {"requests": {"storage": "500Gi"}},
    }
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["metadata"]["annotations"]["example.net/backup"] == "no"
    assert "storageClassName" not in minimal().one("PersistentVolumeClaim", f"{NAME}-snapshots")["spec"]


def test_a_claim_that_exists_is_used() -> None:
    """And none is made."""
    rendered = render({"snapshots": {"existingClaim": "ours"}})
    assert rendered.of("PersistentVolumeClaim") == {}
    volume = named(rendered.pod("detect")["volumes"], "snapshots")
    assert volume["persistentVolumeClaim"] == {"claimName": "ours"}


# The topics job.


def test_topics_are_there_before_anybody_starts() -> None:
    """Settings are checked, then topics made, before the release's own objects are touched."""
    job = minimal().one("Job", f"{NAME}-topics")
    annotations = job["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert [one.get("args") for one in pod["initContainers"]] == [None, ["check"]]
    assert pod["containers"][0]["args"] == ["topics", "create"]
    # A service account of the release would not exist yet.
    assert "serviceAccountName" not in pod
    its_settings = minimal().one("ConfigMap", f"{NAME}-topics-settings")
    assert its_settings["data"] == minimal().one("ConfigMap", f"{NAME}-settings")["data"]
    first = int(its_settings["metadata"]["annotations"]["helm.sh/hook-weight"])
    assert first < int(annotations["helm.sh/hook-weight"])
    # Nothing sensible would be made otherwise.
    assert topic_specs(settings())[0].partitions == 12


@pytest.mark.parametrize(
    ("values", "containers"),
    [
        ({"action": "check"}, [None, ["check"], ["topics", "check"]]),
        ({"check": False}, [None, ["topics", "create"]]),
    ],
    ids=["only looks", "without a check"],
)
def test_the_job_can_do_less(values: dict[str, Any], containers: list[Any]) -> None:
    """For clusters where others make topics; for settings that are known to fit."""
    pod = render({"topicsJob": values}).pods()[f"{NAME}-topics"]
    assert [one.get("args") for one in [*pod["initContainers"], *pod["containers"]]] == containers


def test_the_job_can_be_left_out() -> None:
    """Nothing of it remains."""
    rendered = render({"topicsJob": {"enabled": False}, "files": {"policy.yaml": "x"}})
    assert rendered.of("Job") == {}
    assert [name for name in rendered.of("ConfigMap") if "topics" in name] == []


# The operators' pod.


def test_operators_have_a_pod_of_their_own_where_it_is_wanted() -> None:
    """It runs nothing, reads the settings of the roles, and is another user: only what is given anew differs."""
    assert minimal().of("Deployment") == {}
    rendered = render(variant="national")
    pod = rendered.pod("operator")
    (main,) = pod["containers"]
    assert main["command"] == ["sleep", "infinity"]
    assert not [key for key in main if key.endswith("Probe") or key == "ports"]
    assert files_of(rendered, f"{NAME}-operator") == files_of(rendered)
    detect = rendered.main("detect")["env"]
    differing = [name for one in main["env"] if named(detect, name := one["name"]) != one]
    assert differing == ["KAFKA_USERNAME"]
    assert named(main["env"], "HOLD_OUT_KEY") == named(detect, "HOLD_OUT_KEY")
    assert [mount["name"] for mount in main["volumeMounts"] if mount["name"] == "snapshots"] == []


# Budget, network, account.


def test_the_budget_is_a_switch() -> None:
    """One pod of a role at a time, unless told otherwise."""
    assert {one["spec"]["maxUnavailable"] for one in minimal().of("PodDisruptionBudget").values()} == {1}
    half = render({"podDisruptionBudget": {"maxUnavailable": "50%"}}).of("PodDisruptionBudget")
    assert {one["spec"]["maxUnavailable"] for one in half.values()} == {"50%"}
    assert render({"podDisruptionBudget": {"enabled": False}}).of("PodDisruptionBudget") == {}


def test_the_network_policy_lets_metrics_in_and_kafka_and_names_out() -> None:
    """Nothing else, unless told."""
    policy = minimal().one("NetworkPolicy", NAME)["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (ingress,) = policy["ingress"]
    assert ingress["from"] == [{"podSelector": {}}]
    names, kafka = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert ([port["port"] for port in kafka["ports"]], "to" in kafka) == ([9092, 9093], False)


def test_the_network_policy_knows_who_and_where() -> None:
    """Peers for metrics and Kafka, and whatever else is wanted."""
    more = [{"ports": [{"port": 443}]}]
    rendered = render(variant="national", values={"networkPolicy": {"extraIngress": more, "extraEgress": more}})
    policy = rendered.one("NetworkPolicy", NAME)["spec"]
    metrics, also_in = policy["ingress"]
    assert metrics["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    _, kafka, also_out = policy["egress"]
    assert kafka == {"ports": [{"protocol": "TCP", "port": 9093}], "to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}]}
    assert [also_in, also_out] == more * 2
    assert render({"networkPolicy": {"enabled": False}}).of("NetworkPolicy") == {}


def test_the_service_account_is_a_switch() -> None:
    """Made, named, or one that exists; never with a token."""
    made = render({"serviceAccount": {"annotations": {"a": "b"}}}).one("ServiceAccount", NAME)
    assert (made["automountServiceAccountToken"], made["metadata"]["annotations"]) == (False, {"a": "b"})
    assert minimal().pod("detect")["serviceAccountName"] == NAME
    other = render({"serviceAccount": {"create": False, "name": "ours"}})
    assert (other.of("ServiceAccount"), other.pod("detect")["serviceAccountName"]) == ({}, "ours")
    assert render({"serviceAccount": {"create": False}}).pod("ingest")["serviceAccountName"] == "default"


# KEDA.


def test_keda_scales_by_the_lag_of_the_groups_there_are() -> None:
    """Each source's topic for ingest, the internal one for detect; replicas are then KEDA's alone."""
    rendered = render(variant="national")
    its = settings(rendered)
    topics = {"ingest": [source.topic for source in its.sources], "detect": [its.topics.events]}
    for role in ROLES:
        assert "replicas" not in rendered.one("StatefulSet", f"{NAME}-{role}")["spec"]
        spec = rendered.one("ScaledObject", f"{NAME}-{role}")["spec"]
        assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": f"{NAME}-{role}"}
        assert spec["fallback"] == {"failureThreshold": 3, "replicas": 6}
        found = [trigger["metadata"] for trigger in spec["triggers"]]
        assert [one["topic"] for one in found] == topics[role]
        # As detector.service names its groups.
        assert {one["consumerGroup"] for one in found} == {f"{its.group}-{role}"}
        assert {one["bootstrapServers"] for one in found} == {its.kafka["bootstrap.servers"]}
        assert {(one["sasl"], one["tls"]) for one in found} == {("scram_sha512", "enable")}
    detect = rendered.one("ScaledObject", f"{NAME}-detect")["spec"]
    assert (detect["minReplicaCount"], detect["maxReplicaCount"]) == (6, 12)
    assert detect["triggers"][0]["metadata"]["lagThreshold"] == "10000"
    assert rendered.one("ScaledObject", f"{NAME}-ingest")["spec"]["triggers"][0]["metadata"]["lagThreshold"] == "400000"


@pytest.mark.parametrize(
    ("authentication", "reference", "made"),
    [
        ({}, None, 0),
        ({"name": "ours"}, {"name": "ours", "kind": "TriggerAuthentication"}, 0),
        (
            {"name": "a", "kind": "ClusterTriggerAuthentication"},
            {"name": "a", "kind": "ClusterTriggerAuthentication"},
            0,
        ),
        (
            {"secretTargetRef": [{"parameter": "password", "name": "kafka", "key": "password"}]},
            {"name": NAME, "kind": "TriggerAuthentication"},
            1,
        ),
    ],
    ids=["none", "named", "of the cluster", "made"],
)
def test_keda_is_let_in(authentication: dict[str, Any], reference: dict[str, str] | None, made: int) -> None:
    """By one that exists, or by one that names secrets."""
    rendered = render({"keda": {"enabled": True, "authentication": authentication}})
    triggers = rendered.one("ScaledObject", f"{NAME}-detect")["spec"]["triggers"]
    assert [trigger.get("authenticationRef") for trigger in triggers] == [reference]
    assert len(rendered.of("TriggerAuthentication")) == made


def test_without_keda_nothing_of_it_remains() -> None:
    """And the StatefulSets say how many."""
    assert (minimal().of("ScaledObject"), minimal().of("TriggerAuthentication")) == ({}, {})
    assert minimal().one("StatefulSet", f"{NAME}-detect")["spec"]["replicas"] == 2
    assert "fallback" not in render({"keda": {"enabled": True}}).one("ScaledObject", f"{NAME}-detect")["spec"]


# Prometheus and Grafana.


def test_the_service_monitor_is_a_switch() -> None:
    """With the labels by which a Prometheus finds it."""
    assert minimal().of("ServiceMonitor") == {}
    found = render({"serviceMonitor": {"enabled": True, "interval": "5s", "scrapeTimeout": "4s", "labels": {"a": "b"}}})
    monitor = found.one("ServiceMonitor", NAME)
    assert monitor["metadata"]["labels"]["a"] == "b"
    assert monitor["spec"]["endpoints"] == [
        {"port": "admin", "path": "/metrics", "interval": "5s", "scrapeTimeout": "4s"}
    ]


def test_rules_arrive_as_they_are(chart: Path) -> None:
    """Prometheus has templates of its own, in the same braces."""
    rendered = render({"prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}}}, chart=chart)
    rule = rendered.one("PrometheusRule", NAME)
    assert rule["spec"] == yaml.safe_load(RULES)
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert render(chart=chart).of("PrometheusRule") == {}


def test_runbooks_are_where_the_staff_reads_them(chart: Path) -> None:
    """The address before the path; nothing else changes."""
    wiki = "https://wiki.example.net/detector/"
    rendered = render({"prometheusRule": {"enabled": True, "runbooks": wiki}}, chart=chart)
    changed = RULES.replace("docs/alerts.md", f"{wiki}docs/alerts.md")
    assert rendered.one("PrometheusRule", NAME)["spec"] == yaml.safe_load(changed) != yaml.safe_load(RULES)


def test_rules_that_are_not_there_are_asked_for(chart: Path) -> None:
    """Instead of an object without rules, which would look like peace."""
    (chart / "files" / "alerts.yaml").unlink()
    done = template({"prometheusRule": {"enabled": True}}, "minimal", chart, "fraud")
    assert done.returncode != 0
    assert "`make chart`" in done.stderr


def ruled(**values: Any) -> dict[str, Any]:
    """The spec of the shipped rules, their switch set as `values` say."""
    rendered = render({"prometheusRule": {"enabled": True} | values.pop("rule", {})} | values)
    spec: dict[str, Any] = rendered.one("PrometheusRule", NAME)["spec"]
    return spec


def test_the_shipped_rules_are_those_of_the_repository() -> None:
    """Nothing is lost on the way through a template that can change them."""
    assert ruled() == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))


def test_an_alert_can_be_left_out() -> None:
    """And its group where nothing is left in it; a name that is no alert's is refused."""
    spec = ruled(rule={"without": ["DetectorParityMissed", "DetectorParityBroken", "DetectorDown"]})
    left = {rule.get("alert") for group in spec["groups"] for rule in group["rules"]}
    assert "DetectorHangs" in left
    assert left & {"DetectorParityMissed", "DetectorParityBroken", "DetectorDown"} == set()
    assert [group["name"] for group in spec["groups"] if not group["rules"] or "parity" in group["name"]] == []
    values = {"prometheusRule": {"enabled": True, "without": ["DetectorDwon"]}}
    assert "prometheusRule.without: wanted alerts of files/alerts.yaml (got DetectorDwon)" in refusal(values)


OURS = {"app_kubernetes_io_instance": "fraud", "namespace": "telecom"}


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, {}),
        ({"serviceMonitor": {"enabled": True}}, OURS),
        ({"serviceMonitor": {"enabled": True}, "rule": {"only": {"group": "north"}}}, {"group": "north"}),
        ({"rule": {"only": {"group": "north"}}}, {"group": "north"}),
    ],
    ids=["scraped otherwise", "by the monitor", "by the monitor, as told", "as told"],
)
def test_rules_keep_to_their_release(values: dict[str, Any], wanted: dict[str, str]) -> None:
    """Every selector of the detector's own series, and every rule's labels."""
    spec = ruled(**values)
    seen = 0
    for rule in (rule for group in spec["groups"] for rule in group["rules"]):
        assert wanted.items() <= rule.get("labels", {}).items(), rule
        for name, matchers in matchers_of(rule["expr"]):
            of_release = name != "up" and not name.startswith("detector_parity_")
            found = {label: value for label, value in matchers.items() if label in wanted}
            assert found == (wanted if of_release else {}), rule["expr"]
            seen += of_release
    assert seen > 60


def test_the_monitor_puts_the_labels_on_that_rules_keep_to() -> None:
    """The service's label of the release; the operator puts the namespace on by itself."""
    rendered = render({"serviceMonitor": {"enabled": True}})
    spec = rendered.one("ServiceMonitor", NAME)["spec"]
    assert [label.replace(".", "_").replace("/", "_") for label in spec["targetLabels"]] == [next(iter(OURS))]
    for service in rendered.of("Service").values():
        assert service["metadata"]["labels"][spec["targetLabels"][0]] == "fraud"


TWO_RELEASES = {
    "rule_files": ["alerts.yaml"],
    "evaluation_interval": "1m",
    "tests": [
        {
            "interval": "1m",
            "input_series": [
                {"series": f'detector_config_info{{namespace="telecom",{labels}}}', "values": "1x60"}
                for labels in (
                    'app_kubernetes_io_instance="fraud",instance="a",version="1"',
                    'app_kubernetes_io_instance="wider",instance="b",version="2"',
                    'app_kubernetes_io_instance="wider",instance="c",version="3"',
                )
            ],
            "alert_rule_test": [
                {
                    "eval_time": "50m",
                    "alertname": "DetectorRolloutHalfDone",
                    "exp_alerts": [
                        {
                            "exp_labels": {"severity": "ticket", "app_kubernetes_io_instance": "wider"}
                            | {"namespace": "telecom"},
                            "exp_annotations": {
                                "summary": "processes differ in configuration, model or policy",
                                "runbook_url": "docs/alerts.md#detectorrollouthalfdone",
                            },
                        }
                    ],
                }
            ],
        }
    ],
}


@pytest.mark.prometheus
def test_two_releases_under_one_prometheus_are_told_apart(tmp_path: Path) -> None:
    """The real promtool over the rules of both: one is configured alike, and differs only from the other release."""
    groups = []
    for release in ("fraud", "wider"):
        values = {"prometheusRule": {"enabled": True}, "serviceMonitor": {"enabled": True}}
        (rule,) = render(values, release=release).of("PrometheusRule").values()
        groups += [group | {"name": f"{release}-{group['name']}"} for group in rule["spec"]["groups"]]
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(TWO_RELEASES), encoding="utf-8")
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "cases.yaml"))


def test_dashboards_arrive_as_they_are(chart: Path) -> None:
    """A ConfigMap each, with the label that Grafana's sidecar looks for."""
    rendered = render({"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Fraud"}}}, chart=chart)
    found = {name: one for name, one in rendered.of("ConfigMap").items() if "dashboard" in name}
    assert set(found) == {f"{NAME}-dashboard-fraud", f"{NAME}-dashboard-night-shift"}
    for one in found.values():
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"] == {"grafana_folder": "Fraud"}
    texts = found[f"{NAME}-dashboard-night-shift"]["data"]
    assert json.loads(texts["night_shift.json"]) == {"title": "night_shift", "x": "{{legend}} <&>"}
    assert [name for name in render(chart=chart).of("ConfigMap") if "dashboard" in name] == []


# What is said at the end.


SHOWN = """{{ toJson (dict "apiVersion" "v1" "kind" "Notes" "metadata" (dict "name" "notes")
  "notes" (include (print $.Template.BasePath "/NOTES.txt") .)) }}"""
"""A template that shows the notes: else only an installation into a cluster does."""


ANYBODY: dict[str, Any] = {"namespaceSelector": {}}
OPERATED: dict[str, Any] = {"operator": {"enabled": True}}
RULED: dict[str, Any] = {"prometheusRule": {"enabled": True}}


@pytest.mark.parametrize(
    ("values", "words", "silent"),
    [
        ({}, "detector_reloads_total", True),
        ({"files": {"policy.yaml": "x"}}, "detector_reloads_total", False),
        ({}, "accept_simulated is set", True),
        ({"config": {"model": {"accept_simulated": True}}}, "accept_simulated is set", False),
        ({}, "no bootstrap.servers", True),
        (without_kafka(), "no bootstrap.servers", False),
        ({}, "The topics job is off", True),
        ({"topicsJob": {"enabled": False}}, "The topics job is off", False),
        ({}, "Nothing scrapes /metrics yet", False),
        ({"serviceMonitor": {"enabled": True}}, "Nothing scrapes /metrics yet", True),
        ({}, "localhost:9109/ready", False),
        ({}, "mode shadow", False),
        ({}, "decisions tail --shadow", False),
        ({"config": {"verdict": {"mode": "flag"}}}, "decisions tail --shadow", True),
        ({}, "exec -it fraud-detector-detect-0 -c detect -- detector decisions tail --shadow", False),
        ({}, "operator.enabled makes a", False),
        (OPERATED, "operator.enabled makes a", True),
        (OPERATED, "exec -it deploy/fraud-detector-operator -c operator -- detector decisions tail --shadow", False),
        (OPERATED, "-- detector kill --reason", False),
        ({"serviceMonitor": {"enabled": True}}, "is shut out", False),
        ({}, "is shut out", True),
        ({"serviceMonitor": {"enabled": True}, "networkPolicy": {"enabled": False}}, "is shut out", True),
        ({"serviceMonitor": {"enabled": True}, "networkPolicy": {"metricsFrom": [ANYBODY]}}, "is shut out", True),
        ({}, "prometheusRule.runbooks", True),
        (RULED, "prometheusRule.runbooks", False),
        ({"prometheusRule": {"enabled": True, "runbooks": "https://a/"}}, "prometheusRule.runbooks", True),
        (RULED, "DetectorParityMissed fires after", False),
        (RULED, "DetectorHeartbeatLost", True),
        (RULED | {"config": {"ingest": {"heartbeat_s": None}}}, "DetectorHeartbeatLost cannot fire", False),
    ],
)
def test_the_notes_say_what_to_look_at(values: dict[str, Any], words: str, silent: bool, chart: Path) -> None:
    """Only what concerns this release."""
    (chart / "templates" / "shown.yaml").write_text(SHOWN)
    variant = "" if "home" in values.get("config", {}) else "minimal"
    notes = render(values, variant, chart).one("Notes", "notes")["notes"]
    assert (words in notes) is not silent, notes
